"""Inspectors without a browser: they open the page as one does, and speak Bokeh's protocol over its websocket."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.makers import galaxy, make_sdss

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # seconds for anything that a visitor waits for


class Serving:
    """`gasnet serve` on a port that stays the same over kills and starts. Its log is of lines of JSON."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url, self.log_path = f"http://127.0.0.1:{self.port}", folder / "server.log"
        self._settings = {"GASNET_HOME": str(folder / "home"), **settings}
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = [sys.executable, "-m", "engine.cli", "serve", "--port", str(self.port), "--log", "json"]
        with self.log_path.open("a") as out:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self._settings}, stdout=subprocess.DEVNULL, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/metrics", timeout=10).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the server did not start:\n{self.log_path.read_text()}") from None
                time.sleep(0.1)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it and whatever it started; SIGKILL leaves it no time."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, how)
        self._process.wait(PATIENCE)

    @property
    def resident(self) -> float:
        """Memory of the server's process, MB: what /metrics says."""
        return self.metric("process_resident_memory_bytes") / 2**20

    def metric(self, name: str) -> float:
        """One number of /metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found, f"no {name} in /metrics"
        return float(found[1])

    @property
    def complaints(self) -> list[str]:
        """Lines of the log that tell of a fault."""
        lines = [line for line in self.log_path.read_text().splitlines() if line.strip()]
        return [line for line in lines if not line.startswith("{") or '"level": "ERROR"' in line]


def make_assets(folder: Path, n_spectra: int, models: str = "sdss-*") -> Path:
    """An assets folder with the models that ship and n spectra of objects with names of their own."""
    (folder / "models").mkdir(parents=True)
    (folder / "spectra").mkdir()
    for entry in (ROOT / "assets").iterdir():
        if entry.name not in ("models", "spectra"):
            (folder / entry.name).symlink_to(entry)
    for model in (ROOT / "assets" / "models").glob(models):
        (folder / "models" / model.name).symlink_to(model)
    snr = np.random.default_rng(0).uniform(2, 20, n_spectra)
    for k in range(n_spectra):
        spectrum = galaxy(z=0.02 + 0.4 * k / n_spectra, snr=float(snr[k]), seed=k)
        make_sdss(folder / "spectra" / f"spec-{k:03d}.fits", *spectrum, ids=(751, 52251, k + 1))
    return folder


@dataclass
class Visitor:
    """One session that inspects. What the page says of a grade is noted as a reader would see it.

    acknowledged : (object, quality) of every grade that the page called saved, in order
    """

    name: str
    shown: str = ""
    problem: str = ""
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    _drawn: str = ""  # the object whose spectrum stands in the figure
    _answered: bool = False  # and whether its answer is there
    _saved: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, url: str) -> None:
        """Open the page Inspect and say who is grading; returns when the first object and its answer are there."""
        page = await asyncio.to_thread(_get, f"{url}/gasnet_app?tab=inspect")
        token = re.search(r'"token":\s*"([^"]+)"', page)
        assert token, "the page brings no session"
        request = HTTPRequest(f"{url.replace('http', 'ws', 1)}/gasnet_app/ws", headers={"Origin": url})
        self._socket: WebSocketClientConnection = await websocket_connect(
            request, subprotocols=["bokeh", token[1]], max_message_size=2**30
        )
        await self._message()
        await self._send("PULL-DOC-REQ", {})
        self._take_document(await self._message())
        self._reading = asyncio.create_task(self._read())
        ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
        await self._patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready})
        await self._until(lambda: self._stands, "the first object")
        await self._patch({"kind": "ModelChanged", "model": {"id": self._name_box}, "attr": "value", "new": self.name})

    async def close(self) -> None:
        """Leave as a browser does whose tab is closed."""
        self._reading.cancel()
        self._socket.close()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def press(self, key: str) -> None:
        """Press a key."""
        pressed = {"type": "map", "entries": [["key", key], ["shown", self.shown]]}
        values = {"type": "map", "entries": [["model", {"id": self._keyboard}], ["data", pressed]]}
        event = {"type": "event", "name": "data_event", "values": values}
        await self._patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event})

    async def go(self, key: str) -> float:
        """Press a key that leads to another object; seconds until its spectrum and its answer are there."""
        before, began = self.shown, time.perf_counter()
        await self.press(key)
        await self._until(lambda: self.shown != before and self._stands, f"another object than {before}")
        return time.perf_counter() - began

    async def grade(self, quality: int) -> float:
        """Grade the object that is shown; seconds until the page calls it saved. Raises AssertionError when refused."""
        graded, began = self.shown, time.perf_counter()
        self._saved = self.problem = ""
        await self.press(str(quality))
        await self._until(lambda: self._saved.startswith(f"{graded} saved") or self.problem, f"{graded} saved")
        assert not self.problem, self.problem
        self.acknowledged.append((graded, quality))
        return time.perf_counter() - began

    async def moved(self) -> None:
        """Wait until another object than the one graded last stands there with its answer."""
        graded = self.acknowledged[-1][0]
        await self._until(lambda: self.shown != graded and self._stands, f"the object after {graded}")

    # ---- the protocol ------------------------------------------------------------------------------------------------

    @property
    def _stands(self) -> bool:
        return bool(self.shown) and self._drawn == self.shown and self._answered

    async def _until(self, true: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert not self._reading.done(), f"{self.name}: the connection was lost, waiting for {what}"
            assert time.monotonic() < end, f"{self.name}: waited {PATIENCE:.0f} s for {what}; {self.problem}"
            self._news.clear()
            waiting = asyncio.create_task(self._news.wait())
            await asyncio.wait({waiting, self._reading}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    async def _send(self, kind: str, content: Mapping[str, Any]) -> None:
        for part in ({"msgid": os.urandom(8).hex(), "msgtype": kind}, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _patch(self, event: Mapping[str, Any]) -> None:
        await self._send("PATCH-DOC", {"events": [event]})

    async def _message(self) -> dict[str, Any]:
        """The content of one message; buffers are let pass."""
        parts = [await self._part() for _ in range(3)]
        header = json.loads(parts[0])
        for _ in range(2 * header.get("num_buffers", 0)):
            await self._part()
        assert header["msgtype"] != "ERROR", f"{self.name}: the server says {parts[2]!r}"
        return dict(json.loads(parts[2]))

    async def _part(self) -> str | bytes:
        part = await self._socket.read_message()
        if part is None:
            raise ConnectionError("the server closed the connection")
        return part

    async def _read(self) -> None:
        while True:
            for event in (await self._message()).get("events", ()):
                self._see(event)
            self._news.set()

    def _take_document(self, document: Mapping[str, Any]) -> None:
        """Find the two models that a visitor speaks to."""
        for model in _models(document):
            attributes = model.get("attributes", {})
            if attributes.get("placeholder") == "your name":
                self._name_box = model["id"]
            if attributes.get("data", {}).get("name", "").startswith("Keyboard"):
                self._keyboard = model["id"]

    def _see(self, event: Mapping[str, Any]) -> None:
        attribute, new = event.get("attr"), event.get("new")
        if attribute == "shown":
            self.shown, self._answered = str(new), False
        elif attribute == "tags" and isinstance(new, list) and len(new) == 1:
            self._drawn = str(new[0])
        elif attribute == "text" and isinstance(new, str):
            text = html.unescape(new)
            if 'class="class-name"' in text:
                self._answered = True
            if found := re.fullmatch(r'<div class="(bad|quiet)" role="status">(.*)</div>', text):
                said = html.unescape(found[2])
                self._saved, self.problem = ("", said) if found[1] == "bad" else (said, "")


def _models(value: Any) -> Iterator[dict[str, Any]]:
    """Every model of a document's JSON."""
    if isinstance(value, dict):
        if "id" in value and "attributes" in value:
            yield value
        for inner in value.values():
            yield from _models(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _models(inner)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())
