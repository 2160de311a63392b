"""What a teacher may be: any known design, or one of EfficientAT's networks at any width."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.errors import InputError
from search_spaces.network import build as build_architecture
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.efficientat import DyMn, Mn

Network = Architecture | Mn | DyMn
"""A value that `build` makes a network of."""

WIDE = "cp-mobile-wide"
_EFFICIENTAT = re.compile(r"(?P<family>mn|dymn)(?P<tenths>[0-9]{2,3})(?P<convolutional>_fc)?")
NAMES = (*design_names(), WIDE, *teacher_names(), "mn10", "mn10_fc", "dymn10")
"""Of all networks; the digits of the last three, ten times the width, are free: mn04, dymn20."""


def network_named(name: str, mels: int, frames: int, scenes: int) -> Network:
    """The network of that name, for features and scenes of a study.

    Raises:
        InputError: If there is none; names those there are.
    """
    if name == WIDE:
        return _wide(mels, frames, scenes)
    match = _EFFICIENTAT.fullmatch(name)
    if match is None:
        if name not in NAMES:
            raise InputError(
                f"no network is named {name!r}; there are {', '.join(NAMES)} (mn and dymn of any width: mn04 is 0.4)"
            )
        return replace(design(name).at(mels, frames), classes=scenes)
    width = int(match["tenths"]) / 10
    if match["family"] == "mn":
        return Mn(width, "fully_convolutional" if match["convolutional"] else "mlp")
    if match["convolutional"]:
        raise InputError(f"there is no fully convolutional DyMN; take {name.removesuffix('_fc')!r}")
    return DyMn(width)


def build(network: Network, scenes: int, *, seed: int = 0) -> nn.Module:
    """The network in training form and training mode: (batch, 1, mels, frames) -> (batch, scenes).

    Args:
        seed: Of the initial weights; the global generator of torch is left as it was.
    """
    if isinstance(network, Architecture):
        return build_architecture(replace(network, classes=scenes), seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.network(scenes)


def network_from_json(data: Mapping[str, Any]) -> Network:
    """The value that `to_json` of any of them wrote.

    Raises:
        InputError: If it is none.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"a network is described by settings by their names, not by {data!r:.60}")
    family = data.get("family")
    if family == "mn":
        return Mn.from_json(data)
    if family == "dymn":
        return DyMn.from_json(data)
    return Architecture.from_json(dict(data))


def _wide(mels: int, frames: int, scenes: int) -> Architecture:
    """CP-Mobile as entered in 2023, half as wide again: about 0.29 million parameters, 66 million MACs at 256x64.

    That is about twice the cost of a student at the limit, so that a teacher can be taught where the students are. Its
    strides (frequency and time in the second block, frequency in the fourth) are those of the 2023 entry, without its
    GRN.
    """
    return Architecture(
        input=InputShape(mels, frames),
        stem=ConvStem((16, 48)),
        stages=(
            Stage((CPMobileBlock(48, 144), CPMobileBlock(48, 144, stride=(2, 2)), CPMobileBlock(48, 144))),
            Stage((CPMobileBlock(112, 144, stride=(2, 1)), CPMobileBlock(112, 336))),
            Stage((CPMobileBlock(256, 336),)),
        ),
        classes=scenes,
        precision="fp32",
    )
