"""The page Why in a real Chromium: hide a line, drag the noise, open a neighbour; each answer follows on the screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from test_explorer import MODEL
from test_spectrum_page import WHERE

from tests.browser.conftest import ROOT, Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(ROOT / "assets", tmp_path_factory.mktemp("served") / "log.txt")
    server.url += "?tab=why&id=90067-90000-9"
    yield server
    server.stop()


def test_hide_brush_add_noise_and_open_a_neighbour(page_of_its_own: Page):
    page = page_of_its_own
    expect(page.locator(".headline b")).to_have_text("90067-90000-9", timeout=60_000)
    expect(page.locator(".flips")).to_contain_text("times the noise", timeout=60_000)
    expect(page.locator("table.members svg")).to_have_count(10, timeout=60_000)

    page.locator(".bk-btn", has_text="Hα").first.click()
    expect(page.locator(".changed")).to_contain_text("Without 6", timeout=30_000)
    page.locator(".bk-btn", has_text="show all").first.click()
    expect(page.locator(".changed")).to_contain_text("the answer follows", timeout=30_000)

    page.evaluate(f"() => {{ ({MODEL})('brush').active = true }}")
    page.mouse.move(*page.evaluate(WHERE, ["flux", 6550]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(WHERE, ["flux", 6850]), steps=4)
    page.mouse.up()
    expect(page.locator(".changed")).to_contain_text("Without 65", timeout=30_000)
    page.keyboard.press("Escape")
    expect(page.locator(".changed")).to_contain_text("the answer follows", timeout=30_000)

    handle = page.locator(".why-page .noUi-handle")
    handle.focus()
    for _ in range(6):
        handle.press("PageUp")
    expect(page.locator(".changed")).to_contain_text("times the noise:", timeout=30_000)

    row = page.locator(".nearest .tabulator-row", has_text="90067").first
    other = row.locator(".tabulator-cell", has_text="90067").inner_text()
    row.click()
    expect(page.locator(".headline b")).to_have_text(other, timeout=30_000)
    expect(page.locator(".changed")).to_contain_text("the answer follows", timeout=30_000)
