"""The faces of a validation Report and of an Evaluation: tables on a terminal, Markdown for the README, JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.evaluate import (
    Bin,
    Case,
    Change,
    Comparison,
    Confusion,
    Evaluation,
    Number,
    Quality,
    Report,
    Sample,
    mean_over_classes,
)
from engine.evaluate.comparison import COMPARED, GAINED, LOST, OTHER
from engine.evaluate.tables import MEASURES, TITLES

if TYPE_CHECKING:
    from engine.experiments import Outcome

_HEAD = (
    "class", "n", "accuracy", "top 2", "right type", "good z", "NMAD", "catastrophic", "robust", "good z of robust",
)  # fmt: skip
_BIN_HEAD = ("type", "z from", "to", "n", "good z", "right type", "")
_CONFUSION_HEAD = ("line confusion", "(1+z')/(1+z)", "found", "n", "objects")
_PRINTED = ("accuracy", "top2", "type_accuracy", "good", "nmad", "catastrophic", "robust", "good_robust", "flagged")
_ON_CARD = {"accuracy": "accuracy", "good": "good_fraction"}
MANY, LEAST = 10, 0.90  # a redshift bin of that many objects is marked below that good fraction
_MISS_HEAD = ("object", "label", "z", "answer", "z'", "(1+z')/(1+z)", "flags")


def print_tables(report: Report, misses: bool = False) -> None:
    """Print a report to stdout as tables: per group, then the misses if wanted, then what was left out, counted."""
    # A pipe has no width; a table cut to 80 columns would lose numbers.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for title, head, rows in _parts(report, misses):
        table = Table(*head, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(_left_out(report, misses), markup=False)


def print_markdown(report: Report, misses: bool = False) -> None:
    """Print a report to stdout as the Markdown tables of the README."""
    for title, head, rows in _parts(report, misses):
        lines = [f"**{title}**", "", _markdown_row(head), _markdown_row(["---"] * len(head))]
        print("\n".join([*lines, *map(_markdown_row, rows), ""]))
    print(_left_out(report, misses))


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the quality of an evaluation to stdout: a line per class and type, the card's numbers in brackets."""
    told = (evaluation.card.get("validation") or {}).get("classes", {})
    keys = [key for key in _PRINTED if any(math.isfinite(row.numbers[key].value) for row in evaluation.rows)]
    table = Table(*("class", "n"), *(TITLES[key] for key in keys), title_justify="left")
    table.title = f"{evaluation.card['model']} on {evaluation.data}; the card's numbers in brackets"
    for row in evaluation.rows:
        own = told.get(row.name, {})
        cells = [_number(row.numbers[key], key in MEASURES, own.get(_ON_CARD.get(key, ""))) for key in keys]
        table.add_row(row.name, str(row.n), *cells)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    mean = mean_over_classes(evaluation.rows, evaluation.survey, "accuracy")
    if math.isfinite(mean.value):
        own = (evaluation.card.get("validation") or {}).get("accuracy")
        print(f"Mean of the classes: accuracy {_number(mean, False, own)}")
    if evaluation.left_out:
        print(f"Left out: {len(evaluation.left_out)}")


