"""`nas evaluate`: real exports on a toy data set, every table against clips counted one by one."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from toy_systems import FRONT_END, make_bundle, other
from typed import Type, Typed, typed

from nas import evaluation as evaluation_module
from nas.submission import submission_csv
from search_spaces.cost import form_cost
from trainers.audio import read_clip
from trainers.export import load_bundle
from trainers.front_end import log_mel
from trainers.synthetic import SCENES, make_scenes
from trainers.systems import System, open_system, write_system

FILES = {"scores.json", "scores.csv", "costs.csv", "predictions.csv", "evaluation.html"}
GROUPS = {"real": ["a", "b", "c"], "seen": ["s1", "s2", "s3"], "unseen": ["s4", "s5", "s6"]}


class Desk(NamedTuple):
    """A folder with a data set, a cache and the bundles of a system."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def system(self) -> Path:
        return self.folder / "system"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    make_scenes(desk.data, clips_per_scene=45, seed=1, sample_rate=8000)
    bundle = make_bundle(desk.folder / "plain")
    desk.system.mkdir()
    for seed, name in enumerate(("base", "for-a", "for-s1", "for-s3"), start=1):
        other(bundle, desk.system / name, seed=seed)
    write_system(desk.system, "base", {"a": "for-a", "s1": "for-s1", "s3": "for-s3"})
    return desk


