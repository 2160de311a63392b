"""Normalisations by the statistics of each sample; all keep the memory format of the map. Batch norm is torch's."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.residual_norm import residual_norm
from search_spaces.parts import InnerNorm, StageNorm


class ResidualNormalization(nn.Module):
    """lambda * x + instance norm of x, as the Sharif student uses it.

    The instance norm takes its statistics over frequency and time of each channel, with scale and shift; lambda is one
    learnable factor for each channel, or one for all, initially 1.
    """

    def __init__(self, channels: int, *, scalar: bool = False) -> None:
        super().__init__()
        self.lambda_param = nn.Parameter(torch.ones(1 if scalar else channels, 1, 1))
        self.instance_norm = _InstanceNorm(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.instance_norm
        # Not under autocast, where the map is in bfloat16 and its statistics would be too.
        if self.training and x.device.type == "cpu" and x.dtype == norm.weight.dtype and x.shape[2] * x.shape[3] > 1:
            return residual_norm(x, self.lambda_param, norm.weight, norm.bias, norm.eps)
        # In this order: the instance norm's own result is contiguous, and a sum takes the format of its first term.
        normed: Tensor = self.lambda_param * x + norm(x)
        return normed


class _InstanceNorm(nn.InstanceNorm2d):
    """Torch's refuses maps of one position; there the input equals its mean, and the shift is all that is left."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:
            return self.bias[:, None, None].expand_as(x)
        normed: Tensor = super().forward(x)
        return normed


class FrequencyNormalization(nn.Module):
    """lambda * x + frequency-wise instance norm of x: residual normalisation as in Kim et al., 2021, arXiv 2111.06531.

    Statistics over channels and time of each frequency, no scale and shift; lambda is one learnable number,
    initially 0.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lambda_param = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        # Channels last, the slice of one frequency is contiguous: its normalisation is a layer norm.
        slices = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(slices, slices.shape[2:], eps=1e-5).permute(0, 3, 1, 2)
        return self.lambda_param * x + normed


class GlobalResponseNormalization(nn.Module):
    """gamma * (x * n) + beta + x, where n is a channel's norm over its map by the mean norm of all channels.

    Gamma and beta are one number each, initially 0, as in CP-Mobile 2023 (after Woo et al., ConvNeXt V2, 2023).
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        relative = norms / (norms.mean(1, keepdim=True) + 1e-6)
        return torch.addcmul(self.beta, x, 1 + self.gamma * relative)


def inner_norm(kind: InnerNorm, channels: int) -> nn.Module:
    """The normalisation of that kind inside a part."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return ResidualNormalization(channels, scalar=kind == "residual-scalar")


def stage_norm(kind: StageNorm, channels: int) -> nn.Module | None:
    """The normalisation of that kind after a stage, if any."""
    if kind == "none":
        return None
    return FrequencyNormalization() if kind == "frequency" else inner_norm(kind, channels)
