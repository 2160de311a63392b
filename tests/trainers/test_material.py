import dataclasses
import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from search_spaces.digest import canonical_json, digest
from search_spaces.errors import InputError, NasError
from trainers.front_end import CP_JKU_2023, FrontEnd
from trainers.material import ClipViews, Material, MaterialError
from trainers.validation import validation_mask

SCENES = ("airport", "bus")


def write_key(folder, front_end=None):
    folder.mkdir(exist_ok=True)
    key = {"front_end": (front_end or FrontEnd()).to_json(), "recordings": "r1"}
    (folder / "key.json").write_text(json.dumps(key))


def write_features(folder, clips=40, mels=4, frames=5, split_by_row=False):
    """A feature cache as `trainers.features` leaves it: two scenes, four locations each, the last ones for the test.

    With `split_by_row` the training clips come first, as they always do beside views.
    """
    write_key(folder)
    rng = np.random.default_rng(0)
    rows = []
    for clip in range(clips):
        scene, location = SCENES[clip % 2], (clip // 2) % 4
        if split_by_row:
            location = 3 if clip >= 30 else (clip // 2) % 3
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


def write_views(folder, **changes):
    """Views of the training clips, as `trainers.views` leaves them; in the toy features these are three of four."""
    write_key(folder)
    key = json.loads((folder / "key.json").read_text())
    key |= {"views": {"count": 4, "gain": 6}, "seed": 0, "format": 1, **changes}
    (folder / "key.json").write_text(json.dumps(key))
    shape = (30, 3)
    np.save(folder / "clips.npy", np.random.default_rng(2).normal(size=(*shape, 4, 5)).astype(np.float16))
    np.savez(folder / "mixing.npz", partners=np.zeros(shape, np.int64), weights=np.ones(shape, np.float32))
    return folder


def write_logits(root, arrays, kind="teacher-logits", **changes):
    """A cache of logits: its files by their names without suffix, in a folder that has the name of its key."""
    key = {"recordings": "r1", "views": None, "scenes": list(SCENES), "format": 2, **changes}
    folder = root / f"{kind}-{digest(key)}"
    folder.mkdir(parents=True)
    (folder / "key.json").write_text(canonical_json(key))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")}
    (folder / "sums.json").write_text(json.dumps(sums))
    return folder


def said(clips=40, *more):
    """Logits of the toy features, or of their views."""
    return np.random.default_rng(clips).normal(size=(clips, *(more or (2,)))).astype(np.float16)


@pytest.fixture
def caches(tmp_path):
    """Features, views and logits that belong together, as `Material.open` takes them."""
    index = write_features(tmp_path / "features-1", split_by_row=True)
    assert (index["split"] == "train").sum() == 30
    views = write_views(tmp_path / "views-1")
    draws = opened(tmp_path / "features-1", views_dir=views).views.draws
    logits = write_logits(tmp_path, {"logits": said(), "views": said(30, 3, 2)}, views=draws)
    return {"folder": tmp_path / "features-1", "views_dir": views, "logits_dir": logits}


@pytest.mark.parametrize("kind", ["teacher-logits", "ensemble-logits"])
def test_teacher_logits_are_mapped_too(tmp_path, kind):
    write_features(tmp_path / "features-1")
    material = opened(tmp_path / "features-1", logits_dir=write_logits(tmp_path, {"logits": said()}, kind))
    assert isinstance(material.logits, np.memmap)
    np.testing.assert_array_equal(material.logits, said())


def test_every_view_has_its_teacher_logits(caches):
    material = opened(**caches)
    assert isinstance(material.views.logits, np.memmap)
    np.testing.assert_array_equal(material.views.logits, said(30, 3, 2))
    np.testing.assert_array_equal(material.logits, said())
    before = [path.read_bytes() for path in sorted(caches["logits_dir"].glob("*.npy"))]
    for array in (material.logits, material.views.logits):
        assert array.flags.writeable  # or torch warns
        array[0] = 1
        array.flush()
    assert [path.read_bytes() for path in sorted(caches["logits_dir"].glob("*.npy"))] == before


def test_a_student_without_views_takes_the_logits_of_the_clips_as_they_are(caches):
    (caches["logits_dir"] / "views.npy").unlink()  # is not looked at
    material = opened(caches["folder"], logits_dir=caches["logits_dir"])
    np.testing.assert_array_equal(material.logits, said())
    assert material.views is None


def test_draws_are_told_apart_by_all_but_the_front_end_that_heard_them(tmp_path):
    write_features(tmp_path / "features-1", split_by_row=True)
    write_features(tmp_path / "features-2", split_by_row=True)
    write_key(tmp_path / "features-2", front_end=CP_JKU_2023)

    def draws(name, features="features-1", **changes):
        views = write_views(tmp_path / name, **changes)
        return opened(tmp_path / features, views_dir=views).views.draws

    first = draws("views-1")
    assert draws("views-2", "features-2", front_end=CP_JKU_2023.to_json()) == first
    others = {draws("views-3", seed=1), draws("views-4", views={"count": 4}), draws("views-5", format=2)}
    assert len(others | {first}) == 4


@pytest.mark.parametrize("draws", [None, "others"])
def test_teacher_logits_of_other_views_are_refused(caches, tmp_path, draws):
    others = write_logits(tmp_path, {"logits": said(), "views": said(30, 3, 2)}, views=draws)
    with pytest.raises(MaterialError, match=rf"{others} are of other views than {caches['views_dir']}; .*nas teach"):
        opened(**caches | {"logits_dir": others})


def test_teacher_logits_of_other_recordings_are_refused_however_well_their_shape_fits(tmp_path):
    write_features(tmp_path / "features-1")
    others = write_logits(tmp_path, {"logits": said()}, recordings="r2")
    with pytest.raises(MaterialError, match="of other recordings than the features"):
        opened(tmp_path / "features-1", logits_dir=others)


@pytest.mark.parametrize("scenes", [["bus", "airport"], ["airport", "tram"]])
def test_teacher_logits_of_other_scenes_are_refused(tmp_path, scenes):
    write_features(tmp_path / "features-1")
    others = write_logits(tmp_path, {"logits": said()}, scenes=scenes)
    with pytest.raises(MaterialError, match=rf"scenes {', '.join(scenes)}, but .* airport, bus; .*nas teach"):
        opened(tmp_path / "features-1", logits_dir=others)


def test_a_moved_folder_and_an_edited_key_are_refused(caches):
    folder = caches["logits_dir"]
    elsewhere = folder.rename(folder.parent / "elsewhere")
    with pytest.raises(MaterialError, match=r"key\.json is not the key that .* delete the folder"):
        opened(**caches | {"logits_dir": elsewhere})
    other_kind = elsewhere.rename(folder.parent / folder.name.replace("teacher-logits", "teacher"))
    with pytest.raises(MaterialError, match=r"key\.json is not the key that"):
        opened(**caches | {"logits_dir": other_kind})
    other_kind.rename(folder)
    opened(**caches)
    key = json.loads((folder / "key.json").read_text())
    (folder / "key.json").write_text(json.dumps(key | {"format": 3}))
    with pytest.raises(MaterialError, match=r"key\.json is not the key that"):
        opened(**caches)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("logits", said(39)),
        ("logits", said(40, 3)),
        ("logits", said().astype(np.float32)),
        ("logits", said()[:, 0]),
        ("logits", said().T),
        ("logits", said(40, 5, 2)),
        ("views", said(29, 3, 2)),
        ("views", said(30, 3, 1)),
        ("views", said(30, 6)),
        ("views", said(30, 2)),
        ("views", said(30, 3, 2).view(np.int16)),
    ],
)
def test_teacher_logits_of_another_shape_or_type_are_refused(caches, name, array):
    draws = json.loads((caches["logits_dir"] / "key.json").read_text())["views"]
    arrays = {"logits": said(), "views": said(30, 3, 2), name: array}
    other = write_logits(caches["folder"].parent / "other", arrays, views=draws)
    with pytest.raises(MaterialError, match=rf"{name}\.npy .*; delete its folder and it is made again"):
        opened(**caches | {"logits_dir": other})


