"""Peak activation memory: the least that any execution order of a part needs."""

from collections.abc import Sequence
from functools import cache

from search_spaces.formulas.ops import Op


def least_peak(ops: Sequence[Op], input_size: int, *, keep_input: bool = False) -> int:
    """The fewest activation elements that must exist at once while a part runs, over all its execution orders.

    An operation needs its inputs and its output at the same time, except that an elementwise one may write over an
    input of its own size that nothing else needs afterwards. A map is freed after its last reader. Weights and
    scratch space are not counted.

    Args:
        ops: The part's operations; the last one gives its output.
        input_size: Elements of the part's input, named "input".
        keep_input: Whether the input must survive (a skip around the part reads it later).

    Exponential in the number of parallel branches only; a part has at most four.
    """
    size = {"input": input_size, **{op.name: op.size for op in ops}}
    readers = {name: frozenset(i for i, op in enumerate(ops) if name in op.inputs) for name in size}
    kept = {ops[-1].name} | ({"input"} if keep_input else set())

    @cache
    def from_here(done: frozenset[int]) -> int:
        if len(done) == len(ops):
            return 0
        written = {"input", *(ops[i].name for i in done)}
        alive = sum(size[name] for name in written if name in kept or readers[name] - done)
        best: int | None = None
        for i, op in enumerate(ops):
            if i in done or not written.issuperset(op.inputs):
                continue
            overwrites = op.in_place and any(
                size[name] == op.size and name not in kept and readers[name] - done == {i} for name in op.inputs
            )
            now = alive + (0 if overwrites else op.size)
            peak = max(now, from_here(done | {i}))
            best = peak if best is None else min(best, peak)
        if best is None:
            raise ValueError(f"operations {[op.name for op in ops]} do not follow from their inputs")
        return best

    return from_here(frozenset())
