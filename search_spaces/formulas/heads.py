"""Heads: from the last map to the logits."""

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.convolutions import conv_norm
from search_spaces.formulas.normalisation import inner_norm
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import Head


def head(part: Head, shape: Shape, form: Form, classes: int) -> list[Op]:
    """Everything after the last map, for heads that read only that."""
    if part.pooling == "learnable":
        return [*learnable_pooling(part, shape, form), *classifier(part, "pool", 2 * shape[0], classes)]
    if part.pooling == "gem":
        generalised_mean = Op("pool", ("input",), (shape[0], 1, 1), others=1)
        return [generalised_mean, ops.linear("classify", "pool", shape[0], classes)]
    scores = (classes, *shape[1:])
    classified = conv_norm("classify", "input", shape[0], scores, (1, 1), form)
    if part.pooling == "attention":
        attend = ops.conv("attend", "input", shape[0], scores, (1, 1), bias=True)
        return [*classified, attend, Op("pool", ("classify", "attend"), (classes, 1, 1))]
    return [*classified, ops.pool("pool", "classify", (classes, 1, 1))]


def learnable_pooling(part: Head, shape: Shape, form: Form) -> list[Op]:
    """Attention and average pooling of one map, side by side: (C, mels, frames) to 2C values."""
    width, half = shape[0], (shape[0] // 2, *shape[1:])
    if part.norm == "batch":
        hidden = conv_norm("attention_hidden", "attention_norm", width, half, (1, 1), form)
    else:
        hidden = [
            ops.conv("attention_hidden.conv", "attention_norm", width, half, (1, 1)),
            inner_norm("attention_hidden", "attention_hidden.conv", half, part.norm),
        ]
    return [
        inner_norm("attention_norm", "input", shape, part.norm),
        *hidden,
        ops.conv("attention_score", "attention_hidden", width // 2, shape, (1, 1)),
        Op("pool", ("input", "attention_score"), (2 * width, 1, 1)),
    ]


def classifier(part: Head, source: str, features: int, classes: int) -> list[Op]:
    """Batch norm and linear layers behind learnable pooling."""
    result = [ops.norm("norm", source, (features, 1, 1))]
    if part.hidden is None:
        return [*result, ops.linear("classify", "norm", features, classes)]
    return [
        *result,
        ops.linear("hidden", "norm", features, part.hidden),
        ops.linear("classify", "hidden", part.hidden, classes),
    ]
