"""What a dynamic block of DyMN learns from its input before it begins."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.blocks.conv_norm import centred_conv, kaiming
from trainers.efficientat.layers import batch_norm
from trainers.efficientat.plan import Block


class Context(NamedTuple):
    """Of one batch.

    Attributes:
        vector: Steers convolutions and ReLU; (batch, context).
        frequency: Attention in (0, 1) for the depthwise convolution's output, over bands; (batch, expanded, bands, 1).
        time: The same over frames; (batch, expanded, 1, frames).
    """

    vector: Tensor
    frequency: Tensor
    time: Tensor


class ContextGenerator(nn.Module):
    """Means over time and over frequency, as one sequence through a shared layer, then apart again (coordinate
    attention: Hou et al. 2021).

    Args:
        size: Of the context vector.
    """

    def __init__(self, block: Block, size: int) -> None:
        super().__init__()
        self.joint_conv = kaiming(centred_conv(block.c_in, size, 1))
        self.joint_norm = batch_norm(size)
        self.joint_act = nn.Hardswish()
        self.conv_f = kaiming(centred_conv(size, block.expanded, 1, bias=True))
        self.conv_t = kaiming(centred_conv(size, block.expanded, 1, bias=True))
        # Along the sequence, so that it keeps step with the map of the depthwise convolution.
        self.pool = (
            nn.Identity() if block.stride == 1 else nn.AvgPool2d((3, 1), stride=(block.stride, 1), padding=(1, 0))
        )

    def forward(self, x: Tensor) -> Context:
        bands, frames = x.shape[2:]
        sequence = torch.cat([x.mean(dim=3), x.mean(dim=2)], dim=2)[..., None]
        joint = self.joint_act(self.joint_norm(self.joint_conv(sequence)))
        over_bands, over_frames = joint.split([bands, frames], dim=2)
        return Context(
            vector=joint.mean(dim=(2, 3)),
            frequency=torch.sigmoid(self.conv_f(self.pool(over_bands))),
            time=torch.sigmoid(self.conv_t(self.pool(over_frames))).transpose(2, 3),
        )
