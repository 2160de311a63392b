"""The ensembles that taught published systems, each as what a study file may say of its teachers."""

from collections.abc import Mapping
from typing import Any

_MASKS = {"off": {"frequency_mask": 0.0}, "on": {"frequency_mask": 48 / 256}}
_ROLLS = {"off": {"roll": 0.0}, "on": {"roll": 0.1}}
# EfficientAT's recipe for scenes has a lower rate and smaller batches for DyMN.
_FAMILIES: Mapping[str, Mapping[str, Any]] = {"mn10": {}, "dymn10": {"batch": 32, "learning_rate": 3e-4}}

DYNACP: Mapping[str, Any] = {
    "rule": "mean",
    "recipe": {
        "epochs": 80,
        "batch": 64,
        "learning_rate": 8e-4,
        "weight_decay": 0.0,
        "optimizer": "adam",
        "schedule": "ramp",
        "warm_up": 10 / 80,
        "down_from": 10 / 80,
        "down_over": 65 / 80,
        "last_rate": 0.01,
        "mask_fill": "zero",
        "mixstyle_probability": 0.8,
        "mixstyle_alpha": 0.4,
    },
    "members": {
        f"{network}-mask-{mask}-roll-{roll}": {"network": network, "recipe": {**recipe, **masks, **rolls}}
        for network, recipe in _FAMILIES.items()
        for mask, masks in _MASKS.items()
        for roll, rolls in _ROLLS.items()
    },
    "per_device": {"epochs": 20, "learning_rate": 1e-4},
}
"""DynaCP's eight: an MN and a DyMN, each with and without masks and roll, and each of them tuned further for every
recording device. The report sums their logits without giving a temperature; the mean has one of the usual size. It does
not say how wide the networks are, how wide the masks (here the student's, 48 bands), how long the roll (here the
baseline's, a tenth of a second), nor how they are taught (here by EfficientAT's recipe for scenes) and tuned. Their
AudioSet weights are given with `start`."""

SHARIF: Mapping[str, Any] = {
    "rule": "mean",
    "recipe": {
        "epochs": 500,
        "batch": 64,
        "learning_rate": 5e-4,
        "weight_decay": 0.05,
        "warm_up": 0.0,
        "augmentation": "sharif-teacher",
    },
    "members": {
        name: {"network": name}
        for name in (
            "sharif-dsflexi-a",
            "sharif-dsflexi-m1",
            "sharif-dsflexi-m2",
            "sharif-cp-mobile",
            "sharif-cp-resnet",
        )
    },
}
"""The Sharif team's five, and the mean of their logits."""

NAMED_ENSEMBLES: Mapping[str, Mapping[str, Any]] = {"dynacp": DYNACP, "sharif": SHARIF}
