"""What a search space is: labelled choices, and the way from a set of choices to an architecture and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from search_spaces.architecture import Architecture, InputShape
from search_spaces.digest import digest
from search_spaces.errors import InputError

Value = str | int | float
Choices = dict[str, Value]


class NotInSpaceError(InputError):
    """An architecture that no set of choices of the space gives."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision.

    Attributes:
        label: Written by a person and part of the stored format: it never changes within a version of the space.
        values: At least two, all different. Integers in equal steps are an ordered choice, anything else is not.
    """

    label: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2 or len(set(self.values)) < len(self.values):
            raise ValueError(f"choice {self.label!r}: expected two or more different values, found {self.values}")

    @property
    def step(self) -> int | None:
        """The distance between neighbours of an ordered choice, None for an unordered one."""
        integers = [value for value in self.values if isinstance(value, int)]
        if len(integers) < len(self.values):
            return None
        step = integers[1] - integers[0]
        equal = all(b - a == step for a, b in pairwise(integers))
        return step if equal and step > 0 else None


class Space(ABC):
    """A flat search space: every choice always has a value, and `decode` ignores those without effect.

    Subclasses say their `name`, their `version` (raised when the meaning of a label changes) and their `choices`.

    Args:
        shape: Of the features that every architecture of the space takes.
        classes: Scenes that every architecture tells apart.
    """

    name: str
    version: int
    choices: tuple[Choice, ...]

    def __init__(self, shape: InputShape, classes: int = 10) -> None:
        self.input = shape
        self.classes = classes

    @abstractmethod
    def decode(self, values: Mapping[str, Value]) -> Architecture:
        """The architecture that a value for every choice gives."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> Choices:
        """Choices that decode to a network with the identity of this one; those without effect get their first value.

        Raises:
            NotInSpaceError: If there are none; says what the space does not offer.
        """

    def sample(self, rng: np.random.Generator) -> Choices:
        """A value for every choice, each drawn uniformly."""
        return {choice.label: choice.values[rng.integers(len(choice.values))] for choice in self.choices}

    @property
    def digest(self) -> str:
        """Changes whenever stored choices could mean something else."""
        choices = [[choice.label, list(choice.values)] for choice in self.choices]
        return digest([self.name, self.version, choices, self.input.mels, self.input.frames, self.classes])
