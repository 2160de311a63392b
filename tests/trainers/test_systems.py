"""Systems: which student answers for which recording device, and folders that are not what they should be."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_systems import FRONT_END, make_bundle, other

from trainers.export import load_bundle
from trainers.predictions import PredictorError
from trainers.published import LAYOUTS, CheckpointError
from trainers.synthetic import SCENES
from trainers.systems import FLOAT, System, answers, open_system, open_variants, write_system


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bundles of three students."""
    folder = tmp_path_factory.mktemp("bundles")
    base = make_bundle(folder / "base")
    other(base, folder / "of-a", seed=1)
    other(base, folder / "of-s1", seed=2)
    return folder


@pytest.fixture
def folder(bundles: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(bundles, tmp_path / "system"))


def plain_logits(bundle: Path, features: np.ndarray) -> np.ndarray:
    """Of each clip, by the network of one bundle and nothing else."""
    network = load_bundle(bundle).network
    with torch.inference_mode():
        return network(torch.from_numpy(features.astype(np.float32))[:, None]).numpy()


def test_a_written_system_opens_with_the_right_students(folder: Path) -> None:
    written = write_system(folder, "base", {"s1": "of-s1", "a": "of-a"})
    assert json.loads((folder / "system.json").read_text()) == {
        "version": 1,
        "base": "base",
        "devices": {"a": "of-a", "s1": "of-s1"},
    }
    for system in (written, open_system(folder)):
        assert system.devices == ("a", "s1")
        assert system.front_end == FRONT_END
        assert system.scenes == SCENES
        assert system.name == load_bundle(folder / "base").architecture.identity
        for device, bundle in {"a": "of-a", "s1": "of-s1", "s2": "base", "base": "base", "unknown": "base"}.items():
            student = system.predictor(device)
            assert student.device == (device if bundle != "base" else "base")
            weights = load_bundle(folder / bundle).network.state_dict()
            torch.testing.assert_close(dict(student.network.state_dict()), dict(weights), rtol=0, atol=0)


def test_every_clip_is_answered_by_the_base_and_by_the_student_of_its_recording_device(folder: Path) -> None:
    system = write_system(folder, devices={"a": "of-a", "s1": "of-s1"})
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (1300, FRONT_END.mels, FRONT_END.frames)).astype(np.float16)
    rows = rng.permutation(1300)[:1200]
    devices = rng.choice(["a", "s1", "s1", "b"], 1200)
    reported: list[tuple[int, int]] = []
    general, specific = answers(system, features, rows, devices, progress=lambda *told: reported.append(told))
    base = plain_logits(folder / "base", features[rows])
    np.testing.assert_allclose(general, base, atol=1e-5)
    assert specific is not None
    for device, bundle in {"a": "of-a", "s1": "of-s1", "b": "base"}.items():
        expected = plain_logits(folder / bundle, features[rows])[devices == device]
        np.testing.assert_allclose(specific[devices == device], expected, atol=1e-5)
        assert (bundle == "base") == np.allclose(expected, base[devices == device], atol=1e-3)
    assert [done for done, _ in reported] == sorted({done for done, _ in reported})
    assert reported[-1] == (1200 + int((devices != "b").sum()),) * 2
    assert len(reported) > 3


def test_one_student_alone_has_no_device_specific_answers(folder: Path) -> None:
    features = np.zeros((3, FRONT_END.mels, FRONT_END.frames), dtype=np.float16)
    for system in (open_system(folder / "base"), write_system(folder)):
        assert system.devices == ()
        general, specific = answers(system, features, np.arange(3), np.array(["a", "b", "base"]))
        assert general.shape == (3, len(SCENES))
        assert specific is None


def test_devices_may_share_a_student_and_a_device_without_clips_changes_nothing(folder: Path) -> None:
    system = write_system(folder, devices={"a": "of-a", "b": "of-a", "c": "of-s1"})
    assert system.predictors["a"].network is system.predictors["b"].network
    assert list(system.students) == [("base",), ("a", "b"), ("c",)]
    assert all(student.device == devices[0] for devices, student in system.students.items())
    features = np.ones((2, FRONT_END.mels, FRONT_END.frames), dtype=np.float16)
    _, specific = answers(system, features, np.array([1, 0]), np.array(["b", "s6"]))
    np.testing.assert_allclose(specific[0], plain_logits(folder / "of-a", features)[0], atol=1e-5)
    np.testing.assert_allclose(specific[1], plain_logits(folder / "base", features)[0], atol=1e-5)


