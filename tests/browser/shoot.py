"""Retake the pictures of the page: `python -m tests.browser.shoot [FOLDER]`; without a folder, docs/screenshot.png."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Served

SIZES = ((1280, 720), (1440, 900), (1920, 1080))


def shoot(browser: Browser, url: str, path: Path, size: tuple[int, int], dark: bool = False) -> None:
    """One picture of the page once the saliency has come."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(url + ("?theme=dark" if dark else ""))
    page.locator(".why, .bad").first.wait_for(timeout=60_000)
    page.wait_for_timeout(2500)
    page.screenshot(path=path)
    page.close()


def main(folder: Path | None) -> None:
    """Every size in both themes into the folder, or the README's picture alone."""
    with tempfile.TemporaryDirectory() as log, sync_playwright() as playwright:
        server = Served(ROOT / "assets", Path(log) / "log.txt")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            if folder is None:
                shoot(browser, server.url, ROOT / "docs" / "screenshot.png", (1440, 900))
                return
            folder.mkdir(parents=True, exist_ok=True)
            for size in SIZES:
                for dark in (False, True):
                    name = f"{size[0]}x{size[1]}-{'dark' if dark else 'light'}.png"
                    shoot(browser, server.url, folder / name, size, dark)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
