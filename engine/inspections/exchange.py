"""Inspections in other programs' files: prospect's VI CSV and Marz's .mz.

prospect (desihub/prospect, utilities.py, vi_file_fields): one row per object and scanner; VI_z and VI_spectype are
empty where the pipeline's answer stands. The Redrock columns hold the machine's answer, Redrock_version its model.
Marz (Samreay/Marz, ResultsGenerator): comment lines, the last of them the header, then values between commas; text
holds no commas. FinTN names a template; we write one template per spectral type and read the type from any name.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

from engine.catalogue import no_formula
from engine.inspections.grade import SPECTYPES, Entry, Grade, GradeError, Machine, Target, with_qop
from engine.inspections.journal import Incoming
from engine.plain import PlainError

PROSPECT = (
    "TARGETID", "EXPID", "NIGHT", "TILEID", "Spec_version", "Redrock_version", "Template_version", "Redrock_spectype",
    "Redrock_z", "Redrock_deltachi2", "VI_scanner", "VI_quality", "VI_issue", "VI_z", "VI_spectype", "VI_comment",
)  # fmt: skip
_NEEDED = ("TARGETID", "VI_scanner", "VI_quality")
_MARZ_NEEDED = ("Name", "QOP")
# Marz's template of each type: number and name.
TEMPLATES = MappingProxyType({"STAR": ("5", "G Star"), "GALAXY": ("9", "Composite Galaxy"), "QSO": ("12", "Quasar")})


class ExchangeError(PlainError):
    """A file of inspections cannot be read. The message names the file, the line and what should stand there."""


def _formula_again(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:2] in ("=", "+", "-", "@") else text


# ---- prospect --------------------------------------------------------------------------------------------------------


def to_prospect(entries: Sequence[Entry]) -> str:
    """The text of a VI file. Columns that we do not know (exposure, night, tile) hold prospect's own default, -1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(PROSPECT)
    for e in entries:
        if e.grade.said_nothing:
            continue
        m, g = e.machine, e.grade
        row = {
            "TARGETID": e.target.object_id, "EXPID": "-1", "NIGHT": "-1", "TILEID": "-1", "Spec_version": "-1",
            "Redrock_version": m.model if m else "-1", "Template_version": "-1",
            "Redrock_spectype": m.spectype if m else "", "Redrock_z": _z(m.z if m else None) or "-1",
            "Redrock_deltachi2": "-1", "VI_scanner": e.inspector,
            "VI_quality": "-1" if g.quality is None else str(g.quality), "VI_issue": g.issues, "VI_z": _z(g.z),
            "VI_spectype": g.spectype, "VI_comment": g.comment,
        }  # fmt: skip
        writer.writerow([no_formula(row[name]) for name in PROSPECT])
    return out.getvalue()


def _z(z: float | None) -> str:
    return "" if z is None or math.isnan(z) else f"{z:.6f}"


