from dataclasses import replace

import numpy as np
import pytest

from search_spaces.architecture import Architecture, ConvStem, CPMobileBlock, InputShape, Stage
from search_spaces.errors import InputError, NasError
from trainers.evaluation import logits_of
from trainers.material import Material, MaterialError, mapped_array
from trainers.recipe import Recipe
from trainers.teacher_logits import teacher_logits
from trainers.teachers import TeacherError, load_teacher, train_teacher

SMALL = Architecture(
    input=InputShape(16, 12),
    stem=ConvStem((4, 8)),
    stages=(Stage((CPMobileBlock(8, 8),)),),
    classes=2,
    precision="fp32",
)


def material(**changes):
    rng = np.random.default_rng(0)
    values = {
        "features": rng.normal(0, 1, (30, 16, 12)).astype(np.float16),
        "labels": rng.integers(0, 2, 30).astype(np.int64),
        "devices": np.array(["a"] * 30),
        "rows": {"fit": np.arange(0, 30, 3), "validation": np.arange(1, 30, 3), "test": np.arange(2, 30, 3)},
        "scenes": ("airport", "bus"),
        "features_name": "features-1",
    }
    return Material(**{**values, **changes})


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    root = tmp_path_factory.mktemp("teachers")
    recipe = Recipe(epochs=1, batch=4)
    return [
        train_teacher(material(), recipe, seed=seed, cache_root=root, architecture=SMALL, threads=1) for seed in (1, 2)
    ]


def rounded_mean(teachers, clips):
    """The definition: every clip by itself through every teacher."""
    networks = [load_teacher(folder)[1] for folder in teachers]
    rows = np.arange(len(clips.labels))
    return np.mean([logits_of(network, clips.features, rows, batch=1) for network in networks], axis=0)


@pytest.mark.parametrize("count", [1, 2])
def test_cached_logits_equal_the_live_teachers(teachers, tmp_path, count):
    clips, calls = material(), []
    folder = teacher_logits(clips, teachers[:count], tmp_path, progress=lambda done, total: calls.append((done, total)))
    logits = mapped_array(folder / "logits.npy", clips=30, dims=2)
    assert logits.dtype == np.float16
    np.testing.assert_allclose(logits, rounded_mean(teachers[:count], clips), rtol=2e-3, atol=1e-4)
    assert calls[-1] == (30 * count, 30 * count)
    assert replace(clips, logits=logits).logits.shape == (30, 2)


def test_teachers_run_once(teachers, tmp_path):
    folder = teacher_logits(material(), teachers, tmp_path)
    calls = []
    again = teacher_logits(material(), teachers[::-1], tmp_path, progress=lambda done, total: calls.append(done))
    assert again == folder
    assert calls == []


def test_other_features_or_weights_have_logits_of_their_own(teachers, tmp_path):
    folders = {
        teacher_logits(material(), teachers[:1], tmp_path),
        teacher_logits(material(), teachers[1:], tmp_path),
        teacher_logits(material(), teachers, tmp_path),
        teacher_logits(material(features_name="features-2"), teachers, tmp_path),
    }
    assert len(folders) == 4


def test_cached_logits_that_were_cut_short_are_refused(teachers, tmp_path):
    path = teacher_logits(material(), teachers, tmp_path) / "logits.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(MaterialError, match=r"logits\.npy"):
        mapped_array(path, clips=30, dims=2)


def test_a_teacher_of_other_features_is_refused(teachers, tmp_path):
    other = material(features=np.zeros((30, 16, 13), np.float16))
    with pytest.raises(InputError, match="made for"):
        teacher_logits(other, teachers, tmp_path)
    assert not list(tmp_path.glob("teacher-logits-*"))


def test_logits_beyond_float16_are_refused(teachers, tmp_path):
    with pytest.raises(NasError, match="float16"):
        teacher_logits(material(features=np.full((30, 16, 12), np.nan, np.float16)), teachers, tmp_path)


def test_no_teacher_and_a_missing_one_are_told(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        teacher_logits(material(), [], tmp_path)
    with pytest.raises(TeacherError, match=r"architecture\.json"):
        teacher_logits(material(), [tmp_path / "nowhere"], tmp_path)
