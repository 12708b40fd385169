"""python -m benchmarks load: many inspectors at once on one server: what they wait for, and what it keeps."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.record import RESULTS, console, machine, read, write
from engine.inspections import Journal
from tests.visitors import Serving, Visitor, make_assets

ARRIVALS = 1.0  # seconds between two inspectors that come
RELEASE = 340.0  # seconds for the server to let go of sessions that were left: it waits 300 for them to come back
GROWTH = 1.1  # memory of a second crowd over that of the first, at most


@dataclass
class Crowd:
    """What a number of inspectors lived through. Times in s; memory in MB, at half time and at the end."""

    opened: list[float] = field(default_factory=list)
    saved: list[float] = field(default_factory=list)
    following: list[float] = field(default_factory=list)
    acknowledged: list[tuple[str, str, int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


async def inspect(visitor: Visitor, server: Serving, crowd: Crowd, end: float, pause: float) -> None:
    """Grade one object after the other, each after a look of about `pause` s, until the end; note what goes wrong."""
    rng, began = random.Random(visitor.name), time.perf_counter()
    try:
        await visitor.open(server.url)
        crowd.opened.append(time.perf_counter() - began)
        while time.perf_counter() < end:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
            began = time.perf_counter()
            crowd.saved.append(await visitor.grade(rng.randrange(5)))
            await visitor.moved()
            crowd.following.append(time.perf_counter() - began)
        await visitor.close()
    except Exception as error:  # the others go on; the report tells of it
        crowd.failed.append(f"{visitor.name}: {type(error).__name__}: {error}")
    crowd.acknowledged += [(visitor.name, *act) for act in visitor.acknowledged]


async def meet(server: Serving, sessions: int, seconds: float, pause: float, label: str) -> Crowd:
    """Inspectors come one after the other, and all leave at the end."""
    crowd = Crowd()
    start = time.perf_counter() + ARRIVALS * sessions
    tasks = []
    for k in range(sessions):
        tasks.append(asyncio.create_task(inspect(Visitor(f"{label}{k}"), server, crowd, start + seconds, pause)))
        await asyncio.sleep(ARRIVALS)
    for _ in range(2):
        await asyncio.sleep(max(0.0, start + seconds / 2 * (1 + len(crowd.memory)) - time.perf_counter() - 1))
        crowd.memory.append(await asyncio.to_thread(lambda: server.resident))
    await asyncio.gather(*tasks)
    return crowd


def released(server: Serving) -> tuple[float, float]:
    """Sessions that are left, and memory in MB, once the server had time to let go of them."""
    end = time.monotonic() + RELEASE
    while (left := server.metric("gasnet_sessions")) and time.monotonic() < end:
        time.sleep(1)
    return left, server.resident


def measure(sessions: int, minutes: float, pause: float) -> dict[str, Any]:
    """Every number of the table: a crowd for so many minutes; after it is gone, another for a quarter of them."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/inspections.db"
        objects = int(1.5 * 60 * minutes / pause) + 10  # nobody comes to the end of the queue
        assets = make_assets(Path(folder) / "assets", objects)
        server = Serving(Path(folder), GASNET_ASSETS=str(assets), GASNET_INSPECTIONS=url)
        try:
            bare = server.resident
            first = asyncio.run(meet(server, sessions, 60 * minutes, pause, "first"))
            left, after = released(server)
            second = asyncio.run(meet(server, sessions, 15 * minutes, pause, "second"))
            left += released(server)[0]
            complaints = server.complaints
        finally:
            server.kill(signal.SIGTERM)
        journal = Journal(url)
        written = {(a.inspector, a.target.object_id, a.grade.quality) for a in journal.history()}
        journal.close()
    acknowledged = first.acknowledged + second.acknowledged
    return {
        **machine(), "server and inspectors": "on the same cores", "sessions": sessions, "minutes": minutes,
        "objects": objects, "pause": pause, "failed": first.failed + second.failed, "complaints": complaints[:20],
        "grades": len(acknowledged), "lost": [act for act in acknowledged if act not in written],
        "sessions left": left,
        "memory": {"bare": bare, "half": first.memory[0], "end": first.memory[1], "left": after,
                   "second": second.memory[1]},
        "seconds": {"page": spread(first.opened), "saved": spread(first.saved), "next": spread(first.following)},
    }  # fmt: skip


def spread(values: list[float]) -> list[float]:
    """Median, 95 % and greatest."""
    return [round(float(v), 3) for v in np.quantile(values, (0.5, 0.95, 1.0))] if values else []


def faults(report: dict[str, Any]) -> list[str]:
    """What must not be: failures, complaints of the log, lost grades, sessions or memory that are not let go of."""
    found = report["failed"] + report["complaints"] + [f"lost: {act}" for act in report["lost"]]
    if report["sessions left"]:
        found.append(f"{report['sessions left']:.0f} sessions were never released")
    memory = report["memory"]
    if memory["second"] > GROWTH * max(memory["half"], memory["end"]):
        found.append(f"memory grew: {memory['end']:.0f} MB for one crowd, {memory['second']:.0f} MB for the next")
    return list(found)


def show(report: dict[str, Any]) -> None:
    """Print a report."""
    r, m = report, report["memory"]
    title = f"{r['sessions']} sessions, {r['minutes']:g} min, each a grade every {r['pause']:g} s; {r['cores']} cores"
    table = Table("what", "value", title=title)
    for name, words in (("page", "first object and answer"), ("saved", "grade saved"), ("next", "next object")):
        if r["seconds"][name]:
            table.add_row(f"{words}: median, 95 %, longest (s)", ", ".join(f"{v:.2f}" for v in r["seconds"][name]))
    table.add_row("grades acknowledged, lost", f"{r['grades']}, {len(r['lost'])}")
    table.add_row("failures, complaints in the log", f"{len(r['failed'])}, {len(r['complaints'])}")
    words = "memory (MB): started, half time, end, all left, a second crowd"
    table.add_row(words, ", ".join(f"{m[k]:.0f}" for k in ("bare", "half", "end", "left", "second")))
    console().print(table)
    for fault in faults(r):
        console().print(fault, markup=False)


def main(arguments: list[str]) -> None:
    """Let many sessions inspect at once; ends with 1 when one fails, a grade is lost, or memory is not let go of."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks load", description=main.__doc__)
    parser.add_argument("--sessions", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the first crowd; the second stays a quarter")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds that an inspector looks at an object")
    parser.add_argument("--print", type=Path, dest="kept", metavar="JSON", help="print a report written earlier")
    options = parser.parse_args(arguments)
    if not options.kept:
        options.kept = RESULTS / f"load-{time.strftime('%Y-%m-%d')}.json"
        write(options.kept, measure(options.sessions, options.minutes, options.pause))
    report = read(options.kept)
    show(report)
    if faults(report):
        raise SystemExit(1)
