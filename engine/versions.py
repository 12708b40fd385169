"""Versions of models: which there are, which one serves each survey, and who changed that, when and why.

Shipped models (assets/models) are read-only. What a user adds lives in the user's data folder (engine.registry,
home_dir): models/<name>/ as in assets; current.json, survey -> model, where it differs from the survey's own choice;
history.jsonl, one line per change, only ever appended to.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.card import LATER, missing
from engine.registry import (
    EXEMPLARS,
    ModelError,
    find_model,
    home_dir,
    home_models_dir,
    load_members,
    model_names,
    models_dir,
    read_card,
    write_card,
)
from engine.survey import Survey, load_survey, survey_names


@dataclass(frozen=True)
class Change:
    """One line of the history. who: login name; when: UTC, ISO 8601; action: promote or rollback; before and after:
    names of the current model."""

    when: str
    who: str
    action: str
    survey: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class Version:
    """One model that is there, or a survey's model that is not there yet (folder None)."""

    name: str
    survey: str
    network: str = ""
    members: int = 0
    folder: Path | None = None
    current: bool = False
    problem: str = ""

    @property
    def shipped(self) -> bool:
        """True for a read-only model of assets/models."""
        return self.folder is not None and self.folder.parent == models_dir()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) if self.folder else 0


def current_model(survey: Survey) -> str:
    """Name of the model that serves a survey: the one promoted, else the one that its TOML file names."""
    return _current().get(survey.name, survey.model)


def current_folder(survey: Survey) -> Path:
    """The folder of the model that serves a survey. Raises ModelError naming both places when there is none yet."""
    name = current_model(survey)
    if name not in model_names():
        raise ModelError(
            f"survey {survey.name} has no model yet: {name} is neither in {models_dir()} nor in {home_models_dir()}. "
            f"Surveys with a model: {', '.join(served_surveys()) or 'none'}. "
            f"Train one: gasnet train --survey {survey.name} --out RUN --install; then gasnet models promote"
        )
    return find_model(name)


def own_folder(name: str) -> Path | None:
    """The folder of a run, or of one of the user's models; None for a shipped model, into which nothing is written."""
    for folder in (Path(name), home_models_dir() / name):
        if (folder / "card.json").is_file():
            return None if folder.resolve().parent == models_dir().resolve() else folder
    return None


def served_surveys() -> tuple[str, ...]:
    """Names of the surveys whose current model exists."""
    there = set(model_names())
    return tuple(name for name in survey_names() if current_model(load_survey(name)) in there)


def versions() -> tuple[Version, ...]:
    """Every model, by survey and name, and for each survey without a model the one that it waits for."""
    current = {name: current_model(load_survey(name)) for name in survey_names()}
    found = []
    for name in model_names():
        try:
            folder = find_model(name)
            card = read_card(folder)
        except ModelError as error:
            found.append(Version(name, "", problem=str(error)))
            continue
        lacks = ", ".join(missing(card))
        found.append(
            Version(
                name, card["survey"], card["network"], len(card["members"]), folder,
                current.get(card["survey"]) == name, f"card lacks {lacks}" if lacks else "",
            )
        )  # fmt: skip
    waiting = [Version(model, survey) for survey, model in current.items() if model not in {v.name for v in found}]
    return tuple(sorted([*found, *waiting], key=lambda v: (v.survey, v.name)))


