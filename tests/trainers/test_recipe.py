import json
import math

import pytest

from search_spaces.errors import InputError
from trainers.recipe import Recipe
from trainers.schedules import cosine, ramp


def test_the_rate_is_that_of_the_schedule():
    steps = 60  # of 20 epochs
    by_step = Recipe(epochs=20, learning_rate=0.5, warm_up=0.2)
    by_epoch = Recipe(
        epochs=20, learning_rate=0.5, warm_up=0.2, schedule="ramp", down_from=0.4, down_over=0.3, last_rate=0.1
    )
    for step in range(steps):
        assert by_step.learning_rate_at(step, steps) == cosine(0.5, step, steps, warm_up=0.2)
        expected = ramp(0.5, step // 3, 20, warm_up=0.2, down_from=0.4, down_over=0.3, last=0.1)
        assert by_epoch.learning_rate_at(step, steps) == expected


def test_without_a_word_the_ramp_falls_as_published():
    """From epoch 50 of 150, over 84, to 0.005."""
    recipe = Recipe(epochs=150, learning_rate=1.0, schedule="ramp")
    rates = [recipe.learning_rate_at(10 * epoch, 1500) for epoch in range(150)]
    assert rates[50] == 1 > rates[51]
    assert rates[133] > rates[134] == pytest.approx(0.005)
    assert rates[134:] == pytest.approx([0.005] * 16)


@pytest.mark.parametrize("epoch", [1, 2, 3, 5, 8, 9])
def test_a_ramp_keeps_its_shape_in_a_shorter_training(epoch):
    short, long = (Recipe(epochs=epochs, schedule="ramp", warm_up=14 / 150) for epochs in (10, 150))
    assert short.learning_rate_at(epoch, 10) == pytest.approx(long.learning_rate_at(15 * epoch, 150))


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
        ("optimizer", "sgd"),
        ("gradient_norm", 0.0),
        ("gradient_norm", math.inf),
        ("schedule", "linear"),
        ("warm_up", 1.0),
        ("warm_up", -0.1),
        ("down_from", 1.1),
        ("down_over", 0.0),
        ("down_over", 1.1),
        ("last_rate", -0.1),
        ("temperature", 0.0),
        ("temperature", math.nan),
        ("teacher_share", 1.01),
        ("kl_mean", "sum"),
        ("label_smoothing", 1.0),
        ("averaging", 1.0),
        ("averaging", math.nan),
        ("autocast", "bfloat16"),
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
    recipe = Recipe(
        epochs=3, frequency_mask=0.25, mask_fill="zero", schedule="ramp", optimizer="adam", gradient_norm=None
    )
    assert Recipe(**json.loads(json.dumps(recipe.to_json()))) == recipe
