"""The layers of DyMN whose weights depend on the clip (Schmid et al. 2024, "Dynamic convolutional neural networks as
efficient pre-trained audio models").

They are steered by a context vector of the clip, (batch, context). Parameters have the names and shapes of the state
dicts that EfficientAT publishes.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.efficientat.layers import linear

KERNELS = 4
"""Kernels that each dynamic convolution mixes."""

_LINES = 2  # of the dynamic ReLU


def tau_at(epoch: int, start: float) -> float:
    """The temperature of the kernels' softmax in an epoch, from 0, of a training that began at `start`, at least 1.

    EfficientAT anneals by ``max(start - epoch, 1 + s (start - 1) - s epoch, 1)``: down to 1 by one each epoch, then on
    by the slope s < 1, but never below 1. The second line meets the first at 1, so it never decides.
    """
    return max(start - epoch, 1.0)


class DynamicConv(nn.Module, ABC):
    """A bias-free convolution whose kernel is mixed for each clip, from four, by a softmax of the context.

    Each kernel starts Kaiming normal (fan-out); the shares start nearly equal.

    Args:
        shape: Of one kernel: (channels out, channels in per group, side, side).
        context: Size of the context vector.
        tau: Temperature of the softmax until `begin_epoch` sets another, and where the annealing begins; at least 1.
    """

    def __init__(self, shape: tuple[int, int, int, int], context: int, tau: float) -> None:
        super().__init__()
        kernels = torch.empty(KERNELS, *shape)
        for kernel in kernels:
            nn.init.kaiming_normal_(kernel, mode="fan_out")
        self.weight = nn.Parameter(kernels.reshape(1, 1, KERNELS, -1))
        self.residuals = nn.Sequential(linear(context, KERNELS))
        self.tau = self._first_tau = tau

    def begin_epoch(self, epoch: int) -> None:
        """Sets the temperature for an epoch of training, from 0."""
        self.tau = tau_at(epoch, self._first_tau)

    def kernels(self, context: Tensor) -> Tensor:
        """The kernel of each clip, flat: (batch, weights of one kernel)."""
        shares = torch.softmax(self.residuals(context) / self.tau, dim=1)
        return shares @ self.weight[0, 0]

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(batch, channels in, frequency, time) and (batch, context) -> (batch, channels out, frequency, time)."""


class DynamicPointwise(DynamicConv):
    """A dynamic 1x1 convolution: one matrix product for each clip, over all positions at once."""

    def __init__(self, c_in: int, c_out: int, context: int, tau: float) -> None:
        super().__init__((c_out, c_in, 1, 1), context, tau)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        batch, c_in, bands, frames = x.shape
        kernels = self.kernels(context).reshape(batch, -1, c_in)
        positions = x.permute(0, 2, 3, 1).flatten(1, 2)
        y = positions @ kernels.transpose(1, 2)
        return y.reshape(batch, bands, frames, -1).permute(0, 3, 1, 2)


class DynamicDepthwise(DynamicConv):
    """A dynamic depthwise convolution with a square kernel and centred padding."""

    def __init__(self, channels: int, side: int, stride: int, context: int, tau: float) -> None:
        super().__init__((channels, 1, side, side), context, tau)
        self.side = side
        self.stride = stride

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        kernels = self.kernels(context).reshape(batch * channels, 1, self.side, self.side)
        # Clips with kernels of their own are more channels of one clip.
        together = x.reshape(1, batch * channels, *x.shape[2:])
        y = F.conv2d(together, kernels, stride=self.stride, padding=self.side // 2, groups=batch * channels)
        return y.reshape(batch, channels, *y.shape[2:])


class DynamicReLU(nn.Module):
    """For each clip and channel the larger of two lines, ``max(a1 x + b1, a2 x + b2)`` (Chen et al. 2020, variant B).

    The context moves the slopes by up to 1 from (1, 0) and the offsets by up to 0.5 from (0, 0): it begins as ReLU.
    """

    lambdas: Tensor
    init_v: Tensor

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.coef_net = nn.Sequential(linear(context, channels * 2 * _LINES))
        self.register_buffer("lambdas", torch.tensor([1.0, 1.0, 0.5, 0.5]))
        self.register_buffer("init_v", torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(batch, channels, frequency, time) and (batch, context), the first shape out."""
        moves = 2 * torch.sigmoid(self.coef_net(context)) - 1
        lines = moves.reshape(*x.shape[:2], 2 * _LINES) * self.lambdas + self.init_v
        a1, a2, b1, b2 = lines[:, :, None, None].unbind(-1)
        return torch.maximum(a1 * x + b1, a2 * x + b2)
