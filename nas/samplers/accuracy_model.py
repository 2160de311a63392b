"""What accuracy an architecture will have, from those trained so far: a Gaussian process.

The covariance of two architectures falls with the distance of their feature vectors and of the logarithms of their
costs, and, as far as the data ask for it, of the means of their stages: what a stage does, it mostly does wherever it
stands. An accuracy from before the last epoch belongs to the same architecture, less closely the earlier it is, and to
a trend that all learning curves share. Length scale, noise and the weight of the means are the likeliest of a grid
(Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and section 5.4.1).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from search_spaces.features import Features
from search_spaces.pricing import Prices
from search_spaces.space import Digits
from search_spaces.staged import StagedSpace

Floats = npt.NDArray[np.float64]

LENGTHS = (1.5, 2.2, 3.2, 4.7, 7.0)
NOISES = (0.003, 0.02, 0.1, 0.4)
"""Variances of the error of an accuracy, as shares of the variance between architectures."""
MEAN_WEIGHTS = (0.0, 0.3, 1.0)
JUDGED = 100
"""So many accuracies, evenly spread, decide between the settings of the grid."""

_FEATURE_WEIGHT = 0.5
_COST_WEIGHT = 0.25
_STAGE_LENGTH = 4.0
"""Of the progress, in halvings of the epochs: at a ninth of them (-3.2) an accuracy still tells three quarters."""


@dataclass(frozen=True)
class Inputs:
    """What the model knows of architectures.

    Attributes:
        own: (n, features): feature vectors and log2 of the costs, scaled.
        means: (n, features of a stage): means over the stages.
    """

    own: Floats
    means: Floats

    def __getitem__(self, rows: npt.NDArray[np.int_] | slice) -> "Inputs":
        return Inputs(self.own[rows], self.means[rows])

    def places(self, weight: float) -> Floats:
        """(n, dimensions): points whose squared distances are those of the features and, by their weight, the means."""
        return np.hstack([self.own, weight**0.5 * self.means]) if weight else self.own

    def and_also(self, other: "Inputs") -> "Inputs":
        """These, then the others."""
        return Inputs(np.vstack([self.own, other.own]), np.vstack([self.means, other.means]))


class Describer:
    """Turns sets of choices of a space into inputs."""

    def __init__(self, space: StagedSpace) -> None:
        self._features = Features(space)
        stages = range(1, space.vocabulary.stages + 1)
        numbers = {name: number for number, name in enumerate(self._features.names)}
        options = [name.removeprefix("stage1.") for name in numbers if name.startswith("stage1.")]
        self._of_stage = np.array([[numbers[f"stage{stage}.{option}"] for option in options] for stage in stages])
        self._count = numbers.get("stages")
        self._stages = len(stages)

    def inputs(self, digits: Digits, prices: Prices) -> Inputs:
        """The inputs of sets of choices, (choices, sets), with their prices."""
        vectors = self._features.vectors(digits).astype(np.float64)
        count = 1.0 if self._count is None else 1 + vectors[:, self._count] * (self._stages - 1)
        costs = np.log2(np.maximum(np.column_stack([prices.weight_bytes, prices.macs]), 1))
        own = np.hstack([vectors * _FEATURE_WEIGHT**0.5, costs * _COST_WEIGHT**0.5])
        return Inputs(own, vectors[:, self._of_stage].sum(axis=1) / np.reshape(count, (-1, 1)))


class AccuracyModel:
    """A Gaussian process over accuracies.

    Args:
        inputs: Of n accuracies; an architecture may be there several times.
        progress: (n,) log2 of the share of its epochs that each had behind it; 0 at the end.
        accuracy: (n,) on any scale.
    """

    def __init__(self, inputs: Inputs, progress: Floats, accuracy: Floats) -> None:
        final = progress == 0
        self._centre = float(accuracy[final if final.any() else slice(None)].mean())
        residual = accuracy - self._centre
        judged = np.linspace(0, len(accuracy) - 1, min(len(accuracy), JUDGED)).astype(np.int_)
        self._settings = _likeliest(inputs[judged], progress[judged], residual[judged])
        self._condition(inputs, progress, residual)

    def _condition(self, inputs: Inputs, progress: Floats, residual: Floats) -> None:
        self._inputs, self._progress, self._residual = inputs, progress, residual
        _, noise, weight = self._settings
        self._places = inputs.places(weight)
        covariance = self._covariance(inputs, progress) + noise * np.eye(len(residual))
        self._factor, self._weights = _solved(covariance, residual)
        self._variance = max(float(residual @ self._weights) / len(residual), 1e-12)

    def _covariance(self, others: Inputs, progress: Floats) -> Floats:
        """(n, others)."""
        length, _, weight = self._settings
        return _covariance(_squared(self._places, others.places(weight)), length, self._progress, progress)

    def believing(self, inputs: Inputs) -> "AccuracyModel":
        """The same model, had these architectures turned out exactly as it expects; its scale stays as it is."""
        believed = object.__new__(AccuracyModel)
        believed._centre, believed._settings = self._centre, self._settings
        mean, _ = self.predict(inputs)
        believed._condition(
            self._inputs.and_also(inputs),
            np.append(self._progress, np.zeros(len(mean))),
            np.append(self._residual, mean - self._centre),
        )
        believed._variance = self._variance
        return believed

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the accuracy at the end of training, without the error of measurement."""
        covariance = self._covariance(inputs, np.zeros(len(inputs.own)))
        mean = self._centre + covariance.T @ self._weights
        half = solve_triangular(self._factor, covariance, lower=True, check_finite=False, overwrite_b=True)
        variance = self._variance * np.maximum(1 - np.einsum("ij,ij->j", half, half), 1e-9)
        return mean, np.sqrt(variance)


