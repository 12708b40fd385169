"""What a training run depends on: its settings, kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

CHUNK = 512  # spectra taken at once


def setting(default: Any, words: str, low: float | None = None, high: float | None = None) -> Any:
    """A field of a configuration with what a form needs to offer it: help, and bounds, both included."""
    return field(default=default, metadata={"words": words, "low": low, "high": high})


def _check_bounds(config: Any) -> None:
    """Raises ValueError naming the first field that lies out of its bounds."""
    kind = type(config).__name__
    for known in fields(config):
        value, low, high = getattr(config, known.name), known.metadata.get("low"), known.metadata.get("high")
        if value is None:
            continue
        if low is not None and value < low:
            raise ValueError(f"{kind}: {known.name} is {value}; it must be at least {low:g}")
        if high is not None and value > high:
            raise ValueError(f"{kind}: {known.name} is {value}; it must be at most {high:g}")


@dataclass(frozen=True)
class OwnData:
    """Labelled real spectra to train on (docs/own-data.md).

    spectra : their folder, or a packed file; catalog : their labels, None for a packed file
    mix : share of mock spectra in every batch; shift : spectra are moved by up to so many pixels, with their redshifts
    """

    spectra: str = setting("", "folder of labelled spectra, or a packed file")
    catalog: str | None = setting(None, "their labels; none for a packed file")
    mix: float = setting(0.0, "share of mock spectra in every batch, against forgetting", 0, 0.99)
    shift: int = setting(8, "spectra move by up to so many pixels, with their redshifts", 0, 100)

    def __post_init__(self) -> None:
        if not self.spectra:
            raise ValueError("OwnData: spectra is empty; name the folder of labelled spectra, or a packed file")
        _check_bounds(self)


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on; saved with it.

    survey, network : names; network_config : settings that differ from the network's defaults
    members : how many, with seeds seed, seed + 1, ...; processes : how many are trained at a time, sharing the cores
    minutes : training time of each member; spectra : number of spectra of each member, instead of minutes
    templates : the template folder, else $GASNET_TEMPLATES
    start_from : model (name or folder) or run whose members the members start from, of this survey or another
    own_data : labelled real spectra to train on, instead of mocks
    label_noise : share of the mocks of noisy_classes that are given the label of another of them (paper Appendix A)
    rate_scale : factor on the network's learning rate; less than 1 keeps more of what a start knew
    """

    survey: str = setting("sdss", "whose classes it answers with")
    network: str = setting("matched", "what a member is")
    members: int = setting(5, "networks in the ensemble", 1, 100)
    minutes: float | None = setting(None, "training time of each member, instead of a number of spectra", 0.01, 100_000)
    spectra: int | None = setting(120_000, "spectra that each member learns from", 1, 1_000_000_000)
    batch_size: int = setting(128, "spectra per step", 2, 65_536)
    seed: int = setting(0, "of the first member; the others follow", 0, 2**31)
    device: str = setting("auto", "auto, cpu, cuda or cuda:N")
    templates: str | None = setting(None, "folder of templates that mock spectra are made from")
    name: str | None = setting(None, "of the model, in its card; the next number when empty")
    validation: int = setting(2600, "mock spectra it is measured on", 26, 1_000_000)
    checkpoint_seconds: float = setting(120.0, "between two checkpoints", 0, 86_400)
    processes: int = setting(1, "members trained at a time; one per CPU core is fastest", 1, 256)
    network_config: dict[str, Any] | None = setting(None, "settings that differ from the network's, as JSON")
    start_from: str | None = setting(None, "model or run whose members the members start from")
    rate_scale: float = setting(1.0, "factor on the learning rate; less keeps more of what a start knew", 1e-9, 10)
    own_data: OwnData | None = setting(None, "labelled real spectra to learn from")
    label_noise: float = setting(0.0, "share of wrong labels, to see what they do", 0, 0.99)
    noisy_classes: list[str] | None = setting(None, "classes whose labels are confused")

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.spectra is None):
            raise ValueError("TrainConfig: give either minutes or spectra, the budget of one member")
        _check_bounds(self)
        if self.label_noise and len(self.noisy_classes or ()) < 2:
            raise ValueError("TrainConfig: label_noise is a share below 1 of the labels of two or more noisy_classes")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> TrainConfig:
        """From what config.json holds; a setting that is younger than the run has its default.

        Raises ValueError when a setting is unknown or out of bounds.
        """
        own = facts.get("own_data")
        try:
            return cls(**{**facts, "own_data": OwnData(**own) if own else None})
        except TypeError as error:
            raise ValueError(f"TrainConfig: {error}") from error

    def for_card(self) -> dict[str, Any]:
        """The settings without what names the machine."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("templates", "device", "processes")}
        facts["start_from"] = self.start_from and Path(self.start_from).name
        if self.own_data:
            names = (self.own_data.spectra, self.own_data.catalog)
            facts["own_data"] |= dict(
                zip(("spectra", "catalog"), (path and Path(path).name for path in names), strict=True)
            )
        return facts
