"""What is laid over the spectrum in a real Chromium: a tap that names a line, the brush, the sky, saved pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page
from test_explorer import MODEL, shown_z, type_z

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

WHERE = """([name, x]) => {
    const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name(name).id)
    const box = view.el.getBoundingClientRect(), frame = view.frame.bbox
    return [box.x + view.frame.x_scale.compute(x), box.y + frame.top + frame.height / 2] }"""
SAMPLE, FEATURE = "90067-90000-1", 8127.4  # the first sample and its [O II] (A)
WORDS = "() => { const d = Bokeh.documents[0].get_model_by_name('title').data; return [d.about[0], d.answer[0]] }"


@pytest.fixture
def ready(page: Page) -> Page:
    """The first sample, answered, nothing looked at closely, every region shown."""
    page.locator(".headline b", has_text=SAMPLE).first.wait_for(timeout=30_000)
    page.locator(".why").first.wait_for(timeout=30_000)
    return page


def test_a_tap_on_a_feature_names_it_and_the_name_sets_z(ready: Page):
    page = ready
    type_z(page, 0.5)
    page.mouse.click(*page.evaluate(WHERE, ["flux", FEATURE + 4]))
    names = page.locator(".closeup button", has_text="[O II]")
    names.first.wait_for(timeout=15_000)
    z = float(names.first.inner_text().split()[1])
    names.first.click()
    page.wait_for_function(f"() => Math.abs(Math.expm1(({MODEL})('z slider').value) - {z}) < 1e-5")
    assert shown_z(page) == pytest.approx(FEATURE / 3728.5 - 1, abs=1e-3)
    close = page.evaluate("() => Array.from(Bokeh.documents[0].get_model_by_name('lines').data.label_close)")
    assert "[O II]" in close  # the closer look has the lines too
    page.keyboard.press("Escape")
    page.locator(".closeup").wait_for(state="hidden", timeout=15_000)


def test_the_brush_hides_a_region_and_escape_shows_it_again(ready: Page):
    page = ready
    low = "() => Array.from(Bokeh.documents[0].get_model_by_name('hidden').data.low)"
    page.evaluate(f"() => {{ ({MODEL})('brush').active = true }}")
    page.mouse.move(*page.evaluate(WHERE, ["flux", 6000]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(WHERE, ["flux", 6300]), steps=4)
    page.mouse.up()
    page.wait_for_function(f"() => ({low})().length == 1")
    assert page.evaluate(low)[0] == pytest.approx(6000, abs=15)
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => ({low})().length == 0")


def test_the_sky_is_drawn_where_it_is_and_its_names_do_not_overlap(ready: Page):
    names = ready.evaluate("""() => { const d = Bokeh.documents[0].get_model_by_name("sky names").data
        return Array.from(d.wave).map((wave, i) => [wave, d.label[i]]).filter(([, label]) => label) }""")
    assert "O₂ A band" in [name for _, name in names]
    where = [ready.evaluate(WHERE, ["flux", wave])[0] for wave, _ in names]
    assert all(b - a > 11 for a, b in pairwise(where))


def test_saved_pictures_say_what_they_show(ready: Page, tmp_path: Path):
    page = ready
    type_z(page, 0.75)
    page.evaluate("""() => { window.written = []; const fill = CanvasRenderingContext2D.prototype.fillText
        CanvasRenderingContext2D.prototype.fillText = function (t, ...at) {
            if (!this.canvas.isConnected) window.written.push(t)
            return fill.call(this, t, ...at) } }""")
    page.locator("button", has_text="more").click()
    saved = {}
    for kind in ("png", "svg"):
        with page.expect_download() as download:
            page.locator("button", has_text=kind.upper()).click()
        saved[kind] = tmp_path / f"picture.{kind}"
        download.value.save_as(saved[kind])
        assert download.value.suggested_filename.startswith(f"{SAMPLE}_QSO")
        assert download.value.suggested_filename.endswith(f"_z0.75000.{kind}")
    page.locator("button", has_text="more").click()
    about, answer = page.evaluate(WORDS)
    words = [about, answer, "lines at z = 0.750000, set by hand"]
    assert SAMPLE in about
    assert "zwarn" in answer
    assert "-matched-" in answer
    assert set(words) <= set(page.evaluate("window.written"))
    assert saved["png"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = saved["svg"].read_text()
    assert all(f">{word}</text>" in svg for word in words)
    assert svg.count("<path") > 20  # curves, not a photograph of them
    assert "<image" not in svg
