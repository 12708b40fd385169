"""What a user waits for: from a file dropped on the page to its class, p(z) and saliency, in a real Chromium."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from astropy.io import fits
from playwright.sync_api import Page, sync_playwright

from benchmarks.server import peak_memory
from benchmarks.speed import Numbers
from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Served

DROPS = 7
PDF = '() => Bokeh.documents[0].get_model_by_name("p(z)").visible'


def dropped_files(samples: list[Path]) -> Numbers:
    """Median seconds over DROPS warm drops of one file each; and the server's peak memory after them (GB).

    Nothing is measured, and that is said, where there is no Chromium.
    """
    if CHROMIUM is None:
        print("no Chromium on this machine: times in the browser are left out")
        return {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Served(ROOT / "assets", Path(folder) / "log.txt", threads=os.cpu_count() or 1)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(server.url)
            page.locator(".why").first.wait_for(timeout=60_000)
            page.wait_for_timeout(3000)  # the rest of the samples is answered meanwhile
            times = [_drop(page, samples[0], Path(folder), k) for k in range(DROPS + 2)][2:]
            peak = peak_memory(server.process.pid)
        finally:
            browser.close()
            server.stop()
    names = ("dropped file to class (s)", "dropped file to p(z) (s)", "dropped file to saliency (s)")
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return {**dict(zip(names, medians, strict=True)), "server peak memory in use (GB)": peak}


def _drop(page: Page, sample: Path, folder: Path, k: int) -> tuple[float, float, float]:
    """Drop the sample under a new fiber number and watch the page."""
    path = folder / f"drop-{k}.fits"
    path.write_bytes(sample.read_bytes())
    fits.setval(path, "FIBERID", value=5000 + k)
    with fits.open(path, mode="update") as hdus:
        hdus[2].data["FIBERID"] = 5000 + k
        name = f"{hdus[0].header['PLATEID']}-{hdus[0].header['MJD']}-{5000 + k}"
    start = time.perf_counter()
    page.locator("input[type=file]").set_input_files(str(path))
    page.locator(".headline b", has_text=name).wait_for(timeout=30_000)
    page.locator(".class-name").first.wait_for(timeout=30_000)
    to_class = time.perf_counter() - start
    page.wait_for_function(PDF)
    to_pdf = time.perf_counter() - start
    page.locator(".why").first.wait_for(timeout=30_000)
    return to_class, to_pdf, time.perf_counter() - start
