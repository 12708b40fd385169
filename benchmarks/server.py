"""How heavy: cold start and memory of the app's server, and peak memory of the command line."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed import Numbers, fill

ROOT = Path(__file__).resolve().parents[1]


def cold_start(limit: float = 120) -> Numbers:
    """Seconds from the card's own command to the first whole page, and of a second page.

    A page whose code raises still answers 200, so the server's log is searched for a traceback.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "panel", "serve", "gasnet_app", "--address", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            while not page(port):
                if server.poll() is not None or time.perf_counter() - start > limit:
                    raise RuntimeError(f"no page from {' '.join(command)}: {tail(log)}")
                time.sleep(0.1)
            first = time.perf_counter() - start
            again = time.perf_counter()
            page(port)
            second = time.perf_counter() - again
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        if "Traceback" in tail(log):
            raise RuntimeError(f"the app raises: {tail(log)}")
    return {"cold start to first page (s)": first, "second page (s)": second}


def page(port: int) -> bool:
    """True when the app's page comes whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/gasnet_app")
        answer = connection.getresponse()
        return answer.status == 200 and b"</html>" in answer.read()
    except OSError:
        return False
    finally:
        connection.close()


def tail(log: object) -> str:
    """The end of a log file."""
    log.seek(0)  # type: ignore[attr-defined]
    return log.read().decode(errors="replace")[-2000:]  # type: ignore[attr-defined]


def peak_memory(pid: int) -> float:
    """Largest resident size of a running process, GB; NaN where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")), float("nan"))


def command_line(model: str, samples: list[Path], n: int = 200) -> Numbers:
    """`gasnet classify` on n files in a process of its own: seconds with its start, and its peak memory (GB)."""
    with tempfile.TemporaryDirectory() as folder:
        night = fill(Path(folder) / "night", samples, n)
        options = ["--model", model, "--output", f"{folder}/out.parquet"]
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "engine.cli", "classify", str(night), *options], cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"gasnet classify ended with {process.returncode}")
        spent = time.perf_counter() - start
    return {f"gasnet classify, {n} files (s)": spent, "gasnet classify peak memory (GB)": usage.ru_maxrss / 2**20}
