"""Training: a folder in, resumable at any moment, a loadable model out."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from fake_templates import make_templates
from safetensors.torch import load_file
from tiny_runs import tiny_config
from typer.testing import CliRunner

import engine
from engine import ModelError
from engine import train as training
from engine.calibration import Calibration
from engine.card import LATER, missing
from engine.cli import app
from engine.labelled import CatalogError
from engine.mock import Simulator
from engine.mock.files import simulate
from engine.networks import build
from engine.plan import OwnData
from engine.registry import read_card, save_member, write_card
from engine.train import CHUNK, TrainConfig, train

ROOT = Path(__file__).resolve().parents[1]
TINY = {"features": 4, "filters": 4, "hidden": 8}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(autouse=True)
def _small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full pools take 15 s to prepare."""
    monkeypatch.setattr(training, "Simulator", small_simulator)


@functools.cache
def small_simulator(*args: Any, **kwargs: Any) -> Simulator:
    return Simulator(*args, **kwargs, n_pool=40)


def config(templates: Path, **changes: Any) -> TrainConfig:
    plain = {"members": 1, "spectra": 2 * CHUNK, "templates": str(templates), "device": "cpu", "validation": 130}
    return TrainConfig(**(plain | {"network_config": TINY, "checkpoint_seconds": 0.0} | changes))


class Killed(Exception):
    pass


def kill_after(chunks: int) -> Any:
    seen = []

    def progress(facts: dict[str, Any]) -> None:
        seen.append(facts)
        if len(seen) > chunks:
            raise Killed

    return progress


def test_a_run_writes_members_a_log_and_a_card_that_loads(templates: Path, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    folder = train(config(templates, members=2, spectra=8 * CHUNK, name="tiny"), tmp_path, seen.append)
    assert {facts["member"] for facts in seen} == {0, 1}
    assert seen[-1]["done"] == 1
    assert {"rate", "eta", "loss"} <= seen[0].keys()
    assert seen[7]["loss"] < seen[0]["loss"]
    ensemble = engine.load_ensemble(folder, device="cpu")
    assert len(ensemble.members) == 2
    card = ensemble.card
    assert card["seeds"] == [0, 1]
    assert set(card["mae"]) == {c.name for c in ensemble.survey.classes if c.z_range}
    assert card["validation"]["n"] == 130
    assert sum(facts["n"] for facts in card["validation"]["classes"].values()) == 130
    assert "templates" not in card["training"], "paths of the machine stay out of the card"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines[0]["spectra"] == 8 * CHUNK


def test_a_killed_run_goes_on_where_its_checkpoint_is(templates: Path, tmp_path: Path) -> None:
    plan = config(templates, spectra=4 * CHUNK)
    with pytest.raises(Killed):
        train(plan, tmp_path, kill_after(2))
    seen: list[dict[str, Any]] = []
    train(plan, tmp_path, seen.append)
    assert [facts["spectra"] for facts in seen] == [3 * CHUNK, 4 * CHUNK]
    assert not list(tmp_path.glob("*checkpoint*")), "checkpoints are removed once the member is final"


def test_a_torn_checkpoint_falls_back_to_the_one_before(
    templates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = config(templates, spectra=4 * CHUNK)
    with pytest.raises(Killed):
        train(plan, tmp_path, kill_after(2))
    checkpoint = tmp_path / "member-0.checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    seen: list[dict[str, Any]] = []
    train(plan, tmp_path, seen.append)
    assert seen[0]["spectra"] == 2 * CHUNK
    assert "unreadable checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("where", [0.3, 0.6, 0.99])
def test_a_flipped_bit_in_a_checkpoint_is_noticed_and_the_one_before_is_used(
    templates: Path, tmp_path: Path, where: float
) -> None:
    plan = config(templates, spectra=4 * CHUNK)
    with pytest.raises(Killed):
        train(plan, tmp_path, kill_after(2))
    checkpoint = tmp_path / "member-0.checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")  # of the numbers, behind the header
    content[start + int(where * (len(content) - start))] ^= 4
    checkpoint.write_bytes(content)
    seen: list[dict[str, Any]] = []
    said: list[str] = []
    train(plan, tmp_path, seen.append, said.append)
    assert seen[0]["spectra"] == 2 * CHUNK
    assert [words for words in said if "sha256 does not match" in words and "using the one before" in words]


def test_a_finished_member_is_not_trained_again(templates: Path, tmp_path: Path) -> None:
    train(config(templates), tmp_path)
    before = load_file(tmp_path / "member-0.safetensors")
    seen: list[dict[str, Any]] = []
    train(config(templates, members=2), tmp_path, seen.append)
    assert {facts["member"] for facts in seen} == {1}
    after = load_file(tmp_path / "member-0.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_of_another_survey_or_a_damaged_one_is_refused(templates: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"survey": "desi"}')
    with pytest.raises(ValueError, match=r"config\.json: this run has survey = 'desi', not 'sdss'; use another --out"):
        train(config(templates), tmp_path)
    (tmp_path / "config.json").write_text('{"survey"')
    with pytest.raises(ValueError, match=r"config\.json: no readable settings"):
        train(config(templates), tmp_path)


def test_a_folder_of_another_run_is_refused_by_the_setting_that_differs(templates: Path, tmp_path: Path) -> None:
    train(config(templates), tmp_path)
    with pytest.raises(ValueError, match="seed = 0, not 5"):
        train(config(templates, seed=5), tmp_path)


def test_a_run_may_start_from_the_members_of_another(templates: Path, tmp_path: Path) -> None:
    source = train(config(templates, name="first"), tmp_path / "runs" / "first")
    plan = config(templates, spectra=CHUNK, start_from=str(source), rate_scale=1e-9)
    said: list[str] = []
    folder = train(plan, tmp_path / "second", notice=said.append)
    (words,) = said
    assert words.endswith("tensors copied from first"), "nothing starts fresh"
    before, after = (load_file(f / "member-0.safetensors") for f in (source, folder))
    still = [name for name in before if "norm" not in name]  # batch statistics follow the data, not the rate
    assert all(torch.allclose(before[name].float(), after[name].float(), atol=1e-5) for name in still)
    assert "copied from first" in (folder / "log.jsonl").read_text()
    assert engine.load_ensemble(folder, device="cpu").card["training"]["start_from"] == "first", "a name, no path"


@pytest.mark.slow
def test_members_trained_side_by_side_are_those_trained_one_after_the_other(
    templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    both = config(templates, members=2, spectra=CHUNK)
    side_by_side = train(dataclasses.replace(both, processes=2), tmp_path / "side", seen.append)
    monkeypatch.setattr(training, "Simulator", Simulator)  # the workers have full pools
    in_turn = train(both, tmp_path / "turn")
    assert {facts["member"] for facts in seen} == {0, 1}
    for k in (0, 1):
        one, other = (load_file(folder / f"member-{k}.safetensors") for folder in (side_by_side, in_turn))
        for name, tensor in one.items():
            assert torch.allclose(tensor.float(), other[name].float(), atol=2e-3), name


def test_the_papers_network_trains_through_the_same_loop(templates: Path, tmp_path: Path) -> None:
    plan = config(templates, network="gasnet2", network_config=None, spectra=CHUNK, batch_size=64, validation=26)
    ensemble = engine.load_ensemble(train(plan, tmp_path), device="cpu")
    assert ensemble.members[0].name == "gasnet2"


@pytest.mark.parametrize("changes", [{"members": 0}, {"spectra": None}, {"minutes": 3.0}])
def test_a_configuration_out_of_bounds_is_refused(templates: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="TrainConfig"):
        config(templates, **changes)


SCRIPT = """
import sys
from engine import train as training
from engine.cli import app
from engine.mock import Simulator
training.Simulator = lambda *a, **k: Simulator(*a, **k, n_pool=40)
config = training.TrainConfig(members=2, spectra=12 * training.CHUNK, templates=sys.argv[1], device="cpu",
    validation=26, checkpoint_seconds=0.0, network_config={"features": 4, "filters": 4, "hidden": 8})
training.train(config, sys.argv[2])
"""


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(templates: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    command = [sys.executable, "-c", SCRIPT, str(templates), str(tmp_path)]
    for _ in range(4):
        process = subprocess.Popen(command, cwd=ROOT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(6, 14))
        process.kill()
        process.wait()
    subprocess.run(command, cwd=ROOT, check=True, timeout=200)
    assert len(engine.load_ensemble(tmp_path, device="cpu").members) == 2
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob("*checkpoint*"))


# ---- labelled real spectra -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(templates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 simulated spectra in SDSS format, and beside it spAll.fits with their labels."""
    folder = tmp_path_factory.mktemp("night")
    paths = simulate(small_simulator(engine.load_survey("sdss"), str(templates)), 60, 3, folder / "spectra")
    rows = [fits.getdata(path, "SPECOBJ")[0] for path in paths]
    names = ("PLATE", "MJD", "FIBERID", "CLASS", "SUBCLASS", "Z", "ZWARNING")
    Table({name: [row[name] for row in rows] for name in names}).write(folder / "spAll.fits")
    return folder


def test_a_model_learns_from_labelled_spectra_in_sdss_format(templates: Path, night: Path, tmp_path: Path) -> None:
    own = OwnData(str(night / "spectra"), str(night / "spAll.fits"), mix=0.25)
    said: list[str] = []
    seen: list[dict[str, Any]] = []
    train(config(templates, own_data=own, spectra=10 * CHUNK), tmp_path, seen.append, said.append)
    assert "read as SDSS spAll" in said[0]
    assert "too few objects of some classes: STAR_A0" in said[1]
    assert seen[-1]["loss"] < seen[0]["loss"]
    ensemble = engine.load_ensemble(tmp_path, device="cpu")
    card = ensemble.card
    assert missing(card, but=LATER) == ()
    counts = card["labelled"]
    assert sum(sum(counts[split].values()) for split in ("train", "validation", "test")) == 60
    assert card["validation"]["n"] == sum(counts["validation"].values())
    assert card["test"]["n"] == sum(counts["test"].values())
    assert card["training"]["own_data"] == {"spectra": "spectra", "catalog": "spAll.fits", "mix": 0.25, "shift": 8}
    assert card["data"].startswith("60 labelled spectra of spAll.fits (SDSS spAll), with 25%")
    assert set(card["mae"]) == {ensemble.survey.names[i] for i in ensemble.survey.extragalactic}
    assert "by the sha256 of the object id" in card["split"]
    assert str(tmp_path.parent) not in json.dumps(card), "no path of the machine"


def test_a_model_of_many_labels_is_calibrated_on_its_validation_objects_and_measured_on_the_test_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.calibrate.ENOUGH", 2)
    train(tiny_config(tmp_path), tmp_path / "run", notice=lambda _: None)
    card = read_card(tmp_path / "run")
    facts, n = card["calibration"], card["validation"]["n"]
    assert facts["data"].startswith(f"{n} labelled validation objects")
    assert (facts["fitted"]["n"], facts["held_out"]["n"]) == (n, card["test"]["n"])
    scale = np.array(list(facts["classes"].values()))[:, 0]
    assert np.abs(np.log(scale)).max() > 0.01, "fitted"
    assert engine.load_ensemble(tmp_path / "run", device="cpu").calibration is not None
    assert not any("calibrated" in words for words in card["limits"])


def test_a_model_of_few_labels_says_that_it_is_not_calibrated(tmp_path: Path) -> None:
    train(tiny_config(tmp_path), tmp_path / "run", notice=lambda _: None)
    card = read_card(tmp_path / "run")
    assert card["calibration"] is None
    n = card["validation"]["n"]
    assert card["limits"][-1] == f"Not calibrated: fewer than 100 labelled validation objects ({n})."


def test_a_model_of_few_labels_keeps_the_calibration_that_it_started_from(tmp_path: Path) -> None:
    plan = tiny_config(tmp_path)
    survey, card = engine.load_survey("sdss"), read_card(tmp_path / "source")
    old = dataclasses.replace(Calibration.identity(survey), scale=np.full(len(survey.names), 0.7))
    write_card(tmp_path / "source", card | {"calibration": old.to_card(survey)})
    train(plan, tmp_path / "run", notice=lambda _: None)
    facts = read_card(tmp_path / "run")["calibration"]
    assert facts["data"].startswith("that of source kept: fewer than 100 labelled validation objects")
    assert facts["classes"] == old.to_card(survey)["classes"]
    assert facts["held_out"]["n"] > 0, "and it is measured on the labels at hand"


def test_a_run_on_labelled_spectra_goes_on_without_reading_them_again(
    templates: Path, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnData(str(night / "spectra"), str(night / "spAll.fits"), mix=0.25)
    plan = config(templates, own_data=own, spectra=2 * CHUNK)
    with pytest.raises(Killed):
        train(plan, tmp_path, kill_after(1), lambda _: None)
    monkeypatch.setattr("engine.labelled.pairing.read", None)
    seen: list[dict[str, Any]] = []
    train(plan, tmp_path, seen.append, lambda _: None)
    assert [facts["spectra"] for facts in seen] == [2 * CHUNK]


def test_classes_with_too_few_objects_stop_a_run_from_nothing(templates: Path, night: Path, tmp_path: Path) -> None:
    own = OwnData(str(night / "spectra"), str(night / "spAll.fits"))
    with pytest.raises(CatalogError, match="too few objects of some classes: STAR_A0 5"):
        train(config(templates, own_data=own), tmp_path, notice=lambda _: None)


@pytest.mark.parametrize("changes", [{"mix": 1.0}, {"mix": -0.1}, {"shift": -1}])
def test_own_data_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="OwnData"):
        OwnData("spectra", "catalog", **changes)


@pytest.mark.parametrize(
    ("start", "words", "spectra", "own"),
    [
        ("sdss", "--budget 5000", 5000, None),
        ("desi", "", 120_000, None),
        (
            "sdss",
            "--spectra NIGHT --catalog c.csv --mix 0.25 --shift 4 --budget 9000",
            9000,
            OwnData("NIGHT", "c.csv", 0.25, 4),
        ),
        ("sdss", "--spectra train.fits", 120_000, OwnData("train.fits")),
    ],
)
def test_the_command_passes_on_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, words: str, spectra: int, own: OwnData | None
) -> None:
    asked: list[TrainConfig] = []
    monkeypatch.setattr("engine.jobs.run", lambda config, out, *_: asked.append(config) or out)
    monkeypatch.setattr("engine.versions.add", lambda folder, name: f"added-from-{folder.name}")
    command = ["train", "--out", str(tmp_path / "run"), "--from", start, "--install", *words.split()]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (plan,) = asked
    assert (plan.spectra, plan.own_data) == (spectra, own)
    assert plan.start_from == engine.load_survey(start).model, "a survey stands for its current model"
    assert (plan.survey, plan.network) == (start, "matched"), "a model goes on learning as what it is"
    assert "gasnet models promote added-from-run" in result.output


def test_a_catalogue_without_its_spectra_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path), "--catalog", "c.fits"])
    assert "--catalog needs the folder of its spectra" in str(result.exception)