def test_teacher_logits_of_another_number_of_views_are_refused(caches):
    draws = json.loads((caches["logits_dir"] / "key.json").read_text())["views"]
    arrays = {"logits": said(), "views": said(30, 4, 2)}
    other = write_logits(caches["folder"].parent / "other", arrays, views=draws)
    with pytest.raises(MaterialError, match=r"3 views of 30 clips need teacher logits .* some of shape \(30, 4, 2\)"):
        opened(**caches | {"logits_dir": other})


@pytest.mark.parametrize("name", ["logits.npy", "views.npy"])
@pytest.mark.parametrize("place", [-1, -40, 135])
def test_a_flipped_bit_of_the_teacher_logits_is_seen(caches, name, place):
    path = caches["logits_dir"] / name
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(MaterialError, match=rf"{path} is not as it was written; delete its folder and it is made"):
        opened(**caches)


@pytest.mark.parametrize("name", ["logits.npy", "views.npy", "sums.json", "key.json"])
@pytest.mark.parametrize("left", [0, 8, -1, None])
def test_a_missing_or_truncated_file_of_teacher_logits_is_named(caches, name, left):
    path = caches["logits_dir"] / name
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MaterialError, match=rf"{path} .*; delete its folder and it is made again"):
        opened(**caches)


@pytest.mark.parametrize("sums", ["[]", "{}", "null", '{"logits.npy": "0"}'])
def test_sums_that_are_none_are_told(caches, sums):
    (caches["logits_dir"] / "sums.json").write_text(sums)
    with pytest.raises(MaterialError, match=r"(sums\.json has no sum of|is not as it was written).*delete its folder"):
        opened(**caches)


