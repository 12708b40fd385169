"""The paper's network, held to its numbers: parameter counts, shapes, eqs 2, 5, 6, the rate, the initial weights."""

import math

import pytest
import torch
from torch import nn

from engine.networks import build
from engine.networks.gasnet2 import (
    RECIPE,
    GaSNet2,
    ResNet,
    cross_entropy,
    huber,
    learning_rate,
    normalise,
    redshift_kernel,
)
from engine.survey import SurveyError, load_survey


@pytest.fixture(scope="module")
def survey():
    return load_survey("sdss")


@pytest.fixture(scope="module")
def network(survey):
    torch.manual_seed(0)
    return GaSNet2(survey, {}).eval()


@pytest.mark.parametrize(("n_out", "trainable", "with_statistics"), [(13, 4159293, 4163325), (1, 4156209, 4160241)])
def test_the_parameters_are_the_papers(n_out, trainable, with_statistics):
    resnet = ResNet(n_out)
    counted = sum(p.numel() for p in resnet.parameters())
    statistics = sum(b.numel() for name, b in resnet.named_buffers() if not name.endswith("num_batches_tracked"))
    assert (counted, counted + statistics) == (trainable, with_statistics)


def test_the_layers_have_the_papers_shapes():
    resnet, shapes = ResNet(13).eval(), []
    for block in resnet.blocks:
        block.register_forward_hook(lambda _block, _args, out: shapes.append(tuple(out.shape[1:])))
    resnet.dense.register_forward_hook(lambda _layer, args, out: shapes.extend([args[0].shape[1], out.shape[1]]))
    assert resnet(torch.zeros(2, 5001)).shape == (2, 13)
    assert shapes == [(16, 1666), (32, 554), (64, 184), (128, 60), (256, 19), (512, 5), 2560, 256]


def test_a_network_costs_79_million_multiply_adds():
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        ResNet(13).eval()(torch.zeros(1, 5001))
    assert counter.get_total_flops() / 2 == pytest.approx(79.5e6, rel=1e-3)


def test_a_block_pools_the_second_convolution_and_adds_the_shortcut():
    block = ResNet(1).blocks[0].eval()
    with torch.no_grad():
        for conv in (block.conv1, block.conv2, block.shortcut):
            conv.weight.zero_()
        block.conv1.weight[0, 0, 2] = 1.0  # the identity, so 'same' padding is what keeps pixel 0 at pixel 0
        block.conv2.weight[0, 0, 0] = 1.0  # 'valid': output j reads pixels 3j .. 3j + 4
        block.shortcut.weight[0, 0, 4] = 10.0
        flux = torch.zeros(1, 1, 20)
        flux[0, 0, 0], flux[0, 0, 7] = -1.0, 1.0
        flux[0, 0, 9] = 3.0
        out = block(flux)[0, 0]
    # conv2 reads pixels 0, 3, 6, 9, 12, 15: only pixel 9 is positive, at output 3; the pool spreads it over 1..5;
    # the shortcut reads pixels 4, 7, 10, ...: pixel 7 at output 1. Batch norm divides by sqrt(1 + 1e-3), twice.
    pooled = 3.0 / 1.001
    assert out.tolist() == pytest.approx([0.0, pooled + 10.0, pooled, pooled, pooled, pooled], abs=1e-5)


def test_batch_norm_and_first_weights_are_kerass():
    torch.manual_seed(0)
    resnet = ResNet(13)
    norms = [m for m in resnet.modules() if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == 12
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    for layer in resnet.modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            assert layer.bias.abs().max() == 0
    assert resnet.dense.weight.std().item() == pytest.approx(1e-3, rel=0.01)
    assert resnet.blocks[5].conv2.weight.mean().item() == pytest.approx(0, abs=1e-5)
    assert resnet.dropout.p == 0.5


def test_equation_2_gives_unit_length():
    x = normalise(torch.tensor([[3.0, -4.0], [3e-17, -4e-17], [0.0, 0.0]]))
    torch.testing.assert_close(x, torch.tensor([[0.6, -0.8], [0.6, -0.8], [0.0, 0.0]]))


def test_the_recipe_scales_the_flux_by_the_root_of_the_pixels(network):
    assert network._input(torch.full((1, 5001), 7.0)).mean().item() == pytest.approx(1.0)
    assert RECIPE["z_scale"] == 10
    assert RECIPE["z_limit"] == 5


def test_equation_5_on_numbers_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(8), 0.0, 0.0]])
    loss = cross_entropy(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(loss, torch.tensor([math.log(3), -math.log(0.8)]))


def test_equation_6_on_numbers_by_hand():
    loss = huber(torch.tensor([0.05, 0.1, 0.5, -0.5]), torch.zeros(4))
    torch.testing.assert_close(loss, torch.tensor([0.00125, 0.005, 0.045, 0.045]))


def test_the_rate_halves_every_five_epochs_and_ends_near_1e_6():
    assert [learning_rate(e) for e in (0, 4, 5, 9, 10)] == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]
    assert learning_rate(49) == pytest.approx(2e-6, rel=0.03)
    assert learning_rate(50) == pytest.approx(1e-6, rel=0.03)


