"""What is computed while a convolution is trained is the convolution, and so are its gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import centred_conv
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.blocks.trained_conv import DilatedConv2d
from search_spaces.parts import RepConv


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def values_and_gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    module.zero_grad()
    y: Tensor = module(x)
    (y * rand(*y.shape, seed=9)).sum().backward()
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    assert x.grad is not None
    return [y.detach(), x.grad, *gradients]


@settings(max_examples=80, deadline=None)
@given(
    channels=st.integers(1, 5),
    kernel=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5])),
    dilation=st.integers(1, 4),
    stride=st.sampled_from([(1, 1), (2, 1), (2, 2)]),
    depthwise=st.booleans(),
    bias=st.booleans(),
    side=st.tuples(st.integers(1, 11), st.integers(1, 11)),
)
def test_a_convolution_in_training_is_the_plain_one(
    channels: int,
    kernel: tuple[int, int],
    dilation: int,
    stride: tuple[int, int],
    depthwise: bool,
    bias: bool,
    side: tuple[int, int],
) -> None:
    groups = channels if depthwise else 1
    conv = centred_conv(channels, channels, kernel, stride=stride, dilation=dilation, groups=groups, bias=bias).double()
    x = rand(2, channels, *side)
    trained, plain = values_and_gradients(conv.train(), x), values_and_gradients(conv.eval(), x)
    assert len(trained) == len(plain) == 3 + bias
    for found, expected in zip(trained, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(trained[0], F.conv2d(x, conv.weight, conv.bias, stride, conv.padding, dilation, groups))


def test_only_dilated_depthwise_convolutions_go_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the dilation that torch is asked for."""
    asked = []
    real = F.conv2d

    def spy(x: Tensor, *args: object, **kwargs: object) -> Tensor:
        asked.append((len(x), args[4] if len(args) > 4 else 1))
        return real(x, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "conv2d", spy)
    x = rand(2, 4, 6, 7)
    for groups, stride, expected in ((4, (1, 1), (8, 1)), (1, (1, 1), (2, (2, 2))), (4, (2, 2), (2, (2, 2)))):
        conv = centred_conv(4, 4, 3, stride=stride, dilation=2, groups=groups).double()
        assert isinstance(conv, DilatedConv2d)
        conv.train()(x)
        assert asked.pop() == expected
        conv.eval()(x)
        assert asked.pop()[0] == 2
    assert type(centred_conv(4, 4, 3)) is nn.Conv2d


@pytest.mark.parametrize("branch_norm", ["none", "spare"])
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize(
    ("dilation", "stride", "groups"), [(1, (1, 1), 6), (2, (1, 1), 6), (1, (2, 1), 6), (1, (1, 1), 1)]
)
def test_merged_kernels_teach_every_branch_what_it_would_have_learnt(
    branch_norm: str, identity: bool, dilation: int, stride: tuple[int, int], groups: int
) -> None:
    kernels = ((1, 1), (1, 3), (3, 1), (3, 3), (1, 5))
    conv = RepConv2d(
        RepConv(kernels, branch_norm, identity=identity, dilation=dilation),  # type: ignore[arg-type]
        6,
        6,
        stride=stride,
        groups=groups,
    ).double()
    x = rand(3, 6, 9, 8)
    trained, plain = values_and_gradients(conv.train(), x), values_and_gradients(conv.eval(), x)
    assert len(trained) == len(plain) == 2 + len(kernels)
    for found, expected in zip(trained, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_branches_with_norms_of_their_own_are_computed_one_by_one() -> None:
    """Their batch statistics differ from branch to branch."""
    conv = RepConv2d(RepConv(((1, 1), (3, 3)), "batch", identity=True), 4, 4).double().train()
    x = rand(3, 4, 5, 5)
    expected = conv.branches["1x1"](x) + conv.branches["3x3"](x)
    assert conv.identity is not None
    torch.testing.assert_close(conv(x), expected + conv.identity(x))
