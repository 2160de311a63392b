"""The gate: what is refused at once, before any worker hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import Cost, cost
from search_spaces.siblings import deployed_identity

Reason = Literal["over_budget", "repeat"]
REFUSALS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one proposal.

    Attributes:
        deployed_identity: As `search_spaces.siblings` gives it for the form that is deployed.
        reason: Why it is refused; None if it passes.
        detail: The same in words for a person; empty if it passes.
    """

    cost: Cost
    deployed_identity: str
    reason: Reason | None = None
    detail: str = ""


def judge(architecture: Architecture, budget: Budget, taken: Mapping[str, int]) -> Verdict:
    """Whether an architecture fits the budget and is new.

    Args:
        taken: Identities already trained or in training, with their trial numbers.
    """
    priced = cost(architecture, budget)
    deployed = deployed_identity(architecture, priced.deployed.form)
    if priced.excess:
        told = (
            f"{name} {getattr(priced.deployed, name):,} is {over:.1%} over its limit of {budget.limits[name]:,}"
            for name, over in priced.excess.items()
        )
        return Verdict(priced, deployed, "over_budget", "; ".join(told))
    if architecture.identity in taken:
        return Verdict(priced, deployed, "repeat", f"the same architecture as trial {taken[architecture.identity]}")
    return Verdict(priced, deployed)
