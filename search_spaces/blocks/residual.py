"""CP-ResNet's block."""

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import ConvNorm
from search_spaces.parts import ResidualBlock


class Residual(nn.Module):
    """An optional max pooling, then two convolutions with batch norm beside a shortcut."""

    def __init__(self, block: ResidualBlock, c_in: int) -> None:
        super().__init__()
        width, (first, second), groups = block.width, block.kernels, block.groups
        self.pool = None if block.stride == (1, 1) else nn.MaxPool2d(block.stride)
        self.conv1 = ConvNorm(c_in, width, first, groups=groups)
        self.conv2 = ConvNorm(width, width, second, groups=groups)
        self.shortcut = nn.Identity() if width == c_in else ConvNorm(c_in, width, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = self.pool(x)
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))
