"""Inverted residuals: CP-Mobile's, DynaCP's with its pooling branch, and the one with a RepConv."""

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.convolutions import conv_norm, rep_conv, strided
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import CPMobileBlock, DPCPBlock, RepMobileBlock


def cp_mobile(part: CPMobileBlock, shape: Shape, form: Form) -> list[Op]:
    inner = strided(shape, part.expanded, part.stride)
    spatial = conv_norm("spatial", "expand", part.expanded, inner, (3, 3), form, groups=part.expanded)
    result = _inverted_residual(part, shape, spatial, form, pooled_shortcut=part.pooled_shortcut)
    if part.grn:
        result.append(ops.unseen("grn", result[-1].name, result[-1].shape, params=2))
    return result


def rep_mobile(part: RepMobileBlock, shape: Shape, form: Form) -> list[Op]:
    inner = strided(shape, part.expanded, part.stride)
    spatial = rep_conv(
        "spatial",
        "expand",
        part.expanded,
        inner,
        part.conv,
        form,
        stride=part.stride,
        groups=part.expanded,
        norm_after=part.conv.branch_norm != "batch",
    )
    return _inverted_residual(part, shape, spatial, form)


def dpcp(part: DPCPBlock, shape: Shape, form: Form) -> list[Op]:
    inner = strided(shape, part.expanded, part.stride)
    spatial = _pooling_beside_depthwise(part, shape[0], inner, form)
    return _inverted_residual(part, shape, spatial, form, shortcut_scalars=int(part.has_shortcut_scalar(shape[0])))


def _pooling_beside_depthwise(part: DPCPBlock, c_in: int, inner: Shape, form: Form) -> list[Op]:
    depthwise = ops.conv(
        "depthwise", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=not part.pool_conv
    )
    folded = ops.conv("depthwise", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True)
    if part.pooling == "none":
        plain = ops.conv("spatial.conv", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True)
        whole = ops.conv("spatial", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True)
        return [whole] if form is Form.FOLDED else [plain, ops.norm("spatial", "spatial.conv", inner)]
    if form is Form.FOLDED:
        if part.pooling == "average" and part.dilation == 1:
            # Average pooling is a convolution with equal taps: beside an undilated 3x3 it folds away completely.
            return [ops.conv("spatial", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True)]
        return [
            folded,
            ops.pool("pool", "expand", inner),
            ops.channel_scale("pool_scale", "pool", inner),
            ops.add("spatial", ("depthwise", "pool_scale"), inner),
        ]
    branch = [ops.pool("pool", "expand", inner)]
    if part.pool_conv:
        branch.append(ops.conv("pool_conv", "pool", part.expanded, inner, (1, 1), groups=part.expanded))
    scalars = int(part.has_scalar(c_in))
    if part.norm_after == "sum":
        total = ops.add("sum", ("depthwise", branch[-1].name), inner, scalars=scalars)
        return [depthwise, *branch, total, ops.norm("spatial", "sum", inner)]
    normed = ops.norm("depthwise_norm", "depthwise", inner)
    return [depthwise, normed, *branch, ops.add("spatial", (normed.name, branch[-1].name), inner, scalars=scalars)]


def _inverted_residual(
    part: CPMobileBlock | DPCPBlock | RepMobileBlock,
    shape: Shape,
    spatial: list[Op],
    form: Form,
    *,
    pooled_shortcut: bool = True,
    shortcut_scalars: int = 0,
) -> list[Op]:
    """Expand, the spatial part given, project, and the addition that the shapes ask for."""
    outer = strided(shape, part.width, part.stride)
    result = [
        *conv_norm("expand", "input", shape[0], (part.expanded, *shape[1:]), (1, 1), form),
        *spatial,
        *conv_norm("project", "spatial", part.expanded, outer, (1, 1), form),
    ]
    if part.width != shape[0]:
        return result
    if part.stride == (1, 1):
        return [*result, ops.add("add", ("project", "input"), outer)]
    if not pooled_shortcut:
        return result
    shortcut = ops.pool("shortcut", "input", outer)
    return [*result, shortcut, ops.add("add", ("project", "shortcut"), outer, scalars=shortcut_scalars)]
