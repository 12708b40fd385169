"""Inspections as tables, for files that lose nothing: one row per record, or one per object with the consensus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from engine.inspections.grade import ISSUES, Entry
from engine.inspections.merge import Consensus

_RECORD: Mapping[str, type] = {
    "object_id": str, "survey": str, "source": str, "inspector": str, "quality": int, "qop": int, "issues": str,
    "spectype": str, "z": float, "comment": str, "settles": bool, "set_spectype": str, "set_z": float, "when": str,
    "sequence": int, "suggested": int, "model": str, "machine_class": str, "machine_spectype": str, "machine_z": float,
    "machine_zerr": float, "machine_zwarn": int, "machine_confidence": float, "machine_information": float,
}  # fmt: skip
_CONSENSUS: Mapping[str, type] = {
    "object_id": str, "survey": str, "quality": float, "confident": bool, "spectype": str, "z": float, "issues": str,
    "inspectors": str, "conflict": str, "settled_by": str, "comments": str, "machine_class": str, "machine_z": float,
}  # fmt: skip
_FILL: Mapping[type, Any] = {float: np.nan, int: -1, bool: False}


def records_table(entries: Sequence[Entry]) -> Table:
    """One row per record. spectype and z are as they stand; set_spectype and set_z what the person set, if anything."""
    return _table(_RECORD, [_record(e) for e in entries if not e.grade.said_nothing])


def _record(e: Entry) -> dict[str, Any]:
    g, m = e.grade, e.machine
    row: dict[str, Any] = {
        "object_id": e.target.object_id, "survey": e.target.survey, "source": e.target.source, "inspector": e.inspector,
        "quality": g.quality, "qop": e.qop, "issues": g.issues, "spectype": e.spectype, "z": e.z, "comment": g.comment,
        "settles": g.settles, "set_spectype": g.spectype, "set_z": g.z, "when": e.when_utc, "sequence": e.sequence,
    }  # fmt: skip
    if m is not None:
        row |= {
            "suggested": m.suggested, "model": m.model, "machine_class": m.class_name, "machine_spectype": m.spectype,
            "machine_z": m.z, "machine_zerr": m.zerr, "machine_zwarn": m.zwarn, "machine_confidence": m.confidence,
            "machine_information": m.information,
        }  # fmt: skip
    return row


def consensus_table(found: Sequence[Consensus]) -> Table:
    """One row per object: the graded catalogue. A machine's answer is that beside the newest record."""
    return _table(_CONSENSUS, [_consensus(c) for c in found])


def _consensus(c: Consensus) -> dict[str, Any]:
    machine = next((r.machine for r in reversed(c.records) if r.machine is not None), None)
    return {
        "object_id": c.target.object_id, "survey": c.target.survey, "quality": c.quality, "confident": c.confident,
        "spectype": c.spectype, "z": c.z,
        "issues": "".join(issue for issue in ISSUES if any(issue in r.grade.issues for r in c.records)),
        "inspectors": "; ".join(r.inspector for r in c.records), "conflict": "; ".join(c.conflicts),
        "settled_by": c.settled_by,
        "comments": "; ".join(f"{r.inspector}: {r.grade.comment}" for r in c.records if r.grade.comment),
        "machine_class": machine.class_name if machine else "", "machine_z": machine.z if machine else None,
    }  # fmt: skip


def _table(columns: Mapping[str, type], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        if kind is str:
            table[name] = np.array([value or "" for value in values], dtype=str)
            continue
        missing = [value is None or value != value for value in values]
        filled = [kind(0) if gone else kind(value) for value, gone in zip(values, missing, strict=True)]
        table[name] = MaskedColumn(np.array(filled, dtype=kind), mask=missing, fill_value=_FILL[kind])
    return table
