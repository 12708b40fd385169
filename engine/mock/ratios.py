"""Emission line ratios of real star-forming galaxies: joint draws, so that lines that go together stay together.

The ratios are [O III]/Hb, [O II]/Hb, [N II]/Hb and [S II]/Hb of desisim's Gaussian mixture (six components fitted to
real emission-line galaxies) and those of 525 SDSS galaxies (MPA-JHU, dereddened), which also give the fainter lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.mock.templates import FloatArray, load, load_images, split_of

CASE_B = 2.86  # H-alpha over H-beta
N_MIXTURE = 4000
# log [N II]/Ha (mean, scatter) of each kind of star-forming galaxy of SDSS: a guess, .1 below the medians (-.30, -.49)
# that GaSNet-III's eigenspectra of 2,345 and 603 real ones give, as those leave the stellar absorption under H-alpha.
# Young galaxies beyond z = .57 follow the mixture as it is.
NII_OF = {"GALAXY_STARFORMING": (-0.38, 0.17), "GALAXY_STARBURST": (-0.6, 0.22)}
FAINT = {  # line of ours -> column of the MPA-JHU table
    "NeIII": "neiii_3869", "OIII_4364": "oiii_4363", "HeI": "hei_5876", "OI": "oi_6300", "ArIII": "ariii7135",
}  # fmt: skip


class Ratios:
    """A pool of m joint line ratios below the demarcation of AGN, of one split of it.

    log (m, 4): [O III]/Hb, [O II]/Hb, [N II]/Ha, [S II]/Ha; faint: {line: (m,) flux / H-alpha, without dust}
    """

    def __init__(self, folder: Path, split: str) -> None:
        rng = np.random.default_rng(31)
        weights, means, covariances = load_images(folder, "desisim/py/desisim/data/forbidden_mogs.fits")
        component = rng.choice(len(weights), N_MIXTURE, p=weights / weights.sum())
        step = np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[component], rng.standard_normal((N_MIXTURE, 4)))
        mixture = means[component] + step - np.log10([1, 1, CASE_B, CASE_B])
        table = load(folder, "resolve/mpajhu_line_fluxes.npz")
        column = dict(zip(table["line"].astype(str), table["flux"].T.astype(float), strict=True))
        o3, n2 = column["oiii_5007"] / column["h_beta"], column["nii_6584"]
        s2 = column["sii_6717"] + column["sii_6731"]
        whole = (o3 > 0.02) & (n2 > 0.005) & (s2 > 0.02)
        real = np.log10(np.stack([o3, np.ones_like(o3), n2, s2], axis=1)[whole])
        real[:, 1] = mixture[_nearest(real, mixture), 1]  # most have [O II] outside their spectra
        log = np.concatenate([mixture, real])
        log = log[log[:, 0] < 0.7 - 1.2 * (log[:, 2] + 0.4)]
        like = _nearest(log, real)
        kept = split_of(len(log), split)
        self.log = log[kept]
        self.faint = {name: column[key][whole][like][kept] for name, key in FAINT.items()}
        self.density = np.maximum(np.histogram(self.log[:, 2], _BINS, density=True)[0], 1e-2)

    def draw(self, target: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
        """A row (B,) for each wanted class of SDSS; those not in NII_OF follow the mixture itself."""
        rows = rng.integers(0, len(self.log), len(target))
        n2 = self.log[:, 2]
        common = self.density[np.clip(np.digitize(n2, _BINS) - 1, 0, len(self.density) - 1)]
        for name, (mean, scatter) in NII_OF.items():
            here = np.flatnonzero(target == name)
            weight = np.exp(-0.5 * ((n2 - mean) / scatter) ** 2) / common
            rows[here] = rng.choice(len(n2), here.size, p=weight / weight.sum())
        return rows


_BINS = np.arange(-2.4, 0.41, 0.1)


def _nearest(these: FloatArray, among: FloatArray) -> NDArray[np.int64]:
    """(n,) the row of `among` nearest in [O III]/Hb, [N II]/Ha and [S II]/Ha to each of these."""
    columns = [0, 2, 3]
    tree = cKDTree(among[:, columns])
    return np.asarray(tree.query(these[:, columns])[1])