@pytest.mark.parametrize("key", ["[]", "null", "3", '"r1"'])
def test_a_key_that_is_none_is_told(caches, key):
    (caches["logits_dir"] / "key.json").write_text(key)
    with pytest.raises(MaterialError, match=r"key\.json"):
        opened(**caches)


def test_logits_of_an_earlier_version_are_made_again(tmp_path):
    """They have no sums, and their key names no scenes."""
    write_features(tmp_path / "features-1")
    key = {"recordings": "r1", "features": "features-1", "teachers": ["0"], "format": 1}
    folder = tmp_path / f"teacher-logits-{digest(key)}"
    folder.mkdir()
    (folder / "key.json").write_text(canonical_json(key))
    np.save(folder / "logits.npy", said())
    with pytest.raises(MaterialError, match=r"key\.json does not say which views it is of; delete its folder"):
        opened(tmp_path / "features-1", logits_dir=folder)


@pytest.mark.parametrize("name", ["clips.npy", "index.csv", "key.json"])
@pytest.mark.parametrize("left", [0, 8, 100, None])
def test_a_missing_or_truncated_file_is_named(tmp_path, name, left):
    folder = tmp_path / "features-1"
    write_features(folder)
    if left is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:left])
    with pytest.raises(NasError, match=name):
        opened(folder)


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


def toy_views(logits=None, clips=2, views=3):
    shape = (clips, views)
    features = np.zeros((*shape, 3, 5), np.float16)
    return ClipViews(features, np.zeros(shape, np.int64), np.ones(shape, np.float32), logits)


def test_material_can_be_made_from_arrays():
    assert dataclasses.replace(toy(), logits=np.zeros((4, 2), np.float16)).logits.shape == (4, 2)
    views = toy_views(np.zeros((2, 3, 2), np.float16))
    assert toy(logits=np.zeros((4, 2), np.float16), views=views).views.draws == "arrays"
    assert toy(views=toy_views()).views.logits is None


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
        ({"views": toy_views(clips=1)}, "views of shape"),
        ({"logits": np.zeros((4, 2), np.float16), "views": toy_views()}, "but there are none"),
        (
            {"logits": np.zeros((4, 2), np.float16), "views": toy_views(np.zeros((2, 2, 2), np.float16))},
            r"3 views of 2 clips need .* for 2 scenes, but there are some of shape \(2, 2, 2\)",
        ),
        (
            {"logits": np.zeros((4, 2), np.float16), "views": toy_views(np.zeros((2, 3, 3), np.float16))},
            r"some of shape \(2, 3, 3\)",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(change, word):
    with pytest.raises(MaterialError, match=word):
        toy(**change)
