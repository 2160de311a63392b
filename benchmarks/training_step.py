"""How near the training loop comes to its limit, and how far it is from a plain loop, for three architectures.

All three teach the same network on batches of the same shape:

- the limit: forward, cross-entropy, backward and AdamW, again and again on a batch that already lies in memory, in the
  memory format and with the layers that training uses;
- `Training.epoch`, which also gathers its clips from a memory map on disk, augments them, reads teacher logits, clips
  gradients and sets the learning rate;
- a plain loop as baselines are written: waveforms from a `DataLoader`, rolled, to a mel spectrogram in every step by
  torchaudio, a frequency mask, Freq-MixStyle, the contiguous memory format, and layers as their papers draw them: every
  branch of a RepConv by itself, dilated convolutions and instance norms torch's own. It has no teacher.

They take turns, and the median of the rounds is shown, so a busy machine slows all alike. Goals: 90 % of the limit, and
4 times the plain loop.

    python benchmarks/training_step.py --threads 1
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from search_spaces.architecture import Architecture
from search_spaces.blocks.normalisation import ResidualNormalization
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.blocks.trained_conv import DilatedConv2d
from search_spaces.designs import design
from search_spaces.network import build
from trainers.augmentation.spectra import freq_mixstyle
from trainers.material import Material, mapped_array
from trainers.recipe import Recipe
from trainers.training import Training, channels_last

DESIGNS = ("cp-mobile-2025", "dynacp", "sharif")
SCENES, RATE = 10, 32_000


def main() -> int:
    """Prints one table; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mels", type=int, default=128)
    parser.add_argument("--hop", type=int, default=1000, help="samples at 32 kHz (default 1000: 33 frames)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6, help="steps of each round (default 6)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one to warm up (default 5)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    frames, clips = RATE // given.hop + 1, given.batch * given.steps
    lines = [
        f"{given.mels}x{frames}, batch {given.batch}, float32, {given.threads} thread(s), torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}",
        f"{'clips/s':18}{'limit':>8}{'this loop':>11}{'of the limit':>14}{'plain loop':>12}{'times faster':>14}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        material = _material(Path(folder), clips, given.mels, frames)
        for name in DESIGNS:
            architecture = design(name).at(given.mels, frames)
            recipe = Recipe(epochs=given.rounds + 1, batch=given.batch)
            training = Training(build(architecture), material, recipe, seed=0, threads=given.threads)
            bare, plain = _BareStep(architecture, given.batch), _PlainLoop(architecture, clips, given.hop, given.batch)
            seconds: dict[str, list[float]] = {"limit": [], "ours": [], "plain": []}
            for _ in range(given.rounds + 1):
                seconds["ours"].append(training.epoch().seconds)
                seconds["limit"].append(bare.seconds(given.steps))
                seconds["plain"].append(plain.seconds())
            rate = {kind: clips / statistics.median(times[1:]) for kind, times in seconds.items()}
            lines.append(
                f"{name:18}{rate['limit']:>8,.0f}{rate['ours']:>11,.0f}{rate['ours'] / rate['limit']:>14.1%}"
                f"{rate['plain']:>12,.0f}{rate['ours'] / rate['plain']:>14.1f}"
            )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _material(folder: Path, clips: int, mels: int, frames: int) -> Material:
    rng = np.random.default_rng(0)
    np.save(folder / "clips.npy", rng.normal(size=(clips, mels, frames)).astype(np.float16))
    np.save(folder / "logits.npy", rng.normal(size=(clips, SCENES)).astype(np.float16))
    return Material(
        features=mapped_array(folder / "clips.npy", clips=clips, dims=3),
        labels=rng.integers(0, SCENES, clips).astype(np.int64),
        devices=np.array(["a"] * clips),
        rows={"fit": np.arange(clips), "validation": np.arange(0), "test": np.arange(0)},
        scenes=tuple(f"scene {number}" for number in range(SCENES)),
        logits=mapped_array(folder / "logits.npy", clips=clips, dims=2),
    )


class _BareStep:
    """Forward, loss, backward, optimizer, again and again on one batch."""

    def __init__(self, architecture: Architecture, batch: int) -> None:
        self.network = channels_last(build(architecture))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)
        self.batch = torch.randn(batch, 1, architecture.input.mels, architecture.input.frames)
        self.labels = torch.randint(0, SCENES, (batch,))

    def seconds(self, steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            _step(self.network, self.optimizer, self.batch, self.labels)
        return time.perf_counter() - started


class _PlainLoop:
    """An epoch over waveforms: loaded clip by clip, everything else computed in the step."""

    def __init__(self, architecture: Architecture, clips: int, hop: int, batch: int) -> None:
        self.network = _as_drawn(build(architecture))
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        waves, labels = torch.randn(clips, RATE), torch.randint(0, SCENES, (clips,))
        self.loader = DataLoader(TensorDataset(waves, labels), batch_size=batch, shuffle=True)
        self.mel = torchaudio.transforms.MelSpectrogram(
            RATE, n_fft=4096, win_length=3072, hop_length=hop, n_mels=architecture.input.mels, f_max=RATE / 2
        )
        self.mask = torchaudio.transforms.FrequencyMasking(architecture.input.mels * 48 // 256, iid_masks=True)
        self.rng = np.random.default_rng(0)

    def seconds(self) -> float:
        started = time.perf_counter()
        for waves, labels in self.loader:
            shift = int(self.rng.integers(-RATE // 10, RATE // 10))
            powers = self.mask(self.mel(waves.roll(shift, dims=1))[:, None])
            features = torch.log(powers + 1e-5)
            if self.rng.random() < 0.4:
                features = freq_mixstyle(features[:, 0], 0.3, self.rng)[:, None]
            _step(self.network, self.optimizer, features, labels)
        return time.perf_counter() - started


def _as_drawn(network: nn.Module) -> nn.Module:
    """The network without our ways around in training: these modules take the plain way in evaluation mode."""
    for module in network.modules():
        if isinstance(module, RepConv2d | DilatedConv2d | ResidualNormalization):
            module.training = False
    return network


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, features: Tensor, labels: Tensor) -> None:
    loss = F.cross_entropy(network(features), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


if __name__ == "__main__":
    sys.exit(main())
