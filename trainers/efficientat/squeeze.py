"""Squeeze-excitation over the channels (Hu et al. 2018), as EfficientAT names and sizes it."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from search_spaces.widths import make_divisible
from trainers.efficientat.layers import linear


class ChannelSqueeze(nn.Module):
    """Scales each channel by what a small perceptron makes of the means of all channels.

    (batch, channels, frequency, time), the same shape out. The inner width is a quarter of the channels, made divisible
    by 8; ReLU inside, a sigmoid at the end.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = make_divisible(channels // 4)
        self.fc1 = linear(channels, squeezed)
        self.fc2 = linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3))))))
        return x * scale[:, :, None, None]


def squeeze_excitation(channels: int) -> nn.Sequential:
    """The layer under the name that it has among EfficientAT's concurrent ones, of which the channels' is the only."""
    return nn.Sequential(OrderedDict(conc_se_layers=nn.Sequential(ChannelSqueeze(channels))))
