"""matched: a learned matched filter, our default network.

A redshift is a shift in log wavelength, so "which template, at which shift" is a cross-correlation (Tonry & Davis
1979); here the templates are learned end to end. Spectrum -> features on a coarse log grid -> correlation by FFT
with K rest-frame filters over all lags in log(1 + z) -> one logit per redshift bin and class, whose softmax is the
redshift PDF of that class. The class head sees the spectrum's features and what the correlation found at the
redshifts that each class prefers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.grid import LogGrid, ZGrid
from engine.networks import Network, NetworkOutput
from engine.survey import Survey, SurveyError

N_CHANNELS = 5
CACHED = 32  # spectra that are correlated at once: their transforms fit into a processor's cache
MASKED_OUT = -30.0  # logit of a redshift outside the class's range: e^-30, finite so that gradients stay finite


@dataclass(frozen=True)
class MatchedConfig:
    """Sizes and training choices. Lengths in pixels of the input grid (1e-4 dex) unless said otherwise."""

    features: int = 32  # C: channels that enter the correlation
    filters: int = 16  # K: learned rest-frame filters; 24 and 32 were no better (docs/log.md)
    hidden: int = 32  # channels of the head over lags
    stem_kernel: int = 15
    stride: int = 4
    continuum_px: int = 129  # running mean taken as the continuum
    rest_wave_min: float = 850.0  # Angstrom; bluer light of distant objects carries no redshift
    soft_target_bins: float = 0.6  # sigma of the target around the true redshift, in redshift bins
    sibling_weight: float = 0.3  # weight of the redshift loss for the other classes of the same spectral type
    dropout: float = 0.2


def channels(flux: Tensor, ivar: Tensor, continuum_px: int) -> Tensor:
    """(B, n) flux, ivar -> (B, 5, n) what the stem sees: each a bounded view of the spectrum, 0 at bad pixels."""
    mask = (ivar > 0).to(flux.dtype)
    flux = flux * mask
    root_ivar = ivar.clamp_min(0).sqrt()
    n_good = mask.sum(1, keepdim=True).clamp_min(1)
    scale = (flux.detach().abs().sum(1, keepdim=True) / n_good).clamp_min(1e-12)

    half = continuum_px // 2

    def running_mean(a: Tensor) -> Tensor:
        # Cumulative sums cost two passes; a pooling layer of this width costs continuum_px passes.
        total = functional.pad(a.cumsum(1), (1, 0))
        return (functional.pad(total, (0, half), mode="replicate")[:, half + 1 :] - total_below(total)) / continuum_px

    def total_below(total: Tensor) -> Tensor:
        return functional.pad(total, (half, 0), mode="replicate")[:, : flux.shape[1]]

    continuum = running_mean(flux) / running_mean(mask).clamp_min(1e-3)
    lines = (flux - continuum) * mask
    rms = (lines.detach().square().sum(1, keepdim=True) / n_good).sqrt().clamp_min(1e-12)
    return torch.stack(
        [
            (flux / scale).clamp(-2, 8) / 2,
            torch.asinh(flux * root_ivar) / 3,
            torch.asinh(lines * root_ivar),
            torch.tanh(lines / (2 * rms)) * 2,
            mask,
        ],
        dim=1,
    )


class Residual(nn.Module):
    """x + conv(act(conv(x)))."""

    def __init__(self, n: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(n, n, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(n, n, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, length) -> the same shape."""
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class _Correlate(torch.autograd.Function):
    """irfft(rfft(features) @ weight), frequency by frequency, with real matrices and a backward of the same cost.

    torch's own gradients of rfft, irfft, .real and .imag take complex transforms and copy every array several times.
    Here the scalings of forward and backward transforms cancel for the features: their gradient is a correlation too.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, n_fft: int, n_lags: int) -> Tensor:
        ctx.n_fft, ctx.n_pixels = n_fft, features.shape[-1]
        spectra = [_by_frequency(part, n_fft) for part in features.split(CACHED)]
        ctx.save_for_backward(weight, *spectra)
        return torch.cat([_from_frequency(torch.bmm(s, weight), n_fft)[..., :n_lags] for s in spectra])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        weight, *spectra = ctx.saved_tensors
        back, by_weight = weight.transpose(1, 2), torch.zeros_like(weight)
        features = []
        for spectrum, grad in zip(spectra, grads[0].split(CACHED), strict=True):
            upstream = _by_frequency(grad, ctx.n_fft)
            features.append(_from_frequency(torch.bmm(upstream, back), ctx.n_fft)[..., : ctx.n_pixels])
            if ctx.needs_input_grad[1]:
                by_weight.baddbmm_(spectrum.transpose(1, 2), upstream)
        by_weight *= 2 / ctx.n_fft
        by_weight[0] /= 2  # frequency 0 and the highest occur once in a real transform, the others twice
        by_weight[-1] /= 2
        return torch.cat(features), by_weight if ctx.needs_input_grad[1] else None, None, None


def _by_frequency(x: Tensor, n_fft: int) -> Tensor:
    """(B, C, n) -> (frequencies, B, 2C): the real transform, each real part followed by its imaginary part.

    Transposed as one complex matrix: torch copies permuted arrays of many axes several times slower.
    """
    f = torch.fft.rfft(x, n=n_fft).flatten(0, 1)
    return torch.view_as_real(f.t().contiguous()).reshape(f.shape[1], x.shape[0], 2 * x.shape[1])


def _from_frequency(f: Tensor, n_fft: int) -> Tensor:
    """(frequencies, B, 2C) -> (B, C, n_fft): the inverse of _by_frequency."""
    pairs = torch.view_as_complex(f.reshape(f.shape[0], -1, 2)).t().contiguous()
    return torch.fft.irfft(pairs, n=n_fft).reshape(f.shape[1], -1, n_fft)


class Correlation(nn.Module):
    """Cross-correlation of C feature channels with K rest-frame filters, at every lag, by FFT.

    out[k, lag] = sum over c, x of features[c, x] * filters[k, c, x - lag]; x - lag is the rest-frame pixel.
    """

    def __init__(self, n_in: int, n_filters: int, n_pixels: int, n_lags: int, n_below: int) -> None:
        super().__init__()
        self.n_lags, self.n_below = n_lags, n_below
        length = n_pixels + n_below
        # An even length of small prime factors, long enough that no lag wraps round onto another.
        self.n_fft = next(n for n in range(n_pixels + n_lags, 8192) if n % 2 == 0 and _smooth(n))
        self.filters = nn.Parameter(torch.randn(n_filters, n_in, length) / math.sqrt(n_in * n_pixels))
        self._frozen: tuple[tuple[torch.device, int], Tensor] | None = None

    def filter_transform(self) -> Tensor:
        """(frequencies, 2C, 2K): the conjugate transform of the filters as one real matrix per frequency.

        Kept between calls while the filters are frozen: for a single spectrum it is most of the work.
        """
        if self.filters.requires_grad:
            return self._transform()
        key = (self.filters.device, self.filters._version)
        if self._frozen is None or self._frozen[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                self._frozen = (key, self._transform())
        return self._frozen[1]

    def _transform(self) -> Tensor:
        below, above = self.filters[..., : self.n_below], self.filters[..., self.n_below :]
        gap = self.filters.new_zeros(*self.filters.shape[:2], self.n_fft - self.filters.shape[-1])
        w = torch.fft.rfft(torch.cat([above, gap, below], -1)).permute(2, 1, 0)  # (F, C, K)
        real, imag = w.real, -w.imag
        rows = torch.stack([torch.stack([real, imag], -1), torch.stack([-imag, real], -1)], 2)  # (F, C, 2, K, 2)
        return rows.flatten(3).flatten(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, n_pixels) -> (B, K, n_lags)."""
        out: Tensor = _Correlate.apply(features, self.filter_transform(), self.n_fft, self.n_lags)
        return out


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


