"""The plan that MN and DyMN share: MobileNetV3-Large's widths, kernels and strides, scaled to a width."""

from dataclasses import dataclass

from search_spaces.widths import make_divisible


@dataclass(frozen=True, slots=True)
class Block:
    """One inverted residual.

    Attributes:
        c_in: Input channels.
        kernel: Side of the depthwise convolution's kernel.
        expanded: Channels of the depthwise convolution.
        width: Output channels.
        squeezes: Whether MN has squeeze-excitation here; DyMN has none.
        hard_swish: Whether the activation is Hardswish; else ReLU.
        stride: Of the depthwise convolution, on both axes.
    """

    c_in: int
    kernel: int
    expanded: int
    width: int
    squeezes: bool
    hard_swish: bool
    stride: int

    @property
    def expands(self) -> bool:
        """Whether there is an expanding convolution: not where it would keep the number of channels."""
        return self.expanded != self.c_in

    @property
    def has_shortcut(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.c_in == self.width


@dataclass(frozen=True, slots=True)
class Plan:
    """A network without its head's classes.

    Attributes:
        stem: Output channels of the first convolution (3x3, stride 2).
        blocks: The inverted residuals.
        last: Output channels of the 1x1 convolution after them.
        hidden: Width of the inner linear layer of the "mlp" head.
    """

    stem: int
    blocks: tuple[Block, ...]
    last: int
    hidden: int


# kernel, expanded, width, squeezes, hard_swish, stride
_BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def plan(width: float) -> Plan:
    """Every number of channels times `width`, made divisible by 8 (Howard et al. 2019, table 1; Schmid et al. 2023)."""
    stem = c_in = make_divisible(16 * width)
    blocks = []
    for kernel, expanded, c_out, squeezes, hard_swish, stride in _BLOCKS:
        block = Block(
            c_in,
            kernel,
            make_divisible(expanded * width),
            make_divisible(c_out * width),
            squeezes,
            hard_swish,
            stride,
        )
        blocks.append(block)
        c_in = block.width
    return Plan(stem, tuple(blocks), last=6 * c_in, hidden=make_divisible(1280 * width))
