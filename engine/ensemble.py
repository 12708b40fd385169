"""Ensemble: several members of one network that answer together, and the flags that follow from their agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine import metrics
from engine.calibration import Calibration
from engine.device import choose_device
from engine.fingerprint import fingerprints
from engine.grid import regrid
from engine.networks import Network, build
from engine.outliers import OutlierError, OutlierModel, Seen
from engine.prediction import Prediction, ZWarn
from engine.registry import ModelError, find_model, load_members, sha256_of
from engine.spectrum import Spectrum
from engine.survey import Survey, load_survey, survey_names
from engine.versions import current_folder

RIVAL_WEIGHT = 0.1  # probability of a second peak of p(z) that counts as a rival solution
POOR_SNR = 0.5
MIN_COVERAGE = 0.5  # of the survey's wavelength range


class Answers(NamedTuple):
    """What M members say of B spectra, as they say it: class probabilities p (M, B, C), probability of each redshift
    bin pz (M, B, E, Z), point redshifts z (M, B, E), logits (M, B, C) and features (M, B, F) of the class heads.

    rows : None, or (B,) the row of the one class whose pz (M, B, 1, Z) is; -1 for a star, whose pz means nothing
    """

    p: NDArray[np.float32]
    pz: NDArray[np.float32]
    z: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    rows: NDArray[np.int64] | None = None


class _Verdict(NamedTuple):
    """What is made of the members' answers for B spectra: p (B, C), mass (B, E, Z) of redshift bins, quantiles
    (B, E, levels) or None, ood (B,), fingerprints (B, 128) or None."""

    p: NDArray[np.float64]
    mass: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None
    ood: NDArray[np.float64]
    fingerprints: NDArray[np.float32] | None


class Ensemble:
    """Members of one network for one survey. All members share grids and classes.

    survey, name, card : what they were trained for; see engine.registry
    members : networks in evaluation mode on `device`
    mae : (E,) validation mean absolute error of each extragalactic class (paper Table 4), the robust limit
    calibration, outliers : from the card and beside it; None in a model without, whose answers then are the members'
    """

    def __init__(
        self,
        survey: Survey,
        members: Sequence[Network],
        card: Mapping[str, Any],
        device: str = "auto",
        outliers: OutlierModel | None = None,
    ) -> None:
        self.survey, self.card = survey, dict(card)
        self.name = str(card["model"])
        self.device = choose_device(device)
        self.members = [member.to(self.device).eval().requires_grad_(False) for member in members]
        self.grid, self.zgrid = self.members[0].grid, self.members[0].zgrid
        self.mae = np.array([card["mae"][survey.names[i]] for i in survey.extragalactic])
        self.calibration, self.outliers = Calibration.from_card(card, survey), outliers

    @classmethod
    def untrained(cls, network: str, survey: Survey, n_members: int = 2, seed: int = 0) -> Ensemble:
        """Members with random weights: for tests and timings, never for science."""
        members = []
        for k in range(n_members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + k)
                members.append(build(network, survey))
        mae = {survey.names[i]: 0.01 for i in survey.extragalactic}
        return cls(survey, members, {"model": f"untrained-{network}", "mae": mae}, device="cpu")

    def gridded(self, spectra: Sequence[Spectrum]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, grid.n) flux and ivar of spectra on the network's grid."""
        pairs = [regrid(in_range(spectrum), self.grid) for spectrum in spectra]
        return np.stack([flux for flux, _ in pairs]), np.stack([ivar for _, ivar in pairs])

    def predict(
        self, spectra: Sequence[Spectrum], batch_size: int = 128, keep_members: bool = True, best_only: bool = False
    ) -> list[Prediction]:
        """One Prediction per spectrum, in order. keep_members=False drops the members' PDFs, which take most memory.

        best_only is for catalogues, and saves 3 ms of each: PDF and quantiles of all classes but the best are NaN, and
        there are neither the members' PDFs nor a fingerprint.
        """
        predictions: list[Prediction] = []
        for start in range(0, len(spectra), batch_size):
            batch = spectra[start : start + batch_size]
            flux, ivar = self.gridded(batch)
            answers = self.outputs(flux, ivar, best_only)
            verdict = self._verdict(answers, np.array([spectrum.snr for spectrum in batch]))
            for k, spectrum in enumerate(batch):
                predictions.append(self._prediction(spectrum, ivar[k], k, answers, verdict, keep_members))
        return predictions

    @torch.inference_mode()
    def outputs(self, flux: NDArray[np.float32], ivar: NDArray[np.float32], best_only: bool = False) -> Answers:
        """All that the members say of gridded arrays (B, n); best_only: p(z) of the ensemble's class alone."""
        flux_t, ivar_t = torch.from_numpy(flux).to(self.device), torch.from_numpy(ivar).to(self.device)
        outputs = [member(flux_t, ivar_t) for member in self.members]
        logits = torch.stack([out.class_logits for out in outputs])
        z = torch.stack([out.z for out in outputs])
        features = torch.stack([out.features for out in outputs])
        p = logits.softmax(-1)
        rows = self._best_rows(p.cpu().numpy()) if best_only else None
        if rows is None:
            pz = torch.stack([out.log_pz.exp() for out in outputs])
        else:
            row = torch.from_numpy(np.maximum(rows, 0)).to(self.device)
            each = torch.arange(len(row), device=self.device)
            pz = torch.stack([out.log_pz[each, row].exp() for out in outputs])[:, :, None]
        return Answers(*(t.cpu().numpy() for t in (p, pz, z, logits, features)))._replace(rows=rows)

    def _class_probabilities(self, p_members: NDArray[np.float32]) -> NDArray[np.float64]:
        """(M, B, C) -> (B, C): the members' mean, calibrated."""
        p = p_members.mean(axis=0, dtype=np.float64)
        return p if self.calibration is None else self.calibration.classes(p)

    def _best_rows(self, p_members: NDArray[np.float32]) -> NDArray[np.int64]:
        """(B,) the row of each spectrum's class among the extragalactic ones, -1 for a star."""
        row = {c: k for k, c in enumerate(self.survey.extragalactic)}
        return np.array([row.get(int(self.survey.choose(p)), -1) for p in self._class_probabilities(p_members)])

    def _verdict(self, answers: Answers, snr: NDArray[np.float64]) -> _Verdict:
        p, mass = self._class_probabilities(answers.p), answers.pz.mean(axis=0, dtype=np.float64)
        rows, quantiles, ood = answers.rows, None, np.full(len(snr), np.nan)
        if rows is not None:
            full = np.full((len(rows), len(self.mae), mass.shape[-1]), np.nan)
            full[np.arange(len(rows)), np.maximum(rows, 0)] = mass[:, 0]
            full[rows < 0] = np.nan
            mass = full
        if self.calibration is not None:
            z = answers.z.astype(np.float64)
            mass, quantiles = self.calibration.redshifts(mass, z, snr, self.survey, self.zgrid, rows)
        if self.outliers is not None:
            ood = self.outliers.score(Seen(answers.features, answers.logits, snr))
        if rows is not None:
            return _Verdict(p, mass, quantiles, ood, None)
        prints = fingerprints(answers.features, None if self.outliers is None else self.outliers.whiten)
        return _Verdict(p, mass, quantiles, ood, prints)

    def _prediction(
        self,
        spectrum: Spectrum,
        ivar: NDArray[np.float32],
        k: int,
        answers: Answers,
        verdict: _Verdict,
        keep_members: bool,
    ) -> Prediction:
        keep = keep_members and answers.rows is None
        pz_members = answers.pz[:, k] if keep else np.empty((0, len(self.mae), self.zgrid.n), np.float32)
        z_members = answers.z[:, k].astype(np.float64)
        z, zerr = z_members.mean(axis=0), z_members.std(axis=0)  # eqs 7 and 8
        draft = Prediction(
            object_id=spectrum.object_id,
            survey=self.survey,
            model=self.name,
            p=verdict.p[k],
            p_members=answers.p[:, k].astype(np.float64),
            z_classes=self.survey.extragalactic,
            z_grid=self.zgrid.z,
            pdf=verdict.mass[k] / self.zgrid.width,
            pdf_members=(pz_members / self.zgrid.width).astype(np.float32),
            z_members=z_members,
            z=z,
            zerr=zerr,
            mae=self.mae,
            snr=spectrum.snr,
            zwarn=ZWarn(0),
            robust=self._robust(int(self.survey.choose(verdict.p[k])), answers.p[:, k], zerr),
            quantiles=None if verdict.quantiles is None else verdict.quantiles[k],
            ood=float(verdict.ood[k]),
            ood_flag=bool(verdict.ood[k] > 0),
            fingerprint=None if verdict.fingerprints is None else verdict.fingerprints[k],
        )
        reliable = self.calibration is not None and draft.confidence >= self.calibration.confident
        return replace(draft, reliable=bool(reliable), zwarn=self._warnings(draft, spectrum, ivar))

    def _robust(self, best: int, p_members: NDArray[np.float32], zerr: NDArray[np.float64]) -> bool:
        """Paper section 4.2.3: sigma_z <= MAE. A star is robust when every member calls it a star."""
        classes = self.survey.classes
        if classes[best].z_range is None:
            return all(classes[int(k)].spectype == "STAR" for k in self.survey.choose(p_members))
        row = self.survey.extragalactic.index(best)
        return bool(metrics.is_robust(zerr[row], self.mae[row])[0])

    def _warnings(self, draft: Prediction, spectrum: Spectrum, ivar: NDArray[np.float32]) -> ZWarn:
        zwarn = ZWarn(0)
        low, high = self.survey.wave_range
        inside = (self.grid.wave >= low) & (self.grid.wave <= high)
        covered = float((ivar[inside] > 0).mean())
        if covered == 0:
            zwarn |= ZWarn.NODATA
        if covered < MIN_COVERAGE:
            zwarn |= ZWarn.LITTLE_COVERAGE
        if draft.snr < POOR_SNR or any(note.startswith("ivar estimated") for note in spectrum.notes):
            zwarn |= ZWarn.POORDATA
        if not draft.robust:
            zwarn |= ZWarn.MEMBERS_DISAGREE
        if draft.p[draft.best] < 0.5:
            zwarn |= ZWarn.CLASS_UNCERTAIN
        if draft.ood_flag:
            zwarn |= ZWarn.NONE_OF_THESE
        row = draft.row(draft.best)
        z_range = self.survey.classes[draft.best].z_range
        if row is not None and z_range is not None:
            z = draft.best_z
            if z < z_range[0] + 5e-4 or z > z_range[1] - 0.01 * (1 + z_range[1]):
                zwarn |= ZWarn.Z_FITLIMIT
            peaks = draft.peaks(row)
            if len(peaks) > 1 and peaks[1].weight > RIVAL_WEIGHT:
                zwarn |= ZWarn.SMALL_DELTA_CHI2
        return zwarn


