"""Residual normalisation while it is trained is torch's instance norm and a sum, and so are its gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.blocks.normalisation import ResidualNormalization
from search_spaces.blocks.residual_norm import residual_norm


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def values_and_gradients(norm: ResidualNormalization, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    norm.zero_grad()
    y: Tensor = norm(x)
    (y * rand(*y.shape, seed=9)).sum().backward()
    return [y.detach(), *(tensor.grad for tensor in (x, *norm.parameters()) if tensor.grad is not None)]


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 5),
    side=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    scalar=st.booleans(),
    offset=st.sampled_from([0.0, 100.0]),
)
def test_training_computes_what_evaluation_does(
    batch: int, channels: int, side: tuple[int, int], scalar: bool, offset: float
) -> None:
    norm = ResidualNormalization(channels, scalar=scalar).double()
    with torch.no_grad():
        for seed, parameter in enumerate(norm.parameters()):
            parameter += rand(*parameter.shape, seed=seed)
    x = offset + rand(batch, channels, *side)
    for found, expected in zip(
        values_and_gradients(norm.train(), x), values_and_gradients(norm.eval(), x), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("factors", [1, 3])
def test_its_gradient_is_the_slope_of_its_value(factors: int) -> None:
    parts = rand(2, 3, 4, 2), rand(factors, 1, 1, seed=1), rand(3, seed=2), rand(3, seed=3)
    assert torch.autograd.gradcheck(lambda *given: residual_norm(*given, 1e-5), [p.requires_grad_() for p in parts])


def test_a_map_stays_channels_last() -> None:
    norm, x = ResidualNormalization(3).train(), torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    x.requires_grad_()
    y = norm(x)
    y.sum().backward()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert x.grad is not None
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


def test_in_bfloat16_the_statistics_are_torch_s() -> None:
    norm, x = ResidualNormalization(3).train(), torch.randn(2, 3, 4, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(norm(x), norm.eval()(x))
