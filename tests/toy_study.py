"""A study that takes seconds: tiny synthetic scenes, four tiny inputs, one pass over the clips."""

from pathlib import Path

STUDY = """\
name: toy
seed: 3
data:
  synthetic: {clips_per_scene: 45}
  validation_share: 0.4
features: {sample_rate: 8000, n_fft: 512, window: 512, hop: 500, mels: 16, f_max: 4000, offset: 4.5, scale: 5}
inputs: {mels: [8, 16], hops: [500, 1000]}
budget: {weight_bytes: 128000, macs: 400000}
teachers: {recipe: {epochs: 1}}
student: {epochs: 2, batch: 32}
search: {sampler: random, trials: 5, workers: 2, early_stopping: off}
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    """The toy study as a file."""
    path = folder / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path
