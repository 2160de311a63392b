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

    Rows are visited in lexicographic order, so a row can only be beaten by one already kept: n times the size
    of the front comparisons.
    """
    mask = np.zeros(len(losses), dtype=bool)
    order = np.lexsort(losses.T[::-1]) if losses.shape[1] else np.arange(min(len(losses), 1))  # stable: ties by row
    kept = np.empty_like(losses)
    count = 0
    for i in order:
        row = losses[i]
        if not np.isnan(row).any() and not (kept[:count] <= row).all(axis=1).any():
            kept[count] = row
            count += 1
            mask[i] = True
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
