"""MN and DyMN are EfficientAT's: the published sizes and names, the formulas of the paper computed another way."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.errors import InputError
from trainers.efficientat import DyMn, EfficientAtError, Mn
from trainers.efficientat.context import ContextGenerator
from trainers.efficientat.dymn import DynamicBlock, context_size
from trainers.efficientat.dynamic import DynamicConv, DynamicDepthwise, DynamicPointwise, DynamicReLU, tau_at
from trainers.efficientat.plan import Block, plan
from trainers.efficientat.squeeze import ChannelSqueeze

# Parameters with AudioSet's 527 classes and with 10, MACs of one second (128x100) and of ten (128x1000); measured with
# the published code.
PUBLISHED = {
    "mn04": (Mn(0.4), 983_599, 718_378, 12_751_255, 110_646_167),
    "mn05": (Mn(0.5), 1_431_239, 1_099_842, 18_498_711, 159_968_407),
    "mn10": (Mn(1.0), 4_876_831, 4_214_554, 63_004_839, 541_085_095),
    "dymn04": (DyMn(0.4), 1_961_239, 1_696_018, 15_035_447, 117_573_439),
    "dymn10": (DyMn(1.0), 10_548_479, 9_886_202, 76_321_335, 582_018_719),
    "dymn20": (DyMn(2.0), 39_966_143, 38_642_106, 291_889_327, 2_221_642_623),
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def skeleton(value: Mn | DyMn, classes: int) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return value.network(classes)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode and float64, with weights and statistics that nothing cancels out of."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    for key, tensor in network.state_dict().items():
        if key.rpartition(".")[2] in ("lambdas", "init_v", "num_batches_tracked"):
            continue
        drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        tensor.copy_(drawn.abs() + 0.5 if key.endswith("running_var") else 0.5 * drawn)
    return network


def settled(network: nn.Module, x: Tensor) -> nn.Module:
    """In evaluation mode, with the statistics of these clips, so that the differences between them reach the end."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(x)
    return network.eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- sizes and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name: str) -> None:
    value, audioset, scenes, *_ = PUBLISHED[name]
    for classes, expected in ((527, audioset), (10, scenes)):
        assert sum(parameter.numel() for parameter in skeleton(value, classes).parameters()) == expected


@pytest.mark.parametrize(
    ("value", "entries"), [(Mn(1.0), 312), (Mn(0.2), 312), (Mn(0.1), 294), (DyMn(0.4), 578), (DyMn(1.0), 578)]
)
def test_states_have_as_many_entries_as_those_published(value: Mn | DyMn, entries: int) -> None:
    assert len(skeleton(value, 527).state_dict()) == entries


def test_mn_names_its_tensors_as_published() -> None:
    found = shapes(skeleton(Mn(), 527))
    first = {"features.0.0.weight": (16, 1, 3, 3)} | {
        f"features.1.block.{part}.0.weight": shape for part, shape in enumerate([(16, 1, 3, 3), (16, 16, 1, 1)])
    }
    squeezing = {
        "features.4.block.0.0.weight": (72, 24, 1, 1),
        "features.4.block.1.0.weight": (72, 1, 5, 5),
        "features.4.block.2.conc_se_layers.0.fc1.weight": (24, 72),
        "features.4.block.2.conc_se_layers.0.fc1.bias": (24,),
        "features.4.block.2.conc_se_layers.0.fc2.weight": (72, 24),
        "features.4.block.2.conc_se_layers.0.fc2.bias": (72,),
        "features.4.block.3.0.weight": (40, 72, 1, 1),
    }
    plain = {f"features.7.block.{part}.1.bias": (width,) for part, width in enumerate((240, 240, 80))}
    last = {
        "features.16.0.weight": (960, 160, 1, 1),
        "classifier.2.weight": (1280, 960),
        "classifier.2.bias": (1280,),
        "classifier.5.weight": (527, 1280),
        "classifier.5.bias": (527,),
    }
    assert (first | squeezing | plain | last).items() <= found.items()
    assert {f"features.{place}.1.{part}" for place in (0, 16) for part in NORM} <= found.keys()
    squeezes = {int(key.split(".")[1]) for key in found if "conc_se_layers" in key}
    assert squeezes == {4, 5, 6, 11, 12, 13, 14, 15}
    assert not any(key.startswith(("features.1.block.2", "features.7.block.3", "features.17")) for key in found)