def from_prospect(text: str, name: str, survey: str = "DESI") -> list[Incoming]:
    """The rows of a VI file; its object ids are the survey's. Raises ExchangeError."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    found = []
    try:
        lacking = [column for column in _NEEDED if column not in (reader.fieldnames or ())]
        if lacking:
            raise ExchangeError(f"{name}: no column {', '.join(lacking)}. A VI file has {', '.join(PROSPECT)}")
        for row in reader:
            found.append(_read(partial(_prospect_row, row, survey, name), name, reader.line_num))
    except csv.Error as error:
        raise ExchangeError(f"{name}, line {reader.line_num}: {error}") from error
    return found


def _prospect_row(row: dict[str, str | None], survey: str, name: str) -> Incoming:
    def cell(column: str) -> str:
        return _formula_again((row.get(column) or "").strip())

    quality = cell("VI_quality")
    grade = Grade(
        None if quality in ("", "-1") else _integer(quality, "VI_quality"),
        cell("VI_issue"), _type(cell("VI_spectype")), _float(cell("VI_z"), "VI_z"), cell("VI_comment"),
    )  # fmt: skip
    z, spectype, version = _float(cell("Redrock_z"), "Redrock_z"), cell("Redrock_spectype"), cell("Redrock_version")
    machine = None
    if z is not None and z != -1 and spectype:
        machine = Machine(version if version not in ("", "-1") else "redrock", spectype, _type(spectype), z)
    return Incoming(Target(survey, _id(cell("TARGETID")), name), cell("VI_scanner"), grade, machine)


# ---- Marz ------------------------------------------------------------------------------------------------------------

_MARZ = (
    "ID", "Name", "RA", "DEC", "Mag", "Type", "AutoTID", "AutoTN", "AutoZ", "AutoXCor", "FinTID", "FinTN", "FinZ",
    "QOP", "Comment",
)  # fmt: skip


def to_marz(entries: Sequence[Entry], inspector: str) -> str:
    """The text of one inspector's .mz file. Positions and magnitudes, which we do not keep, are empty."""
    mine = [e for e in entries if e.inspector == inspector and e.grade.quality is not None]
    rows = []
    for i, e in enumerate(mine, start=1):
        auto = TEMPLATES.get(e.machine.spectype if e.machine else "", ("0", ""))
        final = TEMPLATES.get(e.spectype, ("0", ""))
        auto_z, final_z = f"{_marz_z(e.machine.z if e.machine else None)}", _marz_z(e.z)
        rows.append((f"{i:04d}", e.target.object_id, "", "", "", e.target.survey, *auto, auto_z, "0.00000", *final,
                     final_z, str(e.qop), e.grade.comment))  # fmt: skip
    cells = [[no_formula(cell.replace(",", ";")) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[k]) for row in cells)]) for k, name in enumerate(_MARZ)]
    now = datetime.now(UTC)
    good = sum(e.qop > 2 for e in mine)
    share = 100.0 * good / len(mine) if mine else 0.0
    head = [
        f'# Results generated by {inspector} for file [[GaSNet Explorer]] at {now:%d/%m/%Y, %H:%M:%S} '
        f'(JSON: "{now:%Y-%m-%dT%H:%M:%S.000Z}") at version {{{{1.3.8}}}}',
        f"# Redshift quality > 2 for {good} out of {len(mine)} targets, a success rate of  {share:.1f}%",
        "#" + ",  ".join(name.ljust(width) for name, width in zip(_MARZ, widths, strict=True)),
    ]  # fmt: skip
    lines = [" " + ",  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*head, *lines]) + "\n"


def _marz_z(z: float | None) -> str:
    return "0.00000" if z is None or math.isnan(z) else f"{z:.5f}"


def from_marz(text: str, name: str, survey: str = "", inspector: str = "") -> list[Incoming]:
    """The graded rows of a .mz file. survey : whose ids they are; empty: column Type says, as in our own files.

    inspector : instead of the initials that the file's first line gives. Raises ExchangeError.
    """
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("#")]
    columns = [column.strip() for column in comments[-1].lstrip("#").split(",")] if comments else []
    lacking = [column for column in _MARZ_NEEDED if column not in columns]
    if lacking:
        raise ExchangeError(f"{name}: no column {', '.join(lacking)}. The last # line of a .mz file names its columns")
    said = re.match(r"# Results generated by (.*?) for file", comments[0])
    who = inspector or (said.group(1).strip() if said else "")
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [_formula_again(cell.strip()) for cell in line.split(",")]
        if len(cells) != len(columns):
            raise ExchangeError(f"{name}, line {number}: {len(cells)} values for {len(columns)} columns")
        row = dict(zip(columns, cells, strict=True))
        item = _read(partial(_marz_row, row, survey, name, who), name, number)
        if item.grade.quality is not None:
            found.append(item)
    return found


def _marz_row(row: dict[str, str], survey: str, name: str, who: str) -> Incoming:
    auto, final = _template_type(row.get("AutoTN", "")), _template_type(row.get("FinTN", ""))
    auto_z, final_z = _float(row.get("AutoZ", ""), "AutoZ"), _float(row.get("FinZ", ""), "FinZ")
    machine = Machine("Marz", row.get("AutoTN", ""), auto, auto_z) if auto and auto_z is not None else None
    known = machine is not None
    grade = Grade(
        None, "", "" if known and final == auto else final, None if known and final_z == auto_z else final_z,
        row.get("Comment", ""),
    )  # fmt: skip
    value = _integer(row["QOP"], "QOP")
    star = (grade.spectype or auto) == "STAR"
    grade = with_qop(grade, 6 if value == 4 and star else value, auto)  # Marz itself lets a star be 4
    return Incoming(Target(survey or row.get("Type", ""), _id(row["Name"]), name), who, grade, machine)


def _template_type(template: str) -> str:
    lower = template.lower()
    words = (("star", "STAR"), ("quasar", "QSO"), ("qso", "QSO"), ("galaxy", "GALAXY"))
    if "forming" in lower or "starburst" in lower:  # "High Redshift Star Forming Galaxy" is no star
        return "GALAXY"
    return next((spectype for word, spectype in words if word in lower), "")


# ---- files -----------------------------------------------------------------------------------------------------------


def _read(make: Callable[[], Incoming], name: str, line: int) -> Incoming:
    try:
        item = make()
        if not item.inspector.strip():
            raise GradeError("no inspector's name")
    except (GradeError, ExchangeError) as error:
        raise ExchangeError(f"{name}, line {line}: {error}") from error
    return item


def _id(text: str) -> str:
    if not text:
        raise ExchangeError("the object has no name")
    return text


def _type(text: str) -> str:
    return (
        text.upper()
        if text.upper() in SPECTYPES
        else {"": "", "GAL": "GALAXY", "QUASAR": "QSO"}.get(text.upper(), text)
    )


def _float(text: str, column: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ExchangeError(f"{column} {text!r} is not a number") from None


def _integer(text: str, column: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ExchangeError(f"{column} {text!r} is not a whole number") from None


def read_inspections(data: bytes, name: str, survey: str = "", inspector: str = "") -> list[Incoming]:
    """The rows of a VI CSV or, when the name ends in .mz, of a Marz file.

    survey : whose object ids they are; for a VI CSV, DESI when it is not given. inspector : see from_marz.
    Raises ExchangeError, also for bytes that are no text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExchangeError(f"{name}: is no text ({error.reason} at byte {error.start})") from error
    if Path(name).suffix.lower() == ".mz":
        return from_marz(text, name, survey, inspector)
    return from_prospect(text, name, survey or "DESI")
