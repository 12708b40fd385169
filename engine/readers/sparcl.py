"""SPARCL: what NOIRLab's spectra service answers as JSON (astrosparcl.datalab.noirlab.edu), from SDSS, BOSS and DESI.

A list whose first element describes the answer; each further one is a spectrum: arrays wavelength (vacuum, A), flux
(1e-17 erg/s/cm2/A), ivar, mask, and the fields of its catalogue row.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from engine.identifiers import from_specobjid
from engine.readers.clean import FLAM, MAX_OBJECTS, gather, spectrum
from engine.readers.desi import BAD_BITS as DESI_BITS
from engine.readers.sdss import BAD_BITS as SDSS_BITS
from engine.readers.source import Source
from engine.spectrum import Label, Spectrum, SpectrumError

_META = ("ra", "dec", "targetid", "survey", "program", "healpix", "sparcl_id", "data_release", "specid")


def is_answer(source: Source) -> bool:
    """True for JSON text with wavelength and flux in it."""
    text = source.text
    return text.lstrip()[:1] == "[" and '"wavelength"' in text and '"flux"' in text


def read_answer(source: Source) -> list[Spectrum]:
    """One Spectrum per record."""
    answer = json.loads(source.text)
    records = [record for record in answer if isinstance(record, dict) and "wavelength" in record]
    if len(records) > MAX_OBJECTS:
        raise SpectrumError(f"{source.name}: {len(records):,} objects; at most {MAX_OBJECTS:,} are read. Ask for fewer")
    return gather(source.name, ((str(i), partial(_record, source.name, r)) for i, r in enumerate(records)))


def _record(where: str, record: dict[str, Any]) -> Spectrum:
    release = str(record.get("data_release") or record.get("_dr") or "")
    desi = release.startswith("DESI")
    flux = np.array(record["flux"], dtype=np.float64)
    mask = record.get("mask")
    bits = DESI_BITS if desi else SDSS_BITS
    bad = None if mask is None else (np.array(mask, dtype=np.int64) & bits) != 0
    ivar = record.get("ivar")
    return spectrum(
        where, np.array(record["wavelength"], dtype=np.float64), flux,
        None if ivar is None else np.array(ivar, dtype=np.float64), bad=bad, notes=(f"from SPARCL, {release}",),
        object_id=_identity(record, desi), survey=release.split("-")[0], flux_unit=FLAM, label=_label(record),
        meta={key: record[key] for key in _META if record.get(key) is not None},
    )  # fmt: skip


def _identity(record: dict[str, Any], desi: bool) -> str:
    number = int(record.get("specid") or record.get("targetid") or 0)
    if desi:
        return str(record.get("targetid") or number)
    ref = from_specobjid(number)
    return ref.object_id if ref is not None else str(number or record.get("sparcl_id", ""))


def _label(record: dict[str, Any]) -> Label | None:
    if not record.get("spectype") or record.get("redshift") is None:
        return None
    return Label(
        str(record["spectype"]), str(record.get("subtype") or ""), float(record["redshift"]),
        float(record.get("redshift_err") or "nan"), int(record.get("redshift_warning") or 0),
    )  # fmt: skip
