"""The exponential moving average of a network's weights over the steps of its training, itself a network."""

import copy

import torch
from torch import nn


class AveragedNetwork:
    """A copy of a network that follows it: a <- d a + (1 - d) w after each step, every weight for itself.

    d is the given decay, but (1 + n) / (10 + n) after n steps where that is less, as in TensorFlow's
    ExponentialMovingAverage with `num_updates`: an average of a short training then does not remember its start.

    The running statistics of batch norm are averaged like the weights, as in EfficientNet (Tan and Le 2019, their
    code) and timm's ModelEma: they belong to the outputs of the layer before, whose weights are averages too, and a
    mean is linear in these. Copied, they would be those of the last step's weights. Whole numbers are copied.

    Args:
        source: Followed, never changed; its tensors must stay the same ones, changed in place.
        decay: Above 0, below 1.

    Attributes:
        network: The average, in evaluation mode; without steps, the source as it was.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        self._decay = decay
        pairs = list(zip(_tensors(self.network), _tensors(source), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Takes in the source's weights after one step, counted from 0 over the whole training."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, values = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(averages, values, 1 - decay)
        for mine, its in self._copied:
            mine.copy_(its)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    """Each tensor once, also where two modules share it."""
    return [*network.parameters(), *network.buffers()]
