"""Tables: FITS binary tables, ECSV, CSV and plain columns, with units where the file gives them.

Columns are told by name (wave, wavelength, lambda, loglam ...; flux ...; ivar, error, sigma, variance ...). A mask
column counts only if it is boolean: nobody can know what the bits of an unknown survey mean.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.readers.bounds import check_text, scalars
from engine.readers.clean import MAX_OBJECTS, MAX_PIXELS, check_length, gather, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.image import ivar_from, medium
from engine.readers.quiet import quietly
from engine.readers.source import Source
from engine.readers.units import to_angstrom, to_flam
from engine.spectrum import Spectrum, SpectrumError

WAVE_NAMES = frozenset(
    [
        "wave",
        "wavelength",
        "wavelengths",
        "lambda",
        "lam",
        "wl",
        "wavelen",
        "wlen",
        "wav",
        "waveobs",
        "wavevac",
        "waveair",
        "wavelengthvac",
        "wavelengthair",
        "lambdavac",
        "lambdaair",
        "lambdaobs",
        "spectralaxis",
        "loglam",
        "loglambda",
        "logwave",
        "logwavelength",
    ]
)
FLUX_NAMES = frozenset(
    [
        "flux",
        "fluxes",
        "fluxdensity",
        "flam",
        "flambda",
        "fluxlambda",
        "fnu",
        "fluxnu",
        "spec",
        "spectrum",
        "counts",
        "count",
        "intensity",
    ]
)
_ERROR_NAMES = {
    "ivar": ["ivar", "invvar", "inversevariance", "fluxivar", "ivarflux"],
    "variance": ["variance", "var", "fluxvar", "fluxvariance"],
    "sigma": [
        "error",
        "err",
        "errors",
        "sigma",
        "sig",
        "fluxerr",
        "fluxerror",
        "errflux",
        "uncertainty",
        "unc",
        "std",
        "stddev",
        "noise",
        "eflux",
        "dflux",
        "fluxuncertainty",
        "fluxsigma",
        "fluxunc",
        "fluxstd",
    ],
}
_MASK_NAMES = frozenset(["mask", "bad", "badpix", "flag", "flags", "dq"])
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$|[+-]?(nan|inf)$", re.IGNORECASE)
_MAX_SCANNED_LINES = 10_000
MAX_FIRST = 20_000  # characters of the line that names the columns


@dataclass(frozen=True)
class Column:
    """A column's name and unit as the file spells them, and its values (n,) or (objects, n)."""

    name: str
    unit: str
    values: NDArray[Any]


def is_fits(source: Source) -> bool:
    """True when some binary table has a wavelength and a flux column."""
    return _fits_table(source) is not None


def read_fits(source: Source) -> list[Spectrum]:
    """The spectrum of a table with one pixel per row, or the spectra of a table with one object per row."""
    hdu = _fits_table(source)
    assert hdu is not None
    if not 0 < hdu.shape[0] <= MAX_PIXELS:
        check_length(source.name, hdu.shape[0])
    wanted = [name for name in hdu.columns if _role(name)]
    columns = [Column(name, hdu.unit(name), values) for name, values in hdu.table(*wanted).items()]
    if not {"wave", "flux"} <= {_role(column.name) for column in columns}:
        raise SpectrumError(f"{source.name}: columns of wavelength or flux hold no numbers. Give one number a pixel")
    air, notes = medium(source)
    meta = {key.lower(): _number(hdu.get(key, source.hdus[0].get(key))) for key in ("RA", "DEC")}
    object_id = hdu.text("OBJECT") or source.hdus[0].text("OBJECT") or source.stem
    return _spectra(source, columns, air, notes, object_id, {k: v for k, v in meta.items() if v is not None})


def is_text(source: Source) -> bool:
    """True when the file is text."""
    return bool(source.text)


def read_text(source: Source) -> list[Spectrum]:
    """The spectrum of an ECSV, CSV or whitespace table. Columns without names are wavelength, flux, error."""
    if source.text.count("\n") > MAX_PIXELS + _MAX_SCANNED_LINES:
        check_length(source.name, source.text.count("\n"))
    if source.text.lstrip().startswith("# %ECSV"):
        columns, keys = _ecsv(source)
        notes: tuple[str, ...] = ()
    else:
        columns, keys, notes = _plain(source)
    if not any(_role(c.name) == "wave" for c in columns) or not any(_role(c.name) == "flux" for c in columns):
        raise SpectrumError(_no_columns(source, [c.name for c in columns]))
    air, said = _medium_of_text(keys)
    meta = {k: v for k in ("ra", "dec") if (v := _number(keys.get(k))) is not None}
    return _spectra(source, columns, air, (*notes, *said), str(keys.get("object", "") or source.stem), meta)


