"""The offline copies: their number, their sound, their names, and the data set that they make."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from trainers.audio import read_clip
from trainers.copies import CopiesError, copied, copies_of, make_copies
from trainers.recordings import RecordingsError, read_recordings

RATE = 8000
LEVELS = {"quiet": 0.01, "soft": 0.04, "loud": 0.35}  # 0, 5 and 20 copies


def write_clip(path: Path, level: float, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, RATE)
    soundfile.write(path, noise * level * np.sqrt(3), RATE, subtype="PCM_16")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scenes on devices a and s1, the clips of three levels; a test list; two clips that differ in suffix alone."""
    root = tmp_path / "data"
    (root / "audio").mkdir(parents=True)
    (root / "split_setup").mkdir()
    rows = []
    for split in ("train", "test"):
        for scene in ("bus", "park"):
            for device in ("a", "s1"):
                for name, level in LEVELS.items():
                    filename = f"audio/{scene}-{split}-{name}-{device}.wav"
                    write_clip(root / filename, level, len(rows))
                    rows.append((filename, scene, f"{scene}-{split}", device, split))
    write_clip(root / "audio" / "bus-train-soft-a.flac", 0.04, 99)
    rows.append(("audio/bus-train-soft-a.flac", "bus", "bus-train", "b", "train"))
    table = pd.DataFrame(rows, columns=["filename", "scene_label", "identifier", "source_label", "split"])
    table.drop(columns="split").to_csv(root / "meta.csv", sep="\t", index=False)
    for split, name in (("train", "split25"), ("test", "test")):
        part = table.loc[table["split"] == split, ["filename", "scene_label"]]
        part.to_csv(root / "split_setup" / f"{name}.csv", sep="\t", index=False)
    return root


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    folder = tmp_path / "responses"
    folder.mkdir()
    for number in range(21):
        decay = np.random.default_rng(number).normal(size=200) * np.exp(-np.arange(200) / 20)
        soundfile.write(folder / f"{number:02}.wav", decay / 8, RATE, subtype="PCM_24")
    return folder


def test_the_number_of_copies_follows_the_table_of_the_report() -> None:
    upper = {0.02: 0, 0.05: 5, 0.10: 7, 0.15: 9, 0.20: 11, 0.25: 13, 0.30: 16, 0.9: 20}
    assert {edge: copies_of(edge) for edge in upper} == upper
    assert [copies_of(edge + 1e-9) for edge in upper] == [5, 7, 9, 11, 13, 16, 20, 20]
    assert copies_of(0.0) == 0


def test_a_copy_is_the_convolution_brought_to_its_level_clipped_and_faded() -> None:
    rng = np.random.default_rng(0)
    wave = np.clip(rng.normal(0, 0.3, RATE), -1, 1).astype(np.float32)
    responses = rng.normal(size=(2, 300)).astype(np.float32)
    for made, response in zip(copied(wave, responses, RATE), responses, strict=True):
        normalised = response.astype(np.float64) / np.sqrt(np.mean(response.astype(np.float64) ** 2))
        full = np.convolve(wave.astype(np.float64), normalised)[:RATE]
        expected = full * np.sqrt(np.mean(wave.astype(np.float64) ** 2) / np.mean(full**2))
        assert np.abs(expected).max() > 1  # so that clipping shows
        expected = np.clip(expected, -1, 1)
        expected[-80:] *= [1 - i / 79 for i in range(80)]
        np.testing.assert_allclose(made, expected, atol=1e-5)
        assert made[-1] == 0


def test_the_new_set_has_the_originals_and_their_copies(data: Path, responses: Path, tmp_path: Path) -> None:
    before = read_recordings(data)
    seen: list[tuple[int, int]] = []
    made = make_copies(before, tmp_path / "more", responses, seed=1, progress=lambda *at: seen.append(at))
    after = read_recordings(made.root)  # checked as any data set is
    assert (made.originals, made.copies) == (25, 55)
    assert seen == [(n, 13) for n in range(1, 14)]
    known = after.clips.set_index("filename")
    assert known.loc[before.clips["filename"]].reset_index()[list(before.clips)].equals(before.clips)
    copies = after.clips[~after.clips["filename"].isin(before.clips["filename"])]
    assert set(copies["device"]) == {"unk"}
    assert set(copies["split"]) == {"train"}
    counts = copies["filename"].str.rpartition("_AUG_")[0].value_counts().to_dict()
    assert counts == {
        "audio/bus-train-soft-a": 10,  # of the WAV and of the FLAC of that name
        "audio/bus-train-loud-a": 20,
        "audio/park-train-soft-a": 5,
        "audio/park-train-loud-a": 20,
    }
    assert "audio/bus-train-soft-a_AUG_10.wav" in set(copies["filename"])
    row = known.loc["audio/park-train-loud-a_AUG_20.wav"]
    assert (row["scene"], row["location"]) == ("park", "park-train")


