"""Calibration: what is fitted recovers what was put in, and a calibrated card answers and loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_templates import make_templates

import engine
from engine import exemplars, outliers
from engine.calibrate import calibrate_model, equally_often
from engine.calibration import Calibration, Core, calibrated
from engine.calibration.classes import fit_scaling, scaled
from engine.calibration.fit import Known, fit_core
from engine.calibration.redshifts import windows
from engine.calibration.scores import auroc, coverage, ece, ece_floor, keeping, ks, pit
from engine.ensemble import Ensemble
from engine.grid import ZGrid
from engine.mock import Simulator
from engine.mock.outliers import TYPES, Outliers, blended, outlier_types
from engine.mock.strange import KINDS, strange
from engine.mock.stress import stressed
from engine.outliers import OutlierError, OutlierModel, Seen
from engine.prediction import LEVELS, ZWarn
from engine.registry import ModelError, card_base, save_member, sha256_of, write_card
from engine.validation import measured_snr

SURVEY = engine.load_survey("sdss")
ZGRID = ZGrid.covering(7.0)
WINDOW = windows(SURVEY, ZGRID)[0]  # of GALAXY
TINY = {"features": 4, "filters": 4, "hidden": 8}


# --- scores -------------------------------------------------------------------------------------------------------


def test_ks_and_coverage_by_hand() -> None:
    assert ks([0.25, 0.75]) == pytest.approx(0.25)
    assert ks([0.0, 0.0]) == 1
    assert np.isnan(ks([]))
    assert coverage([0.1, 0.4, 0.5, 0.9], 0.68) == 0.5


def test_ece_is_the_gap_between_confidence_and_accuracy() -> None:
    assert ece(np.full(100, 0.9), np.arange(100) < 70) == pytest.approx(0.2)
    assert ece(np.full(1000, 0.9), np.arange(1000) < 900) == pytest.approx(0, abs=1e-9)
    assert 0 < ece_floor(np.full(100, 0.8)) < 0.1


def test_auroc_counts_ties_half() -> None:
    assert auroc([0, 1], [2, 3]) == 1
    assert auroc([0, 1], [0, 1]) == 0.5
    assert np.isnan(auroc([], [1]))


def test_the_curve_of_a_flag_runs_from_the_surest_to_all() -> None:
    curve = keeping([4, 3, 2, 1], [1, 1, 0, 1], points=4)
    assert curve["kept"] == [0.25, 0.5, 0.75, 1]
    assert curve["purity"] == [1, 1, 0.6667, 0.75]
    assert curve["caught"] == [1, 1, 0, 0]
    assert curve["completeness"] == [0.3333, 0.6667, 0.6667, 1]


# --- class probabilities ------------------------------------------------------------------------------------------


def test_vector_scaling_finds_the_temperature_that_was_put_in() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = np.array([rng.choice(3, p=row) for row in true])
    overconfident = scaled(true, np.full(3, 2.0), np.zeros(3))
    scale, bias = fit_scaling(overconfident, label)
    assert scale == pytest.approx(np.full(3, 0.5), abs=0.05)
    assert bias == pytest.approx(np.zeros(3), abs=0.15)
    p = scaled(overconfident, scale, bias)
    assert ece(p.max(1), p.argmax(1) == label) < 0.03 < ece(overconfident.max(1), overconfident.argmax(1) == label)


# --- redshifts ----------------------------------------------------------------------------------------------------


def galaxies(n: int = 400, error: float = 0.1, outside: float = 0.05, seed: int = 0) -> Known:
    """PDFs .6 bins wide around points that are wrong by `error` bins; `outside` of them have the truth elsewhere."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(200, 800, n)
    point = truth + rng.normal(0, error, n)
    far = rng.random(n) < outside
    other = np.where(far, truth, 0) + np.where(far, 0, rng.uniform(200, 800, n))
    point = np.where(far, rng.uniform(200, 800, n), point)
    bins = np.arange(ZGRID.n)

    def bump(at: np.ndarray) -> np.ndarray:
        p = np.exp(-0.5 * ((bins - at[:, None]) / 0.6) ** 2)
        return p / p.sum(1, keepdims=True)

    mass = np.zeros((n, 6, ZGRID.n), np.float16)
    mass[:, 0] = 0.9 * bump(point) + 0.1 * bump(other)
    z_members = np.repeat(np.expm1(point * WINDOW.step)[None, :, None], 6, axis=2).repeat(2, axis=0)
    z = np.expm1(truth * WINDOW.step)
    return Known(np.eye(13)[np.full(n, 7)], mass, z_members, np.full(n, 7), z, np.full(n, 10.0))


