"""The exact cost of an architecture, from formulas, without building a network."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.forms import Form
from search_spaces.formulas.ops import Op, Shape
from search_spaces.formulas.registry import Classifier, Part, PoolAndClassify, StageEnd, StagePooling, part_ops
from search_spaces.memory import least_peak
from search_spaces.parts import Precision

ELEMENT_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class FormCost:
    """What one form of a network costs.

    Attributes:
        form: Which form.
        params: Stored values, as the challenge counts them (running statistics are not parameters).
        weight_bytes: Of the parameters at the architecture's precision; see `stored_bytes`.
        macs: For one clip, by the challenge's counter (`search_spaces.formulas.ops`).
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
    worst = {c.form: max(excess_over(c, budget).values(), default=0.0) for c in (folded, unfolded)}
    deployed = unfolded if worst[Form.UNFOLDED] < worst[Form.FOLDED] else folded
    return Cost(form_cost(architecture, Form.TRAINING), deployed, excess_over(deployed, budget))


def form_cost(architecture: Architecture, form: Form) -> FormCost:
    """Cost of one form of an architecture."""
    weights = scales = others = macs = products = peak = 0
    for step in _walk(architecture):
        sums = _sums(step.part, step.shape, form, step.keep_input)
        weights += sums.weights
        scales += sums.scales
        others += sums.others
        macs += sums.macs
        products += sums.products
        # Parts are joined by single maps, so the least peak of the network is the largest of its parts' least peaks.
        peak = max(peak, sums.peak + step.held)
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
        LayerRow(f"{step.path}.{op.name}", op)
        for step in _walk(architecture)
        for op in part_ops(step.part, step.shape, form)
    ]


def excess_over(form: FormCost, budget: Budget) -> dict[str, float]:
    """The relative excess of one form over each limit that it crosses."""
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
def _sums(part: Part, shape: Shape, form: Form, keep_input: bool) -> _Sums:
    ops = part_ops(part, shape, form)
    return _Sums(
        weights=sum(op.weights for op in ops),
        scales=sum(op.scales for op in ops),
        others=sum(op.biases + op.others for op in ops),
        macs=sum(op.macs for op in ops),
        products=sum(op.products for op in ops),
        peak=least_peak(ops, shape[0] * shape[1] * shape[2], keep_input=keep_input),
        shape=ops[-1].shape,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One part where it stands.

    Attributes:
        shape: Of its input.
        keep_input: Whether its input is still needed afterwards.
        held: Elements of other maps that are needed afterwards.
    """

    path: str
    part: Part
    shape: Shape
    keep_input: bool = False
    held: int = 0


def _walk(architecture: Architecture) -> Iterator[_Step]:
    """The parts of an architecture from input to output; each runs as soon as it can, the pooling of a stage too."""

    def output(step: _Step) -> Shape:
        return _sums(step.part, step.shape, Form.UNFOLDED, False).shape

    head, classes = architecture.head, architecture.classes
    step = _Step("stem", architecture.stem, (1, architecture.input.mels, architecture.input.frames))
    yield step
    stem = shape = output(step)
    pooled = 0  # values that a head which pools every stage has gathered
    for s, stage in enumerate(architecture.stages, 1):
        # The stem's output waits for the last stage that concatenates it.
        waits = any(later.concat for later in architecture.stages[s - 1 :])
        stem_held = _size(stem) if waits and s > 1 else 0
        stage_input = _size(shape)
        for b, block in enumerate(stage.blocks, 1):
            keep = b == 1 and (stage.skip or (waits and s == 1))
            held = stem_held + pooled + (stage_input if b > 1 and (stage.skip or (waits and s == 1)) else 0)
            step = _Step(f"stage{s}.block{b}", block, shape, keep, held)
            yield step
            shape = output(step)
        around = (_size(stem) if waits else 0) + pooled
        if stage.norm != "none":
            yield _Step(f"stage{s}", StageEnd(stage.norm), shape, held=around)
        if head.every_stage:
            last = s == len(architecture.stages)
            yield _Step(f"stage{s}.pooling", StagePooling(head), shape, keep_input=not last, held=around)
            pooled += 2 * shape[0]
        if stage.concat:
            step = _Step(f"stage{s}", StageEnd("none", concat=stem[0]), shape, held=around)
            yield step
            shape = output(step)
    if head.every_stage:
        yield _Step("head", Classifier(head, classes), (pooled, 1, 1))
    else:
        yield _Step("head", PoolAndClassify(head, classes), shape)


def _size(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]
