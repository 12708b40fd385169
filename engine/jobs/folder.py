"""What a run's folder says about it: settings, state, progress, loss, notices. Nothing here needs the process alive."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.card import LATER, missing
from engine.jobs.locks import held, read_facts, run_lock
from engine.plan import TrainConfig
from engine.registry import ModelError, home_dir, read_card, written

MOST_NOTES = 20
RUNNING = ("starting", "preparing", "learning", "measuring", "comparing")
ENDED = ("finished", "stopped", "failed")


class JobError(ValueError):
    """A job cannot be started, stopped, resumed or promoted. The message says why and what to do."""


@dataclass(frozen=True)
class Status:
    """status.json: what the training process says of itself, written by the holder of the folder's lock alone.

    state : starting, preparing, learning, measuring; finished, stopped, failed; done : 0 to 1 of what is to be learned
    rate : spectra/s that a member learns; pace : spectra/s of the whole run, the making of mocks included; eta : s
    compared : 0 to 1 of a comparison, made of a finished run
    memory : bytes of all its processes; device_memory : bytes of a GPU; measuring : s that the measuring took
    """

    state: str = "starting"
    pid: int = 0
    host: str = ""
    who: str = ""
    began: str = ""
    updated: str = ""
    device: str = ""
    member: int = 0
    members: int = 0
    spectra: int = 0
    done: float = 0.0
    compared: float = 0.0
    rate: float = 0.0
    pace: float = 0.0
    eta: float | None = None
    loss: float | None = None
    memory: int = 0
    device_memory: int = 0
    measuring: float = 0.0
    message: str = ""
    templates: str | None = None
    notes: tuple[str, ...] = field(default=())

    def noted(self, words: str) -> Status:
        """With one more notice."""
        return replace(self, notes=(*self.notes, " ".join(words.split()))[-MOST_NOTES:])


@dataclass(frozen=True)
class Job:
    """One run. state : that of its status while its process lives; else how it ended, or "interrupted"."""

    folder: Path
    state: str
    status: Status
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def running(self) -> bool:
        """True while a process is at work in the folder."""
        return self.state in RUNNING

    @property
    def resumable(self) -> bool:
        """True when it ended before it was finished."""
        return self.state in ("stopped", "failed", "interrupted")

    @property
    def config(self) -> TrainConfig:
        """Its settings, with the templates of its last start. Raises ValueError when they cannot be read."""
        return TrainConfig.of({**self.settings, "templates": self.status.templates})

    def losses(self) -> dict[int, tuple[list[int], list[float]]]:
        """The loss's curve of each member: spectra, loss. A line that is being written is left out."""
        found: dict[int, tuple[list[int], list[float]]] = {}
        for facts in _lines(self.folder / "log.jsonl"):
            if "loss" in facts and "spectra" in facts:
                spectra, loss = found.setdefault(int(facts["member"]), ([], []))
                spectra.append(int(facts["spectra"]))
                loss.append(float(facts["loss"]))
        return found

    def last_words(self, n: int = 12) -> str:
        """The end of what the process said: its errors too."""
        path = self.folder / "output.txt"
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.path.getsize(path) - 8000))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-n:])
        except OSError:
            return ""


def runs_dir() -> Path:
    """Where runs lie unless somebody says otherwise: $GASNET_HOME/runs."""
    return home_dir() / "runs"


def find_job(folder: Path) -> Job:
    """The run of a folder. Raises JobError when there is none."""
    settings = _json(folder / "config.json")
    if not settings:
        raise JobError(f"{folder}: no run there (config.json is missing or unreadable)")
    facts = _json(folder / "status.json")
    known = {name: facts[name] for name in (f.name for f in fields(Status)) if name in facts}
    status = Status(**{**known, "notes": tuple(known.get("notes") or ())})
    if held(run_lock(folder)):
        other = "comparing" if status.state == "finished" else "starting"
        state = status.state if status.state in RUNNING else other
    elif not facts:
        state = "finished" if _complete(folder) else "interrupted"
    else:
        state = status.state if status.state in ENDED else "interrupted"
    return Job(folder, state, status, settings)


def jobs() -> tuple[Job, ...]:
    """Every run of runs_dir, and those elsewhere that hold a device now; the latest first."""
    folders = {path.parent for path in runs_dir().glob("*/config.json")}
    for lock in (home_dir() / "locks").glob("*.lock"):
        folder = read_facts(lock).get("folder")
        if folder and held(lock) and (Path(folder) / "config.json").is_file():
            folders.add(Path(folder))
    found = []
    for folder in folders:
        try:
            found.append(find_job(folder))
        except JobError:  # a folder that is being made, or taken away
            continue
    return tuple(sorted(found, key=lambda job: (job.running, job.status.updated, job.name), reverse=True))


def write_status(folder: Path, status: Status) -> None:
    """Replace status.json, whole or not at all. Raises ModelError on a full disk."""
    with written(folder / "status.json") as part:
        part.write_text(json.dumps(asdict(replace(status, updated=now())), indent=1) + "\n")


def write_settings(folder: Path, config: TrainConfig) -> None:
    """config.json of a run that starts, without what names the machine."""
    with written(folder / "config.json") as part:
        settings = {key: value for key, value in asdict(config).items() if key != "templates"}
        part.write_text(json.dumps(settings, indent=1) + "\n")


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _complete(folder: Path) -> bool:
    try:
        return not missing(read_card(folder), but=LATER)
    except ModelError:
        return False


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text()
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found
