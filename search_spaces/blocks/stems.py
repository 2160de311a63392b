"""Stems: from the features, (batch, 1, mels, frames), to the first map."""

from collections import OrderedDict

from torch import nn

from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.normalisation import inner_norm
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.parts import ConvStem, RepStem, ResNetStem

HALF = (2, 2)


def conv_stem(stem: ConvStem) -> nn.Sequential:
    """CP-Mobile's stem."""
    first, second = stem.widths
    return nn.Sequential(
        OrderedDict(
            conv1=ConvNorm(1, first, 3, stride=HALF),
            relu1=nn.ReLU(),
            conv2=ConvNorm(first, second, 3, stride=HALF),
            relu2=nn.ReLU(),
        )
    )


def rep_stem(stem: RepStem) -> nn.Sequential:
    """The Sharif stem. No norm of it folds: each stands before a zero-padded convolution or is not a batch norm."""
    first, second = stem.widths
    conv1, conv2 = RepConv2d(stem.conv, 1, first, stride=HALF), RepConv2d(stem.conv, first, second, stride=HALF)
    norm2 = inner_norm(stem.norm, first)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stem.input_norm:
        layers["norm1"] = nn.BatchNorm2d(1)
    if stem.norm == "batch":
        layers.update(conv1=conv1, relu1=nn.ReLU(), norm2=norm2, conv2=conv2, relu2=nn.ReLU())
    else:
        norm3 = inner_norm(stem.norm, second)
        layers.update(conv1=conv1, norm2=norm2, relu1=nn.ReLU(), conv2=conv2, norm3=norm3, relu2=nn.ReLU())
    if stem.dropout:
        layers["dropout"] = nn.Dropout(stem.dropout)
    return nn.Sequential(layers)


def resnet_stem(stem: ResNetStem) -> nn.Sequential:
    """CP-ResNet's stem."""
    return nn.Sequential(OrderedDict(conv=ConvNorm(1, stem.width, 5, stride=HALF, padding=1), relu=nn.ReLU()))
