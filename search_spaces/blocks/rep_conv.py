"""RepConv2d: parallel kernels in training, one kernel when deployed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import KernelSet
from search_spaces.blocks.conv_norm import with_weights
from search_spaces.forms import Form
from search_spaces.parts import merged_kernel


class RepConv2d(nn.Module):
    """The sum of parallel bias-free convolutions whose odd kernels share their centre.

    Padding (k - 1) / 2 aligns every kernel's centre with the same input position at any stride, so the sum equals
    one convolution with the kernels centred in their bounding box.
    """

    def __init__(
        self, c_in: int, c_out: int, kernels: KernelSet, *, stride: tuple[int, int] = (1, 1), groups: int = 1
    ) -> None:
        super().__init__()
        self.merged = merged_kernel(kernels)
        self.branches = nn.ModuleDict(
            {
                f"{h}x{w}": nn.Conv2d(
                    c_in, c_out, (h, w), stride=stride, padding=(h // 2, w // 2), groups=groups, bias=False
                )
                for h, w in kernels
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.branches.values()
        total: Tensor = first(x)
        for branch in others:
            total = total + branch(x)
        return total

    def folded(self, form: Form) -> nn.Module:
        """One convolution with the bounding box of the kernels."""
        height, width = self.merged
        convs = [branch for branch in self.branches.values() if isinstance(branch, nn.Conv2d)]
        padded = []
        for conv in convs:
            rows, columns = (height - conv.weight.shape[2]) // 2, (width - conv.weight.shape[3]) // 2
            padded.append(F.pad(conv.weight, (columns, columns, rows, rows)))
        return with_weights(convs[0], torch.stack(padded).sum(0), None)
