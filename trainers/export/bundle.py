"""Writing a bundle, whole or not at all, and opening one for use."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.cost import FormCost, form_cost
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from trainers.cache import replacing, sole_builder
from trainers.export.card import card
from trainers.export.graphs import write_graphs, write_int8_graph
from trainers.export.manifest import (
    MANIFEST,
    ExportError,
    check_manifest,
    listed_files,
    read_json,
    write_json,
    write_manifest,
)
from trainers.export.weights import read_weights, write_weights
from trainers.precision import stored

if TYPE_CHECKING:
    from trainers.int8 import Int8Network

INT8_MODEL = "model.int8.onnx"


@dataclass(frozen=True)
class Int8Student:
    """A student taught further in int8, for a bundle.

    Attributes:
        scores: As those of `write_bundle`.
    """

    network: "Int8Network"
    scores: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened.

    Attributes:
        network: The deployed form in evaluation mode: (batch, 1, mels, frames) -> (batch, scenes), in float32 with the
            values of the weights file.
        architecture: What it is.
        form: Which form of it is deployed.
        front_end: Settings of the features it was taught on.
        scenes: Names in the order of the logits.
        results: Scores, budget and provenance as they were given.
        weight_bytes: Bytes of the parameters in the weights file.
        files: Bytes of each file.
        int8_model: The graph of the student in int8; None where there is none.
    """

    network: nn.Module
    architecture: Architecture
    form: Form
    front_end: dict[str, Any]
    scenes: tuple[str, ...]
    results: dict[str, Any]
    weight_bytes: int
    files: dict[str, int]
    int8_model: Path | None


def write_bundle(
    folder: Path,
    *,
    network: nn.Module,
    architecture: Architecture,
    form: Form,
    front_end: Mapping[str, Any],
    scenes: Sequence[str],
    scores: Mapping[str, Mapping[str, Any]],
    budget: Mapping[str, int | None],
    provenance: Mapping[str, Any],
    examples: npt.NDArray[np.floating[Any]],
    int8: Int8Student | None = None,
) -> None:
    """Writes the folder with everything it takes to run, check or port a student.

    Files: architecture.json (with its cost in training and deployed form), model.safetensors (deployed form, at the
    architecture's precision; see `export.weights`), model.onnx, model.pt2, features.json (front end, input shape,
    scenes), reference.npz (examples and their logits), results.json (scores, budget, provenance), card.md, and
    manifest.json, written last; with a student in int8 also its graph, model.int8.onnx. An earlier bundle in the folder
    is replaced once the new one is complete.

    Args:
        network: Taught, in training form; it stays as it is.
        form: "folded" or "unfolded": what the cost of the architecture says is deployed.
        front_end: `FrontEnd.to_json()` of the features.
        scores: `Scores.to_json()` by the name of the clips they are over, for example "validation"; measured with the
            deployed form at its precision.
        budget: Limits by name, as on the card; None for no limit.
        provenance: What made the network (study, trial, seeds, data digests, versions), as JSON; may nest one level.
        examples: (n, mels, frames) a few feature maps, n at least 1.
        int8: The same student in int8, from its folded form.

    Raises:
        ExportError: If the folder holds anything but an earlier bundle, or what is given does not belong together.
        CacheError: If the folder cannot be written.
    """
    shape = architecture.input
    if examples.ndim != 3 or len(examples) == 0 or examples.shape[1:] != (shape.mels, shape.frames):
        raise ExportError(
            f"the examples for a bundle need the shape (n, {shape.mels}, {shape.frames}), n at least 1; "
            f"they have {examples.shape}"
        )
    if len(scenes) != architecture.classes:
        raise ExportError(f"there are {len(scenes)} scene names for {architecture.classes} outputs of the architecture")
    if form is Form.TRAINING:
        raise ExportError("the training form is not deployed; choose the folded or the unfolded form")
    folder = folder.absolute()
    _check_replaceable(folder)
    plain = deployed(network, form).to("cpu")
    held = stored(plain, architecture.precision)
    maps = examples.astype(np.float32)
    with torch.inference_mode():
        reference = {"examples": maps, "logits": held(torch.from_numpy(maps)[:, None]).numpy()}
        if int8 is not None:
            reference["int8_logits"] = int8.network.eval()(torch.from_numpy(maps)[:, None]).numpy()
    costs = {
        "training": asdict(form_cost(architecture, Form.TRAINING)),
        "deployed": asdict(form_cost(architecture, form)),
    }
    results = {"scores": _plain(scores), "budget": dict(budget), "provenance": dict(provenance)}
    if int8 is not None:
        costs["int8"] = asdict(int8_cost(architecture))
        results["int8_scores"] = _plain(int8.scores)
    features = {"input": asdict(shape), "scenes": list(scenes), "front_end": dict(front_end)}
    with sole_builder(folder), replacing(folder) as temporary:
        write_json(
            temporary / "architecture.json", {"architecture": architecture.to_json(), "form": form.value, "cost": costs}
        )
        write_weights(plain, architecture.precision, temporary / "model.safetensors")
        write_graphs(
            held, shape.mels, shape.frames, onnx_path=temporary / "model.onnx", program_path=temporary / "model.pt2"
        )
        if int8 is not None:
            write_int8_graph(int8.network, shape.mels, shape.frames, temporary / INT8_MODEL)
        write_json(temporary / "features.json", features)
        np.savez(temporary / "reference.npz", **reference)
        write_json(temporary / "results.json", results)
        (temporary / "card.md").write_text(
            card(
                architecture,
                costs=costs,
                scores=scores,
                int8_scores=None if int8 is None else int8.scores,
                budget=budget,
                front_end=front_end,
                scenes=scenes,
                provenance=provenance,
            ),
            encoding="utf-8",
        )
        write_manifest(temporary)


