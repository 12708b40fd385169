"""What several inspectors say together: where they disagree, the consensus, and what settles a conflict.

Rules. Two records disagree when their qualities differ by two or more, or are 3 and 4 (Marz 1.3.8), or when both have a
quality of at least 2 and their spectral types differ or their redshifts lie more than 1000 km/s apart (0.0033 in
ln(1 + z); redrock's limit between two redshifts). Without a conflict the quality is the mean, the redshift the mean of
those with quality 2 or more, and a mean quality of 2.5 or more is confident (DESI). A record marked `settles`, newer
than the others, decides; when anyone grades after it, the question is open again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from engine.inspections.grade import Entry, Target
from engine.inspections.journal import by_object
from engine.prediction import C_KMS

CONFIDENT = 2.5
APART_KMS = 1000.0


@dataclass(frozen=True)
class Consensus:
    """What the inspectors of one object say together.

    records : each inspector's standing record, oldest first; conflicts : in words, empty without or when settled
    quality : mean, or the settling record's; None when nobody graded; settled_by : who settled it, or ""
    """

    target: Target
    records: tuple[Entry, ...]
    conflicts: tuple[str, ...]
    quality: float | None
    spectype: str
    z: float | None
    settled_by: str = ""

    @property
    def confident(self) -> bool:
        """True when the inspectors agree (or it is settled) and the quality is at least 2.5."""
        return not self.conflicts and self.quality is not None and self.quality >= CONFIDENT


def merged(entries: Sequence[Entry], apart_kms: float = APART_KMS) -> list[Consensus]:
    """One consensus per object, in order of the first record. entries : as Journal.latest gives them."""
    return [consensus(target, records, apart_kms) for target, records in by_object(entries).items()]


def consensus(target: Target, records: Sequence[Entry], apart_kms: float = APART_KMS) -> Consensus:
    """What the standing records of one object, one per inspector and oldest first, say together."""
    graded = [record for record in records if record.grade.quality is not None]
    if graded and graded[-1].grade.settles:
        last = graded[-1]
        return Consensus(target, tuple(records), (), last.grade.quality, last.spectype, last.z, last.inspector)
    firm = [record for record in graded if (record.grade.quality or 0) >= 2]
    conflicts = [
        f"{first.inspector} and {second.inspector}: {words}"
        for first, second in combinations(graded, 2)
        if (words := disagreement(first, second, apart_kms))
    ]
    quality = fmean(record.grade.quality or 0 for record in graded) if graded else None
    best = max(graded, key=lambda record: record.grade.quality or 0, default=None)
    redshifts = [
        record.z for record in firm if record.z is not None and (best is None or record.spectype == best.spectype)
    ]
    z = fmean(redshifts) if redshifts else best.z if best else None
    return Consensus(target, tuple(records), tuple(conflicts), quality, best.spectype if best else "", z)


def disagreement(first: Entry, second: Entry, apart_kms: float = APART_KMS) -> str:
    """How two graded records differ, in words; empty when they do not."""
    one, other = first.grade.quality or 0, second.grade.quality or 0
    found = []
    if abs(one - other) >= 2 or {one, other} == {3, 4}:
        found.append(f"quality {one} and {other}")
    if min(one, other) >= 2:
        if first.spectype != second.spectype:
            found.append(f"type {first.spectype or 'none'} and {second.spectype or 'none'}")
        if first.z is not None and second.z is not None:
            apart = abs(math.log1p(first.z) - math.log1p(second.z)) * C_KMS
            if apart > apart_kms:
                found.append(f"z {first.z:.4f} and {second.z:.4f}")
    return ", ".join(found)
