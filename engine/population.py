"""A population: the catalogue of many objects as arrays to plot and choose from, with labels where there are any."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.special import ndtr

from engine.catalogue import ENDINGS, CatalogueError
from engine.readers.bounds import check_text, scalars
from engine.readers.fitsfile import Hdu
from engine.readers.quiet import quietly
from engine.readers.source import MAX_UNZIPPED, Source, opened
from engine.spectrum import SpectrumError

Numbers = NDArray[np.float64]
# What each column is for, and the names it goes by, the usual one first; compared without regard to case.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "object_id": ("object_id", "targetid", "specobjid"), "class": ("class",), "z": ("z",), "zerr": ("zerr", "z_err"),
    "snr": ("snr",),
}  # fmt: skip
KNOWN: Mapping[str, tuple[str, ...]] = {
    "path": ("path",), "spectype": ("spectype",), "zwarn": ("zwarn",), "z_true": ("z_true", "z_cat", "z_label"),
    "class_true": ("class_true", "class_cat", "class_label"), "ra": ("ra",), "dec": ("dec",), "pit": ("pit",),
}  # fmt: skip
TEXTS = ("object_id", "class", "path", "spectype", "class_true")
MOST_OBJECTS = 2_000_000
MOST_VALUES = 16_000_000  # of a Parquet file, beside one for each of its bytes
FLUXES = {"flux", "wave", "wavelength", "loglam", "lambda", "ivar"}  # columns of a spectrum


@dataclass(frozen=True, eq=False)
class Population:
    """N objects. name: the file's; table: every column as the file has it, for export, or None.

    keys : (N,) object ids, repeated ones numbered; texts : (N,) str by name, "" where absent; numbers : (N,) float by
    name, NaN where absent: z, zerr, snr, zwarn, z_true, ra and dec (deg, ICRS), pit
    """

    name: str
    keys: NDArray[np.str_]
    texts: Mapping[str, NDArray[np.str_]]
    numbers: Mapping[str, Numbers]
    table: Table | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def pit(self) -> Numbers:
        """(N,) probability integral transform of the true redshift: the file's, else of a Gaussian (z, zerr)."""
        if np.isfinite(self.numbers["pit"]).any():
            return self.numbers["pit"]
        z, zerr, true = (self.numbers[key] for key in ("z", "zerr", "z_true"))
        good = np.isfinite(z) & np.isfinite(true) & (zerr > 0)
        return np.where(good, ndtr((true - z) / np.where(good, zerr, 1.0)), np.nan)


def looks_like_catalogue(source: Path | io.BytesIO, name: str) -> bool:
    """True for a table of objects, by its column names: several of those needed, and no flux. Reads the header alone.

    False, never an error, for what cannot be read: the readers of spectra then say what is wrong.
    """
    if name.lower().endswith(".parquet"):
        return True
    try:
        names = {column.lower() for column in _column_names(source, name)}
    except Exception:
        return False
    known = {other for others in (*NEEDED.values(), *KNOWN.values()) for other in others}
    return len(names & known) >= 3 and not names & FLUXES


def _column_names(source: Path | io.BytesIO, name: str) -> Collection[str]:
    if _ending(name) in (".fits", ".fit"):
        with opened(source, name) as file:
            return _hdu(file).columns
    with open(source, "rb") if isinstance(source, Path) else io.BytesIO(source.getbuffer()[:100_000]) as head:
        lines = (line.decode("utf-8", "replace").strip() for line in head)
        first = next((line for line in lines if line and not line.startswith("#")), "")
    return [part.strip('"') for part in (first.split(",") if "," in first else first.split())]


def read_population(source: Path | io.BytesIO, name: str = "") -> Population:
    """A catalogue as `gasnet classify` writes it, or any table with object_id, class, z, zerr and snr.

    Raises CatalogueError: the file cannot be read, columns are missing (which, and what is needed), no rows.
    """
    name = name or Path(str(source)).name
    ending = _ending(name)
    if ending not in ENDINGS:
        raise CatalogueError(f"{name}: unknown ending {ending!r}; a catalogue ends in one of {', '.join(ENDINGS)}")
    try:
        if ending == ".parquet":
            table = _parquet_table(source)
        else:
            with opened(source, name) as file:
                table = _text_table(file, ending) if ending in (".ecsv", ".csv") else _hdu(file).whole_table()
    except SpectrumError as error:
        raise CatalogueError(str(error)) from error
    except Exception as error:  # whatever a library says of a broken file, the reader is told in one line
        words = " ".join(str(error).split())[:200]
        raise CatalogueError(f"{name}: cannot be read as a catalogue ({words}); write it again") from error
    return as_population(table, name)


