"""The least peak equals the best of all execution orders, tried one by one."""

from itertools import permutations

import numpy as np
import pytest
from draws import random_architectures

from search_spaces.forms import Form
from search_spaces.memory import least_peak
from search_spaces.ops import Op
from search_spaces.parts import part_ops


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
        ops = []
        for number in range(rng.integers(1, 6)):
            inputs = tuple(rng.choice(names, size=min(len(names), rng.integers(1, 3)), replace=False).tolist())
            ops.append(Op(f"op{number}", inputs, (int(rng.integers(1, 4)), 2, 2), in_place=bool(rng.integers(2))))
            names.append(f"op{number}")
        # Every map has a reader, as in a network: the last operation reads what nobody else does.
        unread = tuple(n for n in names if not any(n in op.inputs for op in ops))
        ops.append(Op("output", unread, (1, 1, 1)))
        assert least_peak(ops, 8, keep_input=keep_input) == max(peak_by_brute_force(ops, 8, keep_input), 0)


def test_least_peak_equals_brute_force_on_blocks() -> None:
    seen = set()
    for architecture in random_architectures(30, seed=2):
        for block in architecture.blocks:
            ops = part_ops(block, (16, 8, 8), Form.FOLDED, 10)
            if len(ops) <= 7 and block not in seen:
                seen.add(block)
                assert least_peak(ops, 16 * 64) == peak_by_brute_force(list(ops), 16 * 64, False)
    assert len(seen) > 20


def test_a_shortcut_that_is_kept_costs_memory() -> None:
    ops = [Op("wide", ("input",), (4, 2, 2)), Op("narrow", ("wide",), (1, 2, 2))]
    assert least_peak(ops, 4) == 4 + 16
    assert least_peak(ops, 4, keep_input=True) == 4 + 16 + 4
