"""Features of a data set: extracted once, in row order, whole or not at all."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from search_spaces.errors import InputError
from trainers.audio import read_clip
from trainers.cache import open_or_build
from trainers.features import BATCH, load_all_features, load_features
from trainers.front_end import FrontEnd, log_mel
from trainers.recordings import Recordings, RecordingsError, read_recordings

TINY = FrontEnd(sample_rate=8000, n_fft=256, window=256, hop=500, mels=12, f_max=4000.0)


def write_set(root: Path, clips: int) -> Recordings:
    """`clips` training clips and one test clip of noise in different colours."""
    (root / "audio").mkdir(parents=True)
    (root / "split_setup").mkdir()
    rng = np.random.default_rng(0)
    meta, lists = [], {"split25": ["filename\tscene_label"], "test": ["filename\tscene_label"]}
    for number in range(clips + 1):
        name, scene = f"audio/{number:03d}.wav", ("bus", "tram")[number % 2]
        noise = np.cumsum(rng.uniform(-0.01, 0.01, 8000)) if number % 3 else rng.uniform(-0.1, 0.1, 8000)
        soundfile.write(root / name, noise, 8000)
        test = number == clips
        meta.append(f"{name}\t{scene}\tcity-{'t' if test else number % 5}\ta")
        lists["test" if test else "split25"].append(f"{name}\t{scene}")
    (root / "meta.csv").write_text("\n".join(["filename\tscene_label\tidentifier\tsource_label", *meta]))
    for name, lines in lists.items():
        (root / f"split_setup/{name}.csv").write_text("\n".join(lines))
    return read_recordings(root)


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return write_set(tmp_path / "set", 2 * BATCH + 5)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_row_holds_the_features_of_its_clip(recordings: Recordings, tmp_path: Path, workers: int) -> None:
    folder = load_features(recordings, TINY, tmp_path / "caches", workers=workers)
    stored = np.load(folder / "clips.npy", mmap_mode="r", allow_pickle=False)
    assert stored.dtype == np.float16
    assert stored.shape == (len(recordings.clips), 12, 17)
    for row, name in enumerate(recordings.clips["filename"]):
        wave, _ = read_clip(recordings.root / name, 8000)
        alone = log_mel(torch.from_numpy(wave[None]), TINY)[0].half().numpy()
        np.testing.assert_allclose(stored[row], alone, atol=0.01, rtol=0)
    index = pd.read_csv(folder / "index.csv", dtype=str)
    pd.testing.assert_frame_equal(index, recordings.clips, check_dtype=False)


def test_the_number_of_workers_does_not_change_a_byte(recordings: Recordings, tmp_path: Path) -> None:
    files = [
        (load_features(recordings, TINY, tmp_path / str(workers), workers=workers) / "clips.npy").read_bytes()
        for workers in (1, 2, 4)
    ]
    assert files[0] == files[1] == files[2]


def test_a_later_run_opens_at_once(recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_features(recordings, TINY, tmp_path / "caches", workers=2)
    monkeypatch.setattr("trainers.features.read_clip", None)  # reading any audio would fail
    assert load_features(recordings, TINY, tmp_path / "caches", workers=2) == first


def test_other_settings_or_other_recordings_have_their_own_features(recordings: Recordings, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", 8)
    hop = FrontEnd(sample_rate=8000, n_fft=256, window=256, hop=400, mels=12, f_max=4000.0)
    folders = {
        load_features(data, front_end, tmp_path / "caches", workers=1)
        for data in (recordings, other)
        for front_end in (TINY, hop)
    }
    assert len(folders) == 4


def test_several_front_ends_are_extracted_in_one_pass(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front_ends = [replace(TINY, hop=hop, mels=mels) for mels in (8, 12) for hop in (400, 500)]
    alone = {
        each: load_features(recordings, each, tmp_path / "alone", workers=1).joinpath("clips.npy").read_bytes()
        for each in front_ends
    }
    heard: list[Path] = []

    def counted(path: Path, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
        heard.append(path)
        return read_clip(path, sample_rate)

    monkeypatch.setattr("trainers.features.read_clip", counted)
    caches = tmp_path / "together"
    first = load_all_features(recordings, front_ends[1:2], caches)
    assert len(heard) == len(recordings.clips)
    folders = load_all_features(recordings, front_ends, caches)
    assert len(heard) == 2 * len(recordings.clips)  # once more for the three that were missing
    assert folders[front_ends[1]] == first[front_ends[1]]
    assert {each: (folder / "clips.npy").read_bytes() for each, folder in folders.items()} == alone
    assert sorted(caches.iterdir()) == sorted(folders.values())
    assert load_all_features(recordings, front_ends[::-1], caches) == folders
    assert len(heard) == 2 * len(recordings.clips)


def test_front_ends_of_two_sample_rates_are_not_extracted_together(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one sample rate"):
        load_all_features(recordings, [TINY, replace(TINY, sample_rate=16_000)], tmp_path)


def test_caches_are_locked_in_one_order_whatever_the_order_of_wishes(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two processes that build some of the same would otherwise wait for each other forever.
    front_ends = [replace(TINY, hop=hop) for hop in (400, 500, 700, 900)]
    orders: list[list[int]] = []

    def opened(root: Path, kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> Path:
        orders[-1].append(key["front_end"]["hop"])
        return open_or_build(root, kind, key, build)

    monkeypatch.setattr("trainers.features.open_or_build", opened)
    for number, wanted in enumerate((front_ends, front_ends[::-1])):
        orders.append([])
        load_all_features(recordings, wanted, tmp_path / str(number))
    assert sorted(orders[0]) == [400, 500, 700, 900]
    assert orders[0] == orders[1]


def test_progress_counts_up_to_all_clips(recordings: Recordings, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    load_features(recordings, TINY, tmp_path, workers=2, progress=lambda done, total: seen.append((done, total)))
    total = len(recordings.clips)
    assert seen == [(BATCH, total), (2 * BATCH, total), (total, total)]


def test_what_was_done_to_the_clips_is_said_once_in_words(
    recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = list(recordings.clips["filename"])
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (16_000, 2))
    soundfile.write(recordings.root / names[0], noise, 16_000)
    soundfile.write(recordings.root / names[1], noise[:, 0], 16_000)
    soundfile.write(recordings.root / names[2], np.zeros(4000), 8000)
    soundfile.write(recordings.root / names[3], noise[:, 0], 8000)
    again = read_recordings(recordings.root)
    with caplog.at_level(logging.INFO, logger="acoustic_nas.trainers"):
        load_features(again, TINY, tmp_path / "caches", workers=2)
        load_features(again, TINY, tmp_path / "caches", workers=2)
    where = f"(of {len(names)} in {recordings.root})"
    assert sorted(caplog.messages) == sorted(
        [
            f"2 clips were resampled from another rate {where}",
            f"1 clip was mixed to mono from several channels {where}",
            f"1 clip was shorter than a second and padded with silence {where}",
            f"1 clip was longer than a second and cut {where}",
            f"1 clip was silent throughout {where}",
        ]
    )


def test_all_unreadable_clips_are_in_one_error_and_no_cache_is_left(recordings: Recordings, tmp_path: Path) -> None:
    names = list(recordings.clips["filename"])
    bad = [names[3], names[BATCH + 1], names[-1]]
    for name in bad:
        path = recordings.root / name
        path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(RecordingsError) as caught:
        load_all_features(recordings, [TINY, replace(TINY, hop=400)], tmp_path / "caches", workers=2)
    assert [fault.split()[0] for fault in caught.value.faults] == bad
    assert all("truncated" in fault for fault in caught.value.faults)
    assert list((tmp_path / "caches").iterdir()) == []


def test_torch_gets_its_threads_back(recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[int] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    monkeypatch.setattr("torch.set_num_threads", set_to.append)
    load_features(recordings, TINY, tmp_path, workers=2)
    assert set_to == [1, 1, 7]


def test_no_workers_is_an_error(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1 worker"):
        load_features(recordings, TINY, tmp_path, workers=0)


def test_a_killed_extraction_is_never_mistaken_for_a_finished_one(recordings: Recordings, tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}
import time
from pathlib import Path
from dataclasses import replace
from trainers.features import load_all_features
from trainers.front_end import FrontEnd
from trainers.recordings import read_recordings
def progress(done, total):
    print(done, total, flush=True)
    time.sleep(60)
tiny = FrontEnd(**{TINY.to_json()!r})
load_all_features(read_recordings(Path({str(recordings.root)!r})), [tiny, replace(tiny, hop=400)],
                  Path({str(tmp_path / "caches")!r}), workers=2, progress=progress)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{BATCH} {len(recordings.clips)}\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = list((tmp_path / "caches").iterdir())
    assert len([path for path in left if path.name.endswith(".building")]) == 2
    assert all(path.name.startswith(".") for path in left)
    seen: list[int] = []
    folder = load_features(recordings, TINY, tmp_path / "caches", workers=2, progress=lambda done, _: seen.append(done))
    assert seen[-1] == len(recordings.clips)
    assert list((tmp_path / "caches").iterdir()) == [folder]
    unbroken = load_features(recordings, TINY, tmp_path / "unbroken", workers=1)
    assert (folder / "clips.npy").read_bytes() == (unbroken / "clips.npy").read_bytes()


def test_the_real_stand_in_is_read_and_extracted(shared_data: Path, tmp_path: Path) -> None:
    recordings = read_recordings(shared_data / "esc10-mobile", "split5")
    assert set(recordings.clips["device"]) == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
    few = recordings.clips.groupby("split").head(20).reset_index(drop=True)
    part = Recordings(recordings.root, few, recordings.scenes, "part")
    folder = load_features(part, FrontEnd(hop=1000, mels=128), tmp_path, workers=2)
    stored = np.load(folder / "clips.npy", allow_pickle=False)
    assert stored.shape == (40, 128, 33)
    assert np.isfinite(stored).all()
    assert stored.astype(np.float32).std() > 1
