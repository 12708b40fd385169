"""Readers of general formats: 1-D images, tables, and the fallback to specutils; one section per format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from makers import (
    galaxy,
    galaxy_on,
    make_table,
    make_wcs1d,
)

from engine.readers import FORMATS, read
from engine.readers.clean import air_to_vacuum
from engine.readers.source import opened
from engine.spectrum import SpectrumError


def format_of(path: Path) -> str:
    """The first format in the table that recognises a file."""
    with opened(path) as source:
        return next(form.name for form in FORMATS if form.recognise(source))


# --- 1-D images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("log", "shape"), [(False, (-1,)), (True, (-1,)), (False, (1, -1)), (False, (1, 1, -1))])
def test_one_dimensional_images_linear_and_log(log: bool, shape: tuple[int, ...], tmp_path: Path) -> None:
    (spectrum,) = read(make_wcs1d(tmp_path / "star.fits", log=log, shape=shape))
    axis = (3.58 + 1e-4 * np.arange(3600)) if log else (3800 + 1.5 * np.arange(3600))
    np.testing.assert_allclose(spectrum.wave, 10**axis if log else axis, rtol=1e-12)
    assert any(note.startswith("ivar estimated") for note in spectrum.notes)
    assert any("air or vacuum" in note for note in spectrum.notes)
    assert spectrum.object_id == "star"


def test_cd1_1_and_units_and_reference_pixel_are_understood(tmp_path: Path) -> None:
    cards = {"CRVAL1": 0.45, "CD1_1": 1.5e-4, "CUNIT1": "um", "CRPIX1": 100.0}
    path = make_wcs1d(tmp_path / "um.fits", cards=cards)
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["CDELT1"]
    (spectrum,) = read(path)
    assert spectrum.wave[99] == pytest.approx(4500.0)
    assert spectrum.wave[100] - spectrum.wave[99] == pytest.approx(1.5)


@pytest.mark.parametrize("ctype", ["WAVE-LOG", "AWAV", "WAVE"])
def test_fits_wavelength_axes_agree_with_astropys_wcs(ctype: str, tmp_path: Path) -> None:
    from astropy.wcs import WCS

    path = make_wcs1d(tmp_path / "w.fits", cards={"CTYPE1": ctype, "CUNIT1": "Angstrom", "DC-FLAG": 0})
    header = fits.getheader(path)
    del header["DC-FLAG"]
    theirs = WCS(header).wcs_pix2world(np.arange(3600), 0)[0] * 1e10
    (spectrum,) = read(path)
    np.testing.assert_allclose(spectrum.wave, air_to_vacuum(theirs) if ctype == "AWAV" else theirs, rtol=1e-9)


@pytest.mark.parametrize("cards", [{"CTYPE1": "AWAV"}, {"VACUUM": False}, {"VACUUM": "F"}, {"AIRORVAC": "air"}])
def test_air_wavelengths_are_converted_and_it_is_said(cards: dict, tmp_path: Path) -> None:
    (spectrum,) = read(make_wcs1d(tmp_path / "air.fits", cards=cards))
    assert spectrum.wave[0] == pytest.approx(air_to_vacuum(3800.0))
    assert "wavelengths converted from air to vacuum" in spectrum.notes


@pytest.mark.parametrize("cards", [{"VACUUM": True}, {"AIRORVAC": "vac"}, {"CTYPE1": "WAVE"}])
def test_vacuum_wavelengths_are_left_alone(cards: dict, tmp_path: Path) -> None:
    (spectrum,) = read(make_wcs1d(tmp_path / "vacuum.fits", cards=cards))
    assert spectrum.wave[0] == pytest.approx(3800.0)
    assert not any("air" in note for note in spectrum.notes)


def test_a_sigma_extension_gives_ivar(tmp_path: Path) -> None:
    (spectrum,) = read(make_wcs1d(tmp_path / "s.fits", sigma=True))
    np.testing.assert_allclose(spectrum.ivar, galaxy_on(spectrum.wave)[1], rtol=1e-6)
    assert not any("estimated" in note for note in spectrum.notes)


@pytest.mark.parametrize(
    ("cards", "reason"), [({"CTYPE1": "FREQ"}, "not read as wavelength"), ({"CDELT1": 0.0}, "no wavelength axis")]
)
def test_an_image_without_wavelengths_says_so(cards: dict, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match=reason):
        read(make_wcs1d(tmp_path / "x.fits", cards=cards))


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["fits", "ecsv", "csv", "txt"])
@pytest.mark.parametrize(("unit", "per_angstrom"), [("Angstrom", 1), ("nm", 0.1), ("um", 1e-4), ("A", 1), ("", 1)])
def test_tables_in_every_unit_and_format(extension: str, unit: str, per_angstrom: float, tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    columns = {"Wavelength": wave * per_angstrom, "FLUX": flux, "ivar": ivar}
    (spectrum,) = read(make_table(tmp_path / f"t.{extension}", columns, {"Wavelength": unit} if unit else {}))
    np.testing.assert_allclose(spectrum.wave, wave, rtol=1e-7)
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)
    assert any("taken as Angstrom" in note for note in spectrum.notes) == (unit == "")


@pytest.mark.parametrize(("name", "power"), [("error", -2), ("sigma", -2), ("variance", -1), ("flux_ivar", 1)])
def test_errors_of_every_kind_become_ivar(name: str, power: float, tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    columns = {"loglam": np.log10(wave), "flux": flux, name: ivar ** (1 / power)}
    (spectrum,) = read(make_table(tmp_path / "t.fits", columns))
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)
    np.testing.assert_allclose(spectrum.wave, wave, rtol=1e-9)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("erg/s/cm2/Angstrom", 1e17),
        ("1E-17 erg/cm^2/s/Ang", 1),
        ("W m-2 um-1", 1e16),
        ("10**-17 erg/(s cm2 Angstrom)", 1),
    ],
)
def test_flux_per_wavelength_comes_out_in_1e_17_cgs(unit: str, factor: float, tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    columns = {"wave": wave, "flux": flux / factor, "ivar": ivar * factor**2}
    (spectrum,) = read(make_table(tmp_path / "t.fits", columns, {"wave": "Angstrom", "flux": unit}))
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-9)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-9)
    assert spectrum.flux_unit == "10**-17 erg/(s cm2 Angstrom)"


def test_flux_in_jansky_is_converted_pixel_by_pixel(tmp_path: Path) -> None:
    from astropy import units as u

    wave, flux, ivar = galaxy()
    jansky = (flux * 1e-17 * u.erg / u.s / u.cm**2 / u.AA).to_value(u.Jy, u.spectral_density(wave * u.AA))
    columns = {"wave": wave, "flux": jansky, "ivar": ivar * (flux / jansky) ** 2}
    (spectrum,) = read(make_table(tmp_path / "t.fits", columns, {"wave": "Angstrom", "flux": "Jy"}))
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-9)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-9)


@pytest.mark.parametrize(("unit", "noted"), [("adu", False), ("count / s", False), ("parrots", True)])
def test_relative_flux_stays_as_it_is_and_unknown_units_are_noted(unit: str, noted: bool, tmp_path: Path) -> None:
    columns = dict(zip(("wave", "flux", "ivar"), galaxy(), strict=True))
    (spectrum,) = read(make_table(tmp_path / "t.fits", columns, {"wave": "Angstrom", "flux": unit}))
    np.testing.assert_allclose(spectrum.flux, columns["flux"])
    assert spectrum.flux_unit == unit
    assert any("not understood" in note for note in spectrum.notes) == noted


def test_tiny_flux_without_a_unit_is_scaled_so_that_ivar_fits_a_float32(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    (spectrum,) = read(make_table(tmp_path / "t.csv", {"wave": wave, "flux": flux * 1e-17, "ivar": ivar * 1e34}))
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    assert any("multiplied by 1e17" in note for note in spectrum.notes)


@pytest.mark.parametrize(
    ("name", "cards"),
    [("wave_air", {}), ("wave", {"VACUUM": "F"}), ("wave", {"air": "true"}), ("wave", {"AIRORVAC": "air"})],
)
@pytest.mark.parametrize("extension", ["csv", "ecsv"])
def test_air_in_a_table_is_converted(name: str, cards: dict, extension: str, tmp_path: Path) -> None:
    columns = dict(zip((name, "flux", "ivar"), galaxy(), strict=True))
    (spectrum,) = read(make_table(tmp_path / f"t.{extension}", columns, cards=cards))
    assert spectrum.wave[0] == pytest.approx(air_to_vacuum(10**3.58), abs=1e-3)
    assert "wavelengths converted from air to vacuum" in spectrum.notes


def test_columns_without_names_are_wavelength_flux_error(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    path = tmp_path / "plain.dat"
    np.savetxt(path, np.c_[wave, flux, ivar**-0.5])
    (spectrum,) = read(path)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)
    assert "columns have no names: taken as wavelength, flux, error" in spectrum.notes


def test_a_table_with_one_object_per_row_gives_them_all(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    columns = {
        "wave": np.tile(wave, (3, 1)),
        "flux": np.stack([flux, 2 * flux, 3 * flux]),
        "ivar": np.tile(ivar, (3, 1)),
    }
    spectra = read(make_table(tmp_path / "many.fits", columns, {"wave": "Angstrom"}))
    assert [s.object_id for s in spectra] == ["many-0", "many-1", "many-2"]
    np.testing.assert_allclose(spectra[2].flux, 3 * flux)


def test_a_mask_of_unknown_meaning_masks_nothing_a_boolean_one_does(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    columns = {"wave": wave, "flux": flux, "ivar": ivar, "mask": np.ones(wave.size, np.int32)}
    (spectrum,) = read(make_table(tmp_path / "i.fits", columns))
    assert spectrum.good.all()
    assert any("column MASK not used" in note for note in spectrum.notes)
    columns["mask"] = np.arange(wave.size) < 5
    (spectrum,) = read(make_table(tmp_path / "b.ecsv", columns))
    assert list(np.flatnonzero(~spectrum.good)) == [0, 1, 2, 3, 4]


# --- the fallback ---------------------------------------------------------------------------------------------------


def test_what_we_do_not_know_is_left_to_specutils(tmp_path: Path) -> None:
    """A 2dFGRS-like cube of planes is beyond our readers; specutils' list of formats is asked, and its failure told."""
    planes = np.ones((3, 2000))
    path = tmp_path / "planes.fits"
    hdu = fits.PrimaryHDU(planes)
    hdu.header.update({"CTYPE1": "Wavelength", "CRVAL1": 4000.0, "CDELT1": 2.0})
    hdu.writeto(path)
    assert format_of(path) == "FITS"
    with pytest.raises(SpectrumError, match=r"planes\.fits: .*Extract"):
        read(path)


