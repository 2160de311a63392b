"""The parts of the cost-aware sampler, each against what it must equal."""

import numpy as np
import numpy.typing as npt
from scipy.stats import multivariate_normal
from tiny_spaces import all_digits, tiny_space

from nas.samplers.accuracy_model import AccuracyModel, Describer, Inputs
from nas.samplers.children import Children, keys
from nas.samplers.evidence import MOST, evidence
from nas.samplers.records import Record
from search_spaces.budget import Budget
from search_spaces.pricing import Pricing
from search_spaces.spaces import open_space

Floats = npt.NDArray[np.float64]
TINY = tiny_space("tiny-stages")


def described(count: int, seed: int) -> tuple[Inputs, Floats]:
    """Random architectures of the joint space, and a smooth made-up accuracy."""
    space = open_space("joint", [64], [33])
    digits = space.sample_digits(np.random.default_rng(seed), count)
    prices = Pricing(space, Budget()).prices(digits)
    depth = digits[[choice.label for choice in space.choices].index("stages")]
    return Describer(space).inputs(digits, prices), 0.1 * np.log10(prices.macs) + 0.02 * depth


def test_the_model_is_the_textbook_one_at_the_likeliest_settings() -> None:
    inputs, accuracy = described(40, 0)
    progress = np.where(np.arange(40) % 4 == 0, -1.6, 0.0)
    model = AccuracyModel(inputs, progress, accuracy)
    length, noise, weight = model._settings
    rows = Inputs(inputs.own[:7] + 0.1, inputs.means[:7])

    def kernel(a: Inputs, s: Floats, b: Inputs, t: Floats) -> Floats:
        apart = ((a.own[:, None] - b.own) ** 2).sum(axis=2) + weight * ((a.means[:, None] - b.means) ** 2).sum(axis=2)
        return np.exp(-apart / (2 * length**2) - (s[:, None] - t) ** 2 / 32) + np.outer(s, t)

    inverse = np.linalg.inv(kernel(inputs, progress, inputs, progress) + noise * np.eye(40))
    across = kernel(inputs, progress, rows, np.zeros(7))
    residual = accuracy - accuracy[progress == 0].mean()
    variance = residual @ inverse @ residual / 40
    mean, sd = model.predict(rows)
    np.testing.assert_allclose(mean, accuracy[progress == 0].mean() + across.T @ inverse @ residual, rtol=1e-6)
    np.testing.assert_allclose(sd**2, variance * (1 - np.einsum("ij,ik,kj->j", across, inverse, across)), rtol=1e-4)


def test_the_likeliest_settings_are_those_of_the_greatest_density() -> None:
    from nas.samplers.accuracy_model import LENGTHS, MEAN_WEIGHTS, NOISES, _covariance, _squared

    inputs, accuracy = described(60, 1)
    accuracy = accuracy + np.random.default_rng(0).normal(0, 0.02, 60)
    residual, still = accuracy - accuracy.mean(), np.zeros(60)

    def density(length: float, noise: float, weight: float) -> float:
        squared = _squared(inputs.own, inputs.own) + weight * _squared(inputs.means, inputs.means)
        shape = _covariance(squared, length, still, still) + noise * np.eye(60)
        variance = residual @ np.linalg.solve(shape, residual) / 60
        return float(multivariate_normal(np.zeros(60), variance * shape).logpdf(residual))

    settings = [(length, noise, weight) for length in LENGTHS for noise in NOISES for weight in MEAN_WEIGHTS]
    assert AccuracyModel(inputs, still, accuracy)._settings == max(settings, key=lambda one: density(*one))


def test_the_model_predicts_architectures_it_has_not_seen_and_knows_how_well() -> None:
    inputs, accuracy = described(200, 2)
    model = AccuracyModel(inputs[:120], np.zeros(120), accuracy[:120] + np.random.default_rng(1).normal(0, 0.01, 120))
    mean, sd = model.predict(inputs[120:])
    errors = mean - accuracy[120:]
    assert np.std(errors) < 0.4 * np.std(accuracy[120:])
    assert 0.5 < np.std(errors / sd) < 2


def test_early_accuracies_tell_of_the_last_ones() -> None:
    """Half have only an early accuracy, which lies lower; the model must rank them and place them at the end."""
    inputs, accuracy = described(120, 3)
    rng = np.random.default_rng(5)
    quirk = rng.normal(0, 0.05, 120)  # of each architecture, that no feature shows
    accuracy = accuracy + quirk
    early = np.arange(60, 120)
    rows = np.concatenate([np.arange(60), np.arange(60), early])
    progress = np.concatenate([np.zeros(60), np.full(120, -1.6)])
    model = AccuracyModel(inputs[rows], progress, np.where(progress < 0, accuracy[rows] - 0.2, accuracy[rows]))
    blind = AccuracyModel(inputs[:60], np.zeros(60), accuracy[:60])
    errors, errors_blind = (np.abs(m.predict(inputs[early])[0] - accuracy[early]).mean() for m in (model, blind))
    assert errors < 0.5 * errors_blind


def test_what_is_believed_changes_no_mean_and_is_uncertain_no_more() -> None:
    inputs, accuracy = described(60, 6)
    model = AccuracyModel(inputs[:50], np.zeros(50), accuracy[:50])
    believing = model.believing(inputs[50:])
    mean, sd = model.predict(inputs[50:])
    mean_after, sd_after = believing.predict(inputs[50:])
    np.testing.assert_allclose(mean_after, mean, atol=1e-6)
    assert (sd_after < sd).all()


