import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import cost
from search_spaces.designs import design
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.evaluation import logits_of, score
from trainers.material import Material
from trainers.recipe import Recipe
from trainers.teachers.teaching import TeacherError, load_teacher, teacher_architecture, train_teacher

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


def taught(root, clips=None, recipe=RECIPE, seed=0, epochs=None, **kwargs):
    settings = {"architecture": SMALL, "threads": 1, "progress": None if epochs is None else epochs.append, **kwargs}
    return train_teacher(clips or material(), recipe, seed=seed, cache_root=root, **settings)


def test_a_teacher_learns_and_its_scores_are_those_of_its_weights(tmp_path):
    epochs, clips = [], material()
    folder = taught(tmp_path, clips, epochs=epochs)
    assert [result.epoch for result in epochs] == [1, 2, 3, 4, 5, 6]
    architecture, network = load_teacher(folder)
    assert architecture == SMALL
    assert not network.training
    rows = clips.rows["validation"]
    scores = score(
        logits_of(network, clips.features, rows), clips.labels[rows], clips.devices[rows], clips.scenes, {"a", "s1"}
    )
    saved = json.loads((folder / "scores.json").read_text())
    assert saved["accuracy"] == scores.accuracy > 0.85
    assert saved["log_loss"] == pytest.approx(scores.log_loss, rel=1e-4)
    assert saved["clips"] == 20


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
        taught(tmp_path, recipe=recipe, architecture=replace(SMALL, stem=ConvStem((8, 8)))),
    }
    assert len(folders) == 5


def test_teacher_logits_and_their_share_play_no_part(tmp_path):
    epochs = []
    folder = taught(tmp_path, recipe=Recipe(epochs=1, batch=8))
    clips = replace(material(), logits=np.full((60, 2), 9, dtype=np.float16))
    assert taught(tmp_path, clips, recipe=Recipe(epochs=1, batch=8, teacher_share=1.0), epochs=epochs) == folder
    assert epochs == []
    again = taught(tmp_path / "elsewhere", clips, recipe=Recipe(epochs=1, batch=8, teacher_share=1.0))
    assert (again / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


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


@pytest.mark.parametrize("name", ["weights.safetensors", "architecture.json"])
def test_a_damaged_teacher_is_refused(tmp_path, name):
    folder = taught(tmp_path, recipe=Recipe(epochs=1, batch=8))
    (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    with pytest.raises(TeacherError, match="teach it again"):
        load_teacher(folder)


@pytest.mark.parametrize(("mels", "frames", "classes"), [(256, 64, 10), (128, 33, 4), (64, 22, 2)])
def test_the_default_teacher_is_wider_than_a_student_and_fits_the_features(mels, frames, classes):
    architecture = teacher_architecture(mels, frames, classes)
    student = cost(design("cp-mobile-2025").at(mels, frames)).training
    own = cost(architecture).training
    assert 2 < own.macs / student.macs < 3
    assert own.params > 4 * student.params
    with torch.inference_mode():
        assert build(architecture).eval()(torch.zeros(2, 1, mels, frames)).shape == (2, classes)
