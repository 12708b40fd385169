"""DESI's three classes as in the Early Data Release: paper Table 3 and section 2.3; simulation recipe, section 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.grid import LogGrid
from engine.mock.batch import Redshifts
from engine.mock.light import Light
from engine.mock.scene import GalaxyRecipe, QuasarRecipe, Recipe, StarRecipe, TableScene
from engine.mock.spectrographs import Desi
from engine.mock.starpool import StarPool
from engine.survey import Survey

LIGHT_GRID = LogGrid(loglam_min=3.5545, n=4400)  # 3585-9874 A: a little more than DESI sees
LOWEST_SNR = 1.0  # the paper's sample was cut at 2 in the catalogue's SNR; training sees a little less
# Weight, lowest, highest and mean redshift, concentration.
BRIGHT = (0.93, 0.0, 0.6, 0.151, 5.0)  # Bright Galaxy Survey
RED = (0.042, 0.35, 1.1, 0.68, 5.0)  # luminous red galaxies
BLUE = (0.028, 0.55, 1.69, 1.03, 5.0)  # emission-line galaxies

RECIPES: dict[str, Recipe] = {
    "STAR": StarRecipe(
        pools={"fgk": 0.6, "hot": 0.1, "m dwarf": 0.18, "white dwarf DA": 0.1, "white dwarf other": 0.02},
        velocity=((0.7, 0, 50), (0.3, 0, 150)),
        snr_scatter=0.8,
    ),
    "QSO": QuasarRecipe(
        Redshifts(((1.0, 0.06, 4.27, 1.59, 4.5),)), 0.7, snr_slope=0.5, lowest_snr=LOWEST_SNR, scatter=5e-4
    ),
    "GALAXY": GalaxyRecipe(
        kinds={"passive": 0.38, "starforming": 0.42, "starburst": 0.07, "host": 0.13},
        kinds_far={"passive": 0.4, "stack": 0.2, "elg": 0.4},
        redshifts=Redshifts((BRIGHT, RED, BLUE)),
        snr_scatter=0.6, snr_slope=2.5, lowest_snr=LOWEST_SNR, scatter=2e-5,
    ),
}  # fmt: skip


def scene(survey: Survey, folder: Path, split: str, flat_share: float, n_pool: int) -> TableScene:
    """DESI as a scene for engine.mock.Simulator."""
    instrument = Desi(folder)
    light = Light(folder, split, LIGHT_GRID, n_pool, float(instrument.lsf_kms(np.array(6000.0))))
    stars = StarPool(folder, split, tuple(RECIPES["STAR"].pools))  # type: ignore[union-attr]
    stacks = {"GALAXY": light.stack(folder, "qmost_templates/data/DR16LRG-stitched-stack.fits", split)}
    return TableScene(survey, RECIPES, light, stars, instrument, stacks, flat_share)
