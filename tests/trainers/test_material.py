import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from search_spaces.errors import InputError, NasError
from trainers.front_end import CP_JKU_2023, FrontEnd
from trainers.material import Material, MaterialError
from trainers.validation import validation_mask

SCENES = ("airport", "bus")


def write_key(folder, recordings="r1"):
    folder.mkdir(exist_ok=True)
    (folder / "key.json").write_text(json.dumps({"front_end": FrontEnd().to_json(), "recordings": recordings}))


def write_features(folder, clips=40, mels=4, frames=5):
    """A feature cache as `trainers.features` leaves it: two scenes, four locations each, the last ones for the test."""
    write_key(folder)
    rng = np.random.default_rng(0)
    rows = []
    for clip in range(clips):
        scene, location = SCENES[clip % 2], (clip // 2) % 4
        rows.append(
            {
                "filename": f"audio/{clip}.wav",
                "scene": scene,
                "location": f"{scene}-{location}",
                "device": ("a", "s1", "s5")[clip % 3] if location == 3 else ("a", "s1")[clip % 2],
                "split": "test" if location == 3 else "train",
            }
        )
    index = pd.DataFrame(rows)
    index.to_csv(folder / "index.csv", index=False)
    np.save(folder / "clips.npy", rng.normal(size=(clips, mels, frames)).astype(np.float16))
    return index


def opened(folder, **kwargs):
    return Material.open(folder, **{"validation_share": 0.3, "validation_seed": 5, **kwargs})


def test_parts_follow_the_lists_and_the_validation_split(tmp_path):
    index = write_features(tmp_path / "features-1")
    material = opened(tmp_path / "features-1")
    mask = validation_mask(index, 0.3, 5)
    assert material.rows["validation"].tolist() == np.flatnonzero(mask).tolist()
    assert material.rows["test"].tolist() == np.flatnonzero(index["split"] == "test").tolist()
    assert sorted(np.concatenate(list(material.rows.values()))) == list(range(40))
    assert material.scenes == SCENES
    assert [material.scenes[label] for label in material.labels] == index["scene"].tolist()
    assert material.devices.tolist() == index["device"].tolist()
    assert material.trained_devices == {"a", "s1"}
    assert (material.mels, material.frames) == (4, 5)


def test_copies_are_learnt_from_and_never_judged_on(tmp_path):
    index = write_features(tmp_path / "features-1")
    copies = (index.index % 5 == 0) & (index["split"] == "train")
    index.loc[copies, "device"] = "unk"
    index.to_csv(tmp_path / "features-1" / "index.csv", index=False)
    rows = opened(tmp_path / "features-1").rows
    held_out = validation_mask(index, 0.3, 5)
    assert rows["validation"].tolist() == np.flatnonzero(held_out & ~copies).tolist()
    assert rows["fit"].tolist() == np.flatnonzero((index["split"] == "train") & ~held_out).tolist()
    assert set(np.flatnonzero(copies)) & set(rows["fit"])
    assert set(np.flatnonzero(copies & held_out))


def test_the_front_end_of_the_features_is_read(tmp_path):
    write_features(tmp_path / "features-1")
    key = {"front_end": CP_JKU_2023.to_json(), "recordings": "r1"}
    (tmp_path / "features-1" / "key.json").write_text(json.dumps(key))
    assert opened(tmp_path / "features-1").front_end == CP_JKU_2023
    (tmp_path / "features-1" / "key.json").write_text(json.dumps(key | {"front_end": {"mells": 3}}))
    with pytest.raises(MaterialError, match=r"key\.json names no front end"):
        opened(tmp_path / "features-1")


def test_features_are_mapped_not_read_and_stay_as_they_are_on_disk(tmp_path):
    write_features(tmp_path / "features-1")
    before = (tmp_path / "features-1" / "clips.npy").read_bytes()
    material = opened(tmp_path / "features-1")
    assert isinstance(material.features, np.memmap)
    assert material.features.flags.writeable  # or torch warns
    material.features[0] = 1
    material.features.flush()
    assert (tmp_path / "features-1" / "clips.npy").read_bytes() == before


def test_names_tell_features_and_validation_splits_apart(tmp_path):
    for name in ("features-1", "features-2"):
        write_features(tmp_path / name)
    first = opened(tmp_path / "features-1")
    assert first.features_name == "features-1"
    assert opened(tmp_path / "features-1").name == first.name
    others = {
        opened(tmp_path / "features-2").name,
        opened(tmp_path / "features-1", validation_seed=6).name,
        opened(tmp_path / "features-1", validation_share=0.4).name,
    }
    assert len(others | {first.name}) == 4


def write_logits(folder, logits, recordings="r1"):
    write_key(folder, recordings)
    np.save(folder / "logits.npy", logits)
    return folder


def test_teacher_logits_are_mapped_too(tmp_path):
    write_features(tmp_path / "features-1")
    logits = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float16)
    material = opened(tmp_path / "features-1", logits_dir=write_logits(tmp_path / "logits", logits))
    assert isinstance(material.logits, np.memmap)
    np.testing.assert_array_equal(material.logits, logits)


