"""A folded network computes what the trained one computes, exactly."""

import pytest
import torch
from draws import random_architectures
from torch import nn

from search_spaces.architecture import Architecture, KernelSet
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.designs import design, design_names
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build


def trained(architecture: Architecture) -> nn.Module:
    """A float64 network with random weights and running statistics, as if it had been trained."""
    network = build(architecture, seed=5).double().eval()
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for statistic in (module.running_mean, module.weight, module.bias):
                statistic.data.normal_(generator=generator)
            module.running_var.uniform_(0.3, 3, generator=generator)
    for name, parameter in network.named_parameters():
        if name.endswith(("pool_weight", "lambda_param")):
            parameter.data.uniform_(-1, 1, generator=generator)
    return network


def largest_difference(architecture: Architecture, form: Form) -> float:
    network = trained(architecture)
    clips = torch.randn(2, 1, architecture.input.mels, architecture.input.frames, dtype=torch.float64)
    with torch.inference_mode():
        before, after = network(clips), deployed(network, form)(clips)
    return float((before - after).abs().max() / before.abs().max().clamp_min(1))


@pytest.mark.parametrize("form", [Form.UNFOLDED, Form.FOLDED])
@pytest.mark.parametrize("name", design_names())
def test_designs_fold_exactly(name: str, form: Form) -> None:
    assert largest_difference(design(name).at(64, 33), form) < 1e-12


@pytest.mark.parametrize("form", [Form.UNFOLDED, Form.FOLDED])
def test_random_architectures_fold_exactly(form: Form) -> None:
    for architecture in random_architectures(15, seed=4, mels=32, frames=17):
        assert largest_difference(architecture, form) < 1e-11


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("kernels", [((1, 1),), ((1, 3), (3, 1)), ((1, 1), (3, 3), (5, 1)), ((1, 5), (3, 3), (5, 1))])
def test_a_kernel_set_merges_exactly(kernels: KernelSet, stride: tuple[int, int], groups: int) -> None:
    layer = RepConv2d(4, 8, kernels, stride=stride, groups=groups).double()
    clips = torch.randn(2, 4, 11, 9, dtype=torch.float64)
    merged = layer.folded(Form.FOLDED)
    assert isinstance(merged, nn.Conv2d)
    assert merged.bias is None
    torch.testing.assert_close(merged(clips), layer(clips), rtol=0, atol=1e-13)


def test_folding_leaves_the_trained_network_as_it_was() -> None:
    network = build(design("dynacp").at(32, 17)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deployed(network, Form.FOLDED)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_initial_weights_follow_from_the_seed_and_leave_global_chance_alone() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (build(design("sharif"), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    same, different = first.state_dict(), other.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in again.state_dict().items())
    assert any(not torch.equal(value, different[name]) for name, value in same.items())
