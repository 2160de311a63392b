"""All that a training does to a batch before its network sees it."""

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from trainers.augmentation.mixing import draw_mixing
from trainers.augmentation.settings import Augmentation, Fill
from trainers.augmentation.spectra import freq_mixstyle, level_jitter, mask, noise, time_roll
from trainers.front_end import FrontEnd


class Batch(NamedTuple):
    """Clips and what a network is told of them.

    Attributes:
        features: (batch, mels, frames), of any float type.
        targets: (batch, scenes) float32, shares of the scenes that sum to 1.
        logits: (batch, scenes) of the teacher, of any float type, or none.
    """

    features: Tensor
    targets: Tensor
    logits: Tensor | None


def augmented(batch: Batch, settings: Augmentation, front_end: FrontEnd, rng: np.random.Generator) -> Batch:
    """The batch as the network sees it; the given one stays as it is.

    Args:
        front_end: Of the features: says what their numbers mean.

    Returns:
        Features in float32. Targets and logits change with mixup alone.
    """
    features = time_roll(batch.features, settings.roll, rng).float()
    if settings.level_probability > 0:
        zero = stored_level(0.0, front_end)
        features = level_jitter(features, settings.level_probability, settings.level_spread, zero, rng)
    if settings.noise_probability > 0:
        features = noise(features, settings.noise_probability, settings.noise / front_end.scale, rng)
    fill = fill_value(settings.mask_fill, front_end)
    for dim, share in ((1, settings.frequency_mask), (2, settings.time_mask)):
        width = int(share * features.shape[dim])
        if width > 0:
            features = mask(features, dim, width, fill, rng)
    if rng.random() < settings.mixstyle_probability:
        features = freq_mixstyle(features, settings.mixstyle_alpha, rng)
    if settings.mixup_probability > 0 and rng.random() < settings.mixup_probability:
        mixing = draw_mixing(len(features), settings.mixup_alpha, rng)
        logits = None if batch.logits is None else mixing.of(batch.logits)
        return Batch(mixing.of(features), mixing.of(batch.targets), logits)
    return Batch(features, batch.targets, batch.logits)


def fill_value(fill: Fill, front_end: FrontEnd) -> float:
    """What a mask writes, in the unit of the features."""
    if fill == "zero":
        return stored_level(0.0, front_end)
    decibel = front_end.level == "decibel"
    return stored_level(10 * math.log10(front_end.floor) if decibel else math.log(front_end.floor), front_end)


def stored_level(level: float, front_end: FrontEnd) -> float:
    """A level (natural logarithm or decibels of a mel power) in the unit of the features."""
    return (level + front_end.offset) / front_end.scale
