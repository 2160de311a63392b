"""An architecture is valid or not built, survives JSON, and has one identity for one network."""

import contextlib

import pytest
from draws import random_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.architecture import (
    Architecture,
    ArchitectureError,
    ConvStem,
    CPMobileBlock,
    DSFlexiBlock,
    InputShape,
    Stage,
)
from search_spaces.designs import design, design_names

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", design_names())
def test_a_design_survives_json(name: str) -> None:
    known = design(name)
    assert Architecture.from_json(known.to_json()) == known


def test_random_architectures_survive_json_and_differ_in_identity() -> None:
    drawn = random_architectures(100, seed=1)
    assert [Architecture.from_json(a.to_json()) for a in drawn] == drawn
    assert len({a.identity for a in drawn}) == len(set(a.canonical() for a in drawn)) > 90


def test_grouping_of_plain_blocks_does_not_enter_the_identity() -> None:
    known = design("cp-mobile-2025")
    regrouped = Architecture(known.input, known.stem, tuple(Stage((block,)) for block in known.blocks))
    assert regrouped != known
    assert regrouped.identity == known.identity


def test_order_of_kernels_does_not_enter_the_identity() -> None:
    assert DSFlexiBlock(8, ((3, 3), (1, 1))) == DSFlexiBlock(8, ((1, 1), (3, 3)))


def test_precision_and_input_enter_the_identity() -> None:
    known = design("cp-mobile-2025")
    assert len({known.identity, known.at(256, 64).identity, design("dynacp").identity}) == 3


def test_a_skip_needs_blocks_that_keep_the_shape() -> None:
    with pytest.raises(ValueError, match="keeps width 8 and stride 1x1"):
        Architecture(InputShape(64, 33), ConvStem((4, 8)), (Stage((CPMobileBlock(16, 16),), skip=True),))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("version",), 2, "version is 2, expected 1"),
        (("input", "mels"), 0, "architecture.input.mels=0"),
        (("input", "mels"), "64", "architecture.input.mels='64'"),
        (("stages", 0, "blocks", 0, "kind"), "resnet", "architecture.stages[0].blocks[0]"),
        (("stages", 0, "blocks", 0, "width"), -8, "width=-8"),
        (("stem", "kernels"), [[2, 2]], "odd number"),
        (("stem", "kernels"), [[3, 3], [3, 3]], "differ from each other"),
        (("colour",), "red", "architecture.colour='red'"),
        (("precision",), "fp64", "architecture.precision='fp64'"),
    ],
)
def test_a_fault_in_the_json_is_named_by_place_value_and_expectation(path, value, told) -> None:
    data = design("sharif").to_json()
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(data)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    place=st.lists(st.sampled_from(["input", "stem", "stages", "head", "precision", "classes", "version"])), junk=JSON
)
def test_no_other_error_than_architecture_error_escapes_the_reader(place: list[str], junk: object) -> None:
    data = design("sharif").to_json()
    for key in place:
        data[key] = junk
    with contextlib.suppress(ArchitectureError):
        assert isinstance(Architecture.from_json(data if place else junk), Architecture)
