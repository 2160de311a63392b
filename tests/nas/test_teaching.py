"""The teachers of a study, each on its own ears and chance, and how their word is put together and judged."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from rich.console import Console
from toy_study import STUDY

from nas.display import Display
from nas.extraction import Extracted, extract, open_material
from nas.places import Places
from nas.preparation import prepare
from nas.study_file import StudyFile, study_from_json
from nas.teaching import Classroom, Ensemble, Member, report_of, tunable_devices
from nas.teaching_tasks import Listen, Teach, Tune
from search_spaces.architecture import InputShape
from search_spaces.seeds import derive_seed
from trainers.augmentation.settings import Views
from trainers.cached_logits import CachedLogits
from trainers.copies import COPY_DEVICE
from trainers.efficientat import DyMn, Mn
from trainers.evaluation import score
from trainers.front_end import FrontEnd
from trainers.material import Material
from trainers.published import LAYOUTS, CheckpointError
from trainers.recipe import Recipe
from trainers.recordings import Recordings
from trainers.teachers.logits import ensemble_logits, teacher_logits
from trainers.teachers.networks import Network, build, network_named
from trainers.teachers.teacher import Teacher
from trainers.teachers.teaching import (
    published_teacher,
    read_taught,
    taught_teacher,
    train_teacher,
)

TINY = FrontEnd(sample_rate=4000, n_fft=256, window=256, hop=500, mels=8, f_max=1500)
OWN = FrontEnd(sample_rate=8000, n_fft=256, window=256, hop=800, mels=16, f_max=3000)
RECIPE, FURTHER = Recipe(epochs=1, batch=16), Recipe(epochs=2, batch=8, learning_rate=2e-2)
NETWORK = "sharif-dsflexi-m1"
MODELS = ("base_model", "device_models.a")
# Of the recording device a for each of the locations to learn from, and so on; d was never recorded for training.
TRAIN = {"a": 9, "b": 9, "c": 1, COPY_DEVICE: 9}
TEST = {"a": 3, "d": 3}


def noise(root: Path) -> Recordings:
    """Scenes that can be told apart by their level, from four recording devices and as copies."""
    root.mkdir()
    rng, rows = np.random.default_rng(0), []
    for split, devices in (("train", TRAIN), ("test", TEST)):
        for number in range(2 * 2 * 3):
            scene, location = ("bus", "park")[number % 2], f"city-{split}-{number % 4}"
            for device, clips in devices.items():
                for clip in range(number // 4, clips, 3):
                    name = f"{split}-{number}-{device}-{clip}.wav"
                    soundfile.write(root / name, rng.normal(0, 0.02 + 0.1 * (number % 2), 4000), 4000, subtype="FLOAT")
                    rows.append((name, scene, location, device, split))
    return Recordings(
        root, pd.DataFrame(rows, columns=["filename", "scene", "location", "device", "split"]), ("bus", "park"), "noise"
    )


def study_of(teachers: dict[str, Any], **changes: Any) -> StudyFile:
    """The toy study on the tiny front end, with two views of each clip."""
    data = yaml.safe_load(STUDY) | {
        "features": TINY.to_json(),
        "inputs": {},
        "views": {"count": 3, "gain": 6},
        "teachers": {"recipe": {"epochs": 1, "batch": 16}} | teachers,
        "search": {"trials": 1, "workers": 1},
    }
    return study_from_json(data | changes, "toy")


class School:
    """Recordings, and where everything made of them is kept."""

    def __init__(self, folder: Path) -> None:
        self.recordings = noise(folder / "data")
        self.folder, self.places = folder, Places(folder, "sqlite://", folder / "cache")
        self.display = Display(Console(quiet=True))

    def extracted(self, study: StudyFile) -> Extracted:
        return extract(study, self.recordings, self.places, self.display)

    def room(self, study: StudyFile) -> Classroom:
        return Classroom(self.extracted(study), self.places, self.display)

    def caches(self, kind: str) -> set[str]:
        return {path.name for path in self.places.cache.glob(f"{kind}-*")}

    def published(self, *models: str) -> Path:
        """A checkpoint of these models, each with an opinion of its own."""
        layout, path = LAYOUTS[1], self.folder / f"published-{len(models)}.ckpt"
        state = {}
        for number, model in enumerate(models):
            network = layout.network()
            given = network.state_dict()
            given["head.classify.norm.bias"][: number + 1] += 2
            state |= {f"multi_device_model.{model}.{key}": given[ours] for ours, key in layout.keys(network).items()}
        torch.save({"state_dict": state}, path)
        return path


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    return School(tmp_path_factory.mktemp("school"))


@pytest.fixture(scope="module")
def study(school: School) -> StudyFile:
    """Three teachers: of the study's ears, of its own, and published."""
    return study_of(
        {
            "per_device": {"epochs": 2, "batch": 8, "learning_rate": 2e-2},
            "members": {
                "first": {"network": NETWORK, "weight": 3},
                "second": {"network": NETWORK, "features": OWN.to_json()},
                "jku": {"published": str(school.published(*MODELS)), "weight": 0.5},
            },
        }
    )


