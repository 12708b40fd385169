"""Saliency: which pixels an ensemble's class and redshift rest on (paper Appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.ensemble import Ensemble
from engine.spectrum import Spectrum

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Saliency:
    """Absolute gradients of an answer with respect to the flux in each pixel, of one member or averaged over all.

    wave : (n,) vacuum, observed frame, Angstrom
    dp : (n,) |dP/dlambda| of one class; dz : (n,) |dz/dlambda| of that class, None for stars
    Both per unit of flux times the spectrum's mean absolute flux, hence dimensionless; 0 at bad pixels.
    """

    wave: FloatArray
    dp: FloatArray
    dz: FloatArray | None

    @property
    def main(self) -> FloatArray:
        """(n,) what the answer rests on: the gradient of z, of the class for a star that has none."""
        return self.dp if self.dz is None else self.dz


def saliency(ensemble: Ensemble, spectrum: Spectrum, class_index: int) -> Saliency:
    """Saliency of one class for one spectrum, on the network's wavelength grid: the mean of the members'."""
    return mean_saliency(member_saliency(ensemble, spectrum, class_index))


def mean_saliency(found: Sequence[Saliency]) -> Saliency:
    """The mean of several members' saliencies."""
    dz = [member.dz for member in found if member.dz is not None]
    return Saliency(
        found[0].wave, np.mean([member.dp for member in found], axis=0), np.mean(dz, axis=0) if dz else None
    )


def member_saliency(ensemble: Ensemble, spectrum: Spectrum, class_index: int) -> tuple[Saliency, ...]:
    """Saliency of one class for one spectrum as each member has it, in the order of the members."""
    flux_array, ivar_array = ensemble.gridded([spectrum])
    ivar = torch.from_numpy(ivar_array).to(ensemble.device)
    good = ivar_array[0] > 0
    row = ensemble.survey.extragalactic.index(class_index) if class_index in ensemble.survey.extragalactic else None
    scale = np.abs(flux_array[0][good]).mean() * good
    found = []
    for member in ensemble.members:
        flux = torch.from_numpy(flux_array).to(ensemble.device).requires_grad_(True)
        out = member(flux, ivar)
        p = out.class_logits.softmax(-1)[0, class_index]
        dp = _gradient(p, flux, retain=row is not None)
        dz = None if row is None else _gradient(out.z[0, row], flux, retain=False) * scale
        found.append(Saliency(ensemble.grid.wave, dp * scale, dz))
    return tuple(found)


def _gradient(answer: torch.Tensor, flux: torch.Tensor, retain: bool) -> FloatArray:
    (gradient,) = torch.autograd.grad(answer, flux, retain_graph=retain)
    return gradient[0].abs().cpu().numpy().astype(np.float64)
