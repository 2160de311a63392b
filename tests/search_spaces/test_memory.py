"""The least peak equals the best of all execution orders, tried one by one; and a network's that of its whole graph."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, permutations

import numpy as np
import pytest
from draws import any_architecture

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import form_cost
from search_spaces.designs import design
from search_spaces.forms import Form
from search_spaces.formulas.heads import classifier, learnable_pooling
from search_spaces.formulas.ops import Op, Shape
from search_spaces.formulas.registry import PoolAndClassify, StageEnd, part_ops
from search_spaces.memory import least_peak
from search_spaces.parts import (
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    RepConv,
    RepConvBlock,
    ResidualBlock,
    ResNetStem,
)


def peak_by_brute_force(ops: list[Op], input_size: int, keep_input: bool) -> int:
    """Play every order that respects the inputs; hold each map until its last reader has run."""
    size = {"input": input_size} | {op.name: op.size for op in ops}
    best = None
    for order in permutations(ops):
        alive, peak, possible = {"input"}, input_size, True
        for position, op in enumerate(order):
            if not alive.issuperset(op.inputs):
                possible = False
                break
            later = {name for other in order[position + 1 :] for name in other.inputs} | {ops[-1].name}
            later |= {"input"} if keep_input else set()
            replaced = [n for n in op.inputs if op.in_place and n not in later and size[n] == op.size]
            peak = max(peak, sum(size[n] for n in alive) + (0 if replaced else op.size))
            alive = {name for name in alive | {op.name} if name in later}
        if possible:
            best = peak if best is None else min(best, peak)
    assert best is not None
    return best


@pytest.mark.parametrize("keep_input", [False, True])
def test_least_peak_equals_brute_force_on_random_graphs(keep_input: bool) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        names = ["input"]
        drawn = []
        for number in range(rng.integers(1, 6)):
            inputs = tuple(rng.choice(names, size=min(len(names), rng.integers(1, 3)), replace=False).tolist())
            drawn.append(Op(f"op{number}", inputs, (int(rng.integers(1, 4)), 2, 2), in_place=bool(rng.integers(2))))
            names.append(f"op{number}")
        # Every map has a reader, as in a network: the last operation reads what nobody else does.
        unread = tuple(n for n in names if not any(n in op.inputs for op in drawn))
        drawn.append(Op("output", unread, (1, 1, 1)))
        assert least_peak(drawn, 8, keep_input=keep_input) == peak_by_brute_force(drawn, 8, keep_input)


def test_least_peak_equals_brute_force_on_blocks_of_every_kind() -> None:
    tried: dict[type, set[Block]] = {}
    for seed in range(120):
        for block in any_architecture(np.random.default_rng(seed)).blocks:
            described = part_ops(block, (16, 8, 8), Form.FOLDED)
            blocks = tried.setdefault(type(block), set())
            if len(described) <= 7 and len(blocks) < 8:
                blocks.add(block)
                assert least_peak(described, 16 * 64) == peak_by_brute_force(list(described), 16 * 64, False), block
    sizes = {kind.__name__: len(blocks) for kind, blocks in tried.items()}
    assert len(sizes) == 8
    assert min(sizes[kind] for kind in sizes if not kind.startswith("DSFlexi")) == 8


def test_a_shortcut_that_is_kept_costs_memory() -> None:
    described = [Op("wide", ("input",), (4, 2, 2)), Op("narrow", ("wide",), (1, 2, 2))]
    assert least_peak(described, 4) == 4 + 16
    assert least_peak(described, 4, keep_input=True) == 4 + 16 + 4


ONE_KERNEL = RepConv(((3, 3),))
GRAPHS = {
    "plain": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (Stage((CPMobileBlock(8, 16), DPCPBlock(8, 12, (2, 1), pooling="max"), ResidualBlock(12, (3, 1)))),),
    ),
    "pools": Architecture(
        InputShape(32, 16),
        ResNetStem(4),
        (Stage((ResidualBlock(4, pool=(2, 1)), ResidualBlock(8, pool=(1, 1)), ResidualBlock(8, pool=(2, 2)))),),
    ),
    "skip": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (Stage((DSFlexiBlock(8, ONE_KERNEL),) * 3, skip=True), Stage((DSFlexiBlock(4, ONE_KERNEL),))),
    ),
    "concat of what one block read": Architecture(
        InputShape(16, 8), ConvStem((4, 8)), (Stage((CPMobileBlock(4, 64),), concat=True),)
    ),
    "wide skip and norms": Architecture(
        InputShape(16, 8),
        ConvStem((4, 16)),
        (
            Stage((DSFlexiBlock(16, ONE_KERNEL),) * 2, skip=True, norm="residual"),
            Stage((DSFlexiBlock(4, ONE_KERNEL),), norm="frequency"),
        ),
    ),
    "concat": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (
            Stage((CPMobileBlock(8, 16), CPMobileBlock(4, 16)), concat=True),
            Stage((CPMobileBlock(8, 64), CPMobileBlock(8, 64))),
            Stage((CPMobileBlock(8, 64),), concat=True),
        ),
    ),
    "concat after skip": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (Stage((CPMobileBlock(8, 64),) * 2, skip=True, norm="residual", concat=True), Stage((CPMobileBlock(4, 8),))),
    ),
    "every stage": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (Stage((CPMobileBlock(8, 16),), concat=True), Stage((CPMobileBlock(4, 8),)), Stage((CPMobileBlock(4, 80),))),
        Head("learnable", norm="batch", every_stage=True),
    ),
    "wide pooling": Architecture(
        InputShape(16, 8),
        ConvStem((4, 8)),
        (Stage((RepConvBlock(64, ONE_KERNEL),), concat=True), Stage((CPMobileBlock(4, 8),), concat=True)),
        Head("learnable", norm="batch", every_stage=True),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_peak_of_a_network_is_the_least_over_all_orders_of_all_its_operations(name: str) -> None:
    """Added up part by part it equals the search over the whole graph, which knows no parts."""
    architecture = replace(GRAPHS[name], precision="int8")
    size = architecture.input.mels * architecture.input.frames
    assert form_cost(architecture, Form.FOLDED).peak_bytes == least_peak(whole_graph(architecture), size)


def whole_graph(architecture: Architecture) -> list[Op]:
    """All operations of the folded form; what stands around blocks is wired as `Network.forward` does it.

    Where every stage is pooled, what follows a stage reads its pooled values too: they are taken at once.
    """
    graph: list[Op] = []

    def run(path: str, described: Sequence[Op], *sources: str) -> tuple[str, Shape]:
        for op in described:
            read = ((sources if name == "input" else (f"{path}.{name}",)) for name in op.inputs)
            graph.append(replace(op, name=f"{path}.{op.name}", inputs=tuple(chain(*read))))
        return graph[-1].name, graph[-1].shape

    head, classes, form = architecture.head, architecture.classes, Form.FOLDED
    shape: Shape = (1, architecture.input.mels, architecture.input.frames)
    stem, stem_shape = source, shape = run("stem", part_ops(architecture.stem, shape, form), "input")
    pooled: list[str] = []
    features = 0
    for s, stage in enumerate(architecture.stages):
        entered = source
        for b, block in enumerate(stage.blocks):
            source, shape = run(f"{s}.{b}", part_ops(block, shape, form), source, *pooled)
        if stage.skip:
            source, shape = run(f"{s}", [Op("skip", ("input",), shape, in_place=True)], source, entered)
        if stage.norm != "none":
            source, shape = run(f"{s}.norm", part_ops(StageEnd(stage.norm), shape, form), source)
        if head.every_stage:
            pooled.append(run(f"{s}.pool", learnable_pooling(head, shape, form), source)[0])
            features += 2 * shape[0]
        if stage.concat:
            shape = (shape[0] + stem_shape[0], *shape[1:])
            source, shape = run(f"{s}", [Op("concat", ("input",), shape)], source, stem, *pooled)
    if head.every_stage:
        run("head", classifier(head, "input", features, classes), *pooled)
    else:
        run("head", part_ops(PoolAndClassify(head, classes), shape, form), source)
    return graph


def test_peak_memory_of_the_baseline_equals_the_published_formula() -> None:
    """174,080 bytes in int8: inputs and outputs of each operation, plus what a shortcut keeps."""
    baseline = design("cp-mobile-2025")
    assert form_cost(replace(baseline, precision="int8"), Form.FOLDED).peak_bytes == 174_080
    assert form_cost(baseline, Form.FOLDED).peak_bytes == 2 * 174_080
