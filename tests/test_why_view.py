"""The page Why without a browser: what is asked, what comes too late, what the panes show."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from test_app import LINES, Desk, prediction, spectrum

from engine import (
    Ensemble,
    Exemplars,
    MemberAnswer,
    Prediction,
    Rung,
    Saliency,
    Spectrum,
    SpectrumError,
    ZWarn,
    load_survey,
)
from gasnet_app import theme
from gasnet_app.records import Answer
from gasnet_app.redshift_view import rivals_html, what_html
from gasnet_app.state import Explorer
from gasnet_app.why import WhatIf, WhyView
from gasnet_app.why.answer_pane import AnswerPane, answer_html, question
from gasnet_app.why.hide_pane import HidePane, around, features
from gasnet_app.why.members_pane import members_html
from gasnet_app.why.nearest_pane import NearestPane, badge_html, table
from gasnet_app.why.noise_pane import NoisePane, ladder_columns
from gasnet_app.why.what_if import BINS, looks
from gasnet_app.worker import Near, Worker

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3

Wanted = Callable[[], bool]
Regions = Sequence[tuple[float, float]]
HALPHA = 6564.61 * 1.1


class Bench(Desk):
    """A desk that also answers what-ifs, after `slow` is set where it is there: hidden regions turn a galaxy into a
    quasar at z = 0.4, noise makes it unstable."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: asyncio.Event | None = None
        self.questions: list[tuple[str, object]] = []

    async def _turn(self, what: str, of: object, wanted: Wanted) -> bool:
        self.questions.append((what, of))
        begun = wanted()  # as the engine does: what has begun is not given up
        if self.slow is not None:
            await self.slow.wait()
        return begun

    async def altered(self, s: Spectrum, hidden: Regions, factor: float, wanted: Wanted) -> Prediction | None:
        if not await self._turn("altered", (tuple(hidden), round(factor, 3)), wanted):
            return None
        if any(high - low > 5000 for low, high in hidden):
            raise SpectrumError("the regions hide every usable pixel. Take one of them back")
        best, z = ("QSO", 0.4) if hidden else ("GALAXY_STARFORMING", 0.1)
        return prediction(z=z, best=best, robust=factor == 1.0, snr=14.0 / factor, object_id=s.object_id)

    async def ladder(self, s: Spectrum, hidden: Regions, wanted: Wanted) -> tuple[Rung, ...] | None:
        answer = await self._turn("ladder", tuple(hidden), wanted)
        steps = [(f, prediction(robust=f < 3, object_id=s.object_id)) for f in (1.0, 2.0, 4.0)]
        return tuple(Rung(f, 14 / f, found) for f, found in steps) if answer else None

    async def members(self, s: Spectrum, class_index: int, wanted: Wanted) -> tuple[Saliency, ...] | None:
        answer = await self._turn("members", s.object_id, wanted)
        return (await self.explain(s, class_index, wanted),) * 3 if answer else None

    async def nearest(self, found: Prediction, others: Mapping[str, Answer]) -> tuple[Near, ...]:
        return tuple(Near(key, answer.class_name, answer.z, 0.5) for key, answer in others.items())


def opened(*names: str, tab: str = "why") -> WhatIf:
    """What is known of the first of these objects once everything has been asked."""
    e = Explorer(Bench())  # type: ignore[arg-type]
    e.tab = tab
    what_if = WhatIf(e, LINES)

    async def look() -> None:
        await e.load([Path(f"{name}.fits") for name in names or "a"])
        await what_if.ask()

    asyncio.run(look())
    return what_if


def questions(what_if: WhatIf, what: str) -> list[object]:
    return [of for kind, of in what_if.explorer.worker.questions if kind == what]  # type: ignore[attr-defined]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


T = TypeVar("T")


def within(act: Callable[[], T]) -> T:
    """Do something as a session does it, on a running loop, and wait for the answers that it asks for."""

    async def work() -> T:
        result = act()
        await settle()
        return result

    return asyncio.run(work())


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_nothing_is_asked_while_another_page_is_looked_at():
    what_if = opened(tab="explore")
    assert what_if.explorer.worker.questions == []  # type: ignore[attr-defined]
    within(lambda: what_if.explorer.param.update(tab="why"))
    assert (len(what_if.members), len(what_if.ladder), len(what_if.looks)) == (3, 3, 3)