def print_outcome(outcome: Outcome) -> None:
    """Print the table of an experiment to stdout, with what the paper found."""
    table = Table(*outcome.columns, title_justify="left", title=f"{outcome.experiment}, scale {outcome.scale}")
    for row in outcome.rows:
        table.add_row(*(_cell(cell, column) for column, cell in zip(outcome.columns, row, strict=True)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    print(f"The paper: {outcome.paper}.")


def print_comparison(comparison: Comparison, turned: int = 20) -> None:
    """Print a comparison to stdout: each number before, after and the difference with its error, a * where it is more
    than two errors; what classes gained and lost; the first `turned` objects whose answer changed."""
    screen = Console(width=None if sys.stdout.isatty() else 160)
    for sample in comparison.samples:
        title = f"{comparison.before} -> {comparison.after} on {sample.data}, n = {sample.n}"
        table = Table("", "n", "number", "before", "after", "difference", title=title, title_justify="left")
        for line in sample.lines:
            told = {k: c for k, c in line.numbers.items() if math.isfinite(c.difference.value)}
            for i, (key, change) in enumerate(told.items()):
                first, last = i == 0, i == len(told) - 1
                table.add_row(line.name if first else "", str(line.n) if first else "", *_change(key, change),
                              end_section=last)  # fmt: skip
        screen.print(table)
        print(_confusion_words(sample))
        verdicts = [t.verdict for t in sample.turned]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in (LOST, GAINED, OTHER))
        head = ("object", "label", "z", "before", "z before", "after", "z after", "")
        table = Table(*head, title=f"{len(verdicts)} answers changed: {counts}", title_justify="left")
        for t in sample.turned[:turned]:
            table.add_row(t.name, t.truth, f"{t.z:.4f}", t.before, _z(t.z_before), t.after, _z(t.z_after), t.verdict)
        if verdicts:
            screen.print(table)


def _change(key: str, change: Change) -> tuple[str, str, str, str]:
    small = key in MEASURES
    sign = "+" if change.difference.value >= 0 else ""
    mark = " *" if change.sure else ""
    before, after = _number(change.before, small), _number(change.after, small)
    return COMPARED[key], before, after, f"{sign}{_number(change.difference, small)}{mark}"


def _confusion_words(sample: Sample, most: int = 8) -> str:
    """The cells of the confusion matrix that changed most, in words."""
    difference = sample.confusion_difference
    cells = sorted(np.argwhere(difference != 0).tolist(), key=lambda cell: -abs(difference[cell[0], cell[1]]))[:most]
    words = [f"{sample.names[i]} as {sample.names[j]} {difference[i, j]:+d}" for i, j in cells]
    return f"Confusion, after - before: {'; '.join(words) or 'no change'}"


def _z(z: float | None) -> str:
    return "-" if z is None else f"{z:.4f}"


def _cell(cell: str | int | float | Number, column: str) -> str:
    if isinstance(cell, Number):
        return _number(cell, column.startswith("NMAD"))
    return f"{cell:+.3f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def _number(number: Number, small: bool, card: float | None = None) -> str:
    """A number with its error, in powers of ten if small; the card's in brackets."""
    if math.isnan(number.value):
        return "-"
    value, error = (".1e", ".0e") if small else (".3f", ".3f")
    spread = f" ± {number.error:{error}}" if math.isfinite(number.error) else ""
    return f"{number.value:{value}}{spread}" + ("" if card is None else f" ({card:.3g})")


def write_json(report: Report, path: str | Path) -> None:
    """Write every number of a report as JSON, atomically; NaN becomes null."""
    plain = {
        "model": report.model,
        "groups": {name: [asdict(line) for line in lines] for name, lines in report.groups.items()},
        "redshift_bins": {name: [asdict(line) for line in lines] for name, lines in report.bins.items()},
        "line_confusions": {name: [asdict(pair) for pair in pairs] for name, pairs in report.confusions.items()},
        "cases": [asdict(case) for case in report.cases],
        "left_out": [{"name": name, "reason": reason} for name, reason in report.left_out],
    }
    part = Path(f"{path}.part")
    part.write_text(json.dumps(_no_nan(plain), indent=1) + "\n")
    os.replace(part, path)


def _parts(report: Report, misses: bool) -> list[tuple[str, Sequence[str], list[Sequence[str]]]]:
    parts: list[tuple[str, Sequence[str], list[Sequence[str]]]] = []
    for group, lines in report.groups.items():
        n = sum(case.group == group for case in report.cases)
        parts.append((f"{report.model} on {group}, {n} spectra", _HEAD, [_row(line) for line in lines]))
        if bins := report.bins.get(group):
            parts.append((f"{group}, by redshift", _BIN_HEAD, [_bin(line) for line in bins]))
        if pairs := report.confusions.get(group):
            parts.append((f"{group}, wrong redshifts by line confusion", _CONFUSION_HEAD, [_pair(p) for p in pairs]))
    if misses:
        parts.append((f"Misses: {len(report.misses)}", _MISS_HEAD, [_miss(case) for case in report.misses]))
    return parts


def _row(line: Quality) -> Sequence[str]:
    # Where some labels name no class, the accuracy is of fewer objects than n.
    accuracy = _share(line.accuracy) + (f" (of {line.n_class})" if 0 < line.n_class < line.n else "")
    return (
        line.name, str(line.n), accuracy, _share(line.top2), _share(line.type_accuracy), _share(line.good),
        "-" if math.isnan(line.nmad) else f"{line.nmad:.1e}",
        _share(line.catastrophic), _share(line.robust), _share(line.good_robust),
    )  # fmt: skip


def _bin(line: Bin) -> Sequence[str]:
    shares = _share(line.good), _share(line.type_accuracy)
    mark = f"under {LEAST}" if line.n >= MANY and line.good < LEAST else ""
    return line.spectype, f"{line.low:g}", f"{line.high:g}", str(line.n), *shares, mark


def _pair(pair: Confusion) -> Sequence[str]:
    expected = "-" if math.isnan(pair.expected) else f"{pair.expected:.3f}"
    return pair.words, expected, f"{pair.found:.3f}", str(pair.n), " ".join(pair.objects)


def _miss(case: Case) -> Sequence[str]:
    return (
        case.name, case.class_name or case.spectype, f"{case.z:.4f}", case.class_pred, f"{case.z_peak:.4f}",
        f"{case.line_ratio:.3f}", "; ".join(case.words),
    )  # fmt: skip


def _left_out(report: Report, each: bool) -> str:
    if each:
        return "\n".join(["Left out:", *(f"- {name}: {reason}" for name, reason in report.left_out)])
    return f"Left out: {len(report.left_out)} spectra (listed with --misses)"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _no_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
