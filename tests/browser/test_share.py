"""A page of `gasnet report`, opened as a file in a real Chromium to which every request is forbidden."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route
from test_app import prediction, spectrum
from test_explorer import assert_lines_at, lines, shown_z, type_z
from test_object_page import witnesses

from gasnet_app.object_page import write_page
from gasnet_app.spectrum.columns import flux_columns

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HOSTILE = "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of a galaxy; ends in an error when a script failed or anything but the file itself was asked for."""
    path = tmp_path_factory.mktemp("shared") / "page.html"
    write_page(path, spectrum(HOSTILE, notes=(HOSTILE,)), prediction(), *witnesses())
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    wrong: list[str] = []

    def refuse(route: Route) -> None:
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    context.route(lambda url: url != path.as_uri(), refuse)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function("() => Bokeh.documents.length && Bokeh.documents[0].is_idle", timeout=60_000)
    yield page
    context.close()
    assert wrong == []


def test_the_page_opens_without_a_server_and_shows_lines_at_the_answer(page: Page):
    assert page.locator(".class-name").inner_text() == "GALAXY_STARFORMING"
    assert page.locator("canvas").count() > 2
    assert_lines_at(page, 0.1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_a_file_says_is_shown_and_not_run(page: Page):
    assert page.evaluate("window.bad") is None
    assert page.locator("h1").inner_text() == HOSTILE


def test_dragging_the_slider_moves_the_lines_and_the_marker(page: Page):
    box = page.locator(".noUi-handle").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=5)
    page.mouse.up()
    assert shown_z(page) > 0.15
    assert_lines_at(page, shown_z(page))
    marker = page.evaluate('() => Bokeh.documents[0].get_model_by_name("marker").location')
    assert marker == pytest.approx(shown_z(page))


def test_a_typed_z_and_a_rival_of_p_z_move_the_lines(page: Page):
    type_z(page, 0.25)
    assert_lines_at(page, 0.25)
    page.locator("button[data-z]").nth(1).click()
    assert shown_z(page) == pytest.approx(0.3, abs=2e-3)
    assert_lines_at(page, shown_z(page))


def test_other_sets_of_lines_come_at_the_z_that_is_shown(page: Page):
    type_z(page, 0.2)
    choice = page.locator("select").first
    major = len(lines(page)["rest"])
    choice.select_option(label="all lines")
    assert len(lines(page)["rest"]) > major
    assert_lines_at(page, 0.2)
    choice.select_option(label="no lines")
    assert lines(page)["rest"] == []
    choice.select_option(label="major lines")
    assert_lines_at(page, 0.2)


def test_smoothing_in_the_browser_is_the_apps(page: Page):
    wanted = flux_columns(spectrum(), 5)
    page.locator("select").nth(1).select_option(label="box 5 px")
    for key in ("flux", "low", "high"):
        there = page.evaluate(
            '(key) => Array.from(Bokeh.documents[0].get_model_by_name("trace").data_source.data[key])', key
        )
        good = np.isfinite(wanted["flux"])
        assert np.array(there, dtype=float)[good] == pytest.approx(wanted[key][good], rel=1e-6)
    page.locator("select").nth(1).select_option(label="no smoothing")