def history() -> tuple[Change, ...]:
    """Every change of a current model, oldest first. Raises ModelError naming the line that cannot be read.

    A change is written here before it is made: one that a kill prevented is left out, as nothing followed from it.
    """
    path = home_dir() / "history.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    changes = []
    for number, line in enumerate(lines, 1):
        try:
            changes.append(Change(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path}, line {number}: not a change of model ({error}). Correct or remove it") from error
    following = dict(_current())
    made = []
    for change in reversed(changes):
        if change.survey not in following and change.survey in survey_names():
            following[change.survey] = load_survey(change.survey).model
        if change.before == change.after or following.get(change.survey) != change.before:
            made.append(change)
        following[change.survey] = change.before
    return tuple(reversed(made))


def promote(name: str, reason: str, who: str | None = None) -> Change:
    """Make a model the current one of its survey, from now on, for this user.

    Raises ModelError when it does not load, when its card is incomplete, when it is current already, or without reason.
    """
    survey, card, _ = load_members(find_model(name))
    lacks = missing(card, but=LATER)
    if lacks:
        raise ModelError(f"{name}: its card lacks {', '.join(lacks)}; see docs/models.md for what a card holds")
    before = current_model(survey)
    if before == name:
        raise ModelError(f"{name} is the current model of {survey.name} already")
    return _change("promote", survey, before, name, reason, who)


def rollback(survey_name: str, reason: str, who: str | None = None) -> Change:
    """Go back to the model that was current before the last promotion that still stands.

    Raises ModelError when there is none, when that model is gone or does not load, or without reason.
    """
    survey = load_survey(survey_name)
    before = current_model(survey)
    past: list[str] = []
    for change in history():
        if change.survey == survey.name:
            if change.action == "promote":
                past.append(change.before)
            elif past:
                past.pop()
    if not past:
        raise ModelError(f"survey {survey.name}: no promotion to roll back; {before} serves it. See `gasnet models`")
    load_members(find_model(past[-1]))
    return _change("rollback", survey, before, past[-1], reason, who)


def next_name(survey: str, network: str) -> str:
    """<survey>-<network>-v<n>, n higher than that of any model there is or that a survey waits for."""
    pattern = re.compile(re.escape(f"{survey}-{network}-v") + r"(\d+)")
    taken = [*model_names(), *(load_survey(name).model for name in survey_names())]
    numbers = [int(found[1]) for found in map(pattern.fullmatch, taken) if found]
    return f"{survey}-{network}-v{max(numbers, default=0) + 1}"


def add(run: str | Path, name: str | None = None) -> str:
    """Copy a finished run into the user's models, not yet as the current one; returns its name there.

    The copy is seen by others when it is whole or not at all. Raises ModelError when the run is unfinished or does not
    load, when the name is taken, or when the disk is full.
    """
    folder = Path(run)
    survey, card, _ = load_members(folder)
    name = name or next_name(survey.name, card["network"])
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise ModelError(f"{name!r} cannot name a model: letters, digits, '-', '_' and '.' can")
    if name in model_names() or name in survey_names():
        raise ModelError(f"there is a model or survey {name!r} already; give another name, or none")
    target = home_models_dir() / name
    part = home_models_dir() / f".{name}.{os.getpid()}.part"
    try:
        part.mkdir(parents=True)
        outliers = (card.get("ood") or {}).get("file")
        members = [member["file"] for member in card["members"]]
        for file in [*members, *([outliers] if outliers else []), EXEMPLARS, "log.jsonl", "comparison.json"]:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, part / file)
        write_card(part, card | {"model": name})
        os.replace(part, target)
    except (OSError, ModelError) as error:  # a ModelError comes from the card
        shutil.rmtree(part, ignore_errors=True)
        reason = getattr(error.__cause__ or error, "strerror", None) or error
        raise ModelError(f"{target}: cannot be written ({reason}); nothing was added") from error
    return name


def _current() -> Mapping[str, str]:
    path = home_dir() / "current.json"
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable JSON ({error}). Correct it, or remove it: defaults follow") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ModelError(f"{path}: must map survey to model, got {table!r}. Correct it, or remove it")
    return table


def _change(action: str, survey: Survey, before: str, after: str, reason: str, who: str | None) -> Change:
    if not reason.strip():
        raise ModelError("a change of the current model needs a reason, for those who ask later")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    change = Change(when, who or _login(), action, survey.name, before, after, reason.strip())
    table = {**_current(), survey.name: after}
    if after == survey.model:  # as if never changed: the next release may bring a better one
        del table[survey.name]
    path = home_dir() / "current.json"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        home_dir().mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(table, indent=1) + "\n")
        with _appended(home_dir() / "history.jsonl", json.dumps(asdict(change)) + "\n"):
            os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot be written ({error.strerror or error}); {before} stays current") from error
    return change


@contextlib.contextmanager
def _appended(path: Path, line: str) -> Iterator[None]:
    """A file with a line appended; without it again when the write or the block fails."""
    size = path.stat().st_size if path.is_file() else 0
    try:
        with path.open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        yield
    except OSError:
        if path.is_file():
            os.truncate(path, size)
        raise


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "unknown"
