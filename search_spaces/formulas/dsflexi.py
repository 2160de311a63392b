"""The DSFlexi blocks of the Sharif student and its teachers."""

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.convolutions import rep_conv, strided
from search_spaces.formulas.normalisation import inner_norm
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import DSFlexiABlock, DSFlexiBlock, DSFlexiMBlock


def student(part: DSFlexiBlock, shape: Shape, form: Form) -> list[Op]:
    outer = strided(shape, part.width, part.stride)
    result = [
        ops.conv("shortcut", "input", shape[0], outer, (1, 1)),
        *_separable(part, shape, outer, form),
        ops.add("add", ("spatial", "shortcut"), outer),
    ]
    if part.spare_norm:
        result.append(ops.unseen("spare_norm", "add", outer, params=2 * part.width))
    return result


def teacher_a(part: DSFlexiABlock, shape: Shape, form: Form) -> list[Op]:
    outer = strided(shape, part.width, part.stride)
    return [
        ops.conv("shortcut", "input", shape[0], outer, (1, 1), bias=True),
        *_separable(part, shape, outer, form),
        ops.norm("norm3", "spatial", outer),
        ops.conv("scale", "norm3", part.width, outer, (1, 1), groups=part.width),
        ops.add("add", ("scale", "shortcut"), outer),
        ops.residual_norm("norm", "add", outer, lambdas=1),
    ]


def teacher_m(part: DSFlexiMBlock, shape: Shape, form: Form) -> list[Op]:
    wide = (part.expanded, *shape[1:])
    inner = strided(shape, part.expanded, part.stride)
    outer = strided(shape, part.width, part.stride)
    unused = inner_norm("unused_norm", "expand", shape, part.norm)
    return [
        ops.conv("shortcut", "input", shape[0], outer, (1, 1), bias=True),
        ops.conv("expand", "input", shape[0], wide, (1, 1)),
        ops.unseen("unused_norm", "expand", wide, params=unused.params, counted=unused.counted),
        inner_norm("norm1", "unused_norm", wide, part.norm),
        *rep_conv("spatial", "norm1", part.expanded, inner, part.conv, form, stride=part.stride, groups=part.expanded),
        inner_norm("norm2", "spatial", inner, part.norm),
        ops.conv("project", "norm2", part.expanded, outer, (1, 1)),
        ops.add("add", ("project", "shortcut"), outer),
        ops.residual_norm("norm", "add", outer, lambdas=1 if part.norm == "batch" else part.width),
    ]


def _separable(part: DSFlexiBlock | DSFlexiABlock, shape: Shape, outer: Shape, form: Form) -> list[Op]:
    """Norm, 1x1, norm, depthwise RepConv: the main path that student and teacher a share."""
    wide = (part.width, *shape[1:])
    return [
        ops.norm("norm1", "input", shape),
        ops.conv("pointwise", "norm1", shape[0], wide, (1, 1)),
        ops.norm("norm2", "pointwise", wide),
        *rep_conv("spatial", "norm2", part.width, outer, part.conv, form, stride=part.stride, groups=part.width),
    ]
