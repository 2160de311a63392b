"""Teaching a teacher: a network too large for the target learns from labels alone, and students from its logits."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from search_spaces.digest import digest
from search_spaces.errors import NasError
from search_spaces.seeds import derive_seed
from trainers.cache import finished, open_or_build
from trainers.efficientat import DyMn, Mn
from trainers.material import Material
from trainers.published import BASE, load_published
from trainers.recipe import Recipe
from trainers.teachers.networks import Network, build, network_from_json
from trainers.teachers.starts import start_digest, start_from
from trainers.teachers.teacher import Teacher
from trainers.training import EpochResult, Training
from trainers.weights import load_weights, save_weights

KIND = "teacher"
"""Of the folder of a teacher."""
# Raise it when the same key gives another teacher.
FORMAT = 2

_RECORD, _WEIGHTS = "teacher.json", "weights.safetensors"


class TeacherError(NasError):
    """A teacher's folder that cannot be read."""


@dataclass(frozen=True)
class Taught:
    """What the folder of a teacher says of it.

    Attributes:
        network: What it is, to be built again or taught further.
        scenes: In the order of its logits.
        seconds: Wall time of its training.
        losses: Mean loss of each epoch.
    """

    network: Network
    scenes: tuple[str, ...]
    seconds: float
    losses: tuple[float, ...]

    def build(self) -> nn.Module:
        """A network of its kind, with weights of no meaning."""
        return build(self.network, len(self.scenes))


def train_teacher(
    material: Material,
    network: Network,
    recipe: Recipe,
    *,
    seed: int,
    cache_root: Path,
    start: Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[EpochResult], None] | None = None,
) -> Path:
    """The folder of a teacher, taught now or in an earlier run. An interrupted teacher starts over.

    Args:
        material: The teacher learns from the labels of its fit clips; teacher logits in it play no part.
        seed: Of the weights and of the training.
        start: Weights to begin from; see `starts.start_from`.
        progress: Called after each epoch; never for a teacher of an earlier run.

    Returns:
        A folder with teacher.json (`Taught`) and weights.safetensors (training form, float32). Its key is the material,
        the network, the recipe, the seed and the weights it began from.

    Raises:
        CheckpointError: If the start cannot be used for this network.
        TrainingFailed: If the loss is no longer finite.
        CacheError: If the folder cannot be written.
    """
    labels_only = _labels_only(recipe)

    def teach(folder: Path) -> None:
        module = build(network, len(material.scenes), seed=derive_seed(seed, "weights"))
        if start is not None:
            start_from(module, network, start, material.scenes)
        labels = replace(material, logits=None, views=material.views and material.views._replace(logits=None))
        training = Training(module, labels, labels_only, seed=seed, threads=threads, device=device)
        started, losses = time.perf_counter(), []
        for _ in range(recipe.epochs):
            result = training.epoch()
            losses.append(result.loss)
            if progress is not None:
                progress(result)
        save_weights(training.taught, folder / _WEIGHTS)
        record = {
            "network": _after(network, recipe.epochs).to_json(),
            "scenes": list(material.scenes),
            "seconds": time.perf_counter() - started,
            "losses": losses,
        }
        (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    return open_or_build(cache_root, KIND, _key(material, network, recipe, seed, start), teach)


def find_teacher(
    material: Material, network: Network, recipe: Recipe, *, seed: int, cache_root: Path, start: Path | None = None
) -> Path | None:
    """The folder of a teacher that was taught in an earlier run, if it was; see `train_teacher`."""
    return finished(cache_root, KIND, _key(material, network, recipe, seed, start))


def _key(material: Material, network: Network, recipe: Recipe, seed: int, start: Path | None) -> dict[str, Any]:
    return {
        "material": material.name,
        "scenes": list(material.scenes),
        "recipe": _labels_only(recipe).to_json(),
        "network": network.to_json(),
        "seed": seed,
        "start": None if start is None else start_digest(start),
        "format": FORMAT,
    }


def _labels_only(recipe: Recipe) -> Recipe:
    """The recipe without the settings that need a teacher, so that they make no other one."""
    return replace(recipe, teacher_share=0.0, temperature=1.0, kl_mean="batch")


def read_taught(folder: Path) -> Taught:
    """What a teacher's folder says of it.

    Raises:
        TeacherError: If its record is missing or damaged.
    """
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return Taught(
            network_from_json(record["network"]),
            tuple(record["scenes"]),
            float(record["seconds"]),
            tuple(record["losses"]),
        )
    except (OSError, ValueError, TypeError, KeyError, NasError) as error:
        raise _unreadable(folder, error) from error


def taught_teacher(name: str, base: Path, tuned: Mapping[str, Path] | None = None) -> Teacher:
    """The teacher in a folder, with those that it became for single recording devices.

    Raises:
        TeacherError: If a file is missing or damaged; of the weights not before they are loaded.
    """
    folders = {BASE: base, **(tuned or {})}
    taught = {recording_device: read_taught(folder) for recording_device, folder in folders.items()}

    def networks() -> dict[str, nn.Module]:
        loaded = {}
        for recording_device, folder in folders.items():
            module = taught[recording_device].build()
            try:
                load_weights(module, folder / _WEIGHTS)
            except NasError as error:
                raise _unreadable(folder, error) from error
            loaded[recording_device] = module.eval()
        return loaded

    return Teacher(
        name=name,
        digest=digest({recording_device: _digest(folder) for recording_device, folder in folders.items()}),
        scenes=taught[BASE].scenes,
        parameters=_parameters(taught[BASE].build()),
        networks=networks,
    )


def published_teacher(name: str, path: Path, *, per_device: bool) -> Teacher:
    """A published checkpoint as it is.

    Args:
        per_device: Whether to listen to its models for single recording devices, where it has some.

    Raises:
        CheckpointError: If the file cannot be used.
    """
    published = load_published(path)
    chosen = published.networks if per_device else {BASE: published.networks[BASE]}
    return Teacher(
        name=name,
        digest=digest([start_digest(path), sorted(chosen)]),
        scenes=published.layout.scenes,
        parameters=_parameters(published.networks[BASE]),
        networks=lambda: chosen,
    )


def _after(network: Network, epochs: int) -> Network:
    return network.after(epochs) if isinstance(network, Mn | DyMn) else network


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _digest(folder: Path) -> str:
    """Of what decides what a teacher says: its weights and what they are the weights of."""
    taught = read_taught(folder)
    try:
        with (folder / _WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(folder, error) from error
    return digest([taught.network.to_json(), list(taught.scenes), weights])


def _unreadable(folder: Path, error: Exception) -> TeacherError:
    return TeacherError(f"the teacher in {folder} cannot be read ({error}); delete the folder and teach it again")
