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
        self.instance_norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.lambda_param * x + self.instance_norm(x)
        return normed
