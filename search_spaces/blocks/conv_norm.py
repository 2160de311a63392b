"""A convolution and the batch norm after it, and the algebra that makes one convolution of the two."""

import torch
from torch import Tensor, nn

from search_spaces.forms import Form


class ConvNorm(nn.Module):
    """A bias-free convolution with centred padding, then batch norm. Kaiming initialisation (fan-out)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed

    def folded(self, form: Form) -> nn.Module:
        """One convolution with bias, where batch norms fold."""
        if form is not Form.FOLDED:
            return self
        scale, shift = norm_as_affine(self.norm)
        return with_weights(self.conv, self.conv.weight * scale[:, None, None, None], shift)


def norm_as_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation mode as y = scale * x + shift, each of shape (channels,)."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics does not fold")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - scale * norm.running_mean


def with_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution with the strides, groups and dilation of `conv`, the given weights, and centred padding."""
    taps = (weight.shape[2], weight.shape[3])
    result = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        taps,
        stride=(conv.stride[0], conv.stride[1]),
        padding=(taps[0] // 2 * conv.dilation[0], taps[1] // 2 * conv.dilation[1]),
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
