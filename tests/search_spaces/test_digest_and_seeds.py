"""Digests and seeds are the same on every machine."""

import pytest

from search_spaces.digest import canonical_json, digest
from search_spaces.seeds import derive_seed
from search_spaces.widths import make_divisible


def test_equal_values_have_equal_text() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) == "d3626ac30a87e6f7"


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_seeds_differ_by_every_part_of_their_path() -> None:
    seeds = {derive_seed(s, "trial", n) for s in range(10) for n in range(100)} | {derive_seed(0, "teacher")}
    assert len(seeds) == 1001
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "trial", 1) == derive_seed(0, "trial", 1)


def test_make_divisible_gives_the_baselines_widths() -> None:
    assert [make_divisible(32 * 1.8**i) for i in range(3)] == [32, 56, 104]
    assert [make_divisible(c * 2.1) for c in (32, 56)] == [64, 120]
    assert [make_divisible(32 * 2.3**i) for i in range(3)] == [32, 72, 168]
