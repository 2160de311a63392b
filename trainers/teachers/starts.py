"""Where a teacher begins: from the weights of a file, whoever wrote it."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainers.efficientat import DyMn
from trainers.published import BASE, CheckpointError, check_tensors, is_published, load_published, read_state
from trainers.teachers.networks import Network, build

# What a folder of this project, of a teacher or a student, has its weights in, and of a teacher what it knows.
_WEIGHTS, _RECORD = "weights.safetensors", "teacher.json"


def start_digest(path: Path) -> str:
    """Of the weights in a file or folder that a teacher may begin from.

    Raises:
        CheckpointError: If there are none.
    """
    try:
        with _file(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror or error})") from error


def starting(network: Network, path: Path) -> Network:
    """The value of a network that begins from a file.

    The kernels of a DyMN that was trained on sounds are chosen sharply from the first epoch on, those of one that has
    only seen images ("..._im...", as EfficientAT names its files) are annealed from the beginning (Schmid et al. 2024).
    """
    return DyMn(network.width, tau=1.0) if isinstance(network, DyMn) and "_im" not in path.stem else network


def start_from(module: nn.Module, network: Network, path: Path, scenes: Sequence[str]) -> None:
    """Puts the weights of a file into a freshly built network.

    The file is EfficientAT's, one of the published layouts, or of this project: a teacher's or a student's folder, or a
    safetensors file of the same names. Every tensor must be there and of the right shape, but for those of the
    classifier, which stay fresh where the file has none, or one of another number of scenes or known to be of others.

    Raises:
        CheckpointError: If the file is missing or damaged, or of another network; names the first differences.
    """
    given, of_scenes = _read(path)
    own = module.state_dict()
    classifier = _classifier(network, own, len(scenes))
    of_others = of_scenes is not None and tuple(of_scenes) != tuple(scenes)
    if of_others or any(_shape(given.get(name)) != own[name].shape for name in classifier):
        own = {name: value for name, value in own.items() if name not in classifier}
        given = {name: value for name, value in given.items() if name not in classifier}
    check_tensors(path, given, own)
    with torch.no_grad():
        for name, value in given.items():
            own[name].copy_(value)


def _classifier(network: Network, own: Mapping[str, Tensor], scenes: int) -> set[str]:
    """Names of the tensors of the layers whose size depends on the number of scenes."""
    more = build(network, scenes + 1).state_dict()
    layers = {_layer(name) for name, value in own.items() if value.shape != more[name].shape}
    return {name for name in own if _layer(name) in layers}


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _read(path: Path) -> tuple[Mapping[str, Any], Sequence[str] | None]:
    """The tensors of a file by their names in our networks, and the scenes of its logits where they are known."""
    file = _file(path)
    if file.suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(file)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(file, f"cannot be read ({error})") from error
        return tensors, _scenes_beside(file)
    state = read_state(file)
    if is_published(state):
        published = load_published(file)
        return published.networks[BASE].state_dict(), published.layout.scenes
    return state, None


def _scenes_beside(weights: Path) -> Sequence[str] | None:
    """Those of a teacher, in the record beside its weights; a student's folder has none."""
    path = weights.parent / _RECORD
    if not path.exists():
        return None
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8"))["scenes"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(path, f"does not say which scenes its weights know ({error!r})") from error


def _file(path: Path) -> Path:
    return path / _WEIGHTS if os.path.isdir(path) else path  # Path.is_dir raises where the name is too long


def _shape(value: object) -> object:
    return getattr(value, "shape", None)
