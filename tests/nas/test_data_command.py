"""`nas data`: what is wrong with a data set, all at once, and what is in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from nas import cli
from nas.places import Places
from nas.preparation import find_recordings
from nas.study_file import load_study
from trainers.recordings import RecordingsError

RATE = 8000
META = "filename\tscene_label\tidentifier\tsource_label"


class Typed(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    def run(*arguments: object) -> Typed:
        monkeypatch.setattr("sys.argv", ["nas", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Typed(int(ended.value.code or 0), captured.out, captured.err)

    return run


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two scenes of two training and one test location each, heard by devices a and b: twelve clips."""
    root = tmp_path / "set"
    (root / "audio").mkdir(parents=True)
    (root / "split_setup").mkdir()
    lists: dict[str, list[str]] = {"split25": ["filename\tscene_label"], "test": ["filename\tscene_label"]}
    meta = [META]
    square = np.where(np.arange(RATE) % 20 < 10, 1.0, -1.0)  # its RMS is its amplitude
    for number, scene in enumerate(("bus", "tram")):
        for place in range(3):
            for device, amplitude in (("a", 0.04), ("b", 0.12)):
                name = f"audio/{scene}-{('lyon', 'oslo')[number]}-{place}-{10 * number + place}-0-{device}.wav"
                soundfile.write(root / name, amplitude * square, RATE, subtype="PCM_24" if device == "b" else None)
                meta.append(f"{name}\t{scene}\t{('lyon', 'oslo')[number]}-{place}\t{device}")
                lists["test" if place == 2 else "split25"].append(f"{name}\t{scene}")
    (root / "meta.csv").write_text("\n".join(meta))
    for name, lines in lists.items():
        (root / f"split_setup/{name}.csv").write_text("\n".join(lines))
    return root


def test_a_sound_set_has_no_fault(data: Type, root: Path) -> None:
    answer = data("check", root)
    assert answer.code == 0
    assert answer.out == f"The data set in {root} has no fault\n"
    assert "files decoded: 12" in answer.err