def test_galaxies_ten_times_sharper_than_their_bins_are_covered_as_told() -> None:
    core = fit_core(galaxies(), 0, WINDOW)
    fresh = galaxies(seed=1)
    _, quantiles = calibrated(core, WINDOW, fresh.mass[:, 0].astype(float), fresh.z_members[:, :, 0], fresh.snr)
    u = pit(quantiles, fresh.z)
    assert ks(u) < 0.07
    assert coverage(u, 0.68) == pytest.approx(0.68, abs=0.06)
    assert coverage(u, 0.95) == pytest.approx(0.95, abs=0.04)
    low, high = (np.interp(level, LEVELS, quantiles[0]) for level in (0.16, 0.84))
    assert np.log1p(high) - np.log1p(low) == pytest.approx(2 * 0.1 * WINDOW.step, rel=0.4)


def test_a_fit_to_few_objects_stays_near_the_calibration_that_it_starts_from() -> None:
    few, start = galaxies(n=40, seed=3), Core(width=0.5, tail=4.0)
    free, held = fit_core(few, 0, WINDOW), fit_core(few, 0, WINDOW, start)
    assert abs(np.log(held.width / start.width)) < abs(np.log(free.width / start.width))
    scale, bias = np.full(3, 0.6), np.array([0.5, 0.0, -0.5])
    one = fit_scaling(np.array([[0.8, 0.1, 0.1]]), np.array([0]), scale, bias, hold=100.0)
    assert np.allclose(one[0], scale, atol=0.01)
    assert np.allclose(one[1], bias, atol=0.01)


def test_bins_and_quantiles_tell_the_same_distribution() -> None:
    known = galaxies(5)
    mass, quantiles = calibrated(
        Core(width=0.8), WINDOW, known.mass[:, 0].astype(float), known.z_members[:, :, 0], known.snr
    )
    assert mass.sum(1) == pytest.approx(np.ones(5))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    edges = np.expm1((np.arange(ZGRID.n + 1) - 0.5) * WINDOW.step)
    for row, table in zip(mass, quantiles, strict=True):
        by_table = np.diff(np.interp(edges, table, LEVELS))
        assert np.abs(by_table - row).max() < 0.02


def test_a_pdf_at_the_edge_of_the_grid_stays_a_pdf() -> None:
    mass = np.zeros((2, ZGRID.n))
    mass[0, 0] = mass[1, -1] = 1
    z = np.array([[0.0, ZGRID.z[-1]]])
    out, quantiles = calibrated(Core(), WINDOW, mass, z, np.array([5.0, np.nan]))
    assert out.sum(1) == pytest.approx(np.ones(2))
    assert np.isfinite(quantiles).all()


def test_more_noise_makes_a_wider_core() -> None:
    known = galaxies(2)
    core = Core(slope=-0.5)
    tables = [
        calibrated(core, WINDOW, known.mass[:1, 0].astype(float), known.z_members[:, :1, 0], np.array([snr]))[1][0]
        for snr in (2.0, 50.0)
    ]
    narrow, wide = (np.interp(0.84, LEVELS, t) - np.interp(0.16, LEVELS, t) for t in (tables[1], tables[0]))
    assert wide > 2 * narrow


