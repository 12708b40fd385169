"""The learned matched filter: its correlation is a correlation, and its answers are distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import engine
from engine.networks import build
from engine.networks.matched import Correlation, Matched, channels

SMALL = {"features": 4, "filters": 4, "hidden": 8}


@pytest.fixture(scope="module")
def network() -> Matched:
    torch.manual_seed(0)
    member = build("matched", engine.load_survey("sdss"), SMALL)
    assert isinstance(member, Matched)
    return member.eval()


@pytest.fixture(scope="module")
def spectra() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    flux = torch.rand(3, 4096, generator=generator) + 1
    ivar = (torch.rand(3, 4096, generator=generator) > 0.1).float() * 25
    return flux, ivar


def test_the_fft_correlation_equals_the_sum_it_stands_for() -> None:
    torch.manual_seed(0)
    layer = Correlation(n_in=3, n_filters=2, n_pixels=20, n_lags=15, n_below=10)
    features = torch.randn(1, 3, 20)
    with torch.no_grad():
        out = layer(features)
    filters = layer.filters.detach()
    for lag in (0, 4, 14):
        expected = sum(
            float(features[0, c, x] * filters[1, c, x - lag + 10])
            for c in range(3)
            for x in range(20)
            if 0 <= x - lag + 10 < filters.shape[-1]
        )
        assert float(out[0, 1, lag]) == pytest.approx(expected, abs=1e-5)


def test_the_correlation_has_the_right_gradient_for_features_and_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.networks.matched.CACHED", 2)  # three spectra in two parts
    torch.manual_seed(0)
    layer = Correlation(n_in=2, n_filters=2, n_pixels=9, n_lags=6, n_below=4).double()
    features = torch.randn(3, 2, 9, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"filters": filters}, (x,))

    assert torch.autograd.gradcheck(run, (features, layer.filters))


def test_bad_pixels_do_not_reach_the_network(spectra: tuple[torch.Tensor, torch.Tensor]) -> None:
    flux, ivar = spectra
    spoiled = torch.where(ivar > 0, flux, torch.full_like(flux, 1e9))
    assert torch.equal(channels(flux, ivar, 129), channels(spoiled, ivar, 129))


def test_the_continuum_is_the_running_mean_of_good_pixels(spectra: tuple[torch.Tensor, torch.Tensor]) -> None:
    flux, ivar = spectra
    mask = (ivar > 0).float()
    window = slice(2000 - 64, 2000 + 65)
    mean = (flux * mask)[0, window].sum() / mask[0, window].sum()
    lines = torch.asinh((flux[0, 2000] - mean) * mask[0, 2000] * ivar[0, 2000].sqrt())
    assert float(channels(flux, ivar, 129)[0, 2, 2000]) == pytest.approx(float(lines), abs=1e-4)


def test_answers_do_not_depend_on_the_unit_of_flux(
    network: Matched, spectra: tuple[torch.Tensor, torch.Tensor]
) -> None:
    flux, ivar = spectra
    with torch.no_grad():
        one, other = network(flux, ivar), network(flux * 1e-6, ivar * 1e12)
    assert torch.allclose(one.class_logits, other.class_logits, atol=1e-3)
    assert torch.allclose(one.z, other.z, atol=1e-3)


def test_every_redshift_distribution_sums_to_one_and_stays_in_its_class_range(
    network: Matched, spectra: tuple[torch.Tensor, torch.Tensor]
) -> None:
    survey = engine.load_survey("sdss")
    with torch.no_grad():
        out = network(*spectra)
    assert out.class_logits.shape == (3, 13)
    assert torch.allclose(out.log_pz.exp().sum(-1), torch.ones(3, 6), atol=1e-4)
    for k, i in enumerate(survey.extragalactic):
        z_range = survey.classes[i].z_range
        assert z_range is not None
        outside = torch.tensor(network.zgrid.z > z_range[1] * 1.03 + 0.01)
        assert float(out.log_pz[:, k].exp()[:, outside].sum()) < 1e-6
        assert (out.z[:, k] <= z_range[1] * 1.03 + 0.01).all()


def test_the_point_estimate_is_finer_than_a_bin(network: Matched) -> None:
    position = 500.3
    bins = np.arange(network.zgrid.n)
    density = np.exp(-0.5 * ((bins - position) / 0.6) ** 2)
    log_pz = torch.log(torch.tensor(density / density.sum() + 1e-30)).expand(1, 6, -1).float()
    z = 10 ** (position * network.zgrid.step) - 1
    assert network.point_z(log_pz).numpy() == pytest.approx(np.full((1, 6), z), abs=2e-5 * (1 + z))


def test_the_loss_falls_when_a_batch_is_learned(spectra: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    member = build("matched", engine.load_survey("sdss"), SMALL)
    optimiser = torch.optim.Adam(member.parameters(), 3e-3)
    label, z = torch.tensor([0, 8, 12]), torch.tensor([0.0, 0.2, 1.5])
    first = float(member.loss(*spectra, label, z)[0].detach())
    for _ in range(12):
        loss, _ = member.loss(*spectra, label, z)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < first - 1


def test_frozen_filters_that_change_are_transformed_anew(spectra: tuple[torch.Tensor, torch.Tensor]) -> None:
    member = build("matched", engine.load_survey("sdss"), SMALL).eval().requires_grad_(False)
    assert isinstance(member, Matched)
    first = member(*spectra).class_logits
    assert torch.equal(member(*spectra).class_logits, first)
    member.correlation.filters.mul_(2)
    assert not torch.equal(member(*spectra).class_logits, first)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(engine.SurveyError, match="depth"):
        build("matched", engine.load_survey("sdss"), {"depth": 3})


def test_an_unknown_network_lists_those_that_exist() -> None:
    with pytest.raises(engine.SurveyError, match="matched"):
        build("transformer", engine.load_survey("sdss"))