class Matched(Network):
    """One member of the learned matched filter. See the module's docstring; sizes in MatchedConfig."""

    name = "matched"
    closed: Tensor  # (E, Z) added to the logits: MASKED_OUT outside each class's range
    z_weight: Tensor  # (C, E) weight of each class's redshift loss for an object of class C

    def __init__(self, survey: Survey, config: Mapping[str, Any]) -> None:
        super().__init__()
        unknown = set(config) - {f.name for f in fields(MatchedConfig)}
        if unknown:
            raise SurveyError(f"network matched has no setting {sorted(unknown)[0]!r}")
        c = MatchedConfig(**config)
        self.config, self.settings = asdict(c), c
        self.grid = LogGrid.covering(survey.wave_range)
        step = c.stride * self.grid.step
        ranges = [survey.classes[i].z_range for i in survey.extragalactic]
        self.zgrid = ZGrid.covering(max(r[1] for r in ranges if r), step)
        n_pixels, n_lags, n_z = self.grid.n // c.stride, self.zgrid.n, len(ranges)
        n_below = round((self.grid.loglam_min - math.log10(c.rest_wave_min)) / step)

        self.stem = nn.Conv1d(
            N_CHANNELS, c.features, c.stem_kernel, c.stride, padding=(c.stem_kernel - c.stride) // 2 + 1
        )
        self.block = Residual(c.features, 5)
        self.correlation = Correlation(c.features, c.filters, n_pixels, n_lags, min(n_below, n_lags - 1))
        self.lag_norm = nn.BatchNorm1d(c.filters)
        self.lag_conv = nn.Conv1d(c.filters, c.hidden, 5, padding=2)
        self.lag_block = Residual(c.hidden, 3)
        self.z_head = nn.Conv1d(c.hidden, n_z, 1)
        self.z_prior = nn.Parameter(torch.zeros(1, n_z, 64))
        self.down = nn.ModuleList(nn.Conv1d(c.features if i == 0 else 48, 48, 9, 4, padding=4) for i in range(3))
        self.dense = nn.Linear(48 * math.ceil(n_pixels / 64), 96)
        self.class_hidden = nn.Linear(96 + n_z * (c.hidden + 2), 128)
        self.class_head = nn.Linear(128, len(survey.classes))
        self.dropout = nn.Dropout(c.dropout)

        z = torch.tensor(self.zgrid.z)
        allowed = torch.stack([(z >= r[0] - 1e-3) & (z <= r[1] * 1.02 + 1e-3) for r in ranges if r])
        bin_width = step * math.log(10)
        good = [survey.classes[i].good or 0.0 for i in survey.extragalactic]
        self.half_windows = [max(2, round(g / bin_width / 2)) for g in good]
        self.register_buffer("closed", (~allowed).float() * MASKED_OUT, persistent=False)
        row = {i: k for k, i in enumerate(survey.extragalactic)}
        types = [klass.spectype for klass in survey.classes]
        weight = torch.zeros(len(types), n_z)
        for i in row:
            for j, k in row.items():
                weight[i, k] = 1.0 if i == j else c.sibling_weight * (types[i] == types[j])
        self.register_buffer("z_weight", weight, persistent=False)

    def forward(self, flux: Tensor, ivar: Tensor) -> NetworkOutput:
        """(B, 4096) flux and ivar on the log grid -> NetworkOutput. Flux may have any unit."""
        class_logits, log_pz, hidden = self.answer(flux, ivar)
        return NetworkOutput(class_logits, log_pz, self.point_z(log_pz), hidden)

    def answer(self, flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """class_logits (B, C), log_pz (B, E, Z) and the class head's input, without the point estimate that training
        does not need."""
        x = self.stem(channels(flux, ivar, self.settings.continuum_px))
        mask = functional.max_pool1d((ivar > 0).to(x.dtype)[:, None], self.settings.stride)
        x = self.block(x) * mask
        lags = functional.relu(self.lag_conv(self.lag_norm(self.correlation(x))))
        lags = functional.relu(self.lag_block(lags))
        prior = functional.interpolate(self.z_prior, self.zgrid.n, mode="linear", align_corners=True)
        z_logits = self.z_head(lags) + prior + self.closed
        log_pz = z_logits.log_softmax(-1)

        pooled = x
        for layer in self.down:
            pooled = functional.relu(layer(pooled))
        spectrum = functional.relu(self.dense(pooled.flatten(1)))
        at_redshift = torch.bmm(log_pz.exp(), lags.transpose(1, 2)).flatten(1)  # (B, E * hidden)
        evidence = torch.cat([z_logits.logsumexp(-1), z_logits.amax(-1)], 1) / 4
        hidden = functional.relu(self.class_hidden(self.dropout(torch.cat([spectrum, at_redshift, evidence], 1))))
        return self.class_head(hidden), log_pz, hidden

    def point_z(self, log_pz: Tensor) -> Tensor:
        """(B, E, Z) -> (B, E): the redshift whose neighbourhood, as wide as the good-fraction window, holds most
        probability, then the mean within it. Differentiable."""
        p = log_pz.exp()
        points = []
        for k, half in enumerate(self.half_windows):
            pk = p[:, k]
            mass = functional.avg_pool1d(functional.pad(pk[:, None], (half, half)), 2 * half + 1, 1)[:, 0]
            index = mass.argmax(-1, keepdim=True) + torch.arange(-half, half + 1, device=p.device)
            index = index.clamp(0, self.zgrid.n - 1)
            near = pk.gather(1, index)
            points.append((near * index).sum(1) / near.sum(1).clamp_min(1e-20))
        return torch.expm1(torch.stack(points, 1) * (self.zgrid.step * math.log(10)))

    def loss(self, flux: Tensor, ivar: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the class plus that of the redshift bin (soft target), the latter for the true class and,
        with less weight, its siblings, so that a quasar called by the other quasar class still has its redshift."""
        class_logits, log_pz, _ = self.answer(flux, ivar)
        class_loss = functional.cross_entropy(class_logits, label, label_smoothing=0.02)
        position = torch.log10(1 + z.clamp_min(0)) / self.zgrid.step
        bins = torch.arange(self.zgrid.n, device=z.device, dtype=flux.dtype)
        target = torch.softmax(-0.5 * ((bins - position[:, None]) / self.settings.soft_target_bins).square(), -1)
        open_here = self.closed.gather(
            1, position.round().long().clamp(max=self.zgrid.n - 1).expand(len(self.closed), -1)
        )
        weight = self.z_weight[label] * (open_here.T == 0)
        cross_entropy = -torch.bmm(log_pz, target[:, :, None])[..., 0]
        z_loss = (weight * cross_entropy).sum() / weight.sum().clamp_min(1)
        return class_loss + 0.5 * z_loss, {"class": class_loss.detach(), "z": z_loss.detach()}
