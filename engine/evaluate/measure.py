"""measure: from a model and spectra of known truth to an Evaluation; and where such spectra come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from engine.ensemble import Ensemble
from engine.evaluate.labels import MOCK, POOLED, Labelled
from engine.evaluate.objects import FloatArray, Objects, collect, joined
from engine.evaluate.tables import Row, quality
from engine.gradients import saliency
from engine.mock import Simulator
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import Survey

BATCH = 128  # spectra simulated and classified at once; a mock's seed depends on it
GALLERY = 6  # spectra of the saliency gallery, as in paper Fig. D1
CLEAR_SNR = 15.0  # the gallery's spectra are the ones nearest to it: in noise a gradient shows nothing
Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Example:
    """A spectrum of the saliency gallery.

    wave : (n,) observed, vacuum, A; flux : (n,) over its mean absolute value, NaN at bad pixels
    dp, dz : (n,) absolute gradients of the class's probability and of its redshift (engine.gradients.Saliency)
    """

    name: str
    class_name: str
    z: float
    snr: float
    wave: FloatArray
    flux: FloatArray
    dp: FloatArray
    dz: FloatArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model measured on spectra of known truth.

    survey, card : the model's; data : what it was measured on, in words; objects : the answers beside the truth
    left_out : (name, reason) of what was not judged; gallery : saliency of a few clear spectra
    rows : quality per class and type, with bootstrap errors drawn from seed
    """

    survey: Survey
    card: Mapping[str, Any]
    data: str
    objects: Objects
    left_out: tuple[tuple[str, str], ...]
    gallery: tuple[Example, ...]
    rows: tuple[Row, ...]
    seed: int


def measure(
    ensemble: Ensemble,
    items: Iterable[Labelled],
    data: str,
    left_out: Sequence[tuple[str, str]] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Classify labelled spectra and gather the answers. progress is called with the number of spectra done.

    left_out may grow while items are drawn. Raises SpectrumError when there is no spectrum to judge.
    """
    parts: list[Objects] = []
    shown = _Gallery(ensemble.survey)
    done, source = 0, iter(items)
    while batch := list(islice(source, BATCH)):
        predictions = ensemble.predict([item.spectrum for item in batch], BATCH, keep_members=False)
        part = collect(batch, predictions)
        shown.consider(batch, part)
        parts.append(part)
        done += len(batch)
        if progress:
            progress(done)
    if not parts:
        why = f"; the first of {len(left_out)} left out: {': '.join(left_out[0])}" if left_out else ""
        raise SpectrumError(f"{data}: no spectrum that can be judged{why}")
    objects = joined(parts)
    gallery = tuple(_example(ensemble, item, k) for item, k in shown.chosen())
    rows = quality(objects, ensemble.survey, seed)
    return Evaluation(ensemble.survey, ensemble.card, data, objects, tuple(left_out), gallery, rows, seed)


def mocks(simulator: Simulator, n: int, seed: int, survey: Survey) -> Iterator[Labelled]:
    """n mock spectra for a model of `survey`; the class simulated counts if the survey simulated has the same classes.

    With validation templates, flat_share 0 and the seed and n of a card, they are those of the card.
    """
    for start in range(0, n, BATCH):
        yield from mock_batch(simulator, start, min(BATCH, n - start), seed, survey)


def mock_batch(simulator: Simulator, start: int, n: int, seed: int, survey: Survey) -> Iterator[Labelled]:
    """The n of `mocks` that begin with number start, a multiple of BATCH."""
    classes, same = simulator.survey.classes, simulator.survey.names == survey.names
    batch = simulator.batch(n, [seed, 999_983, start])
    for k, label in enumerate(batch.label):
        name = f"mock-{seed}-{start + k:05d}"
        truth = Label(classes[label].spectype, "", float(batch.z[k]), zwarning=0)
        spectrum = Spectrum(batch.wave, batch.flux[k], batch.ivar[k], name, MOCK, label=truth)
        sigma = math.nan if batch.vdisp is None else float(batch.vdisp[k])
        yield Labelled(MOCK, name, truth, spectrum, classes[label].name if same else "", sigma)


def of_group(items: Iterable[Labelled], group: str, left_out: list[tuple[str, str]]) -> Iterator[Labelled]:
    """The items of one group; the others are left out, said once for each group.

    group "" is the pooled set, where the folder has one; else every group.
    """
    others: dict[str, list[Labelled]] = {}
    wanted = group or POOLED
    found = False
    for item in items:
        if item.group == wanted:
            found = True
            yield item
        else:
            others.setdefault(item.group, []).append(item)
    if not found and not group:
        for name in others:
            yield from others[name]
        return
    for name, rest in others.items():
        left_out.append((f"{len(rest)} spectra of {name}", f"another group; --group {name!r} measures it"))


class _Gallery:
    """Chooses spectra for the saliency gallery: of each extragalactic class the rightly answered ones nearest to
    CLEAR_SNR."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.best: dict[int, list[tuple[float, Labelled]]] = {k: [] for k in survey.extragalactic}

    def consider(self, batch: Sequence[Labelled], objects: Objects) -> None:
        for k, item in enumerate(batch):
            label = int(objects.best[k])
            snr = float(objects.snr[k])
            if objects.far[k] and objects.right_type[k] and objects.good[k] and snr > 0 and label in self.best:
                if objects.known[k] and not objects.correct[k]:
                    continue
                self.best[label].append((abs(math.log(snr / CLEAR_SNR)), item))
                self.best[label] = sorted(self.best[label], key=lambda pair: pair[0])[:GALLERY]

    def chosen(self) -> list[tuple[Labelled, int]]:
        """(item, class index): the best of each class, then the second best, until GALLERY."""
        rounds = [
            (found[turn][1], label)
            for turn in range(GALLERY)
            for label, found in self.best.items()
            if turn < len(found)
        ]
        return sorted(rounds[:GALLERY], key=lambda pair: pair[1])


def _example(ensemble: Ensemble, item: Labelled, label: int) -> Example:
    found = saliency(ensemble, item.spectrum, label)
    flux, ivar = (array[0] for array in ensemble.gridded([item.spectrum]))
    seen = np.flatnonzero(ivar > 0)
    inside = slice(seen[0], seen[-1] + 1)
    scale = float(np.abs(flux[seen]).mean()) or 1.0
    shown = np.where(ivar > 0, flux / scale, np.nan)[inside]
    dz = found.dz if found.dz is not None else np.zeros_like(found.dp)
    return Example(
        item.name, ensemble.survey.names[label], item.label.z, item.spectrum.snr, found.wave[inside], shown,
        found.dp[inside], dz[inside],
    )  # fmt: skip