def test_copies_sound_like_their_clip_and_each_other_s_response(data: Path, responses: Path, tmp_path: Path) -> None:
    root = make_copies(read_recordings(data), tmp_path / "more", responses, seed=1).root
    bank = np.stack([read_clip(path, RATE)[0] for path in sorted(responses.iterdir())])
    drawn = []
    for scene in ("bus", "park"):
        original, _ = read_clip(data / f"audio/{scene}-train-loud-a.wav", RATE)
        made = np.stack([read_clip(root / f"audio/{scene}-train-loud-a_AUG_{n}.wav", RATE)[0] for n in range(1, 21)])
        distance = np.abs(made[:, None] - copied(original, bank, RATE)[None]).max(axis=2)
        assert distance.min(axis=1).max() < 2 / 32768
        drawn.append(distance.argmin(axis=1).tolist())
        assert len(set(drawn[-1])) == 20  # without replacement
    assert drawn[0] != drawn[1]
    assert soundfile.info(root / "audio/park-train-loud-a_AUG_1.wav").subtype == "PCM_16"


def test_equal_seeds_give_equal_copies_and_others_do_not(data: Path, responses: Path, tmp_path: Path) -> None:
    recordings = read_recordings(data)
    first, again, other = (
        make_copies(recordings, tmp_path / name, responses, seed=seed).root
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)
    name = "audio/park-train-loud-a_AUG_1.wav"
    assert (first / name).read_bytes() != (other / name).read_bytes()
    assert read_recordings(first).digest == read_recordings(again).digest


def test_originals_take_no_space_twice_where_links_are_possible(data: Path, responses: Path, tmp_path: Path) -> None:
    root = make_copies(read_recordings(data), tmp_path / "more", responses, seed=1).root
    assert os.path.samefile(root / "audio/bus-test-loud-a.wav", data / "audio/bus-test-loud-a.wav")


def test_without_links_originals_are_copied(
    data: Path, responses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr("trainers.copies.os.link", refuse)
    root = make_copies(read_recordings(data), tmp_path / "more", responses, seed=1).root
    name = "audio/bus-test-loud-a.wav"
    assert (root / name).read_bytes() == (data / name).read_bytes()
    assert not os.path.samefile(root / name, data / name)


def test_too_few_responses_leave_nothing_behind(data: Path, responses: Path, tmp_path: Path) -> None:
    for number in range(2):
        (responses / f"{number:02}.wav").unlink()
    with pytest.raises(CopiesError, match=r"gets 20 copies.*holds 19"):
        make_copies(read_recordings(data), tmp_path / "new" / "more", responses, seed=1)
    assert list((tmp_path / "new").iterdir()) == []


def test_every_damaged_clip_is_named_and_nothing_left_behind(data: Path, responses: Path, tmp_path: Path) -> None:
    recordings = read_recordings(data)
    bad = ["audio/bus-train-soft-a.flac", "audio/park-train-loud-a.wav"]
    for name in bad:
        (data / name).write_bytes((data / name).read_bytes()[:2000])
    (data / bad[0]).write_bytes(b"nothing")
    with pytest.raises(RecordingsError) as caught:
        make_copies(recordings, tmp_path / "new" / "more", responses, seed=1)
    assert [fault.split()[0] for fault in caught.value.faults] == bad
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_is_there_is_never_touched(data: Path, responses: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "mine.txt").write_text("mine")
    with pytest.raises(CopiesError, match="is there already"):
        make_copies(read_recordings(data), tmp_path / "more", responses, seed=1)
    assert [path.name for path in (tmp_path / "more").iterdir()] == ["mine.txt"]


def test_real_clips_and_real_responses(shared_data: Path, tmp_path: Path) -> None:
    recordings = read_recordings(shared_data / "esc10-mobile", "split5")
    few = replace(recordings, clips=recordings.clips.groupby("split").head(15))
    made = make_copies(few, tmp_path / "more", shared_data / "micirp", seed=3, train_list="split5")
    after = read_recordings(made.root, "split5")
    assert len(after.clips) == made.originals + made.copies
    assert made.copies > 0
