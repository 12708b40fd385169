"""Spectral lines in the rest frame, and the sky's own lines and bands in the observed frame. All vacuum, Angstrom.

The list is assets/lines.csv, with a reference for every wavelength.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

from engine.survey import SurveyError, assets_dir

KINDS = {"E": "emission", "A": "absorption", "EA": "both"}
_SKY_KINDS = ("SKY", "TELLURIC")


@dataclass(frozen=True)
class Line:
    """A line of an object: key (ASCII, stable, unique), name ("[O III]", "Hα"), rest-frame vacuum wave in A.

    label : the name that tells it from its neighbours ("[O III] 5008", "Hα")
    kind : emission, absorption, or both
    major : shown by default
    """

    key: str
    name: str
    label: str
    wave: float
    kind: str
    major: bool
    reference: str


@dataclass(frozen=True)
class SkyFeature:
    """A night-sky line (low == high) or a telluric absorption band, observed frame, vacuum A. It never moves with z."""

    key: str
    label: str
    low: float
    high: float
    kind: str
    reference: str


@lru_cache(maxsize=4)
def load_lines() -> tuple[Line, ...]:
    """The lines of objects, blue to red. Raises SurveyError naming the file and row when it is damaged."""
    return tuple(
        Line(r["key"], r["name"], r["label"], float(r["wave"]), KINDS[r["kind"]], r["major"] == "1", r["reference"])
        for r in _rows()
        if r["kind"] in KINDS
    )


@lru_cache(maxsize=4)
def load_sky() -> tuple[SkyFeature, ...]:
    """Sky lines and telluric bands. Raises SurveyError naming the file and row when it is damaged."""
    return tuple(
        SkyFeature(r["key"], r["label"], float(r["wave"]), float(r["wave_end"] or r["wave"]), r["kind"], r["reference"])
        for r in _rows()
        if r["kind"] in _SKY_KINDS
    )


def _rows() -> list[dict[str, str]]:
    path = assets_dir() / "lines.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SurveyError(f"{path}: cannot be read: {error}. Restore it from the repository") from error
    needed = {"key", "name", "label", "wave", "wave_end", "kind", "major", "reference"}
    for number, row in enumerate(rows, start=2):
        try:
            if set(row) != needed or row["kind"] not in (*KINDS, *_SKY_KINDS) or not 500 < float(row["wave"]) < 2e4:
                raise ValueError(
                    f"columns must be {sorted(needed)}, kind E, A, EA, SKY or TELLURIC, wave in 500-20000 A"
                )
            float(row["wave_end"] or 0)
        except (TypeError, ValueError) as error:
            raise SurveyError(f"{path}: row {number}: {error}") from error
    return rows
