"""The explorer in a real Chromium: files dropped, lines that follow z, peaks, bad files, both themes, offline."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from makers import galaxy, make_sdss
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MODEL = "(name) => Bokeh.documents[0].get_model_by_name(name)"


def drop(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files([str(path) for path in paths])


def lines(page: Page) -> dict[str, list[float]]:
    """Rest and observed wavelengths of the lines as the browser holds them now."""
    return page.evaluate("""() => {
        const d = Bokeh.documents[0].get_model_by_name("lines").data
        return {rest: Array.from(d.rest), wave: Array.from(d.wave)} }""")


def assert_lines_at(page: Page, z: float, tolerance: float = 1e-6) -> None:
    drawn = lines(page)
    assert len(drawn["rest"]) > 10
    assert drawn["wave"] == pytest.approx([rest * (1 + z) for rest in drawn["rest"]], rel=tolerance)


def shown_z(page: Page) -> float:
    return math.expm1(page.evaluate('() => Bokeh.documents[0].get_model_by_name("z slider").value'))


def type_z(page: Page, z: float) -> None:
    box = page.locator("input[placeholder=z]")
    box.fill(str(z))
    box.press("Enter")
    page.wait_for_function(f"() => Math.abs(Math.expm1(({MODEL})('z slider').value) - {z}) < 1e-6")


@pytest.fixture
def sdss(tmp_path: Path) -> Path:
    return make_sdss(tmp_path / "spec-0751-52251-0160.fits", *galaxy())


def test_the_first_sample_is_shown_with_its_class_and_lines_in_place(page: Page):
    assert page.locator(".class-name").first.inner_text()
    assert_lines_at(page, shown_z(page))
    assert page.locator(".z-value").first.inner_text().startswith("z = ")
    page.locator(".why").first.wait_for(timeout=30_000)


def test_a_dropped_file_is_classified_and_shown(page: Page, sdss: Path):
    drop(page, sdss)
    page.locator(".headline b", has_text="751-52251-160").wait_for(timeout=30_000)
    page.locator(".class-name").first.wait_for(timeout=30_000)
    assert page.locator(".objects .tabulator-row", has_text="751-52251-160").count() == 1
    assert_lines_at(page, shown_z(page))


def test_dragging_z_moves_the_lines_without_asking_the_server(page_of_its_own: Page):
    page = page_of_its_own
    before = lines(page)
    page.evaluate("""() => { window.sent = 0; const send = WebSocket.prototype.send
        WebSocket.prototype.send = function (m) { window.sent += 1; window.blocked || send.call(this, m) } }""")
    page.evaluate("() => { window.blocked = true }")  # nothing reaches the server from here on
    handle = page.locator(".noUi-handle").first
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=5)
    page.mouse.move(x + 60, y, steps=5)
    during = lines(page)
    assert during["wave"] != before["wave"]
    assert_lines_at(page, shown_z(page))
    page.mouse.up()
    assert_lines_at(page, shown_z(page))


def test_a_typed_z_and_the_fine_steps_move_the_lines(page: Page):
    type_z(page, 0.3)
    assert_lines_at(page, 0.3)
    page.keyboard.press("Escape")
    page.locator("button", has_text="1e-5").click()
    page.locator("button", has_text="+").click()
    assert_lines_at(page, 0.30001, 1e-9)
    rest = page.evaluate(f"() => ({MODEL})('rest').start * (1 + 0.30001) - ({MODEL})('flux').x_range.start")
    assert abs(rest) < 0.01


def test_a_click_on_a_peak_of_p_z_puts_the_lines_there(page_of_its_own: Page):
    page = page_of_its_own
    page.locator(".why").first.wait_for(timeout=30_000)
    peak = page.evaluate(f"""() => ({MODEL})('p(z)').renderers.map((r) => r.data_source.data)
        .filter((d) => d.z.length > 0 && d.z.length < 4)[0].z[0]""")
    type_z(page, peak + 0.2)
    page.wait_for_timeout(300)
    where = page.evaluate("""(z) => {
        const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name("p(z)").id)
        const box = view.el.getBoundingClientRect(), frame = view.frame.bbox
        return [box.x + view.frame.x_scale.compute(z), box.y + frame.top + frame.height / 2] }""", peak)  # fmt: skip
    page.mouse.click(*where)
    page.wait_for_function(f"() => Math.abs(Math.expm1(({MODEL})('z slider').value) - {peak}) < 1e-5")
    assert_lines_at(page, peak)


def test_bad_files_are_named_with_their_reason_and_the_page_goes_on(page: Page, tmp_path: Path, sdss: Path):
    whole = sdss.read_bytes()
    bad = {
        "empty.fits": b"",
        "words.fits": b"this is a letter, not a spectrum\n" * 40,
        "cut.fits": whole[: len(whole) // 2],
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    drop(page, *(tmp_path / name for name in bad))
    for name in bad:
        row = page.locator(".failures li", has_text=name)
        row.wait_for(timeout=30_000)
        assert len(row.inner_text()) > len(name) + 15
    drop(page, sdss)
    page.locator(".headline b", has_text="751-52251-160").wait_for(timeout=30_000)
    page.locator(".class-name").first.wait_for(timeout=30_000)


def test_keys_step_through_objects_but_never_while_typing(page_of_its_own: Page):
    page = page_of_its_own
    first = page.locator(".headline b").first.inner_text()
    page.keyboard.press("n")
    page.locator(".headline b").filter(has_not_text=first).first.wait_for(timeout=15_000)
    page.keyboard.press("p")
    page.locator(".headline b", has_text=first).first.wait_for(timeout=15_000)
    second = page.locator(".headline b").first.inner_text()
    page.keyboard.press("/")
    page.wait_for_timeout(500)
    page.keyboard.type("np")
    page.wait_for_timeout(500)
    assert page.locator(".headline b").first.inner_text() == second


def test_the_browser_holds_as_many_figures_after_many_objects_as_before(page: Page):
    figures = "() => [...Bokeh.documents[0].all_models].filter(m => m.type == 'Figure').length"
    before = page.evaluate(figures)
    page.locator("input[placeholder^='id, file']").fill("")
    page.locator(".objects .tabulator-row").nth(4).click()
    page.wait_for_timeout(1500)
    page.locator(".objects .tabulator-row").nth(5).click()
    page.wait_for_timeout(1500)
    assert page.evaluate(figures) == before


def test_the_plots_follow_the_theme(page: Page):
    colour = (
        f"() => {{ const f = ({MODEL})('flux'); return [f.below[0].axis_label_text_color, f.background_fill_color] }}"
    )
    light = page.evaluate(colour)
    page.locator("button[aria-label*=heme]").first.click()
    page.wait_for_function(f"(old) => JSON.stringify(({colour})()) != JSON.stringify(old)", arg=light)
    page.wait_for_function(f"() => JSON.stringify(({MODEL})('trace').glyph.line_color).includes('#e4e7ea')")


def test_the_page_fits_without_scrolling(page: Page):
    size = page.evaluate(
        "() => [document.documentElement.scrollHeight, innerHeight, document.documentElement.scrollWidth, innerWidth]"
    )
    assert size[0] <= size[1]
    assert size[2] <= size[3]


def test_the_server_had_nothing_to_complain_about(served, page: Page):
    """Of our own code: a tab that closes in the middle of a message is told by the server's library."""
    ours = [
        line for line in served.log.splitlines() if 'File "' in line and ("gasnet_app/" in line or "engine/" in line)
    ]
    assert ours == []


def test_the_card_of_the_model_in_use_opens_from_the_header(page_of_its_own: Page) -> None:
    page = page_of_its_own
    page.locator(".model").get_by_text("matched").click()
    card = page.get_by_role("dialog")
    expect(card.get_by_text("Known limits")).to_be_attached(timeout=60_000)
    expect(card.get_by_text("member-0.safetensors").first).to_be_attached()
