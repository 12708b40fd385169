"""A warm start: members begin with the weights of trained ones, of the same survey or of another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine import ModelError, Survey
from engine.networks import Network, build
from engine.networks.matched import Matched
from engine.plan import TrainConfig
from engine.registry import card_base, save_member, sha256_of, write_card
from engine.warmstart import begin_from, settled

TINY = {"features": 4, "filters": 4, "hidden": 8}
OTHER = """
name = "other"
title = "Three classes, redder, less far"
wave_range = [3700.0, 9800.0]
model = "other-matched-v1"
[[class]]
name = "STAR"
spectype = "STAR"
[[class]]
name = "GALAXY"
spectype = "GALAXY"
z_range = [0.0, 1.7]
good = 0.0015
[[class]]
name = "QUASAR"
spectype = "QSO"
z_range = [0.01, 5.0]
good = 0.015
"""


def fresh(survey: Survey, seed: int, network: str = "matched", config: Mapping[str, Any] = TINY) -> Network:
    torch.manual_seed(seed)
    return build(network, survey, config).eval()


@pytest.fixture
def sdss() -> Survey:
    return engine.load_survey("sdss")


@pytest.fixture
def other(tmp_path: Path) -> Survey:
    path = tmp_path / "other.toml"
    path.write_text(OTHER)
    return engine.load_survey(path)


@pytest.fixture
def source(tmp_path: Path, sdss: Survey) -> Path:
    """A model of two members; their weights are exact in half precision."""
    folder = tmp_path / "source"
    folder.mkdir()
    members = []
    for k in range(2):
        network = fresh(sdss, k)
        network.half().float()
        file = folder / f"member-{k}.safetensors"
        save_member(network, file)
        members.append({"file": file.name, "seed": k, "sha256": sha256_of(file)})
    mae = dict.fromkeys(sdss.names, 0.01)
    write_card(folder, card_base("source", sdss, network, [0, 1]) | {"members": members, "mae": mae})
    return folder


def weights(sdss: Survey, seed: int) -> dict[str, torch.Tensor]:
    network = fresh(sdss, seed)
    return network.half().float().state_dict()


def test_member_k_of_the_same_survey_starts_as_member_k_of_the_source(sdss: Survey, source: Path) -> None:
    for k, seed in ((0, 0), (1, 1), (2, 0)):  # a third member starts from the first again
        network = fresh(sdss, 7)
        start = begin_from(network, sdss, source, k)
        assert (start.fitted, start.fresh) == ((), ())
        expected = weights(sdss, seed)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_another_survey_keeps_what_fits_and_names_what_starts_fresh(other: Survey, source: Path) -> None:
    network = fresh(other, 7)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start = begin_from(network, other, source, 0)
    assert "stem.weight" in start.copied
    assert set(start.fitted) == {"correlation.filters", "z_head.weight", "z_head.bias"}
    assert {"class_head.weight", "class_hidden.weight", "z_prior", "dense.weight"} <= set(start.fresh)
    for name in start.fresh:
        assert torch.equal(network.state_dict()[name], before[name]), name
    assert "starting fresh: z_prior" in start.words()


def test_filters_are_laid_over_each_other_in_rest_wavelength(sdss: Survey, other: Survey, source: Path) -> None:
    network = fresh(other, 7)
    begin_from(network, other, source, 0)
    old = fresh(sdss, 0)
    assert isinstance(network, Matched)
    assert isinstance(old, Matched)

    def rest_wave(member: Matched) -> np.ndarray:
        pixel = np.arange(member.correlation.filters.shape[-1]) - member.correlation.n_below
        return 10 ** (member.grid.loglam_min + member.zgrid.step * pixel)

    mine, theirs = rest_wave(network), rest_wave(old)
    marked = int(np.argmin(abs(theirs - 5008.24)))
    there = weights(sdss, 0)["correlation.filters"][..., marked]
    here = int(np.argmin(abs(mine - theirs[marked])))
    assert torch.equal(network.correlation.filters.detach()[..., here], there)
    beyond = network.correlation.filters.detach()[..., mine > theirs[-1] * 1.001]
    assert beyond.numel() > 0
    assert not beyond.any(), "no noise where the source knew nothing"


def test_redshift_heads_go_by_class_name_then_by_type(sdss: Survey, other: Survey, source: Path) -> None:
    network = fresh(other, 7)
    begin_from(network, other, source, 0)
    old = weights(sdss, 0)["z_head.weight"]
    mine = network.state_dict()["z_head.weight"]
    rows = [sdss.names[i] for i in sdss.extragalactic]
    assert torch.equal(mine[0], old[rows.index("GALAXY")])
    assert torch.equal(mine[1], old[rows.index("QSO")])


def test_a_run_that_is_still_going_on_serves_its_finished_members(sdss: Survey, source: Path) -> None:
    (source / "card.json").unlink()
    plan = {"survey": "sdss", "network": "matched", "network_config": TINY, "members": 3, "name": None}
    (source / "config.json").write_text(json.dumps(plan))
    start = begin_from(fresh(sdss, 7), sdss, source, 1)
    assert start.fresh == ()
    with pytest.raises(ModelError, match=r"member-2\.safetensors not found: the run has not finished this member"):
        begin_from(fresh(sdss, 7), sdss, source, 2)


def test_another_kind_of_network_is_refused(sdss: Survey, source: Path) -> None:
    with pytest.raises(ModelError, match="a 'matched' network; a 'gasnet2' network cannot start from it"):
        begin_from(fresh(sdss, 7, "gasnet2", {}), sdss, source, 0)


def test_a_source_that_is_nowhere_lists_the_models_that_exist(sdss: Survey) -> None:
    with pytest.raises(ModelError, match="no such model"):
        begin_from(fresh(sdss, 7), sdss, "no-such-model", 0)


def test_what_is_not_said_of_a_run_is_that_of_its_start(source: Path, sdss: Survey) -> None:
    desi = settled(TrainConfig("", "", start_from="desi-matched-v2"))
    assert (desi.survey, desi.network) == ("desi", "matched")
    alike = settled(TrainConfig("", "", start_from=str(source)))
    assert (alike.survey, alike.network_config) == ("sdss", dict(fresh(sdss, 0).config))


def test_what_is_said_of_a_run_stands(source: Path) -> None:
    plan = TrainConfig("coarse", "matched", start_from=str(source), network_config={"features": 8})
    assert settled(plan) == plan
    assert settled(TrainConfig("", "gasnet2", start_from=str(source))).network_config is None


def test_without_a_start_it_is_sdss_and_matched() -> None:
    plan = settled(TrainConfig("", ""))
    assert (plan.survey, plan.network, plan.network_config) == ("sdss", "matched", None)


def test_a_run_that_is_still_going_on_says_what_it_is(tmp_path: Path) -> None:
    run = {"survey": "coarse", "network": "matched", "network_config": TINY}
    (tmp_path / "config.json").write_text(json.dumps(run))
    plan = settled(TrainConfig("", "", start_from=str(tmp_path)))
    assert {key: getattr(plan, key) for key in run} == run
