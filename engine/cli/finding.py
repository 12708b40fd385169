"""The command that gets spectra by their IDs, and IDs in the place of paths: fetch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import app, progress, say

FindFiles = Callable[[Iterable[str]], list[tuple[str, str]]]
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


def located(given: Sequence[str], data_dir: Path | None, find_files: FindFiles) -> list[tuple[str, str]]:
    """(path, error) of everything to classify: files and folders as they are, and IDs by way of the archive."""
    found: list[tuple[str, str]] = []
    with progress("find") as advance:
        for done, text in enumerate(given, start=1):
            found += find_files([text]) if os.path.lexists(text) else _named(text, data_dir, find_files)
            advance(done, len(given))
    return found


def _named(text: str, data_dir: Path | None, find_files: FindFiles) -> list[tuple[str, str]]:
    """What a text names that is no file or folder."""
    from engine.archive import fetch as fetch_one
    from engine.identifiers import IdentifierError, PathRef, resolve

    try:
        refs = resolve(text)
    except IdentifierError as error:
        return [(text, f"no such file or directory, and no ID: {error}")]
    if any(isinstance(ref, PathRef) for ref in refs):
        return find_files([text])
    found: list[tuple[str, str]] = []
    for ref in refs:
        try:
            found.append((str(fetch_one(ref, data_dir)), ""))
        except ValueError as error:
            found.append((ref.name, str(error).removeprefix(f"{ref.name}: ")))
    return found
