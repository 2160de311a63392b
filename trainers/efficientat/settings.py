"""The networks as values: what a study file names and a teacher's folder remembers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeGuard, get_args

from torch import nn

from search_spaces.errors import InputError
from trainers.efficientat.dymn import DynamicMobileNet
from trainers.efficientat.dynamic import tau_at
from trainers.efficientat.layers import Head
from trainers.efficientat.mn import MobileNet
from trainers.efficientat.plan import plan

WIDEST = 8.0
"""Twice the widest published network; keeps a slip of the pen from filling the memory."""


class EfficientAtError(InputError, ValueError):
    """A setting of an EfficientAT network outside its domain."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"the EfficientAT network has {name}={value!r}; it must be {expected}")


@dataclass(frozen=True)
class Mn:
    """An MN.

    Attributes:
        width: Factor of all channels: mn04 has 0.4, mn10 1; above 0, at most 8.
        head: "mlp" pools the map and classifies with two linear layers; "fully_convolutional" classifies each position
            with a 1x1 convolution and batch norm, then pools.

    Raises:
        EfficientAtError: If a setting is outside its domain.
    """

    width: float = 1.0
    head: Head = "mlp"

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", _width(self.width))
        if self.head not in get_args(Head):
            raise EfficientAtError("head", self.head, " or ".join(get_args(Head)))

    def network(self, classes: int) -> nn.Module:
        """(batch, 1, mels, frames) -> (batch, classes), in training mode, with fresh weights drawn from torch's global
        generator."""
        return MobileNet(plan(self.width), classes, self.head)

    def after(self, epochs: int) -> "Mn":
        """What it is after so many epochs of training: the same."""
        return self

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {"family": "mn", **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Mn":
        """The MN that a JSON value describes; what it leaves out has its default.

        Raises:
            EfficientAtError: If it is of another family, has an unknown setting or one outside its domain.
        """
        return Mn(**_settings(data, "mn", Mn))


@dataclass(frozen=True)
class DyMn:
    """A DyMN, all its blocks dynamic, with the "mlp" head.

    Attributes:
        width: Factor of all channels: dymn04 has 0.4, dymn10 1; above 0, at most 8.
        tau: Temperature of the softmax that mixes the kernels, in the first epoch of a training and whenever there is
            none; at least 1. It falls by one each epoch, down to 1. Fresh weights, and those published for ImageNet,
            begin at 30, those published for AudioSet at 1.

    Raises:
        EfficientAtError: If a setting is outside its domain.
    """

    width: float = 1.0
    tau: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", _width(self.width))
        if not (_is_number(self.tau) and self.tau >= 1):
            raise EfficientAtError("tau", self.tau, "a finite number, 1 or above")
        object.__setattr__(self, "tau", float(self.tau))

    def network(self, classes: int) -> nn.Module:
        """(batch, 1, mels, frames) -> (batch, classes), in training mode, with fresh weights drawn from torch's global
        generator.

        Its dynamic convolutions have ``begin_epoch(epoch)``, which sets the temperature of an epoch, from 0; it is no
        part of the state.
        """
        return DynamicMobileNet(self.width, classes, self.tau)

    def after(self, epochs: int) -> "DyMn":
        """What it is after so many epochs of training: at the temperature of the last one."""
        return replace(self, tau=tau_at(max(epochs - 1, 0), self.tau))

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {"family": "dymn", **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "DyMn":
        """The DyMN that a JSON value describes; what it leaves out has its default.

        Raises:
            EfficientAtError: If it is of another family, has an unknown setting or one outside its domain.
        """
        return DyMn(**_settings(data, "dymn", DyMn))


def _width(value: object) -> float:
    """The checked width; a whole number is the same width as its float."""
    if not (_is_number(value) and 0 < value <= WIDEST):
        raise EfficientAtError("width", value, f"a number above 0, at most {WIDEST:g}")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _settings(data: Mapping[str, Any], family: str, kind: type[Mn] | type[DyMn]) -> dict[str, Any]:
    """All but the family, which must be this one, where every name is known."""
    if not isinstance(data, Mapping):
        raise EfficientAtError("description", data, "a JSON object")
    settings = dict(data)
    found = settings.pop("family", None)
    if found != family:
        raise EfficientAtError("family", found, repr(family))
    known = [field.name for field in fields(kind)]
    for name, value in settings.items():
        if name not in known:
            raise EfficientAtError(name, value, f"left out: {family} has only {', '.join(known)}")
    return settings
