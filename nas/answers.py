"""The kinds of answers that a system has: general or device-specific, in each way in which its students can be run."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.systems import FLOAT

GENERAL, SPECIFIC, DIFFERENCE = "general", "device_specific", "difference"


@dataclass(frozen=True)
class Kinds:
    """Answers that stand side by side in every table.

    Attributes:
        labels: What people call each kind: answers first, then differences.
        differences: Kinds that are the first of two kinds of answers less the second.
        deployed: The kind of what is answered where the recording device is known.
    """

    labels: dict[str, str]
    differences: dict[str, tuple[str, str]]
    deployed: str

    @classmethod
    def of(cls, variants: Sequence[str], specific: bool) -> "Kinds":
        """The kinds of a system in these variants, and whether recording devices have students of their own.

        With students of recording devices the gain by them is a difference; with a second variant it is what the
        variant changes in what is deployed.
        """
        words = {GENERAL: "general"}
        if specific:
            words |= {SPECIFIC: "device-specific", DIFFERENCE: "difference"}
        labels = {
            kind_of(name, variant): f"{word}, {variant}" if len(variants) > 1 else word
            for name, word in words.items()
            for variant in variants
        }
        differences = {
            kind_of(DIFFERENCE, variant): (kind_of(SPECIFIC, variant), kind_of(GENERAL, variant))
            for variant in variants
            if specific
        }
        deployed = SPECIFIC if specific else GENERAL
        for variant in variants[1:]:
            changed = f"{variant}_less_{variants[0]}"
            differences[changed] = kind_of(deployed, variant), kind_of(deployed, variants[0])
            labels[changed] = f"{variant} less {variants[0]}"
        return cls(labels, differences, kind_of(deployed, variants[0]))


def kind_of(students: str, variant: str) -> str:
    """The name of a kind of answers: plain for `FLOAT`, which every system has."""
    return students if variant == FLOAT else f"{students}_{variant}"
