"""Convolutions as they are computed while they are trained: the same sums, in the order that learns fastest.

A dilated depthwise convolution goes a way around. With dilation d, positions whose coordinates differ modulo d never
meet: the map is d * d interleaved maps. Laid out as a larger batch, each meets the undilated kernel, for which torch
has a fast backward pass on CPUs.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class DilatedConv2d(nn.Conv2d):
    """A convolution with centred padding: `trained_conv` while it is trained, the plain one in evaluation mode."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.training:
            return trained_conv(x, weight, bias, like=self)
        plain: Tensor = super()._conv_forward(x, weight, bias)
        return plain


def trained_conv(x: Tensor, weight: Tensor, bias: Tensor | None, *, like: nn.Conv2d) -> Tensor:
    """The convolution of centred padding with these weights.

    Args:
        x: (batch, channels, height, width), best channels last.
        weight: (channels out, channels per group, rows, columns), both odd.
        like: Has the stride, the dilation and the groups.

    Returns:
        (batch, channels out, ceil(height / stride), ceil(width / stride)).
    """
    (down, right), centre = like.dilation, (weight.shape[2] // 2, weight.shape[3] // 2)
    depthwise = like.groups == like.in_channels == like.out_channels
    if (down, right) == (1, 1) or like.stride != (1, 1) or not depthwise:
        padding = (centre[0] * down, centre[1] * right)
        return F.conv2d(x, weight, bias, (like.stride[0], like.stride[1]), padding, (down, right), like.groups)
    batch, channels, height, width = x.shape
    # Zeros below and to the right are what lies there anyway.
    padded = F.pad(x, (0, -width % right, 0, -height % down))
    rows, columns = padded.shape[2] // down, padded.shape[3] // right
    apart = padded.permute(0, 2, 3, 1).reshape(batch, rows, down, columns, right, channels)
    apart = apart.permute(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
    heard = F.conv2d(apart, weight, bias, padding=centre, groups=channels).permute(0, 2, 3, 1)
    together = heard.reshape(down, right, batch, rows, columns, channels).permute(2, 3, 0, 4, 1, 5)
    whole = together.reshape(batch, rows * down, columns * right, channels).permute(0, 3, 1, 2)
    return whole[:, :, :height, :width]
