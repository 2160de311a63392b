"""Published checkpoints load whole or not at all, and say what they said where they were published."""

import argparse
import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.errors import InputError
from trainers.predictions import open_predictor, seconds_of
from trainers.published import BASE, LAYOUTS, CheckpointError, Layout, load_published

CP_MOBILE_2023, CP_MOBILE_2025, SHARIF = LAYOUTS
PREFIXES = {BASE: "multi_device_model.base_model."} | {
    device: f"multi_device_model.device_models.{device}." for device in ("a", "b", "c", "s1", "s2", "s3")
}
State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def batch_norm(name: str, width: int) -> Shapes:
    tensors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{tensor}": (width,) for tensor in tensors} | {f"{name}.num_batches_tracked": ()}


def conv_norm(name: str, *shape: int) -> Shapes:
    return {f"{name}.0.weight": shape} | batch_norm(f"{name}.1", shape[0])


def cp_mobile_entries(blocks: list[tuple[str, int, int, int]], *, grn: bool) -> Shapes:
    """The entries of a CP-Mobile with the blocks (name, channels in, expanded, channels out), as published."""
    shapes = conv_norm("in_c.0", 8, 1, 3, 3) | conv_norm("in_c.1", 32, 8, 3, 3)
    for name, c_in, expanded, c_out in blocks:
        shapes |= conv_norm(f"stages.{name}.block.0", expanded, c_in, 1, 1)
        shapes |= conv_norm(f"stages.{name}.block.1", expanded, 1, 3, 3)
        shapes |= conv_norm(f"stages.{name}.block.2", c_out, expanded, 1, 1)
        if grn:
            shapes |= {f"stages.{name}.after_block_norm.{tensor}": (1,) for tensor in ("gamma", "beta")}
    return shapes | conv_norm("feed_forward", 10, blocks[-1][3], 1, 1)


def sharif_entries() -> Shapes:
    """The entries of the published Sharif students."""
    shapes = batch_norm("input_norm", 1) | {"conv1.0.weight": (16, 1, 3, 3)}
    shapes |= batch_norm("norm1", 16) | {"conv2.0.weight": (32, 16, 3, 3)}
    for stage, count, width in ((1, 3, 32), (2, 3, 32), (3, 1, 64)):
        for number in range(count):
            block = f"stage{stage}.{number}"
            shapes |= batch_norm(f"{block}.input_norm", 32) | {f"{block}.input_scaling.weight": (width, 32, 1, 1)}
            shapes |= batch_norm(f"{block}.expand_norm", width) | {f"{block}.expand_conv.weight": (width, 32, 1, 1)}
            shapes |= batch_norm(f"{block}.spatial_norm", width)
            shapes |= {f"{block}.spatial_conv.0.weight": (width, 1, 3, 3)}
    residual = {"stage1_norm": 32, "stage2_norm": 32, "stage3_norm": 64, "pooling.bn_input": 64, "pooling.bn_attn": 32}
    for name, width in residual.items():
        shapes |= {f"{name}.lambda_param": (width, 1, 1)}
        shapes |= {f"{name}.instance_norm.{tensor}": (width,) for tensor in ("weight", "bias")}
    shapes |= {"pooling.attn_conv.weight": (32, 64, 1, 1), "pooling.attn_score.weight": (64, 32, 1, 1)}
    return shapes | batch_norm("head_norm", 128) | {"classifier.weight": (10, 128), "classifier.bias": (10,)}


ENTRIES_2023 = cp_mobile_entries(
    [
        ("s1.b1", 32, 96, 32),
        ("s1.b2", 32, 96, 32),
        ("s1.b3", 32, 96, 32),
        ("s2.b4", 32, 96, 72),
        ("s2.b5", 72, 216, 72),
        ("s3.b6", 72, 216, 168),
    ],
    grn=True,
)
ENTRIES_2025 = cp_mobile_entries(
    [
        ("s1.b1", 32, 64, 32),
        ("s1.b2", 32, 64, 32),
        ("s1.b3", 32, 64, 32),
        ("s2.b4", 32, 64, 56),
        ("s2.b5", 56, 120, 56),
        ("s3.b6", 56, 120, 104),
    ],
    grn=False,
)


