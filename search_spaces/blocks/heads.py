"""From the last map to one logit per scene."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.normalisation import ResidualNormalization


class AverageHead(nn.Module):
    """CP-Mobile's head: a 1x1 convolution to the scenes, batch norm, average over the map."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = ConvNorm(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(x)
        return logits.mean((2, 3))


class LearnableHead(nn.Module):
    """The Sharif head: learnable pooling, batch norm, dropout, linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.pool = LearnablePooling(width)
        self.norm = nn.BatchNorm1d(2 * width)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.norm(self.pool(x))))
        return logits


class LearnablePooling(nn.Module):
    """Attention pooling and average pooling side by side: (batch, C, mels, frames) -> (batch, 2C).

    The attention weights are a softmax over the map, for each channel by itself, of scores from two 1x1 convolutions of
    the normalised input; they weigh the input as it came.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = ResidualNormalization(width)
        self.conv = nn.Conv2d(width, width // 2, 1, bias=False)
        self.norm2 = ResidualNormalization(width // 2)
        self.score = nn.Conv2d(width // 2, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.norm2(self.conv(self.norm1(x))), 0.1)
        attention = self.score(hidden).flatten(2).softmax(2)
        positions = x.flatten(2)
        return torch.cat([(attention * positions).sum(2), positions.mean(2)], 1)
