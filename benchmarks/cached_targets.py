"""What a teacher costs a training step once its logits are cached, for every clip in eight views.

Both teach the same network (cp-mobile-2025) on the same views: one from labels and the cached logits of each view, the
other from labels alone. They take turns in one run, a step at a time, and the median of the steps is shown, so a busy
machine slows both alike. The goal is at most 1.05 of the step without a teacher. Then the logits of a large data set
are written and opened, every byte checked, as each student opens them.

    python benchmarks/cached_targets.py --mels 256 --frames 65
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from search_spaces.designs import design
from search_spaces.network import build
from trainers.cached_logits import CachedLogits
from trainers.material import ClipViews, Material, mapped_array
from trainers.published import BASE
from trainers.recipe import Recipe
from trainers.teachers.logits import teacher_logits
from trainers.teachers.teacher import Teacher
from trainers.training import Training

SCENES = 10
VIEWS = 8  # the clean one included
LARGE = 100_000
LIMIT = 32_000_000  # bytes


def main() -> int:
    """Prints two tables; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mels", type=int, default=128)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=100, help="steps of each, after two to warm up (default 100)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = _steps(Path(folder), given.batch, given.mels, given.frames, given.rounds)
    with_teacher, without = (statistics.median(times) for times in seconds)
    lines = [
        f"cp-mobile-2025 at {given.mels}x{given.frames}, batch {given.batch}, {VIEWS} views, 1 thread, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}",
        f"{'':34}{'ms a step':>10}{'ratio':>8}",
        f"{'labels alone':34}{1000 * without:>10.1f}{1:>8.3f}",
        f"{'labels and cached teacher logits':34}{1000 * with_teacher:>10.1f}{with_teacher / without:>8.3f}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        size, opening = _opening(Path(folder))
    lines += [
        f"logits of {LARGE:,} clips, {VIEWS} views, {SCENES} scenes: {size:,} bytes, "
        f"{size / LIMIT:.0%} of the limit of {LIMIT:,}",
        f"opened and checked in {', '.join(f'{1000 * each:.1f}' for each in opening)} ms",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _steps(folder: Path, batch: int, mels: int, frames: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of every step with the teacher and of every one without."""
    taught = _material(folder, batch, mels, frames)
    views = None if taught.views is None else taught.views._replace(logits=None)
    trainings = [
        Training(build(design("cp-mobile-2025").at(mels, frames)), clips, recipe, seed=0, threads=1)
        for clips in (taught, replace(taught, logits=None, views=views))
        for recipe in [Recipe(epochs=rounds + 2, batch=batch)]
    ]
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 2):
        for which in (0, 1) if number % 2 else (1, 0):
            seconds[which].append(trainings[which].epoch().seconds)
    return seconds[0][2:], seconds[1][2:]


def _material(folder: Path, clips: int, mels: int, frames: int) -> Material:
    """As many clips as a batch, so that an epoch is a step."""
    rng = np.random.default_rng(0)
    others = (clips, VIEWS - 1)
    arrays = {"clips": (clips, mels, frames), "views": (*others, mels, frames)}
    arrays |= {"logits": (clips, SCENES), "view-logits": (*others, SCENES)}
    for name, shape in arrays.items():
        np.save(folder / f"{name}.npy", rng.normal(size=shape).astype(np.float16))
    opened = {
        name: mapped_array(folder / f"{name}.npy", clips=clips, dims=len(shape)) for name, shape in arrays.items()
    }
    return Material(
        features=opened["clips"],
        labels=rng.integers(0, SCENES, clips).astype(np.int64),
        devices=np.array(["a"] * clips),
        rows={"fit": np.arange(clips), "validation": np.arange(0), "test": np.arange(0)},
        scenes=tuple(f"scene {number}" for number in range(SCENES)),
        logits=opened["logits"],
        views=ClipViews(
            opened["views"],
            rng.integers(0, clips, others),
            rng.uniform(0.5, 1, others).astype(np.float32),
            opened["view-logits"],
        ),
    )


def _opening(folder: Path) -> tuple[int, list[float]]:
    """Bytes of a folder of logits, and seconds of opening it, each time anew."""
    others = (LARGE, VIEWS - 1)
    clips = Material(
        features=np.ones((LARGE, 1, 1), dtype=np.float16),
        labels=np.zeros(LARGE, dtype=np.int64),
        devices=np.array(["a"] * LARGE),
        rows={"fit": np.arange(LARGE), "validation": np.arange(0), "test": np.arange(0)},
        scenes=tuple(f"scene {number}" for number in range(SCENES)),
        views=ClipViews(
            np.ones((*others, 1, 1), dtype=np.float16), np.zeros(others, np.int64), np.ones(others, np.float32)
        ),
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, SCENES))
    teacher = Teacher("any", "any", clips.scenes, 0, lambda: {BASE: network})
    written = teacher_logits(clips, teacher, folder, threads=1)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        logits = CachedLogits.at(written)
        logits.clean(LARGE), logits.views(LARGE)
        seconds.append(time.perf_counter() - started)
    return sum(path.stat().st_size for path in written.iterdir()), seconds


if __name__ == "__main__":
    sys.exit(main())
