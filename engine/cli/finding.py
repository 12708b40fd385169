"""The command that gets spectra by their IDs, and IDs in the place of paths: fetch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.terminal import app, progress, say

if TYPE_CHECKING:
    from engine.identifiers import Ref

DataOption = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="GASNET_DATA", help="Local mirror, laid out as the surveys' archives are."),
]


@app.command()
def fetch(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="751-52251-160, a specObjID, a TARGETID ...")],
    data_dir: DataOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to copy the files to.")] = None,
) -> None:
    """Get spectra by their IDs: from a local mirror, the cache or the surveys' archives. Prints the files' paths.

    IDs may be given one by one or as a pasted list. What cannot be had is said in a line each, with exit code 1.
    """
    from engine.archive import fetch as fetch_one
    from engine.identifiers import resolve

    refs = resolve(" ".join(ids))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with progress("fetch") as advance:
        for done, ref in enumerate(refs, start=1):
            try:
                path = fetch_one(ref, data_dir)
                typer.echo(path if out is None else shutil.copyfile(path, out / path.name))
            except ValueError as error:
                failed += 1
                say(str(error))
            advance(done, len(refs))
    raise typer.Exit(1 if failed else 0)


def located(
    given: Iterable[str], data_dir: Path | None, find_files: Callable[[Iterable[str]], list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """(path, error) of everything to classify: files and folders as they are, and IDs by way of the archive."""
    from engine.archive import fetch as fetch_one
    from engine.identifiers import IdentifierError, PathRef, resolve

    found: list[tuple[str, str]] = []
    for text in given:
        refs: tuple[Ref, ...] = ()
        if not os.path.lexists(text):
            try:
                refs = resolve(text)
            except IdentifierError as error:
                found.append((text, f"no such file or directory, and no ID: {error}"))
                continue
        if not refs or any(isinstance(ref, PathRef) for ref in refs):
            found += find_files([text])
            continue
        for ref in refs:
            try:
                found.append((str(fetch_one(ref, data_dir)), ""))
            except ValueError as error:
                found.append((ref.name, str(error).removeprefix(f"{ref.name}: ")))
    return found
