"""An architecture is valid or not built, survives JSON, and has one identity for one network."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from draws import random_architectures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.network import build
from search_spaces.parts import (
    Block,
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

WIDTHS = st.sampled_from([2, 4, 6])
STRIDES = st.tuples(st.sampled_from([1, 1, 1, 2]), st.sampled_from([1, 1, 1, 2]))
KERNELS = st.lists(st.sampled_from([(1, 1), (1, 3), (3, 1), (3, 3), (5, 1)]), min_size=1, max_size=3, unique=True)
CONVS = st.builds(
    RepConv,
    kernels=KERNELS.map(tuple),
    branch_norm=st.sampled_from(["none", "batch", "spare"]),
    identity=st.booleans(),
    dilation=st.sampled_from([1, 2]),
)
LAID: dict[str, st.SearchStrategy[Any]] = {"width": WIDTHS, "stride": STRIDES}
DPCP_BLOCKS = st.builds(
    DPCPBlock,
    expanded=WIDTHS,
    dilation=st.sampled_from([1, 2]),
    pooling=st.sampled_from(["average", "max", "none"]),
    norm_after=st.sampled_from(["sum", "depthwise"]),
    mixing=st.sampled_from(["add", "convex"]),
    mixing_start=st.sampled_from([1.0, 0.5]),
    pool_conv=st.booleans(),
    scalars=st.sampled_from(["block", "downsampling"]),
    output_relu=st.booleans(),
    **LAID,
)
BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(CPMobileBlock, expanded=WIDTHS, grn=st.booleans(), pooled_shortcut=st.booleans(), **LAID),
    DPCP_BLOCKS,
    st.builds(RepMobileBlock, expanded=WIDTHS, conv=CONVS, **LAID),
    st.builds(RepConvBlock, conv=CONVS, **LAID),
    st.builds(DSFlexiBlock, conv=CONVS, spare_norm=st.booleans(), **LAID),
    st.builds(DSFlexiABlock, conv=CONVS, **LAID),
    st.builds(DSFlexiMBlock, expanded=WIDTHS, conv=CONVS, norm=st.sampled_from(["batch", "residual"]), **LAID),
    st.builds(
        ResidualBlock,
        width=WIDTHS,
        kernels=st.sampled_from([(3, 1), (3, 3)]),
        groups=st.sampled_from([1, 2]),
        pool=st.sampled_from([None, (1, 1)]),
    ),
)
STEMS = st.one_of(
    st.builds(ConvStem, widths=st.tuples(WIDTHS, WIDTHS)),
    st.builds(
        RepStem,
        widths=st.tuples(WIDTHS, WIDTHS),
        conv=CONVS,
        input_norm=st.booleans(),
        norm=st.sampled_from(["batch", "residual", "residual-scalar"]),
        dropout=st.sampled_from([0.0, 0.25]),
    ),
    st.builds(ResNetStem, width=WIDTHS),
)
HEADS = st.one_of(
    st.builds(
        Head,
        pooling=st.sampled_from(["average", "max", "attention", "gem"]),
        norm=st.sampled_from(["residual", "batch"]),
    ),
    st.builds(
        Head,
        pooling=st.just("learnable"),
        norm=st.sampled_from(["residual", "batch"]),
        hidden=st.sampled_from([None, 3]),
        every_stage=st.booleans(),
    ),
)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Small networks with every kind of part; skips and concatenations where they fit."""
    stem = draw(STEMS)
    c_in, map_kept, stages = stem.width, True, []
    for blocks in draw(st.lists(st.lists(BLOCKS, min_size=1, max_size=3), min_size=1, max_size=3)):
        skip = draw(st.booleans()) and all(block.width == c_in and block.stride == (1, 1) for block in blocks)
        map_kept = map_kept and all(block.stride == (1, 1) for block in blocks)
        concat = map_kept and draw(st.booleans())
        norm = draw(st.sampled_from(["none", "none", "residual", "residual-scalar", "frequency"]))
        stages.append(Stage(tuple(blocks), skip, norm, concat))
        c_in = blocks[-1].width + (stem.width if concat else 0)
    precision = draw(st.sampled_from(["fp32", "fp16", "int8"]))
    return Architecture(InputShape(16, 9), stem, tuple(stages), draw(HEADS), 3, precision)


def split(architecture: Architecture, cut: int) -> Architecture:
    """The same blocks with one more end of a stage, where a stage without skip has several blocks."""
    places = [
        (s, b)
        for s, stage in enumerate(architecture.stages)
        for b in range(1, len(stage.blocks))
        if not stage.skip and not architecture.head.every_stage
    ]
    if not places:
        return architecture
    s, b = places[cut % len(places)]
    stage = architecture.stages[s]
    parts = (Stage(stage.blocks[:b]), replace(stage, blocks=stage.blocks[b:]))
    return replace(architecture, stages=(*architecture.stages[:s], *parts, *architecture.stages[s + 1 :]))


