"""Whether a bundle is what it says: every file against the manifest, and the network against its own reference."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from search_spaces.cost import form_cost
from trainers.export.bundle import load_bundle
from trainers.export.manifest import ExportError

# Float32 sums in another order differ by about 1e-6 of the largest logit; anything wrong differs by far more than this.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class BundleReport:
    """What was checked and how well it agreed.

    Attributes:
        files: Bytes of each file.
        weight_bytes: Of the parameters in the weights file; equal to the architecture's cost.
        difference: Largest difference between the rebuilt network's logits and the reference, as a share of the
            largest logit or of 1, whichever is more.
        onnx_difference: The same for model.onnx; None where onnxruntime is not installed.
    """

    files: dict[str, int]
    weight_bytes: int
    difference: float
    onnx_difference: float | None


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
    examples, expected = _reference(folder / "reference.npz")
    with torch.inference_mode():
        logits = bundle.network(torch.from_numpy(examples)[:, None]).numpy()
    return BundleReport(
        files=bundle.files,
        weight_bytes=bundle.weight_bytes,
        difference=_agreement(folder / "model.safetensors", logits, expected),
        onnx_difference=_onnx_difference(folder / "model.onnx", examples, expected),
    )


def _reference(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["examples"].astype(np.float32), arrays["logits"].astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{path} does not hold examples and logits ({error}); export the network again") from error


def _onnx_difference(path: Path, examples: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"features": examples[:, None]})
    return _agreement(path, np.asarray(logits), expected)


def _agreement(path: Path, logits: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    if logits.shape != expected.shape:
        raise ExportError(f"{path} gives logits of shape {logits.shape}, reference.npz has {expected.shape}")
    difference = float(np.abs(logits - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{path} gives logits that differ from reference.npz by {difference:.2g} of the largest, "
            f"more than {TOLERANCE:g}; export the network again"
        )
    return difference
