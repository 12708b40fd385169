"""The page of an evaluation, opened as a file in a real Chromium without network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from test_evaluation import evaluation, mixed

from engine.evaluate import document
from gasnet_app.evaluation_page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_every_figure_is_drawn_when_it_comes_into_view_without_asking_any_host(browser: Browser, tmp_path: Path):
    path = tmp_path / "index.html"
    write_page(document(evaluation(mixed(200))), path)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    count = "(what) => document.querySelectorAll(what).length"
    figures = page.evaluate(count, ".plot")
    page.wait_for_timeout(500)
    assert page.evaluate(count, ".plot.drawn") < figures / 2, "the page opens without drawing what is not seen"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("() => document.querySelectorAll('.plot:not(.drawn)').length === 0", timeout=120_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert wrong == []
