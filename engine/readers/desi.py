"""DESI: coadd and spectra files with one image per arm, and the SV0 tables with one column per target.

Data model: desidatamodel.readthedocs.io, coadd-SURVEY-PROGRAM-PIXNUM: {B,R,Z}_{WAVELENGTH,FLUX,IVAR,MASK}, FIBERMAP,
and in some files REDSHIFTS or ZBEST. Wavelengths are vacuum, heliocentric. Mask bits: desispec.maskbits.specmask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.readers.clean import FLAM, MAX_OBJECTS, check_length, estimate_ivar, gather, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.source import Source
from engine.spectrum import Arm, FloatArray, Label, Spectrum, SpectrumError

# specmask bits that make a pixel unusable; SOMEBADPIX, COSMIC or BRIGHTSKY leave a usable coadd, whose ivar knows.
ALLBADPIX = 1 << 1  # every input pixel was masked
BADFIBERFLAT = 1 << 4
BADSKY = 1 << 6  # bad sky model
NODATA = 1 << 8
BAD_BITS = ALLBADPIX | BADFIBERFLAT | BADSKY | NODATA

_SMOOTHING = 8  # pixels; SV0 fluxes are correlated over about 5
_ARM = re.compile(r"([A-Z]+)_WAVELENGTH")
_TARGET = re.compile(r"TARGET(\d+)")
_REDSHIFT_HDUS = ("REDSHIFTS", "ZBEST", "ZCATALOG")


def is_coadd(source: Source) -> bool:
    """True when the file has <ARM>_WAVELENGTH and <ARM>_FLUX images for any arm."""
    return bool(_arm_names(source))


def read_coadd(source: Source) -> list[Spectrum]:
    """One Spectrum per row: the arms present combined by ivar on their common pixels, and kept in Spectrum.arms."""
    arms = {name: _read_arm(source, name) for name in _arm_names(source)}
    counts = {flux.shape[0] for _, flux, _, _ in arms.values()}
    if len(counts) != 1:
        raise SpectrumError(f"{source.name}: the arms hold different numbers of objects: {sorted(counts)}")
    n = counts.pop()
    if n > MAX_OBJECTS:
        raise SpectrumError(f"{source.name}: {n:,} objects; at most {MAX_OBJECTS:,} are read. Split the file")
    fibermap = _table(
        source, "FIBERMAP", n, "TARGETID", "TARGET_RA", "TARGET_DEC", "FLUX_G", "EXPID", "FIBER", "TILEID"
    )
    labels = _labels(source)
    return gather(source.name, (
        (str(i), partial(_object, source, {b: (w, f[i], v[i], m[i]) for b, (w, f, v, m) in arms.items()},
                         {key: column[i] for key, column in fibermap.items()}, labels, i, n))
        for i in range(n)
    ))  # fmt: skip


def is_sv0(source: Source) -> bool:
    """True for the SV0 tables: WAVE or WAVELENGTH and TARGET<id> columns."""
    return _sv0(source) is not None


def read_sv0(source: Source) -> list[Spectrum]:
    """One Spectrum per TARGET<id> column. These coadds are smoothed and come without errors."""
    hdu = _sv0(source)
    assert hdu is not None
    check_length(source.name, hdu.shape[0])
    names = [name for name in hdu.columns if _TARGET.fullmatch(name)]
    columns = hdu.table("WAVE", "WAVELENGTH", *names)
    wave = columns.pop("WAVE") if "WAVE" in columns else columns.pop("WAVELENGTH")
    notes = (f"ivar estimated from the scatter over {_SMOOTHING} pixels: the file's flux is smoothed, without errors",)

    def make(name: str, flux: FloatArray) -> Spectrum:
        target = name.removeprefix("TARGET")
        return spectrum(
            source.name, wave, flux, estimate_ivar(flux, ~np.isfinite(flux), _SMOOTHING),
            notes=notes, object_id=target, survey="DESI", flux_unit=FLAM, meta={"targetid": int(target)},
        )  # fmt: skip

    return gather(source.name, ((name, partial(make, name, flux.astype(float))) for name, flux in columns.items()))


def combine(arms: list[Arm]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(wave, flux, ivar) of several arms: inverse-variance mean where their pixels coincide (DESI's common 0.8 A grid).

    Arms whose pixels do not coincide are cut at the middle of their overlap. A gap between arms stays a gap.
    """
    arms = sorted(arms, key=lambda arm: arm.wave[0])
    wave = np.unique(np.round(np.concatenate([arm.wave for arm in arms]), 2))
    step = min(float(np.diff(arm.wave).min()) for arm in arms)
    if np.diff(wave).min() < 0.5 * step:
        arms = _cut(arms)
        return tuple(np.concatenate([getattr(arm, k) for arm in arms]) for k in ("wave", "flux", "ivar"))  # type: ignore[return-value]
    weighted, ivar, plain, times = (np.zeros(wave.size) for _ in range(4))
    for arm in arms:
        at = np.searchsorted(wave, np.round(arm.wave, 2))
        flux = np.nan_to_num(arm.flux)
        weighted[at] += flux * arm.ivar
        ivar[at] += arm.ivar
        plain[at] += flux
        times[at] += 1
    return wave, np.where(ivar > 0, weighted / np.where(ivar > 0, ivar, 1), plain / times), ivar


def _cut(arms: list[Arm]) -> list[Arm]:
    for i in range(len(arms) - 1):
        middle = 0.5 * (arms[i].wave[-1] + arms[i + 1].wave[0])
        for k, keep in ((i, arms[i].wave < middle), (i + 1, arms[i + 1].wave >= middle)):
            arms[k] = Arm(arms[k].name, arms[k].wave[keep], arms[k].flux[keep], arms[k].ivar[keep])
    return arms


