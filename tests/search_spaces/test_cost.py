"""The formulas equal other people's counters on the built network, in every form."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchinfo
from draws import any_architecture, random_architectures
from ptflops import get_model_complexity_info

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import cost, form_cost, layers, stored_bytes
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.errors import NasError
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.formulas.registry import part_ops
from search_spaces.network import build
from search_spaces.parts import ResidualBlock
from search_spaces.spaces import SPACE_NAMES

DESIGNS = (*design_names(), *teacher_names())

# Published, or measured on the published code: parameters and challenge MACs.
ANCHORS = [
    ("cp-mobile-2025", (256, 65), Form.TRAINING, 61_148, 29_419_156),
    ("cp-mobile-2025", (256, 65), Form.FOLDED, 59_794, 30_216_768),
    ("cp-mobile-2025", (256, 64), Form.TRAINING, 61_148, 26_954_388),
    ("cp-mobile-2025", (256, 89), Form.TRAINING, 61_148, 39_526_036),
    ("cp-mobile-2023", (256, 64), Form.TRAINING, 126_952, 28_893_268),
    ("cp-mobile-2023", (256, 65), Form.TRAINING, 126_952, 31_684_180),
    ("cp-mobile-2023", (256, 64), Form.FOLDED, 124_862, 29_561_088),
    ("dynacp", (256, 89), Form.TRAINING, 61_650, 28_938_900),
    ("sharif", (256, 64), Form.TRAINING, 36_748, 34_605_996),
    ("sharif", (256, 64), Form.FOLDED, 31_260, 28_642_220),
    ("sharif-dsflexi-a", (256, 64), Form.TRAINING, 180_053, 167_586_956),
    ("sharif-dsflexi-a", (256, 64), Form.UNFOLDED, 165_893, 158_641_292),
    ("sharif-dsflexi-m1", (256, 64), Form.TRAINING, 42_322, 35_491_306),
    ("sharif-dsflexi-m2", (256, 64), Form.TRAINING, 42_018, 33_530_032),
    ("sharif-cp-mobile", (256, 64), Form.TRAINING, 234_300, 42_330_532),
    ("cp-resnet", (256, 43), Form.TRAINING, 127_684, 28_840_396),
    ("sharif-cp-resnet", (256, 64), Form.TRAINING, 127_684, 37_862_532),
]

# The same, for the weights of convolutions only, which is what a counter without biases and norms gives.
WEIGHTS_ONLY = [("cp-mobile-2025", 29_416_448), ("cp-mobile-2023", 28_889_088), ("dynacp", 28_699_648)]


def torchinfo_counts(architecture: Architecture, form: Form) -> tuple[int, int]:
    """Parameters and MACs of a form of the network, as another library counts them."""
    network = deployed(build(architecture), form)
    shape = (1, 1, architecture.input.mels, architecture.input.frames)
    with torch.inference_mode():
        summary = torchinfo.summary(network, input_size=shape, verbose=0)
    return summary.total_params, summary.total_mult_adds


def aten_counts(architecture: Architecture, form: Form) -> tuple[int, int]:
    """Parameters and MACs, counted by a third library from the operators that torch runs."""
    macs, params = get_model_complexity_info(
        deployed(build(architecture), form),
        (1, architecture.input.mels, architecture.input.frames),
        backend="aten",
        as_strings=False,
        print_per_layer_stat=False,
    )
    return params, macs


def mismatches(architectures: Sequence[Architecture], forms: Sequence[Form] = tuple(Form)) -> list[object]:
    """Where formula and torchinfo differ: number and form, both counts, and the architecture to look at."""
    found: list[object] = []
    for number, architecture in enumerate(architectures):
        for form in forms:
            counted, seen = form_cost(architecture, form), torchinfo_counts(architecture, form)
            if seen != (counted.params, counted.macs):
                found.append((number, form, (counted.params, counted.macs), seen, architecture.to_json()))
    return found


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half the time for building thousands: no copy of a network that is built for one form only, and no search for
    garbage among what was imported."""
    monkeypatch.setattr("search_spaces.folding.deepcopy", lambda network: network)
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(("name", "shape", "form", "params", "macs"), ANCHORS)
def test_formula_and_built_network_give_the_anchor(name, shape, form, params, macs) -> None:
    architecture = design(name).at(*shape)
    counted = form_cost(architecture, form)
    assert (counted.params, counted.macs) == (params, macs)
    assert torchinfo_counts(architecture, form) == (params, macs)


