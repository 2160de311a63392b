"""How one network is taught: a value with every setting of the training loop, and the learning rate it implies."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from search_spaces.errors import InputError
from trainers.augmentation.settings import Augmentation


class RecipeError(InputError, ValueError):
    """A setting of a recipe outside its domain."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"the training recipe has {name}={value!r}; it must be {expected}")


@dataclass(frozen=True, kw_only=True)
class Recipe(Augmentation):
    """Settings of one training: those of its augmentation, and

    Attributes:
        epochs: Passes over the fit clips; the learning rate reaches 0 at their end.
        batch: Clips per step.
        learning_rate: The highest rate of AdamW, reached at the end of the warm-up.
        weight_decay: Of AdamW, on every parameter, as in the DCASE 2025 baseline.
        warm_up: Share of all steps in which the rate rises linearly, in [0, 1).
        temperature: Softens teacher and student before they are compared; above 0.
        teacher_share: Weight of the teacher in the loss, in [0, 1]; without effect where there are no teacher logits.
    """

    epochs: int
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    temperature: float = 2.0
    teacher_share: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("epochs", 1), ("batch", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise RecipeError(name, value, f"a whole number of at least {least}")
        for name in ("learning_rate", "temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise RecipeError(name, value, "a finite number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise RecipeError("weight_decay", self.weight_decay, "a finite number, 0 or above")
        if not 0 <= self.warm_up < 1:
            raise RecipeError("warm_up", self.warm_up, "a share of the steps, from 0 to below 1")
        if not 0 <= self.teacher_share <= 1:
            raise RecipeError("teacher_share", self.teacher_share, "between 0 and 1")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The rate of one step: a linear rise over the warm-up, then half a cosine down to 0.

        Args:
            step: From 0. The highest rate is used in step ``round(warm_up * steps)``, in the last step at the latest,
                and 0 is reached at ``steps``.
            steps: Of the whole training, at least 1.
        """
        warm = min(round(self.warm_up * steps), steps - 1)
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        done = min(1.0, (step - warm) / (steps - warm))
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def to_json(self) -> dict[str, Any]:
        """Every setting by its name."""
        return asdict(self)