def in_range(spectrum: Spectrum) -> Spectrum:
    """The spectrum in a flux unit that single precision can square: 1e-17 erg/s/cm2/A in cgs it cannot."""
    scale = float(np.abs(spectrum.flux[spectrum.good]).mean())
    if 1e-6 < scale < 1e6 or scale == 0:
        return spectrum
    return spectrum.with_(flux=spectrum.flux / scale, ivar=spectrum.ivar * scale**2)


def load_ensemble(name: str | Path = "sdss", device: str = "auto") -> Ensemble:
    """The current ensemble of a survey, or the model of that name or folder.

    Raises SurveyError or ModelError naming the file and what does not match.
    """
    folder = Path(name)
    if not (folder / "card.json").is_file():
        folder = current_folder(load_survey(str(name))) if str(name) in survey_names() else find_model(name)
    survey, card, members = load_members(folder)
    return Ensemble(survey, members, card, device, _load_outliers(folder, card, len(members)))


def _load_outliers(folder: Path, card: Mapping[str, Any], members: int) -> OutlierModel | None:
    """The outlier statistics that the card names; None where it names none."""
    facts = card.get("ood") or {}
    if "file" not in facts:
        return None
    file = folder / facts["file"]
    if not file.is_file():
        raise ModelError(f"{file}: outlier statistics named in card.json are missing; restore the file")
    if sha256_of(file) != facts.get("sha256"):
        raise ModelError(f"{file}: sha256 differs from card.json; the file is damaged or was replaced. Restore it")
    try:
        return OutlierModel.load(file, members)
    except OutlierError as error:
        raise ModelError(str(error)) from error
