"""The formulas equal the challenge's counter on the built network, in every form."""

from dataclasses import replace

import numpy as np
import pytest
import torchinfo
from draws import random_architectures
from ptflops import get_model_complexity_info

from search_spaces.architecture import Architecture, ConvStem, DSFlexiBlock, InputShape, Stage
from search_spaces.budget import Budget
from search_spaces.cost import cost, form_cost, layers, stored_bytes
from search_spaces.designs import design
from search_spaces.errors import NasError
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.memory import least_peak
from search_spaces.network import build
from search_spaces.ops import add
from search_spaces.parts import part_ops

# Published or measured on the published code: parameters and challenge MACs.
ANCHORS = [
    ("cp-mobile-2025", (256, 65), Form.TRAINING, 61_148, 29_419_156),
    ("cp-mobile-2025", (256, 65), Form.FOLDED, 59_794, 30_216_768),
    ("cp-mobile-2025", (256, 64), Form.TRAINING, 61_148, 26_954_388),
    ("cp-mobile-2025", (256, 89), Form.TRAINING, 61_148, 39_526_036),
    ("dynacp", (256, 89), Form.TRAINING, 61_650, 28_938_900),
    ("sharif", (256, 64), Form.TRAINING, 36_748, 34_605_996),
    ("sharif", (256, 64), Form.FOLDED, 31_260, 28_642_220),
]


def torchinfo_counts(architecture: Architecture, form: Form) -> tuple[int, int]:
    network = deployed(build(architecture), form)
    shape = (1, 1, architecture.input.mels, architecture.input.frames)
    summary = torchinfo.summary(network, input_size=shape, verbose=0)
    return summary.total_params, summary.total_mult_adds


@pytest.mark.parametrize(("name", "shape", "form", "params", "macs"), ANCHORS)
def test_formula_and_built_network_give_the_anchor(name, shape, form, params, macs) -> None:
    architecture = design(name).at(*shape)
    counted = form_cost(architecture, form)
    assert (counted.params, counted.macs) == (params, macs)
    assert torchinfo_counts(architecture, form) == (params, macs)


@pytest.mark.parametrize("form", list(Form))
def test_formula_equals_torchinfo_on_random_architectures(form: Form) -> None:
    for architecture in random_architectures(40, seed=list(Form).index(form)):
        counted = form_cost(architecture, form)
        assert torchinfo_counts(architecture, form) == (counted.params, counted.macs), architecture.to_json()


@pytest.mark.nightly
@pytest.mark.parametrize("form", list(Form))
def test_formula_equals_torchinfo_on_thousands_of_random_architectures(form: Form) -> None:
    different = [
        architecture.to_json()
        for architecture in random_architectures(2000, seed=100 + list(Form).index(form), mels=32, frames=17)
        if torchinfo_counts(architecture, form)
        != (form_cost(architecture, form).params, form_cost(architecture, form).macs)
    ]
    assert different == []


def test_products_equal_ptflops_on_a_network_without_biases() -> None:
    architecture = design("cp-mobile-2025")
    macs, params = get_model_complexity_info(
        build(architecture).eval(), (1, 256, 65), backend="aten", as_strings=False, print_per_layer_stat=False
    )
    counted = form_cost(architecture, Form.TRAINING)
    assert (counted.products, counted.params) == (macs, params) == (29_416_448, 61_148)


def test_layers_add_up_to_the_cost() -> None:
    for architecture in random_architectures(20, seed=9):
        for form in Form:
            rows, counted = layers(architecture, form), form_cost(architecture, form)
            assert len({row.path for row in rows}) == len(rows)
            assert sum(row.op.params for row in rows) == counted.params
            assert sum(row.op.macs for row in rows) == counted.macs


def test_the_baseline_is_deployed_unfolded_because_folding_crosses_the_limit() -> None:
    counted = cost(design("cp-mobile-2025"))
    assert (counted.deployed.form, counted.deployed.macs) == (Form.UNFOLDED, 29_419_156)
    assert counted.feasible
    roomy = cost(design("cp-mobile-2025"), Budget(macs=31_000_000))
    assert (roomy.deployed.form, roomy.deployed.macs) == (Form.FOLDED, 30_216_768)


def test_excess_is_relative_and_only_for_limits_that_are_crossed() -> None:
    counted = cost(design("cp-mobile-2025"), Budget(weight_bytes=100_000, macs=31_000_000, peak_bytes=1_000))
    assert counted.excess == pytest.approx({"weight_bytes": 0.19588, "peak_bytes": 347.16})
    assert not counted.feasible


def test_a_cost_that_meets_its_limit_exactly_fits() -> None:
    deployed_cost = cost(design("sharif")).deployed
    exact = Budget(deployed_cost.weight_bytes, deployed_cost.macs, deployed_cost.peak_bytes)
    assert cost(design("sharif"), exact).feasible
    assert not cost(design("sharif"), replace(exact, macs=exact.macs - 1)).feasible


def test_the_peak_of_a_network_is_the_least_over_all_orders_of_all_its_operations() -> None:
    """Summed from parts it equals the search over the whole graph, with the skip around a stage as one more reader."""
    kernels = ((1, 1), (3, 3))
    for skip, first in ((False, 8), (True, 8), (True, 16)):
        architecture = Architecture(
            InputShape(16, 8),
            ConvStem((4, first)),
            (Stage((DSFlexiBlock(first, kernels),) * 3, skip=skip), Stage((DSFlexiBlock(4, kernels),))),
            precision="int8",
        )
        ops, source, shape = [], "input", (1, 16, 8)
        stage_input = ""
        parts = [architecture.stem, *architecture.stages[0].blocks, "skip", *architecture.stages[1].blocks]
        for number, part in enumerate([*parts, architecture.head]):
            if part == "skip":
                if skip:
                    ops.append(add("skip", (source, stage_input), shape))
                    source = "skip"
                continue
            if number == 1:
                stage_input = source
            for op in part_ops(part, shape, Form.FOLDED, 10):
                named = tuple(source if name == "input" else f"{number}.{name}" for name in op.inputs)
                ops.append(replace(op, name=f"{number}.{op.name}", inputs=named))
            source, shape = ops[-1].name, ops[-1].shape
        assert form_cost(architecture, Form.FOLDED).peak_bytes == least_peak(ops, 16 * 8)


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


def test_peak_memory_of_the_baseline_equals_the_published_formula() -> None:
    """174,080 bytes in int8: inputs and outputs of each operation, plus what a shortcut keeps."""
    assert form_cost(design("cp-mobile-2025"), Form.FOLDED).peak_bytes == 2 * 174_080


def test_a_part_without_a_formula_is_refused() -> None:
    with pytest.raises(NasError, match="no cost formula for int"):
        part_ops(3, (1, 8, 8), Form.TRAINING, 10)  # type: ignore[arg-type]
