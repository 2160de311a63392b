"""lambda * x + instance norm of x, and its gradient, in as few passes over the map as there can be.

Apart, torch's instance norm works on a copy in the contiguous format, forwards and backwards. Together they are one
multiplication and one addition for each value: x * f + s, with f = lambda + w / sigma and s = b - mu * w / sigma of
every clip and channel.
"""

from typing import Any

import torch
from torch import Tensor

_POSITIONS = (2, 3)


def residual_norm(x: Tensor, factor: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The sum, as it is computed while it is trained.

    Args:
        x: (batch, channels, height, width), of more than one position, best channels last.
        factor: lambda, (channels, 1, 1) or (1, 1, 1).
        weight, bias: Of the instance norm, (channels,).
        eps: Added to the variance.
    """
    affine = (weight[:, None, None], bias[:, None, None])
    normed: Tensor = _ResidualNorm.apply(x, factor, *affine, eps)  # type: ignore[no-untyped-call]
    return normed


class _ResidualNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        variance, mean = torch.var_mean(x, _POSITIONS, correction=0, keepdim=True)
        inverse = (variance + eps).rsqrt()
        scale = factor + weight * inverse
        ctx.save_for_backward(x, mean, inverse, scale, weight)
        ctx.one_factor = factor.numel() == 1
        return torch.addcmul(bias - mean * weight * inverse, x, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """With z = (x - mu) / sigma and n positions: dx = g * f - w / (n * sigma) * (sum(g) + z * sum(g * z))."""
        x, mean, inverse, scale, weight = ctx.saved_tensors
        total = gradient.sum(_POSITIONS, keepdim=True)
        by_x = (gradient * x).sum(_POSITIONS, keepdim=True)
        by_z = (by_x - mean * total) * inverse
        share = weight * inverse / (x.shape[2] * x.shape[3])
        slope = -share * by_z * inverse
        dx = torch.addcmul(torch.addcmul(-share * total - slope * mean, x, slope), gradient, scale)
        by_factor = by_x.sum(0)
        return (
            dx,
            by_factor.sum().reshape(1, 1, 1) if ctx.one_factor else by_factor,
            by_z.sum(0),
            total.sum(0),
            None,  # type: ignore[return-value]
        )
