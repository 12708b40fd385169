"""Bad input gets a clear answer: a SpectrumError that names the file, the reason and the remedy, and nothing else."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from makers import BAD_FILES, galaxy, make_bad, make_sdss

from engine.readers import read
from engine.spectrum import SpectrumError


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_in_the_error_with_reason_and_remedy(name: str, tmp_path: Path) -> None:
    path = make_bad(name, tmp_path)
    start = time.perf_counter()
    with pytest.raises(SpectrumError, match=BAD_FILES[name][2]) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("name", ["truncated", "zero-byte", "non-FITS", "all-NaN", "image-only", "gzip bomb"])
def test_a_bad_upload_is_called_by_the_name_it_was_given(name: str, tmp_path: Path) -> None:
    content = make_bad(name, tmp_path).read_bytes()
    with pytest.raises(SpectrumError, match=r"^dropped\.fits: " + f".*{BAD_FILES[name][2]}"):
        read(io.BytesIO(content), name="dropped.fits")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SpectrumError, match=r"/no/such/file\.fits: cannot be opened: No such file"):
        read("/no/such/file.fits")


def test_what_is_no_file_at_all_is_refused() -> None:
    with pytest.raises(SpectrumError, match="Give a path, bytes or a binary file"):
        read(3.14)  # type: ignore[arg-type]


def test_a_file_opened_as_text_is_refused_with_the_remedy() -> None:
    with pytest.raises(SpectrumError, match="binary mode"):
        read(io.StringIO("wave,flux"), name="x.csv")  # type: ignore[arg-type]


def test_reversed_wavelengths_are_turned_round_and_it_is_said(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    (spectrum,) = read(make_sdss(tmp_path / "reversed.fits", wave[::-1], flux[::-1], ivar[::-1]))
    assert "wavelengths ran from red to blue: turned round" in spectrum.notes
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)


def test_a_pixel_with_negative_ivar_is_bad_and_it_is_said(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    ivar[100:110] *= -1
    (spectrum,) = read(make_sdss(tmp_path / "negative.fits", wave, flux, ivar))
    assert not spectrum.good[100:110].any()
    assert spectrum.good.sum() == wave.size - 10
    assert "10 pixels with negative ivar marked bad" in spectrum.notes


def test_fill_values_are_bad_pixels(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    flux[5] = 3e38
    (spectrum,) = read(make_sdss(tmp_path / "fill.fits", wave, flux, ivar))
    assert not spectrum.good[5]


def test_the_rest_of_a_truncated_file_is_never_read_as_whole(tmp_path: Path) -> None:
    """The coadd is complete, the catalogue is cut: still refused, for the copy is damaged."""
    path = make_sdss(tmp_path / "cut.fits", *galaxy(), label={"spectype": "QSO", "z": 2.0})
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(SpectrumError, match=r"truncated"):
        read(path)


def test_a_csv_of_a_million_and_more_rows_is_refused_within_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("wave,flux\n" + "4000.0,1.0\n" * 1_020_000)
    with pytest.raises(SpectrumError, match=r"at most 1,000,000"):
        read(path)
