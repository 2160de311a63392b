"""What the deployed file holds: a network's parameters in the precision of its architecture.

Their bytes are counted by `search_spaces.cost.stored_bytes`:

- fp32: every parameter as it is, 4 bytes.
- fp16: every parameter rounded, 2 bytes. Running statistics stay float32: a small variance would round to 0.
- int8: weights of convolutions and linear layers symmetric per output channel, 1 byte each and one float32 scale per
  channel; every other parameter (biases, norms, scalars) float32, 4 bytes.
"""

import copy

import torch
from torch import Tensor, nn

from search_spaces.parts import Precision


def stored(network: nn.Module, precision: Precision) -> nn.Module:
    """A copy that computes in float32 with exactly the parameter values that the deployed file holds."""
    held = copy.deepcopy(network)
    weights = quantised_names(held) if precision == "int8" else frozenset()
    with torch.no_grad():
        for name, parameter in held.named_parameters():
            if precision == "fp16":
                parameter.copy_(parameter.half())
            elif name in weights:
                parameter.copy_(dequantised(*quantised(parameter)))
    return held


def quantised_names(network: nn.Module) -> frozenset[str]:
    """Names of the parameters that become int8: the weights of all convolutions and linear layers."""
    return frozenset(
        f"{name}.weight" if name else "weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)
    )


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight as whole numbers from -127 to 127 times a scale for each output channel.

    Args:
        weight: (channels out, ...) finite.

    Returns:
        The numbers, int8 of the weight's shape, and the scales, (channels out,) float32 above 0. The largest value of a
        channel becomes 127 or -127, so no value moves by more than half a scale. A channel of zeros has scale 1.
    """
    peaks = weight.detach().float().abs().flatten(1).amax(dim=1)
    # A scale below the smallest normal float would lose digits; such a channel is zero for every purpose.
    scales = torch.where(peaks > 127 * torch.finfo(torch.float32).tiny, peaks / 127, torch.ones_like(peaks))
    steps = (weight.detach().float() / _broadcast(scales, weight)).round().clamp(-127, 127)
    return steps.to(torch.int8), scales


def dequantised(numbers: Tensor, scales: Tensor) -> Tensor:
    """The float32 weight that int8 numbers and their scales stand for."""
    return numbers.float() * _broadcast(scales, numbers)


def _broadcast(scales: Tensor, like: Tensor) -> Tensor:
    return scales.reshape(-1, *[1] * (like.dim() - 1))
