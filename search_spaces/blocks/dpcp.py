"""DynaCP's block: an inverted residual with a pooling branch beside its depthwise convolution."""

import torch
from torch import Tensor, nn

from search_spaces.blocks.conv_norm import ConvNorm, centred_conv, kaiming, norm_as_affine, with_weights
from search_spaces.blocks.inverted_residual import InvertedResidual, average_pool
from search_spaces.forms import Form
from search_spaces.parts import BranchPooling, DPCPBlock, Stride


def dpcp(block: DPCPBlock, c_in: int) -> InvertedResidual:
    """The block that a value describes, after `c_in` channels."""
    return InvertedResidual(
        c_in,
        block.width,
        block.expanded,
        spatial=_spatial(block, scalar=block.has_scalar(c_in)),
        shortcut=_shortcut(block, c_in),
        activation=nn.ReLU6(),
        output_activation=block.output_relu,
    )


class DepthwiseWithPooling(nn.Module):
    """D(x) + a * P(x), or (1 - a) * D(x) + a * P(x), with a batch norm after the sum or after D.

    D is a depthwise 3x3 with dilation, P a 3x3 pooling; either D has a bias or P has one weight for each channel.
    """

    def __init__(self, block: DPCPBlock, *, scalar: bool) -> None:
        super().__init__()
        channels = block.expanded
        self.conv = kaiming(
            centred_conv(
                channels,
                channels,
                3,
                stride=block.stride,
                dilation=block.dilation,
                groups=channels,
                bias=not block.pool_conv,
            )
        )
        self.pool = _pool(block.pooling, block.stride)
        self.pool_conv = kaiming(centred_conv(channels, channels, 1, groups=channels)) if block.pool_conv else None
        self.pool_weight = nn.Parameter(torch.tensor(block.mixing_start)) if scalar else None
        self.norm = nn.BatchNorm2d(channels)
        self._norm_sum = block.norm_after == "sum"
        self._convex = scalar and block.mixing == "convex"

    def forward(self, x: Tensor) -> Tensor:
        main: Tensor = self.conv(x)
        branch: Tensor = self.pool(x)
        if self.pool_conv is not None:
            branch = self.pool_conv(branch)
        if not self._norm_sum:
            main = self.norm(main)
        if self.pool_weight is not None:
            branch = self.pool_weight * branch
            if self._convex:
                main = (1 - self.pool_weight) * main
        total = main + branch
        return self.norm(total) if self._norm_sum else total

    def folded(self, form: Form) -> nn.Module:
        """One depthwise convolution where pooling averages over the same nine taps as D's: it is a convolution then."""
        if form is not Form.FOLDED:
            return self
        scale, shift = norm_as_affine(self.norm)
        share = torch.ones_like(shift) if self.pool_weight is None else self.pool_weight.expand_as(shift)
        main_share = 1 - share if self._convex else torch.ones_like(share)
        main_scale = main_share * scale
        pool_scale = share if self.pool_conv is None else share * self.pool_conv.weight.flatten()
        if self._norm_sum:
            pool_scale = pool_scale * scale
        bias = shift if self._norm_sum else main_share * shift
        if self.conv.bias is not None:
            bias = bias + main_scale * self.conv.bias
        weight = main_scale[:, None, None, None] * self.conv.weight
        if isinstance(self.pool, nn.AvgPool2d) and self.conv.dilation == (1, 1):
            return with_weights(self.conv, weight + pool_scale[:, None, None, None] / 9, bias)
        return _ConvPlusScaledPooling(with_weights(self.conv, weight, bias), self.pool, pool_scale)


class _ConvPlusScaledPooling(nn.Module):
    """What remains of `DepthwiseWithPooling` where the pooling is no convolution with the same taps."""

    def __init__(self, conv: nn.Conv2d, pool: nn.Module, scale: Tensor) -> None:
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


class WeightedPooling(nn.Module):
    """Pooling times one learnable number."""

    def __init__(self, pool: nn.Module, start: float) -> None:
        super().__init__()
        self.pool = pool
        self.pool_weight = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        weighted: Tensor = self.pool_weight * self.pool(x)
        return weighted


def _spatial(block: DPCPBlock, *, scalar: bool) -> nn.Module:
    if block.pooling != "none":
        return DepthwiseWithPooling(block, scalar=scalar)
    return ConvNorm(
        block.expanded,
        block.expanded,
        3,
        stride=block.stride,
        dilation=block.dilation,
        groups=block.expanded,
        bias=True,
    )


def _shortcut(block: DPCPBlock, c_in: int) -> nn.Module | None:
    if block.width != c_in:
        return None
    if block.stride == (1, 1):
        return nn.Identity()
    pool = _pool(block.pooling, block.stride)
    return WeightedPooling(pool, block.mixing_start) if block.has_shortcut_scalar(c_in) else pool


def _pool(pooling: BranchPooling, stride: Stride) -> nn.Module:
    """3x3; average unless it is the maximum."""
    return nn.MaxPool2d(3, stride=stride, padding=1) if pooling == "max" else average_pool(stride)
