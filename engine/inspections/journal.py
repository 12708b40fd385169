"""The journal of inspections: an append-only table of acts in SQLite, or in PostgreSQL by URL.

Every act is one transaction and one row; nothing is ever changed or removed, an undo is a row of its own. A writer says
which act of its own it saw last (the sequence number); when there is a later one, from another tab or machine, it is
refused. Acts of different inspectors never meet in one row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from engine.inspections.grade import Entry, Grade, Machine, Target, checked_name
from engine.registry import home_dir

SCHEMA = 1
WAIT = 10  # seconds for another writer of the same file
# A number is drawn before its transaction is seen: one that is seen late lies at most this far behind the newest.
LATE = 200

_meta = sa.MetaData()
_schema = sa.Table("inspections_schema", _meta, sa.Column("version", sa.Integer, primary_key=True))
_acts = sa.Table(
    "inspections", _meta,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("survey", sa.String(40), nullable=False),
    sa.Column("object_id", sa.String(200), nullable=False),
    sa.Column("inspector", sa.String(40), nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("act", sa.String(8), nullable=False),
    sa.Column("undoes", sa.Integer),
    sa.Column("when_utc", sa.DateTime, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("quality", sa.Integer),
    sa.Column("issues", sa.String(3), nullable=False),
    sa.Column("spectype", sa.String(8), nullable=False),
    sa.Column("z", sa.Double),
    sa.Column("comment", sa.String(100), nullable=False),
    sa.Column("settles", sa.Boolean, nullable=False),
    sa.Column("suggested", sa.Integer),
    sa.Column("machine_model", sa.String(100)),
    sa.Column("machine_class", sa.String(60)),
    sa.Column("machine_spectype", sa.String(8)),
    sa.Column("machine_z", sa.Double),
    sa.Column("machine_zerr", sa.Double),
    sa.Column("machine_zwarn", sa.BigInteger),
    sa.Column("machine_confidence", sa.Double),
    sa.Column("machine_information", sa.Double),
    sa.Column("machine_snr", sa.Double),
    sa.UniqueConstraint("survey", "object_id", "inspector", "sequence", name="one_act_a_sequence"),
)  # fmt: skip


class JournalError(ValueError):
    """The journal cannot be opened, read or written. The message says which one and what to do."""


class StaleError(JournalError):
    """A write that did not know of a later act of the same inspector on the same object; nothing was written."""


@dataclass(frozen=True)
class Imported:
    """What became of the rows of a file: written; the same as here already; different from here, and left alone."""

    written: int
    same: int
    kept: int


@dataclass(frozen=True)
class Incoming:
    """One row of a file that may come into the journal."""

    target: Target
    inspector: str
    grade: Grade
    machine: Machine | None = None


def journal_url(url: str = "") -> str:
    """The URL given, else $GASNET_INSPECTIONS, else inspections.db in the user's own folder ($GASNET_HOME)."""
    return url or os.environ.get("GASNET_INSPECTIONS", "") or f"sqlite:///{home_dir() / 'inspections.db'}"