def test_a_fully_convolutional_mn_differs_from_the_other_in_its_classifier_only() -> None:
    found, other = shapes(skeleton(Mn(head="fully_convolutional"), 527)), shapes(skeleton(Mn(), 527))
    head = {key: shape for key, shape in found.items() if key.startswith("classifier.")}
    assert head == {"classifier.0.weight": (527, 960, 1, 1)} | {
        f"classifier.1.{part}": () if part == NORM[-1] else (527,) for part in NORM
    }
    assert {key: found[key] for key in found.keys() - head.keys()} == {
        key: shape for key, shape in other.items() if not key.startswith("classifier.")
    }


def test_dymn_names_its_tensors_as_published() -> None:
    found = shapes(skeleton(DyMn(), 527))

    def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
        return {f"layers.3.{name}.{part}": () if part == NORM[-1] else (channels,) for part in NORM}

    def dynamic(name: str, weights: int) -> dict[str, tuple[int, ...]]:
        return {
            f"layers.3.{name}.weight": (1, 1, 4, weights),
            f"layers.3.{name}.residuals.0.weight": (4, 32),
            f"layers.3.{name}.residuals.0.bias": (4,),
        }

    fourth = dynamic("exp_conv", 72 * 24) | dynamic("depth_conv", 72 * 25) | dynamic("proj_conv", 40 * 72)
    fourth |= norm("exp_norm", 72) | norm("depth_norm", 72) | norm("proj_norm", 40)
    fourth |= norm("context_gen.joint_norm", 32)
    fourth |= {
        "layers.3.depth_act.lambdas": (4,),
        "layers.3.depth_act.init_v": (4,),
        "layers.3.depth_act.coef_net.0.weight": (4 * 72, 32),
        "layers.3.depth_act.coef_net.0.bias": (4 * 72,),
        "layers.3.context_gen.joint_conv.weight": (32, 24, 1, 1),
        "layers.3.context_gen.conv_f.weight": (72, 32, 1, 1),
        "layers.3.context_gen.conv_f.bias": (72,),
        "layers.3.context_gen.conv_t.weight": (72, 32, 1, 1),
        "layers.3.context_gen.conv_t.bias": (72,),
    }
    assert {key: shape for key, shape in found.items() if key.startswith("layers.3.")} == fourth
    ends = {
        "in_c.0.weight": (16, 1, 3, 3),
        "out_c.0.weight": (960, 160, 1, 1),
        "classifier.2.weight": (1280, 960),
        "classifier.5.weight": (527, 1280),
    }
    assert ends.items() <= found.items()
    assert {f"{end}.1.{part}" for end in ("in_c", "out_c") for part in NORM} <= found.keys()
    assert not any(key.startswith("layers.0.exp") for key in found)
    assert {key.split(".")[0] for key in found} == {"in_c", "layers", "out_c", "classifier"}
    assert {int(key.split(".")[1]) for key in found if key.startswith("layers.")} == set(range(15))


def test_buffers_of_the_dynamic_relu_hold_what_published_files_hold() -> None:
    state = DyMn(0.1).network(2).state_dict()
    assert state["layers.7.depth_act.lambdas"].tolist() == [1.0, 1.0, 0.5, 0.5]
    assert state["layers.7.depth_act.init_v"].tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("value", "last"),
    [
        (Mn(0.3), "classifier.5."),
        (Mn(0.3, "fully_convolutional"), "classifier."),
        (DyMn(0.3), "classifier.5."),
    ],
)
def test_only_the_last_layer_depends_on_the_classes(value: Mn | DyMn, last: str) -> None:
    few, many = shapes(skeleton(value, 10)), shapes(skeleton(value, 527))
    assert few.keys() == many.keys()
    differing = {key for key in few if few[key] != many[key]}
    assert differing == {key for key in few if key.startswith(last) and few[key]}


# --- widths -----------------------------------------------------------------------------------------------------------


def test_every_width_is_made_divisible_by_eight() -> None:
    planned = plan(0.5)
    assert (planned.stem, planned.last, planned.hidden) == (8, 480, 640)
    assert [block.expanded for block in planned.blocks] == [
        *(8, 32, 40, 40, 64, 64, 120, 104, 96, 96, 240, 336, 336, 480, 480)
    ]
    assert [block.width for block in planned.blocks] == [8, 16, 16, 24, 24, 24, *[40] * 4, 56, 56, *[80] * 3]
    assert plan(0.33).last == 6 * 56  # not 960 * 0.33 made divisible, which is 320
    assert plan(0.33).hidden == 424