def _arm_names(source: Source) -> list[str]:
    names = {hdu.name for hdu in source.hdus}
    found = [match.group(1) for name in names if (match := _ARM.fullmatch(name))]
    return sorted(arm for arm in found if f"{arm}_FLUX" in names)


def _hdu(source: Source, name: str) -> Hdu | None:
    return next((hdu for hdu in source.hdus if hdu.name == name), None)


def _read_arm(source: Source, arm: str) -> tuple[NDArray[Any], ...]:
    """wave (n,), flux, ivar and mask (objects, n) of one arm; mask 0 where it is compressed or missing."""
    parts: list[NDArray[Any]] = []
    for part in ("WAVELENGTH", "FLUX", "IVAR", "MASK"):
        hdu = _hdu(source, f"{arm}_{part}")
        if part == "MASK" and (hdu is None or hdu.compressed):
            # desispec compresses masks; the coadd's ivar is 0 already where all input was masked.
            parts.append(np.zeros(parts[1].shape, dtype=np.int64))
            continue
        if hdu is None:
            raise SpectrumError(f"{source.name}: HDU {arm}_{part} is missing. Give the complete coadd or spectra file")
        if hdu.compressed or hdu.kind != "IMAGE":
            raise SpectrumError(f"{source.name}: HDU {hdu.name} is compressed. Unpack the file with funpack")
        check_length(source.name, hdu.shape[-1] if hdu.shape else 0)
        parts.append(hdu.image() if part == "WAVELENGTH" else np.atleast_2d(hdu.image()))
    wave, flux = parts[0], parts[1]
    if wave.ndim != 1 or any(p.shape != (flux.shape[0], wave.size) for p in parts[1:]):
        raise SpectrumError(f"{source.name}: arm {arm}: shapes differ: {[p.shape for p in parts]}. Check the file")
    return tuple(parts)


def _object(
    source: Source, arms: dict[str, tuple[NDArray[Any], ...]], row: dict[str, Any],
    labels: dict[int, Label], i: int, n: int,
) -> Spectrum:  # fmt: skip
    cameras = []
    for name, (wave, flux, ivar, mask) in arms.items():
        bad = ((mask & BAD_BITS) != 0) | ~np.isfinite(flux) | ~(ivar > 0)
        arm = Arm(name, wave.astype(float), np.nan_to_num(flux.astype(float)), np.where(bad, 0.0, ivar.astype(float)))
        if not (np.isfinite(arm.wave).all() and (np.diff(arm.wave) > 0).all()):
            raise SpectrumError(f"{source.name}: wavelengths of arm {name} do not increase. Check the file")
        cameras.append(arm)
    wave, flux, ivar = combine(cameras)
    header = source.hdus[0]
    target = int(row["TARGETID"]) if "TARGETID" in row else None
    meta = {
        "targetid": target, "ra": row.get("TARGET_RA"), "dec": row.get("TARGET_DEC"), "fiber": row.get("FIBER"),
        "survey": header.get("SURVEY"), "program": header.get("PROGRAM"), "healpix": header.get("HPXPIXEL"),
        "tileid": row.get("TILEID"), "expid": row.get("EXPID"), "mag_g": _mag_g(row.get("FLUX_G")),
    }  # fmt: skip
    object_id = source.stem if target is None else str(target)
    if target is None and n > 1:
        object_id = f"{source.stem}-{i}"
    elif "EXPID" in row:  # a spectra file holds several exposures of one target
        object_id = f"{target}-{int(row['EXPID'])}"
    return spectrum(
        source.name, wave, flux, ivar, object_id=object_id, survey="DESI", flux_unit=FLAM, arms=tuple(cameras),
        notes=(f"arms {'+'.join(arm.name for arm in cameras)} combined by inverse variance",),
        label=labels.get(target) if target is not None else None,
        meta={key: _plain(value) for key, value in meta.items() if value is not None},
    )  # fmt: skip


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _mag_g(flux_g: Any) -> float | None:
    """g magnitude from the Legacy Survey flux (nanomaggies)."""
    return 22.5 - 2.5 * float(np.log10(flux_g)) if flux_g is not None and 0 < flux_g < np.inf else None


def _table(source: Source, name: str, n: int, *columns: str) -> dict[str, NDArray[Any]]:
    hdu = _hdu(source, name)
    return hdu.table(*columns) if hdu is not None and hdu.shape == (n,) else {}


def _labels(source: Source) -> dict[int, Label]:
    """Redrock's answer by TARGETID, from the redshift tables that some files carry."""

    def rows(hdu: Hdu) -> Iterator[tuple[int, Label]]:
        t = hdu.table("TARGETID", "SPECTYPE", "SUBTYPE", "Z", "ZERR", "ZWARN")
        for i in range(hdu.shape[0]):
            zerr = float(t["ZERR"][i]) if "ZERR" in t else float("nan")
            subtype = str(t["SUBTYPE"][i]) if "SUBTYPE" in t else ""
            zwarning = int(t["ZWARN"][i]) if "ZWARN" in t else -1
            yield int(t["TARGETID"][i]), Label(str(t["SPECTYPE"][i]), subtype, float(t["Z"][i]), zerr, zwarning)

    for hdu in source.hdus:
        if hdu.name in _REDSHIFT_HDUS and {"TARGETID", "SPECTYPE", "Z"} <= hdu.columns.keys():
            return dict(rows(hdu))
    return {}


def _sv0(source: Source) -> Hdu | None:
    for hdu in source.hdus[1:]:
        names = hdu.columns.keys()
        if {"WAVE", "WAVELENGTH"} & names and any(_TARGET.fullmatch(name) for name in names):
            return hdu
    return None
