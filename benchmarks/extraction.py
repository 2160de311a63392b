"""How fast recordings become features, against torchaudio's own transforms, and how fast features open.

Transform: clips that lie in memory, on one thread, by `log_mel` and by torchaudio (its MelSpectrogram and a logarithm
or its AmplitudeToDB; its Spectrogram and Kaldi bank where the front end has that), each clip by clip and in batches of
32, of which the faster counts. The two take turns, and the median of the rounds is shown, so a busy machine slows both
alike.

Extraction: 44.1 kHz, 24-bit WAV files into a cache, decoded, resampled and written, on one thread and on all cores;
and all front ends of one sample rate in one pass.

Opening: a cache of 35,000 clips (1.2 GB while this runs) as a worker process opens it, for the first time and again,
and what two such processes hold that have read all of it.

    python benchmarks/extraction.py
"""

import argparse
import json
import mmap
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
import torchaudio
from torch import Tensor

from trainers.features import load_all_features
from trainers.front_end import BASELINE_2025, CP_JKU_2023, DYNACP, SHARIF, FrontEnd, log_mel
from trainers.material import Material
from trainers.parallel import cores
from trainers.recordings import Recordings

FRONT_ENDS = {"2025 baseline": BASELINE_2025, "CP-JKU 2023": CP_JKU_2023, "DynaCP": DYNACP, "Sharif": SHARIF}


