"""Readers, one section per format; then what all formats share; then every real file."""

from __future__ import annotations

import csv
import gzip
import io
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from makers import (
    galaxy,
    galaxy_on,
    make_desi,
    make_lamost,
    make_sdss,
    make_sixdf,
    make_spspec,
    make_sv0,
    make_table,
    make_wcs1d,
)

from engine.readers import FORMATS, desi, read, sdss
from engine.readers.clean import air_to_vacuum, estimate_ivar
from engine.readers.source import opened
from engine.spectrum import SpectrumError

LABEL = {"spectype": "GALAXY", "subclass": "STARFORMING", "z": 0.1, "zerr": 2e-5, "zwarning": 4}


def format_of(path: Path) -> str:
    """The first format in the table that recognises a file."""
    with opened(path) as source:
        return next(form.name for form in FORMATS if form.recognise(source))


# --- SDSS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "survey", "object_id"),
    [
        ("sdss", "SDSS", "751-52251-160"),
        ("eboss", "SDSS", "751-52251-160"),
        ("nameless", "SDSS", "751-52251-160"),
        ("v", "SDSS-V", "15000-52251-27021597900000000"),
    ],
)
def test_sdss_of_every_pipeline_gives_pixels_label_and_name(
    generation: str, survey: str, object_id: str, tmp_path: Path
) -> None:
    wave, flux, ivar = galaxy()
    path = make_sdss(tmp_path / "any name.dat", wave, flux, ivar, label=LABEL, generation=generation)
    (spectrum,) = read(path)
    np.testing.assert_allclose(spectrum.wave, wave, rtol=3e-7)
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-6)
    assert (spectrum.survey, spectrum.object_id, spectrum.path) == (survey, object_id, str(path))
    label = spectrum.label
    assert label is not None
    assert (label.spectype, label.subclass, label.zwarning) == ("GALAXY", "STARFORMING", 4)
    assert (label.z, label.zerr) == pytest.approx((0.1, 2e-5))
    assert (spectrum.meta["ra"], spectrum.meta["dec"]) == (150.5, 2.25)
    assert spectrum.meta["mag_g"] == pytest.approx(17.5)  # SPECTROFLUX g = 100 nanomaggies
    assert spectrum.notes == ()


def test_sdss_without_a_catalogue_row_has_no_label(tmp_path: Path) -> None:
    (spectrum,) = read(make_sdss(tmp_path / "spec.fits", *galaxy()))
    assert spectrum.label is None
    assert spectrum.object_id == "751-52251-160"


def test_a_file_in_which_every_pixel_has_a_harmless_bit_stays_usable(tmp_path: Path) -> None:
    harmless = np.full(3840, (1 << 4) | (1 << 16) | (1 << 20))  # MANYBADCOLUMNS, NEARBADPIXEL, SCATTEREDLIGHT
    (spectrum,) = read(make_sdss(tmp_path / "spec.fits", *galaxy(), and_mask=harmless))
    assert spectrum.good.all()


@pytest.mark.parametrize("bit", ["FULLREJECT", "NOSKY", "BRIGHTSKY", "NODATA"])
def test_each_chosen_mask_bit_makes_a_pixel_bad(bit: str, tmp_path: Path) -> None:
    mask = np.zeros(3840, np.int64)
    mask[[7, 2000]] = getattr(sdss, bit) | 1
    (spectrum,) = read(make_sdss(tmp_path / "spec.fits", *galaxy(), and_mask=mask))
    assert list(np.flatnonzero(~spectrum.good)) == [7, 2000]


