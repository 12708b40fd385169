"""From a finished run to the model that serves: nothing is promoted that was not compared with what serves now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from engine.evaluate import ComparisonError, read_comparison
from engine.jobs.folder import JobError, find_job
from engine.jobs.locks import Busy, take
from engine.registry import find_model, home_dir, home_models_dir, model_names, models_dir, read_card
from engine.versions import Change, add, rollback
from engine.versions import promote as make_current


def check_compared(folder: Path, name: str) -> None:
    """Hold a model to the rule that nothing serves which was not compared with what served before.

    Shipped models are exempt: their numbers are in the documentation. Raises JobError when comparison.json beside the
    weights is missing, unreadable, or of other weights: of another model, or made before these were trained.
    """
    if folder.parent == models_dir():
        return
    try:
        found = read_comparison(folder)
    except ComparisonError as error:
        raise JobError(
            f"{name} was not compared with the current model: {error}. Compare first, then promote"
        ) from error
    if found.weights != tuple(member["sha256"] for member in read_card(folder)["members"]):
        raise JobError(
            f"{name}: its comparison.json is of other weights (of {found.after}, {found.when}), of another model or of "
            "this one before it was trained again. Compare again, then promote"
        )


def promote_run(folder: Path, reason: str, who: str) -> Change:
    """Add a finished run to the user's models, if it is not there yet, and make it the current one of its survey.

    Raises JobError when the run is not finished or was not compared, ModelError as engine.versions.promote does.
    """
    job = find_job(folder)
    if job.state != "finished":
        raise JobError(f"{job.name} is {job.state}; a finished run can be promoted")
    check_compared(folder, job.name)
    if not reason.strip():
        raise JobError("a change of the current model needs a reason, for those who ask later")
    with _alone():
        name = _added(folder) or add(folder, job.settings.get("name"))
        return make_current(name, reason, who)


def promote(name: str, reason: str, who: str | None = None) -> Change:
    """Make a model that is there the current one. who : else the login name. Raises as promote_run does."""
    check_compared(find_model(name), name)
    with _alone():
        return make_current(name, reason, who)


def roll_back(survey: str, reason: str, who: str | None = None) -> Change:
    """Undo the last promotion of a survey that still stands. Raises ModelError."""
    with _alone():
        return rollback(survey, reason, who)


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
