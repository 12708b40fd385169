"""Web: the one way out to the archives. Known hosts only, short timeouts, one retry, and a pause after a failure."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from engine.plain import PlainError

TIMEOUTS = (5.0, 30.0)  # seconds to connect, and to wait for the next bytes
PATIENCE = 120.0  # seconds that one whole answer may take, however steadily it drips
PAUSE = 60.0  # seconds a host is left alone after it failed twice
MOST_BYTES = 64 * 2**20  # a full SDSS file takes up to 20 MB
REDIRECTS = 3
_CHUNK = 1 << 16


class ArchiveError(PlainError):
    """A spectrum cannot be had. The message says where it was looked for, and what to do."""


class NotFound(ArchiveError):
    """The archive answered: there is no such file."""


class Unreachable(ArchiveError):
    """The archive gave no whole answer, or is being left alone after a failure."""


class BadAnswer(ArchiveError):
    """The archive answered with something that is not a spectrum: a web page, a redirect elsewhere, too many bytes."""


class _Failed(Exception):
    """One attempt failed; another may succeed."""


class Web:
    """Asks archives over HTTP. Safe to share between threads.

    hosts : host, or host:port, of every archive that may be asked; nothing else is, redirects included
    timeouts : seconds to connect and to wait for bytes; pause : seconds a failed host is left alone
    """

    def __init__(
        self, hosts: Iterable[str], timeouts: tuple[float, float] = TIMEOUTS, pause: float = PAUSE,
        patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.hosts = frozenset(hosts)
        self.timeouts, self.pause, self.patience, self._clock = timeouts, pause, patience, clock
        self._asleep: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.auth = lambda request: request  # passwords of ~/.netrc are not for public archives
        self._session.headers.update({"User-Agent": "gasnet-explorer", "Accept-Encoding": "identity"})

    def get(self, url: str, most: int = MOST_BYTES) -> bytes:
        """The whole file at a URL. Raises NotFound, Unreachable or BadAnswer."""
        return self._ask("GET", url, most)[0]

    def post(self, url: str, data: Any, most: int = MOST_BYTES) -> bytes:
        """The answer to JSON data. Raises NotFound, Unreachable or BadAnswer."""
        return self._ask("POST", url, most, json=data)[0]

    def part(self, url: str, start: int, end: int) -> tuple[bytes, int]:
        """(bytes start to end of the file at a URL, length of the whole file). Fewer bytes at the file's end only.

        Raises NotFound, Unreachable or BadAnswer, also when the host sends whole files only.
        """
        wanted = {"Range": f"bytes={start}-{end - 1}"}
        data, headers = self._ask("GET", url, end - start, headers=wanted)
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if place is None or int(place[1]) != start or len(data) != min(end, int(place[3])) - start:
            raise BadAnswer(f"{_host(url)} did not send the part of the file that was asked for")
        return data, int(place[3])

    def _ask(self, method: str, url: str, most: int, **how: Any) -> tuple[bytes, Mapping[str, str]]:
        host = _host(url)
        if host not in self.hosts:
            raise BadAnswer(f"{host} is not one of the archives, and is not asked")
        until, reason = self._asleep.get(host, (0.0, ""))
        if (left := until - self._clock()) > 0:
            raise Unreachable(f"{host} did not answer ({reason}; it is asked again in {left:.0f} s)")
        for _attempt in range(2):
            try:
                return self._attempt(method, url, most, REDIRECTS, **how)
            except _Failed as error:
                reason = str(error)
            except (requests.RequestException, HTTPError) as error:
                reason = _words(error)
        with self._lock:
            self._asleep[host] = (self._clock() + self.pause, reason)
        raise Unreachable(f"{host} did not answer ({reason})")

    def _attempt(self, method: str, url: str, most: int, hops: int, **how: Any) -> tuple[bytes, Mapping[str, str]]:
        host = _host(url)
        with self._session.request(
            method, url, timeout=self.timeouts, allow_redirects=False, stream=True, **how
        ) as answer:
            if answer.is_redirect:
                return self._attempt(method, self._next(url, answer.headers["Location"], hops), most, hops - 1, **how)
            if answer.status_code in (404, 410, 416):
                raise NotFound(f"{host} has no such spectrum")
            if answer.status_code >= 500 or answer.status_code in (408, 429):
                raise _Failed(f"status {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise BadAnswer(f"{host} refused the question (status {answer.status_code})")
            if "Range" in how.get("headers", {}) and answer.status_code != 206:
                raise BadAnswer(f"{host} sends whole files only, and this one is not for downloading whole")
            data = self._body(answer, most, host)
        if data[:200].lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
            title = re.search(rb"<title[^>]*>([^<]{1,80})", data, re.I)
            said = f' ("{title[1].decode(errors="replace").strip()}")' if title else ""
            raise BadAnswer(f"{host} answered with a web page{said} instead of a spectrum; try again later")
        return data, answer.headers

    def _next(self, url: str, location: str, hops: int) -> str:
        try:
            there = urljoin(url, location)
        except ValueError as error:
            raise BadAnswer(f"{_host(url)} redirects to what is no address: refused") from error
        if hops <= 0:
            raise BadAnswer(f"{_host(url)} redirects in circles")
        if _host(there) not in self.hosts or (url.startswith("https:") and not there.startswith("https:")):
            raise BadAnswer(f"{_host(url)} redirects to {_host(there)}, which is not one of the archives: refused")
        return there

    def _body(self, answer: requests.Response, most: int, host: str) -> bytes:
        told = answer.headers.get("Content-Length") or "0"
        if not re.fullmatch(r"\d{1,18}", told, re.A):
            raise BadAnswer(f"{host} sends a Content-Length that is no number")
        length = int(told)
        end = self._clock() + self.patience
        data = bytearray()
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):  # what is there; a full chunk may never come
            data += chunk
            if len(data) > most or length > most:
                raise BadAnswer(f"{host} sends {max(length, len(data)):,} bytes; at most {most:,} are taken")
            if self._clock() > end:
                raise _Failed(f"{len(data):,} bytes in {self.patience:.0f} s")
        if len(data) < length:
            raise _Failed(f"{len(data):,} of {length:,} bytes")
        return bytes(data)


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _words(error: Exception) -> str:
    """What went wrong in a few words; the library's own text names objects and addresses in memory."""
    if isinstance(error, requests.Timeout | ReadTimeoutError) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    return "no connection" if isinstance(error, requests.ConnectionError) else "the answer broke off"
