"""The joint space: every design and every draw is a point of it, and comes back from its choices."""

from dataclasses import replace

import numpy as np
import pytest
from draws import random_architectures

from search_spaces.architecture import CPMobileBlock, DPCPBlock, InputShape, Stage
from search_spaces.designs import design, design_names, name_of
from search_spaces.joint import JointSpace
from search_spaces.space import Choice, NotInSpaceError


@pytest.mark.parametrize("name", design_names())
def test_a_known_design_is_a_point_of_the_space(name: str) -> None:
    known = design(name)
    space = JointSpace(known.input)
    point = space.decode(space.encode(known))
    assert point.identity == known.identity
    assert name_of(point) == name


def test_every_draw_comes_back_from_its_architecture() -> None:
    space, rng = JointSpace(InputShape(64, 33)), np.random.default_rng(0)
    for _ in range(300):
        architecture = space.decode(space.sample(rng))
        assert space.decode(space.encode(architecture)).identity == architecture.identity


def test_a_choice_without_effect_does_not_enter_the_identity() -> None:
    space = JointSpace(InputShape(64, 33))
    values = space.encode(design("cp-mobile-2025").at(64, 33))
    changed = values | {"stage1.kernels": "1x5+3x3+5x1", "stage6.width": 128}
    assert space.decode(changed).identity == space.decode(values).identity
    assert space.decode(values | {"stage1.kind": "dpcp"}).identity != space.decode(values).identity


def test_draws_are_uniform_over_each_choice() -> None:
    space, rng = JointSpace(InputShape(64, 33)), np.random.default_rng(1)
    draws = [space.sample(rng) for _ in range(2000)]
    for choice in space.choices:
        counts = np.array([sum(d[choice.label] == value for d in draws) for value in choice.values])
        expected = len(draws) / len(choice.values)
        assert np.abs(counts - expected).max() < 6 * np.sqrt(expected), choice.label


def test_the_digest_tells_spaces_apart() -> None:
    assert JointSpace(InputShape(64, 33)).digest == JointSpace(InputShape(64, 33)).digest
    assert JointSpace(InputShape(64, 33)).digest != JointSpace(InputShape(64, 34)).digest


def test_what_the_space_does_not_offer_is_said() -> None:
    space = JointSpace(InputShape(64, 33))
    known = design("dynacp")
    with pytest.raises(NotInSpaceError, match="64x33 features and 10 scenes"):
        space.encode(known)
    with pytest.raises(NotInSpaceError, match="no width 20"):
        space.encode(replace(known.at(64, 33), stages=(Stage((DPCPBlock(20, 64),)),)))
    with pytest.raises(NotInSpaceError, match="not 3"):
        space.encode(replace(known.at(64, 33), stages=(Stage((DPCPBlock(32, 64, dilation=3),)),)))
    with pytest.raises(NotInSpaceError, match="precision 'fp32'"):
        space.encode(replace(known.at(64, 33), precision="fp32"))
    with pytest.raises(NotInSpaceError, match="6 stages"):
        space.encode(replace(known.at(64, 33), stages=(Stage((DPCPBlock(32, 64), DPCPBlock(32, 64, dilation=2)) * 4),)))


def test_a_run_of_equal_blocks_longer_than_a_stage_fills_the_next_one() -> None:
    known = design("cp-mobile-2025").at(64, 33)
    long = replace(known, stages=(Stage((CPMobileBlock(32, 64),) * 5),))
    space = JointSpace(known.input)
    values = space.encode(long)
    assert [values[f"stage{k}.depth"] for k in range(1, 4)] == [3, 2, 0]
    assert space.decode(values).identity == long.identity


def test_a_name_is_only_given_to_the_design_itself() -> None:
    assert [name_of(a) for a in random_architectures(50, seed=8)] == [None] * 50


def test_ordered_choices_are_integers_in_equal_steps() -> None:
    assert Choice("width", (8, 16, 24)).step == 8
    assert Choice("width", (8, 16, 32)).step is None
    assert Choice("kind", ("a", "b")).step is None
    with pytest.raises(ValueError, match="two or more different values"):
        Choice("kind", ("a", "a"))
