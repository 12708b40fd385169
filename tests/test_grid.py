"""From a Spectrum's own pixels to a network's grid, without inventing or losing information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import galaxy, galaxy_on, make_desi, make_sdss

from engine.grid import LinearGrid, LogGrid, ZGrid, regrid
from engine.readers import read
from engine.spectrum import Spectrum

LOG = LogGrid()


def spectrum(wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> Spectrum:
    return Spectrum(wave, flux, ivar, object_id="x")


def test_sdss_pixels_pass_untouched(tmp_path: Path) -> None:
    wave, flux, ivar = galaxy(loglam_min=3.58)
    mask = np.zeros(wave.size, np.int64)
    mask[500:520] = 1 << 24
    (read_back,) = read(make_sdss(tmp_path / "spec.fits", wave, flux, ivar, and_mask=mask))
    on_grid, weight = regrid(read_back, LOG)
    first = round((3.58 - LOG.loglam_min) / LOG.step)
    np.testing.assert_array_equal(on_grid[first : first + 500], read_back.flux[:500].astype(np.float32))
    np.testing.assert_array_equal(weight[first : first + wave.size], read_back.ivar.astype(np.float32))
    assert not weight[:first].any()
    assert not weight[first + 500 : first + 520].any()
    assert on_grid.dtype == weight.dtype == np.float32


@pytest.mark.parametrize("step", [0.4, 0.8, 1.7])
def test_rebinning_keeps_information_and_mean_flux(step: float) -> None:
    wave = np.arange(4000.0, 9000.0, step)
    flux, ivar = 5 + np.sin(wave / 200), np.full(wave.size, 3.0)
    on_grid, weight = regrid(spectrum(wave, flux, ivar), LOG)
    assert weight.sum() == pytest.approx(ivar.sum(), rel=2e-3)
    seen = weight > 0
    np.testing.assert_allclose(on_grid[seen], 5 + np.sin(LOG.wave[seen] / 200), atol=0.02)
    assert np.average(on_grid, weights=weight) == pytest.approx(np.average(flux, weights=ivar), rel=1e-4)


def test_rebinning_weighs_pixels_by_their_ivar() -> None:
    wave = np.arange(4000.0, 9000.0, 0.4)
    noisy = np.arange(wave.size) % 2 == 0
    on_grid, _ = regrid(spectrum(wave, np.where(noisy, 100.0, 1.0), np.where(noisy, 1e-6, 1.0)), LOG)
    assert np.median(on_grid[on_grid > 0]) == pytest.approx(1, abs=0.01)


def test_gaps_between_arms_stay_without_ivar(tmp_path: Path) -> None:
    (blue_and_z,) = read(make_desi(tmp_path / "coadd.fits", n_objects=1, arms="BZ"))
    _, weight = regrid(blue_and_z, LOG)
    gap = (LOG.wave > 5803) & (LOG.wave < 7517)
    assert gap.sum() > 1000
    assert not weight[gap].any()
    assert weight[(LOG.wave > 5000) & (LOG.wave < 5790)].all()


def test_bad_pixels_do_not_leak_into_a_log_grid() -> None:
    wave = np.arange(4000.0, 9000.0, 0.8)
    flux, ivar = np.ones(wave.size), np.ones(wave.size)
    flux[2000:2010], ivar[2000:2010] = 1e6, 0
    on_grid, weight = regrid(spectrum(wave, flux, ivar), LOG)
    np.testing.assert_allclose(on_grid[weight > 0], 1, rtol=1e-6)
    inside = (LOG.wave > wave[2001]) & (LOG.wave < wave[2008])
    assert not weight[inside].any()


def test_a_log_pixel_less_than_half_covered_stays_empty() -> None:
    edges = LOG.edges
    for part, filled in ((0.3, False), (0.7, True)):
        last = 1000  # the spectrum ends inside this pixel of the grid
        end = edges[last] + part * (edges[last + 1] - edges[last])
        step = (end - 4000.0) / 5000
        wave = 4000.0 + step * (np.arange(5000) + 0.5)
        _, weight = regrid(spectrum(wave, np.ones(5000), np.ones(5000)), LOG)
        assert weight[last - 1] > 0
        assert (weight[last] > 0) == filled


def test_the_linear_grid_is_the_papers_and_interpolates_linearly() -> None:
    grid = LinearGrid()
    assert (grid.wave[0], grid.wave[-1], grid.wave.size) == (4000, 9000, 5001)
    wave = 10 ** (3.58 + 1e-4 * np.arange(3840))
    flux, ivar = galaxy_on(wave)
    on_grid, weight = regrid(spectrum(wave, flux, ivar), grid)
    np.testing.assert_allclose(on_grid, np.interp(grid.wave, wave, flux), rtol=1e-6)
    np.testing.assert_allclose(weight, np.interp(grid.wave, wave, ivar), rtol=1e-6)


def test_the_linear_grid_keeps_bad_flux_and_is_zero_outside() -> None:
    wave = np.arange(5000.0, 8000.0)
    flux, ivar = np.full(wave.size, 2.0), np.ones(wave.size)
    flux[10], ivar[10], flux[20] = 50.0, 0.0, np.nan
    on_grid, weight = regrid(spectrum(wave, flux, ivar), LinearGrid())
    assert on_grid[1010] == 50
    assert on_grid[1020] == 2
    assert not on_grid[:1000].any()
    assert not weight[4000:].any()


def test_redshift_bins_are_of_constant_velocity_width_and_hold_z_max() -> None:
    grid = ZGrid.covering(7.04)
    assert grid.z[0] == 0
    assert grid.z[-5] >= 7.04
    np.testing.assert_allclose(grid.width / (1 + grid.z), grid.width[0], rtol=1e-12)
    assert grid.width.sum() == pytest.approx(grid.z[-1] - grid.z[0] + (grid.width[0] + grid.width[-1]) / 2, rel=1e-3)


@pytest.mark.parametrize("grid", [LogGrid(), LinearGrid()])
def test_a_grid_is_plain_numbers_for_a_card(grid: LogGrid | LinearGrid) -> None:
    again = type(grid)(**grid.to_dict())
    np.testing.assert_array_equal(again.wave, grid.wave)


def test_a_surveys_log_grid_is_made_of_sdss_pixels_and_covers_its_range():
    assert LogGrid.covering((3600.0, 9200.0)) == LogGrid()
    desi = LogGrid.covering((3600.0, 9824.0))
    assert desi.wave[0] <= 3600.0
    assert desi.wave[-1] >= 9824.0
    assert desi.n % 64 == 0
