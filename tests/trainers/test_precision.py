import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainers.precision import dequantised, quantised, quantised_names, stored


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


@given(st.integers(0, 2**32), st.floats(-30, 30))
def test_int8_moves_no_weight_by_more_than_half_a_step_and_uses_the_whole_range(seed, exponent):
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    numbers, scales = quantised(weight)
    assert numbers.dtype == torch.int8
    assert scales.shape == (5,)
    error = (dequantised(numbers, scales) - weight).double().abs().flatten(1).amax(dim=1)
    assert (error <= scales.double() * 0.5 * (1 + 1e-4)).all()
    assert (numbers.flatten(1).abs().amax(dim=1) == 127).all()


def test_int8_scales_each_output_channel_by_itself():
    weight = torch.tensor([[1.0, -0.5], [1000.0, 10.0]])
    numbers, scales = quantised(weight)
    assert numbers.tolist() == [[127, -64], [127, 1]]
    assert scales.tolist() == pytest.approx([1 / 127, 1000 / 127])


@pytest.mark.parametrize("value", [0.0, 1e-44])
def test_a_channel_of_nothing_stays_nothing(value):
    weight = torch.stack([torch.full((4,), value), torch.ones(4)])
    numbers, scales = quantised(weight)
    assert torch.isfinite(scales).all()
    assert (scales > 0).all()
    assert dequantised(numbers, scales)[0].tolist() == [0.0] * 4


def test_int8_keeps_everything_but_weights_of_convolutions_and_linear_layers():
    before = network()
    after = stored(before, "int8")
    assert quantised_names(before) == {"0.weight", "2.weight", "5.weight"}
    for (name, was), now in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        if name in quantised_names(before):
            assert torch.equal(now, dequantised(*quantised(was)))
            assert not torch.equal(now, was)
        else:
            assert torch.equal(now, was)


def test_fp16_rounds_every_parameter_and_fp32_none():
    before = network()
    for was, half, full in zip(
        before.parameters(), stored(before, "fp16").parameters(), stored(before, "fp32").parameters(), strict=True
    ):
        assert torch.equal(half, was.half().float())
        assert torch.equal(full, was)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_network_that_was_given_stays_as_it_is(precision):
    given_network = network()
    before = copy.deepcopy(given_network.state_dict())
    held = stored(given_network, precision)
    assert all(torch.equal(value, before[name]) for name, value in given_network.state_dict().items())
    assert held.training == given_network.training
