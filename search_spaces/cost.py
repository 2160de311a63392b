"""The exact cost of an architecture, from formulas, without building a network."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from search_spaces.architecture import Architecture, Precision
from search_spaces.budget import Budget
from search_spaces.forms import Form
from search_spaces.memory import least_peak
from search_spaces.ops import Op, Shape
from search_spaces.parts import Part, StageNorm, part_ops

ELEMENT_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class FormCost:
    """What one form of a network costs.

    Attributes:
        form: Which form.
        params: Stored values, as the challenge counts them (running statistics are not parameters).
        weight_bytes: Of the parameters at the architecture's precision; see `stored_bytes`.
        macs: For one clip, by the challenge's counter (`search_spaces.ops`).
        products: Multiplications with weights of convolutions and linear layers only.
        peak_bytes: Activations alive at once at the architecture's precision, over the best execution order.
    """

    form: Form
    params: int
    weight_bytes: int
    macs: int
    products: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of the training form and of the form that is deployed, held against a budget.

    Attributes:
        excess: For each limit the deployed form crosses: cost divided by limit, minus 1.
    """

    training: FormCost
    deployed: FormCost
    excess: dict[str, float]

    @property
    def feasible(self) -> bool:
        """Whether every limit holds for the deployed form."""
        return not self.excess

    def to_json(self) -> dict[str, Any]:
        """Keys: training, deployed (each a `FormCost`), feasible, excess."""
        return {
            "training": asdict(self.training),
            "deployed": asdict(self.deployed),
            "feasible": self.feasible,
            "excess": self.excess,
        }


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One operation with its place in the network, for tables and diagrams."""

    path: str
    op: Op


def cost(architecture: Architecture, budget: Budget | None = None) -> Cost:
    """Cost of an architecture under a budget (by default the challenge's).

    The deployed form is the folded one if it fits; the unfolded one if only that fits; if neither does, the one
    whose worst excess is smaller.
    """
    budget = budget or Budget()
    folded, unfolded = form_cost(architecture, Form.FOLDED), form_cost(architecture, Form.UNFOLDED)
    worst = {c.form: max(_excess(c, budget).values(), default=0.0) for c in (folded, unfolded)}
    deployed = unfolded if worst[Form.UNFOLDED] < worst[Form.FOLDED] else folded
    return Cost(form_cost(architecture, Form.TRAINING), deployed, _excess(deployed, budget))


def form_cost(architecture: Architecture, form: Form) -> FormCost:
    """Cost of one form of an architecture."""
    weights = scales = others = macs = products = peak = 0
    for _, part, shape, keep_input, held in _walk(architecture, form):
        sums = _sums(part, shape, form, architecture.classes, keep_input)
        weights += sums.weights
        scales += sums.scales
        others += sums.others
        macs += sums.macs
        products += sums.products
        # Parts are joined by single maps, so the least peak of the network is the largest of its parts' least peaks.
        peak = max(peak, sums.peak + held)
    return FormCost(
        form=form,
        params=weights + others,
        weight_bytes=stored_bytes(weights, scales, others, architecture.precision),
        macs=macs,
        products=products,
        peak_bytes=peak * ELEMENT_BYTES[architecture.precision],
    )


def stored_bytes(weights: int, scales: int, others: int, precision: Precision) -> int:
    """Bytes of the stored parameters.

    fp32 and fp16 store every parameter in 4 or 2 bytes. int8 stores weights of convolutions and linear layers in
    one byte, with one float32 scale for each output channel, and everything else (biases, normalisations, scalars)
    in 4 bytes, as the int8 kernels of microcontroller runtimes expect.
    """
    if precision == "int8":
        return weights + 4 * (scales + others)
    return ELEMENT_BYTES[precision] * (weights + others)


def layers(architecture: Architecture, form: Form) -> list[LayerRow]:
    """Every operation of one form, from input to output."""
    return [
        LayerRow(f"{path}.{op.name}", op)
        for path, part, shape, _, _ in _walk(architecture, form)
        for op in part_ops(part, shape, form, architecture.classes)
    ]


def _excess(form: FormCost, budget: Budget) -> dict[str, float]:
    return budget.excess({"weight_bytes": form.weight_bytes, "macs": form.macs, "peak_bytes": form.peak_bytes})


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over the operations of one part, and its output shape; a pure function of the part and its input."""

    weights: int
    scales: int
    others: int
    macs: int
    products: int
    peak: int
    shape: Shape


@lru_cache(maxsize=1 << 16)
def _sums(part: Part, shape: Shape, form: Form, classes: int, keep_input: bool) -> _Sums:
    ops = part_ops(part, shape, form, classes)
    return _Sums(
        weights=sum(op.weights for op in ops),
        scales=sum(op.scales for op in ops),
        others=sum(op.others for op in ops),
        macs=sum(op.macs for op in ops),
        products=sum(op.products for op in ops),
        peak=least_peak(ops, shape[0] * shape[1] * shape[2], keep_input=keep_input),
        shape=ops[-1].shape,
    )


def _walk(architecture: Architecture, form: Form) -> Iterator[tuple[str, Part, Shape, bool, int]]:
    """Path, part, input shape, whether the input must survive the part, and elements a skip holds meanwhile."""

    def output(part: Part) -> Shape:
        return _sums(part, shape, form, architecture.classes, False).shape

    shape: Shape = (1, architecture.input.mels, architecture.input.frames)
    yield "stem", architecture.stem, shape, False, 0
    shape = output(architecture.stem)
    for s, stage in enumerate(architecture.stages, 1):
        stage_input = shape[0] * shape[1] * shape[2]
        for b, block in enumerate(stage.blocks, 1):
            keep = stage.skip and b == 1
            yield f"stage{s}.block{b}", block, shape, keep, stage_input if stage.skip and b > 1 else 0
            shape = output(block)
        if stage.norm == "residual":
            yield f"stage{s}", StageNorm(), shape, False, 0
    yield "head", architecture.head, shape, False, 0
