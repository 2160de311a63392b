"""What a search space is: labelled choices, and the way from a set of choices to an architecture and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import Architecture
from search_spaces.digest import digest
from search_spaces.errors import InputError

Value = str | int | float
Choices = dict[str, Value]
Digits = npt.NDArray[np.int16]
"""Many sets of choices at once, (choices, sets): for each the index of its value. One row is one choice."""


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
        mels: Numbers of mel bands that the space offers for the input.
        frames: Numbers of frames that it offers.
        classes: Scenes that every architecture tells apart.

    Raises:
        ValueError: If no number of mel bands or frames is given, or one twice.
    """

    name: str
    version: int
    choices: tuple[Choice, ...]

    def __init__(self, mels: Sequence[int], frames: Sequence[int], classes: int = 10) -> None:
        for what, offered in (("mels", mels), ("frames", frames)):
            if not offered or len(set(offered)) < len(offered):
                raise ValueError(f"{what}: expected one or more different numbers, found {list(offered)}")
        self.mels, self.frames = tuple(sorted(mels)), tuple(sorted(frames))
        self.classes = classes

    @property
    @abstractmethod
    def size(self) -> int:
        """How many architectures the space holds: sets of choices that differ in a choice with effect.

        A bound on the number of different networks: a few options do nothing where they stand (an identity branch that
        fits nowhere, a dilated single tap), and two stages may be equal to one longer stage.
        """

    @abstractmethod
    def decode(self, values: Mapping[str, Value]) -> Architecture:
        """The architecture that a value for every choice gives."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> Choices:
        """Choices that decode to a network with the identity of this one; those without effect get their first value.

        Raises:
            NotInSpaceError: If there are none; says what the space does not offer.
        """

    @abstractmethod
    def effective(self, digits: Digits) -> npt.NDArray[np.bool_]:
        """Which choices have an effect, (choices, sets)."""

    def sample(self, rng: np.random.Generator) -> Choices:
        """A value for every choice, each drawn uniformly."""
        return {choice.label: choice.values[rng.integers(len(choice.values))] for choice in self.choices}

    def sample_digits(self, rng: np.random.Generator, sets: int) -> Digits:
        """The same for many sets at once."""
        drawn = [rng.integers(len(choice.values), size=sets, dtype=np.int16) for choice in self.choices]
        return np.stack(drawn)

    def mutate(self, values: Mapping[str, Value], rng: np.random.Generator) -> Choices:
        """A child that differs in one choice and is another architecture: one effective choice is drawn anew."""
        parent = self.decode(values).identity
        effective = self.effective(self.digits([values]))[:, 0]
        order = rng.permutation(np.flatnonzero(effective))
        for index in order:
            choice = self.choices[index]
            for other in rng.permutation(len(choice.values)):
                child = dict(values) | {choice.label: choice.values[other]}
                if self.decode(child).identity != parent:
                    return child
        raise ValueError(f"no architecture of the space {self.name!r} differs from this one in a single choice")

    def digits(self, sets: Sequence[Mapping[str, Value]]) -> Digits:
        """Sets of choices as digits."""
        return np.array(
            [[choice.values.index(values[choice.label]) for values in sets] for choice in self.choices], dtype=np.int16
        )

    def values(self, digits: Digits) -> list[Choices]:
        """Digits as sets of choices."""
        return [
            {choice.label: choice.values[digit] for choice, digit in zip(self.choices, column, strict=True)}
            for column in digits.T
        ]

    @property
    def digest(self) -> str:
        """Changes whenever stored choices could mean something else."""
        choices = [[choice.label, list(choice.values)] for choice in self.choices]
        return digest([self.name, self.version, choices, list(self.mels), list(self.frames), self.classes])
