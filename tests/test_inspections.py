"""Visual inspection: grades and their two faces, the journal, two inspectors at once, order, merging, progress."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from databases import postgres_program, postgres_server
from hypothesis import given
from hypothesis import strategies as st
from test_app import prediction, spectrum

from engine import ZWarn
from engine.inspections import (
    ORDERS,
    QOPS,
    Entry,
    Grade,
    GradeError,
    Incoming,
    Journal,
    JournalError,
    Machine,
    StaleError,
    Target,
    Waiting,
    consensus,
    information,
    merged,
    ordered,
    progress,
    qop,
    rate,
    suggest,
    with_qop,
)

TARGET = Target("SDSS", "751-52251-160", "spec-0751-52251-0160.fits")
MACHINE = Machine("sdss-matched-v2", "GALAXY_STARFORMING", "GALAXY", 0.1, 1.3e-4, 4, 0.7, 1.2, 14.0, 2)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    if postgres_program("initdb") is None:
        pytest.skip("no PostgreSQL on this machine: install it with `apt install postgresql`")
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh journal's address, in SQLite and on a real PostgreSQL server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'inspections.db'}"
    address = request.getfixturevalue("postgres")
    engine = sa.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        db.execute(sa.text("DROP TABLE IF EXISTS inspections, inspections_schema"))
    engine.dispose()
    return str(address)


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    journal = Journal(url)
    yield journal
    journal.close()


def entry(inspector: str, grade: Grade, number: int = 1, machine: Machine | None = MACHINE, **changes: object) -> Entry:
    made = Entry(number, TARGET, inspector, 1, "grade", datetime(2026, 11, 25, 20, 0, tzinfo=UTC), grade, machine)
    return replace(made, **changes)  # type: ignore[arg-type]


# ---- grades and their two faces --------------------------------------------------------------------------------------

grades = st.builds(
    Grade, st.sampled_from([None, 0, 1, 2, 3, 4]), st.sampled_from(["", "R", "CS", "RCS"]),
    st.sampled_from(["", "STAR", "GALAXY", "QSO"]),
)  # fmt: skip
types = st.sampled_from(["", "STAR", "GALAXY", "QSO"])


@given(grades, types)
def test_setting_the_marz_face_that_a_grade_shows_changes_nothing(grade: Grade, machine: str):
    assert with_qop(grade, qop(grade, machine), machine) == grade


@given(grades, types, st.sampled_from(QOPS))
def test_a_grade_shows_the_marz_face_that_was_set(grade: Grade, machine: str, value: int):
    if value == 4 and (grade.spectype or machine) == "STAR":
        with pytest.raises(GradeError, match="QOP 4 is not for stars: say 6"):
            with_qop(grade, value, machine)
    else:
        assert qop(with_qop(grade, value, machine), machine) == value


def test_the_two_faces_of_each_quality():
    assert [qop(Grade(q), "GALAXY") for q in (None, 0, 1, 2, 3, 4)] == [0, 1, 1, 2, 3, 4]
    assert [qop(Grade(q), "STAR") for q in (3, 4)] == [3, 6]
    with pytest.raises(GradeError, match="QOP 5: it is one of 0, 1, 2, 3, 4, 6"):
        with_qop(Grade(), 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"quality": 5}, "one of 0, 1, 2, 3, 4"), ({"quality": True}, "quality"), ({"issues": "RX"}, "R, C and S"),
     ({"spectype": "AGN"}, "STAR, GALAXY, QSO"), ({"z": math.nan}, "z nan"), ({"comment": "x" * 101}, "at most 100"),
     ({"comment": "two\nlines"}, "one line")],
)  # fmt: skip
def test_a_grade_that_cannot_be_is_refused_with_what_is_allowed(wrong: dict, words: str):
    with pytest.raises(GradeError, match=words):
        Grade(**wrong)


def test_issues_are_kept_in_one_order():
    assert Grade(issues="SR").issues == "RS"
    assert Grade().toggled("S").toggled("R").toggled("S").issues == "R"


@pytest.mark.parametrize(
    ("zwarn", "robust", "quality"),
    [(ZWarn(0), True, 4), (ZWarn(0), False, 2), (ZWarn.CLASS_UNCERTAIN, True, 3), (ZWarn.SMALL_DELTA_CHI2, True, 2),
     (ZWarn.MEMBERS_DISAGREE, False, 2), (ZWarn.Z_FITLIMIT, True, 1), (ZWarn.LITTLE_COVERAGE, True, 1),
     (ZWarn.NODATA | ZWarn.LITTLE_COVERAGE, False, 0), (ZWarn.CLASS_UNCERTAIN | ZWarn.Z_FITLIMIT, True, 1)],
)  # fmt: skip
def test_flags_suggest_a_quality_and_the_worst_one_wins(zwarn: ZWarn, robust: bool, quality: int):
    assert suggest(int(zwarn), robust) == quality


def test_what_is_kept_of_a_prediction():
    found = Machine.of(prediction(zwarn=ZWarn.SMALL_DELTA_CHI2))
    assert (found.class_name, found.spectype, found.model, found.zwarn, found.suggested) == (
        "GALAXY_STARFORMING", "GALAXY", "test", 4, 2,
    )  # fmt: skip
    assert found.z == pytest.approx(0.1)


def test_an_inspection_tells_more_where_the_machine_is_less_sure():
    sure, torn = prediction(), prediction(p=np.full(13, 1 / 13))
    assert information(torn) > information(sure)
    assert information(prediction(ood=2.0)) > information(prediction(ood=-2.0)) > information(sure)
    assert 0 <= information(sure) <= 3


def test_files_of_one_name_that_no_survey_named_never_share_a_grade():
    one, other = spectrum("spectrum", survey=""), spectrum("spectrum", survey="")
    other = other.with_(flux=other.flux * 2)
    assert Target.of(one).object_id.startswith("spectrum#")
    assert Target.of(one) != Target.of(other)
    assert Target.of(spectrum("751-52251-160"), "a.fits") == Target("SDSS", "751-52251-160", "elsewhere.fits")


# ---- the journal -----------------------------------------------------------------------------------------------------


def test_a_grade_comes_back_whole_with_who_and_when_and_the_machines_answer_beside_it(journal: Journal):
    grade = Grade(2, "RC", "QSO", 2.31, "BAL; broad, blueshifted")
    before = datetime.now(UTC)
    written = journal.write(TARGET, " ana  lee ", grade, 0, MACHINE)
    (read,) = journal.latest()
    assert read == written
    assert (read.grade, read.machine, read.inspector, read.sequence) == (grade, MACHINE, "ana lee", 1)
    assert before <= read.when <= datetime.now(UTC)
    assert read.target.source == "spec-0751-52251-0160.fits"
    assert (read.spectype, read.z) == ("QSO", 2.31)


def test_what_the_person_does_not_set_stands_as_the_machine_has_it(journal: Journal):
    read = journal.write(TARGET, "ana", Grade(4), 0, MACHINE)
    assert (read.grade.spectype, read.grade.z, read.spectype, read.z) == ("", None, "GALAXY", 0.1)


def test_a_star_has_no_zerr_and_an_object_may_be_graded_before_its_answer(journal: Journal):
    star = Machine("m", "STAR_F5", "STAR", 0.0, suggested=4)
    assert math.isnan(journal.write(TARGET, "ana", Grade(4), 0, star).machine.zerr)  # type: ignore[union-attr]
    assert math.isnan(journal.latest()[0].machine.zerr)  # type: ignore[union-attr]
    journal.write(TARGET, "bo", Grade(1), 0)
    assert journal.standing(TARGET, "bo").machine is None  # type: ignore[union-attr]


def test_every_act_stays_and_undo_goes_back_one_by_one(journal: Journal):
    for i, grade in enumerate((Grade(4), Grade(3), Grade(3, "R"))):
        journal.write(TARGET, "ana", grade, i, MACHINE)
    assert journal.undo(TARGET, "ana", 3).grade == Grade(3)
    assert journal.undo(TARGET, "ana", 4).grade == Grade(4)
    journal.write(TARGET, "ana", Grade(1), 5, MACHINE)
    assert journal.undo(TARGET, "ana", 6).grade == Grade(4)
    assert journal.undo(TARGET, "ana", 7).grade == Grade()
    with pytest.raises(JournalError, match="nothing here that could be undone"):
        journal.undo(TARGET, "ana", 8)
    assert [a.act for a in journal.history(TARGET)] == ["grade"] * 3 + ["undo"] * 2 + ["grade", "undo", "undo"]


def test_the_last_act_not_yet_undone_is_found_over_all_objects(journal: Journal):
    other = replace(TARGET, object_id="b")
    journal.write(TARGET, "ana", Grade(4), 0)
    journal.write(other, "ana", Grade(3), 0)
    journal.write(other, "bo", Grade(1), 0)
    assert journal.undoable("ana").target == other  # type: ignore[union-attr]
    journal.undo(other, "ana", 1)
    assert journal.undoable("ana").target == TARGET  # type: ignore[union-attr]
    journal.undo(TARGET, "ana", 1)
    assert journal.undoable("ana") is None


def test_a_write_that_has_not_seen_the_last_one_is_refused_and_changes_nothing(journal: Journal):
    journal.write(TARGET, "ana", Grade(4), 0)
    with pytest.raises(StaleError, match=r"751-52251-160: not saved, ana's record was changed elsewhere \(quality 4"):
        journal.write(TARGET, "ana", Grade(1), 0)
    with pytest.raises(StaleError):
        journal.write(TARGET, "ana", Grade(1), 7)
    with pytest.raises(StaleError):
        journal.undo(TARGET, "ana", 0)
    assert [a.grade.quality for a in journal.history()] == [4]


def test_two_inspectors_never_meet(journal: Journal):
    journal.write(TARGET, "ana", Grade(4), 0)
    journal.write(TARGET, "bo", Grade(1), 0)
    assert {e.inspector: e.grade.quality for e in journal.latest()} == {"ana": 4, "bo": 1}


def test_only_what_is_new_is_read_again_and_what_came_late_too(journal: Journal):
    first = journal.write(TARGET, "ana", Grade(4), 0)
    second = journal.write(replace(TARGET, object_id="b"), "ana", Grade(3), 0)
    assert [e.number for e in journal.latest(first.number)] == [first.number, second.number], "200 are looked at again"
    with journal._engine.begin() as db:
        db.execute(sa.text(f"UPDATE inspections SET number = {second.number + 1000} WHERE object_id = 'b'"))
    assert [e.target.object_id for e in journal.latest(second.number + 1000)] == ["b"]


def test_nobody_grades_without_a_name(journal: Journal):
    with pytest.raises(GradeError, match="say who is grading"):
        journal.write(TARGET, "  ", Grade(4), 0)


def test_two_threads_of_one_inspector_write_one_act_per_sequence(url: str):
    """Both always write what they last saw; whoever is second is refused, looks again, and loses nothing."""
    refused = [0, 0]
    start = threading.Barrier(2)

    def work(who: int) -> None:
        mine, done = Journal(url), 0
        start.wait()
        while done < 25:
            seen = mine.standing(TARGET, "ana")
            try:
                mine.write(TARGET, "ana", Grade(who, comment=f"{who}.{done}"), seen.sequence if seen else 0)
                done += 1
            except StaleError:
                refused[who] += 1
        mine.close()

    threads = [threading.Thread(target=work, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal = Journal(url)
    acts = journal.history()
    journal.close()
    assert [a.sequence for a in acts] == list(range(1, 51))
    assert {a.grade.comment for a in acts} == {f"{who}.{i}" for who in (0, 1) for i in range(25)}


def test_two_processes_open_a_journal_that_is_not_there_yet_and_write_at_once(url: str):
    program = """
