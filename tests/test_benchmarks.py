"""The benchmarks' own code: tables by name, sets that stay the same, trainings that survive a kill, fair verdicts."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from makers import EMISSION, galaxy
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

import benchmarks.__main__ as command
import engine
from benchmarks import epochs, lessons, networks, peers
from benchmarks.fitter import GRID, Answer, Fit, Redrock, Remembered
from benchmarks.mockset import MockSet, mock_set
from benchmarks.networks import SCALES, Scale
from benchmarks.pca import Basis, Row, load_bases, rows
from engine.ensemble import Ensemble
from engine.evaluate import MOCK, Labelled
from engine.grid import LogGrid
from engine.mock import MockBatch
from engine.spectrum import Label, Spectrum

SDSS = engine.load_survey("sdss")


# --- tables -------------------------------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What the command calls instead of measuring."""
    calls: list[tuple[str, list[str]]] = []

    class Module:
        def __init__(self, name: str) -> None:
            self.main = lambda arguments: calls.append((name, arguments))

    monkeypatch.setattr(command, "import_module", Module)
    return calls


def test_every_table_has_its_module():
    assert [name for name, module in command.TABLES.items() if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize(
    ("arguments", "module", "rest"),
    [
        ([], "benchmarks.waits", []),
        (["some-model"], "benchmarks.waits", ["some-model"]),
        (["speed", "some-model"], "benchmarks.waits", ["some-model"]),
        (["networks", "--scale", "small"], "benchmarks.networks", ["--scale", "small"]),
        (["peers", "--n", "3"], "benchmarks.peers", ["--n", "3"]),
    ],
)
def test_the_first_argument_names_a_table_and_else_it_is_speed(called, arguments, module, rest):
    command.main(arguments)
    assert called == [(module, rest)]


# --- sets of mock spectra -----------------------------------------------------------------------------------------


class FakeSimulator:
    """Noise on SDSS's pixels, classes in turn, as Simulator.batch gives it."""

    survey = SDSS
    grid = LogGrid()

    def __init__(self, *_: Any, classes: int = 13, **__: Any) -> None:
        self.classes = classes

    def batch(self, n: int, seed: Any) -> MockBatch:
        rng = np.random.default_rng(seed)
        label = rng.permutation(np.arange(n) % self.classes)
        flux = rng.normal(3, 1, (n, self.grid.n)).astype(np.float32)
        z = np.where(np.isin(label, SDSS.extragalactic), rng.uniform(0.02, 0.3, n), 0.0)
        return MockBatch(flux, np.ones_like(flux), label, z, np.full(n, 3.0), self.grid)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.mockset.CHUNK", 26)


def test_a_set_has_the_wanted_number_of_every_class_and_reads_back_the_same(tmp_path):
    wanted = [3, 0, 5, *[1] * 10]
    made = mock_set(tmp_path / "a", FakeSimulator, wanted, seed=1)
    again = mock_set(tmp_path / "a", lambda: pytest.fail("made twice"), wanted, seed=1)
    other = mock_set(tmp_path / "b", FakeSimulator, wanted, seed=1)
    assert np.bincount(made.label, minlength=13).tolist() == wanted
    for key in ("flux", "ivar", "label", "z"):
        assert np.array_equal(getattr(made, key), getattr(again, key))
        assert np.array_equal(getattr(made, key), getattr(other, key))
    assert made.grid == LogGrid()


def test_a_set_that_a_kill_left_unfinished_is_made_anew(tmp_path):
    first = np.array(mock_set(tmp_path, FakeSimulator, [2] * 13, seed=1).flux)
    (tmp_path / "facts.npz").unlink()
    np.save(tmp_path / "flux.npy", np.zeros((4, 4)))
    assert np.array_equal(mock_set(tmp_path, FakeSimulator, [2] * 13, seed=1).flux, first)


def test_a_class_that_the_simulation_never_makes_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"makes no {SDSS.names[12]}: 2 are still wanted"):
        mock_set(tmp_path, functools.partial(FakeSimulator, classes=12), [2] * 13, seed=1)


