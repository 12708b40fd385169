"""The engine of this server process: loaded once, one inference at a time, never on the event loop's thread."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from engine import (
    CrossCheck,
    Ensemble,
    Prediction,
    Saliency,
    Spectrum,
    Survey,
    crosscheck,
    load_ensemble,
    load_survey,
    saliency,
    served_surveys,
)
from gasnet_app.intake import Upload, open_path, open_upload

T = TypeVar("T")
Wanted = Callable[[], bool]


def _always() -> bool:
    return True


class Worker:
    """Awaitable engine of one survey. Reading runs beside inference; inference runs on one thread, shared by all
    workers of the process, in the order asked for.

    survey_name : survey whose classes and model answer; load : how its ensemble is loaded, once, at the first question
    """

    def __init__(self, survey_name: str = "sdss", load: Callable[[str], Ensemble] = load_ensemble) -> None:
        self.survey: Survey = load_survey(survey_name)
        self._load = functools.cache(lambda: load(survey_name))
        self._engine = _engine_thread()

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._engine, question)

    async def open(self, source: Upload | Path) -> list[Spectrum]:
        """The spectra of an upload or of a file. Raises SpectrumError."""
        if isinstance(source, Upload):
            return await asyncio.to_thread(open_upload, source)
        return await asyncio.to_thread(open_path, source)

    async def card(self) -> dict:
        """The model card of the loaded ensemble. Raises ModelError or SurveyError when none can be loaded."""
        return dict(await self._ask(lambda: self._load().card))

    async def predict(self, spectra: Sequence[Spectrum], wanted: Wanted = _always) -> list[Prediction]:
        """One prediction per spectrum, in order; none when they are no longer wanted by the time it is their turn.

        Raises ModelError or SurveyError when no model can be loaded.
        """
        return await self._ask(lambda: self._load().predict(spectra) if wanted() else [])

    async def explain(self, spectrum: Spectrum, class_index: int, wanted: Wanted = _always) -> Saliency | None:
        """Saliency of one class on the network's wavelengths; None when it is no longer wanted at its turn."""
        return await self._ask(lambda: saliency(self._load(), spectrum, class_index) if wanted() else None)

    async def check(self, spectrum: Spectrum, prediction: Prediction, wanted: Wanted = _always) -> CrossCheck | None:
        """The template fit beside a prediction; None when it is no longer wanted at its turn."""
        return await self._ask(lambda: crosscheck(spectrum, prediction) if wanted() else None)


@functools.cache
def _engine_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")


@functools.cache
def shared_worker(survey_name: str) -> Worker:
    """The one worker of this process for a survey; every session asks it."""
    return Worker(survey_name)


def first_survey() -> str:
    """The survey that a page opens with: SDSS, or the first that has a model where SDSS has none."""
    served = served_surveys()
    return "sdss" if "sdss" in served or not served else served[0]
