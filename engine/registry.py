"""Model folders: one safetensors file per member and a card.json. Loading refuses whatever does not match, by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.networks import Network, build
from engine.survey import Survey, assets_dir, load_survey

CARD_KEYS = ("model", "survey", "survey_sha256", "network", "config", "grid", "zgrid", "classes", "members", "mae")

EXEMPLARS = "exemplars.safetensors"  # beside the members, where there are any (engine.exemplars)


class ModelError(ValueError):
    """A model folder is missing, damaged or does not match. The message names the file and what differs."""


def models_dir() -> Path:
    """The folder of shipped models, which are never written to."""
    return assets_dir() / "models"


def home_dir() -> Path:
    """The user's own data: $GASNET_HOME, else the platform's folder for it. It need not exist yet."""
    return Path(os.environ.get("GASNET_HOME") or platformdirs.user_data_dir("gasnet"))


def home_models_dir() -> Path:
    """The folder of the models that the user trained and added."""
    return home_dir() / "models"


def model_names() -> tuple[str, ...]:
    """Names of the complete models, shipped and added."""
    cards = [*models_dir().glob("*/card.json"), *home_models_dir().glob("*/card.json")]
    return tuple(sorted({path.parent.name for path in cards if not path.parent.name.startswith(".")}))


def find_model(name: str | Path) -> Path:
    """The folder of a model given by name, or the folder itself, of a model or of a run.

    Raises ModelError naming both places when the model is in neither of them, or in both.
    """
    folder = Path(name)
    if len(folder.parts) > 1 or any((folder / file).is_file() for file in ("card.json", "config.json")):
        return folder
    places = [parent / folder for parent in (models_dir(), home_models_dir())]
    found = [place for place in places if (place / "card.json").is_file()]
    if len(found) == 2:
        raise ModelError(f"{found[0]} and {found[1]}: two models of one name. Rename or remove your own, the second")
    if not found:
        there = ", ".join(model_names()) or "none"
        raise ModelError(
            f"no such model: card.json found neither in {places[0]} nor in {places[1]}. Models that exist: {there}. "
            "Train one with `gasnet train`, add it with `gasnet models add`"
        )
    return found[0]


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file that is there whole or not at all: the block writes the part file it is given, which then takes the place.

    Raises ModelError when that fails, as on a full disk; what was at `path` before stays, and the part is removed.
    """
    part = path.with_suffix(".part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: cannot be written ({reason}). Free some space; the same command goes on") from error
    except BaseException:  # stopped by a signal: nothing is left half-written
        part.unlink(missing_ok=True)
        raise


def save_member(network: Network, path: Path) -> None:
    """Write a member's weights as float16 safetensors, whole or not at all."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    with written(path) as part:
        save_file(tensors, str(part))


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write card.json, whole or not at all. Raises ModelError when a key that loading needs is missing."""
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise ModelError(f"{folder}: card lacks {missing[0]!r}")
    with written(folder / "card.json") as part:
        part.write_text(json.dumps(card, indent=1) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """Read a card. Raises ModelError naming the file and the missing key."""
    path = folder / "card.json"
    if not path.is_file():
        raise ModelError(f"{path} not found: no complete model. A run writes it when all its members are trained")
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable JSON card: {error}") from error
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise ModelError(f"{path}: key {missing[0]!r} is missing")
    return dict(card)


def load_members(folder: Path) -> tuple[Survey, dict[str, Any], list[Network]]:
    """Load a model folder strictly: survey, card and members in evaluation mode on the CPU.

    Raises ModelError when the card does not fit its survey, the network's grids, or a file's checksum, tensor
    names or shapes.
    """
    card = read_card(folder)
    path = folder / "card.json"
    survey = load_survey(card["survey"])
    if card["survey_sha256"] != survey.sha256 or tuple(card["classes"]) != survey.names:
        raise ModelError(
            f"{path}: trained for another version of survey {survey.name!r} (classes or z ranges differ). "
            f"Restore assets/surveys/{survey.name}.toml or retrain"
        )
    members = [load_member(folder, card, member, survey) for member in card["members"]]
    if not members:
        raise ModelError(f"{path}: key 'members' is empty")
    return survey, card, members


def load_member(folder: Path, card: Mapping[str, Any], member: Mapping[str, Any], survey: Survey) -> Network:
    """One member of a model folder, strictly, in evaluation mode. member is its entry in the card's list."""
    file = folder / member["file"]
    if not file.is_file():
        raise ModelError(f"{file}: weights named in card.json are missing; restore the file or retrain")
    if sha256_of(file) != member["sha256"]:
        raise ModelError(f"{file}: sha256 differs from card.json; the file is damaged or was replaced. Restore it")
    network = build(card["network"], survey, card["config"])
    for name, grid in (("grid", network.grid.to_dict()), ("zgrid", network.zgrid.to_dict())):
        if card[name] != grid:
            raise ModelError(f"{folder / 'card.json'}: key {name!r} is {card[name]}, this network's is {grid}")
    fill(network, file)
    return network.eval()


def fill(network: Network, file: Path) -> None:
    """Load a member's weights into a network. Raises ModelError naming the tensor that does not fit."""
    try:
        tensors = load_file(str(file))
    except SafetensorError as error:
        raise ModelError(f"{file}: not a safetensors file: {error}") from error
    expected = network.state_dict()
    _check_tensors(file, expected, tensors)
    network.load_state_dict({name: tensors[name].to(expected[name].dtype) for name in expected})


def _check_tensors(file: Path, expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    for name in [*expected, *found]:
        if name not in found or name not in expected:
            raise ModelError(f"{file}: tensor {name!r} is {'missing' if name not in found else 'unexpected'}")
        if found[name].shape != expected[name].shape:
            raise ModelError(
                f"{file}: tensor {name!r} has shape {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
            )


def card_base(name: str, survey: Survey, network: Network, seeds: Sequence[int]) -> dict[str, Any]:
    """The part of a card that follows from survey and network."""
    return {
        "model": name,
        "survey": survey.name,
        "survey_sha256": survey.sha256,
        "classes": list(survey.names),
        "network": network.name,
        "config": dict(network.config),
        "grid": network.grid.to_dict(),
        "zgrid": network.zgrid.to_dict(),
        "seeds": list(seeds),
        "licence": "BSD-3-Clause",
    }