def damage(root: Path) -> list[str]:
    """Damages a set in every way at once; what has to be said."""
    first, second, third = (f"audio/bus-lyon-{place}-{place}-0-a.wav" for place in (0, 1, 2))
    (root / first).unlink()
    whole = (root / second).read_bytes()
    (root / second).write_bytes(whole[: len(whole) // 2])
    (root / third).write_bytes(b"")
    (root / "audio/tram-oslo-0-10-0-a.wav").write_text("not audio")
    edit(
        root / "meta.csv",
        "audio/tram-oslo-0-10-0-b.wav\ttram\toslo-0\tb",
        "audio/tram-oslo-0-10-0-b.wav\ttram\toslo-0\ta",
    )
    edit(root / "meta.csv", "audio/tram-oslo-2-12-0-a.wav\ttram\toslo-2", "audio/tram-oslo-2-12-0-a.wav\ttram\toslo-1")
    edit(root / "split_setup/test.csv", "audio/tram-oslo-2-12-0-b.wav\ttram", "audio/tram-oslo-2-12-0-b.wav\tpark")
    edit(root / "meta.csv", "audio/bus-lyon-2-2-0-b.wav\tbus\tlyon-2\tb\n", "")
    soundfile.write(root / "audio/bus-lyon-2-2-0-b.wav", [np.nan] * RATE, RATE, subtype="FLOAT")
    (root / "audio/tram-oslo-1-11-0-a.wav").unlink()
    (root / "audio/tram-oslo-1-11-0-a.wav").mkdir()
    return [
        "audio/tram-oslo-1-11-0-a.wav is not a file",
        f"{first} is listed but missing on disk",
        f"{second} is truncated: it declares 16,000 bytes of samples, 7,978 are there",
        f"{third} is an empty file",
        "audio/tram-oslo-0-10-0-a.wav cannot be decoded (Format not recognised)",
        "audio/tram-oslo-0-10-0-b.wav: source_label is 'b' in its name but 'a' in meta.csv",
        "audio/tram-oslo-2-12-0-a.wav: identifier is 'oslo-2' in its name but 'oslo-1' in meta.csv",
        "location oslo-1 is in both the training and the test list",
        "audio/tram-oslo-2-12-0-b.wav: scene_label is 'park' in the test list but 'tram' in meta.csv",
        "scene park has test clips but no training clip",
        "audio/bus-lyon-2-2-0-b.wav is in the test list but not in meta.csv",
        "audio/bus-lyon-2-2-0-b.wav holds samples that are not finite numbers",
    ]


def test_all_faults_are_in_one_report(data: Type, root: Path) -> None:
    expected = damage(root)
    answer = data("check", root, "--json")
    assert answer.code == 2
    told = json.loads(answer.out)
    assert sorted(told["faults"]) == sorted(expected)
    assert (told["version"], told["folder"], told["train_list"]) == (1, str(root), "split25")
    answer = data("check", root)
    assert answer.code == 2
    assert answer.out.startswith(f"The data set in {root} has {len(expected)} faults:\n  - ")
    assert all(f"\n  - {fault}\n" in answer.out for fault in expected)


def test_a_study_tells_them_all_before_it_begins(root: Path, tmp_path: Path) -> None:
    expected = damage(root)
    study = load_study("esc10", {"data.root": str(root), "data.train_list": "split25"})
    with pytest.raises(RecordingsError) as caught:
        find_recordings(study, Places(tmp_path, "sqlite://", tmp_path, ""))
    assert sorted(caught.value.faults) == sorted(expected)


def test_a_set_that_no_validation_clips_can_be_cut_from_is_told(data: Type, root: Path) -> None:
    edit(root / "split_setup/split25.csv", "audio/tram-oslo-1-11-0-a.wav\ttram\n", "")
    edit(root / "split_setup/split25.csv", "\naudio/tram-oslo-1-11-0-b.wav\ttram", "")
    told = json.loads(data("check", root, "--json").out)
    assert len(told["faults"]) == 1
    assert told["faults"][0].startswith("scene tram has training clips from one location only")


def test_no_cut_is_judged_while_clips_are_missing_from_meta_csv(data: Type, root: Path) -> None:
    for device in "ab":
        edit(root / "meta.csv", f"audio/tram-oslo-1-11-0-{device}.wav\ttram\toslo-1\t{device}\n", "")
    assert json.loads(data("check", root, "--json").out)["faults"] == [
        f"audio/tram-oslo-1-11-0-{device}.wav is in the train list but not in meta.csv" for device in "ab"
    ]


def test_another_list_and_no_folder_at_all(data: Type, root: Path) -> None:
    answer = data("check", root, "--train-list", "split5", "--json")
    assert (answer.code, json.loads(answer.out)["faults"]) == (2, ["split_setup/split5.csv is missing"])
    answer = data("check", root / "none")
    assert answer.code == 2
    assert answer.out.endswith("has 1 fault:\n  - there is no such folder\n")


def test_what_is_no_fault_but_worth_knowing_is_said(data: Type, root: Path) -> None:
    soundfile.write(root / "audio/bus-lyon-0-0-0-a.wav", np.zeros((3 * RATE, 2)), RATE)
    answer = data("check", root)
    assert answer.code == 0
    assert "1 of the files: longer than a second and cut\n" in answer.out
    assert json.loads(data("check", root, "--json").out)["notes"] == {"mixed to mono": 1, "cut": 1, "silent": 1}


def test_a_set_is_described(data: Type, root: Path) -> None:
    answer = data("describe", root, "--json")
    assert answer.code == 0
    told = json.loads(answer.out)
    assert told["clips"] == 12
    assert told["counts"] == {
        "train": {"a": {"bus": 2, "tram": 2}, "b": {"bus": 2, "tram": 2}},
        "test": {"a": {"bus": 1, "tram": 1}, "b": {"bus": 1, "tram": 1}},
    }
    assert told["locations"] == {"train": 4, "test": 2}
    assert told["cities"] == {"lyon": 6, "oslo": 6}
    assert told["formats"] == [
        {"rate": RATE, "channels": 1, "encoding": "WAV, Signed 16 bit PCM", "clips": 6},
        {"rate": RATE, "channels": 1, "encoding": "WAV, Signed 24 bit PCM", "clips": 6},
    ]
    assert told["loudness"] == {
        "rms_at_most": [0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3],
        "train": [0, 4, 0, 4, 0, 0, 0, 0],
        "test": [0, 2, 0, 2, 0, 0, 0, 0],
    }
    words = [line.split() for line in data("describe", root).out.splitlines()]
    assert ["tram", "2", "2", "4"] in words
    assert ["all", "2", "2", "4"] in words
    assert ["to", "0.15", "4", "2", "6", "50.0%"] in words


def test_a_damaged_set_is_not_described(data: Type, root: Path) -> None:
    damage(root)
    answer = data("describe", root)
    assert answer.code == 2
    assert answer.out == ""
    assert "has 12 faults" in answer.err


@pytest.mark.nightly  # four thousand files
def test_the_real_stand_in_is_described(data: Type, shared_data: Path) -> None:
    told = json.loads(data("describe", shared_data / "esc10-mobile", "--train-list", "split5", "--json").out)
    assert told["formats"] == [{"rate": 44_100, "channels": 1, "encoding": "OGG, Vorbis", "clips": told["clips"]}]
    assert set(told["counts"]["train"]) == {"a", "b", "c", "s1", "s2", "s3"}
    assert {sum(of_device.values()) for of_device in told["counts"]["test"].values()} == {347}
    assert sum(told["loudness"]["test"]) == 3123
    assert list(told["cities"]) == ["fold1", "fold2", "fold3", "fold4"]


def test_copies_make_a_larger_sound_set_and_a_folder_in_the_way_is_told(data: Type, root: Path, tmp_path: Path) -> None:
    """RMS 0.04 gives 5 copies and 0.12 gives 9, of two training places and two scenes each."""
    responses = tmp_path / "responses"
    responses.mkdir()
    for number in range(9):
        response = np.zeros(400)
        response[number] = 0.5
        soundfile.write(responses / f"{number}.wav", response, RATE)
    made = data("copies", root, tmp_path / "larger", "--impulse-responses", responses, "--json")
    assert json.loads(made.out) == {
        "version": 1,
        "folder": str(tmp_path / "larger"),
        "originals": 12,
        "copies": 4 * 5 + 4 * 9,
    }
    counts = json.loads(data("describe", tmp_path / "larger", "--json").out)["counts"]["train"]
    assert counts["unk"] == {"bus": 28, "tram": 28}
    again = data("copies", root, tmp_path / "larger", "--impulse-responses", responses)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert data("copies", root, tmp_path / "other", "--impulse-responses", tmp_path / "none").code == 2
