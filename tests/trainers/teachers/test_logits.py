from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.errors import InputError, NasError
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.evaluation import logits_of
from trainers.features import load_features
from trainers.front_end import FrontEnd
from trainers.material import Material, MaterialError, mapped_array
from trainers.recipe import Recipe
from trainers.recordings import Recordings, read_recordings
from trainers.teachers.logits import teacher_logits
from trainers.teachers.teaching import TeacherError, load_teacher, train_teacher

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


def test_other_features_recordings_or_weights_have_logits_of_their_own(teachers, tmp_path):
    folders = {
        teacher_logits(material(), teachers[:1], tmp_path),
        teacher_logits(material(), teachers[1:], tmp_path),
        teacher_logits(material(), teachers, tmp_path),
        teacher_logits(material(features_name="features-2"), teachers, tmp_path),
        teacher_logits(material(recordings="r2"), teachers, tmp_path),
    }
    assert len(folders) == 5


def write_set(root: Path, seed: int) -> Recordings:
    """Twelve clips of noise: the same names, lengths, scenes and places for every seed, other sounds."""
    (root / "audio").mkdir(parents=True)
    (root / "split_setup").mkdir()
    rng = np.random.default_rng(seed)
    head = "filename\tscene_label"
    meta, lists = [f"{head}\tidentifier\tsource_label"], {"split25": [head], "test": [head]}
    for clip in range(12):
        name, scene, place = f"audio/{clip:02d}.wav", ("bus", "tram")[clip % 2], clip // 2 % 3
        soundfile.write(root / name, rng.uniform(-0.1, 0.1, 8000), 8000)
        meta.append(f"{name}\t{scene}\t{scene}-{place}\ta")
        lists["test" if place == 2 else "split25"].append(f"{name}\t{scene}")
    for name, lines in {"meta": meta, **{f"split_setup/{name}": lines for name, lines in lists.items()}}.items():
        (root / f"{name}.csv").write_text("\n".join(lines))
    return read_recordings(root)


def test_logits_serve_every_features_of_their_recordings_and_none_of_others(teachers, tmp_path):
    heard = FrontEnd(sample_rate=8000, n_fft=512, window=512, hop=727, mels=16, f_max=4000.0)
    mine, others = (write_set(tmp_path / name, seed) for seed, name in enumerate(("mine", "others")))
    split = {"validation_share": 0.5, "validation_seed": 1}

    def features(recordings: Recordings, front_end: FrontEnd) -> Path:
        return load_features(recordings, front_end, tmp_path / "cache", workers=1)

    base = Material.open(features(mine, heard), **split)
    logits = teacher_logits(base, teachers[:1], tmp_path / "cache")
    smaller = Material.open(features(mine, replace(heard, mels=8, hop=1000)), logits_dir=logits, **split)
    assert (smaller.mels, smaller.frames) == (8, 9)
    assert {part: rows.tolist() for part, rows in smaller.rows.items()} == {
        part: rows.tolist() for part, rows in base.rows.items()
    }
    np.testing.assert_allclose(smaller.logits, rounded_mean(teachers[:1], base), rtol=2e-3, atol=1e-4)
    with pytest.raises(MaterialError, match="other recordings"):
        Material.open(features(others, heard), logits_dir=logits, **split)


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
