"""A real server, started with the card's own command, and a real Chromium that may talk to it alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Served:
    """A running server: its address and its log."""

    def __init__(
        self, assets: Path, log: Path, threads: int = 1, options: tuple[str, ...] = (), **settings: str
    ) -> None:
        self.port, self.log_path = free_port(), log
        self.url = f"http://127.0.0.1:{self.port}/gasnet_app"
        panel = Path(sys.executable).with_name("panel")
        command = [str(panel), "serve", "gasnet_app", "--port", str(self.port),
                   "--allow-websocket-origin", f"127.0.0.1:{self.port}", *options]  # fmt: skip
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "GASNET_ASSETS": str(assets), "PYTHONUNBUFFERED": "1",
               **settings}  # fmt: skip
        with log.open("w") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True)
        self._wait(60)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20).close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"the server did not start:\n{self.log}")

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)


# Not for the whole session: while it is open, Playwright keeps an event loop running, which other tests need to own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install it with `apt install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    server = Served(ROOT / "assets", folder / "log.txt")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """One open page that a module's tests share; ends in an error when a script failed or asked another host."""
    with opened(browser, served) as page:
        yield page


@pytest.fixture
def page_of_its_own(browser: Browser, served: Served) -> Iterator[Page]:
    """A fresh page for a test that spoils it."""
    with opened(browser, served) as page:
        yield page


@contextmanager
def opened(browser: Browser, served: Served, query: str = "", ready: str = ".class-name") -> Iterator[Page]:
    """A page in a window of its own, once the first answer, or what is ready, is shown; query: behind the address."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"script error: {error}"))
    page.on("request", lambda request: errors.append(f"asked {request.url}") if _outside(request.url) else None)
    page.goto(served.url + query)
    page.locator(ready).first.wait_for(timeout=60_000)
    yield page
    context.close()
    assert errors == []


def _outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
