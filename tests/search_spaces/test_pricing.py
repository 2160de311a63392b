"""Prices from choices equal the cost of the architecture that they decode to, one by one and in batches."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_spaces import TINY_NAMES, all_digits, tiny_space

from search_spaces import families
from search_spaces.budget import Budget
from search_spaces.cost import Cost, cost
from search_spaces.forms import Form
from search_spaces.pricing import Pricing
from search_spaces.space import Digits, Value
from search_spaces.spaces import ALL_KERNEL_SETS, DPCP_SPACE, JOINT_SPACE, REPCONV_SPACE, SPACE_NAMES
from search_spaces.staged import StagedSpace
from search_spaces.vocabulary import Vocabulary

WORDS = {words.name: words for words in (JOINT_SPACE, DPCP_SPACE, REPCONV_SPACE)}
SMALL, LARGE = ([64], [33]), ([64, 100, 256], [33, 65, 89])
TIGHT, LOOSE, BYTES_ONLY = Budget(20_000, 1_000_000), Budget(1_000_000, 100_000_000), Budget(128_000, 1_000_000_000)


def assert_prices_are_costs(space: StagedSpace, digits: Digits, *budgets: Budget) -> list[bool]:
    """Also returns which verdicts there were."""
    architectures = [space.decode(values) for values in space.values(digits)]
    verdicts = []
    for budget in budgets:
        pricing = Pricing(space, budget)
        many = pricing.prices(digits)
        for number, (values, architecture) in enumerate(zip(space.values(digits), architectures, strict=True)):
            counted: Cost = cost(architecture, budget)
            one = pricing.price(values)
            deployed = counted.deployed
            assert (one.form, one.weight_bytes, one.macs) == (deployed.form, deployed.weight_bytes, deployed.macs)
            assert (one.excess, one.feasible) == (counted.excess, counted.feasible)
            assert bool(many.folded[number]) == (deployed.form is Form.FOLDED)
            assert (many.weight_bytes[number], many.macs[number]) == (deployed.weight_bytes, deployed.macs)
            assert many.feasible[number] == counted.feasible
            verdicts.append(counted.feasible)
    return verdicts


def both_kinds_of_draws(space: StagedSpace, seed: int, sets: int) -> Digits:
    rng = np.random.default_rng(seed)
    return np.concatenate([space.sample_digits(rng, sets), space.uniform_digits(rng, sets // 3)], axis=1)


@pytest.mark.parametrize("name", SPACE_NAMES)
@pytest.mark.parametrize(("inputs", "budgets"), [(SMALL, (TIGHT, BYTES_ONLY)), (LARGE, (Budget(), LOOSE))])
def test_prices_equal_costs(name: str, inputs: tuple[list[int], list[int]], budgets: tuple[Budget, ...]) -> None:
    space = StagedSpace(WORDS[name], *inputs)
    verdicts = assert_prices_are_costs(space, both_kinds_of_draws(space, 0, 60), *budgets)
    assert {True, False} == set(verdicts)


def test_no_choices_have_no_prices() -> None:
    pricing = Pricing(tiny_space("tiny-layers"), Budget())
    nothing = pricing.prices(pricing.space.sample_digits(np.random.default_rng(0), 0))
    assert nothing.macs.shape == nothing.feasible.shape == (0,)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SPACE_NAMES)
def test_prices_equal_costs_on_thousands_of_draws(name: str) -> None:
    space = StagedSpace(WORDS[name], *LARGE)
    assert_prices_are_costs(space, both_kinds_of_draws(space, 1, 3_000), Budget(), TIGHT)


@pytest.mark.parametrize("name", SPACE_NAMES)
def test_prices_equal_costs_in_int8(name: str) -> None:
    """Where bytes are not in proportion to parameters, and which form has fewer is another question."""
    space = StagedSpace(replace(WORDS[name], precisions=("int8",)), *SMALL)
    assert_prices_are_costs(space, both_kinds_of_draws(space, 2, 30), Budget(50_000, 4_000_000))


@pytest.mark.parametrize("name", TINY_NAMES)
def test_prices_equal_costs_everywhere_in_a_tiny_space(name: str) -> None:
    space = tiny_space(name)
    assert_prices_are_costs(space, all_digits(space)[:, :: 3 + 10 * (name == "tiny-stages")], Budget(9_000, 40_000))


@pytest.mark.parametrize("seed", range(12))
def test_prices_equal_costs_in_a_random_vocabulary(seed: int) -> None:
    """Inputs down to a single position, options with a single value or in another order, any of them per layer."""
    rng = np.random.default_rng(seed)
    space = StagedSpace(random_vocabulary(rng), [1, 7, 40][: 1 + seed % 3], [2, 1, 51][: 1 + seed % 2])
    assert_prices_are_costs(space, both_kinds_of_draws(space, seed, 30), Budget(30_000, 200_000), Budget(5_000, 20_000))


def random_vocabulary(rng: np.random.Generator) -> Vocabulary:
    def some(values: tuple[Value, ...]) -> tuple[Value, ...]:
        count = int(rng.integers(1, min(4, len(values)) + 1))
        return tuple(values[i] for i in rng.permutation(len(values))[:count])

    known = [family for family in vars(families).values() if isinstance(family, families.Family)]
    options: dict[str, tuple[Value, ...]] = {
        "stride": some(("1x1", "1x2", "2x1", "2x2")),
        "expansion": some((1.0, 1.7, 2.5, 6.0)),
        "dilation": some((1, 2, 3)),
        "pooling": some(("average", "max", "none")),
        "kernels": some((*ALL_KERNEL_SETS, "1x7+3x3")),
        "branches": some(tuple(families.BRANCHES)),
    }
    return Vocabulary(
        name="random",
        version=1,
        stages=int(rng.integers(1, 4)),
        depth=int(rng.integers(1, 4)),
        families=tuple(known[i] for i in rng.permutation(len(known))[: rng.integers(1, 5)]),
        widths=some((8, 16, 24, 40)),  # type: ignore[arg-type]
        options=options,
        per_layer=frozenset(option for option in options if rng.random() < 0.4),
        norms=some(("none", "residual", "residual-scalar", "frequency")),  # type: ignore[arg-type]
        stems=some(("conv", "rep")),  # type: ignore[arg-type]
        stem_widths=some((8, 16, 32)),  # type: ignore[arg-type]
        stem_kernels=some(ALL_KERNEL_SETS),
        poolings=some(("average", "max", "attention", "gem", "learnable")),  # type: ignore[arg-type]
        precisions=some(("fp32", "fp16", "int8")),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", TINY_NAMES)
def test_a_budget_that_is_met_exactly_fits(name: str) -> None:
    space = tiny_space(name)
    digits = space.sample_digits(np.random.default_rng(3), 20)
    for number, values in enumerate(space.values(digits)):
        folded = Pricing(space, LOOSE).price(values)
        assert folded.form is Form.FOLDED
        exact = Budget(folded.weight_bytes, folded.macs)
        below = replace(exact, weight_bytes=exact.weight_bytes - 1), replace(exact, macs=exact.macs - 1)
        for budget in (exact, *below):
            counted = cost(space.decode(values), budget)
            assert Pricing(space, budget).price(values).excess == counted.excess
            assert Pricing(space, budget).prices(digits[:, [number]]).feasible[0] == counted.feasible
        assert Pricing(space, exact).price(values).feasible


def test_a_batch_longer_than_a_chunk_is_priced_in_order() -> None:
    space = StagedSpace(JOINT_SPACE, *SMALL)
    pricing = Pricing(space, Budget())
    digits = space.sample_digits(np.random.default_rng(4), 10_001)
    many = pricing.prices(digits)
    assert many.macs.shape == many.folded.shape == (10_001,)
    for at in (0, 4095, 4096, 8191, 8192, 10_000):
        one = pricing.price(space.values(digits[:, [at]])[0])
        assert (many.weight_bytes[at], many.macs[at]) == (one.weight_bytes, one.macs)
