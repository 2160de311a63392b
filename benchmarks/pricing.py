"""How fast a space is priced, screened and drawn from, against counters that need the built network.

Rates are for a second of one core (processor time, so that a busy machine shows little), the median of the rounds.
Pricing begins with choices and ends with the verdict. `cost.cost` begins with an architecture that it has not seen. The
counters begin with a built network (building is shown by itself) and end with parameters and MACs of one form. Feasible
draws are measured under a budget that about one draw in `--rarity` fits.

    python benchmarks/pricing.py
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torchinfo
from ptflops import get_model_complexity_info

from search_spaces.budget import Budget
from search_spaces.cost import cost
from search_spaces.feasible import FeasibleDraws
from search_spaces.network import build
from search_spaces.pricing import Pricing
from search_spaces.spaces import SPACE_NAMES, open_space
from search_spaces.staged import StagedSpace

Over = Literal["choices", "architectures"]
ROUNDS = 5


def main() -> int:
    """Prints one table for each space; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=SPACE_NAMES, choices=SPACE_NAMES)
    parser.add_argument("--mels", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--frames", type=int, nargs="+", default=[33, 64, 65])
    parser.add_argument("--batch", type=int, default=200_000, help="sets of choices priced at once (default 200,000)")
    parser.add_argument("--networks", type=int, default=12, help="networks for the counters (default 12)")
    parser.add_argument("--rarity", type=int, default=40, help="draws for each that fits (default 40)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.spaces:
        space = open_space(name, given.mels, given.frames)
        lines = _table(space, given.batch, given.networks, given.rarity)
        sys.stdout.write("\n".join([*lines, "", ""]))
    return 0


def _table(space: StagedSpace, batch: int, networks: int, rarity: int) -> list[str]:
    rng = np.random.default_rng(0)
    started = time.process_time()
    pricing = Pricing(space, Budget())
    tables = time.process_time() - started
    many = space.sample_digits(rng, batch)
    single = space.values(many[:, :4000])
    fresh = iter([space.decode(values) for values in space.values(many[:, 4000 : 4000 + ROUNDS * 200])])
    drawn = [space.decode(values) for values in space.values(many[:, -networks:])]
    built = [build(architecture).eval() for architecture in drawn]
    shapes = [(architecture.input.mels, architecture.input.frames) for architecture in drawn]
    one = _rate(lambda: [pricing.price(values) for values in single], len(single))
    batched = _rate(lambda: pricing.prices(many), batch)
    rates = {
        "Pricing.price, one by one": one,
        f"Pricing.prices, {batch:,} at once": batched,
        "cost.cost of a new architecture": _rate(lambda: [cost(next(fresh)) for _ in range(200)], 200),
        "building the network": _rate(lambda: [build(architecture) for architecture in drawn], networks),
        "torchinfo": _rate(lambda: [_torchinfo(*pair) for pair in zip(built, shapes, strict=True)], networks),
        "ptflops (aten)": _rate(lambda: [_ptflops(*pair) for pair in zip(built, shapes, strict=True)], networks),
    }
    shown = f"{len(space.choices)} choices, {space.size:.1e} architectures"
    lines = [
        f"{space.name}: {shown}; tables built in {tables:.2f} s; load average {os.getloadavg()[0]:.1f}",
        f"{'':38}{'per second':>14}{'one by one':>14}{'at once':>12}   is so many times as fast",
    ]
    lines += [f"{what:38}{rate:>14,.0f}{one / rate:>14,.1f}{batched / rate:>12,.1f}" for what, rate in rates.items()]
    return [*lines, *(_feasible(space, over, rarity) for over in ("choices", "architectures"))]


def _rate(work: Callable[[], object], items: int, rounds: int = ROUNDS) -> float:
    """Items of work done in a second."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return items / statistics.median(seconds)


def _torchinfo(network: torch.nn.Module, shape: tuple[int, int]) -> object:
    return torchinfo.summary(network, input_size=(1, 1, *shape), verbose=0).total_mult_adds


def _ptflops(network: torch.nn.Module, shape: tuple[int, int]) -> object:
    with contextlib.redirect_stdout(io.StringIO()):
        return get_model_complexity_info(
            network, (1, *shape), backend="aten", as_strings=False, print_per_layer_stat=False
        )


def _feasible(space: StagedSpace, over: Over, rarity: int) -> str:
    budget = _rare_budget(space, over, rarity)
    draws = FeasibleDraws(Pricing(space, budget), np.random.default_rng(2), over)
    draws.draw()
    rate = _rate(lambda: [draws.draw() for _ in range(1000)], 1000)
    share = draws.drawn / draws.fitting
    limits = f"{budget.weight_bytes:,} bytes, {budget.macs:,} MACs"
    return f"{f'feasible draws over {over}':38}{rate:>14,.0f}    one draw in {share:.1f} fits {limits}"


def _rare_budget(space: StagedSpace, over: Over, rarity: int) -> Budget:
    """The challenge's budget, shrunk or enlarged until one draw in `rarity` fits."""
    rng = np.random.default_rng(1)
    digits = (space.sample_digits if over == "choices" else space.uniform_digits)(rng, 100_000)
    low, high = -10.0, 10.0  # powers of two
    budget = Budget()
    for _ in range(14):
        middle = (low + high) / 2
        budget = Budget(round(128_000 * 2**middle), round(30_000_000 * 2**middle))
        if Pricing(space, budget).prices(digits).feasible.mean() < 1 / rarity:
            low = middle
        else:
            high = middle
    return budget


if __name__ == "__main__":
    sys.exit(main())
