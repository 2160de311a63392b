"""What a batch of log-mel maps goes through before a student sees it.

All chance comes from one numpy generator on the host, not from torch: torch draws a Beta only from its global
generator, and its draws differ between processors, while these are equal everywhere.
"""

import numpy as np
import torch
from torch import Tensor

from trainers.recipe import Recipe


def augmented(batch: Tensor, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """The batch as the student sees it: every clip rolled, and Freq-MixStyle on some of the batches.

    Args:
        batch: (batch, mels, frames), of any float type; it stays as it is.

    Returns:
        (batch, mels, frames) float32.
    """
    rolled = time_roll(batch, recipe.roll, rng).float()
    if rng.random() < recipe.mixstyle_probability:
        return freq_mixstyle(rolled, recipe.mixstyle_alpha, rng)
    return rolled


def time_roll(batch: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Each clip shifted along time by its own number of frames; what leaves at one end comes back at the other.

    Args:
        batch: (batch, mels, frames).
        share: Largest shift to either side as a share of the frames, in [0, 1], rounded down; shifts are uniform.

    Returns:
        (batch, mels, frames); the batch itself where no shift is possible.
    """
    clips, mels, frames = batch.shape
    largest = int(share * frames)
    if largest == 0:
        return batch
    shifts = rng.integers(-largest, largest + 1, size=(clips, 1))
    source = torch.from_numpy((np.arange(frames) - shifts) % frames).to(batch.device)
    return batch.gather(2, source[:, None, :].expand(clips, mels, frames))


def freq_mixstyle(batch: Tensor, alpha: float, rng: np.random.Generator) -> Tensor:
    """Freq-MixStyle (Kim et al. 2022, Schmid et al. 2023): each clip takes on part of another clip's level and spread.

    Per clip and mel band, the mean over time becomes lambda times its own plus (1 - lambda) times that of a clip drawn
    by a random permutation of the batch, and the standard deviation likewise; lambda ~ Beta(alpha, alpha) per clip.
    Recording devices differ mostly in these two, so the student learns not to lean on them. Labels stay.

    Args:
        batch: (batch, mels, frames) float32; 2 frames or more.
        alpha: Above 0; small values keep most clips close to one of the two.

    Returns:
        (batch, mels, frames) float32.
    """
    clips = batch.shape[0]
    weight = torch.from_numpy(rng.beta(alpha, alpha, size=(clips, 1, 1)).astype(np.float32)).to(batch.device)
    other = torch.from_numpy(rng.permutation(clips)).to(batch.device)
    variance, mean = torch.var_mean(batch, dim=2, keepdim=True)
    spread = (variance + 1e-6).sqrt()
    mixed_mean = torch.lerp(mean[other], mean, weight)
    mixed_spread = torch.lerp(spread[other], spread, weight)
    return torch.addcmul(mixed_mean, batch - mean, mixed_spread / spread)
