"""The Pareto front of a study: trials that no other one beats in accuracy, bytes and MACs at once."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def pareto_mask(losses: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points no other point beats.

    Args:
        losses: (n, m), lower is better in each of the m columns. A row with a NaN is never on the front, and
            beats nothing.

    Returns:
        (n,) bool. Of equal rows only the first is kept.

    The lexicographically first of the rows that are left is beaten by none of them, so it is kept, and what it beats
    is dropped: one step for each point of the front.
    """
    mask = np.zeros(len(losses), dtype=bool)
    order = np.lexsort(losses.T[::-1]) if losses.shape[1] else np.arange(len(losses))  # stable: ties by row
    order = order[~np.isnan(losses[order]).any(axis=1)]
    left = losses[order]
    while len(order):
        mask[order[0]] = True
        unbeaten = (left < left[0]).any(axis=1)
        order, left = order[unbeaten], left[unbeaten]
    return mask


def candidates(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows that may be on the front: complete and within the budget."""
    return trials[(trials["state"] == "complete") & trials["feasible"]]


def losses_of(trials: pd.DataFrame) -> NDArray[np.float64]:
    """(n, 3): what is minimised, that is accuracy with its sign turned, weight bytes, MACs."""
    columns = (-trials["accuracy"], trials["weight_bytes"], trials["macs"])
    return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for column in columns])


def front_of(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows on the front, from the most accurate to the least.

    Args:
        trials: As from `studies.records.read_trials`.
    """
    rows = candidates(trials)
    return rows[pareto_mask(losses_of(rows))].sort_values(
        ["accuracy", "weight_bytes", "macs"], ascending=[False, True, True]
    )
