"""Model folders load strictly: whatever does not match is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import engine
from engine import ModelError
from engine.networks import build
from engine.registry import card_base, load_members, model_names, save_member, sha256_of, write_card

SMALL = {"features": 4, "filters": 4, "hidden": 8}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    survey = engine.load_survey("sdss")
    torch.manual_seed(0)
    network = build("matched", survey, SMALL)
    save_member(network, tmp_path / "member-0.safetensors")
    card = card_base("tiny", survey, network, [0]) | {
        "members": [
            {"file": "member-0.safetensors", "seed": 0, "sha256": sha256_of(tmp_path / "member-0.safetensors")}
        ],
        "mae": dict.fromkeys(survey.names, 0.01),
    }
    write_card(tmp_path, card)
    return tmp_path


def edit(model: Path, **changes: object) -> None:
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(card | changes))


def test_a_saved_model_loads_and_answers(model: Path) -> None:
    ensemble = engine.load_ensemble(model, device="cpu")
    assert ensemble.name == "tiny"
    assert len(ensemble.members) == 1


def test_weights_are_stored_in_half_precision_and_read_back_closely(model: Path) -> None:
    torch.manual_seed(0)
    network = build("matched", engine.load_survey("sdss"), SMALL)
    _, _, (loaded,) = load_members(model)
    for name, tensor in network.state_dict().items():
        assert torch.allclose(tensor.float(), loaded.state_dict()[name].float(), atol=2e-3, rtol=1e-3), name


def test_a_missing_model_lists_those_that_exist() -> None:
    with pytest.raises(ModelError, match=r"no such model.*gasnet train"):
        engine.load_ensemble("no-such-model")


@pytest.mark.parametrize("key", ["grid", "zgrid"])
def test_another_grid_is_refused_by_name(model: Path, key: str) -> None:
    edit(model, **{key: {"n": 7}})
    with pytest.raises(ModelError, match=f"key '{key}'"):
        load_members(model)


def test_another_order_of_classes_is_refused(model: Path) -> None:
    edit(model, classes=list(reversed(engine.load_survey("sdss").names)))
    with pytest.raises(ModelError, match="another version of survey 'sdss'"):
        load_members(model)


def test_a_survey_whose_redshift_ranges_changed_is_refused(model: Path) -> None:
    edit(model, survey_sha256="0" * 64)
    with pytest.raises(ModelError, match="another version"):
        load_members(model)


def test_a_changed_weight_file_is_refused_by_its_checksum(model: Path) -> None:
    path = model / "member-0.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ModelError, match=r"member-0\.safetensors: sha256 differs"):
        load_members(model)


def test_a_tensor_of_another_shape_is_refused_by_its_name(model: Path) -> None:
    path = model / "member-0.safetensors"
    tensors = load_file(path)
    tensors["z_prior"] = tensors["z_prior"][..., :-1].contiguous()
    save_file(tensors, path)
    edit(model, members=[{"file": path.name, "seed": 0, "sha256": sha256_of(path)}])
    with pytest.raises(ModelError, match=r"'z_prior' has shape \(1, 6, 63\), expected \(1, 6, 64\)"):
        load_members(model)


def test_a_missing_or_extra_tensor_is_refused_by_its_name(model: Path) -> None:
    path = model / "member-0.safetensors"
    tensors = load_file(path)
    tensors["ghost"] = torch.zeros(1)
    save_file(tensors, path)
    edit(model, members=[{"file": path.name, "seed": 0, "sha256": sha256_of(path)}])
    with pytest.raises(ModelError, match="'ghost' is unexpected"):
        load_members(model)


def test_a_missing_weight_file_is_named(model: Path) -> None:
    (model / "member-0.safetensors").unlink()
    with pytest.raises(ModelError, match=r"member-0\.safetensors"):
        load_members(model)


def test_a_card_without_a_key_is_refused_by_the_key(model: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    del card["mae"]
    (model / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="'mae' is missing"):
        load_members(model)


def test_every_shipped_model_loads() -> None:
    for name in model_names():
        assert engine.load_ensemble(name, device="cpu").name == name
