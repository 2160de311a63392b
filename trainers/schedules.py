"""Learning rates over a training, as pure functions: half a cosine by the step, and CP-JKU's ramps by the epoch."""

import math


def cosine(highest: float, step: int, steps: int, *, warm_up: float) -> float:
    """The rate of one step: a linear rise over the warm-up, then half a cosine down to 0.

    Args:
        step: From 0. The highest rate is used in step ``round(warm_up * steps)``, in the last step at the latest, and
            0 is reached at ``steps``.
        steps: Of the whole training, at least 1.
        warm_up: Share of the steps, in [0, 1).
    """
    warm = min(round(warm_up * steps), steps - 1)
    if step < warm:
        return highest * (step + 1) / (warm + 1)
    done = min(1.0, (step - warm) / (steps - warm))
    return highest * 0.5 * (1 + math.cos(math.pi * done))


def ramp(
    highest: float, epoch: float, epochs: int, *, warm_up: float, down_from: float, down_over: float, last: float
) -> float:
    """The rate of one epoch: an exponential rise, constant, a linear fall, constant.

    exp(-5 (1 - max(t, 0.5) / W)^2) up to epoch W (Laine and Aila 2017, appendix A), then 1, then linearly from epoch
    ``down_from`` to the last share: the schedule of CP-JKU's training scripts, which name its corners in epochs. Here
    they are shares of the training and not rounded to whole epochs, so that its shape stays in a shorter one.

    Args:
        epoch: From 0; a training asks for whole ones, between which this is continuous.
        epochs: Of the whole training, at least 1.
        warm_up: W as a share of the epochs, in [0, 1).
        down_from: Share of the epochs after which the rate falls, in [0, 1].
        down_over: Share of the epochs that it falls for, above 0.
        last: Share of the highest rate that is left at the end of the fall, in [0, 1].
    """
    warm = warm_up * epochs
    missing = max(0.0, 1 - max(epoch, 0.5) / warm) if warm > 0 else 0.0
    fallen = min(max((epoch - down_from * epochs) / (down_over * epochs), 0.0), 1.0)
    return highest * math.exp(-5 * missing**2) * (1 - (1 - last) * fallen)