import sys
from engine.inspections import Grade, Journal, Target
journal = Journal(sys.argv[1])
for i in range(20):
    journal.write(Target("SDSS", str(i)), sys.argv[2], Grade(i % 5), 0)
"""
    running = [subprocess.Popen([sys.executable, "-c", program, url, who]) for who in ("ana", "bo")]
    assert [process.wait(60) for process in running] == [0, 0]
    journal = Journal(url)
    stands = {(e.inspector, e.target.object_id): e.grade.quality for e in journal.latest()}
    journal.close()
    assert stands == {(who, str(i)): i % 5 for who in ("ana", "bo") for i in range(20)}


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(5))
def test_what_was_acknowledged_outlives_a_kill(url: str, round_: int):
    program = """
import sys
from engine.inspections import Grade, Journal, Target
journal = Journal(sys.argv[1])
for i in range(100000):
    journal.write(Target("SDSS", str(i)), "ana", Grade(i % 5), 0)
    print(i, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1 + 0.13 * round_)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = [0, *(int(line) for line in process.stdout if line.endswith("\n"))]
    journal = Journal(url)
    stands = {int(e.target.object_id): e.grade.quality for e in journal.latest()}
    journal.write(Target("SDSS", "after"), "ana", Grade(4), 0)
    journal.close()
    assert [stands.get(i) for i in acknowledged] == [i % 5 for i in acknowledged]
    assert len(stands) - len(acknowledged) in (0, 1), "at most the one that was being written"


