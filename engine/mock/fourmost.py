"""4MOST's ten classes: paper Table 2 and section 2.2; simulation recipe, section 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.grid import LogGrid
from engine.mock.batch import Redshifts
from engine.mock.light import Light
from engine.mock.scene import GalaxyRecipe, QuasarRecipe, Recipe, StarRecipe, TableScene
from engine.mock.spectrographs import Fourmost
from engine.mock.starpool import StarPool
from engine.survey import Survey

LIGHT_GRID = LogGrid(loglam_min=3.5660, n=4200)  # 3681-9682 A: a little more than 4MOST sees
# Every redshift distribution is (weight, lowest, highest, mean, concentration), with the range and mean of Table 2.
RECIPES: dict[str, Recipe] = {
    "Dyn": StarRecipe({"halo": 1.0}, ((1.0, 0, 150),), 0.6),
    "GalHR": StarRecipe({"cepheid": 1.0}, ((1.0, 0, 60),), 0.6, reddening=(0.2, 1.2)),
    "ESN": StarRecipe({"white dwarf DA": 0.9, "white dwarf other": 0.1}, ((1.0, 30, 40),), 0.6),
    "GalDiskLR": StarRecipe({"disc": 1.0}, ((1.0, 0, 40),), 0.5),
    "MCsn": StarRecipe({"magellanic": 1.0}, ((0.65, 260, 30), (0.35, 150, 30)), 0.6),
    "COSMO_AGN": QuasarRecipe(Redshifts(((1.0, 0.9, 4.0, 2.2, 3.0),)), 0.6, weak=0.25, stacks=0.25),
    "ClusB": GalaxyRecipe({"passive": 0.6, "stack": 0.4}, Redshifts(((1.0, 0.3, 1.0, 0.52, 5.0),)), 0.4, snr_slope=2),
    "WAVES": GalaxyRecipe(
        {"passive": 0.5, "starforming": 0.42, "starburst": 0.08}, Redshifts(((1.0, 0.0, 0.8, 0.32, 4.5),)), 0.5,
        snr_slope=1,
    ),
    "RedGAL": GalaxyRecipe({"passive": 0.6, "stack": 0.4}, Redshifts(((1.0, 0.0, 1.1, 0.33, 5.0),)), 0.5, snr_slope=2),
    "tides_host": GalaxyRecipe(
        {"starforming": 0.6, "starburst": 0.2, "passive": 0.2}, Redshifts(((1.0, 0.0, 0.6, 0.11, 6.0),)), 0.6,
        snr_slope=2,
    ),
}  # fmt: skip


def scene(survey: Survey, folder: Path, split: str, flat_share: float, n_pool: int) -> TableScene:
    """4MOST as a scene for engine.mock.Simulator."""
    instrument = Fourmost(folder)
    light = Light(folder, split, LIGHT_GRID, n_pool, float(instrument.lsf_kms(np.array(6000.0))))
    populations = [name for recipe in RECIPES.values() if isinstance(recipe, StarRecipe) for name in recipe.pools]
    stars = StarPool(folder, split, tuple(populations))
    stacks = {
        "GALAXY": light.stack(folder, "qmost_templates/data/DR16LRG-stitched-stack.fits", split),
        "QSO": light.stack(folder, "qmost_templates/data/ROSAT_AGNT1-DR16QSO-stitched-stack.fits", split),
    }
    return TableScene(survey, RECIPES, light, stars, instrument, stacks, flat_share)