def test_spspec_of_dr7_is_read_with_its_class(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy()
    (spectrum,) = read(make_spspec(tmp_path / "spSpec-52251-0751-160.fit", wave, flux, ivar, z=0.1))
    np.testing.assert_allclose(spectrum.wave, wave, rtol=1e-9)
    np.testing.assert_allclose(spectrum.ivar, ivar, rtol=1e-5)
    assert spectrum.label is not None
    assert (spectrum.label.spectype, spectrum.label.z) == ("GALAXY", 0.1)
    assert spectrum.object_id == "751-52251-160"


# --- DESI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", ["BRZ", "B", "R", "BZ", "RZ"])
def test_desi_reads_any_subset_of_arms_and_keeps_them(arms: str, tmp_path: Path) -> None:
    spectra = read(make_desi(tmp_path / "coadd.fits", n_objects=3, arms=arms))
    assert [s.object_id for s in spectra] == ["1000", "1001", "1002"]
    assert all("".join(a.name for a in s.arms) == arms for s in spectra)
    assert spectra[1].meta["targetid"] == 1001
    assert spectra[1].meta["ra"] == pytest.approx(250.6)
    assert all(s.label is None for s in spectra)


def test_desi_arms_are_combined_by_inverse_variance_where_they_overlap(tmp_path: Path) -> None:
    spectrum = read(make_desi(tmp_path / "coadd.fits", n_objects=1))[0]
    blue, red = spectrum.arms[0], spectrum.arms[1]
    assert spectrum.wave.size == 7781
    at = int(np.argmin(np.abs(spectrum.wave - 5780)))
    i, j = (int(np.argmin(np.abs(arm.wave - 5780))) for arm in (blue, red))
    expected = (blue.flux[i] * blue.ivar[i] + red.flux[j] * red.ivar[j]) / (blue.ivar[i] + red.ivar[j])
    assert spectrum.flux[at] == pytest.approx(expected)
    assert spectrum.ivar[at] == pytest.approx(blue.ivar[i] + red.ivar[j])
    outside = int(np.argmin(np.abs(spectrum.wave - 4000)))
    assert spectrum.ivar[outside] == pytest.approx(blue.ivar[int(np.argmin(np.abs(blue.wave - 4000)))])


def test_a_missing_middle_arm_leaves_a_gap_without_pixels(tmp_path: Path) -> None:
    wave = read(make_desi(tmp_path / "coadd.fits", arms="BZ"))[0].wave
    assert not ((wave > 5801) & (wave < 7519)).any()


def test_desi_redshifts_in_the_file_become_labels(tmp_path: Path) -> None:
    spectrum = read(make_desi(tmp_path / "coadd.fits", redshifts=True, z=0.3))[1]
    assert spectrum.label is not None
    assert (spectrum.label.spectype, spectrum.label.z, spectrum.label.zwarning) == ("GALAXY", 0.3, 0)


def test_desi_masks_only_the_chosen_bits(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "coadd.fits", n_objects=1, arms="B")
    with fits.open(path, mode="update") as hdus:
        hdus["B_MASK"].data[0, :] = 1 << 5  # BRIGHTSKY: harmless everywhere
        hdus["B_MASK"].data[0, 10] = desi.NODATA
    (spectrum,) = read(path)
    assert list(np.flatnonzero(~spectrum.good)) == [10]


def test_an_object_without_data_does_not_hide_the_others(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "coadd.fits", n_objects=3, arms="R")
    with fits.open(path, mode="update") as hdus:
        hdus["R_IVAR"].data[1] = 0
    spectra = read(path)
    assert [s.object_id for s in spectra] == ["1000", "1002"]
    assert any("1 of 3 objects of the file left out" in note for note in spectra[0].notes)


def test_exposures_of_one_target_in_a_spectra_file_have_names_of_their_own(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "spectra.fits", n_objects=2, arms="R")
    with fits.open(path) as hdus:
        columns = [fits.Column("TARGETID", "K", array=[1000, 1000]), fits.Column("EXPID", "J", array=[7, 8])]
        hdus["FIBERMAP"] = fits.BinTableHDU.from_columns(columns, name="FIBERMAP")
        hdus.writeto(path, overwrite=True)
    assert [s.object_id for s in read(path)] == ["1000-7", "1000-8"]


def test_a_mask_that_desi_stored_compressed_is_left_to_ivar(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "coadd.fits", n_objects=1, arms="R")
    with fits.open(path) as hdus:
        mask = hdus["R_MASK"].data.astype(np.int32)
        hdus[hdus.index_of("R_MASK")] = fits.CompImageHDU(mask, name="R_MASK")
        hdus.writeto(path, overwrite=True)
    assert read(path)[0].good.all()


def test_when_no_object_can_be_used_the_file_is_still_named_first(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "coadd.fits", n_objects=2, arms="R")
    with fits.open(path, mode="update") as hdus:
        hdus["R_IVAR"].data[:] = 0
    with pytest.raises(SpectrumError, match=rf"^{re.escape(str(path))}: .*none of the file's 2 objects"):
        read(path)


def test_arms_on_different_grids_are_cut_in_the_middle_of_their_overlap() -> None:
    from engine.spectrum import Arm

    low, high = np.arange(4000.0, 5000, 0.8), np.arange(4900.3, 6000, 0.9)
    wave, _, ivar = desi.combine([Arm(n, w, w * 0 + 1, w * 0 + 1) for n, w in (("R", high), ("B", low))])
    assert (np.diff(wave) > 0).all()
    assert (ivar == 1).all()


@pytest.mark.parametrize("wave_name", ["WAVE", "WAVELENGTH"])
def test_sv0_tables_give_one_spectrum_per_target_with_estimated_ivar(wave_name: str, tmp_path: Path) -> None:
    spectra = read(make_sv0(tmp_path / "coadd-bgs.fits", 2, wave_name))
    assert [s.object_id for s in spectra] == ["35191325334702288", "35191325334702289"]
    assert all(s.notes[0].startswith("ivar estimated") for s in spectra)
    # About 20 per pixel before the smoothing over 5 pixels; neighbours alone would claim over 100.
    assert 20 < spectra[0].snr < 60


# --- LAMOST ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("style", "name"), [("image", "a.fits"), ("table", "a.fits"), ("image", "spec.fits.gz")])
def test_lamost_old_and_new(style: str, name: str, tmp_path: Path) -> None:
    path = make_lamost(tmp_path / name, style)
    assert format_of(path) == f"LAMOST {style}"
    (spectrum,) = read(path)
    wave, flux, _ = galaxy(loglam_min=3.5682, n=3909)
    np.testing.assert_allclose(spectrum.wave, wave, rtol=1e-6)  # vacuum already: not converted
    np.testing.assert_allclose(spectrum.flux, flux, rtol=1e-6)
    assert spectrum.object_id == "B6202-55861-sp1-2"
    assert spectrum.label is not None
    assert (spectrum.label.spectype, spectrum.label.subclass, spectrum.label.z) == ("STAR", "G7", -0.0005)
    assert spectrum.meta["mag_g"] == 17.27


def test_lamost_masks_only_the_chosen_bits(tmp_path: Path) -> None:
    mask = np.full(3909, 1.0)  # bad CCD pixel somewhere in the stack: everywhere
    mask[3] = 32.0  # no data
    (spectrum,) = read(make_lamost(tmp_path / "spec.fits", andmask=mask))
    assert list(np.flatnonzero(~spectrum.good)) == [3]


# --- 6dFGS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "rest_frame"), [(4, True), (4, False), (3, True), (3, False)])
def test_sixdf_comes_out_in_the_observed_frame_and_vacuum(rows: int, rest_frame: bool, tmp_path: Path) -> None:
    (spectrum,) = read(make_sixdf(tmp_path / "g.fits", z=0.05, rows=rows, rest_frame=rest_frame))
    assert spectrum.wave[0] == pytest.approx(air_to_vacuum(4036.8), abs=1e-3)
    assert spectrum.wave[-1] == pytest.approx(air_to_vacuum(4036.8 + 1.543 * 2898), abs=1e-2)
    assert "wavelengths converted from air to vacuum" in spectrum.notes
    assert any("rest frame" in note for note in spectrum.notes) == (rows == 3 and rest_frame)
    assert spectrum.object_id == "g0022390-240737"
    assert spectrum.label is not None
    assert spectrum.label.z == 0.05
    assert 10 < spectrum.snr < 30  # variance from the second row


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


# --- what all share -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [bytes, io.BytesIO, lambda b: gzip.compress(b), lambda b: io.BytesIO(gzip.compress(b))]
)
def test_bytes_and_uploads_are_read_like_paths(wrap, sdss_file: Path) -> None:  # type: ignore[no-untyped-def]
    (spectrum,) = read(wrap(sdss_file.read_bytes()), name="upload.fits")
    assert spectrum.path == "upload.fits"
    np.testing.assert_array_equal(spectrum.flux, read(sdss_file)[0].flux)


