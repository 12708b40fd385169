"""The tables of the page: headline, model card, quality, line confusions, misses, what was left out."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gasnet_app.evaluation_page.panels import Document, share

MOST_MISSES = 300  # listed on the page; evaluation.json has them all
RATIO = "(1 + z′) / (1 + z)"
_SMALL = ("mae", "dz", "nmad")  # in powers of ten


def headline(document: Document) -> str:
    """The few numbers that a reader looks for first."""
    quality = document["tables"]["quality"]
    rows = {row["name"]: row for row in quality["rows"]}
    shown = [("objects", f"{document['data']['n']:,}", "")]
    mean = quality["class_mean"]["accuracy"]
    if mean[0] is not None:
        n_classes = sum(c["name"] in rows for c in document["classes"])
        shown.append((f"accuracy, mean of {n_classes} classes", *_number(mean)))
    shown.append(("right type", *_number(rows["all"]["type_accuracy"])))
    for kind, words in (("all GALAXY", "GF galaxies"), ("all QSO", "GF quasars")):
        if kind in rows:
            shown.append((words, *_number(rows[kind]["good"])))
            shown.append((f"NMAD {words[3:]}", *_number(rows[kind]["nmad"], small=True)))
    inner = "".join(f"<div><span>{w}</span><b>{v}</b><small>{e}</small></div>" for w, v, e in shown)
    return f'<div class="numbers">{inner}</div>'


def _number(pair: Sequence[float | None], small: bool = False) -> tuple[str, str]:
    """A number and its error as text: .945 ± .004, or 6.5e-05 ± 3e-06."""
    value, error = pair
    if value is None:
        return "–", ""
    if small:
        return _power(value), f"± {_power(error, 0)}" if error is not None else ""
    return share(value), f"± {error:.3f}" if error is not None else ""


def _power(value: float | None, digits: int = 1) -> str:
    if value is None or not value:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent >= -2:
        return f"{value:.4f}" if digits else f"{value:.1g}"
    return f"{value / 10.0**exponent:.{digits}f}e{exponent}"


def card(document: Document) -> str:
    """What the model is and what it says of itself."""
    told = document["card"]
    training, validation = told.get("training") or {}, told.get("validation") or {}
    facts = {
        "survey": told.get("survey"),
        "network": f"{told.get('network')}, {told['members']} members" if told["members"] else told.get("network"),
        "classes": ", ".join(c["name"] for c in document["classes"]),
        "trained": ", ".join(
            f"{training[key]:,} {key} per member" for key in ("spectra", "minutes") if training.get(key)
        ),
        "date": told.get("date"),
        "data": told.get("data"),
        "validation": f"accuracy {validation['accuracy']} on {validation['n']:,} mock spectra" if validation else None,
        "MAE (robust limit)": ", ".join(f"{name} {value:.2g}" for name, value in (told.get("mae") or {}).items()),
        "calibration": _calibration(told.get("calibration")),
        "limits": told.get("limits"),
        "licence": told.get("licence"),
    }
    rows = "".join(f"<dt>{key}</dt><dd>{html.escape(str(value))}</dd>" for key, value in facts.items() if value)
    return f"<dl>{rows}</dl>"


def _calibration(told: Any) -> str:
    if isinstance(told, Mapping):
        return ", ".join(f"{key} {value}" for key, value in told.items() if isinstance(value, int | float | str))
    return "none" if told is None else str(told)


def quality(document: Document) -> str:
    """Quality per class and type, every number with its bootstrap error; the card's own accuracy and GF beside."""
    table = document["tables"]["quality"]
    told = (document["card"].get("validation") or {}).get("classes", {})
    names = {c["name"] for c in document["classes"]}
    columns = [c for c in table["columns"] if any(row[c["key"]][0] is not None for row in table["rows"])]
    head = [("class", ""), ("n", "objects; small: those whose label names a class")] + [
        (c["title"], c["says"]) for c in columns
    ]
    if told:
        says = "measured when the model was made; redshift of the true class"
        head += [("card: accuracy", says), ("card: GF", says)]
    body, first = [], True
    for row in table["rows"]:
        n = f"{row['n']:,}" + ("" if row["n_class"] == row["n"] else f"<small>class {row['n_class']:,}</small>")
        cells = [row["name"], n] + [_cell(*_number(row[c["key"]], c["key"] in _SMALL)) for c in columns]
        if told:
            own = told.get(row["name"], {})
            cells += [share(own.get("accuracy")), share(own.get("good_fraction"))]
        kind = "" if row["name"] in names else "sum first" if first else "sum"
        first = first and row["name"] in names
        body.append((kind, cells))
    caption = (
        f"Errors: standard deviation of {table['bootstraps']} bootstrap resamplings. Pointing at a column's name says "
        "what it is. A fraction of 0 or 1 has its binomial error."
    )
    if told:
        own = f"{document['card']['validation']['accuracy']:.3f}"
        caption += f" The model's card: mean accuracy {own} on its validation mocks."
    return _captioned(_table(head, body), caption)


