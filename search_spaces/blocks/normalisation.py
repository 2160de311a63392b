"""Residual normalisation, as the Sharif student uses it."""

import torch
from torch import Tensor, nn


class ResidualNormalization(nn.Module):
    """lambda * x + instance norm of x.

    The instance norm takes its statistics over frequency and time of each channel, with scale and shift; lambda is one
    learnable factor for each channel, initially 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lambda_param = nn.Parameter(torch.ones(channels, 1, 1))
        self.instance_norm = _InstanceNorm(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.lambda_param * x + self.instance_norm(x)
        return normed


class _InstanceNorm(nn.InstanceNorm2d):
    """Torch's refuses maps of one position; there the input equals its mean, and the shift is all that is left."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:
            return self.bias[:, None, None].expand_as(x)
        normed: Tensor = super().forward(x)
        return normed
