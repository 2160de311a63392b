"""The block of the Sharif student."""

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import DSFlexiBlock
from search_spaces.blocks.rep_conv import RepConv2d


class DSFlexi(nn.Module):
    """Batch norm, 1x1, LeakyReLU, batch norm, depthwise RepConv, LeakyReLU; plus a 1x1 convolution of the input.

    Nothing but the RepConv folds: the batch norms stand before convolutions, and before a zero-padded one the shift
    of a batch norm cannot become a bias, because the padding is not shifted.
    """

    def __init__(self, block: DSFlexiBlock, c_in: int) -> None:
        super().__init__()
        width = block.width
        self.shortcut = nn.Conv2d(c_in, width, 1, stride=block.stride, bias=False)
        self.norm1 = nn.BatchNorm2d(c_in)
        self.pointwise = nn.Conv2d(c_in, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.spatial = RepConv2d(width, width, block.kernels, stride=block.stride, groups=width)
        self.spare_norm = nn.BatchNorm2d(width) if block.spare_norm else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(F.leaky_relu(self.pointwise(self.norm1(x)), 0.01))
        added: Tensor = F.leaky_relu(self.spatial(y), 0.01) + self.shortcut(x)
        return added