def test_a_published_checkpoint_is_a_system(tmp_path: Path) -> None:
    layout = LAYOUTS[1]
    network = layout.network()
    state = network.state_dict()
    prefixes = ("base_model", "device_models.a", "device_models.s2")
    entries = {
        f"multi_device_model.{prefix}.{key}": state[name]
        for prefix in prefixes
        for name, key in layout.keys(network).items()
    }
    torch.save({"state_dict": entries}, tmp_path / "one.ckpt")
    system = open_system(tmp_path / "one.ckpt")
    assert (system.name, system.devices, system.scenes) == ("CP-Mobile 2025", ("a", "s2"), layout.scenes)
    assert [system.predictor(device).device for device in ("a", "b")] == ["a", "base"]
    assert list(system.students) == [("base",), ("a",), ("s2",)]
    for student in system.students.values():  # by the challenge's counter, unfolded, in the float32 of the file
        assert (student.precision, student.cost.form, student.cost.weight_bytes) == ("fp32", "training", 4 * 61_148)
        assert student.cost.macs == 29_419_156


def test_a_student_costs_what_its_bundle_says(bundles: Path) -> None:
    system = open_variants(bundles / "base")[FLOAT]
    (student,) = system.students.values()
    told = json.loads((bundles / "base" / "architecture.json").read_text())
    assert asdict(student.cost) == told["cost"]["deployed"]
    assert student.precision == told["architecture"]["precision"]


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ({"a": "../elsewhere"}, "no sub-folder of its own"),
        ({"a": ".."}, "no sub-folder of its own"),
        ({"a": "."}, "no sub-folder of its own"),
        ({"a": ""}, "no sub-folder of its own"),
        ({"a": "x/../of-a"}, "no sub-folder of its own"),
        ({"a": "..\\of-a"}, "no sub-folder of its own"),
        ({"a": "link"}, "no sub-folder of its own"),
        ({"a": "n" * 5000}, "no sub-folder of its own"),
        ({"a": "nul\0l"}, "no sub-folder of its own"),
        ({"a": "none"}, "'none', but there is no such sub-folder"),
        ({"a": "notes.txt"}, "'notes.txt', but there is no such sub-folder"),
        ({"a": "empty"}, "is its folder an export bundle?"),
        ({"a": "damaged"}, "model.safetensors is not the file that was exported"),
        ({"a": "deaf"}, "the recording device 'a' has other features than the base"),
        ({"a": "turned"}, "the recording device 'a' has other scenes than the base"),
        ({"base": "of-a"}, "a recording device called 'base'"),
    ],
)
def test_what_does_not_make_a_system_is_refused_when_read_and_never_written(
    folder: Path, tmp_path: Path, devices: dict[str, str], told: str
) -> None:
    shutil.copytree(folder / "of-a", tmp_path / "elsewhere")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").write_text("shopping list")
    (folder / "empty").mkdir()
    other(folder / "base", folder / "deaf", f_max=3000.0)
    other(folder / "base", folder / "turned", scenes=SCENES[::-1])
    shutil.copytree(folder / "of-a", folder / "damaged")
    (folder / "damaged" / "model.safetensors").write_bytes(b"none")
    with pytest.raises(PredictorError, match=r".") as written:
        write_system(folder, "base", devices)
    assert told in str(written.value)
    assert not (folder / "system.json").exists()
    (folder / "system.json").write_text(json.dumps({"version": 1, "base": "base", "devices": devices}))
    with pytest.raises(PredictorError) as read:
        open_system(folder)
    assert str(read.value) == str(written.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shopping list",
        "[]",
        "[" * 100_000,
        '"base"',
        '{"base": "base", "devices": {}}',
        '{"version": 2, "base": "base", "devices": {}}',
        '{"version": 1, "devices": {}}',
        '{"version": 1, "base": 3, "devices": {}}',
        '{"version": 1, "base": "base"}',
        '{"version": 1, "base": "base", "devices": ["of-a"]}',
        '{"version": 1, "base": "base", "devices": {"a": null}}',
    ],
)
def test_a_damaged_description_is_told_by_its_path(folder: Path, text: str) -> None:
    (folder / "system.json").write_text(text)
    with pytest.raises(PredictorError, match=r"system\.json"):
        open_system(folder)


def test_what_is_no_system_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        open_system(tmp_path / "none")
    with pytest.raises(PredictorError, match="is its folder an export bundle"):
        open_system(tmp_path)
    (tmp_path / "system.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PredictorError, match=r"system\.json cannot be read"):
        open_system(tmp_path)


def test_writing_again_replaces_what_was_there(folder: Path) -> None:
    write_system(folder, devices={"a": "of-a"})
    assert isinstance(write_system(folder, devices={"s1": "of-s1"}), System)
    assert open_system(folder).devices == ("s1",)
    assert sorted(path.name for path in folder.iterdir()) == ["base", "of-a", "of-s1", "system.json"]
