"""Augmentation of waveforms: (batch, samples) float32 on any device, left as they are; and views, which need them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.augmentation.impulse_responses import convolved
from trainers.augmentation.mixing import draw_weights
from trainers.augmentation.settings import AugmentationError, Views
from trainers.front_end import FrontEnd, log_mel


class View(NamedTuple):
    """One draw of a run of clips.

    Attributes:
        features: (batch, mels, frames) float32.
        weight: (batch,) float32 share of the clip itself, in [0.5, 1]; the rest is its partner.
    """

    features: Tensor
    weight: npt.NDArray[np.float32]


def view_of(
    waves: Tensor,
    devices: Sequence[str],
    views: Views,
    front_end: FrontEnd,
    rng: np.random.Generator,
    *,
    responses: Tensor | None = None,
    partners: Tensor | None = None,
) -> View:
    """The features of one view: impulse responses, gain, mixup, roll, and a mel bank of other edges, in this order.

    The same chance is the same view for every front end, also at another sample rate: nothing that is drawn depends on
    the front end, nor how much.

    Args:
        waves: (batch, samples) at the rate of the front end.
        devices: The recording device of each clip.
        front_end: Its edges are moved once for all these clips.
        responses: (responses, samples) at the same rate; needed if the views have any.
        partners: (batch, samples), the clips to mix in, of the same kind: with the same roll, and a gain of their own.
            Needed if the views have mixup.

    Raises:
        AugmentationError: If what the settings need is not there.
        FrontEndError: If the edges may leave the front end's domain.
    """
    if views.impulse_responses is not None:
        if responses is None:
            raise AugmentationError("impulse_responses", views.impulse_responses, "None without any responses")
        eligible = np.isin(devices, views.impulse_responses.devices).astype(np.float64)
        waves = through_responses(waves, responses, eligible * views.impulse_responses.probability, rng)
    waves = gain(waves, views.gain, rng)
    weight = np.ones(len(waves), dtype=np.float32)
    if views.mixup_probability > 0:
        if partners is None:
            raise AugmentationError("mixup_probability", views.mixup_probability, "0 without any partners")
        weight = draw_weights(len(waves), views.mixup_alpha, rng, views.mixup_probability)
        waves = mixed(waves, gain(partners, views.gain, rng), weight)
    waves = roll(waves, int(views.roll * front_end.sample_rate), rng)
    return View(log_mel(waves, perturbed(front_end, views.f_min_range, views.f_max_range, rng)), weight)


def roll(waves: Tensor, largest: int, rng: np.random.Generator) -> Tensor:
    """Each wave shifted circularly by its own number of samples, uniform from -largest to largest.

    The same chance is the same share of the largest shift, so that of a second at every sample rate, to a sample.
    """
    samples = waves.shape[1]
    shifts = np.floor(rng.random((len(waves), 1)) * (2 * largest + 1)).astype(np.int64) - largest
    if largest == 0:  # which is told only now: at another rate a sample may be short enough for a shift
        return waves
    return waves.gather(1, torch.from_numpy((np.arange(samples) - shifts) % samples).to(waves.device))


def gain(waves: Tensor, decibels: int, rng: np.random.Generator) -> Tensor:
    """Each wave times 10^(g / 20), g a whole number, uniform from -decibels to decibels - 1, as in EfficientAT."""
    if decibels == 0:
        return waves
    drawn = rng.integers(-decibels, decibels, size=(len(waves), 1))
    return waves * torch.from_numpy((10 ** (drawn / 20)).astype(np.float32)).to(waves.device)


def through_responses(
    waves: Tensor, responses: Tensor, probability: npt.NDArray[np.float64], rng: np.random.Generator
) -> Tensor:
    """Some waves through a response each, drawn uniformly, at the level that gives (Morocutti et al. 2023).

    Args:
        responses: (responses, samples) at the same rate.
        probability: (batch,) of each wave to be changed.
    """
    chosen = np.flatnonzero(rng.random(len(waves)) < probability)
    rows = torch.from_numpy(chosen).to(waves.device)
    which = torch.from_numpy(rng.integers(len(responses), size=len(chosen))).to(responses.device)
    heard = convolved(waves[rows], responses[which].to(waves.device))
    return waves.index_copy(0, rows, heard)


def mixed(waves: Tensor, partners: Tensor, weight: npt.NDArray[np.float32]) -> Tensor:
    """weight * wave + (1 - weight) * partner, both without their mean, as in EfficientAT; weight 1 changes nothing.

    Args:
        partners: (batch, samples).
        weight: (batch,) in [0, 1].
    """
    own = torch.from_numpy(weight).to(waves.device)[:, None]
    mixture = torch.lerp(_centred(partners), _centred(waves), own)
    return torch.where(own == 1, waves, mixture)


def perturbed(front_end: FrontEnd, f_min_range: int, f_max_range: int, rng: np.random.Generator) -> FrontEnd:
    """The front end with other edges of its mel bank, as in CP-JKU's systems; a range of 1 leaves an edge as it is.

    f_min + i with i from 0 to f_min_range - 1, and f_max + f_max_range // 2 - j with j from 0 to f_max_range - 1, both
    uniform, in Hz.

    Raises:
        FrontEndError: If the upper edge is above half the sample rate.
    """
    return replace(
        front_end,
        f_min=front_end.f_min + int(rng.integers(f_min_range)),
        f_max=front_end.f_max + f_max_range // 2 - int(rng.integers(f_max_range)),
    )


def _centred(waves: Tensor) -> Tensor:
    return waves - waves.mean(dim=1, keepdim=True)