def test_choices_without_effect_have_no_features() -> None:
    space = open_space("joint", [64], [33])
    digits = space.sample_digits(np.random.default_rng(0), 50)
    other = np.where(space.effective(digits), digits, space.sample_digits(np.random.default_rng(1), 50))
    prices = Pricing(space, Budget()).prices(digits)
    first, second = (Describer(space).inputs(some, prices) for some in (digits, other))
    np.testing.assert_array_equal(first.own, second.own)
    np.testing.assert_array_equal(first.means, second.means)


def test_the_means_are_over_the_stages_that_there_are() -> None:
    space = open_space("joint", [64], [33])
    rows = {choice.label: row for row, choice in enumerate(space.choices)}
    digits = space.sample_digits(np.random.default_rng(0), 6)
    digits[rows["stages"]] = range(6)
    for stage in range(1, 7):
        digits[rows[f"stage{stage}.width"]] = 20  # the widest: feature 1
    means = Describer(space).inputs(digits, Pricing(space, Budget()).prices(digits)).means
    names = [n.removeprefix("stage1.") for n in Describer(space)._features.names if n.startswith("stage1.")]
    np.testing.assert_allclose(means[:, names.index("width")], 1)
    kinds = [place for place, name in enumerate(names) if name.startswith("kind ")]
    np.testing.assert_allclose(means[:, kinds].sum(axis=1), 1)


def record(number: int, accuracy: float | None, *curve: tuple[int, float]) -> Record:
    epochs = curve[-1][0] if curve else 0
    return Record(number, np.zeros(1, np.int16), str(number), False, accuracy, curve, epochs)


def test_a_curve_gives_its_rungs_and_its_end() -> None:
    whole = record(0, 0.9, *((epoch, epoch / 30) for epoch in range(1, 28)))
    stopped = record(1, None, *((epoch, epoch / 40) for epoch in range(1, 6)))
    rows, progress, accuracy = evidence([whole, stopped, record(2, 0.7), record(3, None)], np.zeros(4, bool))
    assert rows.tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    np.testing.assert_allclose(27 * 2**progress, [1, 3, 9, 27, 1, 3, 5, 27])
    np.testing.assert_allclose(accuracy, [1 / 30, 3 / 30, 9 / 30, 0.9, 1 / 40, 3 / 40, 5 / 40, 0.7])


def test_before_the_end_an_accuracy_is_the_best_one_so_far() -> None:
    whole = record(0, 0.4, *((epoch, 0.5 if epoch == 2 else 0.1) for epoch in range(1, 28)))
    stopped = record(1, None, (1, 0.3), (2, 0.2), (3, 0.1))
    _, progress, accuracy = evidence([whole, stopped], np.zeros(2, bool))
    np.testing.assert_allclose(27 * 2**progress, [1, 3, 9, 27, 1, 3])
    assert accuracy.tolist() == [0.1, 0.5, 0.5, 0.4, 0.3, 0.3]


def test_beyond_the_most_the_front_stays_and_the_oldest_and_earliest_go_first() -> None:
    curve = ((1, 0.1), (3, 0.2), (9, 0.3))
    many = [record(number, 0.3, *curve) for number in range(MOST)]
    front = np.zeros(MOST + 1, bool)
    front[0] = True
    rows, progress, _ = evidence([*many, record(MOST, None, (1, 0.1))], front)
    assert not progress.any()
    assert rows.tolist() == [*range(MOST)]
    rows, progress, _ = evidence([*many, record(MOST, 0.2)], front)
    assert rows.tolist() == [0, *range(2, MOST + 1)]


def test_children_are_of_the_space_and_of_their_parents() -> None:
    space = open_space("joint", [64], [33])
    rng = np.random.default_rng(0)
    parents = space.sample_digits(rng, 2)
    children = Children(space).of(parents, 4000, rng)
    counts = np.array([len(choice.values) for choice in space.choices])
    assert children.dtype == np.int16
    assert (children >= 0).all()
    assert (children < counts[:, None]).all()
    foreign = (children != parents[:, :1]) & (children != parents[:, 1:])
    assert 0.5 < foreign.sum(axis=0).mean() < 4
    assert (foreign.any(axis=1) == space.effective(parents).any(axis=1)).mean() > 0.9
    from_both = (children == parents[:, :1]).any(axis=0) & (children == parents[:, 1:]).any(axis=0)
    assert from_both.all()


def test_a_single_parent_has_children_that_are_mutants() -> None:
    rng = np.random.default_rng(0)
    parent = TINY.sample_digits(rng, 1)
    children = Children(TINY).of(parent, 2000, rng)
    assert ((children != parent) <= TINY.effective(parent)).all()
    assert (children != parent).any(axis=0).mean() > 0.4


def test_keys_are_equal_exactly_where_the_choices_with_effect_are() -> None:
    digits = all_digits(TINY)
    effective = np.where(TINY.effective(digits), digits, -1)
    sets = len(np.unique(effective, axis=1).T)
    assert len(np.unique(keys(TINY, digits))) == sets
    assert len(np.unique(np.vstack([keys(TINY, digits), effective]), axis=1).T) == sets
