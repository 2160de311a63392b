"""The augmentation of published systems, each as one set that a study file can name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainers.augmentation.settings import Augmentation


@dataclass(frozen=True)
class NamedSet:
    """The augmentation of a published system.

    Attributes:
        batches: What its training does to batches. Its roll of the waveform is one of frames here, drawn anew in every
            step.
        views: Settings of its `Views` by name, without the number of them and the folder of the responses.
    """

    batches: Augmentation
    views: Mapping[str, Any] = field(default_factory=dict)


BASELINE_2025 = NamedSet(Augmentation(roll=0.1, frequency_mask=48 / 256, mixstyle_probability=0.4, mixstyle_alpha=0.3))
"""The general model of the DCASE 2025 Task 1 baseline; its masks come before the logarithm."""

CP_JKU_2023 = NamedSet(
    Augmentation(roll=0.125, frequency_mask=48 / 256, mask_fill="zero", mixstyle_probability=0.4, mixstyle_alpha=0.3),
    {"impulse_responses": {"probability": 0.6, "devices": ["a"]}, "f_max_range": 1000},
)
"""The student of CP-JKU's entry of 2023 (CP-Mobile)."""

DYNACP = NamedSet(
    Augmentation(
        roll=0.0,
        frequency_mask=48 / 256,
        mask_fill="zero",
        mixstyle_probability=0.8,
        mixstyle_alpha=0.4,
        mixup_probability=1.0,
        mixup_alpha=0.3,
    )
)
"""DynaCP. Its report names mixup without an alpha or a probability: those are EfficientAT's, from which it comes."""

SHARIF_TEACHER = NamedSet(
    Augmentation(
        roll=0.0,
        level_probability=0.5,
        noise_probability=0.5,
        frequency_mask=48 / 256,
        time_mask=8 / 64,
        mask_fill="zero",
        mixstyle_probability=0.4,
        mixstyle_alpha=0.3,
    )
)
"""The Sharif team's teachers and the students of single devices, on decibels."""

SHARIF_STUDENT = NamedSet(replace(SHARIF_TEACHER.batches, mixstyle_probability=0.6, mixstyle_alpha=0.8))
"""The Sharif team's general student."""

NAMED_SETS: Mapping[str, NamedSet] = {
    "baseline-2025": BASELINE_2025,
    "cp-jku-2023": CP_JKU_2023,
    "dynacp": DYNACP,
    "sharif-teacher": SHARIF_TEACHER,
    "sharif-student": SHARIF_STUDENT,
}