class Journal:
    """The journal at a URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE. Made when it is not there.

    Safe to use from several threads, processes and machines at once. Raises JournalError.
    """

    def __init__(self, url: str = "") -> None:
        try:
            address = sa.make_url(journal_url(url))
            self.where = address.render_as_string(hide_password=True)
            if address.drivername in ("postgresql", "postgres"):
                address = address.set(drivername="postgresql+psycopg")
            self._engine = _engine(address)
        except (ArgumentError, NoSuchModuleError) as error:
            raise JournalError(
                f"{url or '$GASNET_INSPECTIONS'}: not an address of a database ({error}). "
                "Say sqlite:///FILE or postgresql://USER@HOST/DATABASE"
            ) from error
        except ModuleNotFoundError as error:
            raise JournalError(
                f"{self.where}: the driver {error.name} is missing. Install it: pip install 'gasnet-explorer[postgres]'"
            ) from error
        try:
            self._make()
        except JournalError:
            self.close()
            raise

    def _make(self) -> None:
        for attempt in (1, 2):  # two processes may make the same tables at once: the loser finds them the next time
            try:
                with self._engine.begin() as db:  # tables and version in one: who loses one race cannot lose another
                    if db.dialect.name == "sqlite" and not sa.inspect(db).has_table(_schema.name):
                        db.exec_driver_sql("BEGIN IMMEDIATE")  # SQLite would let both begin, and tell one at its end
                    _meta.create_all(db)
                    found = db.execute(sa.select(sa.func.max(_schema.c.version))).scalar()
                    if found is None:
                        db.execute(_schema.insert().values(version=SCHEMA))
                break
            except DBAPIError as error:
                if attempt == 2:
                    raise JournalError(f"{self.where}: cannot be opened ({_reason(error)})") from error
        if found not in (None, SCHEMA):
            raise JournalError(
                f"{self.where}: its tables are of version {found}, this program knows {SCHEMA}. Update the program"
            )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # ---- reading -------------------------------------------------------------------------------------------------

    def latest(self, after: int = 0) -> list[Entry]:
        """How things stand: the last act of each inspector on each object, oldest first.

        after : the greatest number seen so far; only what may have come since is read, some of it again.
        """
        newest = (
            sa.select(sa.func.max(_acts.c.number))
            .where(_acts.c.number > (after - LATE if after else 0))
            .group_by(_acts.c.survey, _acts.c.object_id, _acts.c.inspector)
        )
        return self._read(sa.select(_acts).where(_acts.c.number.in_(newest)).order_by(_acts.c.number))

    def history(self, target: Target | None = None, inspector: str = "") -> list[Entry]:
        """Every act, oldest first; of one object, of one inspector, or all."""
        asked = sa.select(_acts).order_by(_acts.c.number)
        if target is not None:
            asked = asked.where(_acts.c.survey == target.survey, _acts.c.object_id == target.object_id)
        if inspector:
            asked = asked.where(_acts.c.inspector == inspector)
        return self._read(asked)

    def standing(self, target: Target, inspector: str) -> Entry | None:
        """The last act of one inspector on one object."""
        acts = self.history(target, inspector)
        return acts[-1] if acts else None

    def undoable(self, inspector: str) -> Entry | None:
        """The inspector's last act that is not an undo and was not undone; None when there is none."""
        undo = _acts.alias()
        undone = sa.exists().where(
            undo.c.survey == _acts.c.survey, undo.c.object_id == _acts.c.object_id,
            undo.c.inspector == _acts.c.inspector, undo.c.undoes == _acts.c.sequence,
        )  # fmt: skip
        asked = sa.select(_acts).where(_acts.c.inspector == inspector, _acts.c.act == "grade", ~undone)
        found = self._read(asked.order_by(_acts.c.number.desc()).limit(1))
        return found[0] if found else None

    def _read(self, asked: sa.Select[Any]) -> list[Entry]:
        try:
            with self._engine.connect() as db:
                return [_entry(row) for row in db.execute(asked).mappings()]
        except DBAPIError as error:
            raise JournalError(f"{self.where}: cannot be read ({_reason(error)})") from error

    # ---- writing -------------------------------------------------------------------------------------------------

    def write(self, target: Target, inspector: str, grade: Grade, seen: int, machine: Machine | None = None) -> Entry:
        """Append one inspector's grade of one object; when this returns, it is on disk.

        seen : sequence of this inspector's act on this object that the writer saw last, 0 when none. Raises StaleError
            when it is not the last one, JournalError when the database refuses, GradeError on a bad name.
        """
        return self._append(target, checked_name(inspector), seen, "grade", grade, machine, None)

    def undo(self, target: Target, inspector: str, seen: int) -> Entry:
        """Take back the inspector's last act on an object that was not taken back yet, by another act.

        Raises StaleError as `write` does, and JournalError when there is nothing to take back.
        """
        stack: list[Entry] = []
        for act in self.history(target, inspector):
            if act.act == "undo":
                stack.pop()
            else:
                stack.append(act)
        if not stack:
            raise JournalError(
                f"{target.object_id}: {inspector or 'nobody'} has said nothing here that could be undone"
            )
        last = stack.pop()
        before = stack[-1].grade if stack else Grade()
        return self._append(target, inspector, seen, "undo", before, last.machine, last.sequence)

    def _append(
        self, target: Target, inspector: str, seen: int, act: str, grade: Grade, machine: Machine | None,
        undoes: int | None,
    ) -> Entry:  # fmt: skip
        row = _row(target, inspector, seen + 1, act, grade, machine, undoes)
        mine = (_acts.c.survey == target.survey, _acts.c.object_id == target.object_id, _acts.c.inspector == inspector)
        try:
            with self._engine.begin() as db:
                there = db.execute(sa.select(sa.func.coalesce(sa.func.max(_acts.c.sequence), 0)).where(*mine)).scalar()
                if there != seen:
                    raise self._stale(target, inspector)
                number = db.execute(_acts.insert().returning(_acts.c.number).values(row)).scalar_one()
        except IntegrityError as error:  # the other one came between our look and our row
            raise self._stale(target, inspector) from error
        except DBAPIError as error:
            raise JournalError(f"{self.where}: the grade was not saved ({_reason(error)}). Try again") from error
        return _entry({**row, "number": number})

    def _stale(self, target: Target, inspector: str) -> StaleError:
        last = self.standing(target, inspector)
        what = "nothing" if last is None else f"quality {last.grade.quality} at {last.when_utc}"
        return StaleError(
            f"{target.object_id}: not saved, {inspector}'s record was changed elsewhere ({what}). "
            "Look at it as it stands now, then grade again"
        )

    def bring_in(self, incoming: Iterable[Incoming], replace: bool = False) -> Imported:
        """Append the rows of a file, all or none. A row equal to what stands is skipped; a different one is left alone,
        unless replace, which appends the file's (what stood stays in the history)."""
        stands = {(e.target, e.inspector): e for e in self.latest()}
        rows: dict[tuple[Target, str], dict[str, Any]] = {}
        same = kept = 0
        for item in incoming:
            inspector = checked_name(item.inspector)
            there = stands.get((item.target, inspector))
            if there is not None and there.grade == item.grade:
                same += 1
            elif there is not None and not there.grade.said_nothing and not replace:
                kept += 1
            else:
                sequence = there.sequence + 1 if there else 1
                rows[item.target, inspector] = _row(
                    item.target, inspector, sequence, "import", item.grade, item.machine, None
                )
        try:
            with self._engine.begin() as db:
                if rows:
                    db.execute(_acts.insert(), list(rows.values()))
        except IntegrityError as error:
            raise StaleError(f"{self.where}: somebody graded while the file came in; nothing was imported") from error
        except DBAPIError as error:
            raise JournalError(f"{self.where}: nothing was imported ({_reason(error)})") from error
        return Imported(len(rows), same, kept)