def test_designs_have_the_input_that_they_were_entered_with() -> None:
    frames = {"cp-mobile-2025": 65, "dynacp": 89, "cp-resnet": 43}
    for name in DESIGNS:
        shape = design(name).input
        assert (shape.mels, shape.frames) == (256, frames.get(name, 64))


def test_a_pool_of_single_values_is_no_operation() -> None:
    for form in Form:
        assert part_ops(ResidualBlock(8, pool=(1, 1)), (8, 4, 4), form) == part_ops(ResidualBlock(8), (8, 4, 4), form)


@pytest.mark.parametrize(("name", "products"), WEIGHTS_ONLY)
def test_multiplications_with_convolution_weights_give_the_anchor(name, products) -> None:
    assert form_cost(design(name), Form.TRAINING).products == products


@pytest.mark.parametrize("changes", [{"pool_conv": True}, {"scalars": "downsampling"}])
def test_the_options_that_the_counts_of_dynacp_cannot_decide_leave_them_as_they_are(changes: dict) -> None:
    as_entered = design("dynacp")
    stages = [
        replace(stage, blocks=tuple(replace(block, **changes) for block in stage.blocks)) for stage in as_entered.stages
    ]
    other = replace(as_entered, stages=tuple(stages))
    assert other.identity != as_entered.identity
    assert torchinfo_counts(other, Form.TRAINING) == (61_650, 28_938_900)
    counted = form_cost(other, Form.TRAINING)
    assert (counted.params, counted.macs) == (61_650, 28_938_900)


@pytest.mark.parametrize("space", SPACE_NAMES)
def test_formula_equals_torchinfo_on_random_architectures(space: str, quickly: None) -> None:
    assert mismatches(random_architectures(67, seed=7, mels=16, frames=9, space=space)) == []


def test_formula_equals_torchinfo_on_parts_that_no_space_offers(quickly: None) -> None:
    assert mismatches([any_architecture(np.random.default_rng(seed)) for seed in range(60)]) == []


@pytest.mark.nightly
@pytest.mark.parametrize("chunk", range(20))
@pytest.mark.parametrize("space", SPACE_NAMES)
def test_formula_equals_torchinfo_on_ten_thousand_architectures_of_each_space(space, chunk, quickly) -> None:
    """500 in each chunk, in training and folded form; 50 of them unfolded too. The chunk is the seed."""
    mels, frames = 16 + chunk % 18, 9 + chunk % 9
    drawn = random_architectures(500, seed=chunk, mels=mels, frames=frames, space=space)
    assert mismatches(drawn, (Form.TRAINING, Form.FOLDED)) == []
    assert mismatches(drawn[:50], (Form.UNFOLDED,)) == []


@pytest.mark.nightly
@pytest.mark.parametrize("chunk", range(4))
def test_formula_equals_torchinfo_on_thousands_of_architectures_that_no_space_offers(chunk, quickly) -> None:
    """500 in each chunk, in all three forms; the seeds begin at 500 times the chunk."""
    seeds = range(500 * chunk, 500 * (chunk + 1))
    assert mismatches([any_architecture(np.random.default_rng(seed)) for seed in seeds]) == []


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("name", DESIGNS)
def test_products_are_what_aten_counts_without_biases_in_every_design(name: str, form: Form) -> None:
    assert_aten_agrees(design(name).at(64, 33), form)


@pytest.mark.parametrize("form", list(Form))
def test_products_are_what_aten_counts_without_biases_in_random_architectures(form: Form) -> None:
    for seed in range(10):
        assert_aten_agrees(any_architecture(np.random.default_rng(seed)), form)


def assert_aten_agrees(architecture: Architecture, form: Form) -> None:
    """ptflops sees convolutions and matrix products, and a bias wherever one is added; it sees no norm."""
    params, macs = aten_counts(architecture, form)
    biases = sum(row.op.biases * row.op.positions for row in layers(architecture, form))
    counted = form_cost(architecture, form)
    assert (params, macs - biases) == (counted.params, counted.products)


def test_layers_add_up_to_the_cost() -> None:
    for seed in range(20):
        architecture = any_architecture(np.random.default_rng(seed))
        for form in Form:
            rows, counted = layers(architecture, form), form_cost(architecture, form)
            assert len({row.path for row in rows}) == len(rows)
            assert sum(row.op.params for row in rows) == counted.params
            assert sum(row.op.macs for row in rows) == counted.macs
            assert sum(row.op.products for row in rows) == counted.products