def test_a_calibration_survives_its_card_and_a_lacking_class_is_named() -> None:
    made = Calibration(np.linspace(1, 2, 13), np.zeros(13), tuple(Core(width=0.1 * k + 0.1) for k in range(6)))
    card = {"calibration": json.loads(json.dumps(made.to_card(SURVEY)))}
    back = Calibration.from_card(card, SURVEY)
    assert back is not None
    assert back.scale == pytest.approx(made.scale, abs=1e-4)
    assert [core.width for core in back.cores] == pytest.approx([core.width for core in made.cores])
    del card["calibration"]["redshifts"]["QSO"]
    with pytest.raises(ValueError, match=r"calibration\.redshifts lacks 'QSO'; run `gasnet calibrate`"):
        Calibration.from_card(card, SURVEY)
    assert Calibration.from_card({"calibration": None}, SURVEY) is None
    assert Calibration.from_card({}, SURVEY) is None


# --- none of these ------------------------------------------------------------------------------------------------


def seen(n: int, shift: float = 0.0, seed: int = 0) -> tuple[Seen, np.ndarray]:
    """Features of two members: classes at the corners of a cube, `shift` away from there for outliers."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    centres = 4 * np.eye(3, 8)
    features = np.stack([centres[label] + rng.normal(0, 0.5, (n, 8)) for _ in range(2)])
    features[..., 7] += shift
    logits = features[..., :3] * 2
    return Seen(features.astype(np.float32), logits.astype(np.float32), np.exp(rng.normal(2, 1, n))), label


@pytest.fixture(scope="module")
def model() -> OutlierModel:
    known, label = seen(900)
    return outliers.fit(known, label, seen(300, 3.0, 1)[0], seen(900, 0.0, 2)[0], ("STAR", "GALAXY", "QSO"))


def test_the_threshold_flags_two_percent_of_what_is_known_and_most_of_what_is_not(model: OutlierModel) -> None:
    assert (model.score(seen(2000, 0.0, 3)[0]) > 0).mean() == pytest.approx(0.02, abs=0.012)
    assert (model.score(seen(200, 3.0, 4)[0]) > 0).mean() > 0.9
    between, _ = seen(200, 0.0, 5)
    between.features[..., :3] = 2  # a third of the way to every class
    assert auroc(model.score(seen(500, 0.0, 6)[0]), model.score(between)) > 0.9


def test_the_statistics_survive_their_file(model: OutlierModel, tmp_path: Path) -> None:
    model.save(tmp_path / "o.safetensors")
    back = OutlierModel.load(tmp_path / "o.safetensors", 2)
    usual, _ = seen(50)
    assert back.score(usual) == pytest.approx(model.score(usual), abs=1e-2)
    with pytest.raises(OutlierError, match="made for 2 members, not 5"):
        OutlierModel.load(tmp_path / "o.safetensors", 5)
    (tmp_path / "o.safetensors").write_bytes(b"no")
    with pytest.raises(OutlierError, match=r"o\.safetensors: cannot be read"):
        OutlierModel.load(tmp_path / "o.safetensors", 2)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="module")
def simulator(templates: Path) -> Simulator:
    return Simulator(SURVEY, templates, "validation", flat_share=0.0, n_pool=20)


@pytest.mark.parametrize("kind", [k for k in TYPES if k != "CV"])  # the invented templates have no CV
def test_outliers_are_spectra_of_the_survey_without_a_label(kind: str, simulator: Simulator, templates: Path) -> None:
    made = Outliers(simulator, templates)
    batch, again = made.batch(kind, 6, 3), made.batch(kind, 6, 3)
    assert batch.flux.shape == (6, simulator.grid.n)
    assert np.array_equal(batch.flux, again.flux)
    assert np.isfinite(batch.flux).all()
    assert np.isfinite(batch.ivar).all()
    assert (batch.label == -1).all()
    assert (batch.ivar > 0).any(axis=1).all()


def test_a_type_that_a_survey_knows_is_no_outlier_of_it() -> None:
    assert outlier_types(SURVEY) == TYPES
    assert "white dwarf" not in outlier_types(engine.load_survey("4most"))


def test_a_blend_is_the_sum_of_its_parts(simulator: Simulator) -> None:
    first, second = simulator.batch(4, 0), simulator.batch(4, 1)
    flux, ivar = blended(first, second, np.full(4, 0.25))
    both = (first.ivar > 0) & (second.ivar > 0)
    assert ((ivar > 0) == both).all()
    for k in range(4):
        a, b = (s.flux[k] / np.abs(s.flux[k][s.ivar[k] > 0]).mean() for s in (first, second))
        assert flux[k][both[k]] == pytest.approx((0.75 * a + 0.25 * b)[both[k]], rel=1e-3, abs=1e-4)


def test_strange_spectra_are_of_every_kind_and_leave_the_original(simulator: Simulator) -> None:
    batch = simulator.batch(2 * len(KINDS), 0)
    before = batch.flux.copy()
    odd = strange(batch, np.random.default_rng(0))
    assert np.array_equal(batch.flux, before)
    assert np.isfinite(odd.flux).all()
    assert (odd.ivar >= 0).all()
    assert (np.abs(odd.flux - batch.flux).max(axis=1) > 0).all()


def test_a_spectrum_with_larger_faults_is_still_that_object_and_the_seed_says_which_faults(
    simulator: Simulator,
) -> None:
    batch = simulator.batch(32, 0)
    flux, ivar = batch.flux.copy(), batch.ivar.copy()
    first, again = (stressed(batch, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.flux, again.flux)
    assert np.array_equal(batch.flux, flux)
    assert np.array_equal(batch.ivar, ivar)
    assert np.array_equal(first.label, batch.label)
    assert np.array_equal(first.z, batch.z)
    assert np.isfinite(first.flux).all()
    assert (first.ivar >= 0).all()
    good = (first.ivar > 0) & (ivar > 0)
    snr = [np.median(np.abs(f[good]) * np.sqrt(i[good])) for f, i in ((flux, ivar), (first.flux, first.ivar))]
    assert snr[1] == pytest.approx(snr[0], rel=0.2)
    close = [np.corrcoef(a[g], b[g])[0, 1] for a, b, g in zip(flux, first.flux, good, strict=True)]
    assert np.median(close) > 0.9


# --- a model folder -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, templates: Path) -> Path:
    """A tiny untrained model of two members, calibrated."""
    import torch

    from engine.networks import build

    folder = tmp_path_factory.mktemp("model")
    members = []
    for k in range(2):
        torch.manual_seed(k)
        network = build("matched", SURVEY, TINY)
        save_member(network, folder / f"member-{k}.safetensors")
        file = f"member-{k}.safetensors"
        members.append({"file": file, "seed": k, "sha256": sha256_of(folder / file)})
    card = card_base("tiny", SURVEY, network, [0, 1]) | {"members": members}
    write_card(folder, card | {"mae": {SURVEY.names[i]: 0.01 for i in SURVEY.extragalactic}})
    calibrate_model(folder, simulator, 130, templates=templates, per_type=3)
    return folder


def test_a_calibrated_model_has_exemplars_and_an_exemplar_is_nearest_to_itself(
    folder: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ensemble = engine.load_ensemble(folder, device="cpu")
    monkeypatch.setattr(exemplars, "find_model", lambda name: folder)
    kept = engine.load_exemplars(ensemble)
    assert kept is not None
    assert len(kept.fingerprint) == exemplars.PER_CLASS * len(SURVEY.classes) == len(kept.label) == len(kept.z)
    (first, *_) = kept.nearest(kept.fingerprint[7])
    assert (first.key, first.distance) == ("7", 0.0)
    monkeypatch.setattr(exemplars, "find_model", lambda name: tmp_path)
    assert engine.load_exemplars(ensemble) is None


def test_exemplars_of_other_members_are_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = engine.load_ensemble(folder, device="cpu")
    other = Ensemble(SURVEY, ensemble.members, {**ensemble.card, "members": [{"sha256": "another"}]}, "cpu")
    monkeypatch.setattr(exemplars, "find_model", lambda name: folder)
    with pytest.raises(ModelError, match=r"exemplars\.safetensors: made with other members"):
        engine.load_exemplars(other)


def test_a_calibrated_model_loads_and_answers(folder: Path, simulator: Simulator) -> None:
    ensemble = engine.load_ensemble(folder, device="cpu")
    batch = simulator.batch(5, 9)
    spectra = [engine.Spectrum(batch.wave, batch.flux[k], batch.ivar[k], "x") for k in range(5)]
    for prediction in ensemble.predict(spectra):
        assert prediction.calibrated
        assert prediction.p.sum() == pytest.approx(1)
        assert (prediction.pdf * ensemble.zgrid.width).sum(axis=1) == pytest.approx(np.ones(6), abs=1e-6)
        low, high = prediction.credible_interval(0)
        wide = prediction.credible_interval(0, 0.95)
        assert wide[0] <= low <= prediction.quantile(0, 0.5) <= high <= wide[1]
        assert prediction.cdf(0, high) - prediction.cdf(0, low) == pytest.approx(0.68, abs=0.01)
        assert 0 <= prediction.confidence <= 1
        assert np.isfinite(prediction.ood)
        assert prediction.ood_flag == (prediction.ood > 0) == (ZWarn.NONE_OF_THESE in prediction.zwarn)


def test_the_card_says_what_was_fitted_and_what_was_held_out(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    facts = card["calibration"]
    n = facts["fitted"]["n"] + facts["held_out"]["n"]
    assert facts["data"].startswith(f"{n} of 130 mock spectra")
    assert {"ks", "covers_68", "covers_95", "ece", "ece_by_snr", "ece_by_class", "raw"} <= facts["held_out"].keys()
    assert card["ood"]["not_measured"] == ["CV"]
    assert set(card["ood"]["auroc"]) == set(TYPES) - {"CV"}
    assert card["ood"]["sha256"] == sha256_of(folder / card["ood"]["file"])


def test_statistics_that_are_missing_or_changed_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    file = broken / json.loads((broken / "card.json").read_text())["ood"]["file"]
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelError, match=rf"{file.name}: sha256 differs"):
        engine.load_ensemble(broken, device="cpu")
    file.unlink()
    with pytest.raises(ModelError, match=rf"{file.name}: outlier statistics .* missing"):
        engine.load_ensemble(broken, device="cpu")


def test_calibrating_again_replaces_the_old_statistics_and_starts_from_the_members(
    folder: Path, tmp_path: Path, simulator: Simulator, templates: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    before = json.loads((again / "card.json").read_text())
    same = calibrate_model(again, simulator, 130, templates=templates, per_type=0)
    assert same["calibration"]["classes"] == before["calibration"]["classes"]
    other = calibrate_model(again, simulator, 104, seed=1, templates=templates, per_type=0)
    assert [path.name for path in again.glob("outliers*")] == [other["ood"]["file"]]
    assert "auroc" not in other["ood"]


def test_probabilities_are_calibrated_to_classes_that_are_equally_frequent() -> None:
    label = np.repeat([0, 1, 2], [50, 30, 40])
    rows = equally_often(label)
    assert np.unique(label[rows], return_counts=True)[1].tolist() == [30, 30, 30]
    assert (np.diff(rows) > 0).all()


def test_a_class_that_hardly_occurs_does_not_cost_the_others() -> None:
    rows = equally_often(np.repeat([0, 1], [98, 2]))
    assert len(rows) == 25 + 2


def test_a_model_without_calibration_gives_the_words_of_its_members() -> None:
    ensemble = Ensemble.untrained("matched", SURVEY, n_members=2)
    wave = 10 ** (3.58 + 1e-4 * np.arange(3850))
    flux = np.random.default_rng(0).normal(1, 0.1, wave.size)
    (prediction,) = ensemble.predict([engine.Spectrum(wave, flux, np.full(wave.size, 100.0), "x")])
    assert not prediction.calibrated
    assert not prediction.reliable
    assert not prediction.ood_flag
    assert np.isnan(prediction.ood)
    assert prediction.p == pytest.approx(prediction.p_members.mean(axis=0))
    low, high = prediction.credible_interval(0)
    assert prediction.cdf(0, high) - prediction.cdf(0, low) == pytest.approx(0.68, abs=1e-6)


def test_the_measured_snr_is_that_of_a_file(simulator: Simulator) -> None:
    batch = simulator.batch(3, 0)
    spectrum = engine.Spectrum(batch.wave, batch.flux[1], batch.ivar[1], "x")
    assert measured_snr(batch)[1] == pytest.approx(spectrum.snr, rel=1e-5)