def _ending(name: str) -> str:
    return Path(name.lower().removesuffix(".gz")).suffix


def _hdu(file: Source) -> Hdu:
    """The one table of a FITS file."""
    tables = [hdu for hdu in file.hdus[1:] if hdu.kind == "BINTABLE" and not hdu.compressed]
    if len(tables) != 1 or len(file.hdus) != 2:
        raise SpectrumError(
            f"{file.name}: holds {len(tables)} tables in {len(file.hdus)} HDUs; a catalogue is one table"
        )
    return tables[0]


def _text_table(file: Source, ending: str) -> Table:
    check_text(file)
    with quietly():  # a stream, for astropy takes a text of one line for a path or an address
        return Table.read(io.BytesIO(file.text.encode()), format="ascii.ecsv" if ending == ".ecsv" else "ascii.csv")


def _parquet_table(source: Path | io.BytesIO) -> Table:
    """A Parquet file as a table; one that is small only because it says the same over and over is refused in time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(f"{source}") if isinstance(source, Path) else pa.BufferReader(source.getbuffer()) as stream:
        size = stream.size()
        schema = pq.read_schema(stream)
        texts = [
            field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        ]
        file = pq.ParquetFile(stream, read_dictionary=texts)
        meta = file.metadata
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if unpacked > MAX_UNZIPPED or meta.num_rows * meta.num_columns > MOST_VALUES + size:
            raise ValueError(f"{meta.num_rows:,} rows of {meta.num_columns} columns in {size:,} bytes")
        table = file.read()
    for name in texts:
        longest = max((len(s.as_py() or "") for chunk in table[name].chunks for s in chunk.dictionary), default=0)
        if longest * len(table) > MOST_VALUES + 4 * size:
            raise ValueError(f"column {name} has a text of {longest:,} characters")
    return Table.from_pandas(table.cast(schema.remove_metadata()).to_pandas())


def as_population(table: Table, name: str) -> Population:
    """A table as a population. Raises CatalogueError when columns are missing or it has no rows."""
    given = {column.lower(): column for column in table.colnames}
    found = {
        key: next((given[n] for n in names if n in given), None) for key, names in {**NEEDED, **KNOWN}.items()
    }  # fmt: skip
    missing = [key for key in NEEDED if found[key] is None]
    if missing:
        raise CatalogueError(
            f"{name}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing; a catalogue needs "
            f"{', '.join(NEEDED)}, as `gasnet classify` writes them (and z_true, class_true, ra, dec if you have them)"
        )
    if not len(table):
        raise CatalogueError(f"{name}: the catalogue has no rows; classify some spectra first")
    if len(table) > MOST_OBJECTS:
        raise CatalogueError(f"{name}: {len(table):,} rows; at most {MOST_OBJECTS:,} are shown. Give it in parts")
    table.meta = scalars(table.meta)
    texts, numbers = {}, {}
    for key, column in found.items():
        if column is not None and np.ndim(table[column]) != 1:
            raise CatalogueError(f"{name}: column {column} holds several values a row; a catalogue has one")
        if key in TEXTS:
            texts[key] = np.full(len(table), "") if column is None else _text(table[column])
            continue
        try:
            numbers[key] = np.full(len(table), np.nan) if column is None else _number(table[column])
        except (TypeError, ValueError) as error:
            raise CatalogueError(f"{name}: column {column} holds something that is no number ({error})") from error
    return Population(name, unique_keys(texts["object_id"]), texts, numbers, table)


def _text(column: Iterable) -> NDArray[np.str_]:
    values: Any = np.ma.filled(np.ma.asarray(column).astype(object), "")
    return np.array(
        [v.decode("utf-8", "replace") if isinstance(v, bytes) else "" if v is None else str(v) for v in values.tolist()]
    )


def _number(column: Iterable) -> Numbers:
    # A plain array: of astropy's columns Bokeh cannot make a message.
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan))


def unique_keys(ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """Object ids as keys: the second of the same name is called "name (2)"."""
    seen: dict[str, int] = {}
    keys = []
    for one in ids.tolist():
        seen[one] = seen.get(one, 0) + 1
        keys.append(one if seen[one] == 1 else f"{one} ({seen[one]})")
    return np.array(keys)
