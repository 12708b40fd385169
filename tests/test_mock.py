"""Mock spectra: reproducible, labelled by the SDSS rules, noisy as SDSS is, and split by template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_templates import make_templates

import engine
from engine.mock import MockBatch, Simulator
from engine.mock.files import simulate
from engine.mock.galaxies import Lines, relabel
from engine.mock.instrument import SDSS_GRID, Instrument
from engine.mock.quasars import Quasars
from engine.mock.ratios import Ratios
from engine.mock.stars import colour_weight, sdss_type
from engine.mock.templates import REST, TemplateError, add_lines, air_to_vacuum, shifted, split_of, to_rest_grid


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="session")
def simulator(templates: Path) -> Simulator:
    return Simulator(engine.load_survey("sdss"), templates, n_pool=60)


@pytest.fixture(scope="session")
def batch(simulator: Simulator) -> MockBatch:
    return simulator.batch(780, 5)


def test_the_same_seed_gives_the_same_spectra_to_the_bit(simulator: Simulator) -> None:
    one, two, other = simulator.batch(26, 3), simulator.batch(26, 3), simulator.batch(26, 4)
    assert np.array_equal(one.flux, two.flux)
    assert np.array_equal(one.label, two.label)
    assert not np.array_equal(one.flux, other.flux)


def test_every_class_is_simulated_within_its_redshift_range(batch: MockBatch) -> None:
    survey = engine.load_survey("sdss")
    for i, klass in enumerate(survey.classes):
        here = batch.label == i
        assert here.sum() >= 5, klass.name
        if klass.z_range is None:
            assert (batch.z[here] == 0).all()
        else:
            assert batch.z[here].min() > klass.z_range[0] - 0.01
            assert batch.z[here].max() < klass.z_range[1] + 0.05


def test_the_median_snr_is_the_one_asked_for(batch: MockBatch) -> None:
    measured = [np.median((f * np.sqrt(i))[i > 0]) for f, i in zip(batch.flux, batch.ivar, strict=True)]
    assert np.median(np.array(measured) / batch.snr) == pytest.approx(1, abs=0.05)


def test_bad_pixels_have_no_ivar_and_make_a_few_percent(batch: MockBatch) -> None:
    inside = (SDSS_GRID.wave > 3900) & (SDSS_GRID.wave < 9150)
    bad = batch.ivar == 0
    assert (batch.flux[:, SDSS_GRID.wave < 3550] == 0).all()
    assert (batch.flux[:, inside][bad[:, inside]] != 0).mean() > 0.99, "a masked pixel keeps its flux, as in real files"
    assert 0.0005 < bad[:, inside].mean() < 0.08, "runs are few, and the invented templates have no sky lines"
    assert np.isfinite(batch.flux).all()
    assert np.isfinite(batch.ivar).all()


def test_native_noise_is_correlated_between_neighbours_as_in_real_coadds(simulator: Simulator) -> None:
    boss = np.arange(64) < 32
    noise = simulator.instrument._noise(boss, np.full(64, 2.0), np.random.default_rng(0))[:, 400:]
    noise = np.where(np.abs(noise) < 4, noise, 0)
    for which in (boss, ~boss):
        lag_one = (noise[which, 1:] * noise[which, :-1]).mean() / noise[which].var()
        assert 0.1 < lag_one < 0.25
    assert noise[boss].std() < noise[~boss].std() < 1.05, "the pipelines overestimate their errors, BOSS's more"


def _with_sky_line(folder: Path, wave: float) -> Instrument:
    """An instrument whose noise has one strong sky line."""
    pixels = np.linspace(4000, 9000, 5001)
    shape = 1 + 4 * np.exp(-0.5 * ((pixels - wave) / 2) ** 2)
    (folder / "noise").mkdir()
    np.savez(folder / "noise/noise_shape_1A.npz", wave=pixels, sigma_rel=np.stack([shape] * 4), snr=np.ones(4))
    return Instrument(folder)


def test_a_strong_sky_line_is_masked_in_faint_spectra_and_not_in_bright_ones(tmp_path: Path) -> None:
    instrument, line = _with_sky_line(tmp_path, 8830.0), np.abs(SDSS_GRID.wave - 8830).argmin()
    clean, boss = np.ones((200, SDSS_GRID.n), dtype=np.float32), np.ones(200, dtype=bool)
    masked = {
        snr: (instrument.observe(clean, np.full(200, snr), boss, np.random.default_rng(2)).ivar[:, line] == 0).mean()
        for snr in (2.0, 200.0)
    }
    assert masked[2.0] > 0.7
    assert masked[200.0] < 0.1


def test_the_sky_line_makes_noise_in_faint_spectra_and_not_in_bright_ones(tmp_path: Path) -> None:
    instrument, line = _with_sky_line(tmp_path, 7000.0), np.abs(SDSS_GRID.wave - 7000).argmin()
    clean, boss = np.ones((2, SDSS_GRID.n), dtype=np.float32), np.ones(2, dtype=bool)
    sigma, brightness = instrument._sigma(clean, np.array([2.0, 100.0]), boss, np.random.default_rng(2))
    excess = sigma[:, line] / sigma[:, line + 60]
    assert brightness[0] < 1 < brightness[1]
    assert excess[0] > 3
    assert excess[1] < 1.5


def test_intervening_metals_absorb_and_only_beyond_half_a_redshift(templates: Path) -> None:
    flux, z = np.ones((60, SDSS_GRID.n), dtype=np.float32), np.repeat([0.3, 2.0], 30)
    Quasars(templates, "train", 10)._metals(flux, SDSS_GRID, z, np.random.default_rng(1))
    assert (flux[:30] == 1).all()
    absorbed = (flux[30:] < 0.95).any(axis=1)
    assert 0.15 < absorbed.mean() < 0.6
    assert (flux >= 0).all()


def test_associated_gas_absorbs_within_3000_km_s_of_the_quasars_redshift(templates: Path) -> None:
    flux, z = np.ones((80, SDSS_GRID.n), dtype=np.float32), np.full(80, 2.4)
    Quasars(templates, "train", 10)._associated(flux, SDSS_GRID, z, np.random.default_rng(1))
    absorbed = (flux < 0.9).any(axis=1)
    assert 0.1 < absorbed.mean() < 0.35
    deepest = SDSS_GRID.wave[flux[absorbed].argmin(axis=1)]
    assert np.abs(deepest / (1215.67 * 3.4) - 1).max() < 0.012, "Lyman-alpha is the strongest"


def test_line_ratios_are_of_star_forming_galaxies_and_no_split_shares_them(templates: Path) -> None:
    train, test = Ratios(templates, "train"), Ratios(templates, "test")
    assert (train.log[:, 0] < 0.7 - 1.2 * (train.log[:, 2] + 0.4)).all()
    assert not set(map(tuple, train.log)) & set(map(tuple, test.log))
    rows = train.draw(np.array(["GALAXY_STARFORMING"] * 400), np.random.default_rng(1))
    assert np.median(train.log[rows, 2]) == pytest.approx(-0.38, abs=0.1)


def test_the_balmer_continuum_rises_to_its_edge_and_ends_there(templates: Path) -> None:
    balmer = Quasars(templates, "train", 10).balmer
    at = {wave: balmer[np.abs(REST.wave - wave).argmin()] for wave in (2000, 3500, 5000)}
    assert at[2000] < at[3500]
    assert at[5000] < 0.05 * at[3500]


def test_a_star_whose_colour_does_not_fit_its_type_is_rarely_drawn(templates: Path) -> None:
    with np.load(templates / "PyHammer/templates.npz") as arrays:
        wave, flux = arrays["wave"], arrays["flux"]
    plain = to_rest_grid(wave, flux[:1])
    odd = to_rest_grid(wave, flux[:1] * (wave / 5500) ** 3)  # a cubic takes this up, so the type stays
    types = sdss_type(templates, odd)[1]
    assert types[0] == sdss_type(templates, plain)[1][0]
    assert colour_weight(templates, plain, types)[0] > 0.9
    assert colour_weight(templates, odd, types)[0] < 0.1


def test_splits_share_no_template() -> None:
    parts = [split_of(1000, name) for name in ("train", "validation", "test")]
    assert (sum(part.astype(int) for part in parts) == 1).all()
    assert [part.sum() for part in parts] == [800, 100, 100]


def test_a_line_lands_at_its_redshifted_vacuum_wavelength_with_its_flux() -> None:
    flux = np.zeros((1, SDSS_GRID.n), dtype=np.float32)
    add_lines(flux, SDSS_GRID, 5008.24, np.array([0.25]), np.array([120.0]), np.array([7.0]))
    wave, width = SDSS_GRID.wave, np.diff(SDSS_GRID.edges)
    assert (flux[0] * width).sum() == pytest.approx(7.0, rel=0.01)
    assert (flux[0] * width * wave).sum() / (flux[0] * width).sum() == pytest.approx(5008.24 * 1.25, abs=0.3)


def test_a_shifted_template_keeps_its_feature_at_one_plus_z() -> None:
    template = np.exp(-0.5 * ((REST.wave - 4000) / 10) ** 2).astype(np.float32)[None]
    moved = shifted(template, np.array([0]), np.array([0.3]), SDSS_GRID)[0]
    assert (moved * SDSS_GRID.wave).sum() / moved.sum() == pytest.approx(5200, abs=0.5)


def test_rebinning_to_the_rest_grid_keeps_the_mean_flux() -> None:
    wave = np.arange(3000.0, 9000.0, 0.5)
    out = to_rest_grid(wave, np.sin(wave / 500)[None] + 2)[0]
    inside = (REST.wave > 3100) & (REST.wave < 8900)
    assert np.allclose(out[inside], np.sin(REST.wave[inside] / 500) + 2, atol=2e-3)


def test_air_wavelengths_become_vacuum_above_2000_angstrom_only() -> None:
    assert air_to_vacuum(np.array([5006.843]))[0] == pytest.approx(5008.240, abs=0.01)
    assert air_to_vacuum(np.array([1215.67]))[0] == 1215.67


@pytest.mark.parametrize(
    ("n2", "o3", "ew", "snr", "label"),
    [
        (-0.5, -0.2, 20, 9, "GALAXY_STARFORMING"),
        (-0.5, -0.2, 70, 9, "GALAXY_STARBURST"),
        (0.1, 0.8, 20, 9, "GALAXY_AGN"),
        (0.1, 0.8, 70, 9, "GALAXY_AGN"),
        (-0.5, -0.2, 20, 2.5, "GALAXY"),
    ],
)
def test_labels_follow_the_sdss_rules(n2: float, o3: float, ew: float, snr: float, label: str) -> None:
    one = np.ones(1)
    lines = Lines({"Ha": one, "NII": 10**n2 * one, "Hb": one, "OIII": 10**o3 * one}, 100 * one, ew * one)
    seen = dict.fromkeys(("Ha", "Hb", "OIII", "NII"), snr * one)
    assert relabel(seen, lines, 0.1 * one, 9200 * one)[0] == label
    assert relabel(seen, lines, 0.6 * one, 9200 * one)[0] == "GALAXY", "H-alpha has left the spectrum"


def test_without_a_template_folder_the_error_says_how_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GASNET_TEMPLATES", raising=False)
    with pytest.raises(TemplateError, match="GASNET_TEMPLATES"):
        Simulator(engine.load_survey("sdss"))


def test_a_missing_template_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"gasnet2_z_snr_vdisp\.npz"):
        Simulator(engine.load_survey("sdss"), tmp_path)


def test_simulated_files_are_read_back_with_their_truth(simulator: Simulator, tmp_path: Path) -> None:
    paths = simulate(simulator, 13, 7, tmp_path)
    assert len(paths) == 13
    batch = simulator.batch(13, [7, 0])
    for k, path in enumerate(paths):
        (spectrum,) = engine.read(path)
        truth = simulator.survey.classes[batch.label[k]]
        assert spectrum.label is not None
        assert spectrum.label.spectype == truth.spectype
        assert spectrum.label.z == pytest.approx(batch.z[k], abs=1e-6)
        inside = batch.ivar[k] > 0
        assert np.allclose(spectrum.flux[spectrum.good], batch.flux[k, inside])