def test_the_output_has_the_interfaces_shapes_and_sums_to_one(network, survey):
    flux = torch.rand(2, 5001)
    with torch.no_grad():
        out = network(flux, torch.ones_like(flux))
    assert out.class_logits.shape == (2, 13)
    assert out.z.shape == (2, 6)
    assert out.log_pz.shape == (2, 6, network.zgrid.n)
    torch.testing.assert_close(out.log_pz.exp().sum(-1), torch.ones(2, 6))
    beyond = torch.tensor(network.zgrid.z > 0.57)
    agn = survey.extragalactic.index(survey.index("GALAXY_AGN"))
    assert out.log_pz[:, agn, beyond].exp().max() == 0
    assert torch.isfinite(out.log_pz).all()


def test_the_redshift_kernel_peaks_at_z_with_its_width(network):
    z = torch.tensor([[0.3, 0.3, 0.3, 0.3, 3.0, 3.0]])
    pdf = redshift_kernel(z, network.zbin, network.width, network.trained).exp()[0]
    peak = torch.tensor(network.zgrid.z)[pdf.argmax(dim=-1)]
    torch.testing.assert_close(peak.float(), z[0], atol=0.002, rtol=0)
    distance = (torch.log1p(network.zbin) - math.log(4.0)).abs()
    assert (pdf[5] * distance).sum().item() == pytest.approx(0.015, rel=0.02)  # a Laplace kernel's mean deviation


def test_the_answer_has_a_gradient_in_flux(network):
    flux = torch.rand(1, 5001, requires_grad=True)
    out = network(flux, torch.ones(1, 5001))
    (gradient,) = torch.autograd.grad(out.z[0, 0] + out.log_pz[0, 0].max() + out.class_logits[0, 3], flux)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_the_loss_reaches_the_redshift_network_of_the_true_class_only(survey):
    network = GaSNet2(survey, {})
    qso, star = survey.index("QSO"), survey.index("STAR_A0")
    flux, label, z = torch.rand(4, 5001), torch.tensor([qso, qso, star, star]), torch.tensor([6.0, 1.0, 0.0, 0.0])
    loss, parts = network.loss(flux, torch.ones_like(flux), label, z)
    loss.backward()
    row = survey.extragalactic.index(qso)
    reached = [any(p.grad is not None for p in resnet.parameters()) for resnet in network.redshifts]
    assert reached == [i == row for i in range(6)]
    assert network.classifier.out.weight.grad.abs().sum() > 0
    assert loss.item() == pytest.approx(parts["class"].item() + parts["z"].item())
    # Untrained networks answer 0: z = 6 counts as 5, scaled to 50; Huber: .1 * 50 - .005 and .1 * 10 - .005.
    assert parts["z"].item() == pytest.approx((4.995 + 0.995) / 2, abs=0.01)


def test_only_stars_give_no_redshift_loss(survey, network):
    flux = torch.rand(2, 5001)
    _, parts = network.loss(flux, torch.ones_like(flux), torch.tensor([0, 1]), torch.zeros(2))
    assert parts["z"].item() == 0


def test_an_unknown_config_key_is_named(survey):
    with pytest.raises(SurveyError, match="'zwidth'; the keys are flux_scale"):
        GaSNet2(survey, {"zwidth": 1})
    with pytest.raises(SurveyError, match="'STAR_A0', no class of sdss"):
        GaSNet2(survey, {"z_width": {"STAR_A0": 0.1}})


def test_the_network_is_built_by_name(survey):
    pytest.importorskip("engine.networks.matched")
    assert build("gasnet2", survey).name == "gasnet2"


def test_training_follows_the_papers_schedule_over_its_whole_length() -> None:
    network = GaSNet2(load_survey("sdss"))
    rates = [network.learning_rate(done) for done in (0.0, 0.099, 0.1, 0.5, 1.0)]
    assert rates == [1e-3, 1e-3, 5e-4, 1e-3 / 32, 1e-3 / 512]
