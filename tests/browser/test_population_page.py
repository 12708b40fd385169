"""The population page in a real Chromium: a catalogue dropped, a brush that chooses, a click that opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import galaxy, make_sdss
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

ROWS = "object_id,class,z,zerr,snr\n751-52251-160,GALAXY_STARFORMING,0.1,0.001,12\n"


def test_a_brush_chooses_in_the_table_and_a_click_opens_the_object(page: Page, served, tmp_path: Path):
    spectrum, catalogue = make_sdss(tmp_path / "spec-0751-52251-0160.fits", *galaxy()), tmp_path / "night.csv"
    catalogue.write_text(ROWS + "".join(f"far-{i},QSO,{2 + i / 100},0.01,5\n" for i in range(99)))
    page.locator("input[type=file]").set_input_files([str(spectrum), str(catalogue)])
    words = page.locator(".population-words")
    words.get_by_text("100 objects").wait_for(timeout=30_000)
    page.locator(".chosen .tabulator-row", has_text="far-1").first.wait_for(timeout=30_000)
    box = page.evaluate("""() => {
        const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name("population n(z)").id)
        const at = view.el.getBoundingClientRect(), f = view.frame
        return [at.x + f.x_scale.compute(0.05), at.x + f.x_scale.compute(0.3), at.y + f.bbox.top, f.bbox.height] }""")
    page.mouse.move(box[0], box[2] + 0.2 * box[3])
    page.mouse.down()
    page.mouse.move(box[1], box[2] + 0.8 * box[3], steps=8)
    page.mouse.up()
    words.get_by_text("1 of 100 objects").wait_for(timeout=15_000)
    rows = page.locator(".chosen .tabulator-row")
    rows.filter(has_text="751-52251-160").first.click()
    page.locator(".headline b", has_text="751-52251-160").wait_for(timeout=30_000)
    assert "Traceback" not in served.log