def scrambled(architecture: Architecture) -> Architecture:
    """With every option that has no effect where it stands set to something else."""
    c_in, stages = architecture.stem.width, []
    for stage in architecture.stages:
        blocks = []
        for block in stage.blocks:
            blocks.append(_scrambled_block(block, c_in))
            c_in = block.width
        c_in += architecture.stem.width if stage.concat else 0
        stages.append(replace(stage, blocks=tuple(blocks)))
    stem, head = architecture.stem, architecture.head
    if isinstance(stem, RepStem):  # of stride 2: no identity ever fits
        stem = replace(stem, conv=replace(_scrambled_conv(stem.conv, fits=False), identity=not stem.conv.identity))
    if head.pooling != "learnable":
        head = replace(head, norm="batch" if head.norm == "residual" else "residual")
    return replace(architecture, stem=stem, stages=tuple(stages), head=head)


def _scrambled_block(block: Block, c_in: int) -> Block:
    keeps_width, strided = block.width == c_in, block.stride != (1, 1)
    if isinstance(block, CPMobileBlock) and not (keeps_width and strided):
        return replace(block, pooled_shortcut=not block.pooled_shortcut)
    if isinstance(block, DPCPBlock) and block.pooling == "none":
        block = replace(block, norm_after="depthwise", pool_conv=True, mixing="convex")
        shortcut_weighed = block.scalars == "downsampling" and keeps_width and strided
        return block if shortcut_weighed else replace(block, mixing_start=0.125)
    if isinstance(block, DPCPBlock) and block.scalars == "downsampling" and not (keeps_width and strided):
        return replace(block, mixing="convex", mixing_start=0.125)
    if isinstance(block, RepConvBlock):
        return replace(block, conv=_scrambled_conv(block.conv, fits=keeps_width and not strided))
    if isinstance(block, RepMobileBlock | DSFlexiBlock | DSFlexiABlock | DSFlexiMBlock):
        return replace(block, conv=_scrambled_conv(block.conv, fits=not strided))
    if isinstance(block, ResidualBlock):
        return replace(block, pool=(1, 1) if block.pool is None else None)
    return block


def _scrambled_conv(conv: RepConv, *, fits: bool) -> RepConv:
    if not fits:
        conv = replace(conv, identity=not conv.identity)
    return replace(conv, dilation=3) if conv.kernels == ((1, 1),) else conv


def assert_one_network(one: Architecture, other: Architecture) -> None:
    """Same values stored in the same order, same logits for the same seed.

    In float64 and to rounding: torch may take another kernel for an option without effect (a dilated 1x1).
    """
    networks = [build(architecture, seed=1).double().eval() for architecture in (one, other)]
    shapes, others = ([tuple(value.shape) for value in network.state_dict().values()] for network in networks)
    assert shapes == others
    features = torch.randn(2, 1, 16, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        logits, expected = (network(features) for network in networks)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)


SLOW = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@SLOW(max_examples=120)
@given(architecture=architectures(), cut=st.integers(0, 20))
def test_two_encodings_of_one_network_are_one_architecture(architecture: Architecture, cut: int) -> None:
    other = scrambled(split(architecture, cut))
    assert other.identity == architecture.identity
    assert other.canonical() == architecture.canonical() == architecture.canonical().canonical()


@SLOW(max_examples=40)
@given(architecture=architectures(), cut=st.integers(0, 20))
def test_equal_identity_means_equal_networks(architecture: Architecture, cut: int) -> None:
    """By the built networks: neither what identity leaves out nor what it joins changes what is computed."""
    assert_one_network(architecture, scrambled(split(architecture, cut)))
    assert_one_network(architecture, architecture.canonical())


@SLOW(max_examples=120)
@given(architecture=architectures())
def test_json_keeps_everything(architecture: Architecture) -> None:
    assert Architecture.from_json(architecture.to_json()) == architecture


def conv_block(conv: RepConv, *, stride: tuple[int, int] = (1, 1)) -> RepConvBlock:
    return RepConvBlock(8, conv, stride)