def test_blocks_are_those_of_mobilenet_v3_large() -> None:
    blocks = plan(1.0).blocks
    assert [block.kernel for block in blocks] == [3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5]
    assert [block.stride for block in blocks] == [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]
    assert [block.hard_swish for block in blocks] == [False] * 6 + [True] * 9
    assert [block.has_shortcut for block in blocks] == [
        number in (0, 2, 4, 5, 7, 8, 9, 11, 13, 14) for number in range(15)
    ]


@pytest.mark.parametrize(
    ("width", "sizes"), [(1.0, [32] * 6 + [64, 48, 48, 48, 120] + [128] * 4), (0.4, [16] * 6 + [24] * 4 + [48] * 5)]
)
def test_context_grows_with_the_block_within_bounds(width: float, sizes: list[int]) -> None:
    assert [context_size(block.expanded, width) for block in plan(width).blocks] == sizes


# --- cost -------------------------------------------------------------------------------------------------------------


def macs(network: nn.Module, mels: int, frames: int) -> int:
    """Of one clip: convolutions with their biases at every position, linear layers, the mixing of dynamic kernels."""
    counts: list[int] = []

    def count(layer: Any, _: Any, y: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            counts.append(layer.weight.numel() + layer.bias.numel())
        elif isinstance(layer, DynamicConv):
            counts.append(y[0, 0].numel() * layer.weight.numel() // 4 + layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            per_position = layer.weight.numel() + (0 if layer.bias is None else layer.bias.numel())
            counts.append(y[0, 0].numel() * per_position)

    for module in network.modules():
        module.register_forward_hook(count)
    network.eval()(torch.empty(1, 1, mels, frames, device="meta"))
    return sum(counts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_are_those_measured_on_the_published_code(name: str) -> None:
    value, _, _, one_second, ten_seconds = PUBLISHED[name]
    assert macs(skeleton(value, 527), 128, 100) == one_second
    assert macs(skeleton(value, 527), 128, 1000) == ten_seconds


# --- what the layers compute ------------------------------------------------------------------------------------------


def kernels_by_hand(conv: DynamicConv, context: Tensor, *shape: int) -> Tensor:
    """The mixed kernel for one clip's context vector."""
    scores = (conv.residuals[0].weight @ context + conv.residuals[0].bias).tolist()
    powers = [math.exp(score / conv.tau) for score in scores]
    total = torch.zeros(shape, dtype=torch.float64)
    for power, kernel in zip(powers, conv.weight[0, 0], strict=True):
        total += power / sum(powers) * kernel.reshape(shape)
    return total


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dynamic_pointwise_is_a_convolution_with_a_kernel_for_each_clip(layout: torch.memory_format) -> None:
    conv = scrambled(DynamicPointwise(3, 5, context=6, tau=2.5))
    assert isinstance(conv, DynamicPointwise)
    x, context = normal(4, 3, 7, 2).contiguous(memory_format=layout), normal(4, 6)
    expected = [
        F.conv2d(clip[None], kernels_by_hand(conv, vector, 5, 3, 1, 1)) for clip, vector in zip(x, context, strict=True)
    ]
    torch.testing.assert_close(conv(x, context), torch.cat(expected))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_dynamic_depthwise_is_a_convolution_with_a_kernel_for_each_clip(
    side: int, stride: int, layout: torch.memory_format
) -> None:
    conv = scrambled(DynamicDepthwise(3, side, stride, context=6, tau=1.5))
    assert isinstance(conv, DynamicDepthwise)
    x, context = normal(4, 3, 8, 5).contiguous(memory_format=layout), normal(4, 6)
    expected = [
        F.conv2d(clip[None], kernels_by_hand(conv, vector, 3, 1, side, side), None, stride, (side - 1) // 2, 1, 3)
        for clip, vector in zip(x, context, strict=True)
    ]
    torch.testing.assert_close(conv(x, context), torch.cat(expected))


def test_dynamic_relu_is_the_larger_of_two_lines_for_each_clip_and_channel() -> None:
    relu = scrambled(DynamicReLU(3, context=6))
    x, context = 3 * normal(2, 3, 4, 5), normal(2, 6)
    expected = torch.empty_like(x)
    for clip in range(2):
        theta = relu.coef_net[0].weight @ context[clip] + relu.coef_net[0].bias
        theta = (2 / (1 + torch.exp(-theta)) - 1).reshape(3, 4)
        for channel in range(3):
            a1, a2, b1, b2 = theta[channel].tolist()
            line1 = (1 + a1) * x[clip, channel] + 0.5 * b1
            line2 = a2 * x[clip, channel] + 0.5 * b2
            expected[clip, channel] = line1.where(line1 > line2, line2)
    torch.testing.assert_close(relu(x, context), expected)


def test_fresh_dynamic_relu_is_nearly_relu() -> None:
    torch.manual_seed(0)
    relu, x = DynamicReLU(8, context=16), normal(4, 8, 6, 6).float()
    torch.testing.assert_close(relu(x, normal(4, 16).float()), torch.relu(x), atol=0.2, rtol=0)
    torch.testing.assert_close(relu(x, torch.zeros(4, 16)), torch.relu(x))


def test_squeeze_excitation_scales_channels_by_their_means() -> None:
    squeeze = scrambled(ChannelSqueeze(12))
    assert squeeze.fc1.out_features == 8
    x = normal(3, 12, 4, 5)
    for clip, found in zip(x, squeeze(x), strict=True):
        inner = squeeze.fc1.weight @ clip.reshape(12, -1).mean(1) + squeeze.fc1.bias
        outer = squeeze.fc2.weight @ inner.clamp(min=0) + squeeze.fc2.bias
        torch.testing.assert_close(found, clip / (1 + torch.exp(-outer))[:, None, None])


def hard_swish(x: Tensor) -> Tensor:
    return x * (x + 3).clamp(0, 6) / 6


def normed(norm: Any, x: Tensor) -> Tensor:
    """A batch norm in evaluation mode; the channels are the first axis."""
    assert norm.eps == 1e-3
    by_channel = (-1,) + (1,) * (x.ndim - 1)
    scale = norm.weight / (norm.running_var + 1e-3).sqrt()
    return (x - norm.running_mean.reshape(by_channel)) * scale.reshape(by_channel) + norm.bias.reshape(by_channel)


def pooled(sequence: Tensor, stride: int) -> Tensor:
    """Means of three neighbours, zeros beyond the ends counted; (channels, length)."""
    if stride == 1:
        return sequence
    padded = F.pad(sequence, (1, 1))
    return torch.stack([padded[:, i : i + 3].sum(1) / 3 for i in range(0, sequence.shape[1], stride)], dim=1)


def context_by_hand(generator: Any, clip: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Context vector, attention over bands and over frames of one clip."""
    bands = clip.shape[1]
    joined = torch.cat([clip.mean(2), clip.mean(1)], dim=1)
    joint = hard_swish(normed(generator.joint_norm, generator.joint_conv.weight[:, :, 0, 0] @ joined))
    attention = []
    for conv, part in ((generator.conv_f, joint[:, :bands]), (generator.conv_t, joint[:, bands:])):
        score = conv.weight[:, :, 0, 0] @ pooled(part, stride) + conv.bias[:, None]
        attention.append(1 / (1 + torch.exp(-score)))
    return joint.mean(1), attention[0], attention[1]


BLOCKS = [
    Block(c_in=8, kernel=3, expanded=8, width=8, squeezes=False, hard_swish=False, stride=1),
    Block(c_in=4, kernel=5, expanded=8, width=6, squeezes=False, hard_swish=False, stride=2),
    Block(c_in=4, kernel=3, expanded=12, width=4, squeezes=True, hard_swish=True, stride=1),
    Block(c_in=4, kernel=5, expanded=12, width=4, squeezes=False, hard_swish=True, stride=2),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_context_is_what_the_paper_says(block: Block) -> None:
    generator = scrambled(ContextGenerator(block, 5))
    x = normal(3, block.c_in, 7, 4)
    found = generator(x)
    for number, clip in enumerate(x):
        vector, over_bands, over_frames = context_by_hand(generator, clip, block.stride)
        torch.testing.assert_close(found.vector[number], vector)
        torch.testing.assert_close(found.frequency[number], over_bands[:, :, None])
        torch.testing.assert_close(found.time[number], over_frames[:, None, :])


def block_by_hand(dynamic: Any, block: Block, clip: Tensor) -> Tensor:
    """What a dynamic block makes of one clip."""
    vector, over_bands, over_frames = context_by_hand(dynamic.context_gen, clip, block.stride)
    y = clip
    if block.expanded != block.c_in:
        kernel = kernels_by_hand(dynamic.exp_conv, vector, block.expanded, block.c_in)
        y = normed(dynamic.exp_norm, torch.einsum("oc,cft->oft", kernel, y))
        y = hard_swish(y) if block.hard_swish else y.clamp(min=0)
    kernel = kernels_by_hand(dynamic.depth_conv, vector, block.expanded, 1, block.kernel, block.kernel)
    y = F.conv2d(y[None], kernel, None, block.stride, block.kernel // 2, 1, block.expanded)[0]
    y = normed(dynamic.depth_norm, y)
    coefficients = dynamic.depth_act.coef_net[0]
    theta = 2 / (1 + torch.exp(-(coefficients.weight @ vector + coefficients.bias))) - 1
    a1, a2, b1, b2 = theta.reshape(-1, 4).T[:, :, None, None]
    y = torch.stack([(1 + a1) * y + 0.5 * b1, a2 * y + 0.5 * b2]).amax(0)
    y = y * over_bands[:, :, None] * over_frames[:, None, :]
    kernel = kernels_by_hand(dynamic.proj_conv, vector, block.width, block.expanded)
    y = normed(dynamic.proj_norm, torch.einsum("oc,cft->oft", kernel, y))
    return y + clip if block.c_in == block.width and block.stride == 1 else y


@pytest.mark.parametrize("block", BLOCKS)
def test_dynamic_block_is_what_the_paper_says(block: Block) -> None:
    dynamic = scrambled(DynamicBlock(block, 5, tau=3.0))
    x = normal(3, block.c_in, 7, 4)
    for clip, found in zip(x, dynamic(x), strict=True):
        torch.testing.assert_close(found, block_by_hand(dynamic, block, clip))


def test_dymn_is_its_blocks_between_two_convolutions() -> None:
    x = normal(3, 1, 40, 21)
    network: Any = settled(scrambled(DyMn(0.2).network(5)), x)
    with torch.no_grad():
        logits = network(x)
        for clip, found in zip(x, logits, strict=True):
            y = hard_swish(normed(network.in_c[1], F.conv2d(clip, network.in_c[0].weight, None, 2, 1)))
            for block, dynamic in zip(plan(0.2).blocks, network.layers, strict=True):
                y = block_by_hand(dynamic, block, y)
            y = torch.einsum("oc,cft->oft", network.out_c[0].weight[:, :, 0, 0], y)
            y = hard_swish(normed(network.out_c[1], y)).mean((1, 2))
            inner, last = network.classifier[2], network.classifier[5]
            y = hard_swish(inner.weight @ y + inner.bias)
            torch.testing.assert_close(found, last.weight @ y + last.bias)
    assert (logits[0] - logits[1]).abs().min() > 0.01


def test_mn_is_its_state_run_through_plain_functions() -> None:
    """With the published names alone, as someone would who has only the file."""
    inputs = normal(2, 1, 40, 21)
    network = settled(scrambled(Mn(0.2).network(5)), inputs)
    state = network.state_dict()

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.0.weight"]
        y = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, x.shape[1] // weight.shape[1])
        mean, variance, scale, shift = (
            state[f"{name}.1.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (variance + 1e-3).sqrt() * scale + shift

    def dense(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = hard_swish(conv("features.0", inputs, 2))
    for number in range(1, 16):
        act = hard_swish if number >= 7 else torch.relu
        name, y = f"features.{number}.block", x
        part = 0
        if number > 1:
            y, part = act(conv(f"{name}.0", y)), 1
        y = act(conv(f"{name}.{part}", y, 2 if number in (2, 4, 7, 13) else 1))
        if number in (4, 5, 6, 11, 12, 13, 14, 15):
            part += 1
            inner = dense(f"{name}.{part}.conc_se_layers.0.fc1", y.mean((2, 3))).clamp(min=0)
            y = y * torch.sigmoid(dense(f"{name}.{part}.conc_se_layers.0.fc2", inner))[:, :, None, None]
        y = conv(f"{name}.{part + 1}", y)
        x = y + x if y.shape == x.shape else y
    x = hard_swish(conv("features.16", x)).mean((2, 3))
    expected = dense("classifier.5", hard_swish(dense("classifier.2", x)))
    torch.testing.assert_close(network(inputs), expected)
    assert (expected[0] - expected[1]).abs().min() > 0.01


def test_a_fully_convolutional_head_classifies_positions_and_pools() -> None:
    x = normal(2, 1, 64, 64)
    network: Any = settled(scrambled(Mn(0.2, "fully_convolutional").network(3)), x)
    conv, norm = network.classifier[0], network.classifier[1]
    positions = network.features(x)
    scores = torch.einsum("oc,bcft->boft", conv.weight[:, :, 0, 0], positions).mean((2, 3))
    expected = (scores - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(network(x), expected)


# --- as networks ------------------------------------------------------------------------------------------------------

SMALL = [Mn(0.1), Mn(0.2), Mn(0.2, "fully_convolutional"), DyMn(0.1), DyMn(0.2)]


@pytest.mark.parametrize("value", SMALL)
@pytest.mark.parametrize("size", [(128, 100), (256, 65), (64, 33)])
def test_any_size_and_any_batch_give_one_row_for_each_clip(value: Mn | DyMn, size: tuple[int, int]) -> None:
    x = normal(3, 1, *size)
    with torch.no_grad():
        network = settled(scrambled(value.network(10)), x)
        together = network(x)
        assert together.shape == (3, 10)
        assert (together[0] - together[1]).abs().max() > 0.01
        torch.testing.assert_close(network(x[1:2]), together[1:2])
        channels_last = network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(channels_last(x), together)


@pytest.mark.parametrize("value", SMALL)
def test_gradient_reaches_every_parameter(value: Mn | DyMn) -> None:
    torch.manual_seed(0)
    network = value.network(4)
    F.cross_entropy(network(torch.randn(6, 1, 64, 64)), torch.arange(6) % 4).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("value", [Mn(0.5), DyMn(0.5)])
def test_fresh_weights_are_drawn_as_mobilenets_are(value: Mn | DyMn) -> None:
    torch.manual_seed(0)
    network: Any = value.network(10)
    stem = network.features[0][0] if isinstance(value, Mn) else network.in_c[0]
    last = network.features[16][0] if isinstance(value, Mn) else network.out_c[0]
    for conv in (stem, last):
        assert conv.weight.std().item() == pytest.approx(
            (2 / (conv.out_channels * conv.weight[0, 0].numel())) ** 0.5, rel=0.3
        )
    for module in network.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.2)
            assert not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert (module.eps, module.momentum) == (1e-3, 0.01)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()


def test_fresh_kernels_of_a_dynamic_convolution_are_all_different_and_kaiming() -> None:
    torch.manual_seed(0)
    for conv, fan_out in ((DynamicPointwise(50, 80, 8, 30.0), 80), (DynamicDepthwise(200, 5, 1, 8, 30.0), 200 * 25)):
        kernels = conv.weight[0, 0].detach()
        torch.testing.assert_close(kernels.std(1), torch.full((4,), (2 / fan_out) ** 0.5), rtol=0.1, atol=0)
        assert torch.corrcoef(kernels).fill_diagonal_(0).abs().max() < 0.2


@pytest.mark.parametrize("value", [Mn(0.2), DyMn(0.2)])
def test_the_global_generator_decides_the_weights(value: Mn | DyMn) -> None:
    def drawn(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return value.network(3).state_dict()

    torch.testing.assert_close(drawn(1), drawn(1), rtol=0, atol=0)
    once, other = drawn(1), drawn(2)
    assert all(not torch.equal(once[key], other[key]) for key in once if key.endswith("0.weight"))


def test_logits_are_random_in_training_only() -> None:
    torch.manual_seed(0)
    for value in (Mn(0.2), DyMn(0.2)):
        network, x = value.network(3), torch.randn(4, 1, 64, 32)
        assert network.training
        assert not torch.allclose(network(x), network(x), rtol=1e-3, atol=0)
        network.eval()
        torch.testing.assert_close(network(x), network(x))


# --- temperature ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.02, 0.05])
@pytest.mark.parametrize("start", [1.0, 2.5, 30.0])
def test_temperature_is_the_published_schedule(start: float, slope: float) -> None:
    for epoch in range(80):
        published = max(start - epoch, 1 + slope * (start - 1) - slope * epoch, 1.0)
        assert tau_at(epoch, start) == pytest.approx(published)
    assert [tau_at(epoch, 30.0) for epoch in (0, 1, 10, 28, 29, 30, 79)] == [30, 29, 20, 2, 1, 1, 1]


def temperatures(network: nn.Module) -> list[float]:
    return [module.tau for module in network.modules() if isinstance(module, DynamicConv)]


def test_every_dynamic_convolution_follows_the_epochs() -> None:
    network = DyMn(0.2, tau=5.0).network(3)
    assert temperatures(network) == [5.0] * (15 * 3 - 1)
    for epoch, expected in ((1, 4.0), (3, 2.0), (40, 1.0), (0, 5.0)):
        for module in network.modules():
            if hasattr(module, "begin_epoch"):
                module.begin_epoch(epoch)
        assert set(temperatures(network)) == {expected}


def test_a_low_temperature_chooses_and_a_high_one_mixes() -> None:
    conv, context = scrambled(DynamicPointwise(3, 5, context=6, tau=1e6)), normal(2, 6)
    assert isinstance(conv, DynamicPointwise)
    mean = conv.weight[0, 0].mean(0)
    torch.testing.assert_close(conv.kernels(context), mean.expand(2, -1), rtol=1e-4, atol=1e-4)
    conv.tau = 1e-6
    best = conv.residuals(context).argmax(1)
    torch.testing.assert_close(conv.kernels(context), conv.weight[0, 0][best])


def test_what_it_is_after_training_is_at_the_temperature_of_the_last_epoch() -> None:
    assert DyMn(0.4).after(0) == DyMn(0.4)
    assert DyMn(0.4).after(1) == DyMn(0.4)
    assert DyMn(0.4).after(10) == DyMn(0.4, tau=21.0)
    assert DyMn(0.4).after(200) == DyMn(0.4, tau=1.0)
    assert Mn(0.4, "fully_convolutional").after(200) == Mn(0.4, "fully_convolutional")


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [Mn(), Mn(0.4, "fully_convolutional"), Mn(8), DyMn(), DyMn(0.4, tau=1), DyMn(1e-3)])
def test_a_value_survives_json(value: Mn | DyMn) -> None:
    data = json.loads(json.dumps(value.to_json()))
    assert data["family"] == type(value).__name__.lower()
    assert type(value).from_json(data) == value


def test_equal_values_are_written_the_same() -> None:
    assert json.dumps(Mn(1).to_json()) == json.dumps(Mn(1.0).to_json())
    assert json.dumps(DyMn(2, tau=1).to_json()) == json.dumps(DyMn(2.0, tau=1.0).to_json())


def test_what_json_leaves_out_has_its_default() -> None:
    assert Mn.from_json({"family": "mn", "width": 0.4}) == Mn(0.4)
    assert DyMn.from_json({"family": "dymn"}) == DyMn()


@pytest.mark.parametrize("width", [0, -1.0, 8.01, math.inf, math.nan, True, "1", None])
@pytest.mark.parametrize("kind", [Mn, DyMn])
def test_a_width_outside_its_domain_is_refused(kind: Any, width: object) -> None:
    with pytest.raises(InputError, match=r"width=.*above 0, at most 8"):
        kind(width)


@pytest.mark.parametrize("tau", [0.99, 0, -1.0, math.inf, math.nan, True, "30"])
def test_a_temperature_outside_its_domain_is_refused(tau: Any) -> None:
    with pytest.raises(EfficientAtError, match="tau="):
        DyMn(1.0, tau=tau)


@pytest.mark.parametrize("head", ["linear", None, []])
def test_an_unknown_head_is_refused(head: Any) -> None:
    with pytest.raises(EfficientAtError, match=r"head=.*mlp or fully_convolutional"):
        Mn(1.0, head)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (Mn, {"family": "dymn", "width": 1.0}, "family='dymn'.*'mn'"),
        (DyMn, {"family": "mn", "width": 1.0}, "family='mn'.*'dymn'"),
        (Mn, {"width": 1.0}, "family=None"),
        (Mn, {"family": "mn", "tau": 1.0}, "tau=1.0.*width, head"),
        (DyMn, {"family": "dymn", "head": "mlp"}, "head='mlp'.*width, tau"),
        (Mn, {"family": "mn", "width": "wide"}, "width='wide'"),
        (DyMn, {"family": "dymn", "tau": None}, "tau=None"),
        (Mn, ["mn"], "JSON object"),
        (DyMn, None, "JSON object"),
    ],
)
def test_json_of_something_else_is_refused(kind: Any, data: Any, message: str) -> None:
    with pytest.raises(EfficientAtError, match=message):
        kind.from_json(data)