def test_teacher_logits_of_other_recordings_are_refused_however_well_their_shape_fits(tmp_path):
    write_features(tmp_path / "features-1")
    others = write_logits(tmp_path / "logits", np.zeros((40, 2), np.float16), recordings="r2")
    with pytest.raises(MaterialError, match="of other recordings than the features"):
        opened(tmp_path / "features-1", logits_dir=others)


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((39, 2), np.float16),
        np.zeros((40, 3), np.float16),
        np.zeros((40, 2), np.float32),
        np.zeros(40, np.float16),
    ],
)
def test_teacher_logits_of_another_shape_or_type_are_refused(tmp_path, logits):
    write_features(tmp_path / "features-1")
    with pytest.raises(MaterialError, match=r"logits\.npy|teacher logits of shape"):
        opened(tmp_path / "features-1", logits_dir=write_logits(tmp_path / "logits", logits))


@pytest.mark.parametrize("name", ["clips.npy", "logits.npy", "index.csv", "key.json"])
@pytest.mark.parametrize("left", [0, 8, 100, None])
def test_a_missing_or_truncated_file_is_named(tmp_path, name, left):
    folder = tmp_path / "features-1"
    write_features(folder)
    np.save(folder / "logits.npy", np.zeros((40, 2), np.float16))
    if left is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:left])
    with pytest.raises(NasError, match=name):
        opened(folder, logits_dir=folder)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    write_features(tmp_path / "features-1")
    np.save(tmp_path / "features-1" / "clips.npy", np.array([{}] * 40, dtype=object), allow_pickle=True)
    with pytest.raises(MaterialError, match=r"clips\.npy"):
        opened(tmp_path / "features-1")


def test_a_split_that_cannot_be_cut_is_told(tmp_path):
    write_features(tmp_path / "features-1")
    with pytest.raises(InputError, match="validation"):
        opened(tmp_path / "features-1", validation_share=0.0)


def toy(**changes):
    values = {
        "features": np.zeros((4, 3, 5), np.float16),
        "labels": np.array([0, 1, 0, 1]),
        "devices": np.array(["a"] * 4),
        "rows": {"fit": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3])},
        "scenes": SCENES,
    }
    return Material(**{**values, **changes})


def test_material_can_be_made_from_arrays():
    assert dataclasses.replace(toy(), logits=np.zeros((4, 2), np.float16)).logits.shape == (4, 2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"features": np.zeros((4, 15), np.float16)}, "features"),
        ({"labels": np.array([0, 1, 0])}, "labels"),
        ({"labels": np.array([0, 1, 0, 2])}, "labels"),
        ({"labels": np.array([0, -1, 0, 1])}, "labels"),
        ({"devices": np.array(["a"] * 3)}, "devices"),
        ({"rows": {"fit": np.array([0, 1]), "test": np.array([3])}}, "parted"),
        ({"rows": {"fit": np.array([0, 1]), "validation": np.array([1]), "test": np.array([3])}}, "twice"),
        ({"rows": {"fit": np.array([0, 1]), "validation": np.array([2]), "test": np.array([4])}}, "rows"),
        ({"logits": np.zeros((3, 2), np.float16)}, "teacher logits"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, word):
    with pytest.raises(MaterialError, match=word):
        toy(**change)
