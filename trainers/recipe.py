"""How one network is taught: a value with every setting of the training loop, and the learning rate it implies."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from search_spaces.errors import InputError
from trainers.augmentation.settings import Augmentation
from trainers.schedules import cosine, ramp

Optimizer = Literal["adamw", "adam"]
Schedule = Literal["cosine", "ramp"]
KlMean = Literal["batch", "all"]


class RecipeError(InputError, ValueError):
    """A setting of a recipe outside its domain."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"the training recipe has {name}={value!r}; it must be {expected}")


@dataclass(frozen=True, kw_only=True)
class Recipe(Augmentation):
    """Settings of one training: those of its augmentation, and

    Attributes:
        epochs: Passes over the fit clips.
        batch: Clips per step.

        optimizer: "adamw" (Loshchilov and Hutter 2019), or "adam", whose weight decay is an L2 term in the gradient.
        learning_rate: The highest rate of the schedule.
        weight_decay: On every parameter, as in the DCASE 2025 baseline.
        gradient_norm: Longer gradients, over all parameters, are cut to this norm; None for none. The default is never
            reached in a healthy training; it keeps a bad batch from throwing an odd architecture off.

        schedule: "cosine", by the step, to 0 at the end, or "ramp", by the epoch; see `trainers.schedules`. CP-JKU's
            student of 2023 had a ramp of 150 epochs: warm-up 14 (0.0933), from 50 (0.3333) down over 84 (0.56) to
            0.005, with Adam at 9e-4 and a weight decay of 1e-4.
        warm_up: Share of the training in which the rate rises, in [0, 1).
        down_from: Of "ramp": share of the training after which the rate falls, in [0, 1].
        down_over: Of "ramp": share of the training that it falls for, in (0, 1].
        last_rate: Of "ramp": share of the highest rate that is left then, in [0, 1].

        temperature: Softens teacher and student before they are compared; above 0.
        teacher_share: Weight of the teacher in the loss, in [0, 1]; without effect where there are no teacher logits.
        kl_mean: What the divergence from the teacher is a mean over, "batch" or "all"; see `distillation_loss`.
        label_smoothing: Share of each label, mixed or not, that is spread over all scenes, in [0, 1).

        averaging: Decay, per step, of the exponential moving average of the weights that is the result of the
            training, in [0, 1); 0 for the weights of its last step. See `trainers.averaging`.
        autocast: Whether the network computes in bfloat16 where torch deems it safe; the loss is in float32.
    """

    epochs: int
    batch: int = 64

    optimizer: Optimizer = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    gradient_norm: float | None = 5.0

    schedule: Schedule = "cosine"
    warm_up: float = 0.1
    down_from: float = 50 / 150
    down_over: float = 84 / 150
    last_rate: float = 0.005

    temperature: float = 2.0
    teacher_share: float = 0.7
    kl_mean: KlMean = "batch"
    label_smoothing: float = 0.0

    averaging: float = 0.0
    autocast: bool = False

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
        if self.gradient_norm is not None and not (math.isfinite(self.gradient_norm) and self.gradient_norm > 0):
            raise RecipeError("gradient_norm", self.gradient_norm, "a finite number above 0, or none")
        for name in ("warm_up", "label_smoothing", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(name, getattr(self, name), "from 0 to below 1")
        for name in ("down_from", "last_rate", "teacher_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(name, getattr(self, name), "between 0 and 1")
        if not 0 < self.down_over <= 1:
            raise RecipeError("down_over", self.down_over, "above 0 and at most 1")
        for name, known in (("optimizer", Optimizer), ("schedule", Schedule), ("kl_mean", KlMean)):
            if getattr(self, name) not in get_args(known):
                raise RecipeError(name, getattr(self, name), " or ".join(get_args(known)))
        if not isinstance(self.autocast, bool):
            raise RecipeError("autocast", self.autocast, "true or false")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The rate of one step.

        Args:
            step: From 0.
            steps: Of the whole training, as many in each epoch.
        """
        if self.schedule == "cosine":
            return cosine(self.learning_rate, step, steps, warm_up=self.warm_up)
        return ramp(
            self.learning_rate,
            step * self.epochs // steps,
            self.epochs,
            warm_up=self.warm_up,
            down_from=self.down_from,
            down_over=self.down_over,
            last=self.last_rate,
        )

    def to_json(self) -> dict[str, Any]:
        """Every setting by its name."""
        return asdict(self)
