"""Catalogues of labels: which columns name the object, its class and its redshift. Told by their columns, by KINDS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from engine.evaluate.labels import true_class
from engine.survey import SPECTYPES, Survey


class CatalogError(ValueError):
    """A catalogue cannot be used. The message names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Kind:
    """One layout of a catalogue. Column names in capitals; files may spell them in any case.

    id : columns that, joined by "-", are the object id of the spectrum; or PATH, the file below the spectra folder
    split : an optional column that names the physical object, which may have been observed more than once
    """

    name: str
    id: tuple[str, ...]
    spectype: str
    z: str
    subclass: str = "SUBCLASS"
    zwarning: str = "ZWARNING"
    split: str = ""

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that tell this kind."""
        return (*self.id, self.spectype, self.z)


# The first kind whose required columns a catalogue has is the one. Data models: spAll and specObj of SDSS, zcatalog of
# DESI. subclass, zwarning and split are used where they are there.
KINDS: tuple[Kind, ...] = (
    Kind("SDSS spAll", ("PLATE", "MJD", "FIBERID"), "CLASS", "Z", split="THING_ID"),
    Kind("SDSS-V spAll", ("FIELD", "MJD", "CATALOGID"), "CLASS", "Z", split="SDSS_ID"),
    Kind("DESI zcatalog", ("TARGETID",), "SPECTYPE", "Z", "SUBTYPE", "ZWARN"),
    Kind("plain, by path", ("PATH",), "CLASS", "Z", split="OBJECT_ID"),
    Kind("plain, by object id", ("OBJECT_ID",), "CLASS", "Z"),
)


@dataclass(frozen=True)
class Entry:
    """One row of a catalogue. name : object id, or path; target : which object of the file, where it holds many;
    spectype : its class as written; subclass : None when the catalogue has no such column; split : what the split
    hashes; zwarning : 0 when trusted, -1 unknown."""

    name: str
    path: str
    target: str
    split: str
    spectype: str
    subclass: str | None
    z: float
    zwarning: int = -1

    def label(self, survey: Survey) -> tuple[int, float] | str:
        """(class index, redshift) in a survey, or why this row teaches nothing: the reason, then ": " and details."""
        if not self.spectype or self.spectype.upper() == "NAN" or not math.isfinite(self.z):
            return "no class or redshift (NaN)"
        if self.zwarning > 0:
            return "the catalogue warns of the redshift (zwarning)"
        name = self._class_name(survey)
        if not name:
            return f"label that is no class of {survey.name}: {self.spectype} {self.subclass or ''}".strip()
        k = survey.index(name)
        z_range = survey.classes[k].z_range
        if z_range is None:
            return k, 0.0  # paper eq. 1
        if not z_range[0] - 1e-3 <= self.z <= z_range[1] + 1e-3:
            return f"redshift outside the range of {name}, {z_range[0]:g} to {z_range[1]:g}"
        return k, self.z

    def _class_name(self, survey: Survey) -> str:
        spectype = self.spectype.upper()
        if spectype in SPECTYPES:
            of_type = [c.name for c in survey.classes if c.spectype == spectype]
            if len(of_type) == 1:
                return of_type[0]
            if self.subclass is not None:
                name = true_class(spectype, "" if self.subclass.upper() == "NAN" else self.subclass)
                return name if name in of_type else ""
        return next((c.name for c in survey.classes if self.spectype in (c.name, c.paper_name)), "")


def read_catalog(path: str | Path) -> tuple[Kind, tuple[Entry, ...]]:
    """The kind of a catalogue and its rows. FITS (first table), ECSV, CSV or parquet.

    Raises CatalogError when it cannot be read or has the columns of none of KINDS.
    """
    columns = _columns(Path(path))
    upper = {name.upper(): name for name in columns}
    kind = next((kind for kind in KINDS if all(name in upper for name in kind.required)), None)
    if kind is None:
        known = "; ".join(f"{kind.name}: {', '.join(kind.required)}" for kind in KINDS)
        raise CatalogError(f"{path}: has the columns of no known catalogue. It needs those of one of these: {known}")
    return kind, entries(kind, {name: columns[upper[name]] for name in upper})


def entries(kind: Kind, columns: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The rows of a catalogue's columns, by capital name."""
    ids = [_texts(columns[name]) for name in kind.id]
    names = ["-".join(parts) for parts in zip(*ids, strict=True)]
    empty = [""] * len(names)
    subclass = _texts(columns[kind.subclass]) if kind.subclass in columns else None
    target = _texts(columns["TARGET"]) if kind.id == ("PATH",) and "TARGET" in columns else empty
    group = _texts(columns[kind.split]) if kind.split in columns else empty
    warning = _numbers(columns[kind.zwarning]) if kind.zwarning in columns else np.full(len(names), -1.0)
    spectype, z = _texts(columns[kind.spectype]), _numbers(columns[kind.z])
    return tuple(
        Entry(
            f"{name}:{target[i]}" if target[i] else name,
            name if kind.id == ("PATH",) else "", target[i],
            name + target[i] if group[i] in ("", "0", "-1") else group[i],  # THING_ID is -1 where unknown
            spectype[i], None if subclass is None else subclass[i], float(z[i]),
            int(warning[i]) if np.isfinite(warning[i]) else -1,
        )
        for i, name in enumerate(names)
    )  # fmt: skip


def _columns(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CatalogError(f"{path} not found: no such catalogue; check the spelling")
    try:
        if path.name.lower().endswith((".fits", ".fit", ".fits.gz")):
            with fits.open(path, memmap=True) as hdus:
                table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)
                if table is None:
                    raise CatalogError(f"{path}: holds no table")
                wanted = {name for kind in KINDS for name in (*kind.required, *_optional(kind))}
                return {n: np.array(table.data[n]) for n in table.columns.names if n.upper() in wanted}
        table = Table.read(path, format="ascii.csv" if path.suffix.lower() == ".csv" else None)
    except CatalogError:
        raise
    except Exception as error:  # astropy raises whatever its readers meet
        raise CatalogError(
            f"{path}: cannot be read as a catalogue ({error}). Give FITS, ECSV, CSV or parquet"
        ) from error
    return {name: table[name].filled("") if _masked_text(table[name]) else table[name] for name in table.colnames}


def _optional(kind: Kind) -> tuple[str, ...]:
    return (kind.subclass, kind.zwarning, kind.split, "TARGET")


def _masked_text(column: Any) -> bool:
    return hasattr(column, "filled") and column.dtype.kind in "US"


def _texts(values: Any) -> Sequence[str]:
    """Values as the text of an id: whole numbers without point, bytes decoded, cells of one value taken out."""
    return [_text(value) for value in _cells(values, "")]


def _cells(values: Any, masked: Any) -> Any:
    return np.ma.filled(np.ma.asarray(values).astype(object), masked).reshape(len(values), -1)[:, 0]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _numbers(values: Any) -> np.ndarray:
    """(N,) numbers; what is none is NaN."""
    found = _cells(values, None)
    out = np.full(len(found), np.nan)
    for i, value in enumerate(found):
        try:
            out[i] = float(value)
        except (TypeError, ValueError):
            continue
    return out