def _cell(value: str, error: str) -> str:
    return f"{value}<small>{error}</small>" if error else value


def line_confusions(document: Document) -> str:
    """Wrong redshifts sorted by the line that was taken for another."""
    rows = document["tables"]["line_confusions"]
    if not rows:
        return "<p>No wrong redshift.</p>"
    head = [("line confusion", ""), (RATIO, "expected from the rest wavelengths"), ("found", "median"), ("n", "")]
    body = []
    for row in rows:
        ratios = _ratio(row["expected"]), _ratio(row["found"])
        body.append(("", [html.escape(row["words"]), *ratios, str(len(row["objects"]))]))
    caption = "By the heaviest peak of p(z). A line read as another one gives one ratio, whatever the object."
    return f"<h3>Wrong redshifts by line confusion</h3>{_captioned(_table(head, body), caption)}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def misses(document: Document) -> str:
    """Every object of wrong type or with a wrong redshift, the clearest first."""
    listed = document["tables"]["misses"]
    names = [c["name"] for c in document["classes"]]
    head = [
        ("object", ""), ("truth", ""), ("answer", ""), ("P", "probability of the answer"), ("SNR", ""), ("z", ""),
        ("z′", "heaviest peak of p(z) of the true type"), (RATIO, ""), ("read as", ""), ("flags", ""),
    ]  # fmt: skip
    body = [("", _miss(miss, document["objects"], names)) for miss in listed[:MOST_MISSES]]
    more = f" The first {MOST_MISSES} are listed." if len(listed) > MOST_MISSES else ""
    caption = f"{len(listed):,} objects of wrong type or with a redshift outside the window, the clearest first.{more}"
    table = _table(head, body, text=(0, 1, 2, 8, 9), wrap_last=True) if body else ""
    return f"<h3>Every miss</h3>{_captioned(table, caption)}"


def _miss(miss: Mapping[str, Any], o: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    k = miss["object"]
    truth = names[o["label"][k]] if o["label"][k] >= 0 else o["spectype"][k]
    redshifts = ["–"] * 3
    if o["z_peak"][k] is not None:
        redshifts = [f"{o['z'][k]:.4f}", f"{o['z_peak'][k]:.4f}", _ratio(miss["ratio"])]
    return [
        html.escape(o["name"][k]), truth, names[o["best"][k]], f"{o['p_best'][k]:.2f}", f"{o['snr'][k]:.1f}",
        *redshifts, html.escape(miss["pair"]), html.escape(o["flags"][k]),
    ]  # fmt: skip


def left_out(document: Document) -> str:
    """What was not judged, and why."""
    rows = [("", [html.escape(name), html.escape(reason)]) for name, reason in document["data"]["left_out"]]
    return _table([("object", ""), ("reason", "")], rows, text=(0, 1), wrap_last=True) if rows else ""


def _captioned(table: str, caption: str) -> str:
    return f"<figure>{table}<figcaption>{caption}</figcaption></figure>"


def _table(
    head: Sequence[tuple[str, str]],
    body: Iterable[tuple[str, Sequence[str]]],
    text: Sequence[int] = (0,),
    wrap_last: bool = False,
) -> str:
    """HTML of a table; columns of `text` stand left, numbers right; the last one is a sentence if wrap_last."""
    kinds = ["" if k in text else "number" for k in range(len(head))]
    if wrap_last:
        kinds[-1] = "wrap"
    top = "".join(
        f'<th class="{kind}" title="{html.escape(says)}">{name}</th>'
        for kind, (name, says) in zip(kinds, head, strict=True)
    )
    lines = []
    for row, cells in body:
        inner = "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, cells, strict=True))
        lines.append(f'<tr class="{row}">{inner}</tr>')
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
