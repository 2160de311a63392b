"""MN: MobileNetV3-Large for spectrograms (Schmid et al. 2023, "Efficient large-scale audio tagging via
transformer-to-CNN knowledge distillation"; https://github.com/fschmid56/EfficientAT).

Modules have the names of the published state dicts.
"""

from torch import Tensor, nn

from trainers.efficientat.layers import Head, activation, classifier, conv_norm, first_conv, last_conv
from trainers.efficientat.plan import Block, Plan
from trainers.efficientat.squeeze import squeeze_excitation


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, squeeze-excitation where the plan has it, project 1x1; plus the input where it fits."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        if block.expands:
            parts.append(conv_norm(block.c_in, block.expanded, 1, act=activation(hard_swish=block.hard_swish)))
        parts.append(
            conv_norm(
                block.expanded,
                block.expanded,
                block.kernel,
                stride=block.stride,
                groups=block.expanded,
                act=activation(hard_swish=block.hard_swish),
            )
        )
        if block.squeezes:
            parts.append(squeeze_excitation(block.expanded))
        parts.append(conv_norm(block.expanded, block.width, 1))
        self.block = nn.Sequential(*parts)
        self.has_shortcut = block.has_shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y + x if self.has_shortcut else y


class MobileNet(nn.Module):
    """(batch, 1, mels, frames) -> (batch, classes)."""

    def __init__(self, plan: Plan, classes: int, head: Head) -> None:
        super().__init__()
        self.features = nn.Sequential(
            first_conv(plan), *(InvertedResidual(block) for block in plan.blocks), last_conv(plan)
        )
        self.classifier = classifier(plan, classes, head)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits
