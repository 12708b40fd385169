"""The paper's experiments on a small invented simulation: what they vary, what they write, that they go on."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_templates import make_templates
from typer.testing import CliRunner

from engine import experiments
from engine import train as training
from engine.cli import app
from engine.dataset import WrongLabels
from engine.experiments import CONTAMINATED, SCALES, Laboratory, Scale, experiment
from engine.mock import Simulator
from engine.networks import build
from engine.plan import CHUNK, TrainConfig
from engine.registry import card_base, save_member, sha256_of, write_card
from engine.survey import SurveyError, load_survey

SURVEY = load_survey("sdss")
TINY = Scale(1, CHUNK, 130, (CHUNK,), {"features": 2, "filters": 2, "hidden": 4})


@functools.cache
def small_simulator(*args: Any, **kwargs: Any) -> Simulator:
    return Simulator(*args, **kwargs, n_pool=40)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Simulator", small_simulator)
    monkeypatch.setattr(experiments, "Simulator", small_simulator)
    monkeypatch.setattr(experiments, "SCALES", {**SCALES, "smoke": TINY})
    monkeypatch.setattr(training, "calibrate_model", lambda *_, **__: {}, raising=False)


class Trainings:
    """Stands for engine.train.train: leaves an untrained model, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[TrainConfig] = []

    def __call__(self, config: TrainConfig, out: Path, _: Any) -> Path:
        self.asked.append(config)
        out.mkdir(parents=True)
        survey = load_survey(config.survey)
        network = build(config.network, survey, config.network_config)
        save_member(network, out / "member-0.safetensors")
        member = {"file": "member-0.safetensors", "seed": 0, "sha256": sha256_of(out / "member-0.safetensors")}
        mae = {survey.names[i]: 0.01 for i in survey.extragalactic}
        write_card(out, card_base(str(config.name), survey, network, [0]) | {"members": [member], "mae": mae})
        return out


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    made = Trainings()
    monkeypatch.setattr(experiments, "train", made)
    return made


def test_a_share_of_the_labels_becomes_another_of_the_three_and_nothing_else_changes(templates):
    clean = small_simulator(SURVEY, str(templates))
    index = [SURVEY.index(name) for name in CONTAMINATED]
    batch, wrong = clean.batch(520, [3, 1]), WrongLabels(clean, 0.3, CONTAMINATED).batch(520, [3, 1])
    assert (batch.flux == wrong.flux).all()
    assert (batch.z == wrong.z).all()
    three = np.isin(batch.label, index)
    changed = batch.label != wrong.label
    assert changed[three].mean() == pytest.approx(0.3, abs=0.09)
    assert not changed[~three].any()
    assert np.isin(wrong.label[three], index).all()
    pairs = set(zip(batch.label[changed].tolist(), wrong.label[changed].tolist(), strict=True))
    assert len(pairs) == 6, "every class is taken for both others"
    assert (WrongLabels(clean, 0.3, CONTAMINATED).batch(520, [3, 1]).label == wrong.label).all()


def test_wrong_labels_need_a_share_and_classes():
    with pytest.raises(ValueError, match="label_noise is a share below 1"):
        TrainConfig(label_noise=0.1)
    with pytest.raises(ValueError, match=r"label_noise is 1\.5; it must be at most 0\.99"):
        TrainConfig(label_noise=1.5, noisy_classes=CONTAMINATED)


def test_contamination_makes_each_level_once_and_the_other_experiments_share_its_clean_run(
    templates, tmp_path, trainings
):
    found = experiment("contamination", tmp_path, "smoke", str(templates), "cpu")
    assert [row[0] for row in found.rows] == ["0 %", "5 %", "10 %"]
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert found.rows[0][found.columns.index("change")] == 0.0
    assert [config.label_noise for config in trainings.asked] == [0.0, 0.05, 0.10]
    assert [config.noisy_classes for config in trainings.asked] == [None, CONTAMINATED, CONTAMINATED]
    written = json.loads((tmp_path / "contamination-smoke.json").read_text())
    assert np.array(written["details"]["confusion"]["5 %"]["counts"]).sum() == written["rows"][1]["n"]
    assert written["scale"]["members"] == 1
    assert experiment("contamination", tmp_path, "smoke", str(templates), "cpu").rows == found.rows
    bins = experiment("snr", tmp_path, "smoke", str(templates), "cpu").rows
    assert len(bins) == 14
    assert 0 < sum(row[1] for row in bins) <= 130
    assert len(trainings.asked) == 3, "a run that was there was made again"


def test_coarse_compares_three_classes_with_all_of_them_collapsed(templates, tmp_path, trainings):
    coarse = experiment("coarse", tmp_path, "smoke", str(templates), "cpu")
    assert [config.survey for config in trainings.asked] == ["coarse", "sdss"]
    assert [row[0] for row in coarse.rows] == ["3 classes", "all classes, collapsed"]
    assert [np.sum(table["counts"]) for table in coarse.details["confusion"].values()] == [130, 130]


def test_a_result_of_other_settings_is_not_taken_for_this_one(templates, tmp_path, trainings):
    Laboratory(tmp_path, TINY, str(templates), "cpu").objects()
    (tmp_path / f"sdss-{CHUNK}x1").rename(tmp_path / "elsewhere")
    other = replace(TINY, network_config={"features": 3, "filters": 2, "hidden": 4})
    (tmp_path / f"sdss-{CHUNK}x1").mkdir()
    (tmp_path / "elsewhere" / "objects.npz").rename(tmp_path / f"sdss-{CHUNK}x1" / "objects.npz")
    with pytest.raises(FileExistsError):  # the stand-in for training was asked
        Laboratory(tmp_path, other, str(templates), "cpu").objects()


def test_the_command_trains_prints_a_table_and_writes_its_numbers(templates, tmp_path):
    command = ["experiment", "train-size", "--out", str(tmp_path), "--scale", "smoke", "--templates", str(templates)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "train-size, scale smoke" in done.output
    assert "The paper: 14,000 spectra" in done.output
    (row,) = json.loads((tmp_path / "train-size-smoke.json").read_text())["rows"]
    assert row["spectra"] == CHUNK
    assert 0 <= row["accuracy"][0] <= 1
    assert row["accuracy"][1] > 0


def test_what_there_is_is_named(tmp_path):
    with pytest.raises(SurveyError, match="no experiment 'x'; there are: contamination, snr, train-size, coarse"):
        experiment("x", tmp_path)
    with pytest.raises(SurveyError, match="no scale 'huge'; there are: smoke, small, full"):
        experiment("snr", tmp_path, "huge")
