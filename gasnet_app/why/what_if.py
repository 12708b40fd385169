"""WhatIf: what is asked about the object shown beyond its answer, and what came back. No widgets."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
import param
from numpy.typing import NDArray

from engine import (
    Line,
    MemberAnswer,
    Prediction,
    Rung,
    Saliency,
    Spectrum,
    SpectrumError,
    member_answers,
    pull,
)
from gasnet_app.records import Record
from gasnet_app.state import Explorer
from gasnet_app.worker import Near, Wanted

Question = Callable[[Wanted], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)

TAB = "why"
BINS = 128  # of a member's curve


@dataclass(frozen=True, eq=False)
class Looks:
    """What one member looks at: curve (BINS,) of the strongest pull in each bin, 1 at its highest, from wave_min to
    wave_max (vacuum, observed frame, A)."""

    curve: NDArray[np.float64]
    wave_min: float
    wave_max: float


def looks(spectrum: Spectrum, found: Saliency) -> Looks:
    """A member's saliency as a short curve; of its z, for stars of its class."""
    weight = pull(spectrum, found.wave, found.main)
    seen = (found.wave >= spectrum.wave[0]) & (found.wave <= spectrum.wave[-1])
    curve = np.array([part.max(initial=0.0) for part in np.array_split(weight[seen], BINS)])
    return Looks(curve / (curve.max() or 1.0), float(spectrum.wave[0]), float(spectrum.wave[-1]))


class WhatIf(param.Parameterized):
    """Questions go to the worker in the order asked. An answer that comes too late, for another object or another
    setting of the slider, is dropped; nothing is asked while another page is looked at.

    factor : how many times the noise of the file; what is hidden, the Explorer knows
    """

    factor: float = param.Number(1.0, bounds=(1.0, None), doc="Times the noise of the file")
    altered: Prediction | None = param.Parameter(None, doc="The answer without the hidden, with more noise")
    ladder: tuple[Rung, ...] = param.ClassSelector(class_=tuple, default=())
    members: tuple[MemberAnswer, ...] = param.ClassSelector(class_=tuple, default=())
    looks: tuple[Looks, ...] = param.ClassSelector(class_=tuple, default=(), doc="One per member, once traced")
    nearest: tuple[Near, ...] = param.ClassSelector(class_=tuple, default=())
    problem: str = param.String("", doc="What went wrong, in words; empty when nothing did")

    def __init__(self, explorer: Explorer, lines: Sequence[Line], **params: Any) -> None:
        super().__init__(**params)
        self.explorer, self.lines = explorer, list(lines)
        self._asked: dict[str, tuple[Any, ...]] = {}
        self._altering = False
        explorer.param.watch(lambda *_: self.param.update(factor=1.0), "selected")
        explorer.param.watch(lambda *_: self._later(), ["prediction", "tab", "hidden", "records"])
        self.param.watch(lambda *_: self._later(), "factor")

    def _later(self) -> None:
        if self.explorer.tab == TAB:
            pn.state.execute(self.ask)

    async def ask(self) -> None:
        """Ask whatever is not known yet of the object shown, as it is set."""
        e = self.explorer
        record, found = e.record, e.prediction
        if e.tab != TAB:
            return
        if found is None or record is None or e.spectrum is None:
            for what in ("members", "ladder", "nearest"):
                self._asked.pop(what, None)
            self.param.update(altered=None, ladder=(), members=(), looks=(), nearest=(), problem="")
            return
        known = sum(r.answer is not None for r in e.records.values())
        await asyncio.gather(
            self._alter(),
            self._once("members", (found,), self._trace(e.spectrum, found)),
            self._once("ladder", (found, e.hidden), self._climb(e.spectrum)),
            self._once("nearest", (found, known), self._find(record, found)),
        )

    async def _alter(self) -> None:
        """Ask as long as what was asked last is not what is set: a dragged slider is followed, never queued up."""
        if self._altering:
            return
        self._altering = True
        try:
            while self._asked.get("altered") != (setting := self._setting()):
                self._asked["altered"] = setting
                await self._safely(self._alter_once, functools.partial(self._still_shown, setting[0]))
        finally:
            self._altering = False

    def _still_shown(self, found: Prediction | None) -> bool:
        return self.explorer.prediction is found

    def _setting(self) -> tuple[Any, ...]:
        return self.explorer.prediction, self.explorer.hidden, self.factor

    async def _alter_once(self, wanted: Wanted) -> None:
        spectrum, (found, hidden, factor) = self.explorer.spectrum, self._setting()
        answer = None
        if found is not None and spectrum is not None and (hidden or factor != 1.0):
            answer = await self.explorer.worker.altered(spectrum, hidden, factor, wanted)
        if wanted():
            self.param.update(altered=answer, problem="")

    async def _once(self, what: str, key: tuple[Any, ...], question: Question) -> None:
        """Ask, unless the very same was asked last."""
        if self._asked.get(what) != key:
            self._asked[what] = key
            await self._safely(question, lambda: self._asked.get(what) == key)

    async def _safely(self, question: Question, wanted: Wanted) -> None:
        """Ask, and say in words what goes wrong."""
        try:
            await question(wanted)
        except SpectrumError as error:
            if wanted():
                self.param.update(altered=None, problem=str(error))
        except Exception as error:  # a fault of ours: the page says so and goes on, the log has it whole
            log.exception("what if failed")
            if wanted():
                self.problem = f"The engine failed ({type(error).__name__}: {error}). Please report this."

    def _trace(self, spectrum: Spectrum, found: Prediction) -> Question:
        async def ask(wanted: Wanted) -> None:
            self.param.update(members=member_answers(found), looks=())
            traced = await self.explorer.worker.members(spectrum, found.best, wanted)
            if traced is not None and wanted():
                self.param.update(
                    members=member_answers(found, spectrum, traced, self.lines),
                    looks=tuple(looks(spectrum, member) for member in traced),
                )

        return ask

    def _climb(self, spectrum: Spectrum) -> Question:
        hidden = self.explorer.hidden

        async def ask(wanted: Wanted) -> None:
            steps = await self.explorer.worker.ladder(spectrum, hidden, wanted)
            if steps is not None and wanted():
                self.ladder = steps

        return ask

    def _find(self, record: Record, found: Prediction) -> Question:
        others = {k: r.answer for k, r in self.explorer.records.items() if r.answer is not None and k != record.key}

        async def ask(wanted: Wanted) -> None:
            near = await self.explorer.worker.nearest(found, others)
            if wanted():
                self.nearest = near

        return ask
