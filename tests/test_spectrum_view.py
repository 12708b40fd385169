"""What is laid over the spectrum, without a browser: own lines, cameras, sky, hidden regions, names by a tap, title."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from bokeh.events import SelectionGeometry
from makers import make_desi
from test_app import LINES, explorer, loaded, prediction, spectrum, view

from engine import Spectrum, read
from gasnet_app.keys import Keyboard
from gasnet_app.records import Record
from gasnet_app.spectrum.closeup import main_feature
from gasnet_app.spectrum.columns import arm_columns, smoothed, typed_lines
from gasnet_app.spectrum.picture import file_stem, title_words
from gasnet_app.state import Explorer

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3
HALPHA = 6564.61 * 1.1


def showing(shown: Spectrum) -> Explorer:
    e = explorer()
    e.records = MappingProxyType({shown.object_id: Record(shown.object_id, "file.fits", spectrum=shown)})
    asyncio.run(e.select(shown.object_id))
    return e


# ---- lines of one's own ----------------------------------------------------------------------------------------------


def test_a_typed_wavelength_is_a_line_that_moves_with_z_and_stays_when_the_lists_are_off():
    e = loaded()
    v = view(e)
    v.controls.own.value = "CN 3883, 4182.5"
    e.lines = "none"
    assert list(v.lines.data["name"]) == ["CN", "4182.5"]
    assert list(v.lines.data["full"]) == ["CN 3883", "4182.5 Å"]
    e.z = 0.5
    assert v.lines.data["wave"] == pytest.approx([3883 * 1.5, 4182.5 * 1.5])


@pytest.mark.parametrize("text", ["H beta", "CN 38", "3883 CN", "1e9"])
def test_what_is_no_line_is_named_with_the_form_that_would_be_one(text: str):
    v = view(loaded())
    v.controls.own.value = f"4182, {text}"
    assert text in v.status.object.replace("&#x27;", "'")
    assert "such as 4182 or CN 3883" in v.status.object
    v.controls.own.value = ""
    assert "such as" not in v.status.object
    assert typed_lines("") == ()


# ---- cameras, sky ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", ["BRZ", "BZ", "R"])
def test_single_cameras_are_drawn_behind_the_coadd_for_any_subset(tmp_path: Path, arms: str):
    (shown,) = read(make_desi(tmp_path / "coadd-main-dark-1.fits", 1, arms))
    v = view(showing(shown))
    drawn = v.arms.source.data
    gaps = int(np.isnan(drawn["flux"]).sum()) - 2
    assert gaps == (len(arms) if len(arms) > 1 else 0)
    assert v.arms.button.visible is (len(arms) > 1)
    if len(arms) > 1:
        assert v.arms.button.label == "+".join(arms)
        first = shown.arms[0]
        own = smoothed(Spectrum(first.wave, first.flux, first.ivar, object_id="arm"), 5)[0]
        assert np.array_equal(arm_columns(shown, 5)["flux"][2 : 2 + own.size], own, equal_nan=True)


def test_the_sky_is_named_and_stays_where_it_is_while_z_moves():
    e = loaded()
    v = view(e)
    before = {key: list(values) for key, values in v.sky.names.data.items()}
    e.z = 0.4
    assert {key: list(values) for key, values in v.sky.names.data.items()} == before
    assert "O₂ A band" in v.sky.bands.data["name"]
    assert "[O I] 5579" in v.sky.lines.data["name"]
    assert all(low < high for low, high in zip(v.sky.bands.data["low"], v.sky.bands.data["high"], strict=True))


# ---- hidden regions --------------------------------------------------------------------------------------------------


def brush(v: object, x0: float, x1: float, final: bool = True) -> None:
    v.hidden._brushed(SelectionGeometry(v.figure, geometry={"type": "rect", "x0": x0, "x1": x1}, final=final))


def test_the_brush_hides_regions_and_escape_shows_them_again():
    e = loaded()
    v = view(e)
    brush(v, 6600.04, 6500.0)  # from right to left
    brush(v, 5000, 5001, final=False)
    brush(v, 5000, 5000.2)  # a slip of the hand
    assert e.hidden == ((6500.0, 6600.0),)
    brush(v, 4000, 4100)
    assert list(v.hidden.source.data["low"]) == [6500.0, 4000.0]
    assert "2 regions hidden" in v.status.object
    keyboard = Keyboard(e, lambda: None, sitting=None)  # type: ignore[arg-type]
    asyncio.run(keyboard.press("Escape", e.selected))
    assert e.hidden == ()
    assert len(v.hidden.source.data["low"]) == 0


# ---- a closer look, and names ----------------------------------------------------------------------------------------


def test_a_tap_near_a_feature_offers_its_names_likeliest_first_and_a_choice_sets_z():
    e = loaded()
    v = view(e)
    assert not v.closeup.view.visible
    v.closeup.tap(HALPHA + 6)
    assert e.feature == pytest.approx(HALPHA, abs=1.5)
    assert v.closeup.view.visible
    assert v.closeup.figure.x_range.start < HALPHA < v.closeup.figure.x_range.end
    assert "Hα" in v.closeup.names.labels[0]
    assert v.closeup.names.active is None  # the answer's z is near, yet not this one
    other = next(k for k, label in enumerate(v.closeup.names.labels) if "Hα" not in label)
    v.closeup.names.active = other
    assert e.z == pytest.approx(v.closeup.offered[other].z)
    assert "by hand" in v.headline.object
    e.z = 0.3
    assert v.closeup.names.active is None


def test_a_typed_line_is_offered_too():
    e = loaded()
    v = view(e)
    v.controls.own.value = f"mine {HALPHA / 1.1002:.3f}"
    v.closeup.tap(HALPHA)
    assert any("mine" in label for label in v.closeup.names.labels)


def test_without_a_tap_the_closer_look_is_at_what_the_answer_rests_on_and_follows_the_next_object():
    e = loaded("a", "b")
    v = view(e)
    keyboard = Keyboard(e, lambda: None, sitting=None)  # type: ignore[arg-type]
    asyncio.run(keyboard.press("i", e.selected))
    assert v.closeup.wave == pytest.approx(HALPHA, abs=1.5)
    v.closeup.tap(4900)
    asyncio.run(keyboard.press("n", e.selected))
    assert e.feature is None
    assert v.closeup.wave == pytest.approx(HALPHA, abs=1.5)
    asyncio.run(keyboard.press("Escape", e.selected))
    assert not v.closeup.view.visible
    assert main_feature(explorer(), LINES) is None


def test_a_tap_without_a_spectrum_opens_nothing():
    e = explorer()
    v = view(e)
    v.closeup.tap(5000)
    assert not e.closer


# ---- z beyond the classes, the title of a picture --------------------------------------------------------------------


def test_a_z_beyond_the_classes_is_drawn_and_said_to_be_so():
    e = loaded()
    v = view(e)
    e.z = 9.5
    assert v.controls.slider.end == pytest.approx(math.log1p(9.5))
    assert "beyond the classes" in v.headline.object
    e.z = 0.1
    assert v.controls.slider.end == pytest.approx(math.log1p(v.controls.farthest()))


def test_the_title_of_a_picture_says_object_model_z_and_flags():
    e = loaded()
    e.prediction = replace(prediction(), model="sdss-test-v3")
    v = view(e)
    about, answer = title_words(e)
    assert about.startswith("751-52251-160 · SDSS · SNR")
    for word in ("GALAXY_STARFORMING (p 0.88)", "z = 0.10000 ± 0.00013", "sdss-test-v3", "zwarn 0"):
        assert word in answer
    assert v.picture.title.data["answer"] == [answer]
    assert file_stem(e) == "751-52251-160_GALAXY_STARFORMING"


def test_a_file_name_holds_nothing_that_leads_elsewhere():
    e = showing(spectrum("../../etc/<b>x y"))
    assert not set("/<> ") & set(file_stem(e))
