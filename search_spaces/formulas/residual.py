"""CP-ResNet's block."""

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.convolutions import conv_norm
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import ResidualBlock


def residual_block(part: ResidualBlock, shape: Shape, form: Form) -> list[Op]:
    result, start = [], "input"
    if part.stride != (1, 1):
        shape = (shape[0], shape[1] // part.stride[0], shape[2] // part.stride[1])
        result.append(ops.pool("pool", "input", shape))
        start = "pool"
    outer = (part.width, *shape[1:])
    first, second = ((side, side) for side in part.kernels)
    result += conv_norm("conv1", start, shape[0], outer, first, form, part.groups)
    result += conv_norm("conv2", "conv1", part.width, outer, second, form, part.groups)
    if part.width == shape[0]:
        return [*result, ops.add("add", ("conv2", start), outer)]
    result += conv_norm("shortcut", start, shape[0], outer, (1, 1), form, part.groups)
    return [*result, ops.add("add", ("conv2", "shortcut"), outer)]