def test_an_open_file_is_read_and_left_open(sdss_file: Path) -> None:
    with sdss_file.open("rb") as file:
        assert read(file)[0].path == str(sdss_file)
        assert not file.closed


def test_a_file_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = make_desi(tmp_path / "spec-0751-52251-0160.fits", n_objects=1)
    assert format_of(path) == "DESI coadd"


def test_estimated_ivar_follows_the_noise_along_the_spectrum() -> None:
    _, flux, ivar = galaxy(snr=10)
    estimated = estimate_ivar(flux, np.zeros(flux.size, bool))
    ratio = np.sqrt(ivar / estimated)
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert np.percentile(ratio, 5) > 0.7
    assert np.percentile(ratio, 95) < 1.4


def test_air_to_vacuum_agrees_with_published_pairs_and_specutils() -> None:
    pairs = {4861.325: 4862.683, 5006.843: 5008.240, 6562.801: 6564.614}
    np.testing.assert_allclose(air_to_vacuum(list(pairs)), list(pairs.values()), atol=1.5e-3)
    specutils_utils = pytest.importorskip("specutils.utils.wcs_utils")
    from astropy import units as u

    wave = np.linspace(3000, 10000, 50)
    theirs = specutils_utils.air_to_vac(wave * u.AA, method="Morton2000", scheme="iteration").to_value(u.AA)
    np.testing.assert_allclose(air_to_vacuum(wave), theirs, atol=2e-3)


