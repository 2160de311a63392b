"""Convolutions with what belongs to them: the batch norm after one, the parallel kernels of a RepConv."""

from dataclasses import replace

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import RepConv, Stride


def strided(shape: Shape, width: int, stride: Stride) -> Shape:
    """Output of a convolution or pooling with odd kernels, centred padding and any dilation."""
    return width, -(-shape[1] // stride[0]), -(-shape[2] // stride[1])


def conv_norm(
    name: str, source: str, c_in: int, shape: Shape, kernel: tuple[int, int], form: Form, groups: int = 1
) -> list[Op]:
    """A bias-free convolution and the batch norm after it, which folding turns into a bias."""
    if form is Form.FOLDED:
        return [ops.conv(name, source, c_in, shape, kernel, groups=groups, bias=True)]
    return [
        ops.conv(f"{name}.conv", source, c_in, shape, kernel, groups=groups),
        ops.norm(name, f"{name}.conv", shape),
    ]


def rep_conv(
    name: str,
    source: str,
    c_in: int,
    shape: Shape,
    spec: RepConv,
    form: Form,
    *,
    stride: Stride,
    groups: int = 1,
    norm_after: bool = False,
) -> list[Op]:
    """A RepConv: branches and their sum in training; one convolution when deployed.

    Args:
        norm_after: Whether a batch norm stands after the sum.
    """
    identity = spec.has_identity(c_in, shape[0], stride)
    parallel = len(spec.kernels) + identity > 1
    if form is Form.TRAINING:
        result = _branches(name, source, c_in, shape, spec, groups, identity)
    elif parallel:
        # Merging needs the norms of the branches folded, so it leaves a bias where there are any.
        bias = spec.branch_norm == "batch"
        result = [ops.conv(name, source, c_in, shape, spec.merged, groups=groups, bias=bias)]
    elif spec.branch_norm == "batch":
        return conv_norm(name, source, c_in, shape, spec.merged, form, groups)
    else:
        result = [ops.conv(name, source, c_in, shape, spec.merged, groups=groups)]
    if not norm_after:
        return result
    if form is Form.FOLDED:
        return [replace(result[0], biases=shape[0])]
    return [*_renamed(result, name, f"{name}.conv"), ops.norm(name, f"{name}.conv", shape)]


def _branches(name: str, source: str, c_in: int, shape: Shape, spec: RepConv, groups: int, identity: bool) -> list[Op]:
    result: list[Op] = []
    ends: list[str] = []
    for kernel in spec.kernels:
        branch = f"{name}.{kernel[0]}x{kernel[1]}"
        convolution = ops.conv(branch, source, c_in, shape, kernel, groups=groups)
        if spec.branch_norm == "batch":
            result += [replace(convolution, name=f"{branch}.conv"), ops.norm(branch, f"{branch}.conv", shape)]
        else:
            result.append(replace(convolution, others=2 * shape[0] if spec.branch_norm == "spare" else 0))
        ends.append(branch)
    if identity:
        branch = f"{name}.identity"
        if spec.branch_norm == "batch":
            result.append(ops.norm(branch, source, shape))
        elif spec.branch_norm == "spare":
            result.append(ops.unseen(branch, source, shape, params=2 * shape[0]))
        ends.append(source if spec.branch_norm == "none" else branch)
    total = ends[0]
    for number, end in enumerate(ends[1:], 1):
        result.append(ops.add(f"{name}.sum{number}", (total, end), shape))
        total = result[-1].name
    return _renamed(result, total, name)


def _renamed(described: list[Op], old: str, new: str) -> list[Op]:
    return [
        replace(
            op,
            name=new if op.name == old else op.name,
            inputs=tuple(new if source == old else source for source in op.inputs),
        )
        for op in described
    ]
