import json
import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from search_spaces.errors import InputError
from trainers.recipe import Recipe


@given(st.integers(1, 500), st.floats(0, 0.9), st.floats(1e-5, 1.0))
@example(steps=1, warm_up=0.75, peak=1.0)
def test_rate_rises_once_and_then_falls_to_zero(steps, warm_up, peak):
    recipe = Recipe(epochs=1, learning_rate=peak, warm_up=warm_up)
    rates = [recipe.learning_rate_at(step, steps) for step in range(steps + 1)]
    top = min(round(warm_up * steps), steps - 1)
    assert all(0 < rate <= peak for rate in rates[:-1])
    assert all(early < late for early, late in pairwise(rates[: top + 1]))
    assert all(early > late for early, late in pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(0, abs=1e-12 * peak)
    assert max(rates) == peak


def test_rate_is_half_a_cosine_after_the_warm_up():
    recipe = Recipe(epochs=1, learning_rate=0.5, warm_up=0.2)
    for step in range(20, 100):
        expected = 0.25 * (1 + math.cos(math.pi * (step - 20) / 80))
        assert recipe.learning_rate_at(step, 100) == pytest.approx(expected)
    assert recipe.learning_rate_at(9, 100) == pytest.approx(0.5 * 10 / 21)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("batch", 1),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("weight_decay", -1e-3),
        ("weight_decay", math.nan),
        ("warm_up", 1.0),
        ("temperature", 0.0),
        ("temperature", math.nan),
        ("teacher_share", 1.01),
        ("mixstyle_probability", -0.1),
        ("mixstyle_probability", math.nan),
        ("mixstyle_alpha", 0.0),
        ("roll", 1.1),
        ("frequency_mask", 48),
        ("mask_fill", "black"),
    ],
)
def test_a_setting_outside_its_domain_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        Recipe(**{"epochs": 1, name: value})


def test_a_recipe_survives_json():
    recipe = Recipe(epochs=3, roll=0.0, frequency_mask=0.25, mask_fill="zero")
    assert Recipe(**json.loads(json.dumps(recipe.to_json()))) == recipe
