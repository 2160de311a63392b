"""Stems: from the features to the first map."""

from search_spaces.forms import Form
from search_spaces.formulas import ops
from search_spaces.formulas.convolutions import conv_norm, rep_conv, strided
from search_spaces.formulas.normalisation import inner_norm
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import ConvStem, RepStem, ResNetStem

HALF = (2, 2)


def conv_stem(part: ConvStem, shape: Shape, form: Form) -> list[Op]:
    first = strided(shape, part.widths[0], HALF)
    second = strided(first, part.widths[1], HALF)
    return [
        *conv_norm("conv1", "input", shape[0], first, (3, 3), form),
        *conv_norm("conv2", "conv1", first[0], second, (3, 3), form),
    ]


def rep_stem(part: RepStem, shape: Shape, form: Form) -> list[Op]:
    first = strided(shape, part.widths[0], HALF)
    second = strided(first, part.widths[1], HALF)
    result = [ops.norm("input_norm", "input", shape)] if part.input_norm else []
    start = "input_norm" if part.input_norm else "input"
    result += rep_conv("conv1", start, shape[0], first, part.conv, form, stride=HALF)
    result.append(inner_norm("norm1", "conv1", first, part.norm))
    result += rep_conv("conv2", "norm1", first[0], second, part.conv, form, stride=HALF)
    if part.norm != "batch":
        result.append(inner_norm("norm2", "conv2", second, part.norm))
    return result


def resnet_stem(part: ResNetStem, shape: Shape, form: Form) -> list[Op]:
    # Padding 1 around a 5x5 kernel is one less than centred.
    mels, frames = ((side - 3) // 2 + 1 for side in shape[1:])
    return conv_norm("conv", "input", shape[0], (part.width, mels, frames), (5, 5), form)
