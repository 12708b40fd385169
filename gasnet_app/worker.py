"""The engine of this server process: loaded once, one inference at a time, never on the event loop's thread."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine import (
    CrossCheck,
    Ensemble,
    Exemplars,
    ModelError,
    Prediction,
    Rung,
    Saliency,
    Spectrum,
    SpectrumError,
    Survey,
    crosscheck,
    current_model,
    degrade,
    load_ensemble,
    load_exemplars,
    load_survey,
    mean_saliency,
    member_saliency,
    neighbours,
    noise_ladder,
    occlude,
    served_surveys,
)
from gasnet_app.intake import Upload, open_path, open_upload
from gasnet_app.records import Answer
from gasnet_app.server.metrics import ANSWER_SECONDS, FILES, PREDICTIONS, QUEUE, WAIT_SECONDS

log = logging.getLogger(__name__)

T = TypeVar("T")
Wanted = Callable[[], bool]
Regions = Sequence[tuple[float, float]]

NEAREST = 5  # objects that are listed
OWN = 2  # of them loaded ones, where there are any: these can be opened, however near the mock spectra lie
MOST_TRACED = 4  # spectra whose members' saliencies are kept, most of a megabyte each


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Near:
    """An object that looks like another to the networks. key : of a loaded object, "" of a mock spectrum.
    distance : in units of what two spectra of one class usually lie apart."""

    key: str
    class_name: str
    z: float
    distance: float


class Worker:
    """Awaitable engine of one survey. Reading runs beside inference; inference runs on one thread, shared by all
    workers of the process, in the order asked for.

    survey_name : survey whose classes and model answer; model : name of the one that serves it when this worker is made
    load : how its ensemble is loaded, once, at the first question
    """

    def __init__(self, survey_name: str = "sdss", load: Callable[[str], Ensemble] = load_ensemble) -> None:
        self.survey: Survey = load_survey(survey_name)
        self.model = current_model(self.survey)
        self._load = functools.cache(lambda: load(survey_name))
        self._engine = _engine_thread()
        self._exemplars = functools.cache(self._load_exemplars)
        self._traced = functools.lru_cache(MOST_TRACED)(lambda s, k: member_saliency(self._load(), s, k))

    async def _ask(self, kind: str, question: Callable[[], T]) -> T:
        asked = time.perf_counter()

        def turn() -> T:
            WAIT_SECONDS.observe(time.perf_counter() - asked)
            return question()

        with QUEUE.track_inprogress(), ANSWER_SECONDS.labels(kind).time():
            return await asyncio.get_running_loop().run_in_executor(self._engine, turn)

    async def open(self, source: Upload | Path) -> list[Spectrum]:
        """The spectra of an upload or of a file. Raises SpectrumError."""
        try:
            if isinstance(source, Upload):
                spectra = await asyncio.to_thread(open_upload, source)
            else:
                spectra = await asyncio.to_thread(open_path, source)
        except SpectrumError:
            FILES.labels("refused").inc()
            raise
        FILES.labels("read").inc()
        return spectra

    async def card(self) -> dict:
        """The model card of the loaded ensemble. Raises ModelError or SurveyError when none can be loaded."""
        return dict(await self._ask("card", lambda: self._load().card))

    async def alive(self) -> str:
        """The name of the ensemble, once it has answered a flat spectrum. Raises as `predict`; ValueError for NaN."""
        wave = np.linspace(3800.0, 9200.0, 3000)
        flat = Spectrum(wave, np.ones_like(wave), np.full_like(wave, 100.0), object_id="health")
        (found,) = await self._ask("health", lambda: self._load().predict([flat], keep_members=False))
        if not np.isfinite(found.p).all():
            raise ValueError(f"{self.survey.name}: the model answers with NaN")
        return await self._ask("health", lambda: self._load().name)

    async def predict(self, spectra: Sequence[Spectrum], wanted: Wanted = _always) -> list[Prediction]:
        """One prediction per spectrum, in order; none when they are no longer wanted by the time it is their turn.

        Raises ModelError or SurveyError when no model can be loaded.
        """
        start = time.perf_counter()
        found = await self._ask("predict", lambda: self._load().predict(spectra) if wanted() else [])
        if found:
            PREDICTIONS.labels(self.survey.name).inc(len(found))
            told = {"objects": [s.object_id for s in spectra], "survey": self.survey.name}
            log.info("predicted", extra=told | {"ms": round(1000 * (time.perf_counter() - start), 1)})
        return found

    async def explain(self, spectrum: Spectrum, class_index: int, wanted: Wanted = _always) -> Saliency | None:
        """Saliency of one class on the network's wavelengths; None when it is no longer wanted at its turn."""
        return await self._ask(
            "explain", lambda: mean_saliency(self._traced(spectrum, class_index)) if wanted() else None
        )

    async def members(
        self, spectrum: Spectrum, class_index: int, wanted: Wanted = _always
    ) -> tuple[Saliency, ...] | None:
        """The same saliency as each member has it; None when it is no longer wanted at its turn."""
        return await self._ask("members", lambda: self._traced(spectrum, class_index) if wanted() else None)

    async def altered(
        self, spectrum: Spectrum, hidden: Regions, factor: float, wanted: Wanted = _always
    ) -> Prediction | None:
        """The answer without the hidden regions and with `factor` times the noise; None when no longer wanted.

        Raises SpectrumError when nothing is left to look at.
        """

        def answer() -> Prediction | None:
            if not wanted():
                return None
            changed = degrade(occlude(spectrum, hidden), factor)
            return self._load().predict([changed], keep_members=False)[0]

        return await self._ask("altered", answer)

    async def ladder(self, spectrum: Spectrum, hidden: Regions, wanted: Wanted = _always) -> tuple[Rung, ...] | None:
        """The answers without the hidden regions at rising noise; None when no longer wanted. Raises SpectrumError."""
        return await self._ask(
            "ladder", lambda: noise_ladder(self._load(), occlude(spectrum, hidden)) if wanted() else None
        )

    async def check(self, spectrum: Spectrum, prediction: Prediction, wanted: Wanted = _always) -> CrossCheck | None:
        """The template fit beside a prediction; None when it is no longer wanted at its turn."""
        return await self._ask("check", lambda: crosscheck(spectrum, prediction) if wanted() else None)

    async def nearest(self, found: Prediction, others: Mapping[str, Answer]) -> tuple[Near, ...]:
        """The loaded objects and the model's mock spectra that look most like one to the networks, nearest first."""
        exemplars = await self._ask("exemplars", self._exemplars)
        return await asyncio.to_thread(_nearest, found, others, exemplars)

    def _load_exemplars(self) -> Exemplars | None:
        """Of the model that answers; a damaged file is told once, in the log: the loaded objects are still compared."""
        try:
            return load_exemplars(self._load())
        except ModelError as error:
            log.warning("%s", error)
            return None


