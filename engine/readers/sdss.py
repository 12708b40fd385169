"""SDSS: spec and spec-lite files of SDSS-I/II, BOSS, eBOSS and SDSS-V, and the spSpec images of DR7 and before.

Data model: data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html: HDU 1 is the coadd
(loglam in vacuum), HDU 2 one row of spAll (BOSS, eBOSS, SDSS-V) or specObj (SDSS-I/II).
Masks: www.sdss.org/dr17/algorithms/bitmasks, SPPIXMASK.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.readers.clean import FLAM, check_length, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.source import Source
from engine.spectrum import Label, Spectrum, SpectrumError

# Bits of and_mask (set in every exposure) that make a pixel unusable. The others are harmless or already in ivar:
# NEARBADPIXEL, SCATTEREDLIGHT or MANYBADCOLUMNS may be set over a whole good spectrum, so "any bit" is never a rule.
FULLREJECT = 1 << 18  # every pixel rejected in the extraction
NOSKY = 1 << 22  # no sky level known at this wavelength
BRIGHTSKY = 1 << 23  # sky above flux + 10 sigma and 1.25 times its surroundings: residuals of strong sky lines
NODATA = 1 << 24  # no data in the combination
BAD_BITS = FULLREJECT | NOSKY | BRIGHTSKY | NODATA

_LABEL_COLUMNS = ("CLASS", "SUBCLASS", "Z", "Z_ERR", "ZWARNING")
_ID_COLUMNS = ("PLATE", "MJD", "FIBERID", "FIELD", "CATALOGID", "SDSS_ID")
_META_COLUMNS = ("PLUG_RA", "PLUG_DEC", "RACAT", "DECCAT", "SPECTROFLUX", "SURVEY", "RUN2D", "PROGRAMNAME")
_SPEC_CLN = {1: "STAR", 2: "GALAXY", 3: "QSO", 4: "QSO", 6: "STAR", 7: "GALAXY"}  # DR7 SpecClass; 0 unknown, 5 sky


def is_spec(source: Source) -> bool:
    """True for a spec or spec-lite file: some table has loglam, flux, ivar and and_mask."""
    return _coadd(source) is not None


def read_spec(source: Source) -> list[Spectrum]:
    """The coadded spectrum of a spec file; pixels with ivar <= 0 or BAD_BITS are bad."""
    hdu = _coadd(source)
    assert hdu is not None
    check_length(source.name, hdu.shape[0])
    columns = hdu.table("LOGLAM", "FLUX", "IVAR", "AND_MASK", "WDISP")
    header = source.hdus[0]
    row = _catalogue(source) if source.catalogue or not _names_itself(header) else {}
    object_id, meta = _identity(source, header, row)
    meta["wdisp"] = columns.get("WDISP")
    loglam = columns["LOGLAM"].astype(np.float64)
    if loglam.ndim != 1 or not (np.abs(loglam) < 6).all():
        raise SpectrumError(f"{source.name}: column loglam is not log10 of Angstrom. Check the file")
    made = spectrum(
        source.name, 10.0**loglam, columns["FLUX"], columns["IVAR"],
        bad=_bad(columns["AND_MASK"]), object_id=object_id, survey=_survey(header, row), flux_unit=FLAM,
        label=_label(row), meta={key: value for key, value in meta.items() if value is not None},
    )  # fmt: skip
    return [made]


def is_spspec(source: Source) -> bool:
    """True for a DR7 spSpec file: one image of 4 or 5 rows with COEFF0 and SPEC_CLN in its header."""
    first = source.hdus[0] if source.hdus else None
    return bool(first and len(first.shape) == 2 and 4 <= first.shape[0] <= 5 and first.has("COEFF0", "SPEC_CLN"))


def read_spspec(source: Source) -> list[Spectrum]:
    """The spectrum of a spSpec file: rows are flux, continuum-subtracted flux, sigma, mask (SDSS DR7 data model)."""
    hdu = source.hdus[0]
    check_length(source.name, hdu.shape[1])
    flux, _, sigma, mask = hdu.image()[:4].astype(np.float64)
    loglam = hdu.get("COEFF0") + hdu.get("COEFF1") * np.arange(flux.size)
    ivar = np.divide(1.0, sigma**2, out=np.zeros(flux.size), where=sigma > 0)
    label = Label(
        spectype=_SPEC_CLN.get(hdu.get("SPEC_CLN", 0), ""), z=float(hdu.get("Z", np.nan)),
        zerr=float(hdu.get("Z_ERR", np.nan)), zwarning=int(hdu.get("Z_WARNIN", -1)),
    )  # fmt: skip
    ids = [hdu.get(key) for key in ("PLATEID", "MJD", "FIBERID")]
    meta = {"ra": hdu.get("RAOBJ"), "dec": hdu.get("DECOBJ"), "plate": ids[0], "mjd": ids[1], "fiber": ids[2]}
    made = spectrum(
        source.name, 10.0**loglam, flux, ivar,
        bad=_bad(mask), air=hdu.get("VACUUM") in (False, 0), survey="SDSS", flux_unit=FLAM, label=label,
        object_id="-".join(map(str, ids)) if None not in ids else source.stem,
        meta={key: value for key, value in meta.items() if value is not None},
    )  # fmt: skip
    return [made]


def _coadd(source: Source) -> Hdu | None:
    needed = {"LOGLAM", "FLUX", "IVAR", "AND_MASK"}
    return next((hdu for hdu in source.hdus[1:3] if needed <= hdu.columns.keys()), None)


def _bad(mask: NDArray[Any]) -> NDArray[np.bool_]:
    whole = np.nan_to_num(mask.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) if mask.dtype.kind == "f" else mask
    return np.asarray((whole.astype(np.int64) & BAD_BITS) != 0)


def _catalogue(source: Source) -> dict[str, Any]:
    """The object's row of spAll or specObj as plain values, {} when the file has none."""
    for hdu in source.hdus[1:4]:
        if hdu.kind == "BINTABLE" and hdu.shape == (1,) and {"CLASS", "Z"} <= hdu.columns.keys():
            values = hdu.table(*_LABEL_COLUMNS, *_ID_COLUMNS, *_META_COLUMNS)
            return {name: value[0] if np.ndim(value[0]) else value[0].item() for name, value in values.items()}
    return {}


