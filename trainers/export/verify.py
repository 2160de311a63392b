"""Whether a bundle is what it says: every file against the manifest, and the network against its own reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from search_spaces.cost import form_cost
from trainers.export.bundle import INT8_MODEL, load_bundle
from trainers.export.manifest import ExportError
from trainers.export.runtime import OnnxNetwork

# Float32 sums in another order differ by about 1e-6 of the largest logit; anything wrong differs by far more than this.
TOLERANCE = 1e-3

# In int8 such a difference moves a value that lay between two steps to the other one, which may move others.
INT8_TOLERANCE = 0.1


@dataclass(frozen=True)
class BundleReport:
    """What was checked and how well it agreed.

    Attributes:
        files: Bytes of each file.
        weight_bytes: Of the parameters in the weights file; equal to the architecture's cost.
        difference: Largest difference between the rebuilt network's logits and the reference, as a share of the
            largest logit or of 1, whichever is more.
        onnx_difference: The same for model.onnx.
        int8_difference: The same for model.int8.onnx and its own reference; None where there is no student in int8.
    """

    files: dict[str, int]
    weight_bytes: int
    difference: float
    onnx_difference: float
    int8_difference: float | None


def verify_bundle(folder: Path) -> BundleReport:
    """Rebuilds the network from architecture.json and model.safetensors and holds everything against everything.

    model.pt2 is held against its digest only: opening a program runs what is in it.

    Raises:
        ExportError: Naming the file that disagrees.
    """
    bundle = load_bundle(folder)
    cost = form_cost(bundle.architecture, bundle.form).weight_bytes
    if bundle.weight_bytes != cost:
        raise ExportError(
            f"{folder / 'model.safetensors'} holds {bundle.weight_bytes:,} bytes of parameters, "
            f"but its architecture costs {cost:,}; export the network again"
        )
    reference = _reference(folder / "reference.npz", ["int8_logits"] * (bundle.int8_model is not None))
    examples = torch.from_numpy(reference["examples"])[:, None]

    def difference(file: str, network: nn.Module, expected: str, tolerance: float) -> float:
        with torch.inference_mode():
            return _agreement(folder / file, network(examples).numpy(), reference[expected], tolerance)

    return BundleReport(
        files=bundle.files,
        weight_bytes=bundle.weight_bytes,
        difference=difference("model.safetensors", bundle.network, "logits", TOLERANCE),
        onnx_difference=difference("model.onnx", OnnxNetwork(folder / "model.onnx"), "logits", TOLERANCE),
        int8_difference=None
        if bundle.int8_model is None
        else difference(INT8_MODEL, OnnxNetwork(bundle.int8_model), "int8_logits", INT8_TOLERANCE),
    )


def _reference(path: Path, more: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    names = ("examples", "logits", *more)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name].astype(np.float32) for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{path} does not hold {', '.join(names)} ({error}); export the network again") from error


def _agreement(
    path: Path, logits: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], tolerance: float
) -> float:
    if logits.shape != expected.shape:
        raise ExportError(f"{path} gives logits of shape {logits.shape}, reference.npz has {expected.shape}")
    difference = float(np.abs(logits - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= tolerance:
        raise ExportError(
            f"{path} gives logits that differ from reference.npz by {difference:.2g} of the largest, "
            f"more than {tolerance:g}; export the network again"
        )
    return difference