def _squared(first: Floats, second: Floats) -> Floats:
    """Squared distances of rows, (first, second)."""
    squares: Floats = first @ second.T
    squares *= -2
    squares += (first**2).sum(axis=1)[:, None]
    squares += (second**2).sum(axis=1)
    return np.maximum(squares, 0, out=squares)


def _covariance(squared: Floats, length: float, progress: Floats, others: Floats) -> Floats:
    """Overwrites the squares, which are most of what a proposal computes."""
    squared *= -1 / (2 * length**2)
    covariance: Floats = np.exp(squared, out=squared)
    if not others.any():
        covariance *= np.exp(-0.5 * (progress / _STAGE_LENGTH) ** 2)[:, None]
        return covariance
    covariance *= np.exp(-0.5 * ((progress[:, None] - others) / _STAGE_LENGTH) ** 2)
    covariance += np.multiply.outer(progress, others)
    return covariance


def _likeliest(inputs: Inputs, progress: Floats, residual: Floats) -> tuple[float, float, float]:
    """Length, noise and weight of the means whose marginal likelihood, at its likeliest variance, is greatest."""
    own, means = _squared(inputs.own, inputs.own), _squared(inputs.means, inputs.means)
    found = []
    itself = np.eye(len(residual))
    for weight, length in product(MEAN_WEIGHTS, LENGTHS):
        covariance = _covariance(own + weight * means, length, progress, progress)
        for noise in NOISES:
            factor, weights = _solved(covariance + noise * itself, residual)
            explained = max(float(residual @ weights), 1e-12)
            likelihood = -0.5 * len(residual) * np.log(explained) - np.log(np.diag(factor)).sum()
            found.append((float(likelihood), (length, noise, weight)))
    return max(found)[1]


def _solved(covariance: Floats, residual: Floats) -> tuple[Floats, Floats]:
    """The lower Cholesky factor of a covariance, and the covariance's inverse times the residual."""
    factor: Floats = cholesky(covariance, lower=True, check_finite=False)
    half = solve_triangular(factor, residual, lower=True, check_finite=False)
    weights: Floats = solve_triangular(factor, half, lower=True, trans=1, check_finite=False)
    return factor, weights
