"""Which architectures are one network once they are deployed, though they are trained as different ones.

Kernel sets with one bounding box merge into the same convolution, norms on branches fold as one norm behind them does,
and average pooling beside a convolution of the same taps folds away. Such siblings learn differently, so each is worth
training; but their costs are equal, and what runs on the microcontroller differs in its weights alone.
"""

from dataclasses import asdict
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.digest import digest
from search_spaces.forms import Form
from search_spaces.parts import Block, CPMobileBlock, DPCPBlock, RepConv, RepConvBlock, RepMobileBlock, Stem


def deployed_identity(architecture: Architecture, form: Form) -> str:
    """16 hexadecimal digits; equal exactly for architectures whose networks in that form differ in their weights alone.

    Args:
        form: One that is deployed: folded or unfolded.
    """
    canonical = architecture.canonical()
    data = canonical.to_json() | {"form": form, "stem": _stem(canonical.stem, form)}
    c_in = canonical.stem.width
    for stage, told in zip(canonical.stages, data["stages"], strict=True):
        told["blocks"] = []
        for block in stage.blocks:
            told["blocks"].append(_block(block, c_in, form))
            c_in = block.width
        c_in += canonical.stem.width if stage.concat else 0
    return digest(data)


def _stem(stem: Stem, form: Form) -> dict[str, Any]:
    told: dict[str, Any] = asdict(stem)
    told.pop("dropout", None)
    if "conv" in told:
        told["conv"] = _convolution(stem.conv, False, form)  # type: ignore[union-attr]
    return told


def _block(block: Block, c_in: int, form: Form) -> dict[str, Any]:
    told: dict[str, Any] = asdict(block)
    if isinstance(block, DPCPBlock):
        told["mixing_start"] = None  # where a weight began
        if form is Form.FOLDED:
            if block.pooling == "average" and block.dilation == 1:
                told["pooling"] = "none"
            told |= {"norm_after": None, "mixing": None, "pool_conv": None}
            told["scalars"] = block.has_shortcut_scalar(c_in)
    elif isinstance(block, CPMobileBlock):
        told["conv"] = _convolution(RepConv(((3, 3),)), True, form)
        told["kind"] = "rep-mobile"
    elif hasattr(block, "conv"):
        normed = isinstance(block, RepMobileBlock | RepConvBlock)
        told["conv"] = _convolution(block.conv, normed, form)
        if isinstance(block, RepMobileBlock):
            told |= {"grn": False, "pooled_shortcut": True}
    return told


def _convolution(conv: RepConv, normed: bool, form: Form) -> dict[str, Any]:
    """What a RepConv of canonical form is deployed as: one kernel, and what stands behind it.

    Args:
        normed: Whether a batch norm stands behind it where its branches have none.
    """
    parallel = len(conv.kernels) + conv.identity > 1
    if conv.branch_norm == "batch":
        behind = "bias" if parallel or form is Form.FOLDED else "norm"
    else:
        behind = ("bias" if form is Form.FOLDED else "norm") if normed else "nothing"
    return {"kernel": list(conv.merged), "dilation": conv.dilation, "behind": behind}
