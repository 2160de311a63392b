"""DyMN: the plan of MN with dynamic blocks throughout (Schmid et al. 2024, "Dynamic convolutional neural networks as
efficient pre-trained audio models"; https://github.com/fschmid56/EfficientAT).

Modules have the names of the published state dicts.
"""

from torch import Tensor, nn

from search_spaces.widths import make_divisible
from trainers.efficientat.context import Context, ContextGenerator
from trainers.efficientat.dynamic import DynamicDepthwise, DynamicPointwise, DynamicReLU
from trainers.efficientat.layers import activation, batch_norm, classifier, first_conv, last_conv
from trainers.efficientat.plan import Block, plan


def context_size(expanded: int, width: float) -> int:
    """Of the context vector: a quarter of the expanded channels, within 32 to 128 times the network's width, all made
    divisible by 8."""
    least, most = make_divisible(32 * width), make_divisible(128 * width)
    return min(max(make_divisible(expanded // 4), least), most)


class DynamicBlock(nn.Module):
    """An inverted residual with dynamic convolutions, dynamic ReLU after the depthwise one and coordinate attention."""

    def __init__(self, block: Block, context: int, tau: float) -> None:
        super().__init__()
        expanded = block.expanded
        self.context_gen = ContextGenerator(block, context)
        self.exp_conv = DynamicPointwise(block.c_in, expanded, context, tau) if block.expands else None
        self.exp_norm = batch_norm(expanded) if block.expands else nn.Identity()
        self.exp_act = activation(hard_swish=block.hard_swish)
        self.depth_conv = DynamicDepthwise(expanded, block.kernel, block.stride, context, tau)
        self.depth_norm = batch_norm(expanded)
        self.depth_act = DynamicReLU(expanded, context)
        self.proj_conv = DynamicPointwise(expanded, block.width, context, tau)
        self.proj_norm = batch_norm(block.width)
        self.has_shortcut = block.has_shortcut

    def forward(self, x: Tensor) -> Tensor:
        context: Context = self.context_gen(x)
        y: Tensor = x
        if self.exp_conv is not None:
            y = self.exp_act(self.exp_norm(self.exp_conv(y, context.vector)))
        y = self.depth_norm(self.depth_conv(y, context.vector))
        y = self.depth_act(y, context.vector) * context.frequency * context.time
        y = self.proj_norm(self.proj_conv(y, context.vector))
        return y + x if self.has_shortcut else y


class DynamicMobileNet(nn.Module):
    """(batch, 1, mels, frames) -> (batch, classes)."""

    def __init__(self, width: float, classes: int, tau: float) -> None:
        super().__init__()
        planned = plan(width)
        self.in_c = first_conv(planned)
        self.layers = nn.Sequential(
            *(DynamicBlock(block, context_size(block.expanded, width), tau) for block in planned.blocks)
        )
        self.out_c = last_conv(planned)
        self.classifier = classifier(planned, classes, "mlp")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.out_c(self.layers(self.in_c(x))))
        return logits