def test_the_page_knows_members_ladder_and_neighbours_of_the_object_shown():
    what_if = opened("a", "b")
    assert [m.rests_on for m in what_if.members] == [("Hα",)] * 3
    assert [rung.factor for rung in what_if.ladder] == [1.0, 2.0, 4.0]
    assert [near.key for near in what_if.nearest] == ["b"]
    assert what_if.altered is None


def test_the_same_is_not_asked_twice():
    what_if = opened("a", "b")
    before = list(what_if.explorer.worker.questions)  # type: ignore[attr-defined]
    asyncio.run(what_if.ask())
    assert what_if.explorer.worker.questions == before  # type: ignore[attr-defined]


def test_a_hidden_region_changes_answer_and_ladder_and_the_sentence_says_how():
    what_if = opened()
    pane = AnswerPane(what_if)
    within(lambda: what_if.explorer.param.update(hidden=((7200.0, 7250.0),)))
    assert what_if.altered is not None
    assert (what_if.altered.class_name, what_if.altered.best_z) == ("QSO", pytest.approx(0.4))
    assert questions(what_if, "ladder") == [(), ((7200.0, 7250.0),)]
    assert question(what_if) == "without 7200–7250 Å"
    assert "Without 7200–7250 Å: GALAXY_STARFORMING 0.88 → QSO 0.88; z 0.1000 → 0.4000." in pane.words.object


def test_hiding_everything_is_said_in_words_and_the_next_answer_takes_them_back():
    what_if = opened()
    within(lambda: what_if.explorer.param.update(hidden=((3000.0, 10000.0),)))
    assert what_if.problem == "the regions hide every usable pixel. Take one of them back"
    assert what_if.altered is None
    within(lambda: what_if.explorer.param.update(hidden=()))
    assert what_if.problem == ""


def test_a_dragged_slider_is_followed_without_queueing_what_it_passed():
    what_if = opened()
    bench = what_if.explorer.worker

    async def drag() -> None:
        bench.slow = asyncio.Event()  # type: ignore[attr-defined]
        for factor in (1.1, 1.5, 2.0, 3.0):
            what_if.factor = factor
            await settle()
        assert what_if.altered is None
        bench.slow.set()  # type: ignore[attr-defined]
        await settle()

    asyncio.run(drag())
    assert questions(what_if, "altered") == [((), 1.1), ((), 3.0)]
    assert what_if.altered is not None
    assert what_if.altered.snr == pytest.approx(14 / 3)


def test_an_answer_for_another_object_is_dropped_and_the_noise_goes_back():
    what_if = opened("a", "b")
    e, bench = what_if.explorer, what_if.explorer.worker
    shown: list[tuple[str, str]] = []
    what_if.param.watch(lambda event: shown.append((e.selected, event.new.object_id)) if event.new else None, "altered")
    what_if.param.watch(
        lambda event: shown.append((e.selected, event.new[0].prediction.object_id)) if event.new else None, "ladder"
    )

    async def leave() -> None:
        bench.slow = asyncio.Event()  # type: ignore[attr-defined]
        what_if.factor = 4.0
        e.hidden = ((7200.0, 7250.0),)
        await settle()
        going = asyncio.create_task(e.select("b"))
        await settle()
        bench.slow.set()  # type: ignore[attr-defined]
        await going
        await settle()

    asyncio.run(leave())
    assert shown == [("b", "b")]
    assert (what_if.factor, e.hidden, what_if.altered) == (1.0, (), None)
    assert [near.key for near in what_if.nearest] == ["a"]


