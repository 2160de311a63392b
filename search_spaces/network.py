"""From an architecture to a torch network in training form."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import (
    Architecture,
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    RepStem,
    Stage,
    Stem,
)
from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.dsflexi import DSFlexi
from search_spaces.blocks.heads import AverageHead, LearnableHead
from search_spaces.blocks.inverted_residual import cp_mobile, dpcp
from search_spaces.blocks.normalisation import ResidualNormalization
from search_spaces.blocks.rep_conv import RepConv2d


def build(architecture: Architecture, *, seed: int = 0) -> "Network":
    """The network of an architecture, in training form and training mode.

    Args:
        seed: Of the initial weights; the global generator of torch is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(architecture)


class Network(nn.Module):
    """Stem, stages, head: features (batch, 1, mels, frames) to logits (batch, classes), float32."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = _stem(architecture.stem)
        width = architecture.stem.widths[1]
        stages = []
        for stage in architecture.stages:
            stages.append(_Stage(stage, width))
            width = stage.blocks[-1].width
        self.stages = nn.Sequential(*stages)
        learnable = architecture.head.pooling == "learnable"
        self.head = (LearnableHead if learnable else AverageHead)(width, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


class _Stage(nn.Module):
    """Blocks in a row, the skip around them, the normalisation after them."""

    def __init__(self, stage: Stage, c_in: int) -> None:
        super().__init__()
        blocks = []
        for block in stage.blocks:
            blocks.append(_block(block, c_in))
            c_in = block.width
        self.blocks = nn.Sequential(*blocks)
        self.skip = stage.skip
        self.norm = ResidualNormalization(c_in) if stage.norm == "residual" else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x)
        if self.skip:
            y = y + x
        if self.norm is not None:
            y = self.norm(y)
        return y


class _ConvStem(nn.Module):
    def __init__(self, stem: ConvStem) -> None:
        super().__init__()
        self.conv1 = ConvNorm(1, stem.widths[0], 3, stride=(2, 2))
        self.conv2 = ConvNorm(stem.widths[0], stem.widths[1], 3, stride=(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))))


class _RepStem(nn.Module):
    def __init__(self, stem: RepStem) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(1)
        self.conv1 = RepConv2d(1, stem.widths[0], stem.kernels, stride=(2, 2))
        self.norm2 = nn.BatchNorm2d(stem.widths[0])
        self.conv2 = RepConv2d(stem.widths[0], stem.widths[1], stem.kernels, stride=(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.norm2(F.relu(self.conv1(self.norm1(x))))))


def _stem(stem: Stem) -> nn.Module:
    return _ConvStem(stem) if isinstance(stem, ConvStem) else _RepStem(stem)


def _block(block: Block, c_in: int) -> nn.Module:
    if isinstance(block, CPMobileBlock):
        return cp_mobile(block, c_in)
    if isinstance(block, DPCPBlock):
        return dpcp(block, c_in)
    return DSFlexi(block, c_in)
