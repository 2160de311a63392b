"""A teacher that is ready to be listened to, wherever its networks come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Teacher:
    """A taught or published teacher.

    Attributes:
        name: For people.
        digest: Of the files that decide what it says.
        scenes: In the order of its logits.
        parameters: Of one of its networks, all of which are alike.
        networks: Loads them, in evaluation mode, by the recording device that each is for; `published.BASE` is the one
            for all others. Each takes (batch, 1, mels, frames) and gives (batch, scenes). Called only where the logits
            are not cached.
    """

    name: str
    digest: str
    scenes: tuple[str, ...]
    parameters: int
    networks: Callable[[], Mapping[str, nn.Module]]
