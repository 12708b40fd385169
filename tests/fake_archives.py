"""Archives played by a server on this machine: SDSS's tree, DESI's tree with ranges, SPARCL; and every way to fail."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import numpy as np
from makers import galaxy

NAMES = ("sdss", "desi", "sparcl")


class Archives:
    """What the server serves. files: bytes by path; records: SPARCL's; faults: path or * -> how it fails."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts
        self.files: dict[str, bytes] = {}
        self.records: list[dict] = []
        self.faults: dict[str, str] = {}
        self.asked: list[str] = []
        self.parts: list[int] = []
        self.release = threading.Event()

    @property
    def sites(self) -> dict[str, str]:
        return {name: f"http://{host}/{name}" for name, host in zip(NAMES, self.hosts, strict=True)}

    @property
    def setting(self) -> str:
        """The same as GASNET_ARCHIVES says it."""
        return ",".join(f"{name}={url}" for name, url in self.sites.items())


def sparcl_record(specid: int, release: str = "DESI-DR1", **fields: object) -> dict:
    """One spectrum as SPARCL keeps it."""
    wave, flux, ivar = galaxy()
    arrays = {"wavelength": wave, "flux": flux, "ivar": ivar, "mask": np.zeros(wave.size, int)}
    row = {"sparcl_id": f"{release}-{specid}-{fields.get('program', '')}", "specid": specid,
           "targetid": specid, "data_release": release, "spectype": "GALAXY", "redshift": 0.1, "redshift_err": 1e-4,
           "redshift_warning": 0, "ra": 150.5, "dec": 2.25, **fields}  # fmt: skip
    return {**row, **{name: values.tolist() for name, values in arrays.items()}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archives: Archives

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._do(None)

    def do_POST(self) -> None:
        self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _do(self, question: object) -> None:
        archives, path = self.archives, urlsplit(self.path).path
        archives.asked.append(path)
        fault = archives.faults.get(path) or archives.faults.get("*", "")
        if fault.startswith("once "):
            archives.faults = {}
            fault = fault.removeprefix("once ")
        data = archives.files.get(path) if question is None else self._sparcl(path, question)
        if fault == "stall":
            archives.release.wait(20)
            self.close_connection = True
        elif fault.startswith("redirect "):
            self._send(302, b"", Location=fault.removeprefix("redirect "))
        elif fault == "html":
            self._send(200, b"<!DOCTYPE html><html><title>Maintenance</title></html>")
        elif fault == "drip":
            self._drip()
        elif fault.isdigit():
            self._send(int(fault), b"<html>Error</html>")
        elif data is None:
            self._send(404, b"<html>Not Found</html>")
        elif fault == "truncate":
            self._send(200, data[: len(data) // 2], length=len(data))
        elif fault == "silently truncate":
            self._send(200, data[: len(data) // 2])
        elif "Range" in self.headers and fault != "whole":
            start, end = map(int, re.findall(r"\d+", self.headers["Range"]))
            part = data[start : end + 1]
            archives.parts.append(len(part))
            self._send(206, part, **{"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"})
        else:
            self._send(200, data)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(50):
            if self.archives.release.wait(0.05):
                break
            self.wfile.write(b"S")
        self.close_connection = True

    def _sparcl(self, path: str, question: object) -> bytes | None:
        records = self.archives.records
        if path == "/sparcl/find/":
            assert isinstance(question, dict)
            wanted = {key: values for key, *values in question["search"]}
            found = [r for r in records if all(r[key] in values for key, values in wanted.items())]
            fields = question["outfields"]
        elif path == "/sparcl/spectras/":
            found = [r for r in records if r["sparcl_id"] in question]  # type: ignore[operator]
            fields = parse_qs(urlsplit(self.path).query)["include"][0].split(",")
        else:
            return None
        told = [{k: r[k] for k in fields if k in r} | {"_dr": r["data_release"]} for r in found]
        return json.dumps([{"status": {"success": True}}, *told]).encode()

    def _send(self, status: int, data: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        if length is not None:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A client that hangs up early is part of the play."""


@contextmanager
def playing() -> Iterator[Archives]:
    """Three servers, one of each archive, on free ports of this machine."""
    handler = type("Handler", (_Handler,), {})
    servers = [_Server(("127.0.0.1", 0), handler) for _ in NAMES]
    archives = Archives([f"127.0.0.1:{server.server_address[1]}" for server in servers])
    handler.archives = archives  # type: ignore[attr-defined]
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True) for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        with mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}):
            yield archives
    finally:
        archives.release.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
