"""Which augmentations, and how much of each: values that a study file names."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from search_spaces.errors import InputError

Fill = Literal["silence", "zero"]


class AugmentationError(InputError, ValueError):
    """A setting of an augmentation outside its domain."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"the augmentation has {name}={value!r}; it must be {expected}")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What a training does to its batches of features, in this order.

    Attributes:
        roll: Largest circular shift along time, as a share of the frames, in [0, 1].
        level_probability: Share of the clips whose levels are multiplied, in [0, 1].
        level_spread: The factor is uniform in 1 -+ this, in [0, 1].
        noise_probability: Share of the clips that get Gaussian noise, in [0, 1].
        noise: Its standard deviation in levels (natural logarithm or decibels, as the front end has them), 0 or above.
        frequency_mask: What the width of a mask of mel bands stays below, as a share of the bands, in [0, 1]; 0 for
            none. A share, because students may differ in their bands: 48 of 256 bands is 0.1875.
        time_mask: The same for a mask of frames.
        mask_fill: "silence", the level of no power, as a mask of the power before the logarithm gives it, or "zero",
            level 0 (of 1 in power), as a mask after it.
        mixstyle_probability: Share of the batches that Freq-MixStyle changes, in [0, 1].
        mixstyle_alpha: Of the Beta(alpha, alpha) that draws the mixing weights; above 0.
        mixup_probability: Share of the batches whose clips are mixed, in [0, 1].
        mixup_alpha: Of the Beta(alpha, alpha) that draws the weights; above 0.
    """

    roll: float = 0.1
    level_probability: float = 0.0
    level_spread: float = 0.3
    noise_probability: float = 0.0
    noise: float = 0.005
    frequency_mask: float = 0.0
    time_mask: float = 0.0
    mask_fill: Fill = "silence"
    mixstyle_probability: float = 0.4
    mixstyle_alpha: float = 0.3
    mixup_probability: float = 0.0
    mixup_alpha: float = 0.3

    def __post_init__(self) -> None:
        shares = ("roll", "level_probability", "level_spread", "noise_probability", "frequency_mask", "time_mask")
        _check_shares(self, *shares, "mixstyle_probability", "mixup_probability")
        _check_positive(self, "mixstyle_alpha", "mixup_alpha")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise AugmentationError("noise", self.noise, "a finite number, 0 or above")
        if self.mask_fill not in get_args(Fill):
            raise AugmentationError("mask_fill", self.mask_fill, " or ".join(get_args(Fill)))


@dataclass(frozen=True, kw_only=True)
class ImpulseResponses:
    """Clips as another microphone might have recorded them.

    Attributes:
        folder: Of the impulse responses, as WAV files.
        probability: Share of the eligible clips that are convolved with one, in [0, 1].
        devices: Recording devices whose clips are eligible: device a is the only one nearly without a response of its
            own.
    """

    folder: str
    probability: float = 0.6
    devices: tuple[str, ...] = ("a",)

    def __post_init__(self) -> None:
        _check_shares(self, "probability")
        object.__setattr__(self, "devices", tuple(self.devices))


@dataclass(frozen=True, kw_only=True)
class Views:
    """Draws of what is done to waveforms, each extracted once: a training step then pays for an index, no more.

    View 0 is every clip as it is; a training step shows each clip in one of its views, chosen at random.

    Attributes:
        count: Views of each clip, with the clean one; 1 for no others.
        roll: Largest circular shift of the waveform in seconds, in [0, 1].
        gain: Range in decibels: a whole number from -gain to gain - 1 is drawn for each clip; 0 for none.
        impulse_responses: Convolves clips with responses of other microphones; None for none.
        mixup_probability: Share of the clips that another clip is mixed into, in [0, 1].
        mixup_alpha: Of the Beta(alpha, alpha) that draws the weights; above 0.
        f_min_range: Whole Hz that the lower edge of the mel bank may be at, from its own upward; 1 for its own only.
        f_max_range: The same for the upper edge, around its own.
    """

    count: int = 1
    roll: float = 0.0
    gain: int = 0
    impulse_responses: ImpulseResponses | None = None
    mixup_probability: float = 0.0
    mixup_alpha: float = 2.0
    f_min_range: int = 1
    f_max_range: int = 1

    def __post_init__(self) -> None:
        _check_shares(self, "roll", "mixup_probability")
        _check_counts(self, count=1, gain=0, f_min_range=1, f_max_range=1)
        _check_positive(self, "mixup_alpha")

    def to_json(self) -> dict[str, Any]:
        """Every setting by its name."""
        return asdict(self)


def _check_shares(settings: object, *names: str) -> None:
    """Raises AugmentationError for the first of these settings that is not between 0 and 1."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise AugmentationError(name, value, "between 0 and 1")


def _check_positive(settings: object, *names: str) -> None:
    """Raises AugmentationError for the first of these settings that is not finite and above 0."""
    for name in names:
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            raise AugmentationError(name, value, "a finite number above 0")


def _check_counts(settings: object, **least: int) -> None:
    """Raises AugmentationError for the first of these settings that is not a whole number of at least so much."""
    for name, fewest in least.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < fewest:
            raise AugmentationError(name, value, f"a whole number of at least {fewest}")