def main() -> int:
    """Prints three tables; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256, help="clips to transform and to extract (default 256)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one to warm up (default 5)")
    parser.add_argument("--opened", type=int, default=35_000, help="clips of the cache to open (default 35,000)")
    parser.add_argument("--mels", type=int, default=256, help="of that cache (default 256)")
    parser.add_argument("--frames", type=int, default=65, help="of that cache (default 65)")
    given = parser.parse_args()
    lines = [*_transforms(given.clips, given.rounds), ""]
    with tempfile.TemporaryDirectory() as folder:
        lines += [*_extractions(Path(folder), given.clips, given.rounds), ""]
    with tempfile.TemporaryDirectory() as folder:
        lines += _opening(Path(folder), given.opened, given.mels, given.frames)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _transforms(clips: int, rounds: int) -> Iterator[str]:
    torch.set_num_threads(1)
    yield f"{'transform, one thread, clips/s':32}{'ours':>10}{'torchaudio':>12}{'ratio':>8}{'largest difference':>20}"
    for name, front_end in FRONT_ENDS.items():
        ours, theirs = partial(log_mel, front_end=front_end), _of_torchaudio(front_end)
        waves = 0.1 * torch.randn(clips, front_end.sample_rate, generator=torch.Generator().manual_seed(0))
        ways = [partial(_in_batches, transform, waves, size) for transform in (ours, theirs) for size in (1, 32)]
        alone, batched, their_alone, their_batched = (clips / seconds for seconds in _in_turns(ways, rounds))
        mine, other = max(alone, batched), max(their_alone, their_batched)
        off = (ours(waves[:8]) - theirs(waves[:8])).abs().max().item()
        yield f"{name:32}{mine:>10,.0f}{other:>12,.0f}{mine / other:>8.2f}{off:>20.1e}"


def _in_batches(transform: Callable[[Tensor], Tensor], waves: Tensor, size: int) -> None:
    for batch in waves.split(size):  # type: ignore[no-untyped-call]
        transform(batch)


def _in_turns(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each way."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for way, taken in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken[1:]) for taken in seconds]


def _of_torchaudio(front_end: FrontEnd) -> Callable[[Tensor], Tensor]:
    settings: dict[str, Any] = {"n_fft": front_end.n_fft, "win_length": front_end.window, "hop_length": front_end.hop}
    if front_end.convention == "kaldi":
        spectrogram = torchaudio.transforms.Spectrogram(
            **settings, window_fn=torch.hann_window, wkwargs={"periodic": False}
        )
        bank, _ = torchaudio.compliance.kaldi.get_mel_banks(
            front_end.mels, front_end.n_fft, float(front_end.nominal_rate), 0.0, front_end.f_max, 100.0, -500.0, 1.0
        )
        bank = torch.nn.functional.pad(bank, (0, 1))

        def heard(waves: Tensor) -> Tensor:
            power = spectrogram(waves[:, 1:] - front_end.pre_emphasis * waves[:, :-1])
            return (torch.log(bank @ power + front_end.floor) + front_end.offset) / front_end.scale

        return heard
    mel = torchaudio.transforms.MelSpectrogram(
        front_end.sample_rate, f_min=front_end.f_min, f_max=front_end.f_max, n_mels=front_end.mels, **settings
    )
    if front_end.level == "decibel":
        return torch.nn.Sequential(mel, torchaudio.transforms.AmplitudeToDB("power"))
    return lambda waves: torch.log(mel(waves) + front_end.floor)


def _extractions(folder: Path, clips: int, rounds: int) -> Iterator[str]:
    recordings = _recordings(folder / "set", clips)
    at_32_khz = [front_end for front_end in FRONT_ENDS.values() if front_end.sample_rate == 32_000]
    wanted = {name: [front_end] for name, front_end in FRONT_ENDS.items()} | {"the three of 32 kHz together": at_32_khz}
    yield f"{'extraction, clips/s':32}{'1 thread':>10}{f'{cores()} threads':>12}{'ratio':>8}"
    for number, (name, front_ends) in enumerate(wanted.items()):
        caches = iter(folder / f"{number}-{run}" for run in range(2 * rounds + 2))
        ways = [partial(_extract, recordings, front_ends, caches, workers) for workers in (1, cores())]
        one, every = (clips / seconds for seconds in _in_turns(ways, rounds))
        yield f"{name:32}{one:>10,.0f}{every:>12,.0f}{every / one:>8.2f}"


def _extract(recordings: Recordings, front_ends: list[FrontEnd], caches: Iterator[Path], workers: int) -> None:
    load_all_features(recordings, front_ends, next(caches), workers=workers)


def _recordings(root: Path, clips: int) -> Recordings:
    """Noise, as TAU stores it."""
    root.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.wav" for number in range(clips)]
    for name in names:
        soundfile.write(root / name, rng.uniform(-0.3, 0.3, 44_100), 44_100, subtype="PCM_24")
    table = pd.DataFrame({"filename": names}).assign(scene="bus", location="lyon-1", device="a", split="train")
    return Recordings(root, table, ("bus",), "noise")


def _opening(folder: Path, clips: int, mels: int, frames: int) -> Iterator[str]:
    _cache(folder, clips, mels, frames)
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=_worker, args=(folder, theirs)) for _, theirs in pipes]
    for worker in workers:
        worker.start()
    for _, theirs in pipes:
        theirs.close()  # the end of a worker is then seen at the other end
    seconds = [[ours.recv() for _ in range(3)] for ours, _ in pipes]
    held = [_held(worker.pid or 0) for worker in workers]
    for (ours, _), worker in zip(pipes, workers, strict=True):
        ours.send("done")
        worker.join()
    size = (folder / "clips.npy").stat().st_size / 2**20
    yield f"opening {clips:,} clips of {mels} x {frames}, {size:,.0f} MiB, in two processes that then read them all"
    for number, (taken, pages) in enumerate(zip(seconds, held, strict=True), start=1):
        opened = ", ".join(f"{1000 * each:.0f}" for each in taken)
        memory = ", ".join(f"{name} {kib / 1024:,.0f}" for name, kib in pages.items())
        yield f"process {number}: opened in {opened} ms; MiB of the map: {memory}"


def _cache(folder: Path, clips: int, mels: int, frames: int) -> None:
    """A cache as extraction leaves it, of the size and with the places of TAU's split25."""
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(1000, mels, frames)).astype(np.float16)
    with (folder / "clips.npy").open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (clips, mels, frames)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, clips, len(batch)):
            file.write(batch[: clips - start].tobytes())
        file.flush()
        os.fsync(file.fileno())
    places = [(f"scene{place % 10}", f"city{place % 7}-{place}") for place in rng.integers(364, size=clips)]
    devices = rng.choice(["a", "b", "c", "s1", "s2", "s3"], clips, p=[0.75, 0.05, 0.05, 0.05, 0.05, 0.05])
    rows = [
        (f"audio/{scene}-{place}-{row}-0-{device}.wav", scene, place, device, "train")
        for row, ((scene, place), device) in enumerate(zip(places, devices, strict=True))
    ]
    index = pd.DataFrame(rows, columns=["filename", "scene", "location", "device", "split"])
    index.to_csv(folder / "index.csv", index=False)
    key = {"recordings": "noise", "front_end": FrontEnd(mels=mels, hop=32_000 // (frames - 1)).to_json()}
    (folder / "key.json").write_text(json.dumps(key))


def _worker(folder: Path, pipe: Connection) -> None:
    """Opens three times, reads every page of the features, and stays until it is told to go."""
    for _ in range(3):
        started = time.perf_counter()
        material = Material.open(folder, validation_share=0.2, validation_seed=1)
        seconds = time.perf_counter() - started
        material.features.reshape(-1)[:: mmap.PAGESIZE // 4].max()
        pipe.send(seconds)
    pipe.recv()


def _held(process: int) -> dict[str, int]:
    """KiB of a process's map of the features: resident, its share of them, and what no other process shares."""
    entries: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            inside = line.endswith("clips.npy")
        elif inside and first[:-1] in ("Rss", "Pss", "Shared_Clean", "Private_Clean", "Private_Dirty"):
            entries[first[:-1]] = entries.get(first[:-1], 0) + int(rest[0])
    return entries


if __name__ == "__main__":
    sys.exit(main())