def test_a_fault_of_the_engine_is_told_and_the_page_goes_on(monkeypatch: pytest.MonkeyPatch):
    what_if = opened()

    async def broken(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(what_if.explorer.worker, "altered", broken)
    within(lambda: what_if.param.update(factor=2.0))
    assert what_if.problem == "The engine failed (RuntimeError: no memory). Please report this."


# ---- what the worker answers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker("sdss", lambda _: Ensemble.untrained("matched", load_survey("sdss"), n_members=2))


def test_the_worker_alters_the_spectrum_before_it_asks(worker: Worker):
    s = spectrum()

    async def ask() -> tuple[Prediction, Prediction | None, Prediction | None]:
        (plain,) = await worker.predict([s])
        return plain, await worker.altered(s, [(7200.0, 7250.0)], 2.0), await worker.altered(s, [], 1.0, lambda: False)

    plain, altered, unwanted = asyncio.run(ask())
    assert altered is not None
    assert altered.snr == pytest.approx(plain.snr / 2, rel=0.1)
    assert not np.allclose(altered.p, plain.p)
    assert unwanted is None


def test_the_mean_of_the_members_saliencies_is_that_of_the_page(worker: Worker):
    s = spectrum()

    async def ask() -> tuple[Saliency | None, tuple[Saliency, ...] | None]:
        return await worker.explain(s, 7), await worker.members(s, 7)

    whole, members = asyncio.run(ask())
    assert whole is not None
    assert members is not None
    assert whole.dp == pytest.approx(np.mean([m.dp for m in members], axis=0))


def test_the_nearest_loaded_objects_come_first(worker: Worker):
    def answer(x: float) -> Answer:
        return replace(Answer.of(prediction()), fingerprint=np.full(128, x, np.float32))

    found = prediction(fingerprint=np.zeros(128, np.float32))
    near = asyncio.run(
        worker.nearest(found, {"far": answer(2.0), "near": answer(0.1), "none": Answer.of(prediction())})
    )
    assert [n.key for n in near] == ["near", "far"]
    assert near[0].distance == pytest.approx(0.1 * math.sqrt(128))


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_both_answers_stand_one_under_the_other():
    html = answer_html(prediction(), prediction(best="QSO", z=0.4, robust=False))
    assert html.index("STARFORMING") < html.index("QSO")
    assert "z 0.4000" in html
    assert '<td class="unstable">unstable</td>' in html
    assert "—" in answer_html(prediction(), None)


def test_a_member_that_stands_apart_is_marked():
    answers = (
        MemberAnswer(1, "GALAXY", 0.9, 0.1, False, False, ("Hα", "[O III] 5008")),
        MemberAnswer(2, "QSO", 0.6, 0.4, True, True),
    )
    html = members_html(answers, ())
    assert html.count('class="apart"') == 2
    assert '<span class="apart">QSO</span></td><td>0.60' in html
    assert "Hα, [O III] 5008" in html
    assert members_html((), ()) == ""


def test_a_members_curve_is_highest_where_it_looks():
    s = spectrum()
    bump = np.exp(-(((s.wave - HALPHA) / 3) ** 2))
    found = looks(s, Saliency(s.wave, bump, bump))
    assert found.curve.shape == (BINS,)
    edges = np.linspace(0, s.wave.size, BINS + 1)
    assert found.curve.argmax() == np.searchsorted(edges, np.abs(s.wave - HALPHA).argmin()) - 1
    assert found.curve.max() == 1
    outside = Saliency(s.wave + 1e5, bump, bump)
    assert looks(s, outside).curve.max() == 0


def test_the_ladder_is_filled_where_robust_and_coloured_where_the_answer_is_another():
    p = theme.palette(False)
    steps = (prediction(), prediction(robust=False), prediction(z=0.4), prediction(best="STAR_K5"))
    columns = ladder_columns([Rung(2.0**k, 14 / 2**k, answer) for k, answer in enumerate(steps)], p)
    assert columns["x"] == pytest.approx(np.log([1, 2, 4, 8]))
    assert columns["edge"] == [p.accent, p.accent, p.rival, p.rival]
    assert columns["fill"] == [p.accent, p.ground, p.rival, p.rival]
    assert columns["words"][1] == "SNR 7.0: GALAXY_STARFORMING, z 0.1000, unstable"


def test_the_slider_sets_the_noise_and_goes_back_with_another_object():
    what_if = opened("a", "b")
    pane = NoisePane(what_if)
    assert pane.slider.end == pytest.approx(math.log(4), abs=0.01)
    assert "Robust up to 2 times the noise" in pane.words.object
    within(lambda: pane.slider.update(value=math.log(2)))
    assert what_if.factor == pytest.approx(2)
    asyncio.run(what_if.explorer.select("b"))
    assert pane.slider.value == 0


def test_a_line_that_z_rests_on_is_hidden_by_its_button_and_shown_again():
    what_if = opened()
    e = what_if.explorer
    assert list(features(e, LINES)) == ["Hα"]
    pane = HidePane(what_if)
    within(lambda: pane.lines.update(active=[0]))
    assert e.hidden == (around(features_wave(e)),)
    low, high = e.hidden[0]
    assert low < HALPHA < high
    pane.low.value, pane.high.value = 6000.0, 5900.0
    within(pane._hide)
    assert e.hidden[1] == (5900.0, 6000.0)
    within(lambda: pane.lines.update(active=[]))
    assert e.hidden == ((5900.0, 6000.0),)
    within(lambda: e.param.update(hidden=()))
    assert not pane.show.visible


def features_wave(e: Explorer) -> float:
    (region,) = features(e, LINES).values()
    return sum(region) / 2


def test_a_brush_that_draws_a_lines_own_region_presses_its_button():
    what_if = opened()
    pane = HidePane(what_if)
    within(lambda: what_if.explorer.param.update(hidden=tuple(features(what_if.explorer, LINES).values())))
    assert pane.lines.active == [0]


def test_one_wavelength_is_not_a_region():
    what_if = opened()
    pane = HidePane(what_if)
    pane.low.value = 5000.0
    pane._hide()
    assert what_if.problem.startswith("Give two wavelengths")
    assert what_if.explorer.hidden == ()


def test_a_click_on_a_neighbour_shows_it_and_on_a_mock_does_nothing():
    what_if = opened("a", "b")
    pane = NearestPane(what_if)
    assert list(pane.table.value["object"]) == ["b"]

    class Click:
        row = 0

    asyncio.run(pane._open(Click()))
    assert what_if.explorer.selected == "b"
    what_if.nearest = (Near("", "QSO", 2.1, 0.7),)
    asyncio.run(pane._open(Click()))
    assert what_if.explorer.selected == "b"
    assert list(table(what_if.nearest).iloc[0]) == ["mock", "QSO", "2.1000", "0.70"]


def test_what_can_be_opened_is_listed_however_near_the_mock_spectra_lie(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    mocks = Exemplars(np.zeros((9, 128), np.float32), np.full(9, 11), np.full(9, 2.1), np.full(9, 8.0))
    monkeypatch.setattr(worker, "_exemplars", lambda: mocks)
    others = {k: replace(Answer.of(prediction()), fingerprint=np.full(128, 1.0, np.float32)) for k in "abc"}
    near = asyncio.run(worker.nearest(prediction(fingerprint=np.zeros(128, np.float32)), others))
    assert [n.key for n in near] == ["", "", "", "a", "b"]
    assert (near[0].class_name, near[0].z) == ("QSO", 2.1)


def test_rival_redshifts_are_told_with_the_line_that_leads_to_them():
    rival = 6564.61 * 1.1 / 5008.24 - 1
    grid = prediction().z_grid
    shape = np.exp(-(((grid - 0.1) / 1e-3) ** 2)) + 0.3 * np.exp(-(((grid - rival) / 1e-3) ** 2))
    found = prediction(pdf=np.tile(shape / (shape * np.gradient(grid)).sum(), (6, 1)))
    words = rivals_html(found, LINES)
    assert f"or z = {rival:.3f}"[:-1] in words
    assert "0 of 3 members: Hα read as [O III] 5008" in words
    assert rivals_html(prediction(best="STAR_F5"), LINES) == ""


def test_an_object_of_none_of_the_classes_wears_a_badge_in_words():
    odd = prediction(ood=0.7, ood_flag=True, zwarn=ZWarn.NONE_OF_THESE)
    assert "Perhaps none of the classes" in badge_html(odd)
    assert "score +0.70" in badge_html(odd)
    assert "none of these?" in what_html(odd)
    assert "badge" not in what_html(prediction())
    assert "One of the classes" in badge_html(prediction(ood=-1.0))
    assert "no score" in badge_html(prediction())


def test_every_pane_has_its_empty_state_and_both_themes():
    e = Explorer(Bench(), tab="why")  # type: ignore[arg-type]
    view = within(lambda: WhyView(e, LINES))
    for dark in (False, True):
        view.apply(theme.palette(dark))
    assert "Drop a file" in view.panes[0].table.object
    assert "No answer yet" in view.panes[3].words.object