# ---- a full disk -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Every write beyond that size fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_while_checkpointing_leaves_the_checkpoint_before(templates: Path, tmp_path: Path) -> None:
    plan = config(templates, spectra=4 * CHUNK)
    with pytest.raises(Killed):
        train(plan, tmp_path, kill_after(1))
    before = (tmp_path / "member-0.checkpoint.safetensors").read_bytes()
    with (
        files_of_at_most(20_000),
        pytest.raises(ModelError, match=r"checkpoint.safetensors: cannot be written .*space"),
    ):
        train(plan, tmp_path)
    assert (tmp_path / "member-0.checkpoint.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    seen: list[dict[str, Any]] = []
    train(plan, tmp_path, seen.append)
    assert seen[0]["spectra"] == 2 * CHUNK


@pytest.mark.parametrize("fails", ["save_file", "os.replace"])
def test_a_disk_that_is_full_at_the_end_leaves_no_member_to_load(
    templates: Path, tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    network = build("matched", engine.load_survey("sdss"), TINY)
    with monkeypatch.context() as patch:
        patch.setattr(f"engine.registry.{fails}", no_space)
        with pytest.raises(ModelError, match=r"member-0\.safetensors: cannot be written \(No space left on device\)"):
            save_member(network, tmp_path / "member-0.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_evaluate_prints_the_numbers_of_the_card_again(
    templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("engine.calibrate.asked")  # the first answers are calibrated, not asked for again
    folder = train(config(templates, validation=130), tmp_path)
    card = engine.load_ensemble(folder, device="cpu").card
    monkeypatch.setattr("engine.mock.Simulator", small_simulator)
    again = ["evaluate", str(folder), "mock", "--split", "validation", "--n", "130", "--templates", str(templates)]
    out = CliRunner().invoke(app, again).output
    accuracy = card["validation"]["accuracy"]
    line = next(line for line in out.splitlines() if line.startswith("Mean of the classes"))
    assert line.startswith(f"Mean of the classes: accuracy {accuracy:.3f} ± ")
    assert line.endswith(f"({accuracy:.3g})")