def test_the_sqlite_file_is_in_the_users_folder_and_readers_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GASNET_HOME", str(tmp_path / "home"))
    journal = Journal()
    with journal._engine.connect() as db:
        assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert db.execute(sa.text("PRAGMA synchronous")).scalar() == 2, "FULL"
    journal.close()
    assert (tmp_path / "home" / "inspections.db").is_file()
    monkeypatch.setenv("GASNET_INSPECTIONS", f"sqlite:///{tmp_path / 'other.db'}")
    Journal().close()
    assert (tmp_path / "other.db").is_file()


@pytest.mark.parametrize(
    ("url", "words"),
    [("nonsense", "not an address of a database.*sqlite:///FILE"), ("nosuch://x/y", "not an address"),
     ("sqlite:////proc/nothing/x.db", "folder cannot be made"),
     ("postgresql://ana:secret@127.0.0.1:1/x", r"postgresql://ana:\*\*\*@127.0.0.1:1/x: cannot be opened")],
)  # fmt: skip
def test_a_database_that_cannot_be_is_named_without_its_password(url: str, words: str):
    with pytest.raises(JournalError, match=words) as caught:
        Journal(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(JournalError, match=r"notes.txt: cannot be opened \(file is not a database\)"):
        Journal(f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_journal_of_a_later_program_is_refused(journal: Journal, url: str):
    with journal._engine.begin() as db:
        db.execute(sa.text("UPDATE inspections_schema SET version = 9"))
    with pytest.raises(JournalError, match=r"version 9, this program knows 1\. Update the program"):
        Journal(url)


def test_a_file_comes_in_whole_or_not_at_all_and_overwrites_nobody(journal: Journal):
    journal.write(TARGET, "ana", Grade(4), 0)
    rows = [Incoming(TARGET, "ana", Grade(1)), Incoming(TARGET, "bo", Grade(2)), Incoming(TARGET, "cy", Grade(3))]
    first = journal.bring_in(rows)
    assert (first.written, first.same, first.kept) == (2, 0, 1)
    again = journal.bring_in(rows)
    assert (again.written, again.same, again.kept) == (0, 2, 1)
    assert journal.bring_in(rows, replace=True).written == 1
    assert [a.grade.quality for a in journal.history(TARGET, "ana")] == [4, 1], "what stood stays in the history"
    with pytest.raises(GradeError):
        journal.bring_in([Incoming(TARGET, "dee", Grade(1)), Incoming(TARGET, "", Grade(1))])
    assert journal.standing(TARGET, "dee") is None


# ---- order, progress -------------------------------------------------------------------------------------------------


def queue() -> list[Waiting]:
    def row(key: str, told: float, z: float, mine: int | None = None) -> Waiting:
        machine = replace(MACHINE, information=told, z=z, suggested=int(told))
        standing = None if mine is None else entry("ana", Grade(mine), machine=machine)
        return Waiting(key, Target("SDSS", key), machine, standing)

    return [row("a", 0.2, 0.5), row("b", 2.0, 0.1, 3), Waiting("c", Target("SDSS", "c")), row("d", 1.0, 0.3, 1)]


@pytest.mark.parametrize(
    ("by", "keys"),
    [("information", "bdac"), ("z", "bdac"), ("object", "abcd"), ("suggested", "adbc"), ("grade", "dbac"),
     ("class", "abdc")],
)  # fmt: skip
def test_the_queue_is_ordered_by_what_an_inspection_tells_or_by_any_column(by: str, keys: str):
    assert "".join(row.key for row in ordered(queue(), by)) == keys


def test_every_order_sorts_and_an_unknown_one_is_named():
    for by in ORDERS:
        assert len(ordered(queue(), by, reverse=True)) == 4
    with pytest.raises(ValueError, match="order 'luck'"):
        ordered(queue(), "luck")


def test_progress_counts_objects_and_the_rate_leaves_breaks_out():
    start = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)
    minutes = (0, 1, 2, 62, 63)  # an hour's break after the third
    acts = [
        entry("ana", Grade(4), target=Target("SDSS", str(i)), when=start + timedelta(minutes=m))
        for i, m in enumerate(minutes)
    ]
    found = progress(queue(), acts)
    assert (found.done, found.left, found.per_hour) == (2, 2, pytest.approx(60))
    assert found.words == "2 done, 2 left, 60 an hour"
    assert rate(acts[:1]) is None
    assert progress(queue(), []).words == "2 done, 2 left"


# ---- merging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [(Grade(4), Grade(4), ""), (Grade(2), Grade(3), ""), (Grade(0), Grade(1), ""),
     (Grade(3), Grade(4), "quality 3 and 4"), (Grade(4), Grade(2), "quality 4 and 2"),
     (Grade(3), Grade(3, spectype="QSO"), "type GALAXY and QSO"),
     (Grade(3), Grade(3, z=0.1003), ""), (Grade(3), Grade(3, z=0.31), "z 0.1000 and 0.3100"),
     (Grade(1), Grade(1, z=0.31, spectype="QSO"), "")],
)  # fmt: skip
def test_what_is_a_conflict(one: Grade, other: Grade, words: str):
    found = consensus(TARGET, [entry("ana", one, 1), entry("bo", other, 2)])
    assert found.conflicts == ((f"ana and bo: {words}",) if words else ())


