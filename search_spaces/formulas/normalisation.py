"""Normalisations inside parts and after stages."""

from search_spaces.formulas import ops
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import InnerNorm, StageNorm


def inner_norm(name: str, source: str, shape: Shape, kind: InnerNorm) -> Op:
    """A batch norm, or residual normalisation with a lambda for each channel or for all."""
    if kind == "batch":
        return ops.norm(name, source, shape)
    return ops.residual_norm(name, source, shape, lambdas=shape[0] if kind == "residual" else 1)


def stage_norm(name: str, source: str, shape: Shape, kind: StageNorm) -> list[Op]:
    """The normalisation after a stage, if any; that of each frequency has one learnable scalar, which nobody counts."""
    if kind == "none":
        return []
    if kind == "frequency":
        return [ops.unseen(name, source, shape, params=1)]
    return [inner_norm(name, source, shape, kind)]