def _nearest(found: Prediction, others: Mapping[str, Answer], exemplars: Exemplars | None) -> tuple[Near, ...]:
    if found.fingerprint is None:
        return ()
    prints = {key: answer.fingerprint for key, answer in others.items() if answer.fingerprint is not None}
    loaded = neighbours(found.fingerprint, prints, NEAREST)
    near = [Near(n.key, others[n.key].class_name, others[n.key].z, n.distance) for n in loaded]
    if exemplars is not None:
        classes = found.survey.classes
        near += [
            Near("", classes[exemplars.label[k]].name, float(exemplars.z[k]), n.distance)
            for n in exemplars.nearest(found.fingerprint, NEAREST)
            for k in [int(n.key)]
        ]
    rest = sorted(near[OWN:], key=lambda n: n.distance)[: NEAREST - len(near[:OWN])]
    return tuple(sorted([*near[:OWN], *rest], key=lambda n: n.distance))


@functools.cache
def _engine_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")


_workers: dict[str, Worker] = {}


def shared_worker(survey_name: str) -> Worker:
    """The one worker of this process for a survey; every session asks it. A new one once another model serves: the
    one before is let go of when the last session has."""
    known = _workers.get(survey_name)
    if known is None or known.model != current_model(known.survey):
        known = _workers[survey_name] = Worker(survey_name)
    return known


def first_survey() -> str:
    """The survey that a page opens with: SDSS, or the first that has a model where SDSS has none."""
    served = served_surveys()
    return "sdss" if "sdss" in served or not served else served[0]
