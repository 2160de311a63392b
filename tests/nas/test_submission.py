"""`nas evaluate` on a list without scenes: the challenge's output, whole or not at all, and no score."""

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_systems import FRONT_END, make_bundle, other
from typed import Type, typed

from nas import submission as submission_module
from search_spaces.errors import InputError
from trainers.audio import read_clip
from trainers.export import load_bundle
from trainers.front_end import log_mel
from trainers.synthetic import SCENES
from trainers.systems import write_system

HEADER = [
    "filename", "scene_label", "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
]  # fmt: skip
TURNED = SCENES[3:] + SCENES[:3]
# As in the evaluation set: in no order, from devices with students of their own, others, and unknown ones.
CLIPS = (("audio/7.wav", "s1"), ("audio/0.wav", "a"), ("audio/3.wav", "unknown"), ("audio/5.wav", "a"),
         ("audio/1.wav", "b"), ("audio/9.wav", "unknown"), ("audio/2.wav", "s7"))  # fmt: skip
STUDENTS = {"a": "for-a", "s1": "for-s1", "s3": "for-s3"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system, and a list of seven clips without scenes; not to be changed."""
    folder = tmp_path_factory.mktemp("desk")
    bundle = make_bundle(folder / "plain")
    (folder / "system").mkdir()
    for seed, name in enumerate(("base", *STUDENTS.values()), start=1):
        other(bundle, folder / "system" / name, seed=seed, scenes=TURNED)
    write_system(folder / "system", "base", STUDENTS)
    (folder / "data" / "audio").mkdir(parents=True)
    for number, (name, _) in enumerate(CLIPS):
        noise = np.random.default_rng(number).normal(0, 0.02 * (number + 1), 8000)
        soundfile.write(folder / "data" / name, noise.clip(-1, 1), 8000)
    listed(folder / "data", CLIPS)
    return folder


def listed(data: Path, clips: Sequence[tuple[str, ...]], header: str = "filename\tdevice_id") -> Path:
    """The data set's list, written anew."""
    (data / "evaluation_setup").mkdir(parents=True, exist_ok=True)
    rows = ["\t".join(clip) for clip in clips]
    (data / "evaluation_setup" / "fold1_test.csv").write_text("\n".join([header, *rows]) + "\n")
    return data


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Path:
    """The same clips, to be listed otherwise."""
    data = tmp_path / "eval"
    data.mkdir()
    (data / "audio").symlink_to(folder / "data" / "audio")
    return listed(data, CLIPS)


@pytest.fixture
def evaluate(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(folder / "cache"))
    return lambda *arguments: typed(monkeypatch, capfd, "evaluate", *arguments)


def heard(folder: Path, name: str, student: str) -> np.ndarray:
    """The probabilities of the scenes in alphabetical order, found without the command."""
    wave, _ = read_clip(folder / "data" / name, FRONT_END.sample_rate)
    features = log_mel(torch.from_numpy(wave)[None], FRONT_END)[:, None].half().float()
    with torch.inference_mode():
        logits = load_bundle(folder / "system" / student).network(features)[0].double()
    return torch.softmax(logits, 0).numpy()[[TURNED.index(scene) for scene in SCENES]]


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open() as file:
        header, *rows = csv.reader(file, delimiter="\t")
    return header, rows


def test_every_clip_is_answered_in_the_order_of_the_list_by_the_student_of_its_device(
    evaluate: Type, folder: Path, tmp_path: Path
) -> None:
    answer = evaluate(folder / "system", "--data", folder / "data", "--submission", "output.csv")
    assert answer.code == 0, answer.err
    header, rows = read(tmp_path / "output.csv")
    assert header == HEADER
    assert [row[0] for row in rows] == [name for name, _ in CLIPS]
    for (_, scene, *shares), (name, device) in zip(rows, CLIPS, strict=True):
        expected = heard(folder, name, STUDENTS.get(device, "base"))
        assert list(map(float, shares)) == pytest.approx(list(expected), abs=1e-5)
        assert scene == SCENES[int(np.argmax(expected))]
        assert (device in STUDENTS) != np.allclose(expected, heard(folder, name, "base"), atol=1e-3)
    assert {path.name for path in tmp_path.iterdir()} == {"output.csv"}


def test_it_says_what_was_and_what_was_not_written(evaluate: Type, folder: Path, tmp_path: Path) -> None:
    system = tmp_path / "mine"
    system.symlink_to(folder / "system")
    out = evaluate(system, "--data", folder / "data").out
    lines = [line.split() for line in out.splitlines()]
    assert ["base", "4", "b,", "s7,", "unknown"] in lines
    assert ["a", "2", "a"] in lines
    assert ["s3", "0"] in lines
    assert "Not written: scores, tables and a page, because that list has no scenes." in out
    written = tmp_path / "submission-mine.csv"
    assert f"Written: {written}, the answers to 7 clips of evaluation_setup/fold1_test.csv.\n" in out
    assert len(read(tmp_path / "submission-mine.csv")[1]) == 7
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "submission-mine.csv"}
    told = json.loads(evaluate(system, "--data", folder / "data", "--json").out)
    assert told["answered"] == {"base": {"b": 1, "s7": 1, "unknown": 2}, "a": {"a": 2}, "s1": {"s1": 1}, "s3": {}}
    assert told["submission"] == str(tmp_path / "submission-mine.csv")
    assert (told["data"]["clips"], told["scenes"]) == (7, list(SCENES))
    assert "students" not in told


