"""Brings a catalogue and its spectra together, once: every usable pair goes on the network's grid into a set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.classify import find_files
from engine.ensemble import in_range
from engine.grid import Grid, regrid
from engine.labelled.catalog import CatalogError, Entry, read_catalog
from engine.labelled.packed import is_packed, read_packed
from engine.labelled.store import LabelledSet, Writer, open_set
from engine.readers import read
from engine.spectrum import Spectrum, SpectrumError
from engine.survey import Survey

FORMAT = 2  # of the set in a run's folder
MIN_GOOD = 200  # good pixels on the network's grid: fewer teach nothing
Notice = Callable[[str], None]
Pairs = Iterator[tuple[Entry | str, Spectrum | str]]  # an entry, or an object without one; a spectrum, or why none


def gather(
    spectra: str | Path, catalog: str | Path | None, survey: Survey, grid: Grid, folder: Path, notice: Notice = print
) -> LabelledSet:
    """The set in `folder`, made from a folder of spectra and a catalogue, or from a packed file, unless it is there.

    notice is told what was assumed and what was left out: catalogue rows without spectra, spectra without rows,
    labels that are NaN or no class of the survey, files that cannot be read, spectra without good pixels.
    Raises CatalogError when nothing is left, when the set there was made from something else, or the disk is full.
    """
    facts = _facts(spectra, catalog, survey, grid)
    if (folder / "set.json").is_file():
        found = json.loads((folder / "set.json").read_text())
        for key, value in facts.items():
            if found.get(key) != value:
                raise CatalogError(
                    f"{folder / 'set.json'}: made with {key} = {found.get(key)!r}, not {value!r}; use another --out"
                )
        return open_set(folder)
    try:
        with Writer(folder) as writer:
            pairs, kind = _pairs(Path(spectra), catalog, notice)
            for entry, spectrum in pairs:
                _add(writer, entry, spectrum, survey, grid)
            for line in writer.words():
                notice(line)
            if len(writer.objects) < 2:
                raise CatalogError(f"{catalog or spectra}: no spectrum with a usable label is left; see above")
            writer.finish(facts | {"kind": kind})
    except OSError as error:
        raise CatalogError(f"{folder}: the spectra cannot be written ({error.strerror or error})") from error
    return open_set(folder)


def _facts(spectra: str | Path, catalog: str | Path | None, survey: Survey, grid: Grid) -> dict[str, Any]:
    """What a set depends on. The labels by their bytes, the spectra by where they are."""
    labels = Path(catalog or spectra)
    if not labels.is_file():
        raise CatalogError(f"{labels} not found: no such {'catalogue' if catalog else 'packed set'}")
    with labels.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": FORMAT, "spectra": Path(spectra).name, "catalog": labels.name, "catalog_sha256": sha256,
        "survey": survey.name, "survey_sha256": survey.sha256, "grid": grid.to_dict(),
    }  # fmt: skip


def _pairs(spectra: Path, catalog: str | Path | None, notice: Notice) -> tuple[Pairs, str]:
    if catalog is None:
        if not is_packed(spectra):
            raise CatalogError(f"{spectra}: no packed set of labelled spectra; give its labels with --catalog")
        packed = read_packed(spectra)
        if packed.assumed:
            notice(packed.assumed)
        return packed.spectra(), "packed"
    if not spectra.is_dir():
        raise CatalogError(f"{spectra}: no such folder of spectra")
    kind, entries = read_catalog(catalog)
    notice(f"{catalog}: {len(entries)} rows, read as {kind.name}")
    return (_by_path if kind.id == ("PATH",) else _by_id)(spectra, entries), kind.name


def _by_path(folder: Path, entries: tuple[Entry, ...]) -> Pairs:
    last, reason = "", ""
    spectra: list[Spectrum] = []
    for entry in entries:
        if entry.path != last:  # a file with many objects stands in many rows, one after the other
            last = entry.path
            spectra, reason = _read(folder / last) if (folder / last).is_file() else ([], "row without spectrum")
        wanted = [s for s in spectra if s.object_id.endswith(entry.target)]
        if len(wanted) > 1:
            reason = "column target must name one of the file's objects"
        yield entry, wanted[0] if len(wanted) == 1 else reason or "row without spectrum"
    listed = {str(folder / entry.path) for entry in entries}
    for path, error in find_files([folder]):
        if not error and path not in listed:
            yield str(Path(path).relative_to(folder)), "spectrum without row"


def _by_id(folder: Path, entries: tuple[Entry, ...]) -> Pairs:
    left: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in left:
            yield entry, "another row of the same object"
        left.setdefault(entry.name, entry)
    seen: set[str] = set()
    for path, error in find_files([folder]):
        spectra, reason = ([], error) if error else _read(Path(path))
        if reason:
            yield str(Path(path).relative_to(folder)), reason
        for spectrum in spectra:
            if spectrum.object_id in left:
                yield left.pop(spectrum.object_id), spectrum
            elif spectrum.object_id in seen:
                yield spectrum.object_id, "another spectrum of the same object"
            else:
                yield spectrum.object_id, "spectrum without row"
            seen.add(spectrum.object_id)
    for entry in left.values():
        yield entry, "row without spectrum"


def _read(path: Path) -> tuple[list[Spectrum], str]:
    try:
        return read(path, catalogue=False), ""  # the label is the catalogue's
    except (SpectrumError, OSError) as error:
        return [], f"cannot be read: {' '.join(str(error).split())}"


def _add(writer: Writer, entry: Entry | str, spectrum: Spectrum | str, survey: Survey, grid: Grid) -> None:
    name = entry if isinstance(entry, str) else entry.name
    if isinstance(entry, str) or isinstance(spectrum, str):
        return writer.leave_out(name, str(spectrum))
    label = entry.label(survey)
    if isinstance(label, str):
        return writer.leave_out(name, label)
    flux, ivar = regrid(in_range(spectrum), grid)
    if (ivar > 0).sum() < MIN_GOOD:
        return writer.leave_out(name, f"fewer than {MIN_GOOD} good pixels in the survey's range")
    return writer.add(name, entry.split, label, spectrum.snr, (flux, ivar))
