"""Readers of surveys, one section per format; then what all formats share."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from makers import (
    galaxy,
    make_desi,
    make_lamost,
    make_sdss,
    make_sixdf,
    make_spspec,
    make_sv0,
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
