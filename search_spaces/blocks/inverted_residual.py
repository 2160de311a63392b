"""The inverted residual; CP-Mobile's own, and the one with a RepConv."""

from torch import Tensor, nn

from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.blocks.normalisation import GlobalResponseNormalization
from search_spaces.blocks.rep_conv import normed_rep_conv
from search_spaces.parts import CPMobileBlock, RepMobileBlock


class InvertedResidual(nn.Module):
    """Expand, a spatial part at the expanded width, project, an optional shortcut, an optional GRN, activation.

    `cp_mobile`, `rep_mobile` and `dpcp.dpcp` make the kinds.
    """

    def __init__(
        self,
        c_in: int,
        width: int,
        expanded: int,
        *,
        spatial: nn.Module,
        shortcut: nn.Module | None,
        activation: nn.Module,
        grn: bool = False,
        output_activation: bool = True,
    ) -> None:
        super().__init__()
        self.expand = ConvNorm(c_in, expanded, 1)
        self.spatial = spatial
        self.project = ConvNorm(expanded, width, 1)
        self.shortcut = shortcut
        self.grn = GlobalResponseNormalization() if grn else None
        self.activation = activation
        self.output_activation = output_activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.activation(self.spatial(self.activation(self.expand(x)))))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        if self.grn is not None:
            y = self.grn(y)
        if self.output_activation:
            y = self.activation(y)
        return y


def cp_mobile(block: CPMobileBlock, c_in: int) -> InvertedResidual:
    """CP-Mobile's block: a depthwise 3x3 with batch norm; ReLU."""
    return InvertedResidual(
        c_in,
        block.width,
        block.expanded,
        spatial=ConvNorm(block.expanded, block.expanded, 3, stride=block.stride, groups=block.expanded),
        shortcut=_shortcut(block, c_in, pooled=block.pooled_shortcut),
        activation=nn.ReLU(),
        grn=block.grn,
    )


def rep_mobile(block: RepMobileBlock, c_in: int) -> InvertedResidual:
    """CP-Mobile's block with a RepConv."""
    return InvertedResidual(
        c_in,
        block.width,
        block.expanded,
        spatial=normed_rep_conv(block.conv, block.expanded, block.expanded, stride=block.stride, groups=block.expanded),
        shortcut=_shortcut(block, c_in),
        activation=nn.ReLU(),
    )


def average_pool(stride: tuple[int, int]) -> nn.AvgPool2d:
    """3x3, padded with zeros that count in the mean."""
    return nn.AvgPool2d(3, stride=stride, padding=1)


def _shortcut(block: CPMobileBlock | RepMobileBlock, c_in: int, *, pooled: bool = True) -> nn.Module | None:
    if block.width != c_in:
        return None
    if block.stride == (1, 1):
        return nn.Identity()
    return average_pool(block.stride) if pooled else None