def test_a_list_without_device_ids_is_the_base_students_and_a_warning(
    evaluate: Type, folder: Path, data: Path, tmp_path: Path
) -> None:
    listed(data, [(name,) for name, _ in CLIPS], "filename")
    answer = evaluate(folder / "system", "--data", data, "--submission", "x.csv", "--json")
    assert json.loads(answer.out)["answered"] == {"base": {"unknown": 7}, "a": {}, "s1": {}, "s3": {}}
    assert "the base student answers all" in answer.err
    _, rows = read(tmp_path / "x.csv")
    assert [float(share) for share in rows[1][2:]] == pytest.approx(
        list(heard(folder, "audio/0.wav", "base")), abs=1e-5
    )
    alone = evaluate(folder / "system" / "base", "--data", data, "--submission", "x.csv")
    assert (alone.code, "the base student answers all" in alone.err) == (0, False)


@pytest.mark.parametrize(
    ("clips", "header", "words"),
    [
        ((*CLIPS, ("audio/none.wav", "a")), None, "audio/none.wav is listed but missing on disk"),
        ((), None, "evaluation_setup/fold1_test.csv lists no clip"),
        ((*CLIPS, CLIPS[0]), None, "line 9: audio/7.wav is there a second time"),
        ((*CLIPS, ("../eval/audio/0.wav", "a")), None, "'../eval/audio/0.wav' leads out of the data set's folder"),
        ((*CLIPS, ("/etc/hostname", "a")), None, "'/etc/hostname' leads out of the data set's folder"),
        ((*CLIPS, ("audio", "a")), None, "audio is not a file"),
        ((*CLIPS, ("audio/0.wav", "")), None, "line 9: device_id is empty"),
        ((*CLIPS, ("audio/8.wav",)), None, "line 9: 1 tab-separated fields in place of 2"),
        (CLIPS, "file\tdevice_id", "fold1_test.csv has no column filename"),
        ((*CLIPS, ("evaluation_setup/fold1_test.csv", "a")), None, "fold1_test.csv cannot be decoded"),
    ],
)
def test_a_list_with_a_fault_is_told_in_words_and_nothing_is_written(
    evaluate: Type, folder: Path, data: Path, tmp_path: Path, clips: Sequence[tuple[str, ...]], header: str | None,
    words: str,
) -> None:  # fmt: skip
    listed(data, clips, header or "filename\tdevice_id")
    (tmp_path / "x.csv").write_text("an earlier one")
    assert evaluate(folder / "system", "--data", data, "--submission", "x.csv", "-q").told(2, words)
    assert (tmp_path / "x.csv").read_text() == "an earlier one"
    assert {path.name for path in tmp_path.iterdir()} == {"eval", "x.csv"}


def test_what_belongs_to_scores_is_refused(evaluate: Type, folder: Path, data: Path, tmp_path: Path) -> None:
    system = folder / "system"
    assert evaluate(system, "--data", data, "-o", "OUT", "--part", "train").told(2, "leave out --part, -o")
    assert evaluate(system, "--data", data, "--train-list", "split25").told(2, "leave out --train-list")
    assert evaluate(system, system, "--data", data).told(2, "give the one SYSTEM that is to answer them")
    assert evaluate(system, "--data", data, "--submission", "none/x.csv").told(2, "there is no folder")
    assert {path.name for path in tmp_path.iterdir()} == {"eval"}
    (data / "evaluation_setup" / "fold1_evaluate.csv").write_text("filename\tscene_label\n")
    assert evaluate(system, "--data", data).told(2, "meta.csv is missing")  # a labelled set, with faults


def test_answers_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    logits = np.zeros((3, 2), dtype=np.float32)
    logits[1, 0] = np.nan
    with pytest.raises(InputError, match=r"the first to b\.wav"):
        submission_module.write_submission(tmp_path / "x.csv", ["a.wav", "b.wav", "c.wav"], ["x", "y"], logits)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "is.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        submission_module.check_place(tmp_path / "is.csv")


def test_a_second_system_finds_the_features(
    evaluate: Type, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    logging.getLogger("acoustic_nas").setLevel(logging.INFO)
    first = evaluate(folder / "system", "--data", folder / "data", "--submission", "x.csv")
    second = evaluate(folder / "system" / "base", "--data", folder / "data", "--submission", "y.csv")
    assert ("features of clips" in first.err, "features of clips" in second.err) == (True, False)
    assert np.load(next(tmp_path.glob("cache/features-*/clips.npy")), mmap_mode="r").shape[0] == 7
