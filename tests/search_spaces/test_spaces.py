"""What every search space promises, and that the known designs are points of the spaces they belong to."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare
from tiny_spaces import TINY_NAMES, all_digits, effective_sets, tiny_space

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.designs import design, design_names, name_of
from search_spaces.digest import digest
from search_spaces.errors import InputError
from search_spaces.parts import ConvStem, CPMobileBlock, DPCPBlock, DSFlexiBlock, Head, RepConv
from search_spaces.space import Choice, Digits, NotInSpaceError, Space
from search_spaces.spaces import SPACE_NAMES, open_space
from search_spaces.staged import StagedSpace

# What stored studies rely on: the labels and values of a space, and what they mean. If one of these changes, old
# choices may mean another network: raise the version of the space.
FROZEN = {
    "joint": ("d40310fffba904ed", "c502ab5a3ede956d"),
    "dpcp": ("cbe3b2279bc6f2b3", "e30258df1e81b425"),
    "repconv": ("7d19d3b2e4d770ea", "28e74c857631a269"),
}
# Choices that count as effective although no value of theirs changes the network in some places: an identity branch
# that fits nowhere, a dilated single tap, expansions that round to the same width.
SOMETIMES_IDLE = {"branches", "dilation", "expansion"}


def opened(name: str) -> StagedSpace:
    space = tiny_space(name) if name in TINY_NAMES else open_space(name, [64, 256], [64, 65, 89])
    assert isinstance(space, StagedSpace)
    return space


@pytest.fixture(params=[*SPACE_NAMES, *TINY_NAMES])
def space(request: pytest.FixtureRequest) -> StagedSpace:
    return opened(request.param)


def shallow_draws(space: StagedSpace, rng: np.random.Generator, sets: int) -> Digits:
    """Draws whose stages are often of the same kind and width and keep the map, so that they grow together."""
    digits = space.sample_digits(rng, sets)
    for row, choice in enumerate(space.choices):
        if choice.label.endswith((".kind", ".width", ".stride", ".norm")):
            often = rng.random(sets) < 0.8
            digits[row, often] = 0
    return digits


def test_labels_are_unique_and_every_choice_is_one(space: Space) -> None:
    labels = [choice.label for choice in space.choices]
    assert len(set(labels)) == len(labels)
    assert all(len(set(choice.values)) == len(choice.values) > 1 for choice in space.choices)


@pytest.mark.parametrize("name", SPACE_NAMES)
def test_the_meaning_of_stored_choices_is_frozen(name: str) -> None:
    space = opened(name)
    somewhere = np.array(
        [[(3 * row + 7 * k) % len(choice.values) for k in range(40)] for row, choice in enumerate(space.choices)],
        dtype=np.int16,
    )
    meaning = digest([space.decode(values).identity for values in space.values(somewhere)])
    assert (space.digest, meaning) == FROZEN[name], "raise the version of the space"


def test_every_draw_is_an_architecture_that_comes_back_from_its_choices(space: StagedSpace) -> None:
    rng = np.random.default_rng(0)
    draws = space.values(np.concatenate([space.sample_digits(rng, 60), shallow_draws(space, rng, 140)], axis=1))
    for values in draws:
        architecture = space.decode(values)
        assert Architecture.from_json(architecture.to_json()) == architecture
        encoded = space.encode(architecture)
        again = space.decode(encoded)
        assert again.identity == architecture.identity
        assert space.encode(again) == encoded


def test_a_choice_without_effect_never_changes_the_network(space: StagedSpace) -> None:
    rng = np.random.default_rng(1)
    digits, others = space.sample_digits(rng, 150), space.sample_digits(rng, 150)
    changed = np.where(space.effective(digits), digits, others)
    assert (changed != digits).any()
    for values, other in zip(space.values(digits), space.values(changed), strict=True):
        assert space.decode(values) == space.decode(other)


def test_a_choice_with_effect_changes_the_network(space: StagedSpace) -> None:
    """With every value, except for the options that are sometimes idle; those do so somewhere."""
    rng = np.random.default_rng(2)
    digits = np.concatenate([space.sample_digits(rng, 20), space.uniform_digits(rng, 15)], axis=1)
    effective = space.effective(digits)
    changing: set[str] = set()
    for number, values in enumerate(space.values(digits)):
        canonical = space.decode(values).canonical()
        for row, choice in enumerate(space.choices):
            other = choice.values[(digits[row, number] + 1 + number % (len(choice.values) - 1)) % len(choice.values)]
            same = space.decode(values | {choice.label: other}).canonical() == canonical
            option = choice.label.rpartition(".")[2]
            if not effective[row, number]:
                assert same
            elif option in SOMETIMES_IDLE:
                changing |= set() if same else {choice.label}
            else:
                assert not same, (choice.label, values[choice.label], other)
                changing.add(choice.label)
    assert changing == {choice.label for choice in space.choices}


def test_a_child_is_another_architecture_and_differs_in_one_choice(space: StagedSpace) -> None:
    rng = np.random.default_rng(3)
    touched = set()
    for parent in space.values(space.uniform_digits(rng, 100)):
        child = space.mutate(parent, rng)
        assert list(child) == list(parent)
        differing = [label for label in parent if parent[label] != child[label]]
        assert len(differing) == 1
        assert space.decode(child).identity != space.decode(parent).identity
        touched |= set(differing)
    assert len(touched) > 0.6 * len(space.choices)


def test_digits_and_values_are_two_ways_to_write_the_same(space: Space) -> None:
    drawn = space.sample_digits(np.random.default_rng(4), 50)
    assert np.array_equal(space.digits(space.values(drawn)), drawn)


def test_draws_are_uniform_over_each_choice(space: Space) -> None:
    rng = np.random.default_rng(5)
    one_by_one = space.digits([space.sample(rng) for _ in range(1000)])
    for digits in (one_by_one, space.sample_digits(rng, 4000)):
        for choice, row in zip(space.choices, digits, strict=True):
            counts = np.bincount(row, minlength=len(choice.values))
            assert chisquare(counts).pvalue > 1e-5, choice.label


@pytest.mark.parametrize("name", TINY_NAMES)
def test_the_size_is_the_number_of_sets_that_differ_in_a_choice_with_effect(name: str) -> None:
    """Counted one by one. It bounds the number of networks, some of which can be written in several such ways."""
    space = tiny_space(name)
    sets = effective_sets(name)
    networks = {space.decode(values).canonical() for values in sets}
    assert (space.size, len(networks)) == {"tiny-layers": (600, 567), "tiny-stages": (2352, 1442)}[name]
    assert space.size == len(sets)
    assert {space.decode(values).canonical() for values in space.values(all_digits(space)[:, ::7])} <= networks


@pytest.mark.parametrize("name", TINY_NAMES)
def test_one_network_has_one_encoding(name: str) -> None:
    space = tiny_space(name)
    decoded = [space.decode(values) for values in effective_sets(name)[::2]]
    encodings = {tuple(space.encode(architecture).items()) for architecture in decoded}
    assert len(encodings) == len({architecture.canonical() for architecture in decoded})


@pytest.mark.parametrize("name", TINY_NAMES)
def test_uniform_digits_are_uniform_over_all_sets_that_differ_with_effect(name: str) -> None:
    space = tiny_space(name)
    drawn, counts = np.unique(
        space.uniform_digits(np.random.default_rng(6), 20 * space.size), axis=1, return_counts=True
    )
    assert len(drawn.T) == space.size
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *(("joint", known) for known in design_names()),
        ("dpcp", "cp-mobile-2025"),
        ("dpcp", "dynacp"),
        ("repconv", "sharif"),
    ],
)
def test_a_known_design_is_a_point_of_the_space(name: str, known: str) -> None:
    space = opened(name)
    point = space.decode(space.encode(design(known)))
    assert point.identity == design(known).identity
    assert name_of(point) == known


def test_a_name_is_only_given_to_the_design_itself() -> None:
    space, rng = opened("joint"), np.random.default_rng(8)
    assert [name_of(space.decode(space.sample(rng))) for _ in range(50)] == [None] * 50
    assert name_of(replace(design("dynacp"), precision="int8")) is None


def chain(*blocks: CPMobileBlock | DPCPBlock | DSFlexiBlock, stem: int = 32, skip: bool = False) -> Architecture:
    return Architecture(InputShape(64, 65), ConvStem((stem // 4, stem)), (Stage(blocks, skip=skip),))


SINGLE = RepConv(((3, 3),))
ALTERNATING = (DPCPBlock(32, 64), DPCPBlock(32, 64, dilation=2)) * 4


@pytest.mark.parametrize(
    ("name", "missing", "told"),
    [
        ("joint", replace(chain(DPCPBlock(32, 64)), classes=3), "for 10 scenes; the architecture has 3"),
        ("joint", chain(DPCPBlock(32, 64)).at(64, 33), "no input.frames 33; it has 64, 65, 89"),
        ("joint", chain(DPCPBlock(20, 64)), "no stage1.width 20"),
        ("joint", chain(DPCPBlock(32, 56)), "no expansion that makes its 'dpcp' block of width 32"),
        ("joint", chain(DPCPBlock(32, 64, dilation=3)), "stage 1: .* no dilation .* it has 1, 2"),
        ("joint", chain(DPCPBlock(32, 64, stride=(3, 1))), r"no stage1.stride \(3, 1\); it has 1x1, 1x2"),
        ("joint", chain(*ALTERNATING), "no stages 8; it has 1, 2, 3, 4, 5, 6"),
        ("joint", chain(DPCPBlock(32, 64, pool_conv=True)), "no 'dpcp' block like this; it has cp-mobile"),
        ("joint", chain(DSFlexiBlock(32, SINGLE)), "such stems, blocks and heads, but not stage 1"),
        ("joint", chain(CPMobileBlock(32, 64), skip=True), "such stems, blocks and heads, but not stage 1"),
        ("joint", chain(CPMobileBlock(32, 64), stem=20), "no stem.width 20; it has 16, 24, 32"),
        (
            "joint",
            replace(chain(CPMobileBlock(32, 64)), head=Head("learnable", hidden=8)),
            "but not head Head.*hidden=8",
        ),
        ("dpcp", replace(chain(DPCPBlock(32, 64)), precision="int8"), "no precision int8; it has fp16"),
        ("dpcp", design("sharif"), "stage 1: the space 'dpcp' has no 'dsflexi' block"),
        ("repconv", design("dynacp"), "no 'dpcp' block like this; it has dsflexi"),
        ("repconv", chain(DSFlexiBlock(24, replace(SINGLE, kernels=((7, 7),)))), "no kernels that makes"),
    ],
)
def test_what_the_space_does_not_offer_is_said(name: str, missing: Architecture, told: str) -> None:
    with pytest.raises(NotInSpaceError, match=told) as caught:
        opened(name).encode(missing)
    assert "\n" not in str(caught.value)


def test_a_run_of_equal_blocks_longer_than_a_stage_fills_the_next_one() -> None:
    space = opened("joint")
    values = space.encode(chain(*(CPMobileBlock(32, 64),) * 5))
    assert values["stages"] == 2
    assert [values[f"stage{k}.depth"] for k in (1, 2)] == [3, 2]


def test_a_run_ends_early_where_the_next_one_would_get_a_skip_of_its_own() -> None:
    """Four layers fit a stage, but the three that remain would keep the shape and so be skipped around."""
    space = opened("repconv")
    wide, strided = DSFlexiBlock(24, SINGLE), DSFlexiBlock(24, SINGLE, stride=(2, 1))
    values = space.encode(chain(wide, wide, wide, strided, wide, wide, wide))
    assert [values[f"stage{k}.depth"] for k in (1, 2)] == [3, 4]


def test_the_digest_tells_spaces_apart() -> None:
    offers = [([64], [33]), ([64], [34]), ([64, 128], [33])]
    spaces = [open_space(name, *offer) for name in SPACE_NAMES for offer in offers]
    spaces.append(open_space("joint", [64], [33], classes=3))
    assert len({space.digest for space in spaces}) == len(spaces)
    assert open_space("joint", [64], [33]).digest == spaces[0].digest


def test_an_unknown_space_and_a_bad_input_are_told() -> None:
    with pytest.raises(InputError, match="no search space is named 'resnet'; there are joint, dpcp, repconv"):
        open_space("resnet", [64], [33])
    with pytest.raises(ValueError, match="frames: expected one or more different numbers"):
        open_space("joint", [64], [])
    with pytest.raises(ValueError, match=r"mels: expected one or more different numbers, found \[64, 64\]"):
        open_space("joint", [64, 64], [33])


def test_ordered_choices_are_integers_in_equal_steps() -> None:
    assert Choice("width", (8, 16, 24)).step == 8
    assert Choice("width", (8, 16, 32)).step is None
    assert Choice("kind", ("a", "b")).step is None
    with pytest.raises(ValueError, match="two or more different values"):
        Choice("kind", ("a", "a"))
