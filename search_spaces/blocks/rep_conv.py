"""RepConv2d: parallel kernels in training, one kernel when deployed (Ding et al., RepVGG, 2021)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv_norm import ConvNorm, centred_conv, fold, norm_as_affine, with_weights
from search_spaces.blocks.trained_conv import trained_conv
from search_spaces.forms import Form
from search_spaces.parts import RepConv


class RepConv2d(nn.Module):
    """The sum of parallel convolutions whose odd kernels share their centre, and of the input itself if it fits.

    Padding (k - 1) / 2 aligns every kernel's centre with the same input position at any stride, so the sum equals
    one convolution with the kernels centred in their bounding box. Where no branch has a batch norm of its own, that
    one is what is trained: every branch gets the same gradient in a fraction of the time. Spare norms are never
    called. Branches have torch's initialisation, those with a batch norm that of `ConvNorm`.
    """

    def __init__(
        self, conv: RepConv, c_in: int, c_out: int, *, stride: tuple[int, int] = (1, 1), groups: int = 1
    ) -> None:
        super().__init__()
        self.merged = conv.merged
        branch = ConvNorm if conv.branch_norm == "batch" else centred_conv
        self.branches = nn.ModuleDict(
            {
                f"{kernel[0]}x{kernel[1]}": branch(
                    c_in, c_out, kernel, stride=stride, dilation=conv.dilation, groups=groups
                )
                for kernel in conv.kernels
            }
        )
        self.identity: nn.Module | None = None
        if conv.has_identity(c_in, c_out, stride):
            self.identity = nn.BatchNorm2d(c_out) if conv.branch_norm == "batch" else nn.Identity()
        self.spare_norms: nn.ModuleList | None = None
        if conv.branch_norm == "spare":
            count = len(self.branches) + (self.identity is not None)
            self.spare_norms = nn.ModuleList(nn.BatchNorm2d(c_out) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        plain = [branch for branch in self.branches.values() if isinstance(branch, nn.Conv2d)]
        if self.training and plain:
            return trained_conv(x, self._summed([conv.weight for conv in plain]), None, like=plain[0])
        # Largest kernel first: a sum takes the memory format of its first term, and a 1x1 convolution of one channel
        # does not know that it is channels last.
        *others, first = self.branches.values()
        total: Tensor = first(x)
        for branch in others:
            total = total + branch(x)
        if self.identity is not None:
            total = total + self.identity(x)
        return total

    def folded(self, form: Form) -> nn.Module:
        """One convolution with the bounding box of the kernels, with bias where the branches have norms.

        A single branch has nothing to merge and deploys as what it is.
        """
        branches = list(self.branches.values())
        if len(branches) == 1 and self.identity is None:
            only = branches[0]
            return only.folded(form) if isinstance(only, ConvNorm) else only
        return self._merge()

    def _merge(self) -> nn.Conv2d:
        convs = [fold(b.conv, b.norm) if isinstance(b, ConvNorm) else b for b in self.branches.values()]
        plain = [conv for conv in convs if isinstance(conv, nn.Conv2d)]
        weight = self._summed([conv.weight for conv in plain])
        biases = [conv.bias for conv in plain if conv.bias is not None]
        if isinstance(self.identity, nn.BatchNorm2d):
            scale, shift = norm_as_affine(self.identity)
            weight = weight + scale[:, None, None, None] * _identity_kernel(weight)
            biases.append(shift)
        return with_weights(plain[0], weight, torch.stack(biases).sum(0) if biases else None)

    def _summed(self, weights: Sequence[Tensor]) -> Tensor:
        """One kernel for the branches, and for the input itself where that has no batch norm."""
        weight = torch.stack([_enlarged(weight, self.merged) for weight in weights]).sum(0)
        return weight + _identity_kernel(weight) if isinstance(self.identity, nn.Identity) else weight


class RepConvNorm(nn.Module):
    """A RepConv, then batch norm."""

    def __init__(
        self, conv: RepConv, c_in: int, c_out: int, *, stride: tuple[int, int] = (1, 1), groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = RepConv2d(conv, c_in, c_out, stride=stride, groups=groups)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed

    def folded(self, form: Form) -> nn.Module:
        """The merged convolution and the norm, or one convolution with bias where batch norms fold."""
        conv = self.conv.folded(form)
        if form is Form.FOLDED and isinstance(conv, nn.Conv2d):
            return fold(conv, self.norm)
        return nn.Sequential(OrderedDict(conv=conv, norm=self.norm))


def normed_rep_conv(
    conv: RepConv, c_in: int, c_out: int, *, stride: tuple[int, int] = (1, 1), groups: int = 1
) -> nn.Module:
    """A RepConv with batch norm: that of its branches, otherwise one after it."""
    kind = RepConv2d if conv.branch_norm == "batch" else RepConvNorm
    return kind(conv, c_in, c_out, stride=stride, groups=groups)


def _enlarged(weight: Tensor, taps: tuple[int, int]) -> Tensor:
    rows, columns = (taps[0] - weight.shape[2]) // 2, (taps[1] - weight.shape[3]) // 2
    return F.pad(weight, (columns, columns, rows, rows))


def _identity_kernel(like: Tensor) -> Tensor:
    """The kernel of weights' shape that returns each channel as it is: 1 at the centre, at the channel's own place in
    its group."""
    kernel = torch.zeros_like(like)
    channels = torch.arange(like.shape[0], device=like.device)
    kernel[channels, channels % like.shape[1], like.shape[2] // 2, like.shape[3] // 2] = 1
    return kernel
