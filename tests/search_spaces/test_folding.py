"""A folded network computes what the trained one computes, exactly."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from draws import random_architectures
from torch import Tensor, nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.pooling import LearnablePooling
from search_spaces.blocks.rep_conv import RepConv2d, RepConvNorm
from search_spaces.designs import design, design_names
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import block_module, build, stem_module
from search_spaces.parts import (
    Block,
    BranchNorm,
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
    Stem,
    Stride,
)

MERGING = [Form.UNFOLDED, Form.FOLDED]
BRANCH_NORMS: tuple[BranchNorm, ...] = ("none", "batch", "spare")
KERNEL_SETS = (((1, 1),), ((3, 3),), ((1, 3), (3, 1)), ((1, 1), (1, 5), (3, 3)))
C_IN = 4


def trained(module: nn.Module) -> nn.Module:
    """The module itself in float64 and evaluation mode, with random parameters and running statistics."""
    generator = torch.Generator().manual_seed(5)
    for parameter in module.double().parameters():
        parameter.data.normal_(generator=generator)
    for name, parameter in module.named_parameters():
        if name.endswith("pool.p"):
            parameter.data.fill_(2.3)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.3, 3, generator=generator)
    return module.eval()


def difference(module: nn.Module, form: Form, x: Tensor) -> float:
    """The largest difference that folding makes, relative to the largest output."""
    with torch.inference_mode():
        before, after = module(x), deployed(module, form)(x)
    assert before.shape == after.shape
    return float((before - after).abs().max() / before.abs().max().clamp_min(1))


def rep_convs() -> Iterator[RepConv]:
    for kernels, norm, identity, dilation in product(KERNEL_SETS, BRANCH_NORMS, (False, True), (1, 2)):
        yield RepConv(kernels, norm, identity, dilation)


def plain_blocks() -> Iterator[Block]:
    for width, stride in product((C_IN, 6), ((1, 1), (2, 1), (2, 2))):
        for grn, pooled in product((False, True), repeat=2):
            yield CPMobileBlock(width, 8, stride, grn=grn, pooled_shortcut=pooled)
    for width, kernels, groups, pool in product((C_IN, 6), ((3, 1), (5, 3)), (1, 2), (None, (2, 1), (2, 2))):
        yield ResidualBlock(width, kernels, groups, pool)


def pooling_blocks() -> Iterator[DPCPBlock]:
    shapes: tuple[tuple[int, Stride], ...] = ((C_IN, (1, 1)), (C_IN, (2, 1)), (6, (1, 2)))
    for (width, stride), dilation, pooling, relu in product(shapes, (1, 2), ("average", "max", "none"), (False, True)):
        for norm_after, mixing, pool_conv, scalars in product(
            ("sum", "depthwise"), ("add", "convex"), (False, True), ("block", "downsampling")
        ):
            yield DPCPBlock(
                width,
                6,
                stride,
                dilation,
                pooling,
                norm_after,
                mixing,
                pool_conv=pool_conv,
                scalars=scalars,
                output_relu=relu,
            )


def rep_blocks() -> Iterator[Block]:
    shapes: tuple[tuple[int, Stride], ...] = ((C_IN, (1, 1)), (6, (2, 1)))
    for conv, (width, stride) in product(rep_convs(), shapes):
        yield RepMobileBlock(width, 6, conv, stride)
        yield RepConvBlock(width, conv, stride)
        yield DSFlexiBlock(width, conv, stride, spare_norm=True)
        yield DSFlexiABlock(width, conv, stride)
        yield DSFlexiMBlock(width, 6, conv, stride, norm="residual" if conv.identity else "batch")


def stems() -> Iterator[Stem]:
    yield ConvStem((3, 4))
    yield ResNetStem(4)
    for norm, branch_norm, input_norm in product(("batch", "residual", "residual-scalar"), BRANCH_NORMS, (False, True)):
        yield RepStem((3, 4), RepConv(((1, 3), (3, 1)), branch_norm), input_norm, norm, dropout=0.5)


def heads() -> Iterator[Head]:
    for pooling in ("average", "max", "attention", "gem"):
        yield Head(pooling)
    for norm, hidden, every_stage in product(("residual", "batch"), (None, 5), (False, True)):
        yield Head("learnable", norm, hidden, every_stage)


@pytest.mark.parametrize("form", MERGING)
@pytest.mark.parametrize("blocks", [plain_blocks, pooling_blocks, rep_blocks])
def test_every_block_folds_exactly(blocks, form: Form) -> None:
    x = torch.randn(2, C_IN, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for block in blocks():
        module = trained(nn.Sequential(block_module(block, C_IN)))
        assert difference(module, form, x) < 1e-12, block


@pytest.mark.parametrize("form", MERGING)
def test_every_stem_folds_exactly(form: Form) -> None:
    x = torch.randn(2, 1, 17, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for stem in stems():
        assert difference(trained(nn.Sequential(stem_module(stem))), form, x) < 1e-12, stem


@pytest.mark.parametrize("form", MERGING)
def test_every_head_and_stage_folds_exactly(form: Form) -> None:
    x = torch.randn(2, 1, 17, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    block = RepConvBlock(4, RepConv(((1, 3), (3, 1)), "batch", identity=True))
    for norm, head in zip(("none", "residual", "residual-scalar", "frequency") * 3, heads(), strict=True):
        stages = (
            Stage((block, block), skip=True, norm=norm, concat=True),
            Stage((block,), norm=norm, concat=norm == "none"),
        )
        architecture = Architecture(InputShape(17, 13), ConvStem((3, 4)), stages, head, classes=3)
        assert difference(trained(build(architecture)), form, x) < 1e-12, architecture


@pytest.mark.parametrize("form", MERGING)
@pytest.mark.parametrize("name", design_names())
def test_designs_fold_exactly(name: str, form: Form) -> None:
    architecture = design(name).at(64, 33)
    clips = torch.randn(2, 1, 64, 33, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert difference(trained(build(architecture)), form, clips) < 1e-11


@pytest.mark.parametrize("form", MERGING)
def test_random_architectures_fold_exactly(form: Form) -> None:
    clips = torch.randn(2, 1, 32, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for architecture in random_architectures(15, seed=4, mels=32, frames=17):
        assert difference(trained(build(architecture)), form, clips) < 1e-11


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_a_kernel_set_becomes_one_convolution(stride: Stride, groups: int) -> None:
    """With bias exactly where the branches had norms, of the size of their bounding box."""
    x = torch.randn(2, C_IN, 11, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for spec in rep_convs():
        layer = trained(RepConv2d(spec, C_IN, C_IN, stride=stride, groups=groups))
        merged = layer.folded(Form.FOLDED)
        assert isinstance(merged, nn.Conv2d)
        assert (merged.bias is not None) == (spec.branch_norm == "batch")
        assert merged.kernel_size == spec.merged
        assert merged(x).shape == (2, C_IN, -(-11 // stride[0]), -(-8 // stride[1]))
        torch.testing.assert_close(merged(x), layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("kernels", [((3, 3),), ((1, 1), (3, 3))])
@pytest.mark.parametrize("norm", BRANCH_NORMS)
def test_norms_that_remain_without_folding(norm: BranchNorm, kernels, identity: bool) -> None:
    """Merging branches needs their norms folded; a single one keeps its norm; a spare one never survives."""
    spec = RepConv(kernels, norm, identity)
    merged = RepConv2d(spec, C_IN, C_IN).folded(Form.UNFOLDED)
    if norm == "batch" and len(kernels) == 1 and not identity:
        assert isinstance(merged, ConvNorm)
    else:
        assert isinstance(merged, nn.Conv2d)
        assert (merged.bias is not None) == (norm == "batch")
    kept = RepConvNorm(spec, C_IN, C_IN).folded(Form.UNFOLDED)
    assert isinstance(kept.norm, nn.BatchNorm2d)


def test_folding_leaves_no_batch_norm_behind_a_convolution() -> None:
    several = RepConv(((1, 1), (3, 3)))
    for block in (
        CPMobileBlock(C_IN, 6),
        ResidualBlock(6),
        DPCPBlock(6, 6),
        DPCPBlock(C_IN, 6, (2, 1), dilation=2),
        DPCPBlock(C_IN, 6, pooling="none"),
        RepMobileBlock(C_IN, 6, several),
        RepMobileBlock(C_IN, 6, RepConv(((3, 3),), "batch")),
        RepConvBlock(C_IN, several),
        RepConvBlock(C_IN, RepConv(((3, 3),), "batch", identity=True)),
    ):
        layers = deployed(nn.Sequential(block_module(block, C_IN)), Form.FOLDED).modules()
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers), block
    pooling = deployed(nn.Sequential(LearnablePooling(C_IN, "batch")), Form.FOLDED)[0]
    assert isinstance(pooling.norm1, nn.BatchNorm2d)
    assert pooling.conv.bias is not None
    assert isinstance(pooling.norm2, nn.Identity)


@pytest.mark.parametrize("form", MERGING)
def test_a_batch_norm_before_a_padded_convolution_stays(form: Form) -> None:
    """Its shift as a bias of the convolution would be right inside the map and wrong at its border."""
    layers = trained(nn.Sequential(nn.BatchNorm2d(C_IN), ConvNorm(C_IN, C_IN, 3)))
    before, conv = layers[0], layers[1].conv
    x = torch.randn(1, C_IN, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    scale = before.weight / torch.sqrt(before.running_var + before.eps)
    shift = before.bias - scale * before.running_mean
    folded = nn.functional.conv2d(x, conv.weight * scale[:, None, None], (conv.weight.sum((2, 3)) @ shift), padding=1)
    right = conv(before(x))
    torch.testing.assert_close(folded[..., 1:-1, 1:-1], right[..., 1:-1, 1:-1], rtol=0, atol=1e-12)
    assert (folded - right).abs().max() > 0.1

    for part, width in (
        (DSFlexiBlock(C_IN, RepConv(((1, 1), (3, 3)))), C_IN),
        (RepStem((4, 4), RepConv(((3, 3),))), 1),
    ):
        module = stem_module(part) if isinstance(part, RepStem) else block_module(part, width)
        names = {name for name, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
        deployed_names = {
            name for name, layer in deployed(module, form).named_modules() if isinstance(layer, nn.BatchNorm2d)
        }
        assert names == deployed_names == {"norm1", "norm2"}


def test_folding_leaves_the_trained_network_as_it_was() -> None:
    network = build(design("dynacp").at(32, 17)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deployed(network, Form.FOLDED)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_initial_weights_follow_from_the_seed_and_leave_global_chance_alone() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (build(design("sharif"), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    same, different = first.state_dict(), other.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in again.state_dict().items())
    assert any(not torch.equal(value, different[name]) for name, value in same.items())
