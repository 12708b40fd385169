"""Explorer: everything one session knows. No widgets here; views look at it and ask it to change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import param

from engine import (
    CatalogueError,
    CrossCheck,
    ModelError,
    Population,
    Prediction,
    Saliency,
    Spectrum,
    SpectrumError,
    SurveyError,
)
from gasnet_app.intake import Upload, open_catalogue
from gasnet_app.records import DONE, EMPTY, Answer, Record, Seen, Stage
from gasnet_app.worker import Worker

log = logging.getLogger(__name__)

MOST_OFTEN = 0.5  # seconds between two additions to the table while many files are read
BATCH = 16  # spectra per background question, so that a newly chosen object waits half a second at most
MOST_OBJECTS = 20_000
MOST_SEEN = 16  # objects whose whole answer a session keeps, about a megabyte each
SMOOTHING = (1, 3, 5, 9, 15)  # width of the box kernel, pixels
TABS = ("explore", "why", "inspect", "population", "admin")


class Explorer(param.Parameterized):
    """The state of one session. Records are replaced, never edited; stale results are dropped by generation."""

    records: Mapping[str, Record] = param.ClassSelector(class_=Mapping, default=MappingProxyType({}), instantiate=False)
    selected: str = param.String("", doc="Key of the record that is shown")
    tab: str = param.Selector(default="explore", objects=list(TABS), doc="The page that is looked at")
    z: float | None = param.Number(None, allow_None=True, doc="Redshift the lines are drawn at; None before any answer")
    lines: str = param.Selector(default="major", objects=["major", "all", "none"])
    smoothing: int = param.Selector(default=1, objects=list(SMOOTHING), doc="Width of the box kernel, pixels")
    flagged_only: bool = param.Boolean(False)
    search: str = param.String("")
    hidden: tuple[tuple[float, float], ...] = param.ClassSelector(
        class_=tuple, default=(), doc="Regions of the object shown that its what-if answer does without: vacuum, A"
    )
    closer: bool = param.Boolean(False, doc="A feature of the spectrum is looked at closely")
    feature: float | None = param.Number(
        None, allow_None=True, doc="Which: vacuum, observed frame, A; None for what the answer rests on most"
    )
    queue: tuple[str, ...] = param.ClassSelector(class_=tuple, default=(), doc="Keys in the order of inspection")
    prediction: Prediction | None = param.Parameter(None)
    saliency: Saliency | None = param.Parameter(None)
    check: CrossCheck | None = param.Parameter(None, doc="The template fit beside the answer")
    spectrum_stage: Stage = param.ClassSelector(class_=Stage, default=EMPTY)
    prediction_stage: Stage = param.ClassSelector(class_=Stage, default=EMPTY)
    saliency_stage: Stage = param.ClassSelector(class_=Stage, default=EMPTY)
    population: Population | None = param.Parameter(None, doc="The catalogue that is looked at, if one was opened")
    reading: str = param.String("", doc="What is being read, in words; empty when nothing is")
    worker: Worker = param.Parameter(doc="The engine of the survey whose classes and model answer")
    problem: str = param.String("", doc="What keeps the engine from answering, in words; empty when it answers")

    def __init__(self, worker: Worker, **params: Any) -> None:
        super().__init__(worker=worker, **params)
        self._generation = 0
        self._closed = False
        self._stops = 0
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    # ---- what is there -------------------------------------------------------------------------------------------

    @property
    def record(self) -> Record | None:
        """The record that is shown."""
        return self.records.get(self.selected)

    @property
    def spectrum(self) -> Spectrum | None:
        """Its spectrum; None where nothing is shown, or a file that could not be read."""
        record = self.record
        return None if record is None else record.spectrum

    @property
    def visible(self) -> list[Record]:
        """Records that pass the filters: failed files first, then flagged objects, then the rest, as they came."""
        wanted = self.search.strip().lower()
        rows = [
            r for r in self.records.values()
            if (r.flagged or not self.flagged_only) and (not wanted or wanted in _searchable(r))
        ]  # fmt: skip
        return sorted(rows, key=lambda r: 0 if r.error else 1 if r.flagged else 2)

    @property
    def path(self) -> list[str]:
        """Keys in the order that n and p go: the queue while inspecting, else the visible table's."""
        return list(self.queue) if self.tab == "inspect" else [r.key for r in self.visible]

    # ---- files come in -------------------------------------------------------------------------------------------

    async def load(self, sources: Sequence[Upload | Path]) -> None:
        """Read files one after another, show the first object that opens, then ask the engine about all of them."""
        showing: asyncio.Task[None] | None = None
        waiting: dict[str, Record] = {}
        stops, told = self._stops, 0.0
        for i, source in enumerate(sources):
            if stops != self._stops or self._closed:
                break
            self.reading = f"Reading {source.name}" + (f" ({i + 1} of {len(sources)})" if len(sources) > 1 else "")
            added = self._with_keys(source.name, await self._read(source), waiting)
            waiting |= {r.key: r for r in added}
            first = next((r for r in added if r.spectrum is not None), None)
            if (first is not None and showing is None) or time.monotonic() - told > MOST_OFTEN:
                self._add(waiting)  # not at each file: every addition draws the whole table
                told = time.monotonic()
            if first is not None and showing is None:
                showing = asyncio.create_task(self.select(first.key))
                await asyncio.sleep(0)  # let it show the spectrum before the next file is read
        self._add(waiting)
        self.reading = ""
        if showing is not None:
            await showing
        if not self.selected and self.records:
            await self.select(next(iter(self.records)))
        await self._answer_the_rest()

    def _add(self, waiting: dict[str, Record]) -> None:
        """Put records that were read into the table."""
        if waiting and not self._closed:
            self.records = MappingProxyType({**self.records, **waiting})
        waiting.clear()

    def stop_reading(self) -> None:
        """Leave the files that were not read yet unread; what has come stays."""
        self._stops += 1

    async def _read(self, source: Upload | Path) -> list[Record]:
        try:
            population = await asyncio.to_thread(open_catalogue, source)
            if population is not None:
                self.param.update(population=population, tab="population")
                return []
            spectra = await self.worker.open(source)
        except (CatalogueError, SpectrumError) as error:
            return [Record(source.name, source.name, error=str(error))]
        room = MOST_OBJECTS - len(self.records)
        records = [Record(s.object_id or source.name, source.name, spectrum=s) for s in spectra[:room]]
        if len(spectra) > room:
            left = f"{len(spectra) - room} objects left out: a session holds {MOST_OBJECTS}. Use `gasnet classify`"
            records.append(Record(source.name, source.name, error=left))
        return records

    def _with_keys(self, file: str, records: Sequence[Record], waiting: Mapping[str, Record]) -> list[Record]:
        """Keys are object ids. The same object of the same file is replaced; of another file it gets a number."""
        taken = {key: r.file for key, r in (*self.records.items(), *waiting.items())}
        keyed: list[Record] = []
        for record in records:
            key, n = record.key, 1
            while key in taken and (taken[key] != file or any(key == k.key for k in keyed)):
                n += 1
                key = f"{record.key} ({n})"
            taken[key] = file
            keyed.append(replace(record, key=key))
        return keyed

    async def _answer_the_rest(self) -> None:
        """Ask about every object that has no answer yet, a small batch at a time."""
        worker = self.worker
        while not self._closed and worker is self.worker:
            left = [r for r in self.records.values() if r.spectrum is not None and r.answer is None][:BATCH]
            if not left or self.problem:
                return
            await self._predict(left)

    # ---- one object is looked at ---------------------------------------------------------------------------------

    async def select(self, key: str) -> None:
        """Show an object: its spectrum at once, then the engine's answer, then what the answer rests on."""
        if key not in self.records or self._closed:
            return
        self._generation += 1
        mine, record = self._generation, self.records[key]
        if key != self.selected:
            self.param.update(hidden=(), feature=None)
        if record.spectrum is None:
            stage = Stage("failed", f"{record.error}")
            quiet = Stage("empty", "No spectrum, no answer.")
            self.param.update(selected=key, z=None, prediction=None, check=None, saliency=None, spectrum_stage=stage,
                              prediction_stage=quiet, saliency_stage=quiet)  # fmt: skip
            return
        seen = self._seen.get(key)
        if seen is not None and seen.spectrum is record.spectrum:
            self.param.update(
                selected=key, z=seen.prediction.best_z, prediction=seen.prediction, check=seen.check,
                saliency=seen.saliency, spectrum_stage=DONE, prediction_stage=DONE, saliency_stage=DONE,
            )  # fmt: skip
        else:
            await self._ask_about(record, mine)
        if mine == self._generation:
            await self._look_ahead(mine)

    async def _ask_about(self, record: Record, mine: int) -> None:
        assert record.spectrum is not None
        self.param.update(
            selected=record.key, z=None, prediction=None, check=None, saliency=None, spectrum_stage=DONE,
            prediction_stage=Stage("waiting", "Asking the ensemble"),
            saliency_stage=Stage("waiting", "Comes after the answer"),
        )  # fmt: skip
        predictions = await self._predict([record], lambda: mine == self._generation)
        if mine != self._generation:
            return
        if not predictions:
            self.param.update(z=0.0 if self.z is None else self.z, prediction_stage=Stage("failed", self.problem),
                              saliency_stage=Stage("empty", "Comes after the answer"))  # fmt: skip
            return
        found = predictions[0]
        z = found.best_z if self.z is None else self.z  # a z set by hand while waiting is kept
        self.param.update(prediction=found, z=z, prediction_stage=DONE, saliency_stage=Stage("waiting", "Tracing back"))
        await self._explain(record.spectrum, found.best, mine)
        await self._check(record.spectrum, found, mine)
        if mine == self._generation:
            self._keep(record.key, Seen(record.spectrum, found, self.saliency, self.check))

    def _keep(self, key: str, seen: Seen) -> None:
        self._seen[key] = seen
        self._seen.move_to_end(key)
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)

    async def _look_ahead(self, mine: int) -> None:
        """Ask about the next object while the reader looks at this one; given up as soon as another is chosen."""

        def wanted() -> bool:
            return mine == self._generation

        keys = self.path
        following = keys[keys.index(self.selected) + 1 :][:1] if self.selected in keys else []
        for record in (self.records[key] for key in following):
            spectrum, seen = record.spectrum, self._seen.get(record.key)
            if spectrum is None or (seen is not None and seen.spectrum is spectrum):
                continue
            try:
                if not (found := await self._predict([record], wanted)):
                    return
                saliency = await self.worker.explain(spectrum, found[0].best, wanted)
                check = await self.worker.check(spectrum, found[0], wanted)
            except Exception:  # it is asked again, and answered in words, when the reader comes to it
                log.exception("looking ahead failed")
                return
            if wanted():
                self._keep(record.key, Seen(spectrum, found[0], saliency, check))

    async def _predict(self, records: Sequence[Record], wanted: Callable[[], bool] = lambda: True) -> list[Prediction]:
        """Predictions of these records, kept in short form in the table; an empty list when the engine cannot."""
        worker = self.worker
        try:
            found = await worker.predict([r.spectrum for r in records if r.spectrum is not None], wanted)
        except (ModelError, SurveyError) as error:
            self.problem = str(error)
            return []
        except Exception as error:  # a fault of ours: the page says so and goes on, the log has it whole
            log.exception("prediction failed")
            self.problem = f"The engine failed ({type(error).__name__}: {error}). Please report this."
            return []
        if worker is not self.worker:  # another survey was chosen meanwhile: these are not its classes
            return []
        self.problem = ""
        answered = {r.key: replace(r, answer=Answer.of(p)) for r, p in zip(records, found, strict=bool(found))}
        self.records = MappingProxyType({**self.records, **{k: r for k, r in answered.items() if k in self.records}})
        return found

    async def _explain(self, spectrum: Spectrum, class_index: int, mine: int) -> None:
        try:
            found = await self.worker.explain(spectrum, class_index, lambda: mine == self._generation)
        except Exception as error:
            log.exception("saliency failed")
            if mine == self._generation:
                words = f"Saliency failed ({type(error).__name__}: {error}). Please report this."
                self.saliency_stage = Stage("failed", words)
            return
        if mine == self._generation:
            self.param.update(saliency=found, saliency_stage=DONE)

    async def use(self, worker: Worker) -> None:
        """Ask another survey's ensemble from now on. Spectra stay, every answer is asked for anew."""
        if worker is self.worker or self._closed:
            return
        self._generation += 1
        self._seen.clear()
        bare = {key: replace(record, answer=None) for key, record in self.records.items()}
        self.param.update(prediction=None, saliency=None, problem="", z=None, worker=worker,
                          records=MappingProxyType(bare))  # fmt: skip
        if self.selected:
            await self.select(self.selected)
        await self._answer_the_rest()

    async def _check(self, spectrum: Spectrum, prediction: Prediction, mine: int) -> None:
        try:
            found = await self.worker.check(spectrum, prediction, lambda: mine == self._generation)
        except Exception:  # the answer stands without it; the log has the fault whole
            log.exception("template fit failed")
            return
        if mine == self._generation:
            self.check = found

    # ---- moving about --------------------------------------------------------------------------------------------

    async def step(self, by: int) -> None:
        """Select the object `by` rows further down the visible table, or the queue; stays put at the ends."""
        keys = self.path
        if keys:
            here = keys.index(self.selected) if self.selected in keys else (-1 if by > 0 else len(keys))
            there = keys[min(max(here + by, 0), len(keys) - 1)]
            if there != self.selected:
                await self.select(there)

    def peaks(self) -> list[float]:
        """Redshifts of the peaks of the best class's p(z), heaviest first; empty for stars and before the answer."""
        row = None if self.prediction is None else self.prediction.row(self.prediction.best)
        return [] if row is None or self.prediction is None else [peak.z for peak in self.prediction.peaks(row)]

    def rival(self, by: int) -> None:
        """Put the lines on the next (by = 1) or the previous (by = -1) peak of p(z)."""
        peaks = self.peaks()
        if peaks:
            z = peaks[0] if self.z is None else self.z
            here = min(range(len(peaks)), key=lambda i: abs(peaks[i] - z))
            self.z = peaks[(here + by) % len(peaks)]

    def close(self) -> None:
        """The session is over: stop asking, let go of the spectra."""
        self._closed = True
        self._generation += 1
        self._seen.clear()
        with param.parameterized.discard_events(self):  # the views are gone: nobody must draw any more
            self.param.update(records=MappingProxyType({}), prediction=None, check=None, saliency=None)


def _searchable(record: Record) -> str:
    answer = record.answer
    return " ".join([record.key, record.file, record.error, answer.class_name if answer else ""]).lower()
