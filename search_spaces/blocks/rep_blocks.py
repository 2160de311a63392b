"""RepVGG's block: a full RepConv. (The RepConv inside an inverted residual is in `inverted_residual`.)"""

from collections import OrderedDict

from torch import nn

from search_spaces.blocks.rep_conv import normed_rep_conv
from search_spaces.parts import RepConvBlock


def rep_conv_block(block: RepConvBlock, c_in: int) -> nn.Sequential:
    """A RepConv with batch norm, and ReLU."""
    conv = normed_rep_conv(block.conv, c_in, block.width, stride=block.stride)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU()))
