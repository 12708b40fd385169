"""From a finished run to the model that serves: nothing is promoted that was not compared with what serves now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from engine.jobs.folder import JobError, find_job
from engine.jobs.locks import Busy, take
from engine.registry import find_model, home_dir, home_models_dir, model_names, models_dir, read_card
from engine.versions import Change, add, rollback
from engine.versions import promote as make_current


def compared(folder: Path) -> bool:
    """True for a shipped model, whose numbers are in the documentation, and for one beside whose weights a comparison
    with the model that serves is kept."""
    return folder.parent == models_dir() or (folder / "comparison.json").is_file()


def promote_run(folder: Path, reason: str, who: str) -> Change:
    """Add a finished run to the user's models, if it is not there yet, and make it the current one of its survey.

    Raises JobError when the run is not finished or was not compared, ModelError as engine.versions.promote does.
    """
    job = find_job(folder)
    if job.state != "finished":
        raise JobError(f"{job.name} is {job.state}; a finished run can be promoted")
    _refuse_unknown(folder, job.name)
    if not reason.strip():
        raise JobError("a change of the current model needs a reason, for those who ask later")
    with _alone():
        name = _added(folder) or add(folder, job.settings.get("name"))
        return make_current(name, reason, who)


def promote(name: str, reason: str, who: str) -> Change:
    """Make a model that is there the current one. Raises JobError when it was not compared; ModelError."""
    _refuse_unknown(find_model(name), name)
    with _alone():
        return make_current(name, reason, who)


def roll_back(survey: str, reason: str, who: str) -> Change:
    """Undo the last promotion of a survey that still stands. Raises ModelError."""
    with _alone():
        return rollback(survey, reason, who)


def _refuse_unknown(folder: Path, name: str) -> None:
    if not compared(folder):
        raise JobError(
            f"{name} was not compared with the current model on the same data (no comparison.json in its folder): "
            "compare first, then promote"
        )


def _added(folder: Path) -> str | None:
    """The user's model with the very weights of a run."""
    own = {member["sha256"] for member in read_card(folder)["members"]}
    for name in model_names():
        there = home_models_dir() / name
        if there.is_dir() and {member["sha256"] for member in read_card(there)["members"]} == own:
            return name
    return None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One change at a time, of all processes: each reads what serves before it writes what shall."""
    try:
        lock = take(home_dir() / "locks" / "models", {"pid": os.getpid()})
    except Busy as busy:
        raise JobError("another admin changes the current model just now; look at the list and try again") from busy
    try:
        yield
    finally:
        os.close(lock)
