"""The session's own objects as a population, and a population as a table to write."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from engine import Label, Population
from gasnet_app.records import Record


def of_records(records: Mapping[str, Record]) -> Population | None:
    """The classified objects of a session, with the labels that their files carry; None when there are none."""
    kept = [(r, r.answer, r.spectrum) for r in records.values() if r.answer is not None and r.spectrum is not None]
    if not kept:
        return None
    labels = [s.label or Label() for _, _, s in kept]

    def coordinate(meta: Mapping, name: str) -> float:
        try:
            return float(meta.get(name, math.nan))
        except (TypeError, ValueError):
            return math.nan

    texts = {
        "object_id": [r.key for r, _, _ in kept], "class": [a.class_name for _, a, _ in kept],
        "spectype": [a.spectype for _, a, _ in kept], "path": [""] * len(kept),
        "class_true": [label.spectype for label in labels],
    }  # fmt: skip
    numbers = {
        "z": [a.z for _, a, _ in kept], "zerr": [a.zerr for _, a, _ in kept], "snr": [s.snr for _, _, s in kept],
        "zwarn": [a.zwarn for _, a, _ in kept], "z_true": [label.z for label in labels],
        "pit": [math.nan] * len(kept), **{k: [coordinate(s.meta, k) for _, _, s in kept] for k in ("ra", "dec")},
    }  # fmt: skip
    return Population(
        "objects of this session", np.array(texts["object_id"]), {k: np.array(v) for k, v in texts.items()},
        {k: np.array(v, float) for k, v in numbers.items()},
    )  # fmt: skip


def export_table(population: Population) -> Table:
    """Every column of the catalogue's file; of a session's objects, what is known of them."""
    if population.table is not None:
        return population.table
    return Table({**population.texts, **population.numbers})
