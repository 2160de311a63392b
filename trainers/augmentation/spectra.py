"""Augmentation of features: (batch, mels, frames) float32 on any device, left as they are."""

import numpy as np
import torch
from torch import Tensor


def time_roll(batch: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Each clip shifted along time by its own number of frames; what leaves at one end comes back at the other.

    Args:
        batch: (batch, mels, frames), of any float type.
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


def level_jitter(batch: Tensor, probability: float, spread: float, zero: float, rng: np.random.Generator) -> Tensor:
    """The levels of some clips multiplied by one factor each, as the Sharif team does: no gain, which would add.

    Args:
        probability: Of a clip to be changed.
        spread: The factor is uniform in 1 -+ spread.
        zero: What level 0 is in these features: the value that stays.
    """
    clips = batch.shape[0]
    factors = rng.uniform(1 - spread, 1 + spread, clips)
    factors = np.where(rng.random(clips) < probability, factors, 1.0)
    factor, shift = (_by_clip(values, batch) for values in (factors, zero * (1 - factors)))
    return torch.addcmul(shift, batch, factor)


def noise(batch: Tensor, probability: float, sigma: float, rng: np.random.Generator) -> Tensor:
    """Gaussian noise on every value of some clips.

    Args:
        probability: Of a clip to be changed.
        sigma: Its standard deviation, in the unit of the features.
    """
    chosen = np.flatnonzero(rng.random(batch.shape[0]) < probability)
    drawn = torch.from_numpy(rng.standard_normal((len(chosen), *batch.shape[1:]), dtype=np.float32))
    return batch.index_add(0, torch.from_numpy(chosen).to(batch.device), drawn.to(batch.device), alpha=sigma)


def mask(batch: Tensor, dim: int, width: int, fill: float, rng: np.random.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019): neighbouring bands or frames of each clip replaced by one value.

    The draws are those of torchaudio's `mask_along_axis_iid`: v ~ U(0, width), start ~ U(0, size - v), both rounded
    down, so that a mask is below `width` wide and lies within the clip; it may be empty.

    Args:
        dim: 1 for a mask of mel bands, 2 for one of frames.
        width: At least 1, at most the size.
        fill: The value, in the unit of the features.
    """
    clips, size = batch.shape[0], batch.shape[dim]
    widths = rng.random(clips) * width
    starts = np.floor(rng.random(clips) * (size - widths))[:, None]
    places = np.arange(size)
    hidden = torch.from_numpy((places >= starts) & (places < starts + np.floor(widths)[:, None])).to(batch.device)
    return batch.masked_fill(hidden[:, :, None] if dim == 1 else hidden[:, None, :], fill)


def freq_mixstyle(batch: Tensor, alpha: float, rng: np.random.Generator) -> Tensor:
    """Freq-MixStyle (Kim et al. 2022, Schmid et al. 2023): each clip takes on part of another clip's level and spread.

    Per clip and mel band, the mean over time becomes lambda times its own plus (1 - lambda) times that of a clip drawn
    by a random permutation of the batch, and the standard deviation likewise; lambda ~ Beta(alpha, alpha) per clip.
    Recording devices differ mostly in these two, so the student learns not to lean on them. Labels stay.

    Args:
        batch: 2 frames or more.
        alpha: Above 0; small values keep most clips close to one of the two.
    """
    clips = batch.shape[0]
    weight = _by_clip(rng.beta(alpha, alpha, size=clips), batch)
    other = torch.from_numpy(rng.permutation(clips)).to(batch.device)
    variance, mean = torch.var_mean(batch, dim=2, keepdim=True)
    spread = (variance + 1e-6).sqrt()
    mixed_mean = torch.lerp(mean[other], mean, weight)
    mixed_spread = torch.lerp(spread[other], spread, weight)
    return torch.addcmul(mixed_mean, batch - mean, mixed_spread / spread)


def _by_clip(values: np.ndarray, batch: Tensor) -> Tensor:
    """A number for each clip as (batch, 1, 1) float32 where the batch is."""
    return torch.from_numpy(values.astype(np.float32)).to(batch.device)[:, None, None]