def drawn(shapes: Shapes, seed: int) -> State:
    """Random tensors of those shapes, of a size that keeps a network's values in bounds."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(546)
        elif key.endswith("running_var"):
            state[key] = 0.5 + torch.rand(shape, generator=generator)
        else:
            fan_in = max(1, int(np.prod(shape[1:])))
            state[key] = torch.randn(shape, generator=generator) / fan_in**0.5
    return state


def normed(state: State, name: str, x: Tensor) -> Tensor:
    tensors = (state[f"{name}.{tensor}"] for tensor in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *tensors)


def cp_mobile_2025_by_hand(state: State, x: Tensor) -> Tensor:
    """The baseline's description, computed from the entries of a checkpoint under their published names."""

    def conv_normed(name: str, x: Tensor, **options: Any) -> Tensor:
        return normed(state, f"{name}.1", F.conv2d(x, state[f"{name}.0.weight"], **options))

    for name in ("in_c.0", "in_c.1"):
        x = conv_normed(name, x, stride=2, padding=1).relu()
    strides = {"s1.b3": (1, 2), "s2.b4": (2, 1)}
    for name in ("s1.b1", "s1.b2", "s1.b3", "s2.b4", "s2.b5", "s3.b6"):
        block, stride = f"stages.{name}.block", strides.get(name, (1, 1))
        y = conv_normed(f"{block}.0", x).relu()
        y = conv_normed(f"{block}.1", y, stride=stride, padding=1, groups=y.shape[1]).relu()
        y = conv_normed(f"{block}.2", y)
        if name == "s1.b3":
            y = y + F.avg_pool2d(x, 3, stride, 1)
        elif y.shape == x.shape:
            y = y + x
        x = y.relu()
    return conv_normed("feed_forward", x).mean((2, 3))


def sharif_by_hand(state: State, x: Tensor) -> Tensor:
    """The student's description, computed from the entries of a checkpoint under their published names."""

    def residual(name: str, x: Tensor) -> Tensor:
        scale, shift = (state[f"{name}.instance_norm.{tensor}"] for tensor in ("weight", "bias"))
        return state[f"{name}.lambda_param"] * x + F.instance_norm(x, weight=scale, bias=shift)

    def block(name: str, x: Tensor) -> Tensor:
        y = F.conv2d(normed(state, f"{name}.input_norm", x), state[f"{name}.expand_conv.weight"])
        y = normed(state, f"{name}.expand_norm", F.leaky_relu(y, 0.01))
        y = F.conv2d(y, state[f"{name}.spatial_conv.0.weight"], padding=1, groups=y.shape[1])
        return F.leaky_relu(y, 0.01) + F.conv2d(x, state[f"{name}.input_scaling.weight"])

    x = F.conv2d(normed(state, "input_norm", x), state["conv1.0.weight"], stride=2, padding=1).relu()
    x = F.conv2d(normed(state, "norm1", x), state["conv2.0.weight"], stride=2, padding=1).relu()
    for stage in ("stage1", "stage2"):
        y = x
        for number in range(3):
            y = block(f"{stage}.{number}", y)
        x = residual(f"{stage}_norm", y + x)
    x = residual("stage3_norm", block("stage3.0", x))
    hidden = F.conv2d(residual("pooling.bn_input", x), state["pooling.attn_conv.weight"])
    hidden = F.leaky_relu(residual("pooling.bn_attn", hidden), 0.1)
    attention = F.conv2d(hidden, state["pooling.attn_score.weight"]).flatten(2).softmax(2)
    pooled = torch.cat([(attention * x.flatten(2)).sum(2), x.mean((2, 3))], 1)
    return F.linear(normed(state, "head_norm", pooled), state["classifier.weight"], state["classifier.bias"])


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "published.ckpt"
    torch.save(content, path)
    return path


def features(layout: Layout) -> Tensor:
    shape = (2, 1, layout.front_end.mels, layout.front_end.frames)
    return torch.randn(shape, generator=torch.Generator().manual_seed(9))


