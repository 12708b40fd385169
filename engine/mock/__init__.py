"""Mock spectra: labelled spectra of each survey, simulated from published templates (docs/simulation.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.mock import desi, fourmost
from engine.mock.batch import FLAT_SHARE, MockBatch, Scene
from engine.mock.sdss import CoarseScene, SdssScene
from engine.mock.templates import find_templates
from engine.survey import Survey, SurveyError

__all__ = ["FLAT_SHARE", "SCENES", "MockBatch", "Scene", "Simulator"]

# Which scene makes the spectra of which survey. A new survey is one scene and one row here.
SCENES: dict[str, Callable[[Survey, Path, str, float, int], Scene]] = {
    "sdss": SdssScene,
    "coarse": CoarseScene,
    "desi": desi.scene,
    "4most": fourmost.scene,
}


class Simulator:
    """Simulates a survey's classes from a template folder: the one door to mock spectra.

    split : which templates may be used: train, validation or test
    flat_share : part of the objects whose redshift does not follow the real distribution
    n_pool : continua prepared per kind; more are more diverse and take longer to prepare

    Raises TemplateError naming what is missing or changed, SurveyError for a survey it cannot simulate.
    """

    def __init__(
        self,
        survey: Survey,
        templates: str | Path | None = None,
        split: str = "train",
        flat_share: float = FLAT_SHARE,
        n_pool: int = 1600,
    ) -> None:
        if survey.name not in SCENES:
            raise SurveyError(f"no simulation of survey {survey.name!r}; there are: {', '.join(SCENES)}")
        self.survey, self.split = survey, split
        self.scene: Scene = SCENES[survey.name](survey, find_templates(templates), split, flat_share, n_pool)
        self.grid, self.instrument = self.scene.grid, self.scene.instrument

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """n spectra, classes equally often wanted, reproducible from the seed."""
        rng = np.random.default_rng(seed)
        wanted = rng.permutation(np.arange(n) % len(self.survey.names))
        return self.scene.make(wanted, rng)
