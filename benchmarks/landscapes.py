"""Made-up accuracies for every architecture of a space, to try samplers on without training anything.

Both landscapes answer for sets of choices in an instant, with the accuracy that endless validation clips would show:

    accuracy = 0.1 + 0.55 / (1 + exp(-quality))

where quality is put together from what is known to matter, with weights drawn once from a fixed seed.

* "saturating": capacity with diminishing returns, 1 - exp(-log2(1 + size) / 3) of the parameters (in thousands) and of
  the MACs (in millions); a receptive field that must be neither small nor large; the average over the stages of what
  each option does by itself and of what pairs of options do together; what stages that follow each other do to one
  another.
* "rugged": a weaker capacity; 64 cosines, each over four features of the space at random frequencies; 24 decision trees
  of depth four over the features. Most of what it rewards are strong interactions of far-apart choices.

What is observed in training is the accuracy and a normal error of `NOISE`, at each of the rungs 1, 3 and 9 of 9 epochs;
before the last it is lower, the more so the larger the network.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from search_spaces.budget import Budget
from search_spaces.features import Features
from search_spaces.pricing import Pricing
from search_spaces.seeds import derive_seed
from search_spaces.space import Digits
from search_spaces.staged import StagedSpace

Floats = npt.NDArray[np.float64]
Name = Literal["saturating", "rugged"]
NAMES: tuple[Name, ...] = ("saturating", "rugged")
NOISE = 0.01
RUNGS = (1, 3, 9)
Quality = Callable[[Digits], Floats]
_ELEMENT = {"fp32": 4.0, "fp16": 2.0, "int8": 1.3}


class Landscape:
    """One landscape over a space."""

    def __init__(self, name: Name, space: StagedSpace) -> None:
        self.name = name
        self._space = space
        self._features = Features(space)
        self._pricing = Pricing(space, Budget(2**40, 2**50))
        self._rng = np.random.default_rng(derive_seed(0, "landscape", name))
        self._quality = self._saturating() if name == "saturating" else self._rugged()

    def truth(self, digits: Digits) -> Floats:
        """The accuracy of each set of choices without error, (sets,), in (0.1, 0.65)."""
        result: Floats = 0.1 + 0.55 / (1 + np.exp(-self._quality(digits)))
        return result

    def trained(self, digits: Digits, seed: int, identity: str) -> dict[str, Any]:
        """The outcome of training one set of choices, of shape (choices, 1); the same again for the same identity."""
        rng = np.random.default_rng(derive_seed(seed, "training", identity))
        accuracy, slow = float(self.truth(digits)[0]), 0.2 + 0.05 * float(self._sizes(digits)[1][0])
        curve = [
            {
                "epoch": epoch,
                "accuracy": 0.1
                + (accuracy - 0.1) * (1 - slow * np.log2(RUNGS[-1] / epoch) / np.log2(RUNGS[-1]))
                + NOISE * float(rng.normal()),
            }
            for epoch in RUNGS
        ]
        return {"accuracy": curve[-1]["accuracy"], "curve": curve, "epochs": RUNGS[-1]}

    def _sizes(self, digits: Digits) -> tuple[Floats, Floats]:
        """log2(1 + thousands of parameters), log2(1 + millions of MACs)."""
        prices = self._pricing.prices(digits)
        return np.log2(1 + prices.weight_bytes / self._element(digits) / 1e3), np.log2(1 + prices.macs / 1e6)

    def _element(self, digits: Digits) -> Floats:
        row = [choice.label for choice in self._space.choices].index("precision")
        sizes = np.array([_ELEMENT[str(value)] for value in self._space.choices[row].values])
        found: Floats = sizes[digits[row]]
        return found

    def _saturating(self) -> Quality:
        rng, names = self._rng, list(self._features.names)
        stages = self._space.vocabulary.stages
        options = [name.removeprefix("stage1.") for name in names if name.startswith("stage1.")]
        of_stage = np.array([[names.index(f"stage{s}.{option}") for option in options] for s in range(1, stages + 1)])
        present = np.array([option.startswith("kind ") for option in options])
        alone = rng.normal(0, 0.5, len(options))
        pairs = np.triu(rng.normal(0, 0.7, (len(options),) * 2) * (rng.random((len(options),) * 2) < 0.15), 1)
        after = rng.normal(0, 0.5, (len(options),) * 2) * (rng.random((len(options),) * 2) < 0.1)
        depth, halving = options.index("depth"), [options.index(f"stride in {axis}") for axis in ("frequency", "time")]
        others = np.array([i for i, name in enumerate(names) if not name.startswith("stage")])
        rest = rng.normal(0, 0.25, len(others))

        def quality(digits: Digits) -> Floats:
            vectors = self._features.vectors(digits).astype(np.float64)
            stage = vectors[:, of_stage]  # (sets, stages, options)
            here = stage[:, :, present].sum(axis=2)
            count = here.sum(axis=1)
            effects = stage @ alone + np.einsum("nsi,ij,nsj->ns", stage, pairs, stage)
            joints = np.einsum("nsi,ij,nsj->n", stage[:, :-1], after, stage[:, 1:])
            layers = ((1 + 2 * stage[:, :, depth]) * here).sum(axis=1)
            field = sum(np.log2(4 + layers) + stage[:, :, axis].sum(axis=1) for axis in halving)
            params, macs = self._sizes(digits)
            capacity = 4 * (1 - np.exp(-params / 3)) + 3 * (1 - np.exp(-macs / 3))
            options_alone = effects.sum(axis=1) / count + joints / count + vectors[:, others] @ rest
            total: Floats = capacity + options_alone - 0.5 * ((field - 10) / 4) ** 2
            return total

        return self._centred(quality, 1.1)

    def _rugged(self) -> Quality:
        rng, width = self._rng, len(self._features.names)
        waves = np.zeros((width, 64))
        for wave in waves.T:
            wave[rng.choice(width, 4, replace=False)] = rng.normal(0, 2.0, 4)
        phases, heights = rng.uniform(0, 2 * np.pi, 64), rng.normal(0, 1, 64)
        asked, leaves = rng.integers(width, size=(24, 4)), rng.normal(0, 1.5, (24, 16))

        def quality(digits: Digits) -> Floats:
            vectors = self._features.vectors(digits).astype(np.float64)
            params, macs = self._sizes(digits)
            leaf = (vectors[:, asked] > 0.4) @ (1 << np.arange(4))
            trees = leaves[np.arange(24), leaf].sum(axis=1)
            total: Floats = (np.cos(vectors @ waves + phases) @ heights + trees) / 6 + 0.25 * params + 0.35 * macs
            return total

        return self._centred(quality, 1.0)

    def _centred(self, quality: Quality, spread: float) -> Quality:
        """The quality with a mean of -0.8 and that standard deviation over architectures that fit the budget."""
        drawn = self._space.sample_digits(np.random.default_rng(1), 20_000)
        values = quality(drawn[:, Pricing(self._space, Budget()).prices(drawn).feasible])
        return lambda digits: (quality(digits) - values.mean()) * (spread / values.std()) - 0.8
