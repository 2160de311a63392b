"""The layers that MN and DyMN share, freshly initialised."""

from typing import Literal

from torch import nn

from search_spaces.blocks.conv_norm import centred_conv, kaiming
from trainers.efficientat.plan import Plan

Head = Literal["mlp", "fully_convolutional"]


def linear(c_in: int, c_out: int) -> nn.Linear:
    """A linear layer; its weights start normal with deviation 0.01, its bias at 0."""
    layer = nn.Linear(c_in, c_out)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """MobileNetV3's batch norm, slower to follow and with a larger floor than torch's."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def activation(*, hard_swish: bool) -> nn.Module:
    """Hardswish or ReLU."""
    return nn.Hardswish() if hard_swish else nn.ReLU()


def conv_norm(
    c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """A bias-free centred convolution, batch norm and an activation, if any."""
    conv = kaiming(centred_conv(c_in, c_out, kernel, stride=(stride, stride), groups=groups))
    return nn.Sequential(conv, batch_norm(c_out), *([] if act is None else [act]))


def first_conv(plan: Plan) -> nn.Sequential:
    """(batch, 1, mels, frames) -> (batch, stem, mels / 2, frames / 2), rounded up."""
    return conv_norm(1, plan.stem, 3, stride=2, act=nn.Hardswish())


def last_conv(plan: Plan) -> nn.Sequential:
    """From the last block's channels to those that the head pools."""
    return conv_norm(plan.blocks[-1].width, plan.last, 1, act=nn.Hardswish())


def classifier(plan: Plan, classes: int, head: Head) -> nn.Sequential:
    """(batch, last, frequency, time) -> (batch, classes)."""
    if head == "fully_convolutional":
        conv = kaiming(centred_conv(plan.last, classes, 1))
        return nn.Sequential(conv, nn.BatchNorm2d(classes), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        linear(plan.last, plan.hidden),
        nn.Hardswish(),
        nn.Dropout(0.2),
        linear(plan.hidden, classes),
    )
