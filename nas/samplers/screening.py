"""What a sampler drew and dropped by itself before it proposed anything: counted, not recorded."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from search_spaces.feasible import FeasibleDraws


@dataclass(frozen=True, slots=True)
class Screening:
    """The draws behind one proposal.

    Attributes:
        drawn: Sets of choices, the proposed one included.
        over_budget: Those of them that did not fit.
    """

    drawn: int = 0
    over_budget: int = 0

    @classmethod
    def of(cls, draws: FeasibleDraws) -> "Screening":
        """All draws made so far."""
        return cls(draws.drawn, draws.drawn - draws.fitting)

    def __add__(self, other: "Screening") -> "Screening":
        return Screening(self.drawn + other.drawn, self.over_budget + other.over_budget)


@runtime_checkable
class Screens(Protocol):
    """A sampler that proposes only what fits."""

    screening: Screening
    """The draws behind its latest proposal."""
