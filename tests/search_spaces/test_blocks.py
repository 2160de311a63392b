"""The parts in torch compute what their papers and published code say, and count what was published."""

import math
from itertools import product

import numpy as np
import pytest
import torch
import torchinfo
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.blocks.heads import AttentionHead, MaxHead
from search_spaces.blocks.inverted_residual import InvertedResidual
from search_spaces.blocks.normalisation import (
    FrequencyNormalization,
    GlobalResponseNormalization,
    ResidualNormalization,
)
from search_spaces.blocks.pooling import GeneralisedMean, LearnablePooling
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import block_module, build, stem_module
from search_spaces.parts import (
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiABlock,
    DSFlexiBlock,
    DSFlexiMBlock,
    Head,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
    ResidualBlock,
    ResNetStem,
)

KERNELS = ((1, 1), (1, 3), (3, 1), (3, 3))


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def randomised(module: nn.Module) -> nn.Module:
    """The module itself in float64 and evaluation mode, with random parameters and running statistics."""
    generator = torch.Generator().manual_seed(4)
    for parameter in module.double().parameters():
        parameter.data.normal_(generator=generator)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.3, 3, generator=generator)
    return module.eval()


def counts(architecture: Architecture, form: Form) -> tuple[int, int]:
    shape = (1, 1, architecture.input.mels, architecture.input.frames)
    summary = torchinfo.summary(deployed(build(architecture), form), input_size=shape, verbose=0)
    return summary.total_params, summary.total_mult_adds


def cp_mobile(widths: tuple[int, int], depths: tuple[int, ...], *, pooled_shortcut: bool) -> Architecture:
    """CP-Mobile with GRN, expansion 3, b2 of stride 2x2 and b4 of 2x1."""
    stages, c_in, number = [], 32, 0
    for width, depth in zip((32, *widths), depths, strict=True):
        blocks = []
        for _ in range(depth):
            number += 1
            stride = {2: (2, 2), 4: (2, 1)}.get(number, (1, 1))
            blocks.append(CPMobileBlock(width, 3 * c_in, stride, grn=True, pooled_shortcut=pooled_shortcut))
            c_in = width
        stages.append(Stage(tuple(blocks)))
    return Architecture(InputShape(256, 64), ConvStem((8, 32)), tuple(stages))


def teacher_m(stem: RepStem, block: DSFlexiMBlock) -> Architecture:
    head = Head("learnable", norm=block.norm, hidden=16)
    stages = (Stage((block,) * 3, skip=True), Stage((block,) * 2, skip=True), Stage((block,)))
    return Architecture(InputShape(256, 64), stem, stages, head)


def teacher_a() -> Architecture:
    conv = RepConv(KERNELS, "spare")
    stages = tuple(
        Stage((DSFlexiABlock(width, conv),) * 3, concat=concat)
        for width, concat in ((32, True), (64, True), (128, False))
    )
    head = Head("learnable", norm="batch", every_stage=True)
    return Architecture(InputShape(256, 64), RepStem((16, 32), conv, dropout=0.1), stages, head)


SPARE, NORMED = RepConv(KERNELS, "spare"), RepConv(KERNELS, "batch")
NETWORKS = {
    "cp-mobile-2023": cp_mobile((72, 168), (3, 2, 1), pooled_shortcut=True),
    "cp-mobile-teacher": cp_mobile((64, 128), (3, 3, 2), pooled_shortcut=False),
    "m1": teacher_m(RepStem((16, 16), SPARE, input_norm=False, norm="residual-scalar"), DSFlexiMBlock(16, 96, SPARE)),
    "m2": teacher_m(RepStem((10, 16), NORMED, norm="residual"), DSFlexiMBlock(16, 96, NORMED, norm="residual")),
    "a": teacher_a(),
    "cp-resnet": Architecture(
        InputShape(256, 64),
        ResNetStem(32),
        (
            Stage(
                (
                    ResidualBlock(32, (3, 1), pool=(2, 2)),
                    ResidualBlock(32, (3, 3), pool=(2, 2)),
                    ResidualBlock(64, (3, 3), groups=2),
                    ResidualBlock(92, (3, 1)),
                )
            ),
        ),
    ),
    "every other part": Architecture(
        InputShape(64, 33),
        ConvStem((6, 8)),
        (
            Stage(
                (
                    RepMobileBlock(8, 16, RepConv(((1, 1), (3, 5)), identity=True, dilation=2)),
                    RepConvBlock(8, RepConv(((1, 3), (3, 1)), "batch", identity=True)),
                ),
                skip=True,
                norm="frequency",
                concat=True,
            ),
            Stage((DSFlexiBlock(10, RepConv(KERNELS, "batch", identity=True)),), norm="residual"),
            Stage(
                (
                    DPCPBlock(10, 12, dilation=2, mixing="convex"),
                    DPCPBlock(10, 12, (2, 1), pooling="max", scalars="downsampling"),
                    DPCPBlock(12, 14, norm_after="depthwise", pool_conv=True),
                ),
                norm="residual-scalar",
            ),
        ),
        Head("attention"),
    ),
}