def said(network: torch.nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network(x)
    return logits


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def winner() -> dict[str, State]:
    """Seven models by recording device, as the winner of 2025 published them."""
    return {device: drawn(ENTRIES_2025, seed) for seed, device in enumerate(PREFIXES)}


def as_one_file(models: dict[str, State]) -> State:
    entries = {"mel.0.kernel": torch.zeros(3), "mel.1.window": torch.zeros(5), "mel.1.fb": torch.zeros(2, 2)}
    for device, state in models.items():
        entries |= prefixed(state, PREFIXES[device])
    return entries


@pytest.mark.parametrize(
    ("layout", "entries", "count"),
    [(CP_MOBILE_2023, ENTRIES_2023, 138), (CP_MOBILE_2025, ENTRIES_2025, 126), (SHARIF, sharif_entries(), 162)],
    ids=lambda value: value.name if isinstance(value, Layout) else "",
)
def test_a_network_has_exactly_the_published_entries(layout: Layout, entries: Shapes, count: int) -> None:
    network = layout.network()
    state = network.state_dict()
    assert {key: tuple(state[name].shape) for name, key in layout.keys(network).items()} == entries
    assert len(entries) == count


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_front_end_and_the_scenes_are_those_of_the_network(layout: Layout) -> None:
    shape = layout.architecture.input
    assert (layout.front_end.mels, layout.front_end.frames) == (shape.mels, shape.frames)
    assert len(set(layout.scenes)) == layout.architecture.classes == 10


def test_both_orders_are_of_the_same_scenes() -> None:
    assert list(CP_MOBILE_2023.scenes) == sorted(CP_MOBILE_2023.scenes) == sorted(SHARIF.scenes)
    assert CP_MOBILE_2023.scenes == CP_MOBILE_2025.scenes
    assert SHARIF.scenes[:3] == ("airport", "shopping_mall", "metro_station")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_network_of_ours_written_down_in_a_layout_says_the_same_after_loading(layout: Layout, tmp_path: Path) -> None:
    network = layout.network()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(4)))
    state = network.state_dict()
    written = {key: state[name] for name, key in layout.keys(network).items()}
    published = load_published(saved(tmp_path, {"state_dict": prefixed(written, "model.")}))
    assert published.layout is layout
    assert not published.networks[BASE].training
    torch.testing.assert_close(said(published.networks[BASE], features(layout)), said(network, features(layout)))


def test_the_winner_of_2025_has_seven_models(tmp_path: Path) -> None:
    models = winner()
    entries = as_one_file(models)
    assert len(entries) == 885
    published = load_published(saved(tmp_path, {"epoch": 149, "state_dict": entries, "optimizer_states": []}))
    assert published.layout is CP_MOBILE_2025
    assert set(published.networks) == set(models)
    x = features(CP_MOBILE_2025)
    for device, state in models.items():
        torch.testing.assert_close(
            said(published.networks[device], x), cp_mobile_2025_by_hand(state, x), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_single_baseline_loads_too(prefix: str, tmp_path: Path) -> None:
    state = drawn(ENTRIES_2025, 5)
    network = load_published(saved(tmp_path, prefixed(state, prefix))).networks[BASE]
    x = features(CP_MOBILE_2025)
    torch.testing.assert_close(said(network, x), cp_mobile_2025_by_hand(state, x), atol=1e-4, rtol=1e-4)


def test_weights_in_half_precision_load(tmp_path: Path) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in drawn(ENTRIES_2025, 6).items()}
    network = load_published(saved(tmp_path, half)).networks[BASE]
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_the_sharif_student_loads_with_its_own_order_of_scenes(tmp_path: Path) -> None:
    state = drawn(sharif_entries(), 7)
    content = {"model_state_dict": state, "optimizer_state_dict": {}, "epoch": 3, "best_test_acc": 58.2}
    published = load_published(saved(tmp_path, content))
    assert published.layout is SHARIF
    x = 10 * features(SHARIF)
    torch.testing.assert_close(said(published.networks[BASE], x), sharif_by_hand(state, x), atol=1e-4, rtol=1e-4)


def test_the_real_checkpoint_says_what_it_is_known_to_say(shared_data: Path) -> None:
    folder = shared_data / "tau-clip"
    predictor = open_predictor(folder / "cp_mobile_2023_c0a7nzin.ckpt")
    assert predictor.name == "CP-Mobile 2023"
    seconds = np.stack(list(seconds_of(folder / "metro_station-paris.wav", 32_000)))
    logits = predictor.logits(seconds)
    known = [0.383, -2.360, -0.156, 5.832, -2.346, -0.478, -1.477, 0.978, -2.329, -0.744]
    np.testing.assert_allclose(logits[0], known, atol=0.03)
    assert [predictor.scenes[row.argmax()] for row in logits] == ["metro_station"] * 10
    probabilities = [0.981, 0.970, 0.902, 0.789, 0.951, 0.873, 0.987, 0.959, 0.952, 0.983]
    np.testing.assert_allclose(logits.softmax(1)[:, 3], probabilities, atol=0.01)