def test_without_a_conflict_the_mean_speaks_and_two_and_a_half_is_confident():
    found = consensus(TARGET, [entry("ana", Grade(2, z=0.1), 1), entry("bo", Grade(3, z=0.1002), 2)])
    assert (found.quality, found.confident, found.spectype) == (2.5, True, "GALAXY")
    assert found.z == pytest.approx(0.1001)
    assert not consensus(TARGET, [entry("ana", Grade(2), 1), entry("bo", Grade(2), 2)]).confident
    assert not consensus(TARGET, [entry("ana", Grade(4), 1), entry("bo", Grade(1), 2)]).confident, "a mean of 2.5, but"


def test_a_third_record_settles_until_somebody_grades_again():
    ana, bo = entry("ana", Grade(4), 1), entry("bo", Grade(1, "R"), 2)
    cy = entry("cy", Grade(3, z=0.2, settles=True), 3)
    found = consensus(TARGET, [ana, bo, cy])
    assert (found.conflicts, found.quality, found.z, found.settled_by, found.confident) == ((), 3, 0.2, "cy", True)
    later = consensus(TARGET, [ana, cy, replace(bo, number=4)])
    assert later.conflicts
    assert later.settled_by == ""


def test_the_journal_merges_object_by_object_and_undone_grades_do_not_count(journal: Journal):
    other = replace(TARGET, object_id="b")
    journal.write(TARGET, "ana", Grade(4), 0, MACHINE)
    journal.write(other, "ana", Grade(3), 0, MACHINE)
    journal.write(TARGET, "bo", Grade(1), 0, MACHINE)
    found = {c.target.object_id: c for c in merged(journal.latest())}
    assert found["751-52251-160"].conflicts == ("ana and bo: quality 4 and 1",)
    assert found["b"].quality == 3
    journal.undo(TARGET, "bo", 1)
    journal.undo(other, "ana", 1)
    (left,) = merged(journal.latest())
    assert (left.target, left.conflicts, left.quality) == (TARGET, (), 4)