def test_our_fits_decoder_equals_astropys(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    unsigned = rng.integers(0, 2**32, (3, 4), dtype=np.uint32)
    columns = [fits.Column("F", "E", array=rng.normal(size=5)), fits.Column("S", "7A", array=list("abcde")),
               fits.Column("X", "12X", array=rng.random((5, 12)) > 0.5),
               fits.Column("K", "K", array=np.arange(5)), fits.Column("V", "3D", array=rng.normal(size=(5, 3))),
               fits.Column("U", "J", bzero=2**31, array=np.arange(5, dtype=np.uint32))]  # fmt: skip
    scaled = fits.ImageHDU(rng.integers(0, 100, (2, 6)).astype(np.int16))
    primary = fits.PrimaryHDU()
    primary.header.update({"QUOTE": "it's / here", "NUMBER": -1.5e-3, "WHOLE": 7, "YES": True, "EMPTY": ""})
    path = tmp_path / "all.fits"
    hdus = fits.HDUList([primary, fits.ImageHDU(unsigned), fits.BinTableHDU.from_columns(columns), scaled])
    hdus.writeto(path)
    with fits.open(path, mode="update") as file:
        file[3].header.update({"BSCALE": 0.5, "BZERO": 3.0})
    with opened(path) as source, fits.open(path) as theirs:
        for key in ("QUOTE", "NUMBER", "WHOLE", "YES", "EMPTY"):
            assert source.hdus[0].get(key) == theirs[0].header[key]
        np.testing.assert_array_equal(source.hdus[1].image(), theirs[1].data)
        np.testing.assert_array_equal(source.hdus[3].image(), theirs[3].data)
        for name, values in source.hdus[2].table("F", "S", "V", "U", "K").items():
            np.testing.assert_array_equal(values, theirs[2].data[name])


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
