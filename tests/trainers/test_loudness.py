"""Loudness is counted in the classes of the Sharif report."""

import numpy as np
import pytest

from trainers.loudness import loudness_histogram, rms


def test_the_rms_of_known_signals() -> None:
    assert rms(np.full(7, -0.25, dtype=np.float32)) == 0.25
    assert rms(0.5 * np.sin(2 * np.pi * np.arange(1000) / 100)) == pytest.approx(0.5 / np.sqrt(2))
    assert rms(np.zeros(0)) == 0


def test_a_class_includes_its_upper_end() -> None:
    assert loudness_histogram([0.0, 0.02, 0.0201, 0.05, 0.07, 0.15, 0.16, 0.25, 0.26, 0.3, 0.31, 5.0]) == (
        2,
        2,
        1,
        1,
        1,
        1,
        2,
        2,
    )
    assert loudness_histogram([]) == (0,) * 8