@pytest.fixture
def evaluate(desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    """Types the command in an empty folder, into OUT there unless told otherwise; the cache is shared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(desk.folder / "cache"))

    def run(*arguments: object, data: Path = desk.data, out: bool = True) -> Typed:
        output = ["-o", "OUT"] if out else []
        return typed(monkeypatch, capfd, "evaluate", *arguments, "--data", data, *output)

    return run


class Clip(NamedTuple):
    """A clip of a list, and what two students say of it, found without the command."""

    name: str
    scene: str
    location: str
    device: str
    general: np.ndarray
    own: np.ndarray


def heard(desk: Desk, part: str = "test") -> list[Clip]:
    students = {"a": "for-a", "s1": "for-s1", "s3": "for-s3"}
    networks = {name: load_bundle(desk.system / name).network for name in ("base", *students.values())}
    with (desk.data / "meta.csv").open() as file:
        meta = {row["filename"]: row for row in csv.DictReader(file, delimiter="\t")}
    name = "fold1_evaluate" if part == "test" else "fold1_train"
    with (desk.data / "evaluation_setup" / f"{name}.csv").open() as file:
        listed = sorted(row["filename"] for row in csv.DictReader(file, delimiter="\t"))
    clips = []
    for filename in listed:
        wave, _ = read_clip(desk.data / filename, FRONT_END.sample_rate)
        features = log_mel(torch.from_numpy(wave)[None], FRONT_END)[:, None].half().float()
        row = meta[filename]
        device = row["source_label"]
        with torch.inference_mode():
            general, own = (
                torch.softmax(networks[student](features)[0].double(), 0).numpy()
                for student in ("base", students.get(device, "base"))
            )
        clips.append(Clip(filename, row["scene_label"], row["identifier"], device, general, own))
    return clips


@pytest.fixture(scope="module")
def clips(desk: Desk) -> list[Clip]:
    """Of the test list, in the order of the list."""
    return heard(desk)


def best(probabilities: np.ndarray) -> str:
    return SCENES[int(np.argmax(probabilities))]


def macro(clips: list[Clip], kind: str) -> float:
    right, all_of = Counter[str](), Counter[str]()
    for clip in clips:
        all_of[clip.scene] += 1
        right[clip.scene] += best(getattr(clip, kind)) == clip.scene
    return sum(right[scene] / all_of[scene] for scene in all_of) / len(all_of)


def check_tables(told: Mapping[str, Any], clips: list[Clip], kind: str) -> None:
    """The values of all tables."""
    losses = [-np.log(getattr(clip, kind)[SCENES.index(clip.scene)]) for clip in clips]
    assert told["overall"]["all"]["accuracy"]["value"] == pytest.approx(macro(clips, kind))
    assert told["overall"]["all"]["log_loss"]["value"] == pytest.approx(np.mean(losses), abs=1e-5)
    by_device = {name: [clip for clip in clips if clip.device == name] for name in sorted({c.device for c in clips})}
    assert {name: row["accuracy"]["value"] for name, row in told["devices"].items()} == {
        name: pytest.approx(macro(mine, kind)) for name, mine in by_device.items()
    }
    assert {name: row["accuracy"]["value"] for name, row in told["groups"].items()} == {
        group: pytest.approx(macro([clip for clip in clips if clip.device in members], kind))
        for group, members in GROUPS.items()
        if set(members) & set(by_device)
    }
    assert {name: row["accuracy"]["value"] for name, row in told["scenes"].items()} == {
        scene: pytest.approx(macro([clip for clip in clips if clip.scene == scene], kind)) for scene in SCENES
    }


def test_every_table_counts_the_clips_with_the_right_student(evaluate: Type, desk: Desk, clips: list[Clip]) -> None:
    answer = evaluate(desk.system, "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["version"] == 1
    assert found["systems"][0]["devices"] == ["a", "s1", "s3"]
    assert found["devices"] == {device: group for group, members in GROUPS.items() for device in members}
    assert found["data"]["clips"] == len(clips)
    assert found["data"]["locations"] == len({clip.location for clip in clips})
    check_tables(found["students"]["general"], clips, "general")
    check_tables(found["students"]["device_specific"], clips, "own")
    difference = found["students"]["difference"]["devices"]
    assert difference["s2"]["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert any(difference[device]["accuracy"]["value"] for device in ("a", "s1", "s3"))
    for kind, name in (("general", "general"), ("own", "device_specific")):
        counts = Counter((clip.scene, best(getattr(clip, kind))) for clip in clips)
        assert found["confusion"][name]["value"] == [[counts[truth, said] for said in SCENES] for truth in SCENES]
        assert len({said for _, said in counts}) > 2  # students with opinions, or nothing was tested
    overall = found["students"]["general"]["overall"]["all"]["accuracy"]
    assert overall["low"] < overall["value"] < overall["high"]
    assert found["interval"]["over"] == "locations"


def test_the_folder_holds_the_same_numbers_in_every_file(
    evaluate: Type, desk: Desk, clips: list[Clip], tmp_path: Path
) -> None:
    found = json.loads(evaluate(desk.system, "--json").out)
    folder = tmp_path / "OUT"
    assert {path.name for path in folder.iterdir()} == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OUT"]
    assert found.pop("folder") == str(folder)
    assert json.loads((folder / "scores.json").read_text()) == found
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (2 + 3 + 9 + 10) + 2 * 100
    for row in rows:
        assert row["system"] == "system"
        if row["table"] == "confusion":
            place = SCENES.index(row["row"]), SCENES.index(row["column"])
            assert float(row["value"]) == found["confusion"][row["students"]]["value"][place[0]][place[1]]
            assert row["low"] == row["high"] == ""
        else:
            cell = found["students"][row["students"]][row["table"]][row["row"]][row["column"]]
            assert [float(row[name]) for name in ("value", "low", "high")] == pytest.approx(list(cell.values()))
    with (folder / "predictions.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert [row["filename"] for row in predicted] == [clip.name for clip in clips]
    for row, clip in zip(predicted, clips, strict=True):
        assert (row["scene"], row["location"], row["device"]) == (clip.scene, clip.location, clip.device)
        assert row["student"] == (clip.device if clip.device in ("a", "s1", "s3") else "base")
        assert (row["general"], row["device_specific"]) == (best(clip.general), best(clip.own))
        assert [float(row[f"p_{scene}"]) for scene in SCENES] == pytest.approx(list(clip.own), abs=2e-5)


def test_people_read_tables_and_learn_where_the_rest_is(evaluate: Type, desk: Desk, clips: list[Clip]) -> None:
    answer = evaluate(desk.system)
    found = json.loads(evaluate(desk.system, "--json").out)
    lines = [line.split() for line in answer.out.splitlines()]
    rows = {
        **{group: [clip for clip in clips if clip.device in devices] for group, devices in GROUPS.items()},
        "accuracy": clips,
        **{f"{device} ({group})": [clip for clip in clips if clip.device == device]
           for group, devices in GROUPS.items() for device in devices},
        **{scene: [clip for clip in clips if clip.scene == scene] for scene in SCENES},
    }  # fmt: skip
    for name, mine in rows.items():
        words = name.split()
        told = next(line for line in lines if line[: len(words)] == words)[len(words) :]
        gain = macro(mine, "own") - macro(mine, "general")
        assert told[::3] == [f"{macro(mine, 'general'):.2%}", f"{macro(mine, 'own'):.2%}", f"{gain:+z.2%}"]
    whole = found["students"]["device_specific"]["overall"]["all"]
    accuracy, loss = whole["accuracy"], whole["log_loss"]
    assert f"{accuracy['value']:.2%} [{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]" in answer.out
    assert f"{loss['value']:.3f} [{loss['low']:.3f}, {loss['high']:.3f}]" in answer.out
    assert lines[-1][0].endswith("OUT")
    assert "Heard as, share of each scene's clips (device-specific)" in answer.out
    counts = Counter((clip.scene, best(clip.own)) for clip in clips)
    for number, scene in enumerate(SCENES, start=1):
        row = [counts[scene, said] for said in SCENES]
        shares = [f"{count / sum(row):.0%}" for count in row if count]
        assert next(line for line in lines if line[:2] == [str(number), scene])[2:] == shares
    for device in ("base", "a", "s1", "s3"):
        assert [device, found["systems"][0]["name"], "folded", "fp16", "1,732", "9,700"] in lines


def test_each_student_is_there_once_with_what_it_costs(evaluate: Type, desk: Desk, tmp_path: Path) -> None:
    shared = Path(shutil.copytree(desk.system, tmp_path / "shared"))
    write_system(shared, "base", {"a": "for-a", "b": "for-a", "c": "base"})
    found = json.loads(evaluate(shared, "--json").out)
    bundle = load_bundle(desk.system / "base")
    cost = form_cost(bundle.architecture, bundle.form)
    assert cost.weight_bytes == bundle.weight_bytes
    expected = {
        "variant": "float", "name": bundle.architecture.identity, "precision": "fp16", "form": "folded",
        "params": cost.params, "weight_bytes": cost.weight_bytes, "macs": cost.macs, "products": cost.products,
        "peak_bytes": cost.peak_bytes,
    }  # fmt: skip
    assert found["systems"][0]["students"] == [
        {"devices": ["base", "c"], **expected}, {"devices": ["a", "b"], **expected}
    ]  # fmt: skip
    with (tmp_path / "OUT" / "costs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["devices"], row["weight_bytes"]) for row in rows] == [
        ("shared", "base c", str(cost.weight_bytes)), ("shared", "a b", str(cost.weight_bytes))
    ]  # fmt: skip


def test_another_way_of_running_a_system_stands_beside_the_usual_one(
    evaluate: Type, desk: Desk, clips: list[Clip], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here the students of other recording devices stand for quantised ones."""
    usual = open_system(desk.system)
    odd = System({**usual.predictors, "a": usual.predictors["s1"], "base": usual.predictors["s3"]})
    monkeypatch.setattr(evaluation_module, "open_variants", lambda _: {"float": usual, "int8": odd})
    found = json.loads(evaluate(desk.system, "--json", "--submission", "x.csv").out)
    check_tables(found["students"]["general"], clips, "general")
    check_tables(found["students"]["device_specific"], clips, "own")
    assert list(found["labels"].items()) == [
        ("general", "general, float"), ("general_int8", "general, int8"),
        ("device_specific", "device-specific, float"), ("device_specific_int8", "device-specific, int8"),
        ("difference", "difference, float"), ("difference_int8", "difference, int8"),
        ("int8_less_float", "int8 less float"),
    ]  # fmt: skip
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(desk.folder / "cache"))
    alone = json.loads(evaluate(desk.system / "for-s3", "--json").out)
    assert found["students"]["general_int8"] == alone["students"]["general"]
    assert found["confusion"]["general_int8"] == alone["confusion"]["general"]
    devices = {kind: found["students"][kind]["devices"] for kind in found["labels"]}
    for device in devices["general"]:
        value = {kind: table[device]["accuracy"]["value"] for kind, table in devices.items()}
        assert value["difference_int8"] == pytest.approx(value["device_specific_int8"] - value["general_int8"])
        assert value["int8_less_float"] == pytest.approx(value["device_specific_int8"] - value["device_specific"])
    assert devices["int8_less_float"]["s1"]["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert any(row["accuracy"]["value"] for row in devices["int8_less_float"].values())
    assert [(each["variant"], each["devices"]) for each in found["systems"][0]["students"]][4:] == [
        ("int8", ["base", "s3"]), ("int8", ["a", "s1"])
    ]  # fmt: skip
    assert len((tmp_path / "x.csv").read_text().splitlines()) == len(clips) + 1


def test_a_second_evaluation_finds_the_features_and_gives_the_same(
    evaluate: Type, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    first, second = evaluate(desk.system, "--json"), evaluate(desk.system, "--json")
    assert "features of clips" in first.err
    assert "features of clips" not in second.err
    assert "clips that system hears" in second.err
    assert first.out == second.out


def test_one_student_is_scored_alone_beside_its_folder(evaluate: Type, desk: Desk, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(desk.system / "for-a", tmp_path / "runs" / "export-3"))
    found = json.loads(evaluate(bundle, "--json", out=False).out)
    assert found["folder"] == str(tmp_path / "runs" / "evaluation-export-3")
    assert set(found["students"]) == set(found["confusion"]) == {"general"}
    assert "device_specific" not in (Path(found["folder"]) / "predictions.csv").read_text()
    clips = [clip._replace(general=clip.own) for clip in heard(desk) if clip.device == "a"]
    assert found["students"]["general"]["devices"]["a"]["accuracy"]["value"] == pytest.approx(macro(clips, "general"))
    assert "device-specific" not in evaluate(bundle).out


def test_the_training_list_can_be_scored_too_and_says_so(evaluate: Type, desk: Desk) -> None:
    found = json.loads(evaluate(desk.system, "--part", "train", "--json").out)
    clips = heard(desk, "train")
    check_tables(found["students"]["general"], clips, "general")
    check_tables(found["students"]["device_specific"], clips, "own")
    assert found["data"]["part"] == "train"
    assert "train clips from" in evaluate(desk.system, "--part", "train").out


def test_copies_through_other_microphones_are_never_judged_on(evaluate: Type, desk: Desk, tmp_path: Path) -> None:
    data = Path(shutil.copytree(desk.data, tmp_path / "data"))
    copied = [clip.name for clip in heard(desk, "train") if clip.device == "a"][:7]
    for path in data.rglob("*.csv"):
        text = path.read_text()
        for name in copied:
            text = re.sub(rf"{name}(\t.*\t)a\n", rf"{name}\1unk\n", text).replace(name, name.replace("-a.", "-unk."))
        path.write_text(text)
    for name in copied:
        (data / name).rename(data / name.replace("-a.", "-unk."))
    found = json.loads(evaluate(desk.system / "base", "--part", "train", "--json", data=data).out)
    assert found["data"]["clips"] == len(heard(desk, "train")) - 7
    assert "unk" not in found["devices"]


def test_scenes_are_put_in_the_order_of_the_data(evaluate: Type, desk: Desk, clips: list[Clip], tmp_path: Path) -> None:
    turned = SCENES[3:] + SCENES[:3]
    system = other(desk.system / "base", tmp_path / "turned", scenes=turned)
    found = json.loads(evaluate(system, "--json", "--submission", "out.csv").out)
    renamed = [clip._replace(general=np.roll(clip.general, 3)) for clip in clips]
    check_tables(found["students"]["general"], renamed, "general")
    with (tmp_path / "out.csv").open() as file:
        assert list(next(csv.DictReader(file, delimiter="\t")))[2:] == list(SCENES)


def test_several_seeds_are_told_by_mean_and_interval(
    evaluate: Type, desk: Desk, clips: list[Clip], tmp_path: Path
) -> None:
    paths = [desk.system / name for name in ("base", "for-a", "for-s1")]
    found = json.loads(evaluate(*paths, "--json").out)
    alone = [json.loads(evaluate(path, "--json").out)["students"]["general"] for path in paths]
    assert found["interval"] == {
        "level": 0.95,
        "over": "systems",
        "method": "Mean over the systems, with Student's 95 % interval: mean ± t(0.975, n - 1) · s / √n.",
    }
    assert [run["label"] for run in found["runs"]] == ["base", "for-a", "for-s1"]
    assert [run["students"]["general"] for run in found["runs"]] == alone
    for table, rows in alone[0].items():
        for row, columns in rows.items():
            for column in columns:
                values = [each[table][row][column]["value"] for each in alone]
                cell = found["students"]["general"][table][row][column]
                half = 4.302653 * np.std(values, ddof=1) / 3**0.5
                assert cell["value"] == pytest.approx(np.mean(values))
                if column == "log_loss":
                    assert cell["high"] - cell["value"] == pytest.approx(half, rel=1e-5)
    told = found["confusion"]["general"]
    for truth, row in enumerate(told["value"]):
        assert sum(row) == pytest.approx(sum(clip.scene == SCENES[truth] for clip in clips))
        for low, value, high in zip(told["low"][truth], row, told["high"][truth], strict=True):
            assert 0 <= low <= value <= high <= sum(row) + 1e-9
    assert any(low < high for low, high in zip(told["low"][0], told["high"][0], strict=True))
    out = evaluate(*paths).out
    groups = found["students"]["general"]["groups"]
    for group, row in groups.items():
        low, high = (f"{100 * row['accuracy'][end]:.1f}" for end in ("low", "high"))
        assert [group, f"{row['accuracy']['value']:.2%}", f"[{low},", f"{high}]"] in [
            line.split() for line in out.splitlines()
        ]
    with (tmp_path / "OUT" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert dict.fromkeys(row["system"] for row in rows) == dict.fromkeys(["base", "for-a", "for-s1", "mean"])
    assert all(row["low"] and row["high"] for row in rows if row["system"] == "mean")
    with (tmp_path / "OUT" / "costs.csv").open() as file:
        assert [row["system"] for row in csv.DictReader(file)] == ["base", "for-a", "for-s1"]
    with (tmp_path / "OUT" / "predictions.csv").open() as file:
        assert Counter(row["system"] for row in csv.DictReader(file)) == dict.fromkeys(
            ["base", "for-a", "for-s1"], len(clips)
        )


def test_systems_of_one_name_keep_their_paths(evaluate: Type, desk: Desk, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(desk.system / name, tmp_path / name / "export-1")) for name in ("base", "for-a")]
    found = json.loads(evaluate(*paths, "--json").out)
    assert [system["label"] for system in found["systems"]] == [str(path) for path in paths]


def test_the_submission_is_the_challenges(evaluate: Type, desk: Desk, clips: list[Clip], tmp_path: Path) -> None:
    assert evaluate(desk.system, "--submission", "submission.csv", "-q").code == 0
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[0].split("\t") == [
        "filename", "scene_label", "airport", "bus", "metro", "metro_station", "park", "public_square",
        "shopping_mall", "street_pedestrian", "street_traffic", "tram",
    ]  # fmt: skip
    assert len(lines) == len(clips) + 1
    for line, clip in zip(lines[1:], clips, strict=True):
        name, scene, *probabilities = line.split("\t")
        assert (name, scene) == (clip.name, best(clip.own))
        assert list(map(float, probabilities)) == pytest.approx(list(clip.own), abs=1e-5)
        assert sum(map(float, probabilities)) == pytest.approx(1)
    huge = submission_csv(["a.wav"], ["x", "y"], np.array([[1000.0, -1000.0]], dtype=np.float32))
    assert huge == "filename\tscene_label\tx\ty\na.wav\tx\t1.0\t0.0\n"


def test_an_earlier_evaluation_is_replaced_and_nothing_else_is(
    evaluate: Type, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = desk.system / "base"
    (tmp_path / "OUT").mkdir()
    assert evaluate(bundle).code == 0
    before = (tmp_path / "OUT" / "scores.csv").read_bytes()
    assert evaluate(desk.system / "for-a").code == 0
    after = (tmp_path / "OUT" / "scores.csv").read_bytes()
    assert after != before

    def fails(_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(evaluation_module, "evaluation_page", fails)
        assert evaluate(bundle).told(1, "the disk is full")
    assert (tmp_path / "OUT" / "scores.csv").read_bytes() == after
    assert {path.name for path in tmp_path.iterdir()} == {"OUT"}
    (tmp_path / "OUT" / "thesis.tex").write_text("chapter 1")
    assert evaluate(bundle).told(2, "holds thesis.tex, which no evaluation wrote")
    assert (tmp_path / "OUT" / "scores.csv").read_bytes() == after
    shutil.rmtree(tmp_path / "OUT")
    (tmp_path / "OUT").write_text("a file")
    assert evaluate(bundle).told(2, "exists and is no folder")
    (tmp_path / "OUT").unlink()
    (tmp_path / "OUT").symlink_to(desk.data)
    assert evaluate(bundle).told(2, "OUT exists and is no folder")


def test_a_seed_in_which_no_recording_device_got_its_own_student_answers_by_its_base(
    evaluate: Type, desk: Desk
) -> None:
    """As `nas train` keeps device students where they are better, which differs from seed to seed."""
    base = desk.system / "base"
    found = json.loads(evaluate(desk.system, base, "--json").out)
    kinds = [list(run["students"]) for run in found["runs"]]
    assert kinds == [["general", "device_specific", "difference"]] * 2
    own, none = (run["students"] for run in found["runs"])
    assert none["device_specific"] == none["general"] == own["general"]
    assert own["device_specific"] != own["general"]
    assert [system["devices"] for system in found["systems"]] == [["a", "s1", "s3"], []]


def test_what_does_not_belong_together_is_told_in_one_sentence(evaluate: Type, desk: Desk, tmp_path: Path) -> None:
    base = desk.system / "base"
    others = (*SCENES[:-1], "night_club")
    strange = other(base, tmp_path / "strange", scenes=others)
    assert evaluate(strange).told(2, "it does not know tram; there is no clip of night_club")
    deaf = other(base, tmp_path / "deaf", f_max=3000.0)
    assert evaluate(base, deaf).told(2, "hears other features than")
    assert evaluate(base, desk.system / "for-a", "--submission", "x.csv").told(2, "has the answers of one system")
    assert evaluate(base, "--submission", "none/x.csv").told(2, "none/x.csv cannot be written: there is no folder")
    assert evaluate(base, data=tmp_path / "none").told(2, "there is no such folder")
    assert evaluate(base, "--train-list", "split7").told(2, "split_setup/split7.csv is missing")
    assert evaluate(tmp_path / "none").told(2, "No such file")
    assert evaluate(tmp_path).told(2, "is its folder an export bundle?")
    assert {path.name for path in tmp_path.iterdir()} == {"strange", "deaf"}
    bare = evaluate(base, "--part", "validation")
    assert bare.code == 2
    assert "'validation' is not one of 'test', 'train'" in bare.err


def test_a_checkpoint_of_real_weights_scores_a_real_data_set_of_its_scenes(
    evaluate: Type, shared_data: Path, tmp_path: Path
) -> None:
    """One real recording: ten seconds of a metro station, of which five are tested."""
    import soundfile

    folder, data = shared_data / "tau-clip", tmp_path / "tau"
    samples, rate = soundfile.read(folder / "metro_station-paris.wav", dtype="float32")
    (data / "audio").mkdir(parents=True)
    (data / "split_setup").mkdir()
    meta, lists = ["filename\tscene_label\tidentifier\tsource_label"], {"test": [], "split25": []}
    clips = [("test", "metro_station", 2003, second) for second in range(5)]
    clips += [("split25", scene, 1000 + number, 5) for number, scene in enumerate(SCENES)]
    for part, scene, place, second in clips:
        name = f"audio/{scene}-paris-{place}-1-{second}-a.wav"
        soundfile.write(data / name, samples[second * rate : (second + 1) * rate], rate, subtype="PCM_16")
        meta.append(f"{name}\t{scene}\tparis-{place}\ta")
        lists[part].append((name, scene))
    (data / "meta.csv").write_text("\n".join(meta) + "\n")
    for name, listed in lists.items():
        text = "".join(f"{file}\t{scene}\n" for file, scene in listed)
        (data / "split_setup" / f"{name}.csv").write_text("filename\tscene_label\n" + text)
    found = json.loads(evaluate(folder / "cp_mobile_2023_c0a7nzin.ckpt", "--json", data=data).out)
    overall = found["students"]["general"]["overall"]["all"]
    assert overall["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert overall["log_loss"]["value"] == pytest.approx(
        -np.mean(np.log([0.981, 0.970, 0.902, 0.789, 0.951])), abs=0.01
    )
    assert found["name"] == "cp_mobile_2023_c0a7nzin"


def test_it_knows_no_database(evaluate: Type, desk: Desk) -> None:
    answer = evaluate(desk.system, "--storage", "sqlite:///x.db")
    assert (answer.code, "No such option" in answer.err, "--storage" in answer.err) == (2, True, True)


def test_the_command_starts_without_torch() -> None:
    code = "import sys, nas.cli.evaluate; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