def test_the_classifiers_spectra_are_the_first_of_the_redshift_networks():
    full = SCALES["full"]
    assert sum(full.classify for _ in SDSS.names) == 39_000
    assert {n for k, n in enumerate(full.wanted(SDSS)) if k in SDSS.extragalactic} == {14_000}
    assert (full.epochs_classify, full.epochs_long, full.epochs) == (15, 50, 10)


# --- training over epochs -----------------------------------------------------------------------------------------


class Line:
    """A straight line through 40 points, with dropout; score as given by `scores`, else its own loss."""

    weight_decay, clip, n = 0.0, None, 40

    def __init__(self, scores: list[float] | None = None, killed_after: int | None = None) -> None:
        self.module: nn.Module = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 1))
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.normal(size=(40, 3))).float()
        self.y = self.x.sum(1, keepdim=True)
        self.scores, self.left = scores, killed_after

    def rate(self, epoch: int, done: float) -> float:
        return 0.05

    def loss(self, rows: np.ndarray) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return (self.module(self.x[rows]) - self.y[rows]).square().mean()

    def score(self) -> float:
        return self.scores.pop(0) if self.scores else float((self.module(self.x) - self.y).square().mean())


def train_line(path: Path, **lesson: Any) -> epochs.Learned:
    return epochs.learn(path, functools.partial(Line, **lesson), 6, 1, lambda _: None, batch=8, every=0.0)


@pytest.fixture
def unbroken(tmp_path: Path) -> dict[str, Tensor]:
    (tmp_path / "whole").mkdir()
    return load_file(train_line(tmp_path / "whole/line.safetensors").path)


@pytest.mark.parametrize("steps", [1, 4, 5, 17])
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path, unbroken, steps):
    path = tmp_path / "line.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_line(path, killed_after=steps)
    assert not path.exists()
    found = load_file(train_line(path, killed_after=30 - steps).path)
    assert all(torch.equal(found[name], unbroken[name]) for name in unbroken)


def test_a_torn_checkpoint_costs_one_step_not_the_training(tmp_path, unbroken):
    path = tmp_path / "line.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_line(path, killed_after=12)
    torn = path.with_suffix(".checkpoint")
    torn.write_bytes(torn.read_bytes()[:100])
    found = load_file(train_line(path, killed_after=30 - 11).path)
    assert all(torch.equal(found[name], unbroken[name]) for name in unbroken)


def test_a_finished_training_is_not_trained_again(tmp_path):
    path = tmp_path / "line.safetensors"
    first = train_line(path)
    assert train_line(path, killed_after=0) == first
    assert list(tmp_path.iterdir()) == [path]
    assert (first.n, first.epochs, len(first.progress.history)) == (40, 6, 6)


