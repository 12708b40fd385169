"""The training process's side of a job: it holds the locks, tells how far it is, and stops when it is told to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.jobs.folder import JobError, Status, find_job, now, write_status
from engine.jobs.locks import Busy, device_key, device_lock, read_facts, run_lock, take, write_facts
from engine.plan import TrainConfig
from engine.registry import ModelError
from engine.train import Progress, train
from engine.trainer import Stopped

EVERY = 1.0  # seconds between two writings of status.json


def run(
    config: TrainConfig, out: str | Path, progress: Progress | None = None, notice: Callable[[str], None] = print,
    who: str = "", locks: tuple[int, ...] = (),
) -> Path:  # fmt: skip
    """Train as engine.train.train does, as a job: one at a time per device, its state in status.json.

    locks : those of device and folder, where whoever started this process has handed them over
    SIGTERM and SIGINT stop it after a checkpoint. Raises what train raises; JobError when the device or the folder is
    in use; Stopped when it was stopped.
    """
    folder = Path(out)
    with holding(config, folder, locks):
        reporter = Reporter(config, folder, progress, notice, who)
        with reporter.listening():
            try:
                train(config, folder, reporter.progress, reporter.notice)
            except Stopped:
                reporter.end("stopped", "stopped; it goes on from its checkpoint")
                raise
            except BaseException as error:
                reporter.end("failed", " ".join(f"{error}".split()) or type(error).__name__)
                raise
            reporter.end("finished")
    return folder


def take_locks(config: TrainConfig, folder: Path) -> tuple[int, int]:
    """The locks of the device and of the folder. Raises JobError naming who has one."""
    facts = {"folder": str(folder.resolve()), "pid": os.getpid(), "host": socket.gethostname(), "since": now()}
    key = device_key(config.device)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        device = take(device_lock(key), facts)
    except Busy as busy:
        other = Path(str(busy.facts.get("folder", "another run")))
        raise JobError(
            f"the device {key} trains {other.name} already (process {busy.facts.get('pid', '?')}, since "
            f"{busy.facts.get('since', '?')}). Wait until it is finished, or stop it; it can be resumed"
        ) from busy
    try:
        return device, take(run_lock(folder), facts)
    except Busy as busy:
        os.close(device)
        raise JobError(f"{folder}: process {busy.facts.get('pid', '?')} is at work in this folder already") from busy


@contextlib.contextmanager
def holding(config: TrainConfig, folder: Path, locks: tuple[int, ...] = ()) -> Iterator[None]:
    """Holds the locks of device and folder; locks : as they were handed over. Raises JobError naming who has one."""
    files = locks or take_locks(config, folder)
    try:
        for file in files:
            os.set_inheritable(file, False)  # or a child would hold the lock after this process's death
        if locks:
            facts = read_facts(run_lock(folder)) | {"pid": os.getpid()}
            for file in files:
                write_facts(file, facts)
        yield
    finally:
        for file in files:
            os.close(file)


class Reporter:
    """Writes status.json while a run goes on, and turns a signal into Stopped at a moment that loses nothing."""

    def __init__(
        self, config: TrainConfig, folder: Path, progress: Progress | None, notice: Callable[[str], None], who: str
    ) -> None:
        self.config, self.folder, self._progress, self._notice = config, folder, progress, notice
        before = find_job(folder).status if (folder / "config.json").is_file() else Status()
        self.status = Status(
            "preparing", os.getpid(), socket.gethostname(), who or before.who, now(), device=device_key(config.device),
            members=config.members, done=before.done, templates=config.templates, notes=before.notes,
        )  # fmt: skip
        self.stopping = self.learning = False
        self._done = {k: 1.0 for k in range(config.members) if (folder / f"member-{k}.safetensors").is_file()}
        if len(self._done) == config.members:
            self.status = replace(self.status, state="measuring", done=1.0)
        self._first: tuple[float, float] | None = None  # time, and part done, when this process told the first time
        self._spectra: dict[int, tuple[int, int]] = {}  # by member: spectra then, and now
        self._told = self._learned = 0.0
        self._write()

    # ---- signals -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the run, while the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._asked) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, *_: Any) -> None:
        again, self.stopping = self.stopping, True
        if again or not self.learning:  # nothing that a checkpoint would keep
            raise Stopped

    # ---- what the run tells --------------------------------------------------------------------------------------

    def progress(self, facts: dict[str, Any]) -> None:
        """After each chunk of a member. Raises Stopped when the run was told to stop."""
        k, clock = facts["member"], time.monotonic()
        self._done[k] = facts["done"]
        total = sum(self._done.values()) / self.config.members
        if self._first is None:
            self._first = clock, total
        began, at_first = self._first
        self._spectra[k] = self._spectra.get(k, (facts["spectra"], 0))[0], facts["spectra"]
        spent = clock - began
        learned = sum(there - first for first, there in self._spectra.values())
        self.learning, self._learned = total < 1, clock
        self.status = replace(
            self.status, state="learning" if total < 1 else "measuring", member=k, spectra=facts["spectra"], done=total,
            rate=facts["rate"], loss=round(facts["loss"], 4), memory=_memory(), device_memory=_device_memory(),
            pace=round(learned / spent, 1) if learned and spent > 0 else facts["rate"],
            eta=spent * (1 - total) / (total - at_first) if total > at_first else None,
        )  # fmt: skip
        if clock - self._told > EVERY or total >= 1:
            self._write()
        if self._progress is not None:
            self._progress(facts)
        if self.stopping and self.learning:
            raise Stopped

    def notice(self, words: str) -> None:
        """What a person should know; kept with the run."""
        self.status = self.status.noted(words)
        self._write()
        self._notice(words)

    def end(self, state: str, message: str = "") -> None:
        """The last word."""
        measuring = time.monotonic() - self._learned if state == "finished" and self._learned else 0.0
        self.status = replace(self.status, state=state, message=message, eta=None, measuring=round(measuring, 1))
        self._write()

    def _write(self) -> None:
        self._told = time.monotonic()
        with contextlib.suppress(ModelError):  # a full disk ends a run where it matters, at a checkpoint
            write_status(self.folder, self.status)


def _memory() -> int:
    """Bytes in memory of this process and of the members' that it trains side by side; 0 where that is not known."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
    return total


def _device_memory() -> int:
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0
