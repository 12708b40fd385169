"""python -m benchmarks uncertainty [MODEL]: ways to be unsure, in one table, on the same mock spectra.

One member; the same member with MC dropout (Gal & Ghahramani 2016) and with a Bayesian last layer (Laplace's
approximation of the class head and of the redshift head, Daxberger et al. 2021); the ensemble, as its members say and
calibrated. Half of the mocks fit the Laplace approximation (and nothing else), the other half is measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from benchmarks import record
from engine import metrics
from engine.calibration.scores import auroc, coverage, ece, ks, pit
from engine.dataset import on_grid
from engine.ensemble import Ensemble, load_ensemble
from engine.mock import MockBatch, Simulator
from engine.networks.matched import Matched
from engine.prediction import LEVELS
from engine.validation import BATCH, measured_snr

DRAWS = 20  # of dropout masks and of weights
SEED = 424_243
PRIORS = (1.0, 10.0, 100.0, 1000.0)  # precisions tried for the weights; the best on the fitted half is taken
HEAD = (
    "method", "passes", "accuracy", "NLL class", "ECE", "NLL z", "KS", "covers 68", "covers 95", "AUROC of bad z", "ms",
)  # fmt: skip
Answer = tuple[Tensor, Tensor]  # class probabilities (B, C), probability of each redshift bin (B, E, Z)


@dataclass(frozen=True, eq=False)
class Seen:
    """What one member's last layers read of B spectra: before (B, n) the class head's hidden layer, features (B, F),
    lags (B, hidden, Z); and its own answer."""

    before: Tensor
    features: Tensor
    lags: Tensor
    answer: Answer


@torch.inference_mode()
def look(network: Matched, flux: Tensor, ivar: Tensor) -> Seen:
    """One pass through a member, with what its last layers read."""
    caught: dict[str, Tensor] = {}

    def catch(name: str) -> Any:
        return lambda module, inputs: caught.__setitem__(name, inputs[0])

    hooks = [
        network.dropout.register_forward_pre_hook(catch("before")),
        network.z_head.register_forward_pre_hook(catch("lags")),
    ]
    out = network(flux, ivar)
    for hook in hooks:
        hook.remove()
    return Seen(caught["before"], out.features, caught["lags"], (out.class_logits.softmax(-1), out.log_pz.exp()))


def z_offset(network: Matched) -> Tensor:
    """(1, E, Z) what is added to the redshift head: its prior and the closed ranges."""
    prior = torch.nn.functional.interpolate(network.z_prior, network.zgrid.n, mode="linear", align_corners=True)
    return prior + network.closed


@torch.inference_mode()
def dropped(network: Matched, seen: Seen) -> Answer:
    """MC dropout: the class head's own dropout, and the same on the channels that the redshift head reads, in which the
    network was not trained with dropout."""
    rate, p, pz = network.settings.dropout, 0.0, 0.0
    for _ in range(DRAWS):
        hidden = network.class_hidden(torch.nn.functional.dropout(seen.before, rate)).relu()
        p = p + network.class_head(hidden).softmax(-1) / DRAWS
        lags = torch.nn.functional.dropout1d(seen.lags, rate)
        pz = pz + (network.z_head(lags) + z_offset(network)).softmax(-1) / DRAWS
    return torch.as_tensor(p), torch.as_tensor(pz)


class Laplace:
    """Gaussian posteriors of a member's last layers, from the curvature (GGN) of their losses on mock spectra."""

    def __init__(self, network: Matched, trained_on: int) -> None:
        self.network, self.trained_on, self.n = network, trained_on, 0
        c, f = network.class_head.weight.shape
        e, h = network.z_head.weight.shape[:2]
        self.h_class = torch.zeros(c, f + 1, c, f + 1)
        self.h_z, self.n_z = torch.zeros(e, h + 1, h + 1), torch.zeros(e)
        self.prior = PRIORS[0]

    @torch.inference_mode()
    def learn(self, seen: Seen, label: NDArray[np.int64], rows: Sequence[int]) -> None:
        """Add a batch. rows : the extragalactic classes' indices."""
        p, pz = seen.answer
        features = torch.cat([seen.features, torch.ones(len(p), 1)], 1)
        curve = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        for i in range(p.shape[1]):
            weighted = torch.einsum("nd,nf->ndf", curve[:, i], features).flatten(1)
            self.h_class[i] += (features.T @ weighted).reshape(features.shape[1], p.shape[1], -1)
        for k, row in enumerate(rows):
            own = np.flatnonzero(label == row)
            if own.size:
                lags = torch.nn.functional.pad(seen.lags[own], (0, 0, 0, 1), value=1.0)  # (b, h + 1, Z)
                mean = (lags * pz[own, k, None]).sum(-1)
                square = torch.bmm(lags * pz[own, k, None], lags.transpose(1, 2))
                self.h_z[k] += (square - mean[:, :, None] * mean[:, None, :]).sum(0)
                self.n_z[k] += own.size
        self.n += len(p)

    @torch.inference_mode()
    def answer(self, seen: Seen, generator: torch.Generator) -> Answer:
        """Mean over weights drawn from the posteriors."""
        network, c = self.network, self.h_class.shape[0]
        weight = torch.cat([network.class_head.weight, network.class_head.bias[:, None]], 1)
        h = self.h_class.reshape(weight.numel(), -1) * (self.trained_on / self.n)
        draws = weight + self._draws(h, generator).reshape(DRAWS, *weight.shape)
        features = torch.cat([seen.features, torch.ones(len(seen.features), 1)], 1)
        p = torch.einsum("nf,dcf->dnc", features, draws).softmax(-1).mean(0)
        lags = torch.nn.functional.pad(seen.lags, (0, 0, 0, 1), value=1.0)
        pz, z_bias = torch.zeros_like(seen.answer[1]), network.z_head.bias
        assert z_bias is not None
        for k in range(pz.shape[1]):
            own = torch.cat([network.z_head.weight[k, :, 0], z_bias[k, None]])
            curvature = self.h_z[k] / self.n_z[k].clamp_min(1) * self.trained_on / c
            weights = own + self._draws(curvature, generator)
            logits = torch.einsum("dh,nhz->dnz", weights, lags) + z_offset(network)[:, k]
            pz[:, k] = logits.softmax(-1).mean(0)
        return p, pz

    def _draws(self, curvature: Tensor, generator: torch.Generator) -> Tensor:
        """(DRAWS, n) deviations from the mean."""
        precision = curvature.double() + self.prior * torch.eye(len(curvature), dtype=torch.float64)
        root = torch.linalg.cholesky(precision)
        noise = torch.randn(len(curvature), DRAWS, generator=generator, dtype=torch.float64)
        return torch.linalg.solve_triangular(root.T, noise, upper=True).T.float()


