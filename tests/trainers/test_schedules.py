import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainers.schedules import cosine, ramp

SHARES = st.floats(0, 0.95)


@given(st.integers(1, 500), st.floats(0, 0.9), st.floats(1e-5, 1.0))
@example(steps=1, warm_up=0.75, peak=1.0)
def test_a_cosine_rises_once_and_then_falls_to_zero(steps, warm_up, peak):
    rates = [cosine(peak, step, steps, warm_up=warm_up) for step in range(steps + 1)]
    top = min(round(warm_up * steps), steps - 1)
    assert all(0 < rate <= peak for rate in rates[:-1])
    assert all(early < late for early, late in pairwise(rates[: top + 1]))
    assert all(early > late for early, late in pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(0, abs=1e-12 * peak)
    assert max(rates) == peak


def test_a_cosine_is_half_a_cosine_after_the_warm_up():
    for step in range(20, 100):
        expected = 0.25 * (1 + math.cos(math.pi * (step - 20) / 80))
        assert cosine(0.5, step, 100, warm_up=0.2) == pytest.approx(expected)
    assert cosine(0.5, 9, 100, warm_up=0.2) == pytest.approx(0.5 * 10 / 21)


def published(epoch, epochs=150, warm=14, start=50, length=84, last=0.005):
    return ramp(
        1.0,
        epoch,
        epochs,
        warm_up=warm / epochs,
        down_from=start / epochs,
        down_over=length / epochs,
        last=last,
    )


def test_the_ramp_of_150_epochs_has_the_published_rates():
    """Worked out by hand from exp(-5 (1 - t/14)^2) and 0.005 + 0.995 (134 - t) / 84."""
    listed = {
        0: 0.0095689,
        1: 0.0134171,
        7: 0.2865048,
        13: 0.9748124,
        14: 1.0,
        50: 1.0,
        51: 0.9881548,
        92: 0.5025,
        133: 0.0168452,
        134: 0.005,
        149: 0.005,
    }
    for epoch, rate in listed.items():
        assert published(epoch) == pytest.approx(rate, abs=1e-7), epoch


@pytest.mark.parametrize(
    ("epochs", "warm", "start", "length", "last"),
    [
        (150, 14, 50, 84, 0.005),
        (80, 10, 10, 65, 0.01),
        (25, 3, 3, 10, 0.01),
        (20, 0, 1, 16, 0.1),
        (12, 8, 4, 12, 0.0),
        (10, 0.9, 3, 6, 0.1),
    ],
)
def test_a_ramp_is_its_two_published_factors(epochs, warm, start, length, last):
    for epoch in range(epochs):
        up = np.exp(-5 * (1 - np.clip(epoch, 0.5, warm) / warm) ** 2) if epoch < warm else 1.0
        if epoch <= start:
            down = 1.0
        elif epoch - start < length:
            down = last + (1 - last) * (length - epoch + start) / length
        else:
            down = last
        assert published(epoch, epochs, warm, start, length, last) == pytest.approx(up * down)


@given(st.integers(1, 300), SHARES, st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 1), st.floats(1e-5, 1.0))
@example(epochs=1, warm_up=0.3, down_from=0.0, down_over=0.01, last=0.0, peak=1.0)
def test_a_ramp_stays_between_nothing_and_the_highest_rate(epochs, warm_up, down_from, down_over, last, peak):
    settings = {"warm_up": warm_up, "down_from": down_from, "down_over": down_over, "last": last}
    rates = [ramp(peak, epoch, epochs, **settings) for epoch in range(epochs + 1)]
    assert all(0 <= rate <= peak for rate in rates)
    rising = [rate for epoch, rate in enumerate(rates) if epoch <= down_from * epochs]
    falling = [rate for epoch, rate in enumerate(rates) if epoch >= warm_up * epochs]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)


@given(st.integers(2, 300), st.floats(0.01, 0.95), st.floats(0, 1), st.floats(0.05, 1), st.floats(0, 1))
def test_a_ramp_has_no_step(epochs, warm_up, down_from, down_over, last):
    """Where its pieces meet, at either side of the corner."""
    settings = {"warm_up": warm_up, "down_from": down_from, "down_over": down_over, "last": last}
    for corner in (0.5, warm_up * epochs, down_from * epochs, (down_from + down_over) * epochs):
        before, after = (ramp(1.0, corner + side, epochs, **settings) for side in (-1e-7, 1e-7))
        assert before == pytest.approx(after, abs=1e-4)