def load_bundle(folder: Path) -> Bundle:
    """Opens a bundle for use, after checking the digests of its files. The graphs in it are not opened.

    Raises:
        ExportError: Naming the file that is missing, changed or does not fit the others.
    """
    files = check_manifest(folder)
    described = read_json(folder / "architecture.json")
    features = read_json(folder / "features.json")
    try:
        form = Form(described["form"])
        scenes = tuple(str(scene) for scene in features["scenes"])
        front_end = dict(features["front_end"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"{folder / 'architecture.json'} or features.json beside it lacks what a bundle has ({error})"
        ) from error
    architecture = Architecture.from_json(described.get("architecture"))
    network = deployed(build(architecture), form)
    weight_bytes = read_weights(network, folder / "model.safetensors")
    return Bundle(
        network=network,
        architecture=architecture,
        form=form,
        front_end=front_end,
        scenes=scenes,
        results=read_json(folder / "results.json"),
        weight_bytes=weight_bytes,
        files=files,
        int8_model=folder / INT8_MODEL if INT8_MODEL in files else None,
    )


def int8_cost(architecture: Architecture) -> FormCost:
    """What an architecture costs as a student in int8, which is folded whatever form fits the budget in float."""
    return form_cost(replace(architecture, precision="int8"), Form.FOLDED)


def _check_replaceable(folder: Path) -> None:
    """An earlier bundle may be replaced, and nothing that a person put there may be lost."""
    if not folder.exists() and not folder.is_symlink():
        return
    foreign = "it is no folder of an earlier export"
    if folder.is_dir() and not folder.is_symlink() and (folder / MANIFEST).is_file():
        others = sorted({path.name for path in folder.iterdir()} - {MANIFEST, *listed_files(folder)})
        if not others:
            return
        foreign = f"it also holds {others[0]}, which no export wrote"
    raise ExportError(f"{folder} exists and {foreign}; choose another folder or move it away")


def _plain(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part: dict(values) for part, values in scores.items()}
