"""python -m benchmarks explorer: how quick the page is in a real Chromium, and how many pages one server bears."""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from rich.table import Table

from benchmarks.record import RESULTS, console, machine, read, write
from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Served, opened

# One step of the slider per frame, as a hand does it; frames are counted by the browser.
DRAG = """(frames) => new Promise((done) => {
    const slider = Bokeh.documents[0].get_model_by_name("z slider"), from = slider.value, times = []
    const step = (now) => {
        times.push(now)
        if (times.length > frames) { slider.value = from; return done(times) }
        slider.value = from + 2e-4 * times.length
        requestAnimationFrame(step)
    }
    requestAnimationFrame(step) })"""
# From a key to the picture of another object with its class: until the figure has painted what came.
NEXT = """(key) => new Promise((done, failed) => {
    const deep = (selector, root = document) => {
        const here = root.querySelector(selector)
        if (here) return here
        for (const el of root.querySelectorAll("*")) {
            const found = el.shadowRoot && deep(selector, el.shadowRoot)
            if (found) return found
        }
        return null
    }
    const flux = Bokeh.documents[0].get_model_by_name("flux"), headline = deep(".headline")
    const id = () => headline.shadowRoot.querySelector("b")?.textContent
    const before = id(), began = performance.now()
    document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}))
    const look = () => {
        if (performance.now() - began > 20000) return failed(new Error("no next object"))
        if (id() == before || !deep(".class-name")) return setTimeout(look, 4)
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)))
    }
    look() })"""


def settle(page: Page) -> None:
    """Wait until every sample is answered."""
    page.locator(".why").first.wait_for(timeout=120_000)
    page.wait_for_timeout(3000)


def frame_rate(page: Page, frames: int = 90) -> float:
    """Frames a second while z is dragged: the median over all frames."""
    times = page.evaluate(DRAG, frames)
    return 1000 / statistics.median(b - a for a, b in itertools.pairwise(times))


def steps(page: Page, keys: str, pause: int) -> list[float]:
    """Milliseconds from each key press to the next object on the screen, with a pause (ms) between them."""
    found = []
    for key in keys:
        found.append(float(page.evaluate(NEXT, key)))
        page.wait_for_timeout(pause)
    return found


def resident(pid: int) -> float:
    """Memory of a process, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def one_page(browser: Browser, server: Served) -> dict[str, float]:
    """What one reader alone waits for."""
    with opened(browser, server) as page:
        settle(page)
        rate = frame_rate(page)
        ahead = steps(page, "nnnnnn", 1500)  # the next one was asked about meanwhile
        back = steps(page, "pppp", 300)
        page.reload()
        settle(page)
        hasty = steps(page, "nnnnnnn", 0)  # faster than looking ahead
    return {
        "z drag (frames/s)": rate,
        "next object, looked ahead (ms)": statistics.median(ahead),
        "back to an object (ms)": statistics.median(back),
        "next object, not asked about yet (ms)": statistics.median(hasty[2:]),
    }


def many_pages(browser: Browser, server: Served, n: int) -> dict[str, float]:
    """n sessions at once that take turns: a key every half second on each, as n inspectors would."""
    before = resident(server.process.pid)
    contexts = []
    for _ in range(n):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        page.goto(server.url)
        page.locator(".why").first.wait_for(timeout=120_000)
        contexts.append((context, page))
    contexts[-1][1].wait_for_timeout(5000)
    held = resident(server.process.pid)
    waits = [wait for _ in range(4) for _, page in contexts for wait in steps(page, "n", 50)]
    for context, _ in contexts:
        context.close()
    return {
        f"next object, {n} sessions, median (ms)": statistics.median(waits),
        f"next object, {n} sessions, 95 % (ms)": sorted(waits)[int(0.95 * len(waits))],
        f"memory a session, of {n} (MB)": (held - before) / n,
    }


def measure(sessions: int) -> dict[str, Any]:
    """Every number of the table. Raises RuntimeError where there is no Chromium."""
    if CHROMIUM is None:
        raise RuntimeError("no Chromium on this machine: install it with `apt install chromium`")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Served(ROOT / "assets", Path(folder) / "log.txt", threads=os.cpu_count() or 1)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            numbers = one_page(browser, server) | (many_pages(browser, server, sessions) if sessions else {})
        finally:
            browser.close()
            server.stop()
    return {**machine(), "browser and server": "on the same cores", "numbers": numbers}


def show(report: dict[str, Any]) -> None:
    """Print a report."""
    table = Table("what", "value", title=f"{report['cores']} cores, load {report['load average at the end']}")
    for what, value in report["numbers"].items():
        table.add_row(what, f"{value:.0f}")
    console().print(table)


def main(arguments: list[str]) -> None:
    """Time the page in Chromium: frames of a z drag, the next object, many sessions at once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks explorer", description=main.__doc__)
    parser.add_argument("--sessions", type=int, default=10, help="pages open at once; 0 leaves this out")
    parser.add_argument("--print", type=Path, dest="kept", metavar="JSON", help="print a report written earlier")
    options = parser.parse_args(arguments)
    if not options.kept:
        options.kept = RESULTS / f"explorer-{time.strftime('%Y-%m-%d')}.json"
        write(options.kept, measure(options.sessions))
    show(read(options.kept))
