"""The inverted residual of CP-Mobile, and DynaCP's spatial part with its pooling branch."""

import torch
from torch import Tensor, nn

from search_spaces.architecture import CPMobileBlock, DPCPBlock
from search_spaces.blocks.conv_norm import ConvNorm, norm_as_affine, with_weights
from search_spaces.forms import Form


class InvertedResidual(nn.Module):
    """Expand, a spatial part at the expanded width, project, an optional shortcut, activation.

    `cp_mobile` and `dpcp` make the two kinds.
    """

    def __init__(
        self,
        c_in: int,
        width: int,
        expanded: int,
        stride: tuple[int, int],
        *,
        spatial: nn.Module,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.expand = ConvNorm(c_in, expanded, 1)
        self.spatial = spatial
        self.project = ConvNorm(expanded, width, 1)
        self.shortcut: nn.Module | None = None
        if width == c_in:
            self.shortcut = nn.Identity() if stride == (1, 1) else average_pool(stride)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.activation(self.spatial(self.activation(self.expand(x)))))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        activated: Tensor = self.activation(y)
        return activated


def cp_mobile(block: CPMobileBlock, c_in: int) -> InvertedResidual:
    """CP-Mobile's block: a depthwise 3x3 with batch norm; ReLU."""
    depthwise = ConvNorm(block.expanded, block.expanded, 3, stride=block.stride, groups=block.expanded)
    return InvertedResidual(c_in, block.width, block.expanded, block.stride, spatial=depthwise, activation=nn.ReLU())


def dpcp(block: DPCPBlock, c_in: int) -> InvertedResidual:
    """DynaCP's block: a depthwise 3x3 and a pooling branch, summed, with batch norm; ReLU6."""
    spatial = DepthwiseWithPooling(block.expanded, block.stride, block.dilation)
    return InvertedResidual(c_in, block.width, block.expanded, block.stride, spatial=spatial, activation=nn.ReLU6())


def average_pool(stride: tuple[int, int]) -> nn.AvgPool2d:
    """3x3, padded with zeros that count in the mean."""
    return nn.AvgPool2d(3, stride=stride, padding=1)


class DepthwiseWithPooling(nn.Module):
    """Batch norm of D(x) + a * P(x): D a depthwise 3x3 with bias and dilation, P average pooling 3x3, a one scalar.

    The batch norm stands after the sum, and a starts at 1 (DynaCP's report leaves both open).
    """

    def __init__(self, channels: int, stride: tuple[int, int], dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, 3, stride=stride, padding=dilation, dilation=dilation, groups=channels
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.pool = average_pool(stride)
        self.pool_weight = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x) + self.pool_weight * self.pool(x))
        return normed

    def folded(self, form: Form) -> nn.Module:
        """One depthwise convolution where there is no dilation: pooling is a convolution with nine equal taps."""
        if form is not Form.FOLDED:
            return self
        scale, shift = norm_as_affine(self.norm)
        per_channel = scale[:, None, None, None]
        bias = shift if self.conv.bias is None else shift + scale * self.conv.bias
        if self.conv.dilation == (1, 1):
            return with_weights(self.conv, per_channel * (self.conv.weight + self.pool_weight / 9), bias)
        conv = with_weights(self.conv, per_channel * self.conv.weight, bias)
        return _ConvPlusScaledPooling(conv, self.pool, scale * self.pool_weight)


class _ConvPlusScaledPooling(nn.Module):
    """What remains of `DepthwiseWithPooling` when the dilated taps and the pooled ones do not coincide."""

    def __init__(self, conv: nn.Conv2d, pool: nn.AvgPool2d, scale: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.pool = pool
        self.pool_scale = ChannelScale(scale)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.conv(x) + self.pool_scale(self.pool(x))
        return total


class ChannelScale(nn.Module):
    """One learnable factor for each channel."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]
