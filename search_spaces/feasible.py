"""Uniform draws among the architectures that fit a budget."""

from typing import Literal

import numpy as np

from search_spaces.cost import cost
from search_spaces.errors import NasError
from search_spaces.pricing import Pricing
from search_spaces.space import Choices

# Sets of choices priced at once.
_BATCH = 8192
# Building an architecture, for what its price does not tell, takes as long as pricing some hundred sets of choices.
_LOOK = 300


class FeasibleDraws:
    """Random architectures of a space that fit a budget: draws, screened by their exact price.

    Args:
        pricing: The space and the budget.
        rng: The only source of chance.
        over: What is uniform. "choices": each choice by itself, so that small architectures are as likely as large
            ones. "architectures": all architectures that fit are equally likely; since nearly all of a space's
            architectures are its largest, few draws fit. Choices without effect then have their first value, and a
            draw only counts if it is the way in which the space itself writes its architecture.
        patience: How many draws one architecture is worth before nothing is believed to fit. A draw that is refused
            for its peak memory, or for how it is written, counts as the 300 that are priced in the same time.

    Attributes:
        drawn: Sets of choices drawn so far, those refused included.
        fitting: Those of them within the limits on bytes and MACs.
    """

    def __init__(
        self,
        pricing: Pricing,
        rng: np.random.Generator,
        over: Literal["choices", "architectures"] = "choices",
        patience: int = 16_000_000,
    ) -> None:
        self.drawn = self.fitting = 0
        self._pricing = pricing
        self._rng = rng
        self._over = over
        self._patience = patience
        self._screened: list[Choices] = []

    def draw(self) -> Choices:
        """The choices of the next architecture.

        Raises:
            NasError: If patience ends.
        """
        refused = 0
        while refused < self._patience:
            if not self._screened:
                self._screened = self._screen()
                refused += _BATCH
            else:
                values = self._screened.pop()
                if self._is_wanted(values):
                    return values
                refused += _LOOK
        raise NasError(
            f"no architecture of {self._pricing.space.name!r} was found that fits the budget, in {self.drawn:,} draws; "
            "raise its limits"
        )

    def _screen(self) -> list[Choices]:
        """Those of the next sets of choices that are within the limits on bytes and MACs."""
        space = self._pricing.space
        draw = space.sample_digits if self._over == "choices" else space.uniform_digits
        digits = draw(self._rng, _BATCH)
        fits = self._pricing.prices(digits).feasible
        self.drawn += _BATCH
        self.fitting += int(fits.sum())
        return space.values(digits[:, fits])

    def _is_wanted(self, values: Choices) -> bool:
        """Whether it also keeps to the limit on peak memory, and is the one way to write its architecture."""
        space, budget = self._pricing.space, self._pricing.budget
        if budget.peak_bytes is not None and not cost(space.decode(values), budget).feasible:
            return False
        return self._over == "choices" or space.writes(values)
