"""A teacher learns from labels alone, once for what decides it, and is found by it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import cost
from search_spaces.designs import design
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.efficientat import DyMn, Mn
from trainers.efficientat.dynamic import DynamicConv
from trainers.evaluation import logits_of, score
from trainers.material import ClipViews, Material
from trainers.published import BASE, CheckpointError
from trainers.recipe import Recipe
from trainers.teachers.networks import WIDE, build, network_named
from trainers.teachers.teaching import (
    TeacherError,
    find_teacher,
    read_taught,
    taught_teacher,
    train_teacher,
)
from trainers.training import Training

SMALL = Architecture(
    input=InputShape(16, 12),
    stem=ConvStem((4, 8)),
    stages=(Stage((CPMobileBlock(8, 8),)),),
    classes=2,
    precision="fp32",
)
RECIPE = Recipe(epochs=6, batch=8, learning_rate=2e-2)


def material(name="toy", **changes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    features = rng.normal(0, 1, (60, 16, 12))
    features[labels == 1, :8] += 2
    values = {
        "features": features.astype(np.float16),
        "labels": labels.astype(np.int64),
        "devices": np.array(["a", "s1"] * 30),
        "rows": {"fit": np.arange(40), "validation": np.arange(40, 60), "test": np.arange(0)},
        "scenes": ("airport", "bus"),
        "name": name,
    }
    return Material(**{**values, **changes})


def taught(root, clips=None, recipe=RECIPE, seed=0, epochs=None, network=SMALL, **kwargs):
    settings = {"threads": 1, "progress": None if epochs is None else epochs.append, **kwargs}
    return train_teacher(clips or material(), network, recipe, seed=seed, cache_root=root, **settings)


def tune_teacher(clips, base, device, recipe, *, seed, cache_root, threads):
    return train_teacher(
        clips.of_device(device),
        read_taught(base).network,
        recipe,
        seed=seed,
        cache_root=cache_root,
        start=base,
        threads=threads,
    )


def accuracy(network, clips, device=None):
    rows = clips.rows["validation"]
    rows = rows if device is None else rows[clips.devices[rows] == device]
    logits = logits_of(network, clips.features, rows)
    return score(logits, clips.labels[rows], clips.devices[rows], clips.scenes, {"a", "s1"}).accuracy


def test_a_teacher_learns_and_its_folder_says_what_it_is(tmp_path):
    epochs, clips = [], material()
    folder = taught(tmp_path, clips, epochs=epochs)
    assert [result.epoch for result in epochs] == [1, 2, 3, 4, 5, 6]
    record = read_taught(folder)
    assert record.network == SMALL
    assert record.scenes == clips.scenes
    assert record.losses == tuple(result.loss for result in epochs)
    assert record.seconds >= sum(result.seconds for result in epochs)
    teacher = taught_teacher("small", folder)
    assert (teacher.name, teacher.scenes) == ("small", clips.scenes)
    assert teacher.parameters == cost(SMALL).training.params
    networks = teacher.networks()
    assert list(networks) == [BASE]
    assert not networks[BASE].training
    assert accuracy(networks[BASE], clips) > 0.85


def test_a_finished_teacher_is_taught_once(tmp_path):
    folder = taught(tmp_path)
    epochs = []
    assert taught(tmp_path, epochs=epochs) == folder
    assert epochs == []


def test_what_decides_the_teacher_decides_its_folder(tmp_path):
    recipe = Recipe(epochs=1, batch=8)
    folders = {
        taught(tmp_path, recipe=recipe),
        taught(tmp_path, recipe=recipe, seed=1),
        taught(tmp_path, recipe=replace(recipe, roll=0.2)),
        taught(tmp_path, material("other"), recipe=recipe),
        taught(tmp_path, recipe=recipe, network=replace(SMALL, stem=ConvStem((8, 8)))),
        taught(tmp_path, material(scenes=("bus", "tram")), recipe=recipe),
    }
    assert len(folders) == 6
    starts = [taught(tmp_path / "starts", recipe=recipe, seed=seed) for seed in (7, 8)]
    assert len({taught(tmp_path, recipe=recipe, start=start) for start in starts} | folders) == 8


def test_a_teacher_is_found_by_all_that_decides_it(tmp_path):
    recipe = Recipe(epochs=1, batch=8)
    fresh = taught(tmp_path, recipe=recipe)
    asked = {"seed": 0, "cache_root": tmp_path}
    assert find_teacher(material(), SMALL, recipe, **asked) == fresh
    assert find_teacher(material(), SMALL, recipe, **asked, start=fresh) is None
    assert find_teacher(material("other"), SMALL, recipe, **asked) is None
    further = taught(tmp_path, recipe=recipe, start=fresh)
    assert find_teacher(material(), SMALL, recipe, **asked, start=fresh) == further


def test_teacher_logits_and_their_share_play_no_part(tmp_path):
    epochs = []
    folder = taught(tmp_path, recipe=Recipe(epochs=1, batch=8))
    # Whatever they were multiplied with would not be finite.
    clips = replace(material(), logits=np.full((60, 2), np.nan, dtype=np.float16))
    recipe = Recipe(epochs=1, batch=8, teacher_share=1.0, temperature=7.0)
    assert taught(tmp_path, clips, recipe=recipe, epochs=epochs) == folder
    assert epochs == []
    again = taught(tmp_path / "elsewhere", clips, recipe=recipe)
    assert (again / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_a_teacher_learns_from_views_too_and_not_from_what_others_said_of_them(tmp_path):
    clips = material()
    silent = np.zeros_like(clips.features)
    silent[40:] = clips.features[40:]
    drawn = ClipViews(
        np.repeat(clips.features[:40, None], 7, axis=1),
        np.repeat(np.arange(40)[:, None], 7, axis=1),
        np.ones((40, 7), np.float32),
        np.full((40, 7, 2), np.nan, np.float16),
    )
    heard = replace(clips, features=silent, views=drawn, logits=np.full((60, 2), np.nan, np.float16))
    network = taught_teacher("", taught(tmp_path, heard)).networks()[BASE]
    assert accuracy(network, heard) > 0.85


def test_the_seed_is_that_of_the_weights_and_of_the_order_of_the_clips(tmp_path):
    still = Recipe(epochs=1, batch=8, learning_rate=1e-12)
    first, other = (taught(tmp_path, recipe=still, seed=seed) for seed in (1, 2))
    weights = [next(iter(taught_teacher("", folder).networks()[BASE].parameters())) for folder in (first, other)]
    assert not torch.allclose(*weights, atol=1e-3)
    losses = [read_taught(taught(tmp_path, recipe=still, seed=seed, start=first)).losses for seed in (1, 2)]
    assert losses[0] != losses[1]


def test_an_interrupted_teacher_starts_over(tmp_path):
    class Killed(Exception):
        pass

    def kill(result):
        if result.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        taught(tmp_path, progress=kill)
    epochs = []
    folder = taught(tmp_path, epochs=epochs)
    assert [result.epoch for result in epochs] == [1, 2, 3, 4, 5, 6]
    fresh = taught(tmp_path / "elsewhere")
    assert (folder / "weights.safetensors").read_bytes() == (fresh / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    "record", ["[]", "3", "{}", '{"network": 3}', '{"network": {}, "scenes": [], "seconds": 1, "losses": []}']
)
def test_a_record_of_something_else_is_refused(tmp_path, record):
    (tmp_path / "teacher.json").write_text(record)
    with pytest.raises(TeacherError, match="teach it again"):
        read_taught(tmp_path)


def test_a_part_of_a_network_with_a_schedule_hears_of_every_epoch_before_it_begins(tmp_path):
    class Scheduled(nn.Module):
        def __init__(self):
            super().__init__()
            self.heard = []

        def begin_epoch(self, epoch):
            self.heard.append(epoch)

        def forward(self, x):
            self.heard.append("learning" if self.training else "judged")
            return x

    scheduled = Scheduled()
    network = nn.Sequential(scheduled, nn.Flatten(), nn.Linear(16 * 12, 2))
    training = Training(network, material(), Recipe(epochs=2, batch=20), seed=0)
    for _ in range(2):
        training.epoch()
    assert scheduled.heard == [0, "learning", "learning", 1, "learning", "learning"]


@pytest.mark.parametrize("name", ["weights.safetensors", "teacher.json"])
def test_a_damaged_teacher_is_refused(tmp_path, name):
    folder = taught(tmp_path, recipe=Recipe(epochs=1, batch=8))
    (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    with pytest.raises(TeacherError, match="teach it again"):
        taught_teacher("small", folder).networks()


def test_a_teacher_of_a_device_begins_as_the_base_and_learns_from_that_device_alone(tmp_path):
    clips = material()
    base = taught(tmp_path, clips)
    # A rate of next to nothing leaves the weights; batch norm's statistics move to those of the device.
    still = tune_teacher(
        clips, base, "s1", replace(RECIPE, epochs=1, learning_rate=1e-12), seed=0, cache_root=tmp_path, threads=1
    )
    teacher = taught_teacher("small", base, {"s1": still})
    networks = teacher.networks()
    assert list(networks) == [BASE, "s1"]
    for (name, value), other in zip(networks[BASE].named_parameters(), networks["s1"].parameters(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=1e-6, msg=name)
    assert teacher.digest != taught_teacher("small", base).digest
    # What it learns from: the labels of device a are turned over, and it must not notice.
    turned = replace(clips, labels=np.where(clips.devices == "a", 1 - clips.labels, clips.labels), name="turned")
    tuned = tune_teacher(turned, base, "s1", RECIPE, seed=0, cache_root=tmp_path, threads=1)
    other = tune_teacher(turned, base, "a", RECIPE, seed=0, cache_root=tmp_path, threads=1)
    networks = taught_teacher("small", base, {"s1": tuned, "a": other}).networks()
    assert accuracy(networks["s1"], turned, "s1") > 0.85
    assert accuracy(networks["a"], turned, "a") > 0.85
    assert accuracy(networks["a"], turned, "s1") < 0.2


def test_a_teacher_is_what_its_files_say_and_not_where_they_lie(tmp_path):
    recipe = Recipe(epochs=1, batch=8)
    base, other = (taught(tmp_path, recipe=recipe, seed=seed) for seed in (0, 1))

    def copied(name, **changes):
        folder = Path(shutil.copytree(base, tmp_path / name))
        record = json.loads((folder / "teacher.json").read_text())
        (folder / "teacher.json").write_text(json.dumps(record | changes))
        return taught_teacher("small", folder).digest

    digest = taught_teacher("small", base).digest
    assert copied("copy") == copied("timed", seconds=1.0, losses=[]) == digest
    assert copied("reversed", scenes=["bus", "airport"]) != digest
    assert copied("precise", network=replace(SMALL, precision="int8").to_json()) != digest
    one, two = ({"a": base, "s1": other}, {"a": other, "s1": base})
    assert taught_teacher("small", base, one).digest != taught_teacher("small", base, two).digest
    start = Path(shutil.copytree(base, tmp_path / "start"))
    first = taught(tmp_path, recipe=recipe, start=start)
    assert taught(tmp_path, recipe=recipe, start=base) == first
    shutil.copy(other / "weights.safetensors", start)
    assert taught(tmp_path, recipe=recipe, start=start) != first


def test_another_format_is_another_teacher(tmp_path, monkeypatch):
    recipe = Recipe(epochs=1, batch=8)
    folder = taught(tmp_path, recipe=recipe)
    monkeypatch.setattr("trainers.teachers.teaching.FORMAT", 1)
    assert taught(tmp_path, recipe=recipe) != folder


def test_a_start_is_where_the_weights_begin(tmp_path):
    recipe = Recipe(epochs=1, batch=8, learning_rate=1e-12)
    first = taught(tmp_path)
    again = taught(tmp_path, recipe=recipe, seed=5, start=first)
    fresh = taught(tmp_path, recipe=recipe, seed=5)
    values = {
        folder: next(iter(taught_teacher("", folder).networks()[BASE].parameters())) for folder in (first, again, fresh)
    }
    torch.testing.assert_close(values[again], values[first], rtol=0, atol=1e-6)
    assert not torch.allclose(values[fresh], values[first], atol=1e-3)
    with pytest.raises(CheckpointError, match="another network"):
        taught(tmp_path, recipe=recipe, network=replace(SMALL, stem=ConvStem((8, 8))), start=first)


def test_the_kernels_of_a_dymn_are_as_sharp_as_its_training_left_them(tmp_path):
    """30 - epoch in the published schedule, from the first epoch on; a further training goes on from there."""
    folder = taught(tmp_path, network=DyMn(0.1), recipe=Recipe(epochs=3, batch=20))
    assert read_taught(folder).network == DyMn(0.1, tau=28.0)
    further = tune_teacher(material(), folder, "a", Recipe(epochs=2, batch=20), seed=0, cache_root=tmp_path, threads=1)
    assert read_taught(further).network == DyMn(0.1, tau=27.0)
    network = taught_teacher("", further).networks()[BASE]
    assert {module.tau for module in network.modules() if isinstance(module, DynamicConv)} == {27.0}


@pytest.mark.parametrize(("mels", "frames", "classes"), [(256, 64, 10), (128, 33, 4), (64, 22, 2)])
def test_the_default_teacher_is_wider_than_a_student_and_fits_the_features(mels, frames, classes):
    architecture = network_named(WIDE, mels, frames, classes)
    assert isinstance(architecture, Architecture)
    student = cost(design("cp-mobile-2025").at(mels, frames)).training
    own = cost(architecture).training
    assert 2 < own.macs / student.macs < 3
    assert own.params > 4 * student.params
    with torch.inference_mode():
        assert build(architecture, classes).eval()(torch.zeros(2, 1, mels, frames)).shape == (2, classes)


def test_an_mn_learns_too(tmp_path):
    clips = material()
    folder = taught(tmp_path, clips, network=Mn(0.2), recipe=Recipe(epochs=10, batch=20, learning_rate=5e-3))
    losses = read_taught(folder).losses
    assert losses[-1] < losses[0] - 0.03
