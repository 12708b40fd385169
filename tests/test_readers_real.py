"""Every real survey file beside the project opens and agrees with its manifest; skipped where they are absent."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from engine.readers import read
from engine.spectrum import SpectrumError

# --- real files -----------------------------------------------------------------------------------------------------


def _manifest(realspec: Path) -> list[dict[str, str]]:
    with (realspec / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_real_file_opens_and_agrees_with_the_manifest(realspec: Path) -> None:
    rows = _manifest(realspec)
    spectra = {path: read(realspec / path) for path in sorted({row["path"] for row in rows})}
    assert Counter(path.split("/")[0] for path in spectra) == {
        "sdss": 82, "boss-eboss": 72, "6dfgs": 52, "lamost": 15, "desi-sv0andes": 6, "desi-edr-dr1": 2, "desi": 1,
    }  # fmt: skip
    on_disk = {str(p.relative_to(realspec)) for p in realspec.glob("*/*") if p.is_file()}
    assert on_disk == set(spectra)
    for row in rows:
        found = [s for s in spectra[row["path"]] if row["target"] in ("", s.object_id)]
        assert len(found) == 1, row
        spectrum, label = found[0], found[0].label
        assert spectrum.object_id == row["survey_id"]
        assert spectrum.wave[0] == pytest.approx(float(row["wave_min"]), abs=2)
        if label is not None:
            assert label.z == pytest.approx(float(row["z"]), abs=1e-6)
        if label is not None and label.spectype:
            assert (label.spectype, label.subclass) == (row["class"], row["subclass"])
        if row["survey"] in ("SDSS", "BOSS/eBOSS"):
            assert label is not None
            assert label.zwarning == int(row["zwarning"])
        estimated = any(note.startswith("ivar estimated") for note in spectrum.notes)
        assert estimated == (row["has_ivar"] == "0" and row["survey"] != "6dFGS")


def test_real_sdss_files_decode_as_astropy_decodes_them(realspec: Path) -> None:
    for path in sorted((realspec / "sdss").glob("*.fits"))[::10]:
        with fits.open(path) as hdus:
            loglam, flux = (np.asarray(hdus[1].data[k], float) for k in ("loglam", "flux"))
        (spectrum,) = read(path)
        np.testing.assert_array_equal(spectrum.wave, 10.0**loglam)
        np.testing.assert_array_equal(spectrum.flux, flux)


def test_few_pixels_of_real_spectra_are_masked(realspec: Path) -> None:
    """The chosen bits cost a few per cent of the pixels; "any bit" would cost up to all of them."""
    fractions = [1 - read(p)[0].good.mean() for p in (realspec / "boss-eboss").glob("*.fits")]
    assert np.median(fractions) < 0.06
    assert max(fractions) < 0.3


def test_errors_never_name_this_machine(realspec: Path) -> None:
    with pytest.raises(SpectrumError) as caught:
        read(next((realspec / "sdss").glob("*.fits")).read_bytes()[:5000], name="cut.fits")
    assert not re.search(r"/(work|home|tmp)/", str(caught.value))
