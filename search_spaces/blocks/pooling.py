"""Pooling with learnable parameters: from a map, (batch, C, mels, frames), to a vector."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import fold
from search_spaces.blocks.normalisation import inner_norm
from search_spaces.forms import Form


class GeneralisedMean(nn.Module):
    """(mean of x^p)^(1/p) over the map, values below 1e-6 raised to it: (batch, C).

    p is one learnable number, initially 3 (Radenovic et al., 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = x.clamp(min=1e-6).pow(self.p).mean((2, 3)).pow(1 / self.p)
        return pooled


class LearnablePooling(nn.Module):
    """Attention pooling and average pooling side by side: (batch, 2C).

    The attention weights are a softmax over the map, for each channel by itself, of scores from two 1x1 convolutions of
    the normalised input; they weigh the input as it came.
    """

    def __init__(self, width: int, norm: Literal["residual", "batch"]) -> None:
        super().__init__()
        self.norm1 = inner_norm(norm, width)
        self.conv = nn.Conv2d(width, width // 2, 1, bias=False)
        self.norm2 = inner_norm(norm, width // 2)
        self.score = nn.Conv2d(width // 2, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.norm2(self.conv(self.norm1(x))), 0.1)
        return torch.cat([attended(x, self.score(hidden)), x.mean((2, 3))], 1)

    def folded(self, form: Form) -> nn.Module:
        """The norm between the convolutions folded into the first, if it is a batch norm."""
        if form is not Form.FOLDED or not isinstance(self.norm2, nn.BatchNorm2d):
            return self
        result = deepcopy(self)
        result.conv = fold(self.conv, self.norm2)
        result.norm2 = nn.Identity()
        return result


class EveryStagePooling(nn.Module):
    """Learnable pooling of the output of every stage by itself, side by side: (batch, 2 * sum of the widths)."""

    def __init__(self, widths: Sequence[int], norm: Literal["residual", "batch"]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(LearnablePooling(width, norm) for width in widths)

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        return torch.cat([pool(output) for pool, output in zip(self.stages, outputs, strict=True)], 1)


def attended(values: Tensor, scores: Tensor) -> Tensor:
    """The mean of each channel's values over the map, weighted by the softmax of its scores: (batch, C)."""
    # Flattening positions is a view in either memory format; torch has no softmax over two axes.
    return (scores.flatten(2).softmax(2) * values.flatten(2)).sum(2)
