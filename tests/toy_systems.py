"""Tiny exports without training: one bundle made in full, others of it with other weights, features or scenes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.export import load_bundle, write_bundle
from trainers.export.manifest import MANIFEST, write_json, write_manifest
from trainers.export.weights import write_weights
from trainers.front_end import FrontEnd
from trainers.synthetic import SCENES

FRONT_END = FrontEnd(sample_rate=8000, n_fft=512, window=400, hop=500, mels=8, f_max=4000.0, offset=4.5, scale=5.0)
SMALL = Architecture(
    input=InputShape(8, FRONT_END.frames),
    stem=ConvStem((4, 8)),
    stages=(Stage((CPMobileBlock(8, 16),)),),
    classes=len(SCENES),
)


def make_bundle(folder: Path, scenes: Sequence[str] = SCENES) -> Path:
    """An export with random weights; takes seconds."""
    write_bundle(
        folder,
        network=build(SMALL, seed=0),
        architecture=SMALL,
        form=Form.FOLDED,
        front_end=FRONT_END.to_json(),
        scenes=scenes,
        scores={},
        budget={},
        provenance={},
        examples=np.zeros((1, 8, FRONT_END.frames), dtype=np.float32),
    )
    return folder


def other(
    bundle: Path, folder: Path, *, seed: int | None = None, f_max: float | None = None, scenes: Sequence[str] = ()
) -> Path:
    """A copy of a bundle with weights of another seed, another front end or other scenes; takes no time."""
    shutil.copytree(bundle, folder)
    if seed is not None:
        torch.manual_seed(seed)
        network = build(SMALL, seed=seed).train()
        with torch.no_grad():  # norms that have heard something, so that a student hears more than one scene
            for _ in range(30):
                network(1.1 + torch.randn(64, 1, 8, 1) * 0.4 + torch.randn(64, 1, 8, FRONT_END.frames) * 0.3)
        write_weights(deployed(network, Form.FOLDED), SMALL.precision, folder / "model.safetensors")
    features = json.loads((folder / "features.json").read_text())
    if f_max is not None:
        features["front_end"]["f_max"] = f_max
    if scenes:
        features["scenes"] = list(scenes)
    write_json(folder / "features.json", features)
    (folder / MANIFEST).unlink()
    write_manifest(folder)
    load_bundle(folder)
    return folder