def _engine(address: sa.URL) -> sa.Engine:
    if address.get_backend_name() != "sqlite":
        return sa.create_engine(address, pool_pre_ping=True)
    if address.database and address.database != ":memory:":
        folder = os.path.dirname(os.path.abspath(address.database))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise JournalError(f"{folder}: the folder cannot be made ({error.strerror}); name another file") from error
    engine = sa.create_engine(address, connect_args={"timeout": WAIT})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for writers
        connection.execute("PRAGMA synchronous=FULL")  # a grade that was acknowledged outlives a power cut

    return engine


def _reason(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())[:200]


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _row(
    target: Target, inspector: str, sequence: int, act: str, grade: Grade, machine: Machine | None, undoes: int | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "survey": target.survey, "object_id": target.object_id, "source": target.source, "inspector": inspector,
        "sequence": sequence, "act": act, "undoes": undoes, "when_utc": datetime.now(UTC).replace(tzinfo=None),
        "quality": grade.quality, "issues": grade.issues, "spectype": grade.spectype, "z": grade.z,
        "comment": grade.comment, "settles": grade.settles,
    }  # fmt: skip
    m = machine
    return row | {
        "suggested": m and m.suggested, "machine_model": m and m.model, "machine_class": m and m.class_name,
        "machine_spectype": m and m.spectype, "machine_z": m and _number(m.z), "machine_zerr": m and _number(m.zerr),
        "machine_zwarn": m and m.zwarn, "machine_confidence": m and _number(m.confidence),
        "machine_information": m and _number(m.information), "machine_snr": m and _number(m.snr),
    }  # fmt: skip


def _entry(row: Any) -> Entry:
    def number(name: str) -> float:
        return math.nan if row[name] is None else float(row[name])

    machine = None
    if row["machine_model"] is not None:
        machine = Machine(
            row["machine_model"], row["machine_class"], row["machine_spectype"], number("machine_z"),
            number("machine_zerr"), int(row["machine_zwarn"]), number("machine_confidence"),
            number("machine_information"), number("machine_snr"), row["suggested"],
        )  # fmt: skip
    grade = Grade(row["quality"], row["issues"], row["spectype"], row["z"], row["comment"], bool(row["settles"]))
    return Entry(
        row["number"], Target(row["survey"], row["object_id"], row["source"]), row["inspector"], row["sequence"],
        row["act"], row["when_utc"].replace(tzinfo=UTC), grade, machine, row["undoes"],
    )  # fmt: skip


def by_object(entries: Sequence[Entry]) -> dict[Target, list[Entry]]:
    """Entries of each object, in their order; those that say nothing (all undone) are left out."""
    found: dict[Target, list[Entry]] = {}
    for entry in entries:
        if not entry.grade.said_nothing:
            found.setdefault(entry.target, []).append(entry)
    return found