def _label(row: dict[str, Any]) -> Label | None:
    if not str(row.get("CLASS", "")).strip():
        return None
    return Label(
        spectype=row["CLASS"].strip(), subclass=str(row.get("SUBCLASS", "")).strip(), z=float(row["Z"]),
        zerr=float(row.get("Z_ERR", np.nan)), zwarning=int(row.get("ZWARNING", -1)),
    )  # fmt: skip


def _names_itself(header: Hdu) -> bool:
    """True when plate, MJD and fibre are in the header; SDSS-V's field and catalogid are in the catalogue only."""
    return all(header.get(key) for key in ("PLATEID", "MJD", "FIBERID")) and not _sdss_v(header)


def _sdss_v(header: Hdu) -> bool:
    return str(header.get("VERS2D", header.get("RUN2D", ""))).startswith("v6")


def _survey(header: Hdu, row: dict[str, Any]) -> str:
    if _sdss_v(header) or "SDSS_ID" in row:
        return "SDSS-V"
    survey = str(row.get("SURVEY", "")).strip().upper()
    return survey if survey in ("BOSS", "EBOSS") else "SDSS"


def _identity(source: Source, header: Hdu, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """plate-mjd-fiber (SDSS-V: field-mjd-catalogid), else the file's name; and meta: ra, dec, ids, mag_g."""
    plate, mjd = row.get("PLATE", header.get("PLATEID")), row.get("MJD", header.get("MJD"))
    fiber, catalog = row.get("FIBERID", header.get("FIBERID")), row.get("CATALOGID")
    field = row.get("FIELD")
    meta: dict[str, Any] = {
        "ra": row.get("PLUG_RA", row.get("RACAT", header.get("PLUG_RA", header.get("RA")))),
        "dec": row.get("PLUG_DEC", row.get("DECCAT", header.get("PLUG_DEC", header.get("DEC")))),
        "plate": plate, "mjd": mjd, "fiber": fiber, "field": field, "catalogid": catalog,
        "sdss_id": row.get("SDSS_ID"), "run2d": row.get("RUN2D") or header.get("RUN2D"),
        "programname": row.get("PROGRAMNAME"), "mag_g": _mag_g(row.get("SPECTROFLUX")),
    }  # fmt: skip
    if field is not None and catalog:
        return f"{field}-{mjd}-{catalog}", meta
    ids = (plate, mjd, fiber)
    return ("-".join(str(i) for i in ids) if all(ids) else source.stem), meta


def _mag_g(spectroflux: Any) -> float | None:
    """Synthetic g magnitude from SPECTROFLUX (ugriz, nanomaggies)."""
    flux_g = float(spectroflux[1]) if np.ndim(spectroflux) == 1 and len(spectroflux) == 5 else 0.0
    return 22.5 - 2.5 * float(np.log10(flux_g)) if flux_g > 0 and np.isfinite(flux_g) else None
