"""From an architecture to a torch network in training form."""

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Stage
from search_spaces.blocks.dpcp import dpcp
from search_spaces.blocks.dsflexi import DSFlexi, DSFlexiA, DSFlexiM
from search_spaces.blocks.heads import head_module
from search_spaces.blocks.inverted_residual import cp_mobile, rep_mobile
from search_spaces.blocks.normalisation import stage_norm
from search_spaces.blocks.rep_blocks import rep_conv_block
from search_spaces.blocks.residual import Residual
from search_spaces.blocks.stems import conv_stem, rep_stem, resnet_stem
from search_spaces.parts import (
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiABlock,
    DSFlexiBlock,
    DSFlexiMBlock,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
    ResidualBlock,
    ResNetStem,
    Stem,
)


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
        self.stem = stem_module(architecture.stem)
        width = architecture.stem.width
        stages, own_widths = [], []
        for stage in architecture.stages:
            stages.append(_Stage(stage, width))
            own_widths.append(stage.blocks[-1].width)
            width = own_widths[-1] + (architecture.stem.width if stage.concat else 0)
        self.stages = nn.ModuleList(stages)
        self._every_stage = architecture.head.every_stage
        self.head = head_module(architecture.head, own_widths if self._every_stage else [width], architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        first = y = self.stem(x)
        outputs = []
        for stage in self.stages:
            outputs.append(stage(y))
            y = torch.cat([outputs[-1], first], 1) if stage.concat else outputs[-1]
        logits: Tensor = self.head(outputs if self._every_stage else y)
        return logits


class _Stage(nn.Module):
    """Blocks in a row, the skip around them, the normalisation after them. Whether the stem's output follows is noted
    for the network, which has it."""

    def __init__(self, stage: Stage, c_in: int) -> None:
        super().__init__()
        blocks = []
        for block in stage.blocks:
            blocks.append(block_module(block, c_in))
            c_in = block.width
        self.blocks = nn.Sequential(*blocks)
        self.skip = stage.skip
        self.norm = stage_norm(stage.norm, c_in)
        self.concat = stage.concat

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x)
        if self.skip:
            y = y + x
        if self.norm is not None:
            y = self.norm(y)
        return y


def stem_module(stem: Stem) -> nn.Module:
    """The stem that a value describes."""
    match stem:
        case ConvStem():
            return conv_stem(stem)
        case RepStem():
            return rep_stem(stem)
        case ResNetStem():
            return resnet_stem(stem)


def block_module(block: Block, c_in: int) -> nn.Module:
    """The block that a value describes, after `c_in` channels."""
    match block:
        case CPMobileBlock():
            return cp_mobile(block, c_in)
        case DPCPBlock():
            return dpcp(block, c_in)
        case RepMobileBlock():
            return rep_mobile(block, c_in)
        case RepConvBlock():
            return rep_conv_block(block, c_in)
        case DSFlexiBlock():
            return DSFlexi(block, c_in)
        case DSFlexiABlock():
            return DSFlexiA(block, c_in)
        case DSFlexiMBlock():
            return DSFlexiM(block, c_in)
        case ResidualBlock():
            return Residual(block, c_in)
