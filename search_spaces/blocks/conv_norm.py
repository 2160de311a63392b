"""A convolution and the batch norm after it, and the algebra that makes one convolution of the two."""

import torch
from torch import Tensor, nn

from search_spaces.blocks.trained_conv import DilatedConv2d
from search_spaces.forms import Form


class ConvNorm(nn.Module):
    """A convolution, by default bias-free with centred padding, then batch norm.

    Kaiming initialisation (fan-out), a bias starts at 0.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.conv = kaiming(
            centred_conv(c_in, c_out, kernel, stride=stride, dilation=dilation, groups=groups, bias=bias)
        )
        if padding is not None:
            self.conv.padding = (padding, padding)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed

    def folded(self, form: Form) -> nn.Module:
        """One convolution with bias, where batch norms fold."""
        return fold(self.conv, self.norm) if form is Form.FOLDED else self


def centred_conv(
    c_in: int,
    c_out: int,
    kernel: int | tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """A convolution whose output is ceil(side / stride) for every odd kernel: its centre meets the input's first
    position."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    kind = nn.Conv2d if dilation == 1 else DilatedConv2d
    return kind(
        c_in,
        c_out,
        (height, width),
        stride=stride,
        padding=(height // 2 * dilation, width // 2 * dilation),
        dilation=dilation,
        groups=groups,
        bias=bias,
    )


def kaiming(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution itself, initialised as CP-Mobile's: Kaiming normal (fan-out), bias 0."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution with bias for a convolution followed by a batch norm in evaluation mode."""
    scale, shift = norm_as_affine(norm)
    bias = shift if conv.bias is None else shift + scale * conv.bias
    return with_weights(conv, conv.weight * scale[:, None, None, None], bias)


def norm_as_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation mode as y = scale * x + shift, each of shape (channels,)."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics does not fold")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - scale * norm.running_mean


def with_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution like `conv` with other weights.

    Where the kernel has an even number of taps more than that of `conv`, the padding grows so that the centre stays.
    """
    taps = (weight.shape[2], weight.shape[3])
    up, left = ((new - old) // 2 * d for new, old, d in zip(taps, conv.kernel_size, conv.dilation, strict=True))
    result = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        taps,
        stride=(conv.stride[0], conv.stride[1]),
        padding=(int(conv.padding[0]) + up, int(conv.padding[1]) + left),
        dilation=(conv.dilation[0], conv.dilation[1]),
        groups=conv.groups,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    result.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        result.bias = nn.Parameter(bias.detach().clone())
    return result