PLAIN, SHRINKING = DPCPBlock(8, 8), DPCPBlock(8, 8, stride=(2, 2))
WEIGHED = replace(SHRINKING, pooling="none", scalars="downsampling")
LEARNABLE = Head("learnable")
SET = RepConv(((1, 1), (3, 3)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CPMobileBlock(8, 8), CPMobileBlock(8, 16)),
        (CPMobileBlock(8, 8), CPMobileBlock(16, 8)),
        (CPMobileBlock(8, 8), CPMobileBlock(8, 8, grn=True)),
        (CPMobileBlock(8, 8, (1, 2)), CPMobileBlock(8, 8, (2, 1))),
        (CPMobileBlock(8, 8, (1, 2)), CPMobileBlock(8, 8, (1, 2), pooled_shortcut=False)),
        *((PLAIN, replace(PLAIN, **change)) for change in ({"dilation": 2}, {"pooling": "max"}, {"pooling": "none"})),
        *((PLAIN, replace(PLAIN, **change)) for change in ({"norm_after": "depthwise"}, {"mixing": "convex"})),
        *((PLAIN, replace(PLAIN, **change)) for change in ({"mixing_start": 0.5}, {"pool_conv": True})),
        *((PLAIN, replace(PLAIN, **change)) for change in ({"scalars": "downsampling"}, {"output_relu": False})),
        (SHRINKING, replace(SHRINKING, scalars="downsampling")),
        (replace(SHRINKING, pooling="none"), replace(SHRINKING, pooling="none", scalars="downsampling")),
        (WEIGHED, replace(WEIGHED, mixing_start=0.5)),
        (conv_block(SET), conv_block(replace(SET, kernels=((3, 3),)))),
        (conv_block(SET), conv_block(replace(SET, branch_norm="batch"))),
        (conv_block(SET), conv_block(replace(SET, branch_norm="spare"))),
        (conv_block(SET), conv_block(replace(SET, identity=True))),
        (conv_block(SET), conv_block(replace(SET, dilation=2))),
        (conv_block(RepConv(((1, 1),))), conv_block(RepConv(((1, 1),), identity=True))),
        (DSFlexiBlock(8, SET), DSFlexiBlock(8, SET, spare_norm=True)),
        (DSFlexiBlock(8, SET, (2, 1)), DSFlexiABlock(8, SET, (2, 1))),
        (DSFlexiMBlock(8, 8, SET), DSFlexiMBlock(8, 8, SET, norm="residual")),
        (ResidualBlock(8), ResidualBlock(8, pool=(2, 2))),
        (ResidualBlock(8, pool=(2, 1)), ResidualBlock(8, pool=(2, 2))),
        (ResidualBlock(8, pool=(2, 1)), ResidualBlock(8, pool=(1, 2))),
        (ResidualBlock(8), ResidualBlock(8, groups=2)),
        (ConvStem((4, 8)), ConvStem((8, 8))),
        (RepStem((4, 8), SET), RepStem((4, 8), SET, input_norm=False)),
        (RepStem((4, 8), SET), RepStem((4, 8), SET, norm="residual")),
        (RepStem((4, 8), SET), RepStem((4, 8), SET, dropout=0.1)),
        (ResNetStem(8), ConvStem((4, 8))),
        (LEARNABLE, Head()),
        (LEARNABLE, replace(LEARNABLE, norm="batch")),
        (LEARNABLE, replace(LEARNABLE, hidden=8)),
        (LEARNABLE, replace(LEARNABLE, every_stage=True)),
    ],
    ids=str,
)
def test_an_option_with_effect_enters_the_identity(one: Any, other: Any) -> None:
    assert around(one).identity != around(other).identity


def around(part: Any) -> Architecture:
    """A network with this part."""
    stem = part if isinstance(part, ConvStem | RepStem | ResNetStem) else ConvStem((4, 8))
    head = part if isinstance(part, Head) else Head()
    block = part if part is not stem and part is not head else PLAIN
    return Architecture(InputShape(16, 9), stem, (Stage((block,), norm="residual"), Stage((PLAIN,))), head)


def _cut(stage: Stage) -> tuple[Stage, Stage]:
    """The same blocks, the skip only around those behind the first."""
    return Stage(stage.blocks[:1]), replace(stage, blocks=stage.blocks[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda a: replace(a, precision="int8"),
        lambda a: replace(a, classes=9),
        lambda a: a.at(256, 63),
        lambda a: replace(a, stages=(replace(a.stages[0], skip=False), *a.stages[1:])),
        lambda a: replace(a, stages=(replace(a.stages[0], norm="frequency"), *a.stages[1:])),
        lambda a: replace(a, stages=(replace(a.stages[0], norm="none"), *a.stages[1:])),
        lambda a: replace(a, stages=(*a.stages[:2], replace(a.stages[2], concat=True))),
        lambda a: replace(a, stages=(*a.stages[:2], Stage((*a.stages[2].blocks, DSFlexiBlock(64, SET))))),
        lambda a: replace(a, stages=(*_cut(a.stages[0]), *a.stages[1:])),
        lambda a: replace(
            a, stages=(Stage(a.stages[0].blocks[:1], True), Stage(a.stages[0].blocks[1:], True, "residual"))
        ),
    ],
)
def test_whatever_surrounds_the_blocks_enters_the_identity(change: Callable[[Architecture], Architecture]) -> None:
    known = design("sharif")
    assert change(known).identity != known.identity


