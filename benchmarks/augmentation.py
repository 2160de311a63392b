"""What augmentation costs: batches of each named set against batches that are only indexed, and as a share of a step.

A step teaches cp-mobile-2025: an indexed batch in float32, forward, cross-entropy, backward and AdamW. "views" indexes
one of three augmented draws or the clean clip. All take turns in one run, and the median of the rounds is shown, so a
busy machine slows all alike. The goal is at most 10 % of the step.

    python benchmarks/augmentation.py --threads 1
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from search_spaces.designs import design
from search_spaces.network import build
from trainers.augmentation.batches import Batch, augmented
from trainers.augmentation.named_sets import NAMED_SETS
from trainers.fit_clips import FitClips
from trainers.front_end import BASELINE_2025
from trainers.material import ClipViews, Material, mapped_array
from trainers.training import channels_last

SCENES = 10
VIEWS = 3
BATCHES = 20  # of a round: some augmentations come by chance
INDEX, STEP = "index only", "training step"


def main() -> int:
    """Prints a table for each input; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10, help="rounds, after one to warm up (default 10)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for mels, frames in ((256, 65), (128, 33)):
        with tempfile.TemporaryDirectory() as folder:
            median = _medians(_work(Path(folder), given.batch, mels, frames), given.rounds)
        sys.stdout.write(
            f"cp-mobile-2025 at {mels}x{frames}, batch {given.batch}, {given.threads} thread(s), "
            f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}\n"
            f"{'':20}{'ms':>8}{'beyond the index':>18}{'of a step':>11}\n"
        )
        for name, seconds in median.items():
            beyond = seconds - median[INDEX]
            shares = f"{1000 * beyond:>18.1f}{beyond / median[STEP]:>11.1%}" if name not in (INDEX, STEP) else ""
            sys.stdout.write(f"{name:20}{1000 * seconds:>8.1f}{shares}\n")
    return 0


def _work(folder: Path, batch: int, mels: int, frames: int) -> dict[str, Callable[[], object]]:
    """Everything that is timed, by its name."""
    material = _material(folder, 16 * batch, mels, frames)
    rng = np.random.default_rng(0)
    device = torch.device("cpu")
    clips, viewed = FitClips(replace(material, views=None), device), FitClips(material, device)
    network = channels_last(build(design("cp-mobile-2025").at(mels, frames)))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def indexed(source: FitClips = clips) -> Batch:
        given = source.batch(rng.integers(0, len(source), batch), rng)
        return given._replace(features=given.features.float())

    def step() -> None:
        given = indexed()
        loss = F.cross_entropy(network(given.features[:, None]), given.targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def with_set(name: str) -> Callable[[], object]:
        settings = NAMED_SETS[name].batches
        return lambda: augmented(clips.batch(rng.integers(0, len(clips), batch), rng), settings, BASELINE_2025, rng)

    sets = {name: with_set(name) for name in NAMED_SETS}
    return {INDEX: indexed, **sets, "views": lambda: indexed(viewed), STEP: step}


def _medians(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, run in work.items():
            times = 1 if name == STEP else BATCHES
            started = time.perf_counter()
            for _ in range(times):
                run()
            seconds[name].append((time.perf_counter() - started) / times)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def _material(folder: Path, clips: int, mels: int, frames: int) -> Material:
    rng = np.random.default_rng(0)
    np.save(folder / "clips.npy", rng.normal(-5, 3, size=(clips, mels, frames)).astype(np.float16))
    np.save(folder / "views.npy", rng.normal(-5, 3, size=(clips, VIEWS, mels, frames)).astype(np.float16))
    np.save(folder / "logits.npy", rng.normal(size=(clips, SCENES)).astype(np.float16))
    np.save(folder / "view-logits.npy", rng.normal(size=(clips, VIEWS, SCENES)).astype(np.float16))
    return Material(
        features=mapped_array(folder / "clips.npy", clips=clips, dims=3),
        labels=rng.integers(0, SCENES, clips).astype(np.int64),
        devices=np.array(["a"] * clips),
        rows={"fit": np.arange(clips), "validation": np.arange(0), "test": np.arange(0)},
        scenes=tuple(f"scene {number}" for number in range(SCENES)),
        logits=mapped_array(folder / "logits.npy", clips=clips, dims=2),
        views=ClipViews(
            mapped_array(folder / "views.npy", clips=clips, dims=4),
            np.tile(np.arange(clips)[:, None], VIEWS),
            np.ones((clips, VIEWS), dtype=np.float32),
            mapped_array(folder / "view-logits.npy", clips=clips, dims=3),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
