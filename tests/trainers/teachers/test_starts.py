"""A teacher may begin from the weights of a file: all of them, but for a classifier of other scenes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainers.efficientat import DyMn, Mn
from trainers.published import LAYOUTS, CheckpointError
from trainers.published.layouts import ALPHABETICAL
from trainers.teachers.networks import Network, build, network_named
from trainers.teachers.starts import start_digest, start_from, starting

SCENES = ("airport", "bus", "metro")
NARROW = {"mn": Mn(0.1), "mn_fc": Mn(0.1, "fully_convolutional"), "dymn": DyMn(0.1)}
# The last layer of each, as EfficientAT names it.
LAST = {"mn": ("classifier.5.",), "mn_fc": ("classifier.0.", "classifier.1."), "dymn": ("classifier.5.",)}


def published_file(folder: Path, network: Network, classes: int) -> tuple[Path, dict[str, Tensor]]:
    state = build(network, classes, seed=1).state_dict()
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
    torch.save(state, folder / "weights.pt")
    return folder / "weights.pt", state


def started(network: Network, path: Path, scenes: tuple[str, ...] = SCENES) -> nn.Module:
    module = build(network, len(scenes), seed=2)
    start_from(module, network, path, scenes)
    return module


@pytest.mark.parametrize("kind", NARROW)
def test_all_but_a_classifier_of_other_classes_comes_from_the_file(tmp_path: Path, kind: str) -> None:
    network = NARROW[kind]
    path, given = published_file(tmp_path, network, 527)
    fresh = build(network, 3, seed=2).state_dict()
    taken = 0
    for name, value in started(network, path).state_dict().items():
        if name.startswith(LAST[kind]):
            assert torch.equal(value, fresh[name]), name
        else:
            taken += 1
            assert torch.equal(value, given[name]), name
    assert taken > 100


@pytest.mark.parametrize("kind", NARROW)
def test_a_classifier_of_as_many_classes_comes_too(tmp_path: Path, kind: str) -> None:
    path, given = published_file(tmp_path, NARROW[kind], 3)
    assert all(torch.equal(value, given[name]) for name, value in started(NARROW[kind], path).state_dict().items())


def test_a_file_without_a_classifier_is_a_start(tmp_path: Path) -> None:
    state = {
        name: value for name, value in build(NARROW["mn"], 3, seed=1).state_dict().items() if "classifier.5" not in name
    }
    torch.save(state, tmp_path / "headless.pt")
    assert torch.equal(
        started(NARROW["mn"], tmp_path / "headless.pt").state_dict()["classifier.2.weight"],
        state["classifier.2.weight"],
    )


def _without(state: dict[str, Tensor]) -> object:
    return {name: value for name, value in state.items() if name != "features.3.block.0.0.weight"}


def _with(state: dict[str, Tensor]) -> object:
    return state | {"features.99.weight": torch.zeros(3)}


def _not_finite(state: dict[str, Tensor]) -> object:
    return state | {"classifier.2.bias": torch.full_like(state["classifier.2.bias"], float("nan"))}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without, "lacks entries for this network: features.3.block.0.0.weight"),
        (_with, "has unknown entries for this network: features.99.weight"),
        (_not_finite, "not finite at classifier.2.bias"),
        (lambda state: [1, 2], "holds no weights by name"),
        (lambda state: {"model": print}, "opening it would run"),
    ],
)
def test_a_file_that_is_not_of_this_network_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], told: str
) -> None:
    torch.save(change(build(NARROW["mn"], 527, seed=1).state_dict()), tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=told) as caught:
        started(NARROW["mn"], tmp_path / "odd.pt")
    assert "odd.pt" in str(caught.value)


def test_the_weights_of_another_width_or_family_are_refused(tmp_path: Path) -> None:
    path, _ = published_file(tmp_path, Mn(0.2), 527)
    for network in (NARROW["mn"], NARROW["dymn"], network_named("cp-resnet", 64, 40, 3)):
        with pytest.raises(CheckpointError):
            started(network, path)


def test_a_missing_truncated_or_meaningless_file_is_refused(tmp_path: Path) -> None:
    path, _ = published_file(tmp_path, NARROW["mn"], 527)
    (tmp_path / "short.pt").write_bytes(path.read_bytes()[:-1000])
    (tmp_path / "noise.safetensors").write_bytes(b"noise" * 100)
    for name in ("short.pt", "noise.safetensors", "absent.pt", "absent.safetensors"):
        with pytest.raises(CheckpointError, match=name.replace(".", "[.]")):
            started(NARROW["mn"], tmp_path / name)
    with pytest.raises(CheckpointError, match="absent"):
        start_digest(tmp_path / "absent.pt")


def test_a_file_of_this_project_is_a_start(tmp_path: Path) -> None:
    network = network_named("sharif-dsflexi-m1", 32, 20, 3)
    given = build(network, 3, seed=1).state_dict()
    save_file({name: value.contiguous() for name, value in given.items()}, tmp_path / "weights.safetensors")
    for path in (tmp_path / "weights.safetensors", tmp_path):
        assert all(torch.equal(value, given[name]) for name, value in started(network, path).state_dict().items())
    assert start_digest(tmp_path) == start_digest(tmp_path / "weights.safetensors")


def test_a_published_checkpoint_s_classifier_stays_with_its_scenes(shared_data: Path) -> None:
    path = shared_data / "tau-clip" / "cp_mobile_2023_c0a7nzin.ckpt"
    network = network_named("cp-mobile-2023", 256, 64, 10)
    same, other = started(network, path, ALPHABETICAL), started(network, path, tuple(f"scene {n}" for n in range(10)))
    fresh = build(network, 10, seed=2).state_dict()
    for name, value in other.state_dict().items():
        expected = fresh if name.startswith("head.classify.") else same.state_dict()
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(same.state_dict()["head.classify.conv.weight"], fresh["head.classify.conv.weight"])


@pytest.mark.parametrize("change", ["none", "order", "names"])
def test_the_base_of_a_published_file_of_several_is_taken_with_its_classifier_where_the_scenes_are_its_own(
    tmp_path: Path, change: str
) -> None:
    layout = next(layout for layout in LAYOUTS if layout.name == "CP-Mobile 2025")
    network = network_named(layout.design, 256, 64, 10)
    models = {"base_model": 1, "device_models.a": 3, "device_models.z": 4}
    states = {model: build(network, 10, seed=seed).state_dict() for model, seed in models.items()}
    keys = layout.keys(layout.network())
    assert keys.keys() == states["base_model"].keys()
    entries = {
        f"multi_device_model.{model}.{keys[name]}": value for model in models for name, value in states[model].items()
    }
    torch.save({"state_dict": entries}, tmp_path / "several.ckpt")
    own = {
        "none": ALPHABETICAL,
        "order": tuple(reversed(ALPHABETICAL)),
        "names": tuple(f"scene {number}" for number in range(10)),
    }[change]
    fresh = build(network, 10, seed=2).state_dict()
    for name, value in started(network, tmp_path / "several.ckpt", own).state_dict().items():
        kept = change != "none" and name.startswith("head.classify.")
        assert torch.equal(value, (fresh if kept else states["base_model"])[name]), name


@pytest.mark.parametrize(("record", "own"), [(None, True), (list(SCENES), True), (["a", "b", "c"], False)])
def test_a_teacher_s_classifier_stays_with_the_scenes_of_its_record(
    tmp_path: Path, record: list[str] | None, own: bool
) -> None:
    network = network_named("sharif-dsflexi-m1", 32, 20, 3)
    given = build(network, 3, seed=1).state_dict()
    save_file({name: value.contiguous() for name, value in given.items()}, tmp_path / "weights.safetensors")
    if record is not None:
        (tmp_path / "teacher.json").write_text(json.dumps({"scenes": record}), encoding="utf-8")
    found = started(network, tmp_path).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in found.items()) == own


def test_a_name_that_is_too_long_for_a_file_is_refused_as_one_that_is_missing(tmp_path: Path) -> None:
    for refused in (start_digest, lambda path: started(NARROW["mn"], path)):
        with pytest.raises(CheckpointError, match="too long"):
            refused(tmp_path / ("a" * 300))


def test_kernels_trained_on_sounds_are_sharp_from_the_first_epoch_on(tmp_path: Path) -> None:
    assert starting(DyMn(1.0), tmp_path / "dymn10_as.pt") == DyMn(1.0, tau=1.0)
    assert starting(DyMn(0.4), tmp_path / "dymn04_as.pt") == DyMn(0.4, tau=1.0)
    assert starting(DyMn(1.0), tmp_path / "dymn10_im.pt") == DyMn(1.0)
    assert starting(Mn(1.0), tmp_path / "mn10_as.pt") == Mn(1.0)
