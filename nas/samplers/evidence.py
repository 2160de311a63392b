"""The accuracies that a model is taught: of every architecture the last one, of some the earlier ones too."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nas.halving import thirds
from nas.samplers.records import Record

Floats = npt.NDArray[np.float64]

MOST = 300
"""Accuracies at most: a Gaussian process takes time by their cube."""


def evidence(records: Sequence[Record], kept: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int_], Floats, Floats]:
    """What is known of accuracies.

    Accuracies at the end of training come first, those of students that came to a rung next, those before the end last:
    at epochs that are a third, a ninth, ... of the whole training. Before the end it is the best one so far, as in
    `nas.halving`. Beyond `MOST` the oldest are left out, from the last kind first.

    Args:
        kept: Records whose last accuracy is never left out.

    Returns:
        For each accuracy, in the order of the records: the position of its record, log2 of the share of the epochs that
        it had behind it, and the accuracy.
    """
    whole = max((record.epochs for record in records if record.accuracy is not None), default=0)
    whole = whole or max((epoch for record in records for epoch, _ in record.curve), default=1)
    rungs = thirds(whole)
    found: list[tuple[int, int, float, float]] = []  # urgency, position, progress, accuracy
    for position, record in enumerate(records):
        if record.accuracy is not None:
            found.append((0 if kept[position] else 1, position, 0.0, record.accuracy))
        elif record.curve:
            epoch = record.curve[-1][0]
            best = max(accuracy for _, accuracy in record.curve)
            found.append((2, position, min(float(np.log2(epoch / whole)), 0.0), best))
        best = 0.0
        for epoch, accuracy in record.curve[:-1]:
            best = max(best, accuracy)
            if epoch in rungs:
                found.append((3, position, float(np.log2(epoch / whole)), best))
    urgent = sorted(found, key=lambda one: (one[0], -one[1]))[:MOST]
    chosen = sorted((position, progress, accuracy) for _, position, progress, accuracy in urgent)
    columns = np.array(chosen, dtype=np.float64).reshape(-1, 3).T
    return columns[0].astype(np.int_), columns[1], columns[2]
