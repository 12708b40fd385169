"""document: an Evaluation as plain numbers. evaluation.json holds them all; the page draws them and nothing else."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.evaluate import calibration, figures
from engine.evaluate.confusions import confusions, mistaken
from engine.evaluate.measure import Evaluation, Example
from engine.evaluate.tables import BOOTSTRAPS, STATISTICS, Number, mean_over_classes

FORMAT = 1
DIGITS = 6  # significant ones; errors of redshifts are there by themselves, not to be taken from differences
CARD_KEYS = (
    "model", "survey", "network", "config", "seeds", "date", "data", "training", "mae", "validation", "calibration",
    "limits", "licence",
)  # fmt: skip
_OBJECT_ARRAYS = (
    "name", "label", "spectype", "z", "best", "second", "spectype_pred", "z_pred", "zerr", "z_point", "z_peak", "snr",
    "error", "vdisp", "robust", "good", "bias", "t", "pit", "confidence", "reliable", "ood", "ood_flag", "flags",
)  # fmt: skip


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that an evaluation holds and every number that its page shows; NaN and infinity become None.

    Keys: format, card, data, classes, objects (arrays of equal length; label, best and second are indices into
    classes), tables, figures, gallery. docs/evaluation.md describes them.
    """
    e, o = evaluation, evaluation.objects
    made = {
        "format": FORMAT,
        "card": {key: e.card[key] for key in CARD_KEYS if key in e.card} | {"members": len(e.card.get("members", ()))},
        "data": {"what": e.data, "n": len(o), "seed": e.seed, "left_out": [list(pair) for pair in e.left_out]},
        "classes": [{"name": c.name, "spectype": c.spectype, "good": c.good} for c in e.survey.classes],
        "objects": {key: getattr(o, key) for key in _OBJECT_ARRAYS} | {"p_best": o.p.max(axis=1)},
        "tables": _tables(e),
        "figures": {
            "confusion": figures.confusion(o, e.survey),
            "redshift": figures.redshift(o, e.survey),
            "accuracy_by_snr": figures.accuracy_by_snr(o),
            "velocity_dispersion": figures.velocity_dispersion(o, e.survey),
            "pit": calibration.pit(o),
            "coverage": calibration.coverage(o),
            "reliability": calibration.reliability(o, e.survey),
            "purity": calibration.purity(o),
        },
        "gallery": [_example(example) for example in e.gallery],
    }
    return dict(plain(made))


def write_json(made: dict[str, Any], path: Path) -> None:
    """Write a document atomically as evaluation.json."""
    part = path.with_suffix(".part")
    part.write_text(
        json.dumps(made, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8"
    )
    os.replace(part, path)


def _tables(e: Evaluation) -> dict[str, Any]:
    wrong = [
        (str(e.objects.name[k]), float(e.objects.z[k]), float(e.objects.z_peak[k]))
        for k in np.flatnonzero(e.objects.far & ~e.objects.good)
    ]
    return {
        "quality": {
            "columns": [{"key": key, "title": title, "says": says} for key, title, says in STATISTICS],
            "bootstraps": BOOTSTRAPS,
            "rows": [{"name": row.name, "n": row.n, "n_class": row.n_class, **_pairs(row.numbers)} for row in e.rows],
            "class_mean": {
                key: _pair(mean_over_classes(e.rows, e.survey, key)) for key in ("accuracy", "top2", "good")
            },
        },
        "line_confusions": [asdict(pair) for pair in confusions(wrong, e.survey.wave_range)],
        "misses": _misses(e),
    }


def _pairs(numbers: Mapping[str, Number]) -> dict[str, list[float]]:
    return {key: _pair(number) for key, number in numbers.items()}


def _pair(number: Number) -> list[float]:
    return [number.value, number.error]


def _misses(e: Evaluation) -> list[dict[str, Any]]:
    """Objects of wrong type or with a wrong redshift, the clearest first: their index, ratio and mistaken line."""
    o = e.objects
    missed = np.flatnonzero(~o.right_type | (o.far & ~o.good))
    made = []
    for k in missed[np.argsort(-o.snr[missed])]:
        wrong_z = bool(o.far[k] and not o.good[k])
        pair = mistaken(float(o.z[k]), float(o.z_peak[k]), e.survey.wave_range) if wrong_z else None
        ratio = (1 + o.z_peak[k]) / (1 + o.z[k])
        made.append({"object": int(k), "ratio": ratio, "pair": pair.words if pair else ""})
    return made


def _example(example: Example) -> dict[str, Any]:
    arrays = {key: getattr(example, key).astype(np.float32) for key in ("wave", "flux", "dp", "dz")}
    return {"name": example.name, "class": example.class_name, "z": example.z, "snr": example.snr} | arrays


def plain(value: Any) -> Any:
    """Numbers, text, lists and dicts only; floats to DIGITS."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