@dataclass(frozen=True, eq=False)
class Measured:
    """What a method said of N spectra, for the table: p (N, C); of galaxies and quasars the PIT, the probability of the
    true redshift's bin, the mass within the good window of the point, and whether the point is good."""

    p: NDArray[np.float64]
    pit: NDArray[np.float64]
    likelihood: NDArray[np.float64]
    mass: NDArray[np.float64]
    good: NDArray[np.bool_]


def judged(
    ensemble: Ensemble, batch: MockBatch, p: Any, pz: Any, quantiles: NDArray[np.float64] | None = None
) -> Measured:
    """One batch of one method's answers. The redshift is that of the true class; its point the centre of the highest
    good-fraction window. quantiles : (B, E, levels) where p(z) is finer than its bins."""
    survey, step = ensemble.survey, ensemble.zgrid.step * np.log(10)
    edges = np.expm1((np.arange(ensemble.zgrid.n + 1) - 0.5) * step)
    found: list[tuple[float, float, float, bool]] = []
    for k in np.flatnonzero(np.isin(batch.label, survey.extragalactic)):
        row, z = survey.extragalactic.index(int(batch.label[k])), float(batch.z[k])
        good = survey.classes[int(batch.label[k])].good or 0.0
        mass = np.asarray(pz[k, row], dtype=np.float64)
        levels, redshifts = np.r_[0.0, np.cumsum(mass) / mass.sum()], edges
        likelihood = mass[min(int(np.rint(np.log1p(z) / step)), mass.size - 1)] / mass.sum()
        half = max(2, round(good / step / 2))
        point = float(np.expm1(np.convolve(mass, np.ones(2 * half + 1), "same").argmax() * step))
        if quantiles is not None:
            levels, redshifts = LEVELS, quantiles[k, row]
            near = np.interp(np.expm1(np.log1p(point) + np.array([-good, good])), redshifts, levels)
            point = float(np.interp(near.mean(), levels, redshifts))
        window = np.expm1(np.log1p(point) + np.array([-good, good]))
        inside = float(np.diff(np.interp(window, redshifts, levels))[0])
        u = pit(np.interp(LEVELS, levels, redshifts)[None], np.array([z]))[0]
        found.append((u, likelihood, inside, bool(metrics.bias(z, point)[0] < good)))
    columns = np.array(found, dtype=np.float64).reshape(-1, 4).T
    return Measured(np.asarray(p, dtype=np.float64), columns[0], columns[1], columns[2], columns[3] > 0)


def line(name: str, passes: str, parts: list[Measured], label: NDArray[np.int64], ms: float) -> dict[str, Any]:
    """One line of the table."""
    p, u, likelihood, mass = (
        np.concatenate([getattr(m, n) for m in parts]) for n in ("p", "pit", "likelihood", "mass")
    )
    good, right = np.concatenate([m.good for m in parts]), p.argmax(axis=1) == label
    numbers = (
        right.mean(), -np.log(np.maximum(p[np.arange(len(p)), label], 1e-9)).mean(), ece(p.max(axis=1), right),
        -np.log(np.maximum(likelihood, 1e-9)).mean(), ks(u), coverage(u, 0.68), coverage(u, 0.95),
        auroc(-mass[good], -mass[~good]), ms,
    )  # fmt: skip
    return dict(
        zip(HEAD, (name, passes, *(round(float(v), 4) if np.isfinite(v) else None for v in numbers)), strict=True)
    )


