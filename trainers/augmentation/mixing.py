"""Mixup (Zhang et al. 2018): every clip with another one mixed in, its label and its teacher's logits mixed alike."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Mixing(NamedTuple):
    """Which clip goes into which, and how much of each stays.

    Attributes:
        weight: (clips,) float32 share of a clip's own part, in [0.5, 1]: a clip stays mostly itself.
        partner: (clips,) row of the clip that makes up the rest.
    """

    weight: npt.NDArray[np.float32]
    partner: npt.NDArray[np.int64]

    def of(self, rows: Tensor) -> Tensor:
        """The mixture of features, targets or logits.

        Args:
            rows: (clips, ...), of any float type.

        Returns:
            The same shape, float32.
        """
        rows = rows.float()
        partner = torch.from_numpy(self.partner).to(rows.device)
        weight = torch.from_numpy(self.weight).to(rows.device).view(-1, *[1] * (rows.ndim - 1))
        return torch.lerp(rows[partner], rows, weight)


def draw_weights(
    clips: int, alpha: float, rng: np.random.Generator, probability: float = 1.0
) -> npt.NDArray[np.float32]:
    """(clips,) float32 max(lambda, 1 - lambda) with lambda ~ Beta(alpha, alpha), for a share of the clips; else 1."""
    drawn = rng.beta(alpha, alpha, size=clips)
    weight = np.maximum(drawn, 1 - drawn).astype(np.float32)
    return weight if probability == 1 else np.where(rng.random(clips) < probability, weight, np.float32(1))


def draw_mixing(clips: int, alpha: float, rng: np.random.Generator) -> Mixing:
    """A weight for each clip, max(lambda, 1 - lambda) with lambda ~ Beta(alpha, alpha), partners by a permutation."""
    return Mixing(draw_weights(clips, alpha, rng), rng.permutation(clips))