def test_what_specutils_knows_is_read_by_it(tmp_path: Path) -> None:
    """An APOGEE apStar file, its pixels moved to the optical: images of flux and error, log axis, visits in rows."""
    wave, flux, ivar = galaxy()
    primary = fits.PrimaryHDU()
    primary.header.update({"APRED": "1.2", "NVISITS": 1})
    units = {"BUNIT": "Flux (10^-17 erg/s/cm^2/Ang)", "CRVAL1": 3.58, "CDELT1": 1e-4, "CRPIX1": 1}
    errors = {**units, "BUNIT": "Err (10^-17 erg/s/cm^2/Ang)"}
    images = [fits.ImageHDU(np.stack([row, row])) for row in (flux, ivar**-0.5, np.zeros(wave.size))]
    images[0].header.update(units)
    images[1].header.update(errors)
    path = tmp_path / "apStar.fits"
    fits.HDUList([primary, *images, *(fits.ImageHDU(np.zeros((2, 2))) for _ in range(7))]).writeto(path)
    assert format_of(path) == "FITS"
    (spectrum,) = read(path)
    np.testing.assert_allclose(spectrum.wave, wave, rtol=1e-3)
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)
    assert spectrum.notes[0].startswith("read by specutils")


def test_specutils_is_not_imported_for_files_we_read_ourselves(sdss_file: Path) -> None:
    code = (
        "import sys; from engine.readers import read; "
        f"read({str(sdss_file)!r}); print('specutils' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.split() == ["False", "False"]
