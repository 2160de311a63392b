"""RepVGG's block."""

from search_spaces.forms import Form
from search_spaces.formulas.convolutions import rep_conv, strided
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import RepConvBlock


def rep_conv_block(part: RepConvBlock, shape: Shape, form: Form) -> list[Op]:
    outer = strided(shape, part.width, part.stride)
    norm_after = part.conv.branch_norm != "batch"
    return rep_conv("conv", "input", shape[0], outer, part.conv, form, stride=part.stride, norm_after=norm_after)
