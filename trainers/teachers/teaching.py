"""A teacher: a network too large for the target, taught with labels only, whose logits the students learn from."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.errors import NasError
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from search_spaces.seeds import derive_seed
from trainers.cache import open_or_build
from trainers.evaluation import logits_of, score
from trainers.material import Material
from trainers.recipe import Recipe
from trainers.threads import torch_threads
from trainers.training import EpochResult, Training
from trainers.weights import load_weights, save_weights

# Raise it when the same key gives another teacher.
FORMAT = 1


class TeacherError(NasError):
    """A teacher's folder that cannot be read."""


def teacher_architecture(mels: int, frames: int, classes: int) -> Architecture:
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
        classes=classes,
        precision="fp32",
    )


def train_teacher(
    material: Material,
    recipe: Recipe,
    *,
    seed: int,
    cache_root: Path,
    architecture: Architecture | None = None,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[EpochResult], None] | None = None,
) -> Path:
    """The folder of a teacher, taught now or in an earlier run. An interrupted teacher starts over.

    Args:
        material: The teacher learns from the labels of its fit clips; teacher logits in it play no part.
        seed: Of the weights and of the training.
        architecture: By default `teacher_architecture` for the material.
        progress: Called after each epoch; never for a teacher of an earlier run.

    Returns:
        A folder with architecture.json, weights.safetensors (training form, float32) and scores.json (over the
        validation clips). Its key is the material, the recipe, the architecture and the seed.

    Raises:
        TrainingFailed: If the loss is no longer finite.
        CacheError: If the folder cannot be written.
    """
    shape = architecture or teacher_architecture(material.mels, material.frames, len(material.scenes))
    labels_only = replace(recipe, teacher_share=0.0, temperature=1.0)
    key = {
        "material": material.name,
        "recipe": labels_only.to_json(),
        "architecture": shape.to_json(),
        "seed": seed,
        "format": FORMAT,
    }

    def teach(folder: Path) -> None:
        network = build(shape, seed=derive_seed(seed, "weights"))
        training = Training(network, material, labels_only, seed=seed, threads=threads, device=device)
        for _ in range(recipe.epochs):
            result = training.epoch()
            if progress is not None:
                progress(result)
        rows = material.rows["validation"]
        with torch_threads(threads):
            logits = logits_of(network, material.features, rows)
        scores = score(
            logits,
            material.labels[rows],
            material.devices[rows],
            material.scenes,
            material.trained_devices,
        )
        save_weights(network, folder / "weights.safetensors")
        (folder / "architecture.json").write_text(json.dumps(shape.to_json(), indent=2) + "\n", encoding="utf-8")
        (folder / "scores.json").write_text(json.dumps(scores.to_json(), indent=2) + "\n", encoding="utf-8")

    return open_or_build(cache_root, "teacher", key, teach)


def load_teacher(folder: Path) -> tuple[Architecture, nn.Module]:
    """A teacher from its folder: what it is, and its network in evaluation mode.

    Raises:
        TeacherError: If a file is missing or damaged, or the weights are not those of the architecture.
    """
    try:
        architecture = Architecture.from_json(json.loads((folder / "architecture.json").read_text(encoding="utf-8")))
        network = build(architecture)
        load_weights(network, folder / "weights.safetensors")
    except (OSError, ValueError, NasError) as error:
        raise TeacherError(
            f"the teacher in {folder} cannot be read ({error}); delete the folder and teach it again"
        ) from error
    return architecture, network.eval()
