"""Commands of visual inspection: inspections status, export, import, merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.terminal import app, print_table, say

if TYPE_CHECKING:
    from engine.inspections import Entry, Journal

inspections = typer.Typer(
    no_args_is_help=True, help="Grades by people: how far they are, in and out of other programs' files, merged."
)
app.add_typer(inspections, name="inspections")

DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database", envvar="GASNET_INSPECTIONS",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; default: inspections.db in $GASNET_HOME.",
    ),
]  # fmt: skip
InspectorOption = Annotated[str, typer.Option("--inspector", help="Only this inspector's; of a .mz file: whose it is.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


def _open(url: str) -> Journal:
    from engine.inspections import Journal

    return Journal(url)


@inspections.command()
def status(database: DatabaseOption = "") -> None:
    """List the inspectors: objects graded, of which quality, objects an hour, last act; then conflicts left."""
    from engine.inspections import merged, rate

    journal = _open(database)
    stands = [e for e in journal.latest() if not e.grade.said_nothing]
    rows = []
    for who in sorted({e.inspector for e in stands}):
        mine = [e for e in stands if e.inspector == who]
        counts = [str(sum(e.grade.quality == q for e in mine)) for q in (4, 3, 2, 1, 0)]
        pace = rate(journal.history(inspector=who))
        last = max(e.when_utc for e in mine)
        rows.append((who, str(len(mine)), *counts, "" if pace is None else f"{pace:.0f}", last))
    print_table(("inspector", "objects", "4", "3", "2", "1", "0", "an hour", "last (UTC)"), rows)
    found = merged(stands)
    typer.echo(f"{len(found)} objects, {sum(bool(c.conflicts) for c in found)} in conflict; {journal.where}")
    journal.close()


@inspections.command()
def export(file: FileArgument, database: DatabaseOption = "", inspector: InspectorOption = "") -> None:
    """Write the records: .csv for prospect (VI file), .mz for Marz, .ecsv, .fits or .parquet with all that is known."""
    from engine.catalogue import write_catalogue
    from engine.inspections import records_table, to_prospect

    journal = _open(database)
    stands = [e for e in journal.latest() if not inspector or e.inspector == inspector]
    journal.close()
    ending = file.suffix.lower()
    if ending == ".csv":
        file.write_text(to_prospect(stands), encoding="utf-8")
    elif ending == ".mz":
        file.write_text(_marz(stands, inspector, file), encoding="utf-8")
    else:
        write_catalogue(records_table(stands), file)
    say(f"{sum(not e.grade.said_nothing for e in stands)} records -> {file}")


def _marz(stands: list[Entry], inspector: str, file: Path) -> str:
    from engine.inspections import ExchangeError, to_marz

    names = sorted({e.inspector for e in stands})
    if not inspector and len(names) != 1:
        raise ExchangeError(f"{file}: a .mz file is of one inspector: say --inspector {' or '.join(names) or 'NAME'}")
    return to_marz(stands, inspector or names[0])


@inspections.command("import")
def bring(
    file: FileArgument,
    database: DatabaseOption = "",
    survey: Annotated[str, typer.Option("--survey", help="Whose object ids they are; a VI file's default: DESI.")] = "",
    inspector: InspectorOption = "",
    replace: Annotated[bool, typer.Option("--replace", help="Where a record differs, the file's counts.")] = False,
) -> None:
    """Read a VI file of prospect (.csv) or a .mz file of Marz into the journal, all of it or none."""
    from engine.inspections import read_inspections

    rows = read_inspections(file.read_bytes(), file.name, survey, inspector)
    journal = _open(database)
    found = journal.bring_in(rows, replace)
    journal.close()
    differ = f", {found.kept} differ from what is here and were left (--replace takes the file's)" if found.kept else ""
    typer.echo(f"{found.written} imported, {found.same} the same as here{differ}")


@inspections.command()
def merge(
    database: DatabaseOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Graded catalogue, one row per object.")] = None,
    apart: Annotated[float, typer.Option("--apart", help="Redshifts further apart conflict, km/s.")] = 1000.0,
) -> None:
    """List the objects that inspectors disagree on; write the consensus of all (.ecsv, .csv, .fits, .parquet)."""
    from engine.catalogue import check_output, write_catalogue
    from engine.inspections import consensus_table, merged

    if output is not None:
        check_output(output)
    journal = _open(database)
    found = merged(journal.latest(), apart)
    journal.close()
    rows = [(c.target.object_id, c.target.survey, "; ".join(c.conflicts)) for c in found if c.conflicts]
    print_table(("object", "survey", "conflict"), rows)
    sure = sum(c.confident for c in found)
    typer.echo(f"{len(found)} objects: {sure} confident (mean quality 2.5 or more), {len(rows)} in conflict")
    if output is not None:
        write_catalogue(consensus_table(found), output)
        say(f"{len(found)} objects -> {output}")
