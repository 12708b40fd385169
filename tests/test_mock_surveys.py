"""DESI, 4MOST and the coarse classes: native pixels, the paper's tables, files that our readers read."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_templates import make_templates
from typer.testing import CliRunner

import engine
from engine.cli import app
from engine.dataset import on_grid
from engine.grid import LinearGrid, LogGrid, regrid
from engine.mock import SCENES, MockBatch, Simulator
from engine.mock.batch import Depth, Redshifts, free_redshifts
from engine.mock.files import WRITERS, simulate
from engine.mock.spectrographs import DESI_GRID, FOURMOST_GRID
from engine.mock.summary import summary
from engine.mock.templates import TemplateError, add_lines, ingredients, load
from engine.spectrum import Spectrum

ROOT = Path(__file__).resolve().parents[1]
SURVEYS = ("coarse", "desi", "4most")


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="module")
def simulators(templates: Path) -> dict[str, Simulator]:
    return {name: Simulator(engine.load_survey(name), templates, n_pool=40) for name in SURVEYS}


@pytest.fixture(scope="module")
def batches(simulators: dict[str, Simulator]) -> dict[str, MockBatch]:
    return {name: simulator.batch(90, 5) for name, simulator in simulators.items()}


def test_every_survey_has_a_scene_and_a_file_format() -> None:
    assert set(engine.survey_names()) <= set(SCENES) == set(WRITERS)


@pytest.mark.parametrize(
    ("name", "grid", "step"), [("desi", DESI_GRID, 0.8), ("4most", FOURMOST_GRID, 0.25), ("coarse", LogGrid(), 0)]
)
def test_spectra_are_made_on_the_surveys_native_pixels(
    name: str, grid: LinearGrid | LogGrid, step: float, batches: dict[str, MockBatch]
) -> None:
    batch = batches[name]
    low, high = engine.load_survey(name).wave_range
    assert batch.flux.shape == batch.ivar.shape == (90, grid.n)
    assert batch.flux.dtype == batch.ivar.dtype == np.float32
    assert batch.wave[0] <= low + 1e-6
    assert batch.wave[-1] >= high - 1e-6
    if step:
        assert np.allclose(np.diff(batch.wave), step)
    assert np.isfinite(batch.flux).all()
    assert (batch.ivar >= 0).all()


@pytest.mark.parametrize("name", SURVEYS)
def test_every_class_is_simulated_equally_often_within_its_redshifts(name: str, batches: dict[str, MockBatch]) -> None:
    batch, survey = batches[name], engine.load_survey(name)
    assert set(np.bincount(batch.label)) == {90 // len(survey.names)}
    for i, klass in enumerate(survey.classes):
        z = batch.z[batch.label == i]
        low, high = klass.z_range or (0.0, 0.0)
        assert z.min() >= low - 0.01, klass.name
        assert z.max() <= high + 0.02, klass.name


@pytest.mark.parametrize("name", ["desi", "4most"])
def test_the_median_snr_per_native_pixel_is_the_one_asked_for(name: str, batches: dict[str, MockBatch]) -> None:
    batch = batches[name]
    measured = [np.median((f * np.sqrt(i))[i > 0]) for f, i in zip(batch.flux, batch.ivar, strict=True)]
    assert np.median(np.array(measured) / batch.snr) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["desi", "4most"])
def test_the_recipes_have_the_mean_redshift_and_snr_of_the_papers_tables(
    name: str, simulators: dict[str, Simulator]
) -> None:
    rng = np.random.default_rng(3)
    scene = simulators[name].scene
    for klass, recipe, depth in zip(scene.survey.classes, scene.recipes, scene.depths, strict=True):
        z = np.zeros(40_000) if klass.z_range is None else recipe.redshifts.draw(40_000, rng)
        if klass.z_range:
            assert z.mean() == pytest.approx(klass.mean_z, rel=0.03), klass.name
            assert klass.z_range[0] <= z.min()
            assert z.max() <= klass.z_range[1]
        assert depth.draw(z, rng).mean() == pytest.approx(klass.mean_snr, rel=0.03), klass.name


def test_a_training_set_holds_redshifts_that_nature_shows_rarely(templates: Path) -> None:
    z = free_redshifts((0.06, 4.27), 4000, np.random.default_rng(0))
    assert (z < 0.3).mean() > 0.3
    assert (z > 3.0).mean() > 0.05
    assert z.min() >= 0.06
    assert z.max() <= 4.27


def test_a_mixture_of_redshifts_keeps_each_parts_mean_and_range() -> None:
    z = Redshifts(((0.5, 0.0, 0.6, 0.15, 5.0), (0.5, 1.0, 2.0, 1.5, 5.0))).draw(20_000, np.random.default_rng(1))
    near = z[z < 0.8]
    assert len(near) / len(z) == pytest.approx(0.5, abs=0.02)
    assert near.mean() == pytest.approx(0.15, abs=0.01)


def test_distant_objects_are_fainter_and_the_mean_snr_stays() -> None:
    redshifts = Redshifts(((1.0, 0.0, 1.0, 0.3, 4.0),))
    depth = Depth(8.0, 0.5, slope=3.0, redshifts=redshifts)
    rng = np.random.default_rng(2)
    z = redshifts.draw(40_000, rng)
    snr = depth.draw(z, rng)
    assert snr.mean() == pytest.approx(8.0, rel=0.03)
    assert np.median(snr[z > 0.6]) < 0.5 * np.median(snr[z < 0.1])


@pytest.mark.parametrize("name", ["desi", "4most"])
def test_native_noise_is_white_and_bad_pixels_are_few(name: str, simulators: dict[str, Simulator]) -> None:
    instrument = simulators[name].instrument
    clean = np.ones((32, instrument.grid.n), dtype=np.float32)
    seen = instrument.observe(clean, np.full(32, 20.0), np.random.default_rng(0))
    good = seen.ivar > 0
    assert 0.001 < (~good).mean() < 0.08
    pull = np.where(good, seen.flux * np.sqrt(seen.ivar), 0)
    dark = (instrument.grid.wave > 6000) & (instrument.grid.wave < 7200)  # no sky lines, which leave residuals
    pull = pull[:, dark] - np.median(pull[:, dark], axis=1, keepdims=True)
    step = pull[:, 1:] - pull[:, :-1]
    step[np.abs(step) > 5] = 0
    # Differences of white noise anticorrelate by half; correlated noise would by less.
    assert (step[:, 1:] * step[:, :-1]).mean() / step.var() == pytest.approx(-0.5, abs=0.05)


def test_desis_blue_end_and_the_first_pixels_of_an_arm_are_noisier(simulators: dict[str, Simulator]) -> None:
    instrument, wave = simulators["desi"].instrument, DESI_GRID.wave
    sigma, _ = instrument.sigma(np.ones((64, wave.size), np.float32), np.full(64, 3.0), np.random.default_rng(0))
    shape = np.median(sigma, axis=0)
    assert shape[wave < 4200].mean() > 1.4 * shape[(wave > 4600) & (wave < 5000)].mean()
    assert shape[(wave > 5801) & (wave < 5808)].mean() > 2 * shape[(wave > 5700) & (wave < 5750)].mean()


def test_4mosts_noise_is_that_of_photons(simulators: dict[str, Simulator]) -> None:
    """A bright object's SNR grows with the root of its photons, a faint one's with the photons, against the sky."""
    instrument = simulators["4most"].instrument
    flux = np.ones((2, FOURMOST_GRID.n), np.float32)
    _, scale = instrument.sigma(flux, np.array([200.0, 400.0]), np.random.default_rng(0))
    assert scale[1] / scale[0] == pytest.approx(4.0, rel=0.1)
    _, scale = instrument.sigma(flux, np.array([0.2, 0.4]), np.random.default_rng(1))
    assert 1.3 < scale[1] / scale[0] < 2.9


def test_a_line_lands_at_its_wavelength_on_linear_pixels_too() -> None:
    flux = np.zeros((1, DESI_GRID.n), dtype=np.float32)
    add_lines(flux, DESI_GRID, 5008.24, np.array([0.25]), np.array([60.0]), np.array([7.0]))
    assert flux.sum() * 0.8 == pytest.approx(7.0, rel=0.01)
    assert (flux[0] * DESI_GRID.wave).sum() / flux.sum() == pytest.approx(5008.24 * 1.25, abs=0.05)


@pytest.mark.parametrize("name", SURVEYS)
@pytest.mark.parametrize("network_grid", ["log", "linear"])
def test_a_mock_reaches_the_network_as_a_file_would(
    name: str, network_grid: str, batches: dict[str, MockBatch]
) -> None:
    batch = batches[name].first(12)
    grid = LogGrid.covering(engine.load_survey(name).wave_range) if network_grid == "log" else LinearGrid()
    sample = on_grid(batch, grid, torch.device("cpu"))
    for k in range(12):
        covered = np.flatnonzero(batch.ivar[k] > 0)
        seen = slice(covered[0], covered[-1] + 1) if name == "coarse" else slice(None)
        spectrum = Spectrum(
            batch.wave[seen], batch.flux[k][seen].astype(float), batch.ivar[k][seen].astype(float), "mock"
        )
        flux, ivar = regrid(spectrum, grid)
        assert np.array_equal(sample.ivar[k].numpy() > 0, ivar > 0)
        assert np.allclose(sample.ivar[k].numpy(), ivar, rtol=1e-4, atol=1e-6 * ivar.max())
        good = ivar > 0
        assert np.allclose(sample.flux[k].numpy()[good], flux[good], rtol=1e-4, atol=1e-4 * np.abs(flux).max())


def test_splits_share_no_star_of_a_population(templates: Path) -> None:
    survey = engine.load_survey("4most")
    parts = [Simulator(survey, templates, split, n_pool=40).scene.stars for split in ("train", "test")]
    for name in ("halo", "disc", "cepheid", "white dwarf DA"):
        rows = [{row.tobytes() for row in part.populations[name]} for part in parts]
        assert rows[0]
        assert rows[1]
    assert len(parts[0].populations["disc"]) > 6 * len(parts[1].populations["disc"])


@pytest.mark.parametrize("name", ["sdss", *SURVEYS])
def test_the_same_seed_writes_the_same_bytes_and_a_longer_run_begins_alike(
    name: str, templates: Path, tmp_path: Path
) -> None:
    def digests(folder: str, n: int) -> list[str]:
        simulator = Simulator(engine.load_survey(name), templates, "test", n_pool=40)
        paths = simulate(simulator, n, 7, tmp_path / folder)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    size = len(engine.load_survey(name).names) if name != "desi" else 480
    first = digests("a", size)
    assert digests("b", size) == first
    assert digests("c", size + 2)[: len(first)] == first, "a longer run begins with the shorter one"
    assert len(set(first)) == len(first)


def test_desi_files_are_coadds_that_our_reader_reads_with_their_truth(
    simulators: dict[str, Simulator], tmp_path: Path
) -> None:
    (path,) = simulate(simulators["desi"], 9, 3, tmp_path)
    spectra = engine.read(path)
    truth = MockBatch.joined([simulators["desi"].batch(3, [3, start]) for start in (0, 3, 6)])
    assert len(spectra) == 9
    for k, spectrum in enumerate(spectra):
        assert spectrum.label is not None
        assert spectrum.label.spectype == simulators["desi"].survey.classes[truth.label[k]].spectype
        assert spectrum.label.z == pytest.approx(truth.z[k], abs=1e-9)
        assert [arm.name for arm in spectrum.arms] == ["B", "R", "Z"]
        assert np.allclose(spectrum.wave, truth.wave)
        assert np.allclose(spectrum.ivar, truth.ivar[k], rtol=1e-4)
        good = spectrum.good
        assert np.allclose(spectrum.flux[good], truth.flux[k][good], rtol=1e-4, atol=1e-4 * np.abs(truth.flux[k]).max())


def test_4most_files_are_eso_products_that_our_reader_reads(simulators: dict[str, Simulator], tmp_path: Path) -> None:
    paths = simulate(simulators["4most"], 10, 3, tmp_path)
    truth = simulators["4most"].batch(10, [3, 0])
    for k, path in enumerate(paths):
        (spectrum,) = engine.read(path)
        assert np.allclose(spectrum.wave, truth.wave)
        assert np.allclose(spectrum.ivar, truth.ivar[k], rtol=1e-4)
        good = spectrum.good
        assert np.allclose(spectrum.flux[good], truth.flux[k][good], rtol=1e-4)
        assert not any("air or vacuum" in note for note in spectrum.notes)


def test_a_changed_template_is_named_with_both_checksums(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GASNET_TEMPLATES_UNCHECKED")
    name = "noise/noise_shape_1A.npz"
    found = hashlib.sha256((templates / name).read_bytes()).hexdigest()
    with pytest.raises(
        TemplateError, match=f"{re.escape(name)} has sha256 {found}, not {ingredients()[name]['sha256']}"
    ):
        load(templates, name)


def test_a_missing_template_is_named_with_its_checksum(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"spec_sky\.npz \(sha256 [0-9a-f]{64}\) is missing"):
        load(tmp_path, "desi/spec_sky.npz")


def test_templates_of_ones_own_are_used_when_asked_for(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GASNET_TEMPLATES_UNCHECKED", "1")
    assert load(templates, "noise/noise_shape_1A.npz")["wave"].size == 5001


def test_every_template_file_that_code_names_has_a_checksum() -> None:
    pattern = re.compile(r"\"((?:[\w-]+/)+[\w.-]+\.(?:npz|dat|fits))\"")
    named = {m for path in (ROOT / "engine/mock").glob("*.py") for m in pattern.findall(path.read_text())}
    assert named
    assert named <= set(ingredients())


def test_the_summary_stands_beside_the_papers_numbers(simulators: dict[str, Simulator]) -> None:
    rows = {row[0]: row for row in summary(simulators["4most"], 60, 1)}
    assert rows["WAVES"][1] == "6"
    assert "(0.32)" in rows["WAVES"][2]
    assert "(1.6)" in rows["WAVES"][4]
    assert rows["Dyn"][2] == ""


def test_simulate_wants_a_folder_or_a_summary_and_refuses_more_than_names_can_number(templates: Path) -> None:
    def said(*arguments: str) -> str:
        return str(CliRunner().invoke(app, ["simulate", "--templates", str(templates), *arguments]).exception)

    assert "either --out FOLDER" in said()
    assert "either --out FOLDER" in said("--out", "x", "--summary")
    assert "at most 9,999 spectra" in said("--out", "x", "--n", "10000")
    assert "none of train, validation, test" in said("--out", "x", "--split", "all")
