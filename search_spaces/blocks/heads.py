"""From the last map to one logit per scene."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.pooling import EveryStagePooling, GeneralisedMean, LearnablePooling, attended
from search_spaces.parts import Head


class AverageHead(nn.Module):
    """CP-Mobile's head: a 1x1 convolution to the scenes, batch norm, average over the map."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = ConvNorm(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(x)
        return logits.mean((2, 3))


class MaxHead(nn.Module):
    """As CP-Mobile's, with the largest value of the map."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = ConvNorm(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(x)
        return logits.amax((2, 3))


class AttentionHead(nn.Module):
    """As CP-Mobile's, with a weighted mean: the weights are a softmax over the positions of the map, for each scene by
    itself, of the scores of a second 1x1 convolution."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = ConvNorm(width, classes, 1)
        self.attend = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return attended(self.classify(x), self.attend(x))


class LearnableHead(nn.Module):
    """The Sharif head: learnable pooling, batch norm, dropout, linear layers; where it pools the outputs of several
    stages, the dropout comes before the batch norm."""

    def __init__(self, head: Head, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.pool: nn.Module
        if head.every_stage:
            self.pool = EveryStagePooling(widths, head.norm)
        else:
            self.pool = LearnablePooling(widths[-1], head.norm)
        features = 2 * (sum(widths) if head.every_stage else widths[-1])
        self.norm = nn.BatchNorm1d(features)
        self.dropout = nn.Dropout(0.2)
        self.drops_first = len(widths) > 1  # every stage of a single one is the last map, and the same head
        self.hidden = None if head.hidden is None else nn.Linear(features, head.hidden)
        self.classify = nn.Linear(features if head.hidden is None else head.hidden, classes)

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        pooled = self.pool(x)
        features: Tensor = self.norm(self.dropout(pooled)) if self.drops_first else self.dropout(self.norm(pooled))
        if self.hidden is not None:
            features = F.relu(self.hidden(features))
        logits: Tensor = self.classify(features)
        return logits


def head_module(head: Head, widths: Sequence[int], classes: int) -> nn.Module:
    """The head of a network.

    Args:
        widths: Channels of the maps that it reads: of every stage's output if it pools every stage, otherwise of the
            last map alone.
    """
    if head.pooling == "learnable":
        return LearnableHead(head, widths, classes)
    width = widths[-1]
    if head.pooling == "gem":
        return nn.Sequential(OrderedDict(pool=GeneralisedMean(), classify=nn.Linear(width, classes)))
    kinds = {"average": AverageHead, "max": MaxHead, "attention": AttentionHead}
    return kinds[head.pooling](width, classes)
