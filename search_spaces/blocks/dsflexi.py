"""The DSFlexi blocks of the Sharif student and of its teachers.

Nothing in them folds but the RepConv: their norms stand before convolutions, with an activation behind the
convolution, and before a zero-padded convolution the shift of a batch norm cannot become a bias, because the padding
is not shifted.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.normalisation import ResidualNormalization, inner_norm
from search_spaces.blocks.rep_conv import RepConv2d
from search_spaces.parts import DSFlexiABlock, DSFlexiBlock, DSFlexiMBlock


class DSFlexi(nn.Module):
    """The student's block."""

    def __init__(self, block: DSFlexiBlock, c_in: int) -> None:
        super().__init__()
        width = block.width
        self.shortcut = nn.Conv2d(c_in, width, 1, stride=block.stride, bias=False)
        self.norm1 = nn.BatchNorm2d(c_in)
        self.pointwise = nn.Conv2d(c_in, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.spatial = RepConv2d(block.conv, width, width, stride=block.stride, groups=width)
        self.spare_norm = nn.BatchNorm2d(width) if block.spare_norm else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(F.leaky_relu(self.pointwise(self.norm1(x)), 0.01))
        added: Tensor = F.leaky_relu(self.spatial(y), 0.01) + self.shortcut(x)
        return added


class DSFlexiA(nn.Module):
    """The block of teacher a."""

    def __init__(self, block: DSFlexiABlock, c_in: int) -> None:
        super().__init__()
        width = block.width
        self.shortcut = nn.Conv2d(c_in, width, 1, stride=block.stride)
        self.norm1 = nn.BatchNorm2d(c_in)
        self.pointwise = nn.Conv2d(c_in, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.spatial = RepConv2d(block.conv, width, width, stride=block.stride, groups=width)
        self.norm3 = nn.BatchNorm2d(width)
        self.scale = nn.Conv2d(width, width, 1, groups=width, bias=False)
        self.dropout = nn.Dropout2d(0.15)
        self.norm = ResidualNormalization(width, scalar=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(F.leaky_relu(self.pointwise(self.norm1(x)), 0.01))
        y = self.norm3(F.leaky_relu(self.spatial(y), 0.01))
        y = self.dropout(F.leaky_relu(self.scale(y), 0.01))
        normed: Tensor = self.norm(y + self.shortcut(x))
        return normed


class DSFlexiM(nn.Module):
    """The block of the teachers m1 and m2."""

    def __init__(self, block: DSFlexiMBlock, c_in: int) -> None:
        super().__init__()
        width, expanded = block.width, block.expanded
        self.shortcut = nn.Conv2d(c_in, width, 1, stride=block.stride)
        self.unused_norm = inner_norm(block.norm, c_in)
        self.expand = nn.Conv2d(c_in, expanded, 1, bias=False)
        self.norm1 = inner_norm(block.norm, expanded)
        self.spatial = RepConv2d(block.conv, expanded, expanded, stride=block.stride, groups=expanded)
        self.norm2 = inner_norm(block.norm, expanded)
        self.project = nn.Conv2d(expanded, width, 1, bias=False)
        self.dropout = nn.Dropout2d(0.1)
        self.norm = ResidualNormalization(width, scalar=block.norm == "batch")

    def forward(self, x: Tensor) -> Tensor:
        self.unused_norm(x)  # thrown away in the published networks too, whose counts include it
        y = self.norm1(F.leaky_relu(self.expand(x), 0.01))
        y = self.norm2(F.leaky_relu(self.spatial(y), 0.01))
        y = self.dropout(self.project(y))
        normed: Tensor = self.norm(y + self.shortcut(x))
        return normed
