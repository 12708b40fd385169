"""Faults under a journal: told in words with what to do, nothing half written, and the next try works."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.inspections import Grade, Journal, JournalError, Target
from engine.inspections import journal as module

TARGET = Target("sdss", "751-52251-160", "spec.fits")


def test_a_locked_database_is_told_and_the_next_try_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT", 0.1)
    journal = Journal(f"sqlite:///{tmp_path / 'j.db'}")
    other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"not saved \(database is locked\)\. Try again"):
        journal.write(TARGET, "ana", Grade(quality=4), 0)
    other.execute("ROLLBACK")
    other.close()
    journal.write(TARGET, "ana", Grade(quality=3), 0)
    assert [entry.grade.quality for entry in journal.history()] == [3]
    journal.close()


def _write_for_ever(journal: Journal) -> None:
    for k in range(500):
        journal.write(TARGET, "ana", Grade(quality=k % 5, comment="x" * 100), k)


def test_a_full_disk_is_told_and_the_next_try_is_saved(tmp_path: Path):
    journal = Journal(f"sqlite:///{tmp_path / 'j.db'}")
    full = True

    def limit(connection, _record, _proxy):
        connection.execute(f"PRAGMA max_page_count = {1 if full else 2**30}")

    sa.event.listen(journal._engine, "checkout", limit)
    with pytest.raises(JournalError, match=r"not saved \(database or disk is full\)\. Try again"):
        _write_for_ever(journal)
    seen = len(journal.history())
    full = False
    journal.write(TARGET, "ana", Grade(quality=3), seen)
    assert len(journal.history()) == seen + 1
    journal.close()


def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Clock(datetime):
        year_now = 2026

        @classmethod
        def now(cls, tz=None):
            return datetime(cls.year_now, 1, 1, tzinfo=tz or UTC)

    monkeypatch.setattr(module, "datetime", Clock)
    journal = Journal(f"sqlite:///{tmp_path / 'j.db'}")
    journal.write(TARGET, "ana", Grade(quality=4), 0)
    Clock.year_now = 1999
    journal.write(TARGET, "ana", Grade(quality=1), 1)
    assert [entry.grade.quality for entry in journal.history()] == [4, 1]
    assert [entry.grade.quality for entry in journal.latest()] == [1]
    assert journal.undo(TARGET, "ana", 2).grade.quality == 4
    journal.close()