def test_the_weights_of_the_best_validation_are_kept(tmp_path):
    best = train_line(tmp_path / "line.safetensors", scores=[0.5, 0.1, 0.3, 0.2, 0.4, 0.6])
    assert (best.progress.best_epoch, best.progress.best) == (1, 0.1)
    (tmp_path / "short").mkdir()
    two = epochs.learn(tmp_path / "short/line.safetensors", Line, 2, 1, lambda _: None, batch=8)
    weights = [load_file(run.path) for run in (best, two)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_loss_that_is_not_finite_stops_the_training_by_name(tmp_path):
    class Broken(Line):
        def loss(self, rows: np.ndarray) -> Tensor:
            return super().loss(rows) * torch.nan

    with pytest.raises(FloatingPointError, match="line: the loss is not finite in epoch 0 of 6"):
        epochs.learn(tmp_path / "line.safetensors", Broken, 6, 1, lambda _: None)


# --- the networks' table ------------------------------------------------------------------------------------------


def test_a_redshift_network_sees_its_own_class_only_and_the_papers_rates(tmp_path):
    made = mock_set(tmp_path, FakeSimulator, [4] * 13, seed=1)
    k = SDSS.index("QSO_BROADLINE")
    lesson = lessons.Redshift(made, made.rows(k, 3), made, k)
    assert lesson.n == 3
    assert torch.allclose(lesson.target, torch.from_numpy(10 * made.z[made.label == k][:3]).float())
    assert len(lesson.truth) == 4
    assert [lesson.rate(epoch, 0) for epoch in (0, 4, 5, 14)] == [1e-3, 1e-3, 5e-4, 2.5e-4]
    assert torch.allclose(lesson.x.square().sum(1), torch.full((3,), 5001.0))


def test_quality_is_judged_class_by_class_with_the_classs_own_redshift():
    k, star = SDSS.index("QSO"), next(i for i in range(13) if i not in SDSS.extragalactic)
    label, z = np.array([k, k, star, star]), np.array([1.0, 2.0, 0.0, 0.0])
    empty = np.empty((4, 0), np.float32)
    test = MockSet(empty, empty, label, z, np.ones(4), LogGrid())
    answer = np.full((4, len(SDSS.extragalactic)), 5.0)
    answer[:2, SDSS.extragalactic.index(k)] = 1.0, 2.5
    found = networks.quality(SDSS, test, np.array([k, star, star, k]), answer)
    assert (found["QSO"]["n"], found["QSO"]["accuracy"], found["QSO"]["GF"]) == (2, 0.5, 0.5)
    assert found["QSO"]["MAE"] == pytest.approx(0.25)
    assert found["QSO"]["dz"] == pytest.approx(0.5 / 3 / 2)
    assert "GF" not in found[SDSS.names[star]]


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("run")
    scale = Scale("tiny", 2, 3, 1, 1, 1, 1, 2, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "Simulator", FakeSimulator)
        patch.setattr("benchmarks.mockset.CHUNK", 26)
        return out, functools.partial(networks.run, scale, SDSS, None, out, 5, 1, lambda _: None), networks.run(
            scale, SDSS, None, out, 5, 1, lambda _: None
        )  # fmt: skip


def test_both_networks_are_trained_on_the_same_spectra_and_every_number_reaches_the_table(tiny_run):
    _, _, report = tiny_run
    report = json.loads(json.dumps(report))
    assert report["spectra"] == {"training": 7 * 2 + 6 * 3, "validation": 26, "test": 26}
    assert report["networks"]["matched"]["training"]["all"]["spectra"] == 32
    parts = report["networks"]["gasnet2"]["training"]
    assert {name: part["spectra"] for name, part in parts.items()} == {
        "classes": 26, **{SDSS.names[k]: 3 for k in SDSS.extragalactic},
    }  # fmt: skip
    text = io.StringIO()
    networks.show(report, Console(file=text, width=160))
    for word in ("gasnet2", "matched", "STAR_A0", "QSO_BROADLINE", "scale tiny", "26 test", "core ms"):
        assert word in text.getvalue()


def test_a_run_that_is_complete_trains_nothing_and_measures_the_same(tiny_run, monkeypatch):
    _, again, report = tiny_run
    monkeypatch.setattr(epochs, "_Training", lambda *_: pytest.fail("trained again"))
    second = again()
    for name in ("gasnet2", "matched"):
        assert second["networks"][name]["quality"] == report["networks"][name]["quality"]


def test_a_folder_of_another_run_is_refused_naming_what_differs(tiny_run):
    out, _, _ = tiny_run
    with pytest.raises(ValueError, match=r"run\.json: this run has seed = 5, not 6; use another --out"):
        networks.run(Scale("tiny", 2, 3, 1, 1, 1, 1, 2, 2), SDSS, None, out, 6, 1, lambda _: None)


# --- peers --------------------------------------------------------------------------------------------------------


def spectrum(z: float = 0.1, name: str = "a") -> Spectrum:
    return Spectrum(*galaxy(z=z), name)


def item(z: float = 0.1, kind: str = "GALAXY", name: str = "a") -> Labelled:
    return Labelled(MOCK, name, Label(kind, "", z, zwarning=0), spectrum(z, name))


def answer(*fits: tuple[str, float], name: str = "a") -> Answer:
    return Answer(name, tuple(Fit(kind, "", z, 1e-4, 10.0, 20.0, 0) for kind, z in fits), 0.5)


def test_a_template_file_that_lacks_redshifts_gets_the_fitters_own_and_one_that_has_them_keeps_them(tmp_path):
    wave, vectors = np.linspace(1000, 9000, 50), np.ones((2, 50))
    for path, arrays in (
        ("idlspec2d/spEigenGal-56436.npz", {"flux": vectors}),
        ("redrock-templates/qso_LOZ-v1.1.npz", {"basis": vectors, "z": np.array([0.05, 0.06])}),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / path, wave=wave, **arrays)
    galaxies, quasars = load_bases(tmp_path, rows()[:2])
    assert galaxies.redshifts[0] == pytest.approx(-0.005)
    assert np.allclose(np.diff(np.log10(1 + galaxies.redshifts)), 3e-4)
    assert galaxies.redshifts[-1] == pytest.approx(1.7, abs=2e-3)
    assert quasars.redshifts.tolist() == [0.05, 0.06]
    assert (quasars.row.spectype, quasars.row.igm) == ("QSO", "Kamble20")


def test_an_array_missing_from_a_template_file_is_named(tmp_path):
    (tmp_path / "redrock-templates").mkdir()
    path = tmp_path / "redrock-templates/qso_LOZ-v1.1.npz"
    np.savez(path, wave=np.ones(3), basis=np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"qso_LOZ-v1\.1\.npz: array 'z' is missing; it holds wave, basis"):
        load_bases(tmp_path, rows()[1:2])


def test_templates_that_do_not_exist_are_refused_with_those_that_do():
    with pytest.raises(ValueError, match=r"no templates '1' of galaxies; there are: 56436, 55740"):
        rows(galaxies="1")


def test_an_answer_is_kept_for_exactly_these_arrays(tmp_path):
    Remembered(tmp_path / "a.jsonl").add(spectrum(), answer(("GALAXY", 0.1), ("QSO", 2.0)))
    kept = Remembered(tmp_path / "a.jsonl")
    assert kept.get(spectrum()) == answer(("GALAXY", 0.1), ("QSO", 2.0))
    assert kept.get(spectrum().with_(flux=spectrum().flux * 1.0001)) is None


def test_a_line_that_a_kill_cut_short_costs_one_answer(tmp_path):
    path = tmp_path / "a.jsonl"
    Remembered(path).add(spectrum(0.1), answer(("GALAXY", 0.1)))
    Remembered(path).add(spectrum(0.2), answer(("GALAXY", 0.2)))
    path.write_bytes(path.read_bytes()[:-30])
    kept = Remembered(path)
    assert kept.get(spectrum(0.2)) is None
    kept.add(spectrum(0.3), answer(("GALAXY", 0.3)))
    assert [Remembered(path).get(spectrum(z)) is not None for z in (0.1, 0.2, 0.3)] == [True, False, True]


def test_only_missing_answers_are_computed_and_ours_only_says_how_many_are_missing(tmp_path):
    items, asked = [item(z, name=f"m{z}") for z in (0.1, 0.2, 0.3)], []

    class Code:
        def answer(self, spectrum: Spectrum) -> Answer:
            asked.append(spectrum.object_id)
            return answer(("GALAXY", 0.1), name=spectrum.object_id)

    kept, terminal = Remembered(tmp_path / "a.jsonl"), Console(file=io.StringIO())
    kept.add(items[0].spectrum, answer(("GALAXY", 0.1), name="m0.1"))
    with pytest.raises(
        ValueError, match=r"no answer of redrock for 2 of 3 spectra, the first m0\.2; leave --ours-only"
    ):
        peers.redrock_answers(items, kept, None, terminal)
    found = peers.redrock_answers(items, kept, Code, terminal)
    assert asked == ["m0.2", "m0.3"]
    assert list(found) == ["m0.1", "m0.2", "m0.3"]
    assert peers.redrock_answers(items, kept, None, terminal) == found


@pytest.mark.parametrize(
    ("fits", "good", "right"),
    [
        ([("GALAXY", 0.1001), ("QSO", 2.0)], True, True),
        ([("QSO", 2.0), ("GALAXY", 0.1001)], True, False),
        ([("QSO", 0.1), ("GALAXY", 0.4)], False, False),
        ([("GALAXY", 0.4), ("QSO", 0.1)], False, False),
        ([("QSO", 0.1)], False, False),
    ],
    ids=["right", "wrong type", "right z as wrong type", "wrong z", "no answer of the type"],
)
def test_a_redshift_is_judged_apart_from_the_type_and_together_with_it(fits, good, right):
    found = peers.of_redrock(item(0.1), answer(*fits), SDSS)
    assert (found.good, found.right) == (good, right)


def test_a_star_has_no_redshift_to_judge():
    found = peers.of_redrock(item(0.0, "STAR"), answer(("STAR", 0.001), ("QSO", 2.0)), SDSS)
    assert (found.good, found.right) == (True, True)
    assert peers.of_redrock(item(0.0, "STAR"), answer(("QSO", 2.0)), SDSS).right is False
    assert "GF" not in peers.row([found], "STAR")


def test_both_codes_stand_in_the_table_and_whatever_one_got_wrong_is_listed(tmp_path):
    items = [item(0.1, name="easy"), item(0.2, name="hard")]
    answers = {"easy": answer(("GALAXY", 0.1)), "hard": answer(("QSO", 3.0), ("GALAXY", 0.2))}
    found = peers.measure(items, answers, Ensemble.untrained("matched", SDSS, 1))
    report = json.loads(json.dumps({"sets": {"mock": found}}))
    assert found["rows"]["redrock"]["GALAXY"] | {"NMAD": 0} == {
        "n": 2, "right type": 0.5, "GF": 1.0, "NMAD": 0, "catastrophic": 0.0, "right": 0.5, "sure": 1.0,
        "right of sure": 0.5,
    }  # fmt: skip
    assert "hard" in [pair["redrock"]["name"] for pair in found["wrong"]]
    text = io.StringIO()
    peers.show(report, Console(file=text, width=160))
    assert "QSO 3.0000" in text.getvalue()
    assert "(n = 2)" in text.getvalue()


def test_the_mock_spectra_are_kept_so_that_both_codes_see_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "Simulator", FakeSimulator)
    first = peers.mock_items(tmp_path, tmp_path, 5, 1, SDSS)
    monkeypatch.setattr(peers, "Simulator", lambda *_, **__: pytest.fail("simulated again"))
    second = peers.mock_items(tmp_path, tmp_path, 5, 1, SDSS)
    for a, b in zip(first, second, strict=True):
        assert (a.name, a.truth, a.label) == (b.name, b.truth, b.label)
        assert np.array_equal(a.spectrum.flux, b.spectrum.flux)


def test_redrock_finds_the_redshift_of_a_galaxy_that_is_among_its_templates():
    pytest.importorskip("redrock", reason="redrock is optional: pip install 'gasnet-explorer[peers]'")
    wave = 10 ** np.arange(3.3, 4.05, 1e-4)
    continuum = (wave / 5000) ** -0.5 * np.where(wave < 4000, 0.75, 1.0)
    lines = sum(h * np.exp(-0.5 * ((wave - line) / 3.0) ** 2) for line, h in EMISSION.items())
    scan = np.arange(0.0, 0.3, 1e-3)
    bases = [
        Basis(Row("", "GALAXY", "", "", None), wave, np.stack([continuum, lines]), scan),
        Basis(Row("", "STAR", "A", "", None), wave, continuum[None], np.arange(-1e-3, 1e-3, 1e-4)),
    ]
    found = Redrock(bases).answer(spectrum(0.1234))
    assert [fit.spectype for fit in found.fits] == ["GALAXY", "STAR"]
    assert found.fits[0].z == pytest.approx(0.1234, abs=1e-4)
    assert found.fits[0].zwarn == 0
    assert dataclasses.asdict(found)["name"] == "a"
    assert GRID.wave[0] > 3547
