"""The order in which objects are inspected, how far an inspector is, and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from engine.inspections.grade import Entry, Machine, Target

BREAK = timedelta(minutes=5)  # a longer silence is no work
LOOKED_BACK = 100  # objects that the rate is taken from


@dataclass(frozen=True)
class Waiting:
    """An object of the queue. key : the caller's own name of it; machine : None while there is no answer;
    mine : how the inspector's own grade stands."""

    key: str
    target: Target
    machine: Machine | None = None
    mine: Entry | None = None

    @property
    def done(self) -> bool:
        """True when the inspector has given a quality."""
        return self.mine is not None and self.mine.grade.quality is not None


def _of(name: str, sign: float = 1.0) -> Callable[[Waiting], Any]:
    def value(row: Waiting) -> float:
        found = getattr(row.machine, name, None)
        return math.inf if found is None or found != found else sign * float(found)

    return value


# What each order sorts by; what has no value comes last.
ORDERS: MappingProxyType[str, Callable[[Waiting], Any]] = MappingProxyType({
    "information": _of("information", -1),
    "object": lambda row: row.target.object_id,
    "class": lambda row: row.machine.class_name if row.machine else "~",
    "z": _of("z"),
    "zerr": _of("zerr", -1),
    "snr": _of("snr"),
    "confidence": _of("confidence"),
    "suggested": _of("suggested"),
    "grade": lambda row: row.mine.grade.quality if row.mine is not None and row.done else math.inf,
})  # fmt: skip


def ordered(rows: Sequence[Waiting], by: str = "information", reverse: bool = False) -> list[Waiting]:
    """The queue in one of ORDERS; rows that are equal in it keep their order. Raises ValueError on an unknown order.

    information: the most telling first; zerr: the widest first; z, snr, confidence, suggested, grade: the least first.
    """
    if by not in ORDERS:
        raise ValueError(f"order {by!r}: it is one of {', '.join(ORDERS)}")
    return sorted(rows, key=ORDERS[by], reverse=reverse)


@dataclass(frozen=True)
class Progress:
    """done and left: objects; per_hour: None before there are two grades to measure between."""

    done: int
    left: int
    per_hour: float | None

    @property
    def words(self) -> str:
        """In one line: "12 done, 300 left, 84 an hour"."""
        rate = "" if self.per_hour is None else f", {self.per_hour:.0f} an hour"
        return f"{self.done} done, {self.left} left{rate}"


def progress(rows: Sequence[Waiting], history: Sequence[Entry]) -> Progress:
    """How far and how fast: history holds the inspector's acts, oldest first.

    The rate is that of the last 100 objects that were graded by hand; silences over five minutes do not count.
    """
    done = sum(row.done for row in rows)
    return Progress(done, len(rows) - done, rate(history))


def rate(history: Sequence[Entry]) -> float | None:
    """Objects an hour, from the acts of one inspector, oldest first; None when there are fewer than two objects."""
    times = {e.target: e.when for e in history if e.act == "grade" and e.grade.quality is not None}
    seen = sorted(times.values())[-LOOKED_BACK:]
    steps = [later - earlier for earlier, later in pairwise(seen) if later - earlier <= BREAK]
    spent = sum(steps, timedelta())
    return len(steps) * 3600 / spent.total_seconds() if spent else None
