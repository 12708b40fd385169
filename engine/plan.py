"""What a training run depends on: its settings, kept with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHUNK = 512  # spectra taken at once


@dataclass(frozen=True)
class OwnData:
    """Labelled real spectra to train on (docs/own-data.md).

    spectra : their folder, or a packed file; catalog : their labels, None for a packed file
    mix : share of mock spectra in every batch; shift : spectra are moved by up to so many pixels, with their redshifts
    """

    spectra: str
    catalog: str | None = None
    mix: float = 0.0
    shift: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.mix < 1:
            raise ValueError(f"OwnData: mix is {self.mix}; it must be at least 0 and less than 1")
        if not 0 <= self.shift <= 100:
            raise ValueError(f"OwnData: shift is {self.shift}; it must be between 0 and 100 pixels")


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

    survey: str = "sdss"
    network: str = "matched"
    members: int = 5
    minutes: float | None = None
    spectra: int | None = 120_000
    batch_size: int = 128
    seed: int = 0
    device: str = "auto"
    templates: str | None = None
    name: str | None = None
    validation: int = 2600
    checkpoint_seconds: float = 120.0
    processes: int = 1
    network_config: dict[str, Any] | None = None
    start_from: str | None = None
    rate_scale: float = 1.0
    own_data: OwnData | None = None
    label_noise: float = 0.0
    noisy_classes: list[str] | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.spectra is None):
            raise ValueError("TrainConfig: give either minutes or spectra, the budget of one member")
        for field, low in (("members", 1), ("batch_size", 2), ("validation", 26), ("processes", 1)):
            if getattr(self, field) < low:
                raise ValueError(f"TrainConfig: {field} is {getattr(self, field)}; it must be at least {low}")

        if not 0 <= self.label_noise < 1 or (self.label_noise and len(self.noisy_classes or ()) < 2):
            raise ValueError("TrainConfig: label_noise is a share below 1 of the labels of two or more noisy_classes")

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
