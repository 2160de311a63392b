"""Every network that may teach, by its name."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.architecture import InputShape
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.errors import InputError
from trainers.efficientat import DyMn, Mn
from trainers.teachers.networks import NAMES, WIDE, build, network_from_json, network_named


@pytest.mark.parametrize(
    ("name", "scenes", "parameters"),
    [
        ("sharif-dsflexi-a", 10, 180_053),
        ("sharif-dsflexi-m1", 10, 42_322),
        ("sharif-dsflexi-m2", 10, 42_018),
        ("sharif-cp-mobile", 10, 234_300),
        ("sharif-cp-resnet", 10, 127_684),
        ("cp-resnet", 10, 127_684),
        ("cp-mobile-2023", 10, 126_952),
        ("mn04", 10, 718_378),
        ("mn10", 10, 4_214_554),
        ("mn10", 527, 4_876_831),
        ("dymn04", 10, 1_696_018),
        ("dymn10", 527, 10_548_479),
    ],
)
def test_parameters_are_those_listed(name: str, scenes: int, parameters: int) -> None:
    network = build(network_named(name, 256, 64, scenes), scenes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_each_answers_features_of_the_study_and_survives_its_json(name: str) -> None:
    network = network_named(name, 64, 40, 4)
    assert network_from_json(network.to_json()) == network
    with torch.inference_mode():
        assert build(network, 4).eval()(torch.zeros(2, 1, 64, 40)).shape == (2, 4)


def test_names_mean_what_they_say() -> None:
    assert network_named("mn04", 1, 1, 10) == Mn(0.4)
    assert network_named("mn10_fc", 1, 1, 10) == Mn(1.0, "fully_convolutional")
    assert network_named("dymn20", 1, 1, 10) == DyMn(2.0)
    assert {*design_names(), *teacher_names(), WIDE} < set(NAMES)
    with pytest.raises(InputError, match="take 'dymn10'"):
        network_named("dymn10_fc", 1, 1, 10)
    moved = network_named("dynacp", 128, 33, 4)
    assert moved.input == InputShape(128, 33)
    assert moved.classes == 4
    assert moved.stages == design("dynacp").stages


@pytest.mark.parametrize("name", ["cp-resnet", "mn04"])
def test_it_is_built_for_as_many_scenes_as_asked_for(name: str) -> None:
    with torch.inference_mode():
        assert build(network_named(name, 32, 20, 10), 3).eval()(torch.zeros(2, 1, 32, 20)).shape == (2, 3)


def test_an_equal_seed_gives_equal_weights_and_leaves_torch_as_it_was() -> None:
    before = torch.random.get_rng_state()
    for name in ("mn04", "cp-resnet"):
        network = network_named(name, 64, 40, 4)
        first, same, other = (next(iter(build(network, 4, seed=seed).parameters())) for seed in (1, 1, 2))
        assert torch.equal(first, same)
        assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@given(
    name=st.text(max_size=8)
    | st.sampled_from(["mn", "mn4", "mn00", "dymn1", "mn10_fcx", "dymn10_fc", "mn\u0661\u0660"])
)
def test_any_other_name_is_an_input_error(name: str) -> None:
    try:
        network = network_named(name, 64, 40, 4)
    except InputError:
        return
    assert isinstance(network, Mn | DyMn) or name in NAMES
