"""The limits of the target: what fits, by how much not, and what is left."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Limit = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Budget:
    """Upper limits of the deployed network; the defaults are the rules of DCASE 2025 Task 1.

    Attributes:
        weight_bytes: Of all parameters (kB = 1000 bytes).
        macs: For one clip, by the challenge's counter.
        peak_bytes: Of activations alive at once; no limit if None.
    """

    weight_bytes: Limit = 128_000
    macs: Limit = 30_000_000
    peak_bytes: Limit | None = None

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by the name of the cost they bound."""
        named = {"weight_bytes": self.weight_bytes, "macs": self.macs, "peak_bytes": self.peak_bytes}
        return {name: limit for name, limit in named.items() if limit is not None}

    def excess(self, costs: Mapping[str, int]) -> dict[str, float]:
        """Cost divided by limit, minus 1, for each limit that is crossed; empty if everything fits."""
        return {name: costs[name] / limit - 1 for name, limit in self.limits.items() if costs[name] > limit}