def _spectra(
    source: Source, columns: list[Column], air: bool, notes: tuple[str, ...], object_id: str, meta: dict[str, Any]
) -> list[Spectrum]:
    by_role: dict[str, Column] = {}
    for column in columns:
        by_role.setdefault(_role(column.name), column)
    flux = by_role["flux"].values
    rows = flux.shape[0] if flux.ndim == 2 else 1
    if flux.ndim == 2 and rows > MAX_OBJECTS:
        raise SpectrumError(f"{source.name}: {rows:,} objects; at most {MAX_OBJECTS:,} are read. Split the file")

    def make(i: int) -> Spectrum:
        here = {
            r: c if c.values.ndim == 1 and rows > 1 else Column(c.name, c.unit, _row(c.values, i))
            for r, c in by_role.items()
        }
        name = object_id if rows == 1 else f"{object_id}-{i}"
        return _one(source, here, air, notes, name, meta)

    return gather(source.name, ((f"row {i}", lambda i=i: make(i)) for i in range(rows)))  # type: ignore[misc]


def _one(
    source: Source, columns: Mapping[str, Column], air: bool, notes: tuple[str, ...], name: str, meta: dict[str, Any]
) -> Spectrum:
    wave_column, flux_column = columns["wave"], columns["flux"]
    notes_list = list(notes)
    values = _floats(source, wave_column)
    check_length(source.name, values.size)
    wave, said = to_angstrom(values, wave_column.unit, wave_column.name, source.name)
    notes_list += said
    lowered = wave_column.name.lower()
    if "air" in lowered or "vac" in lowered:
        air = "air" in lowered
        notes_list = [note for note in notes_list if "air or vacuum" not in note]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor, unit, said = to_flam(wave, flux_column.unit, flux_column.name, source.name)
    flux = _floats(source, flux_column)
    if flux.size != wave.size:
        raise SpectrumError(f"{source.name}: {wave.size} wavelengths but {flux.size} flux values. Check the table")
    notes_list += said
    finite = np.abs(flux[np.isfinite(flux)])
    if not unit and finite.size and 0 < finite.max() < 1e-10:
        factor = factor * 1e17
        notes_list.append("flux has no unit and is below 1e-10: taken as erg/s/cm2/A and multiplied by 1e17")
    ivar = next((ivar_from(_floats(source, columns[kind]), kind) for kind in _ERROR_NAMES if kind in columns), None)
    mask = columns.get("mask")
    bad = mask.values if mask is not None and mask.values.dtype.kind == "b" else None
    if mask is not None and bad is None:
        notes_list.append(f"column {mask.name} not used: the meaning of its values is unknown")
    return spectrum(
        source.name, wave, flux * factor, None if ivar is None else ivar / factor**2, bad=bad, air=air,
        notes=notes_list, object_id=name, flux_unit=unit, meta=meta,
    )  # fmt: skip


def _role(name: str) -> str:
    """wave, flux, ivar, variance, sigma, mask, or "" for a column's name."""
    key = re.sub(r"[^a-z]", "", name.lower())
    if key in WAVE_NAMES:
        return "wave"
    if key in FLUX_NAMES:
        return "flux"
    if key in _MASK_NAMES:
        return "mask"
    return next((kind for kind, names in _ERROR_NAMES.items() if key in names), "")


def _row(values: NDArray[Any], i: int) -> NDArray[Any]:
    return values[i] if values.ndim == 2 else values