def test_the_baseline_is_deployed_unfolded_because_folding_crosses_the_limit() -> None:
    counted = cost(design("cp-mobile-2025"))
    assert (counted.deployed.form, counted.deployed.macs) == (Form.UNFOLDED, 29_419_156)
    assert counted.feasible
    roomy = cost(design("cp-mobile-2025"), Budget(macs=31_000_000))
    assert (roomy.deployed.form, roomy.deployed.macs) == (Form.FOLDED, 30_216_768)


def test_of_two_forms_that_do_not_fit_the_one_that_is_less_over_is_deployed() -> None:
    design_2025 = design("cp-mobile-2025")
    assert cost(design_2025, Budget(macs=1_000_000)).deployed.form is Form.UNFOLDED
    assert cost(design_2025, Budget(weight_bytes=1_000)).deployed.form is Form.FOLDED


def test_excess_is_relative_and_only_for_limits_that_are_crossed() -> None:
    counted = cost(design("cp-mobile-2025"), Budget(weight_bytes=100_000, macs=31_000_000, peak_bytes=1_000))
    assert counted.excess == pytest.approx({"weight_bytes": 0.19588, "peak_bytes": 347.16})
    assert not counted.feasible


def test_a_cost_that_meets_its_limit_exactly_fits() -> None:
    deployed_cost = cost(design("sharif")).deployed
    exact = Budget(deployed_cost.weight_bytes, deployed_cost.macs, deployed_cost.peak_bytes)
    assert cost(design("sharif"), exact).feasible
    assert not cost(design("sharif"), replace(exact, macs=exact.macs - 1)).feasible


def test_feasible_means_that_every_limit_holds() -> None:
    budget = Budget(weight_bytes=64_000, macs=5_000_000)
    verdicts = []
    for architecture in random_architectures(300, seed=3):
        counted = cost(architecture, budget)
        holds = counted.deployed.weight_bytes <= 64_000 and counted.deployed.macs <= 5_000_000
        assert counted.feasible == holds
        verdicts.append(holds)
    assert 0 < np.mean(verdicts) < 1


def test_stored_bytes_of_each_precision() -> None:
    weights, scales, others = 1000, 40, 60
    assert stored_bytes(weights, scales, others, "fp32") == 4 * 1060
    assert stored_bytes(weights, scales, others, "fp16") == 2 * 1060
    assert stored_bytes(weights, scales, others, "int8") == 1000 + 4 * 40 + 4 * 60


@pytest.mark.parametrize("form", list(Form))
def test_weight_bytes_are_those_of_the_built_tensors(form: Form) -> None:
    """One byte for each weight in int8, one float32 scale for each of its output channels, float32 for the rest."""
    for seed in range(20):
        architecture = any_architecture(np.random.default_rng(seed))
        tensors = list(deployed(build(architecture), form).parameters())
        # Weights of convolutions and linear layers are the tensors of two axes and more (a lambda is (C, 1, 1)).
        weights = [tensor for tensor in tensors if tensor.ndim in (2, 4)]
        rest = sum(tensor.numel() for tensor in tensors) - sum(tensor.numel() for tensor in weights)
        in_int8 = sum(tensor.numel() + 4 * tensor.shape[0] for tensor in weights) + 4 * rest
        whole = sum(tensor.numel() for tensor in tensors)
        expected = {"fp32": 4 * whole, "fp16": 2 * whole, "int8": in_int8}
        for precision, size in expected.items():
            assert form_cost(replace(architecture, precision=precision), form).weight_bytes == size


@pytest.mark.parametrize(("name", "bytes_"), [("cp-mobile-2025", 122_296), ("dynacp", 123_300), ("sharif", 62_520)])
def test_the_deployed_designs_have_the_published_bytes(name: str, bytes_: int) -> None:
    form = Form.FOLDED if name == "sharif" else Form.UNFOLDED
    assert form_cost(replace(design(name), precision="fp16"), form).weight_bytes == bytes_


def test_a_part_without_a_formula_is_refused() -> None:
    with pytest.raises(NasError, match="no cost formula for int"):
        part_ops(3, (1, 8, 8), Form.TRAINING)  # type: ignore[arg-type]
