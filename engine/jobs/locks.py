"""Locks that the operating system lets go of when their holder dies, however it dies: flock on small files.

A device has one, so that one run at a time trains on it; a run's folder has one, so that everybody sees that it is at
work. Who holds a lock may hand it to a child process, which then holds it alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.device import choose_device
from engine.registry import home_dir

TRIES, PAUSE = 10, 0.05  # who only looks holds a lock for microseconds: that must not refuse a start


class Busy(ValueError):
    """Somebody else holds the lock. facts: what the holder wrote about itself."""

    def __init__(self, path: Path) -> None:
        self.facts = read_facts(path)
        super().__init__(f"{path}: held by another process")


def take(path: Path, facts: Mapping[str, Any]) -> int:
    """Take a lock and write who holds it; returns the open file, whose closing lets go of it.

    Raises Busy when somebody else has it, OSError when the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    for trial in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if trial == TRIES - 1:
                os.close(file)
                raise Busy(path) from None
            time.sleep(PAUSE)
    write_facts(file, facts)
    return file


def write_facts(file: int, facts: Mapping[str, Any]) -> None:
    """Say in a lock that one holds what others may want to know of the holder."""
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(facts).encode(), 0)


def read_facts(path: Path) -> dict[str, Any]:
    """What the holder wrote; nothing when that cannot be read just now."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def held(path: Path) -> bool:
    """True while a living process holds the lock."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def device_key(device: str) -> str:
    """One name per device: auto and cuda are what they stand for here. Raises ValueError where there is none."""
    found = choose_device(device)
    return f"cuda-{found.index or 0}" if found.type == "cuda" else found.type


def device_lock(key: str) -> Path:
    """The lock of a device of this machine's user."""
    return home_dir() / "locks" / f"{key}.lock"


def run_lock(folder: Path) -> Path:
    """The lock of a run's folder."""
    return folder / ".lock"