def _floats(source: Source, column: Column) -> NDArray[np.float64]:
    try:
        return np.asarray(column.values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpectrumError(f"{source.name}: column {column.name} is not numeric: {error}. Check the file") from error


def _fits_table(source: Source) -> Hdu | None:
    for hdu in source.hdus[1:]:
        if not hdu.compressed and {"wave", "flux"} <= {_role(name) for name in hdu.columns}:
            return hdu
    return None


def _ecsv(source: Source) -> tuple[list[Column], dict[str, Any]]:
    from astropy.table import Table  # slow to import, and only ECSV needs it

    check_text(source)
    try:
        with quietly():
            table = Table.read(source.text.splitlines(), format="ascii.ecsv")
    except Exception as error:  # astropy raises many kinds for a broken header or body
        raise SpectrumError(f"{source.name}: not a valid ECSV table: {error}. Write it again with astropy") from error
    columns = [Column(n, str(table[n].unit or ""), np.ma.filled(np.ma.asarray(table[n]), _fill(table[n])))
               for n in table.colnames if _role(n)]  # fmt: skip
    return columns, {key.lower(): value for key, value in scalars(table.meta).items()}


def _fill(column: Any) -> Any:
    return np.nan if column.dtype.kind == "f" else None


def _plain(source: Source) -> tuple[list[Column], dict[str, Any], tuple[str, ...]]:
    """Columns, `# key = value` comments, notes of a CSV or whitespace table."""
    import pandas as pd  # slow to import, and only text needs it

    head, keys, skipped = [], {}, 0
    lines = io.StringIO(source.text)
    comment, first = "", ""
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(("#", "!", "%")) or not stripped:
            comment = stripped[:MAX_FIRST].lstrip("#!% ") or comment
            if match := re.match(r"(\w+)\s*[:=]\s*(.+)", comment):
                keys[match.group(1).lower()] = match.group(2).strip()
            skipped += 1
            continue
        first = stripped
        break
    if len(first) > MAX_FIRST:
        raise SpectrumError(f"{source.name}: a first line of {len(first):,} characters. Give a row for each wavelength")
    separator = next((s for s in (",", ";", "\t", "|") if s in first), None)
    head = _split(first, separator)
    named = bool(head) and not all(_NUMBER.match(word) or not word for word in head)
    names = head
    notes: tuple[str, ...] = ()
    if not named:
        names = _split(comment, separator) if len(_split(comment, separator)) == len(head) else []
        if not {"wave", "flux"} <= {_role(_name_unit(n)[0]) for n in names}:
            if not 2 <= len(head) <= 3:
                raise SpectrumError(_no_columns(source, []))
            names = ["wave", "flux", "error"][: len(head)]
            notes = ("columns have no names: taken as wavelength, flux, error",)
    try:
        frame = pd.read_csv(
            io.StringIO(source.text), sep=separator or r"\s+", header=None, names=range(len(names)), comment="#",
            skiprows=skipped + named, low_memory=False, index_col=False, skip_blank_lines=True,
        )  # fmt: skip
    except Exception as error:  # pandas raises many kinds for ragged or broken tables
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SpectrumError(
            f"{source.name}: text, but no table of numbers ({reason}). Give columns wave, flux, ivar"
        ) from error
    columns = [Column(*_name_unit(name), frame[i].to_numpy()) for i, name in enumerate(names)]
    return columns, keys, notes


def _split(line: str, separator: str | None) -> list[str]:
    return [word.strip().strip("\"'") for word in line.split(separator)]


def _name_unit(name: str) -> tuple[str, str]:
    """('wave', 'nm') from 'wave [nm]', 'wave (nm)' or 'wave_nm'."""
    name = name[:200]  # the patterns take time by the square
    if match := re.match(r"(.*?)\s*[\[(](.*)[\])]\s*$", name):
        return match.group(1), match.group(2)
    if match := re.match(r"(.*)_(nm|um|micron|angstroms?|aa)$", name, re.IGNORECASE):
        return match.group(1), {"aa": "Angstrom"}.get(match.group(2).lower(), match.group(2).lower())
    return name, ""


def _medium_of_text(keys: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    said = {key: str(value).strip().lower() for key, value in keys.items()}
    for key in ("airorvac", "medium"):
        if said.get(key, "")[:3] in ("air", "vac"):
            return said[key].startswith("air"), ()
    if "vacuum" in said:
        return said["vacuum"] in ("false", "f", "0", "no"), ()
    if "air" in said:
        return said["air"] not in ("false", "f", "0", "no"), ()
    return False, ("the file does not say air or vacuum: wavelengths taken as vacuum",)


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _no_columns(source: Source, names: list[str]) -> str:
    found = f"its columns are {', '.join(names[:8])}" if names else "no columns were recognised"
    return f"{source.name}: text, but no wavelength and flux columns ({found}). Name them wave, flux and ivar"
