"""Model cards: what a complete one holds, and how it reads. The command line and the page show the same text.

A card is the dict of card.json (engine.registry). Complete is what docs/models.md says: what the model is, the data
and the split that made it, its numbers with n and date, calibration, "none of these", limits, checksums, licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What a complete card holds: path of the key, what it is.
REQUIRED: Mapping[str, str] = {
    "model": "name",
    "survey": "survey",
    "survey_sha256": "hash of the survey",
    "network": "network",
    "config": "network's settings",
    "grid": "wavelength grid",
    "zgrid": "redshift grid",
    "classes": "classes in order",
    "seeds": "seeds of the members",
    "members": "members",
    "mae": "validation error per class",
    "data": "training data",
    "split": "split rule",
    "training": "training settings",
    "validation.n": "number of validation spectra",
    "validation.classes": "numbers per class",
    "date": "date of the numbers",
    "calibration": "calibration",
    "ood": "threshold of none-of-these",
    "limits": "known limits",
    "licence": "licence",
}

LATER = ("calibration", "ood")  # measured after training; without them a model may serve, and its card says what lacks


@dataclass(frozen=True)
class Section:
    """One part of a card: facts as (what, value), a table as head and rows, plain words."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: tuple[str, ...] = ()


def missing(card: Mapping[str, Any], but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What a card lacks to be complete, in words and with the key, `but` some: nothing when it is complete."""
    wanted = {key: what for key, what in REQUIRED.items() if key not in but}
    found = [f"{what} ({key})" for key, what in wanted.items() if _get(card, key) in (None, "", [], {})]
    bare = [member.get("file", "?") for member in card.get("members") or () if not member.get("sha256")]
    return (*found, *(f"sha256 of {file}" for file in bare))


def _get(card: Mapping[str, Any], path: str) -> Any:
    value: Any = card
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def card_sections(card: Mapping[str, Any]) -> tuple[Section, ...]:
    """The card as text, in reading order; what is missing says so."""
    return (
        _what(card),
        Section("Training data", words=_words(card.get("data")), facts=_settings(card)),
        Section("Split", words=_words(card.get("split"))),
        _metrics(card, "validation"),
        *([_metrics(card, "test")] if card.get("test") else []),
        _open_section("Calibration", card.get("calibration"), "not calibrated"),
        _open_section("None of these", card.get("ood"), "no threshold: every object is called one of the classes"),
        Section("Known limits", words=_words(card.get("limits"))),
        Section("Files", head=("file", "seed", "sha256"), rows=_members(card)),
        Section("Licence", words=_words(card.get("licence"))),
    )


def _what(card: Mapping[str, Any]) -> Section:
    grid, zgrid = card["grid"], card["zgrid"]
    if grid.get("kind") == "log":
        first, last = (10 ** (grid["loglam_min"] + grid["step"] * i) for i in (0, grid["n"] - 1))
    else:
        first, last = grid["wave_min"], grid["wave_max"]
    z_max = 10 ** (zgrid["step"] * (zgrid["n"] - 1)) - 1
    return Section(
        "What it is",
        facts=(
            ("model", str(card["model"])),
            ("survey", f"{card['survey']} (hash {card['survey_sha256'][:12]})"),
            ("network", f"{card['network']}, {len(card['members'])} members"),
            ("reads", f"{grid['n']} px, {grid.get('kind', '')}, {first:.0f}-{last:.0f} A in vacuum"),
            ("answers", f"{len(card['classes'])} classes; redshifts up to {z_max:.2f} in {zgrid['n']} bins"),
            ("classes", ", ".join(card["classes"])),
            ("settings", ", ".join(f"{key} {value}" for key, value in card["config"].items())),
        ),
    )


def _settings(card: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Training settings, and of labelled spectra how many of each class and what was left out."""
    found = {key: value for key, value in (card.get("labelled") or {}).items() if isinstance(value, Mapping)}
    counts = ((name, ", ".join(f"{key} {n}" for key, n in value.items() if n)) for name, value in found.items())
    return (*_facts(card.get("training")), *((name.replace("_", " "), text or "none") for name, text in counts))


def _metrics(card: Mapping[str, Any], split: str) -> Section:
    found = card.get(split) or {}
    rows = found.get("classes") or {}
    keys = sorted({key for facts in rows.values() for key in facts}, key=_order)
    table = tuple((name, *(_number(facts.get(key)) for key in keys)) for name, facts in rows.items())
    facts = [("measured", f"{card.get('date', 'no date')}, n = {found.get('n', '?')}")]
    facts += [(key.replace("_", " "), _number(v)) for key, v in found.items() if key not in ("n", "classes")]
    return Section(f"Numbers on {split} data", tuple(facts), ("class", *(k.replace("_", " ") for k in keys)), table)


def _order(key: str) -> tuple[int, str]:
    first = ("n", "accuracy", "type_accuracy", "good_fraction", "mae")
    return (first.index(key) if key in first else len(first), key)


def _open_section(title: str, value: Any, absent: str) -> Section:
    """A part whose keys belong to whoever measured it."""
    if not value:
        return Section(title, words=(absent,))
    return Section(title, facts=_facts(value)) if isinstance(value, Mapping) else Section(title, words=_words(value))


def _members(card: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple((m["file"], str(m.get("seed", "")), m.get("sha256", "missing")) for m in card["members"])


def _facts(value: Any, prefix: str = "") -> tuple[tuple[str, str], ...]:
    """Nested settings as lines, one per leaf; what is unset is left out."""
    lines: list[tuple[str, str]] = []
    for key, inner in (value or {}).items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(inner, Mapping):
            lines += _facts(inner, f"{name}, ")
        elif inner is not None:
            lines.append((name, _number(inner)))
    return tuple(lines)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_number(v) for v in value)
    return "" if value is None else str(value)


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    return (str(value),) if value else ("missing",)
