"""How near the training loop comes to its limit: the bare step on a batch that already lies in memory.

Both teach the same network (cp-mobile-2025) on batches of the same shape. The loop also gathers its clips from a
memory map on disk, augments them, reads teacher logits, clips gradients and sets the learning rate; the bare step is
forward, cross-entropy, backward and AdamW. The two take turns, and the median of the rounds is shown, so a busy
machine slows both alike.

    python benchmarks/training_step.py --threads 1
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from search_spaces.designs import design
from search_spaces.network import build
from trainers.material import Material, mapped_array
from trainers.recipe import Recipe
from trainers.training import Training, channels_last

SCENES = 10


def main() -> int:
    """Prints one table; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mels", type=int, default=128)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12, help="steps of each round (default 12)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one to warm up (default 5)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        clips = _material(Path(folder), given.batch * given.steps, given.mels, given.frames)
        recipe = Recipe(epochs=given.rounds + 1, batch=given.batch)
        network = build(design("cp-mobile-2025").at(given.mels, given.frames))
        training = Training(network, clips, recipe, seed=0, threads=given.threads)
        bare = _BareStep(given.batch, given.mels, given.frames)
        seconds: dict[str, list[float]] = {"epoch": [], "bare": []}
        for _ in range(given.rounds + 1):
            seconds["epoch"].append(training.epoch().seconds)
            seconds["bare"].append(bare.seconds(given.steps))
    rate = {name: len(clips.labels) / statistics.median(times[1:]) for name, times in seconds.items()}
    lines = [
        f"cp-mobile-2025 at {given.mels}x{given.frames}, batch {given.batch}, float32, "
        f"{given.threads} thread(s), torch {torch.__version__}",
        f"{'':34}{'clips/s':>10}{'of the limit':>14}",
        f"{'bare step, resident batch (limit)':34}{rate['bare']:>10,.0f}{1:>14.1%}",
        f"{'Training.epoch':34}{rate['epoch']:>10,.0f}{rate['epoch'] / rate['bare']:>14.1%}",
    ]
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

    def __init__(self, batch: int, mels: int, frames: int) -> None:
        self.network = channels_last(build(design("cp-mobile-2025").at(mels, frames)))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)
        self.batch = torch.randn(batch, 1, mels, frames)
        self.labels = torch.randint(0, SCENES, (batch,))

    def seconds(self, steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            loss = F.cross_entropy(self.network(self.batch), self.labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