@pytest.fixture(scope="module")
def together(school: School, study: StudyFile) -> Ensemble:
    return school.room(study).ensemble()


@pytest.fixture(scope="module")
def apart(school: School, study: StudyFile, together: Ensemble) -> Ensemble:
    found = school.room(study).per_device()
    assert found is not None
    return found


def material(school: School, study: StudyFile, front_end: FrontEnd = TINY) -> Material:
    extracted = school.extracted(study)
    return Material.open(
        extracted.features[front_end],
        validation_share=0.4,
        validation_seed=derive_seed(3, "validation"),
        views_dir=extracted.views.get(front_end),
    )


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Closer than clips are to each other, however little a teacher of one epoch tells them apart."""
    expected = expected.astype(np.float64)
    spread = expected.reshape(-1, 2).std(axis=0).min()
    assert spread > 0.01
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0.05 * spread)


def network(clips: Material) -> Network:
    return network_named(NETWORK, clips.mels, clips.frames, 2)


def seed_of(name: str) -> int:
    return derive_seed(3, "teacher", name)


def test_each_teacher_says_what_it_says_when_it_is_taught_and_heard_by_hand(
    school: School, study: StudyFile, together: Ensemble, tmp_path: Path
) -> None:
    assert [member.teacher.name for member in together.members] == ["first", "second", "jku"]
    assert [member.weight for member in together.members] == [3, 1, 0.5]
    for member, front_end in zip(together.members, (TINY, OWN), strict=False):
        name, clips = member.teacher.name, material(school, study, front_end)
        by_hand = train_teacher(clips, network(clips), RECIPE, seed=seed_of(name), cache_root=tmp_path, threads=1)
        logits = teacher_logits(clips, taught_teacher(name, by_hand), tmp_path, threads=1)
        said, expected = CachedLogits.at(member.logits), CachedLogits.at(logits)
        for answers in (CachedLogits.clean, CachedLogits.views):
            alike(answers(said), answers(expected))
        assert said.views().shape == (len(clips.labels) - len(clips.rows["test"]), 2, 2)
        assert member.seconds is not None


def test_teachers_of_one_kind_differ_by_their_names_alone_and_not_by_who_sits_beside_them(
    school: School, together: Ensemble
) -> None:
    alone = study_of({"members": {"first": {"network": NETWORK}, "third": {"network": NETWORK}}})
    before = school.caches("teacher")
    first, third = school.room(alone).ensemble().members
    assert first.logits == together.members[0].logits
    assert third.logits != first.logits
    assert not np.allclose(CachedLogits.at(first.logits).clean(), CachedLogits.at(third.logits).clean(), atol=1e-3)
    assert len(school.caches("teacher") - before) == 2  # the folder of the third and that of its logits


def test_the_ensemble_speaks_by_the_weights_and_the_rule_of_the_file(
    school: School, study: StudyFile, together: Ensemble
) -> None:
    first, second, jku = (CachedLogits.at(member.logits) for member in together.members)
    for said in (CachedLogits.clean, CachedLogits.views):
        total = 3 * said(first).astype(float) + said(second) + 0.5 * said(jku)
        np.testing.assert_allclose(said(CachedLogits.at(together.logits)), total / 4.5, rtol=1e-3, atol=1e-3)
        summed = study.model_copy(update={"teachers": study.teachers.model_copy(update={"rule": "sum"})})
        sum_of_them = school.room(summed).ensemble()
        np.testing.assert_allclose(said(CachedLogits.at(sum_of_them.logits)), total, rtol=1e-3, atol=1e-3)


def test_a_recording_device_with_clips_enough_is_answered_by_its_own_teacher_and_a_published_model(
    school: School, study: StudyFile, together: Ensemble, apart: Ensemble, tmp_path: Path
) -> None:
    devices = material(school, study).devices
    for base, tuned, own in zip(together.members, apart.members, ("ab", "ab", "a"), strict=True):
        assert base.teacher.name == tuned.teacher.name
        differs = ~np.isclose(
            CachedLogits.at(base.logits).clean(), CachedLogits.at(tuned.logits).clean(), rtol=5e-3, atol=2e-3
        ).all(axis=1)
        assert set(devices[differs]) == set(own), base.teacher.name
        assert differs[np.isin(devices, list(own))].mean() > 0.8
    clips = material(school, study)
    by_hand = train_teacher(clips, network(clips), RECIPE, seed=seed_of("first"), cache_root=tmp_path, threads=1)
    seed = derive_seed(seed_of("first"), "b")  # no two recording devices share their chance
    of_b = clips.of_device("b")
    b = train_teacher(of_b, network(clips), FURTHER, seed=seed, cache_root=tmp_path, start=by_hand, threads=1)
    expected = teacher_logits(clips, taught_teacher("", b), tmp_path, threads=1)
    rows = np.flatnonzero(devices == "b")
    found = CachedLogits.at(apart.members[0].logits).clean()[rows]
    alike(found, CachedLogits.at(expected).clean()[rows])


def test_what_was_made_is_found_without_anyone_being_put_to_work(
    school: School, study: StudyFile, together: Ensemble, apart: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Path:
        raise AssertionError("it is there")

    for kind in (Teach, Tune, Listen):
        monkeypatch.setattr(kind, "run", refuse)
    room, further = school.room(study), school.room(study).per_device()
    assert further is not None
    assert (room.ensemble().logits, further.logits) == (together.logits, apart.logits)


def test_the_time_of_a_teacher_is_that_of_all_its_networks(school: School, together: Ensemble, apart: Ensemble) -> None:
    folders = school.places.cache.glob("teacher-*/teacher.json")
    # Those of "first": the base and two further ones of the recordings at 4 kHz.
    base, tuned = together.members[0].seconds, apart.members[0].seconds
    assert base is not None
    assert tuned is not None
    seconds = [read_taught(path.parent).seconds for path in folders]
    assert base in seconds
    assert any(np.isclose(tuned, base + a + b) for a in seconds for b in seconds)
    assert together.members[2].seconds is apart.members[2].seconds is None


def test_nobody_is_taught_further_where_the_file_does_not_ask(school: School) -> None:
    base_alone = str(school.published(*MODELS[:1]))
    plain = study_of({"members": {"first": {"network": NETWORK}, "jku": {"published": base_alone}}})
    assert school.room(plain).per_device() is None


def test_a_published_teacher_alone_may_know_recording_devices(school: School) -> None:
    found = school.room(study_of({"members": {"jku": {"published": str(school.published(*MODELS))}}})).per_device()
    assert found is not None
    assert found.members[0].teacher.networks().keys() == {"base", "a"}


def test_one_that_is_not_taught_further_speaks_as_its_base_beside_one_that_is(school: School) -> None:
    mixed = study_of(
        {"members": {"first": {"network": NETWORK}, "third": {"network": NETWORK, "per_device": {"epochs": 2}}}}
    )
    room = school.room(mixed)
    base, tuned = room.ensemble(), room.per_device()
    assert tuned is not None
    assert base.members[0].logits == tuned.members[0].logits
    assert base.members[1].logits != tuned.members[1].logits


@pytest.mark.parametrize("place", [0, 1])
def test_a_start_that_does_not_fit_is_told_before_any_teacher_is_taught(
    school: School, tmp_path: Path, place: int
) -> None:
    torch.save(build(Mn(0.2), 2).state_dict(), tmp_path / "wide.pt")
    given = [("bad", {"network": NETWORK, "start": str(tmp_path / "wide.pt")}), ("good", {"network": NETWORK})]
    members = dict(given if place == 0 else reversed(given))
    before = school.caches("teacher")
    with pytest.raises(CheckpointError, match=r"wide\.pt"):
        school.room(study_of({"members": members})).ensemble()
    assert school.caches("teacher") == before


def test_a_teacher_begins_from_its_start(school: School, tmp_path: Path) -> None:
    """At a rate of next to nothing its weights are still those of the file, and a kernel of a DyMN is sharp."""
    given = build(DyMn(0.1), 2, seed=9).state_dict()
    torch.save(given, tmp_path / "dymn01_as.pt")
    member = {"network": "dymn01", "start": str(tmp_path / "dymn01_as.pt"), "recipe": {"learning_rate": 1e-12}}
    before = school.caches("teacher")
    school.room(study_of({"members": {"own": member}})).ensemble()
    (record,) = [
        path for name in school.caches("teacher") - before for path in (school.places.cache / name).glob("teacher.json")
    ]
    assert read_taught(record.parent).network == DyMn(0.1, tau=1.0)
    taught = taught_teacher("", record.parent).networks()["base"].state_dict()
    for name, value in given.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(taught[name], value, rtol=0, atol=1e-6)


def test_only_recording_devices_with_sixteen_clips_to_learn_from_are_taught_for() -> None:
    counts = {"s1": 15, "b": 16, "a": 40, COPY_DEVICE: 40, "c": 0}
    devices = np.array([name for name, count in counts.items() for _ in range(count)] + ["c"] * 20)
    fit, rest = np.arange(sum(counts.values())), np.arange(sum(counts.values()), len(devices))
    clips = Material(
        features=np.zeros((len(devices), 2, 2), np.float16),
        labels=np.zeros(len(devices), np.int64),
        devices=devices,
        rows={"fit": fit, "validation": rest, "test": rest[:0]},
        scenes=("bus",),
    )
    assert tunable_devices(clips) == ["a", "b"]


def said(school: School, clips: Material, logits: np.ndarray, name: str) -> Path:
    """The cache of a teacher that says just that, in float16, and of every view nothing in particular."""

    class Oracle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))
            self.heard = {clip.tobytes(): value for clip, value in zip(clips.features, logits, strict=True)}

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            rows = [self.heard[clip.tobytes()] for clip in batch[:, 0].numpy().astype(np.float16)]
            return torch.from_numpy(np.stack(rows)).float()

    teacher = Teacher(name, name, clips.scenes, 1, lambda: {"base": Oracle()})
    return teacher_logits(clips, teacher, school.places.cache)


@pytest.mark.parametrize("part", ["fit", "validation", "test"])
@pytest.mark.parametrize("rule", ["mean", "sum"])
def test_a_report_judges_each_and_all_on_one_part(school: School, rule: Any, part: Any) -> None:
    plain = study_of({"rule": rule, "members": {"first": {"network": NETWORK}}}, views={})
    extracted = school.extracted(plain)
    clips = extracted.material(TINY)
    rng = np.random.default_rng(1)
    given = [rng.normal(0, 2, (len(clips.labels), 2)).astype(np.float16) for _ in range(2)]
    logits = [said(school, clips, each, f"{rule}-{number}") for number, each in enumerate(given)]
    teachers = [Teacher(name, name, clips.scenes, count, dict) for name, count in (("x", 3), ("y", 4))]
    members = (Member(teachers[0], logits[0], 3.0, 2.5), Member(teachers[1], logits[1], 0.5, None))
    whole = ensemble_logits([(each.logits, each.weight) for each in members], rule, school.places.cache)
    report = report_of(extracted, Ensemble(members, whole), part)
    assert [row["name"] for row in report] == ["x", "y", "ensemble"]
    assert [row["parameters"] for row in report] == [3, 4, 7]
    assert [row["seconds"] for row in report] == [2.5, None, 2.5]
    mean = (3 * given[0].astype(np.float64) + 0.5 * given[1]) / 3.5
    rows = clips.rows[part]
    for row, own in zip(report, (*given, mean), strict=True):
        heard = set(TRAIN)
        expected = score(own[rows].astype(np.float64), clips.labels[rows], clips.devices[rows], clips.scenes, heard)
        assert row["scores"]["clips"] == len(rows)
        assert row["scores"]["log_loss"] == pytest.approx(expected.log_loss, rel=2e-3)
        assert row["scores"]["accuracy"] == pytest.approx(expected.accuracy, abs=0.02)
        assert row["scores"]["groups"].keys() == expected.groups.keys()
    json.dumps(report)
    assert report_of(extracted, Ensemble(members[1:], logits[1]), part) == report[1:2]
    untaught = tuple(replace(member, seconds=None) for member in members)
    assert report_of(extracted, Ensemble(untaught, whole), part)[-1]["seconds"] is None


def test_what_is_prepared_is_what_the_students_open(school: School, caplog: pytest.LogCaptureFixture) -> None:
    plain = study_of({"members": {"first": {"network": NETWORK}}}, inputs={"mels": [4, 8]})
    with caplog.at_level(logging.INFO, "acoustic_nas"):
        prepared = prepare(plain, school.recordings, school.places, school.display)
    shapes = {InputShape(4, 9), InputShape(8, 9)}
    assert prepared.inputs.keys() == prepared.views.keys() == shapes
    for shape in shapes:
        clips = open_material(plain, prepared.inputs[shape], prepared.logits_dir, prepared.views[shape])
        assert (clips.mels, clips.frames) == (shape.mels, shape.frames)
        assert clips.logits is not None
    assert prepared.features_dir == prepared.inputs[InputShape(8, 9)]
    assert [row["name"] for row in prepared.teachers] == ["first"]
    assert prepared.teachers[0]["scores"]["clips"] == len(clips.rows["validation"])
    assert sum("on the validation clips" in record.message for record in caplog.records) == 1
    unseen = prepare(plain.model_copy(update={"views": Views()}), school.recordings, school.places, school.display)
    assert unseen.views == {}


def test_a_published_teacher_s_models_are_heard_only_when_asked_for(school: School) -> None:
    path = school.published(*MODELS)
    both, base = (published_teacher("jku", path, per_device=asked) for asked in (True, False))
    assert both.networks().keys() == {"base", "a"}
    assert base.networks().keys() == {"base"}
    assert both.digest != base.digest
    moved = path.rename(school.folder / "moved.ckpt")
    assert published_teacher("jku", moved, per_device=True).digest == both.digest
    moved.rename(path)
    assert both.scenes == LAYOUTS[1].scenes
    assert both.parameters == base.parameters == 61_148