def test_pooling_every_stage_of_one_stage_is_pooling_the_last_map() -> None:
    stages = (Stage((DSFlexiBlock(4, SET),), concat=True),)
    every = Architecture(InputShape(16, 9), ConvStem((4, 8)), stages, Head("learnable", every_stage=True))
    last = replace(every, stages=(replace(stages[0], concat=False),), head=Head("learnable"))
    assert every.identity == last.identity
    assert_one_network(every, last)


@pytest.mark.parametrize("name", [*design_names(), *teacher_names()])
def test_a_design_survives_json(name: str) -> None:
    known = design(name)
    assert Architecture.from_json(known.to_json()) == known


@pytest.mark.parametrize(("written", "pool"), [(True, (2, 2)), (False, None), ([2, 1], (2, 1)), (None, None)])
def test_a_pool_is_read_as_files_of_every_age_have_it(written: Any, pool: tuple[int, int] | None) -> None:
    data = around(ResidualBlock(8)).to_json()
    data["stages"][0]["blocks"][0]["pool"] = written
    read = Architecture.from_json(data)
    assert read == around(ResidualBlock(8, pool=pool))
    assert read.to_json()["stages"][0]["blocks"][0]["pool"] == (None if pool is None else list(pool))


@pytest.mark.parametrize(("pool", "least"), [(None, (3, 3)), ((2, 1), (5, 3)), ((1, 2), (3, 5)), ((4, 2), (9, 5))])
def test_a_pool_needs_as_many_positions_as_it_joins(pool: tuple[int, int] | None, least: tuple[int, int]) -> None:
    stages = (Stage((ResidualBlock(4, pool=pool), ResidualBlock(4, pool=(1, 1)))),)
    network = build(Architecture(InputShape(*least), ResNetStem(4), stages))
    assert torch.isfinite(network(torch.zeros(2, 1, *least))).all()
    for axis, side in enumerate(("mels", "frames")):
        fewer = [least[0], least[1]]
        fewer[axis] -= 1
        with pytest.raises(ValueError, match=f"input.{side}={fewer[axis]}: expected positions enough"):
            Architecture(InputShape(*fewer), ResNetStem(4), stages)


def test_identities_are_as_many_as_canonical_forms() -> None:
    drawn = [a for space in ("joint", "dpcp", "repconv") for a in random_architectures(60, seed=1, space=space)]
    assert len({a.identity for a in drawn}) == len({a.canonical() for a in drawn}) > 170


def test_order_of_kernels_does_not_enter_the_identity() -> None:
    assert RepConv(((3, 3), (1, 1))) == RepConv(((1, 1), (3, 3)))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: Architecture(InputShape(64, 33), ConvStem((4, 8)), (Stage((CPMobileBlock(16, 16),), skip=True),)),
            r"stages\[0\].skip=True: expected blocks that keep width 8 and stride 1x1",
        ),
        (
            lambda: replace(design("sharif"), stages=(Stage((CPMobileBlock(8, 8, (1, 2)),), concat=True),)),
            r"stages\[0\].concat=True: expected stride 1x1 in all blocks since the stem",
        ),
        (
            lambda: replace(design("sharif"), stages=(Stage((DSFlexiBlock(63, SET),)),)),
            "head.pooling='learnable': expected an even number of channels before it, not 63",
        ),
        (
            lambda: replace(design("sharif-dsflexi-a"), stages=(Stage((DSFlexiABlock(63, SET),)),)),
            r"stages\[0\].blocks\[0\].width=63: expected an even width for learnable pooling",
        ),
        (
            lambda: replace(design("sharif"), stages=(Stage((ResidualBlock(63, groups=2),)),)),
            r"stages\[0\].blocks\[0\].groups=2: expected a divisor of the widths 32 and 63",
        ),
        (
            lambda: replace(design("sharif"), stages=(Stage((DSFlexiBlock(64, SET),) * 200),) * 2),
            "stages: expected at most 256 blocks in all, not 400",
        ),
        (lambda: design("cp-resnet").at(16, 64), "input.mels=16: expected positions enough"),
        (lambda: design("sharif-cp-resnet").at(2, 64), "input.mels=2: expected positions enough"),
        (lambda: design("sharif-cp-resnet").at(256, 8), "input.frames=8: expected positions enough"),
    ],
)
def test_what_does_not_fit_together_is_refused_when_built(make: Callable[[], Architecture], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()
