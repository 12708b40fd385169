"""Who did what: one JSON line for every act of an admin, refused ones too, in $GASNET_HOME/audit.jsonl."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.jobs.folder import JobError, now
from engine.registry import home_dir


@dataclass(frozen=True)
class Act:
    """One line. when : UTC; who : user, with the address it came from; act : start, stop, resume, compare, promote,
    rollback; what : the run, model or survey; outcome : done, refused or failed; words : reason, or what went wrong."""

    when: str
    who: str
    act: str
    what: str
    outcome: str
    words: str = ""


def audit_path() -> Path:
    """The file; it is only ever appended to."""
    return home_dir() / "audit.jsonl"


def audit(who: str, act: str, what: str, outcome: str, words: str = "") -> Act:
    """Write one line, whole: two processes do not mix theirs. Raises JobError when that cannot be done."""
    line = Act(now(), who, act, what, outcome, " ".join(words.split()))
    path = audit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, (json.dumps(asdict(line)) + "\n").encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise JobError(f"{path}: cannot be written ({error.strerror}); what is not recorded is not done") from error
    return line


def audited(n: int = 20) -> tuple[Act, ...]:
    """The last n acts, the latest first; a line that cannot be read is passed over."""
    try:
        lines = audit_path().read_text().splitlines()[-n:]
    except OSError:
        return ()
    found = []
    for line in reversed(lines):
        try:
            found.append(Act(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return tuple(found)
