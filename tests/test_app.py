"""The screen without a browser: what the session knows, what the views hold, what may come in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bokeh.models import Span
from makers import galaxy, make_sdss

from engine import (
    CrossCheck,
    Ensemble,
    Fit,
    Label,
    ModelError,
    Prediction,
    Saliency,
    Spectrum,
    SpectrumError,
    ZWarn,
    confusion,
    load_lines,
    load_survey,
    pull,
    same_z,
    standing,
    strongest,
    why,
)
from gasnet_app import theme
from gasnet_app.class_plot import class_rows
from gasnet_app.intake import Upload, open_upload, safe_name, uploads
from gasnet_app.model_view import ModelView
from gasnet_app.objects_view import ObjectsView, failures_html, table
from gasnet_app.pdf_plot import pdf_columns
from gasnet_app.records import Answer, Record
from gasnet_app.redshift_view import RedshiftView, choose_peak, flags_html
from gasnet_app.spectrum import SpectrumView
from gasnet_app.spectrum.columns import flux_columns, flux_label, robust_limits, smoothed
from gasnet_app.state import Explorer
from gasnet_app.words import headline, z_text
from gasnet_app.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3

SURVEY = load_survey("sdss")
LINES = load_lines()


def spectrum(object_id: str = "751-52251-160", **changes: object) -> Spectrum:
    wave, flux, ivar = galaxy()
    ivar = ivar.copy()
    ivar[100:105] = 0
    return replace(Spectrum(wave, flux, ivar, object_id=object_id, survey="SDSS"), **changes)


def prediction(z: float = 0.1, zerr: float = 1.3e-4, best: str = "GALAXY_STARFORMING", **changes: object) -> Prediction:
    """Three members that agree on best and z, with a lighter second peak at z + 0.2."""
    grid = 10.0 ** (4e-4 * np.arange(600)) - 1
    shape = np.exp(-(((grid - z) / 1e-3) ** 2)) + 0.3 * np.exp(-(((grid - z - 0.2) / 1e-3) ** 2))
    pdf = np.tile(shape / (shape * np.gradient(grid)).sum(), (6, 1))
    p = np.full(13, 0.01)
    p[SURVEY.index(best)] = 0.88
    values = dict(
        object_id="751-52251-160", survey=SURVEY, model="test", p=p, p_members=np.tile(p, (3, 1)),
        z_classes=SURVEY.extragalactic, z_grid=grid, pdf=pdf, pdf_members=np.tile(pdf, (3, 1, 1)),
        z_members=np.full((3, 6), z), z=np.full(6, z), zerr=np.full(6, zerr), mae=np.full(6, 1e-3), snr=14.0,
        zwarn=ZWarn(0), robust=True,
    )  # fmt: skip
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


class Desk:
    """A worker that answers at once, or when it is let; without a model if told so."""

    survey = SURVEY
    model = "sdss-matched-v1"

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.gate = problem, None
        self.asked: list[str] = []

    async def open(self, source: Upload | Path) -> list[Spectrum]:
        return open_upload(source) if isinstance(source, Upload) else [spectrum(source.stem)]

    async def predict(self, spectra: list[Spectrum], wanted: Callable[[], bool] = lambda: True) -> list[Prediction]:
        if self.problem:
            raise self.problem
        if self.gate is not None and spectra[0].object_id == "slow":
            await self.gate.wait()
        if not wanted():
            return []
        self.asked += [s.object_id for s in spectra]
        return [prediction() for _ in spectra]

    async def explain(self, s: Spectrum, class_index: int, wanted: Callable[[], bool]) -> Saliency:
        at = 6564.61 * 1.1
        bump = np.exp(-(((s.wave - at) / 3) ** 2))
        return Saliency(s.wave, 0.5 * bump, bump)

    async def check(self, s: Spectrum, found: Prediction, wanted: Callable[[], bool]) -> CrossCheck:
        fit = Fit("GALAXY", found.best_z, 0.10012, 2e-5, 3000.0, 3000, 9.0, 0.9 * s.flux)
        return CrossCheck(fit, (), math.nan, "agrees")


def explorer(**how: object) -> Explorer:
    return Explorer(Desk(**how))  # type: ignore[arg-type]


def loaded(*names: str) -> Explorer:
    e = explorer()
    asyncio.run(e.load([Path(f"{name}.fits") for name in names or ("751-52251-160",)]))
    return e


# ---- the session's state ---------------------------------------------------------------------------------------------


def test_spectrum_comes_first_then_prediction_then_saliency():
    e = explorer()
    seen: list[tuple[str, str, str]] = []
    e.param.watch(
        lambda *_: seen.append((e.spectrum_stage.state, e.prediction_stage.state, e.saliency_stage.state)),
        ["spectrum_stage", "prediction_stage", "saliency_stage"],
    )
    asyncio.run(e.load([Path("a.fits")]))
    assert seen == [("done", "waiting", "waiting"), ("done", "done", "waiting"), ("done", "done", "done")]
    assert e.z == pytest.approx(0.1)


def test_every_object_gets_an_answer_though_one_is_shown():
    e = loaded("a", "b", "c")
    assert e.selected == "a"
    assert [r.answer.class_name for r in e.records.values() if r.answer] == ["GALAXY_STARFORMING"] * 3


def test_an_answer_that_comes_too_late_is_not_shown():
    async def scene() -> Explorer:
        e = loaded_async = explorer()
        e.worker.gate = asyncio.Event()  # type: ignore[attr-defined]
        first = asyncio.create_task(loaded_async.load([Path("slow.fits"), Path("b.fits")]))
        while "b" not in e.records:
            await asyncio.sleep(0.001)
        await e.select("b")
        e.z = 0.4
        e.worker.gate.set()  # type: ignore[attr-defined]
        await first
        return e

    e = asyncio.run(scene())
    assert (e.selected, e.z) == ("b", 0.4)
    assert (e.prediction_stage.state, e.saliency_stage.state) == ("done", "done")
    assert e.worker.asked == ["b", "slow"]  # type: ignore[attr-defined]  # not while unwanted; later for the table
    assert e.records["slow"].answer is not None


def test_a_bad_file_keeps_its_reason_and_the_session_goes_on(tmp_path: Path):
    good = make_sdss(tmp_path / "spec-0751-52251-0160.fits", *galaxy()).read_bytes()
    e = explorer()
    asyncio.run(e.load([Upload("bad.fits", b"no spectrum"), Upload("spec-0751-52251-0160.fits", good)]))
    assert "bad.fits" in e.records["bad.fits"].error
    assert e.selected == "751-52251-160"
    assert [r.key for r in e.visible] == ["bad.fits", "751-52251-160"]


def test_a_missing_model_is_told_in_words_and_lines_may_still_be_set_by_hand():
    e = explorer(problem=ModelError("card.json not found: train one"))
    asyncio.run(e.load([Path("a.fits")]))
    assert e.prediction_stage.state == "failed"
    assert "train one" in e.prediction_stage.words
    assert e.z == 0.0


def test_two_objects_of_one_name_stay_two_rows_and_the_same_file_again_stays_one():
    e = explorer()
    asyncio.run(e.load([Path("one/a.fits")]))
    asyncio.run(e.load([Path("one/a.fits")]))
    assert list(e.records) == ["a"]
    record = Record("a", "other.fits", spectrum=spectrum("a"))
    assert [r.key for r in e._with_keys("other.fits", [record, record], {})] == ["a (2)", "a (3)"]


def test_flagged_objects_come_first_and_filters_hold():
    e = loaded("a", "b")
    flagged = replace(Answer.of(prediction()), robust=False)
    e.records = {**e.records, "b": replace(e.records["b"], answer=flagged)}
    assert [r.key for r in e.visible] == ["b", "a"]
    e.flagged_only = True
    assert [r.key for r in e.visible] == ["b"]
    e.param.update(flagged_only=False, search="A")
    assert {r.key for r in e.visible} == {"a", "b"}  # every class name holds an a
    e.search = "b.fits"
    assert [r.key for r in e.visible] == ["b"]


def test_stepping_stops_at_the_ends():
    e = loaded("a", "b")
    for by, expected in ((1, "b"), (1, "b"), (-1, "a"), (-1, "a")):
        asyncio.run(e.step(by))
        assert e.selected == expected


def test_rivals_cycle_through_the_peaks():
    e = loaded()
    e.rival(1)
    assert e.z == pytest.approx(0.3, abs=2e-3)
    e.rival(1)
    assert e.z == pytest.approx(0.1, abs=2e-3)
    choose_peak(e, 0.28)
    assert e.z == pytest.approx(0.3, abs=2e-3)


# ---- what may come in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../etc/passwd", "passwd"), ("a\\b\\c.fits", "c.fits"), ("..", "unnamed"), ("x\x00<b>.fits", "xb.fits")],
)
def test_upload_names_are_made_safe(name: str, safe: str):
    assert safe_name(name) == safe


def test_text_that_the_browser_decoded_becomes_bytes_again():
    assert uploads({"a.csv": "wave,flux", "b.fits": b"\x00"}) == [
        Upload("a.csv", b"wave,flux"),
        Upload("b.fits", b"\x00"),
    ]


def test_an_upload_too_large_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gasnet_app.intake.MAX_FILE_BYTES", 3)
    with pytest.raises(SpectrumError, match=r"big.fits: larger than .*gasnet classify"):
        open_upload(Upload("big.fits", b"12345"))


# ---- the spectrum ----------------------------------------------------------------------------------------------------


def view(e: Explorer) -> SpectrumView:
    v = SpectrumView(e, LINES, Span(location=0, dimension="height"))
    v.apply(theme.palette(False))
    return v


def test_lines_stand_at_their_place_from_the_first_frame():
    data = view(loaded()).lines.data
    assert len(data["rest"]) > 10
    assert np.allclose(data["wave"], data["rest"] * 1.1)
    assert pytest.approx(data["wave"][data["name"].index("Hα")], abs=0.5) == 6564.6 * 1.1


def test_lines_follow_z_and_the_choice_of_lines():
    e = loaded()
    v = view(e)
    majors = len(v.lines.data["rest"])
    e.z = 0.25
    assert np.allclose(v.lines.data["wave"], v.lines.data["rest"] * 1.25)
    assert v.controls.slider.value == pytest.approx(math.log1p(0.25))
    e.lines = "all"
    assert len(v.lines.data["rest"]) == len(LINES) > majors
    e.lines = "none"
    assert len(v.lines.data["rest"]) == 0


def test_masked_pixels_are_gaps_in_the_flux_and_drawn_faintly_beside_it():
    columns = flux_columns(spectrum(), 1)
    assert np.isnan(columns["flux"][100:105]).all()
    assert np.isfinite(columns["flux"][[99, 105]]).all()
    assert np.isfinite(columns["masked"][99:106]).all()
    assert np.isnan(columns["masked"][90])
    assert np.array_equal(columns["low"][100:105], columns["high"][100:105])
    assert columns["high"][50] - columns["low"][50] == pytest.approx(2 / math.sqrt(spectrum().ivar[50]))


def test_smoothing_lowers_sigma_keeps_gaps_and_names_its_kernel():
    s = spectrum(ivar=np.where(np.arange(spectrum().wave.size) == 100, 0.0, 4.0))
    flux, sigma = smoothed(s, 5)
    assert np.isnan(flux[100])
    assert sigma[50] == pytest.approx(0.5 / math.sqrt(5))
    assert flux[50] == pytest.approx(s.flux[48:53].mean())
    assert flux_label("10**-17 erg/(s cm2 Angstrom)", 5) == "flux (1e-17 erg/s/cm²/Å), box of 5 px weighted by ivar"


def test_one_hot_pixel_does_not_flatten_the_spectrum_but_a_line_is_kept():
    s = spectrum()
    calm = robust_limits(flux_columns(s, 1))
    hot = s.flux.copy()
    hot[2000] = 1e5
    assert robust_limits(flux_columns(s.with_(flux=hot), 1))[1] < 1.2 * calm[1]
    line = s.flux.copy()
    line[2000:2005] = 500
    assert robust_limits(flux_columns(s.with_(flux=line), 1))[1] > 500


def test_an_empty_band_is_never_sent_to_the_browser():
    v = view(explorer())  # Bokeh paints a varea_step without points for ever
    assert all(
        len(values) > 1
        for source in (v.flux, v.strips.saliency, v.arms.source, v.overlay.source)
        for values in source.data.values()
    )


def test_both_axes_are_shown_and_name_their_frame():
    v = view(loaded())
    assert [axis.axis_label for axis in v.figure.xaxis] == [
        "rest wavelength, vacuum (Å)",
        "observed wavelength, vacuum (Å)",
    ]
    assert v.rest_range.start == pytest.approx(v.figure.x_range.start / 1.1)


def test_saliency_is_scaled_and_its_strongest_line_named():
    v = view(loaded())
    assert v.strips.saliency.data["dz"].max() == pytest.approx(1.0)
    assert list(v.strips.named["dz"].data["name"]) == ["Hα"]


def test_a_failed_file_shows_its_reason_and_no_spectrum():
    e = explorer()
    asyncio.run(e.load([Upload("bad.fits", b"")]))
    v = view(e)
    assert "bad.fits" in v.status.object
    assert np.isnan(v.flux.data["flux"]).all()


# ---- words and the answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "zerr", "text"),
    [(0.07823, 1.3e-4, "0.07823 ± 0.00013"), (0.07823, 4e-4, "0.0782 ± 0.0004"), (2.2691, 0.03, "2.27 ± 0.03"),
     (0.5, math.nan, "0.50000"), (1.0, 2.0, "1.0 ± 2.0")],
)  # fmt: skip
def test_z_is_given_with_the_digits_its_sigma_earns(z: float, zerr: float, text: str):
    assert z_text(z, zerr) == text


def test_redshifts_within_1000_km_per_second_are_the_same():
    assert same_z(0.1, 0.1 + 1.1 * 900 / 299792)
    assert not same_z(0.1, 0.1 + 1.1 * 1100 / 299792)


def test_what_disagrees_is_told_with_the_line_that_was_mistaken():
    rival = 6564.61 * 1.1 / 5008.24 - 1
    members = np.full((3, 6), 0.1)
    members[0] = rival
    text = standing(prediction(z_members=members, robust=False), LINES)
    assert text.startswith(f"Unstable: one of three members puts it at z = {rival:.3f} (Hα read as [O III] 5008)")
    assert confusion(0.1, 0.1001, LINES) == ""


def test_stars_are_told_to_have_no_redshift():
    text = standing(prediction(best="STAR_F5"), LINES)
    assert text == "Robust: all three members call it a star. Stars have z = 0."


def test_why_names_the_lines_z_rests_on():
    e = loaded()
    assert e.prediction is not None
    assert e.saliency is not None
    assert why(spectrum(), e.prediction, e.saliency, LINES) == "z rests on Hα."
    flat = Saliency(spectrum().wave, np.zeros(spectrum().wave.size), None)
    assert why(spectrum(), prediction(best="STAR_F5"), flat, LINES) == "The class rests on no single feature."


def test_a_gradient_where_nothing_stands_is_no_reason():
    s = spectrum()
    even = np.ones(s.wave.size)
    weight = pull(s, s.wave, even)
    assert weight[np.abs(s.wave - 6564.61 * 1.1) < 3].max() > 20 * np.median(weight)
    assert weight[~s.good].max() == 0


def test_a_feature_without_a_line_is_given_by_its_wavelength():
    wave = spectrum().wave
    bump = np.exp(-(((wave - 5300.0) / 3) ** 2))
    assert strongest(wave, bump, 0.0, LINES)[0] == (pytest.approx(5300, abs=2), "")


def test_flags_hold_warnings_and_the_readers_notes():
    html = flags_html(prediction(zwarn=ZWarn.SMALL_DELTA_CHI2), spectrum(notes=("ivar estimated",)))
    assert "a rival redshift has real weight" in html
    assert "ivar estimated" in html
    assert "zwarn 4" in html


def test_the_headline_shows_the_catalogues_answer_where_the_file_has_one():
    s = spectrum(label=Label("GALAXY", "STARFORMING", 0.1), meta={"mag_g": 18.34})
    assert headline(s)[-2:] == ["g 18.3", "catalogue GALAXY STARFORMING z 0.1000"]


def test_class_rows_are_the_most_probable_first_with_every_member():
    rows = class_rows(prediction())
    assert rows[0][0] == "GALAXY_STARFORMING"
    assert len(rows) == 5
    assert rows[0][2].shape == (3,)


def test_pdf_curves_keep_members_apart():
    columns = pdf_columns(prediction(), 3)
    assert columns["pdf"].max() == pytest.approx(1)
    assert np.isnan(columns["z_members"]).sum() == 3


def test_the_answers_column_follows_the_session():
    e = loaded()
    v = RedshiftView(e, LINES, Span(location=0, dimension="height"))
    assert "GALAXY_STARFORMING" in v.what.object
    assert "z = 0.10000 ± 0.00013" in v.where.object
    assert len(v.pdf.sources["peaks"].data["z"]) == 2
    assert v.pdf.figure.visible
    v.apply(theme.palette(True))
    e.prediction = prediction(best="STAR_F5")
    assert "z = 0 (star)" in v.where.object
    assert not v.pdf.figure.visible


def test_class_colours_are_told_apart_within_a_type():
    colours = theme.class_colours(SURVEY)
    galaxies = [colours[c.name] for c in SURVEY.classes if c.spectype != "STAR"]
    assert len(set(galaxies)) == len(galaxies) == 6


# ---- the table -------------------------------------------------------------------------------------------------------


def test_rows_are_keyed_by_object_and_failed_files_say_so():
    e = loaded("a")
    rows = table([Record("x.fits", "x.fits", error="x.fits: empty"), *e.records.values()])
    assert list(rows.index) == ["x.fits", "a"]
    assert list(rows["class"]) == ["not read", "STARFORMING"]
    assert list(rows["z"]) == ["", "0.10000"]
    assert "<b>x.fits</b> empty" in failures_html([Record("x.fits", "x.fits", error="x.fits: empty")])


def test_file_names_cannot_smuggle_markup_into_the_page():
    assert "<script>" not in failures_html([Record("k", "<script>", error="<script>: bad")])


def test_the_table_pages_above_a_thousand_rows_and_marks_the_selected():
    e = loaded("a", "b")
    v = ObjectsView(e)
    assert v.table.pagination is None
    assert v.table.selection == [0]
    answered = e.records["a"]
    e.records = {str(i): replace(answered, key=str(i)) for i in range(1500)}
    assert v.table.pagination == "remote"
    e.selected = "7"
    assert v.table.selection == [7]


# ---- the model in use ------------------------------------------------------------------------------------------------


class OtherDesk(Desk):
    """A desk of the coarse classes."""

    survey = load_survey("coarse")

    async def predict(self, spectra: list[Spectrum], wanted: Callable[[], bool] = lambda: True) -> list[Prediction]:
        found = await super().predict(spectra, wanted)
        return [replace(p, survey=self.survey, p=np.r_[0.1, 0.8, 0.1], p_members=np.tile([0.1, 0.8, 0.1], (3, 1)),
                        z_classes=(1, 2), pdf=p.pdf[:2], pdf_members=p.pdf_members[:, :2], z=p.z[:2], zerr=p.zerr[:2],
                        z_members=p.z_members[:, :2], mae=p.mae[:2]) for p in found]  # fmt: skip


def test_another_survey_answers_for_every_object_anew():
    e = loaded("a", "b")
    view = RedshiftView(e, LINES, Span(location=0, dimension="height"))
    spectrum_view = SpectrumView(e, LINES, Span(location=0, dimension="height"))
    asyncio.run(e.use(OtherDesk()))
    assert [r.answer.class_name for r in e.records.values() if r.answer] == ["GALAXY", "GALAXY"]
    assert e.prediction is not None
    assert e.prediction.survey.name == "coarse"
    assert "GALAXY" in view.what.object
    farthest = max(c.z_range[1] for c in OtherDesk.survey.classes if c.z_range)
    assert spectrum_view.controls.slider.end == pytest.approx(math.log1p(farthest))


def test_an_answer_of_the_survey_before_is_dropped():
    async def scene() -> Explorer:
        e = explorer()
        e.worker.gate = asyncio.Event()  # type: ignore[attr-defined]
        before = e.worker
        loading = asyncio.create_task(e.load([Path("slow.fits")]))
        await asyncio.sleep(0.05)
        choosing = asyncio.create_task(e.use(OtherDesk()))
        await asyncio.sleep(0.05)
        before.gate.set()  # type: ignore[attr-defined]
        await asyncio.gather(loading, choosing)
        return e

    e = asyncio.run(scene())
    assert e.records["slow"].answer is not None
    assert e.records["slow"].answer.class_name == "GALAXY", "not the GALAXY_STARFORMING of the survey before"


def test_only_surveys_with_a_model_are_offered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gasnet_app.model_view.served_surveys", lambda: ("sdss",))
    view = ModelView(explorer())
    assert list(view.survey.options.values()) == ["sdss"]
    assert not view.survey.visible, "nothing to choose"
    monkeypatch.setattr("gasnet_app.model_view.served_surveys", lambda: ("coarse", "sdss"))
    view = ModelView(explorer())
    assert list(view.survey.options.values()) == ["coarse", "sdss"]
    assert view.survey.visible
    assert view.survey.value == "sdss"


def test_a_running_session_goes_over_to_a_promoted_model(monkeypatch: pytest.MonkeyPatch):
    serving: list[str | Exception] = ["sdss-matched-v1", ModelError("current.json: not readable"), "sdss-matched-v2"]

    def current(_: object) -> str:
        answer = serving.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("gasnet_app.model_view.current_model", current)
    new = Desk()
    new.model = "sdss-matched-v2"
    monkeypatch.setattr("gasnet_app.model_view.shared_worker", lambda survey: new)
    e = loaded("a", "b")
    old, view = e.worker, ModelView(e)
    for _ in range(2):
        asyncio.run(view.follow())
        assert e.worker is old, "nothing was promoted, or nobody can tell"
    asyncio.run(view.follow())
    assert e.worker is new
    assert view.button.label == "sdss-matched-v2"
    assert sorted(new.asked) == ["a", "b"], "every answer is asked for anew"


def test_the_card_of_the_model_in_use_opens_from_the_header():
    e = explorer()
    view = ModelView(e)
    card = Ensemble.untrained("matched", SURVEY, n_members=1)
    facts = card.card | {"survey": "sdss", "survey_sha256": "ab" * 32, "network": "matched", "classes": SURVEY.names,
                         "config": {}, "grid": card.grid.to_dict(), "zgrid": card.zgrid.to_dict(), "members": [],
                         "limits": "never <b>trained</b>"}  # fmt: skip

    async def give() -> dict:
        return facts

    e.worker.card = give  # type: ignore[method-assign]
    asyncio.run(view._open(None))
    assert view.dialog.open
    assert view.dialog.title == "untrained-matched"
    assert "<h3>Calibration</h3><p>not calibrated</p>" in view.card.object
    assert "never &lt;b&gt;trained&lt;/b&gt;" in view.card.object, "a card is text"


def test_without_a_model_the_card_says_what_is_missing():
    e = explorer()
    view = ModelView(e)

    async def fail() -> dict:
        raise ModelError("survey sdss has no model yet")

    e.worker.card = fail  # type: ignore[method-assign]
    asyncio.run(view._open(None))
    assert (view.dialog.open, view.dialog.title) == (True, "No model")
    assert "no model yet" in view.card.object


# ---- the engine behind it --------------------------------------------------------------------------------------------


def test_the_worker_loads_its_ensemble_once_and_answers_in_order():
    calls = []

    def load(name: str) -> Ensemble:
        calls.append(name)
        return Ensemble.untrained("matched", SURVEY, n_members=1)

    async def scene() -> None:
        worker = Worker("sdss", load)
        first = await worker.predict([spectrum("a"), spectrum("b")])
        assert [p.object_id for p in first] == ["a", "b"]
        found = await worker.explain(spectrum("a"), first[0].best)
        assert found is not None
        assert found.wave.shape == found.dp.shape
        assert await worker.predict([spectrum()], lambda: False) == []
        assert await worker.explain(spectrum(), 0, lambda: False) is None

    asyncio.run(scene())
    assert calls == ["sdss"]


def test_going_back_to_an_object_asks_nothing_and_shows_everything_at_once():
    e = loaded("a", "b")
    seen = e.prediction
    asyncio.run(e.select("b"))
    asked = list(e.worker.asked)
    stages: list[str] = []
    e.param.watch(
        lambda *events: stages.extend(event.new.state for event in events), ["prediction_stage", "saliency_stage"]
    )
    asyncio.run(e.select("a"))
    assert (e.prediction, e.z, e.worker.asked) == (seen, seen.best_z, asked)
    assert e.saliency is not None
    assert "waiting" not in stages


def test_the_next_object_is_asked_about_while_this_one_is_looked_at():
    e = loaded("a", "b", "c")
    asyncio.run(e.select("b"))
    before = e.worker.asked.count("c")
    asyncio.run(e.step(1))
    assert (e.selected, e.worker.asked.count("c")) == ("c", before)


def test_another_survey_forgets_what_was_seen():
    e = loaded("a")
    other = Desk()
    asyncio.run(e.use(other))  # type: ignore[arg-type]
    assert "a" in other.asked
