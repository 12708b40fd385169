"""The comparison of mocks with real spectra: blind where both are alike, sharp where they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_templates import make_templates

import engine
from benchmarks.discriminator import discriminate, verdicts
from benchmarks.pairs import GRID, Sample, mock_sample, paired, residuals
from benchmarks.realism import line_positions, main, noise_numbers
from engine.mock import Simulator
from engine.spectrum import SpectrumError


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="module")
def mocks(templates: Path) -> Sample:
    return mock_sample(Simulator(engine.load_survey("sdss"), templates, n_pool=60), 520, 3)


def smoothed(sample: Sample) -> Sample:
    """The same spectra with neighbouring pixels averaged: noise no spectrograph makes."""
    flux = (np.roll(sample.flux, 1, axis=1) + sample.flux + np.roll(sample.flux, -1, axis=1)) / 3
    return replace(sample, flux=flux)


def test_pairs_are_of_one_type_and_no_mock_is_used_twice(mocks: Sample) -> None:
    real, pool = mocks.take(np.arange(40)), mocks.take(np.arange(40, 520))
    chosen, owner = paired(real, pool, k=2)
    assert (chosen.spectype == real.spectype[owner]).all()
    assert len(np.unique(chosen.flux, axis=0)) == len(owner) == 80
    apart = np.abs(np.log(chosen.snr) - np.log(real.snr[owner]))
    assert np.median(apart) < np.median(np.abs(np.log(pool.snr[:80]) - np.log(real.snr[owner])))


def test_more_mocks_passed_off_as_real_are_not_told_apart_but_smoothed_ones_are(mocks: Sample) -> None:
    like, pool = mocks.take(np.arange(100)), mocks.take(np.arange(100, 520))
    chosen, owner = paired(like, pool)
    same = {(v.what, v.group): v for v in verdicts(like, chosen, owner)}
    changed = {(v.what, v.group): v for v in verdicts(smoothed(like), chosen, owner)}
    for kind in ("all STAR", "all GALAXY"):
        assert same["residuals", kind].accuracy < 0.7
        assert changed["residuals", kind].accuracy > 0.9


def test_a_discriminator_of_pure_noise_is_right_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    logit = discriminate(rng.normal(size=(200, 5)), rng.normal(size=(800, 5)), np.repeat(np.arange(200), 4))
    assert (np.mean(logit[:200] > 0) + np.mean(logit[200:] <= 0)) / 2 == pytest.approx(0.5, abs=0.06)


def test_noise_numbers_of_white_noise_are_those_of_a_gaussian() -> None:
    rng = np.random.default_rng(1)
    flux = 10 + rng.normal(size=(40, GRID.n))
    none = np.array([""] * 40)
    numbers = noise_numbers(Sample(flux, np.ones_like(flux), none, none, np.zeros(40)))
    assert numbers["robust sigma"] == pytest.approx(1, abs=0.05)
    assert numbers["native lag 1"] == pytest.approx(0, abs=0.05)
    assert numbers["> 5 sigma (%)"] < 0.01
    assert numbers["1 A lag 1, 8200-8900"] > 0.5, "a pixel of SDSS is 2 A wide there"


def test_bad_pixels_have_no_residual(mocks: Sample) -> None:
    few = mocks.take(np.arange(5))
    assert (np.isfinite(residuals(few)) == (few.ivar > 0)).all()


def test_lines_of_mocks_lie_within_a_third_of_an_angstrom_of_their_vacuum_wavelengths(mocks: Sample) -> None:
    for line, (offset, n) in line_positions(mocks).items():
        assert n > 10, line
        if "Ca K" not in line:  # the invented templates have it broad and blended
            # 40 stars of 120 km/s each, labelled z = 0, average out to 20 km/s: .4 A.
            assert abs(offset) < (0.8 if "stars" in line else 0.3), line


def test_a_folder_without_labelled_spectra_is_named(tmp_path: Path, templates: Path) -> None:
    with pytest.raises(SpectrumError, match=str(tmp_path)):
        main(["--templates", str(templates), "--real", str(tmp_path)])