@pytest.mark.parametrize(
    ("name", "form", "params", "macs"),
    [
        ("cp-mobile-2023", Form.TRAINING, 126_952, 28_893_268),
        ("cp-mobile-2023", Form.FOLDED, 124_862, 29_561_088),
        ("cp-mobile-teacher", Form.TRAINING, 234_300, 42_330_532),
        ("m1", Form.TRAINING, 42_322, 35_491_306),
        ("m2", Form.TRAINING, 42_018, 33_530_032),
        ("a", Form.TRAINING, 180_053, 167_586_956),
        ("a", Form.UNFOLDED, 165_893, 158_641_292),
        ("cp-resnet", Form.TRAINING, 127_684, 37_862_532),
    ],
)
def test_published_networks_have_their_published_counts(name: str, form: Form, params: int, macs: int) -> None:
    """Measured on the published code with the challenge's counter."""
    assert counts(NETWORKS[name], form) == (params, macs)


@pytest.mark.parametrize(
    "part", [FrequencyNormalization(), GlobalResponseNormalization(), GeneralisedMean(), ResidualNormalization(4)]
)
def test_the_challenge_counts_no_lambda_nor_other_lone_scalars(part: nn.Module) -> None:
    summary = torchinfo.summary(nn.Sequential(part), input_size=(1, 4, 8, 6), verbose=0)
    affine = 8 if isinstance(part, ResidualNormalization) else 0
    assert summary.total_mult_adds == affine
    assert summary.total_params == sum(parameter.numel() for parameter in part.parameters()) > affine


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize(("kernels", "dilation"), [(KERNELS, 1), (((1, 5), (3, 1)), 2)])
def test_merged_weights_are_those_of_the_algebra(kernels, dilation: int, stride, groups: int) -> None:
    """Each element of kernel and bias, summed by hand from the branches' definitions."""
    spec = RepConv(kernels, "batch", identity=True, dilation=dilation)
    layer = randomised(RepConv2d(spec, 4, 4, stride=stride, groups=groups))
    rows, columns = max(k[0] for k in kernels), max(k[1] for k in kernels)
    weight, bias = np.zeros((4, 4 // groups, rows, columns)), np.zeros(4)

    def affine(norm: nn.BatchNorm2d, o: int) -> tuple[float, float]:
        a = norm.weight[o].item() / math.sqrt(norm.running_var[o].item() + norm.eps)
        return a, norm.bias[o].item() - a * norm.running_mean[o].item()

    for o in range(4):
        for kernel in kernels:
            branch = layer.branches[f"{kernel[0]}x{kernel[1]}"]
            a, shift = affine(branch.norm, o)
            bias[o] += shift
            for c, p, q in product(range(4 // groups), range(kernel[0]), range(kernel[1])):
                at = p + (rows - kernel[0]) // 2, q + (columns - kernel[1]) // 2
                weight[o, c, at[0], at[1]] += a * branch.conv.weight[o, c, p, q].item()
        if stride == (1, 1):
            a, shift = affine(layer.identity, o)
            bias[o] += shift
            weight[o, o % (4 // groups), rows // 2, columns // 2] += a
    x = rand(2, 4, 9, 8)
    padding = (rows // 2 * dilation, columns // 2 * dilation)
    expected = F.conv2d(x, torch.tensor(weight), torch.tensor(bias), stride, padding, dilation, groups)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    merged = deployed(nn.Sequential(layer), Form.UNFOLDED)[0]
    np.testing.assert_allclose(merged.weight.detach(), weight, rtol=0, atol=1e-13)
    np.testing.assert_allclose(merged.bias.detach(), bias, rtol=0, atol=1e-13)


def test_spare_norms_are_held_and_never_called() -> None:
    spare = RepConv2d(RepConv(KERNELS, "spare", identity=True), 4, 4)
    plain = RepConv2d(RepConv(KERNELS, "none", identity=True), 4, 4)
    plain.load_state_dict({k: v for k, v in spare.state_dict().items() if "spare" not in k})
    count = sum(p.numel() for p in spare.parameters()) - sum(p.numel() for p in plain.parameters())
    assert count == 5 * 2 * 4
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(spare.train()(x), plain(x))
    assert not any("norm" in name for name, _ in deployed(nn.Sequential(spare), Form.UNFOLDED).named_parameters())


@pytest.mark.parametrize("scalar", [False, True])
def test_residual_normalisation_is_the_published_one(scalar: bool) -> None:
    norm = randomised(ResidualNormalization(4, scalar=scalar))
    assert norm.lambda_param.shape == (1 if scalar else 4, 1, 1)
    x = rand(2, 4, 5, 7)
    values = x.numpy()
    mean, var = values.mean((2, 3), keepdims=True), values.var((2, 3), keepdims=True)
    gain, shift = (p.detach().numpy()[:, None, None] for p in (norm.instance_norm.weight, norm.instance_norm.bias))
    expected = norm.lambda_param.detach().numpy() * values + (values - mean) / np.sqrt(var + 1e-5) * gain + shift
    np.testing.assert_allclose(norm(x).detach(), expected, rtol=0, atol=1e-12)


def test_frequency_normalisation_takes_its_statistics_of_each_frequency() -> None:
    norm = FrequencyNormalization().double()
    assert norm.lambda_param.item() == pytest.approx(0.1)
    x = rand(2, 3, 5, 7) * torch.arange(1, 6)[:, None] + 3
    values = x.numpy()
    expected = np.empty_like(values)
    for n, f in product(range(2), range(5)):
        band = values[n, :, f]
        expected[n, :, f] = norm.lambda_param.item() * band + (band - band.mean()) / np.sqrt(band.var() + 1e-5)
    for layout in (torch.contiguous_format, torch.channels_last):
        np.testing.assert_allclose(norm(x.to(memory_format=layout)).detach(), expected, rtol=0, atol=1e-12)


def test_global_response_normalisation_is_that_of_2023() -> None:
    norm = randomised(GlobalResponseNormalization())
    values = rand(2, 4, 5, 7).numpy()
    g = np.sqrt((values**2).sum((2, 3), keepdims=True))
    n = g / (g.mean(1, keepdims=True) + 1e-6)
    expected = norm.gamma.item() * (values * n) + norm.beta.item() + values
    np.testing.assert_allclose(norm(torch.from_numpy(values)).detach(), expected, rtol=0, atol=1e-12)


def test_global_response_normalisation_starts_as_nothing_and_learns_from_a_silent_channel() -> None:
    norm = GlobalResponseNormalization()
    x = torch.randn(2, 4, 5, 5)
    x[:, 1] = 0
    x.requires_grad_()
    y = norm(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in (x, norm.gamma, norm.beta))


def test_the_generalised_mean_lies_between_average_and_maximum() -> None:
    pool = GeneralisedMean().double()
    assert pool.p.item() == 3
    x = rand(2, 4, 5, 7)
    clamped = np.maximum(x.numpy(), 1e-6)
    for p in (1.0, 3.0, 200.0):
        pool.p.data.fill_(p)
        expected = (clamped**p).mean((2, 3)) ** (1 / p)
        np.testing.assert_allclose(pool(x).detach(), expected, rtol=1e-12)
    torch.testing.assert_close(pool(x), x.amax((2, 3)), rtol=0.02, atol=0)


def test_attention_weighs_positions_by_the_softmax_of_their_scores() -> None:
    head = randomised(AttentionHead(4, 3))
    x = rand(2, 4, 5, 7)
    logits, scores = head.classify(x).detach().numpy(), head.attend(x).detach().numpy()
    weights = np.exp(scores)
    expected = (weights * logits).sum((2, 3)) / weights.sum((2, 3))
    np.testing.assert_allclose(head(x).detach(), expected, rtol=0, atol=1e-12)
    head.attend.weight.data.zero_()
    torch.testing.assert_close(head(x), head.classify(x).mean((2, 3)), rtol=0, atol=1e-12)


def test_the_max_head_takes_the_largest_value_of_each_scene() -> None:
    head = randomised(MaxHead(4, 3))
    x = rand(2, 4, 5, 7)
    np.testing.assert_array_equal(head(x).detach(), head.classify(x).detach().numpy().max((2, 3)))


@pytest.mark.parametrize("norm", ["residual", "batch"])
def test_learnable_pooling_is_attention_beside_the_average(norm) -> None:
    pool = randomised(LearnablePooling(4, norm))
    x = rand(2, 4, 5, 7)
    scores = pool.score(F.leaky_relu(pool.norm2(pool.conv(pool.norm1(x))), 0.1)).detach().numpy()
    weights = np.exp(scores - scores.max())
    attended = (weights * x.numpy()).sum((2, 3)) / weights.sum((2, 3))
    expected = np.concatenate([attended, x.numpy().mean((2, 3))], 1)
    np.testing.assert_allclose(pool(x).detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scalars", ["block", "downsampling"])
@pytest.mark.parametrize("pool_conv", [False, True])
@pytest.mark.parametrize("mixing", ["add", "convex"])
@pytest.mark.parametrize("norm_after", ["sum", "depthwise"])
@pytest.mark.parametrize("pooling", ["average", "max", "none"])
def test_dynacps_block_is_what_its_options_say(pooling, norm_after, mixing, pool_conv, scalars) -> None:
    """Type _3 with dilation 2, from the formulas u = D(h) + a P(h), y = project(norm(u)), out = y + P(x)."""
    options = {
        "pooling": pooling,
        "norm_after": norm_after,
        "mixing": mixing,
        "pool_conv": pool_conv,
        "scalars": scalars,
        "output_relu": False,
    }
    block = randomised(block_module(DPCPBlock(4, 6, (2, 1), 2, **options), 4))
    assert isinstance(block, InvertedResidual)
    x = rand(2, 4, 9, 8)

    def pool(values: Tensor) -> Tensor:
        if pooling == "max":
            return F.max_pool2d(values, 3, (2, 1), 1)
        return F.avg_pool2d(values, 3, (2, 1), 1)

    spatial, h = block.spatial, F.relu6(block.expand(x))
    bias = None if pool_conv and pooling != "none" else spatial.conv.bias
    assert bias is not None or spatial.conv.bias is None
    d = F.conv2d(h, spatial.conv.weight, bias, (2, 1), 2, 2, groups=6)
    if pooling == "none":
        u = spatial.norm(d)
    else:
        a = spatial.pool_weight
        p = pool(h) * (spatial.pool_conv.weight[:, 0] if pool_conv else 1)
        d = spatial.norm(d) if norm_after == "depthwise" else d
        u = (1 - a) * d + a * p if mixing == "convex" else d + a * p
        u = spatial.norm(u) if norm_after == "sum" else u
    shortcut = pool(x) * (block.shortcut.pool_weight if scalars == "downsampling" else 1)
    torch.testing.assert_close(block(x), block.project(F.relu6(u)) + shortcut, rtol=0, atol=1e-12)


def test_dynacps_scalars_are_where_the_option_says() -> None:
    def scalars(block: DPCPBlock) -> list[float]:
        return [p.item() for name, p in block_module(block, 4).named_parameters() if name.endswith("pool_weight")]

    for width, stride, of_block, of_downsampling in ((4, (1, 1), 1, 0), (4, (2, 1), 1, 2), (6, (2, 1), 1, 0)):
        assert scalars(DPCPBlock(width, 6, stride, mixing_start=0.5)) == [0.5] * of_block
        halves = DPCPBlock(width, 6, stride, scalars="downsampling", mixing_start=0.5)
        assert scalars(halves) == [0.5] * of_downsampling


def test_the_student_and_its_teachers_blocks_are_the_published_ones() -> None:
    x, conv = rand(2, 4, 9, 8), RepConv(((1, 1), (3, 3)))
    leaky = nn.LeakyReLU(0.01)
    student = randomised(block_module(DSFlexiBlock(6, conv, (2, 1), spare_norm=True), 4))
    main = nn.Sequential(student.norm1, student.pointwise, leaky, student.norm2, student.spatial, leaky)
    torch.testing.assert_close(student(x), main(x) + student.shortcut(x))
    a = randomised(block_module(DSFlexiABlock(6, conv, (2, 1)), 4))
    main = nn.Sequential(a.norm1, a.pointwise, leaky, a.norm2, a.spatial, leaky, a.norm3, a.scale, leaky)
    torch.testing.assert_close(a(x), a.norm(main(x) + a.shortcut(x)))
    assert a.shortcut.bias is not None
    for norm in ("batch", "residual"):
        m = randomised(block_module(DSFlexiMBlock(6, 8, conv, (2, 1), norm), 4))
        main = nn.Sequential(m.expand, leaky, m.norm1, m.spatial, leaky, m.norm2, m.project)
        torch.testing.assert_close(m(x), m.norm(main(x) + m.shortcut(x)))
        assert m.norm.lambda_param.numel() == (1 if norm == "batch" else 6)


@pytest.mark.parametrize("input_norm", [False, True])
@pytest.mark.parametrize("norm", ["batch", "residual"])
def test_the_sharif_stem_has_its_norms_where_they_belong(norm, input_norm: bool) -> None:
    """Batch norm once, before the second RepConv; residual normalisation between each RepConv and its ReLU."""
    stem = randomised(stem_module(RepStem((3, 4), RepConv(((1, 1), (3, 3))), input_norm, norm, dropout=0.1)))
    x = rand(2, 1, 9, 8)
    y = stem.norm1(x) if input_norm else x
    if norm == "batch":
        expected = F.relu(stem.conv2(stem.norm2(F.relu(stem.conv1(y)))))
    else:
        expected = F.relu(stem.norm3(stem.conv2(F.relu(stem.norm2(stem.conv1(y))))))
    torch.testing.assert_close(stem(x), expected)


def test_dropout_is_where_and_as_strong_as_published() -> None:
    def dropouts(name: str) -> set[tuple[type, float]]:
        layers = build(NETWORKS[name]).modules()
        return {(type(layer), layer.p) for layer in layers if isinstance(layer, nn.Dropout | nn.Dropout2d)}

    assert dropouts("a") == {(nn.Dropout, 0.1), (nn.Dropout2d, 0.15), (nn.Dropout, 0.2)}
    assert dropouts("m1") == {(nn.Dropout2d, 0.1), (nn.Dropout, 0.2)}
    assert dropouts("cp-mobile-2023") == set()


@pytest.mark.parametrize("pool", [(2, 2), (2, 1), (1, 2), (3, 2)])
def test_cp_resnets_block_pools_its_maxima_first(pool: tuple[int, int]) -> None:
    block = randomised(block_module(ResidualBlock(6, (3, 1), groups=2, pool=pool), 4))
    x = rand(2, 4, 11, 7)
    up, left = pool
    mels, frames = 11 // up, 7 // left
    pooled = x[:, :, : mels * up, : frames * left].reshape(2, 4, mels, up, frames, left).amax((3, 5))
    expected = F.relu(block.conv2(F.relu(block.conv1(pooled))) + block.shortcut(pooled))
    torch.testing.assert_close(block(x), expected)


def test_a_hidden_layer_has_relu() -> None:
    head = randomised(build(NETWORKS["m2"]).head)
    x = rand(2, 16, 5, 4)
    hidden = F.relu(head.hidden(head.norm(head.pool(x))))
    assert hidden.shape == (2, 16)
    torch.testing.assert_close(head(x), head.classify(hidden))


@pytest.mark.parametrize(
    ("stages", "every_stage", "dropout_first"), [(2, True, True), (2, False, False), (1, True, False)]
)
def test_dropout_comes_before_the_norm_where_several_stages_are_pooled(
    stages: int, every_stage: bool, dropout_first: bool
) -> None:
    """And behind it otherwise; a lone stage, pooled as every stage or as the last map, is one and the same network."""
    stage = Stage((CPMobileBlock(4, 4),))
    head = Head("learnable", every_stage=every_stage)
    module = randomised(build(Architecture(InputShape(16, 8), ConvStem((4, 4)), (stage,) * stages, head)).head)
    module.dropout = Doubled()
    maps = [rand(2, 4, 3, 2)] * stages if every_stage else rand(2, 4, 3, 2)
    pooled = module.pool(maps)
    expected = module.classify(module.norm(2 * pooled) if dropout_first else 2 * module.norm(pooled))
    torch.testing.assert_close(module(maps), expected)


class Doubled(nn.Module):
    """In place of a dropout that happens to keep everything."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_cp_mobiles_shortcut_follows_from_the_shapes() -> None:
    x = rand(2, 4, 9, 8)

    def added(block: CPMobileBlock) -> Tensor:
        module = randomised(block_module(block, 4))
        module.activation = nn.Identity()
        before = module.project(module.spatial(module.expand(x)))
        return module(x) - before

    torch.testing.assert_close(added(CPMobileBlock(4, 6)), x)
    pooled = added(CPMobileBlock(4, 6, (2, 1)))
    torch.testing.assert_close(pooled, F.avg_pool2d(x, 3, (2, 1), 1, count_include_pad=True))
    assert added(CPMobileBlock(4, 6, (2, 1), pooled_shortcut=False)).abs().max() == 0
    assert added(CPMobileBlock(6, 6)).abs().max() == 0


def test_concatenation_and_skip_and_pooling_of_every_stage() -> None:
    network = randomised(build(NETWORKS["a"].at(32, 16)))
    x = rand(2, 1, 32, 16)
    stem = network.stem(x)
    first = network.stages[0](stem)
    second = network.stages[1](torch.cat([first, stem], 1))
    third = network.stages[2](torch.cat([second, stem], 1))
    pools = network.head.pool.stages
    pooled = torch.cat([pool(own) for pool, own in zip(pools, (first, second, third), strict=True)], 1)
    assert pooled.shape == (2, 448)
    torch.testing.assert_close(network(x), network.head.classify(network.head.norm(pooled)))
    stage = randomised(build(NETWORKS["m1"])).stages[0]
    y = rand(2, 16, 8, 4)
    torch.testing.assert_close(stage(y), stage.blocks(y) + y)


@pytest.mark.parametrize(
    "block",
    [
        DPCPBlock(4, 6, pooling="none", pool_conv=True, norm_after="depthwise", mixing="convex"),
        DPCPBlock(6, 6, (2, 1), scalars="downsampling", mixing="convex", mixing_start=0.3),
        CPMobileBlock(6, 6, (2, 1), pooled_shortcut=False),
        RepConvBlock(4, RepConv(((1, 1),), "batch", identity=True, dilation=3), (2, 1)),
    ],
)
def test_options_without_effect_make_no_other_network(block) -> None:
    """One identity, so one function of the same weights."""
    assert block.canonical(4) != block
    x = rand(2, 4, 9, 8)
    found, expected = (randomised(block_module(written, 4))(x) for written in (block, block.canonical(4)))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("name", list(NETWORKS))
def test_maps_stay_channels_last(name: str, form: Form) -> None:
    """Copies between formats cost more than most layers.

    Two things in torch give a contiguous map, and nothing after them may: instance norm, and a 1x1 convolution of one
    channel, the same in either format.
    """
    network = deployed(build(NETWORKS[name].at(48, 32)), form).to(memory_format=torch.channels_last)
    strayed: list[str] = []

    def watch(layer: str) -> None:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and output.shape[1] > 1:
                assert output.shape[2] * output.shape[3] > 1
                if not output.is_contiguous(memory_format=torch.channels_last):
                    strayed.append(layer)

        network.get_submodule(layer).register_forward_hook(hook)

    for layer, module in network.named_modules():
        if not (isinstance(module, nn.InstanceNorm2d) or "stem.conv1.branches.1x1" in layer):
            watch(layer)
    network(torch.randn(2, 1, 48, 32))
    assert strayed == []


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "cp-resnet"])
def test_a_map_of_one_position_is_enough(name: str) -> None:
    """Except for CP-ResNet, whose 5x5 kernel and poolings need more."""
    for network in (build(NETWORKS[name]), deployed(build(NETWORKS[name]), Form.FOLDED)):
        assert torch.isfinite(network(torch.randn(2, 1, 4, 3))).all()


@pytest.mark.parametrize("pooling", ["average", "max", "attention", "gem", "learnable"])
def test_every_parameter_that_is_no_spare_learns(pooling) -> None:
    known = NETWORKS["every other part"]
    network = build(Architecture(known.input, known.stem, known.stages, Head(pooling)))
    network(torch.randn(4, 1, 64, 33)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("m2", Form.FOLDED),
        ("a", Form.FOLDED),
        ("cp-resnet", Form.FOLDED),
        ("cp-mobile-2023", Form.FOLDED),
        ("every other part", Form.FOLDED),
        ("every other part", Form.TRAINING),
    ],
)
def test_networks_are_traced_for_any_batch(name: str, form: Form) -> None:
    network = deployed(randomised(build(NETWORKS[name].at(48, 32))).float(), form).requires_grad_(False)
    program = torch.export.export(
        network, (torch.zeros(2, 1, 48, 32),), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    x = torch.randn(3, 1, 48, 32)
    torch.testing.assert_close(program.module()(x), network(x))
