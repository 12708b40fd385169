"""Warm start: a new member begins with the weights of a trained one, of the same survey or of another.

Whatever has the same name and shape is copied. The rest-frame filters of a correlation, whose length follows from the
wavelength and redshift ranges, are laid over each other in rest wavelength; per-class redshift weights go from class
to class of the same name, else of the same spectral type. What is left starts fresh, and is named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.grid import LogGrid
from engine.networks import Network, build
from engine.networks.matched import Correlation
from engine.plan import TrainConfig
from engine.registry import ModelError, fill, find_model, load_member, read_card
from engine.survey import Survey, load_survey

ROW_PER_CLASS = ("z_head.weight", "z_head.bias")  # of the extragalactic ones
OTHER_CLASSES = ("class_hidden", "class_head")  # start fresh when the classes differ, even if the shapes do not


@dataclass(frozen=True)
class WarmStart:
    """Which tensors of a network came from another one.

    source : name of the model; copied : as they were; fitted : copied as far as they reach; fresh : not copied
    """

    source: str
    copied: tuple[str, ...]
    fitted: tuple[str, ...]
    fresh: tuple[str, ...]

    def words(self) -> str:
        """What happened, in one line."""
        parts = [f"{len(self.copied)} tensors copied from {self.source}"]
        for what, names in (("fitted to the new grid or classes", self.fitted), ("starting fresh", self.fresh)):
            if names:
                parts.append(f"{what}: {', '.join(names)}")
        return "; ".join(parts)


def settled(config: TrainConfig) -> TrainConfig:
    """The settings with survey and network filled in where they are empty, and the network's settings with them: those
    of the start, so that a model goes on learning as what it is; without a start, SDSS's classes and `matched`.

    Raises ModelError when there is no such start.
    """
    survey, network, settings = "sdss", "matched", None
    if config.start_from:
        survey, network, settings = _settings(find_model(config.start_from))
    if config.network_config is not None or config.network not in ("", network):
        settings = config.network_config  # another network cannot start from this one: begin_from says so
    return replace(config, survey=config.survey or survey, network=config.network or network, network_config=settings)


def _settings(folder: Path) -> tuple[str, str, dict[str, Any] | None]:
    """Survey, network and the network's settings of a model, or of a run that is still going on."""
    if _is_model(folder):
        card = read_card(folder)
        return card["survey"], card["network"], card["config"]
    run = json.loads((folder / "config.json").read_text())
    return run["survey"], run["network"], run["network_config"]


def _is_model(folder: Path) -> bool:
    return (folder / "card.json").is_file() or not (folder / "config.json").is_file()


def source_member(source: str | Path, k: int) -> tuple[str, Survey, Network]:
    """Name of the model, survey and member k of a model (by name or folder) or of a run that is still going on.

    A source of fewer members serves them in turn. Raises ModelError when there is no such model, when it does not
    load, or when the run has not finished member k yet.
    """
    folder = find_model(source)
    if _is_model(folder):
        card = read_card(folder)
        survey = load_survey(card["survey"])
        return card["model"], survey, load_member(folder, card, card["members"][k % len(card["members"])], survey)
    run = json.loads((folder / "config.json").read_text())
    name, kind, settings = _settings(folder)
    survey = load_survey(name)
    file = folder / f"member-{k % run['members']}.safetensors"
    if not file.is_file():
        raise ModelError(f"{file} not found: the run has not finished this member. Start when it has")
    network = build(kind, survey, settings)
    fill(network, file)
    return run["name"] or folder.name, survey, network


@torch.no_grad()
def begin_from(network: Network, survey: Survey, source: str | Path, k: int) -> WarmStart:
    """Give a network of `survey` the weights of member k of another model, in place.

    Raises ModelError as source_member does, and when the two are different kinds of network.
    """
    name, old_survey, old = source_member(source, k)
    if old.name != network.name:
        raise ModelError(f"{name} is a {old.name!r} network; a {network.name!r} network cannot start from it")
    found, same_classes = old.state_dict(), survey.names == old_survey.names
    copied, fitted, fresh = [], [], []
    for key, tensor in network.state_dict().items():
        other = not same_classes and key.startswith((*OTHER_CLASSES, *ROW_PER_CLASS))
        moved = key == "z_prior" and old.zgrid != network.zgrid  # a prior over other redshifts
        if key in found and found[key].shape == tensor.shape and not other and not moved:
            tensor.copy_(found[key])
            copied.append(key)
        elif key in found and _fit(key, tensor, found[key], (network, survey), (old, old_survey)):
            fitted.append(key)
        else:
            fresh.append(key)
    return WarmStart(name, tuple(copied), tuple(fitted), tuple(fresh))


def _fit(key: str, new: Tensor, old: Tensor, into: tuple[Network, Survey], of: tuple[Network, Survey]) -> bool:
    """Fill `new` from `old` as far as that reaches; False when nothing of it can be used."""
    if key in ROW_PER_CLASS:
        return new.shape[1:] == old.shape[1:] and _fit_classes(new, old, into[1], of[1])
    here, there = (dict(network.named_modules()).get(key.rpartition(".")[0]) for network in (into[0], of[0]))
    if isinstance(here, Correlation) and isinstance(there, Correlation) and new.shape[:-1] == old.shape[:-1]:
        return _fit_filters(new, old, (into[0], here.n_below), (of[0], there.n_below))
    return False


def _fit_filters(new: Tensor, old: Tensor, into: tuple[Network, int], of: tuple[Network, int]) -> bool:
    """Filters (K, C, n_below + n_pixels): pixel j lies at log10 rest wave loglam_min + (j - n_below) * step."""
    first, step = [], into[0].zgrid.step
    for network, n_below in (into, of):
        if not isinstance(network.grid, LogGrid) or network.zgrid.step != step:
            return False
        first.append(network.grid.loglam_min / step - n_below)
    shift = round(first[1] - first[0])  # the new pixel of the old pixel 0
    low, high = max(0, shift), min(new.shape[-1], old.shape[-1] + shift)
    if low >= high:
        return False
    new.zero_()  # beyond the old filters: no evidence rather than noise
    new[..., low:high] = old[..., low - shift : high - shift]
    return True


def _fit_classes(new: Tensor, old: Tensor, survey: Survey, old_survey: Survey) -> bool:
    """Rows by class name, else the first class of the same spectral type."""
    there = [old_survey.classes[i] for i in old_survey.extragalactic]
    used = False
    for row, i in enumerate(survey.extragalactic):
        klass = survey.classes[i]
        same = [j for j, c in enumerate(there) if c.name == klass.name]
        alike = [j for j, c in enumerate(there) if c.spectype == klass.spectype]
        for j in (same or alike)[:1]:
            new[row] = old[j]
            used = True
    return used