def compared(ensemble: Ensemble, simulator: Simulator, n: int, seed: int) -> list[dict[str, Any]]:
    """The table's lines, on n / 2 mock spectra. Raises ValueError for a network without the layers that are needed."""
    network = ensemble.members[0]
    if not isinstance(network, Matched):
        raise ValueError(
            f"model {ensemble.name} is of network {network.name}; only `matched` has what is compared here"
        )
    trained_on = ensemble.card.get("training", {}).get("spectra") or 60_000
    laplace = Laplace(network, int(trained_on))
    fitted, held = (
        list(_batches(simulator, n // 2, [seed, SEED, 0])),
        list(_batches(simulator, n // 2, [seed, SEED, 1])),
    )
    kept: list[tuple[Seen, NDArray[np.int64]]] = []
    for batch in fitted:
        sample = on_grid(batch, network.grid, torch.device("cpu"))
        seen = look(network, sample.flux, sample.ivar)
        laplace.learn(seen, batch.label, ensemble.survey.extragalactic)
        kept = [*kept, (seen, batch.label)][:4]
    laplace.prior = min(PRIORS, key=lambda prior: _loss(laplace, prior, kept))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    parts: dict[str, list[Measured]] = {name: [] for name in ("one", "dropout", "laplace", "raw", "calibrated")}
    spent = dict.fromkeys(parts, 0.0)
    for batch in held:
        sample = on_grid(batch, network.grid, torch.device("cpu"))
        clock = time.perf_counter()
        seen = look(network, sample.flux, sample.ivar)
        one = time.perf_counter() - clock
        for name, ask in (("one", lambda s: s.answer), ("dropout", lambda s: dropped(network, s)),
                          ("laplace", lambda s: laplace.answer(s, generator))):  # fmt: skip
            clock = time.perf_counter()
            answer = ask(seen)
            spent[name] += one + time.perf_counter() - clock
            parts[name].append(judged(ensemble, batch, *answer))
        clock = time.perf_counter()
        answers = ensemble.outputs(sample.flux.numpy(), sample.ivar.numpy())
        spent["raw"] += time.perf_counter() - clock
        p, pz = answers.p.mean(axis=0, dtype=np.float64), answers.pz.mean(axis=0, dtype=np.float64)
        parts["raw"].append(judged(ensemble, batch, p, pz))
        if ensemble.calibration is not None:
            calibration, z = ensemble.calibration, answers.z.astype(np.float64)
            mass, quantiles = calibration.redshifts(pz, z, measured_snr(batch), ensemble.survey, ensemble.zgrid)
            parts["calibrated"].append(judged(ensemble, batch, calibration.classes(p), mass, quantiles))
            spent["calibrated"] += time.perf_counter() - clock
    label = np.concatenate([b.label for b in held])
    m = len(ensemble.members)
    names = {"one": ("one member", "1"), "dropout": ("MC dropout", f"1 + {DRAWS} heads"),
             "laplace": ("Bayesian last layer", f"1 + {DRAWS} heads"), "raw": (f"ensemble of {m}", str(m)),
             "calibrated": (f"ensemble of {m}, calibrated", str(m))}  # fmt: skip
    return [line(*names[k], found, label, 1000 * spent[k] / len(label)) for k, found in parts.items() if found]


def _loss(laplace: Laplace, prior: float, kept: list[tuple[Seen, NDArray[np.int64]]]) -> float:
    """NLL of the classes on some fitted spectra with a prior precision."""
    laplace.prior = prior
    generator, total = torch.Generator().manual_seed(0), 0.0
    for seen, label in kept:
        p, _ = laplace.answer(seen, generator)
        total -= float(p[torch.arange(len(p)), torch.from_numpy(label)].clamp_min(1e-9).log().mean())
    return total


def _batches(simulator: Simulator, n: int, seed: list[int]) -> Iterator[MockBatch]:
    for start in range(0, n, BATCH):
        yield simulator.batch(min(BATCH, n - start), [*seed, start])


def main(arguments: Sequence[str]) -> None:
    """Measure, print, keep in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks uncertainty", description=__doc__)
    parser.add_argument("model", nargs="?", default="sdss", help="model name or folder, or a survey")
    parser.add_argument("--n", type=int, default=2000, help="mock spectra, half of them measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--templates", help="template folder, else $GASNET_TEMPLATES")
    chosen = parser.parse_args(arguments)
    ensemble = load_ensemble(chosen.model, "cpu")
    simulator = Simulator(ensemble.survey, chosen.templates, "validation", flat_share=0.0)
    lines = compared(ensemble, simulator, chosen.n, chosen.seed)
    table = Table(*HEAD, title=f"{ensemble.name}: {chosen.n // 2} mock spectra, validation templates")
    for row in lines:
        table.add_row(*map(str, row.values()))
    record.console().print(table)
    facts = {"model": ensemble.name, "n": chosen.n, "seed": chosen.seed, "lines": lines} | record.machine()
    record.write(record.RESULTS / f"uncertainty-{ensemble.name}.json", facts)