def test_the_response_normalisations_of_the_real_checkpoint_are_loaded(shared_data: Path) -> None:
    network = load_published(shared_data / "tau-clip" / "cp_mobile_2023_c0a7nzin.ckpt").networks[BASE]
    parameters = dict(network.named_parameters())
    gammas = [value.item() for name, value in parameters.items() if name.endswith("grn.gamma")]
    betas = [value.item() for name, value in parameters.items() if name.endswith("grn.beta")]
    assert gammas == pytest.approx([-0.063, -0.306, 0.742, 0.427, 2.101, 1.820], abs=0.001)
    assert betas == pytest.approx([0.227, 0.282, 0.176, 0.001, -0.408, -1.120], abs=0.001)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_published(path)
    told = str(caught.value)
    assert isinstance(caught.value, InputError)
    assert told.startswith(f"{path} ")
    assert "\n" not in told
    return told.removeprefix(f"{path} ")


def test_entries_that_are_missing_unknown_or_of_another_network_are_named(tmp_path: Path) -> None:
    whole = drawn(ENTRIES_2025, 1)
    lacking = {key: value for key, value in whole.items() if not key.startswith("stages.s2.b5.block.1.")}
    assert refused(saved(tmp_path, lacking)).startswith(
        "lacks entries for a CP-Mobile 2025: stages.s2.b5.block.1.0.weight, stages.s2.b5.block.1.1.bias, "
        "stages.s2.b5.block.1.1.num_batches_tracked and 3 more"
    )
    assert "has unknown entries for a CP-Mobile 2025: extra" in refused(
        saved(tmp_path, whole | {"extra": torch.ones(1)})
    )
    wider = drawn(ENTRIES_2025 | {"feed_forward.0.weight": (10, 168, 1, 1)}, 1)
    assert (
        "has float32 of shape (10, 168, 1, 1) at feed_forward.0.weight, expected float32 of shape (10, 104, 1, 1)"
        in refused(saved(tmp_path, wider))
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.full((10,), float("nan")), "has values that are not finite at feed_forward.1.bias"),
        (torch.zeros(10, dtype=torch.int64), "has int64 of shape (10,) at feed_forward.1.bias"),
        (torch.zeros(10).to_sparse(), "has no plain tensor at feed_forward.1.bias"),
        (torch.zeros(10, device="meta"), "has no plain tensor at feed_forward.1.bias"),
        ([0.0] * 10, "has no plain tensor at feed_forward.1.bias"),
    ],
    ids=["nan", "integers", "sparse", "meta", "list"],
)
def test_an_entry_that_is_no_weight_is_named(value: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(saved(tmp_path, drawn(ENTRIES_2025, 1) | {"feed_forward.1.bias": value}))


def test_a_fault_in_any_of_seven_models_refuses_them_all(tmp_path: Path) -> None:
    entries = as_one_file(winner())
    del entries["multi_device_model.device_models.s3.in_c.1.1.bias"]
    assert "multi_device_model.device_models.s3.in_c.1.1.bias" in refused(saved(tmp_path, {"state_dict": entries}))


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


def test_a_checkpoint_that_needs_code_is_refused_and_runs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "opening it would run posix.mkdir" in refused(saved(tmp_path, {"state_dict": {}, "callback": RunsCode()}))
    assert "would run argparse.Namespace" in refused(saved(tmp_path, {"hyper_parameters": argparse.Namespace()}))
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(1)], "holds no weights by name"),
        ({3: torch.ones(1)}, "holds no weights by name"),
        ({}, "is in none of the layouts that are read (CP-Mobile 2023, CP-Mobile 2025, Sharif student)"),
        ({"state_dict": {"fc.weight": torch.ones(1)}}, "is in none of the layouts"),
        ({"net.in_c.0.0.weight": torch.ones(1)}, "under the unknown prefix 'net.'"),
    ],
    ids=["list", "numbered", "empty", "foreign", "prefix"],
)
def test_a_file_in_no_known_layout_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(saved(tmp_path, content))


def test_a_file_that_is_missing_or_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.ckpt") == "cannot be read (No such file or directory)"
    text = tmp_path / "notes.txt"
    for content in ("", "shopping list", "cos\nsystem\n"):
        text.write_text(content)
        refused(text)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_refused_or_still_whole(zipped: bool, tmp_path: Path) -> None:
    memory = io.BytesIO()
    torch.save(drawn(ENTRIES_2025, 2), memory, _use_new_zipfile_serialization=zipped)
    whole = memory.getvalue()
    path = tmp_path / "damaged.ckpt"
    for kept in (1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        refused(path)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        # The pickled part of the old format is at its beginning, the directory of the new one at both ends.
        for place in rng.integers(0, 2000, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            load_published(path)
