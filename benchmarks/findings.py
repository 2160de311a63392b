"""What a search has found: its front is chosen by the accuracies observed, and judged at the true ones."""

import numpy as np
import numpy.typing as npt

from studies.front import pareto_mask
from studies.hypervolume import Scale, hypervolume

Floats = npt.NDArray[np.float64]


def gains(scale: Scale, accuracy: Floats, weight_bytes: Floats, macs: Floats) -> Floats:
    """(students, 3), as `studies.hypervolume` has them."""
    return np.column_stack([scale.learned(accuracy), scale.saved(weight_bytes, macs)])


def found(scale: Scale, observed: Floats) -> tuple[float, float]:
    """The true hypervolume of the front, and the true accuracy of the student observed to be the most accurate.

    Args:
        observed: (students, 4): accuracy as observed, as true, weight bytes, MACs.
    """
    front = observed[pareto_mask(observed[:, (0, 2, 3)] * (-1, 1, 1))]
    return hypervolume(gains(scale, *front[:, 1:].T)), float(observed[observed[:, 0].argmax(), 1])
