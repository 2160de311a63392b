"""Opening a published checkpoint: as data, never as code, and all of it or nothing."""

import re
import struct
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import InputError
from trainers.published.layouts import BASE, LAYOUTS, Layout

# Where training programs put the state of the network beside that of the optimiser.
_CONTAINERS = ("state_dict", "model_state_dict")
_PREFIXES_OF_BASE = ("", "model.", "multi_device_model.base_model.")
_PREFIX_OF_DEVICE = re.compile(r"multi_device_model\.device_models\.(\w+)\.")
# What damaged bytes make of the unpickler, beside its own error.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class CheckpointError(InputError):
    """A checkpoint that is missing, damaged, or in no layout that is read. The message begins with its path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")


@dataclass(frozen=True)
class Published:
    """The networks of a published checkpoint.

    Attributes:
        layout: The layout it is written in; it has the front end and the scenes.
        networks: In evaluation mode, float32, by recording device; `BASE` is the one for all others.
    """

    layout: Layout
    networks: Mapping[str, nn.Module]


def load_published(path: Path) -> Published:
    """The networks in a checkpoint of one of `LAYOUTS`.

    Every entry of the file is used or known to be no weight, every tensor of every network is set from the file, and
    all shapes agree.

    Raises:
        CheckpointError: If the file is missing or damaged, holds more than data, is in no known layout, or has entries
            that are missing, unknown, of another shape or not finite; names the first of them.
    """
    state = read_state(path)
    layout, prefixes = _recognised(path, state)
    networks = {device: layout.network() for device in prefixes}
    wanted = {
        prefixes[device] + key: (device, name)
        for device, network in networks.items()
        for name, key in layout.keys(network).items()
    }
    _refuse(path, f"a {layout.name}", "lacks", wanted.keys() - state.keys())
    strangers = state.keys() - wanted.keys()
    _refuse(path, f"a {layout.name}", "has unknown", (key for key in strangers if not key.startswith(layout.ignored)))
    values: dict[str, dict[str, Tensor]] = {device: {} for device in networks}
    states = {device: network.state_dict() for device, network in networks.items()}
    for key, (device, name) in wanted.items():
        _check_tensor(path, key, state[key], states[device][name])
        values[device][name] = state[key]
    for device, network in networks.items():
        network.load_state_dict(values[device])
    return Published(layout, networks)


def is_published(state: Mapping[str, Any]) -> bool:
    """Whether these entries are in one of `LAYOUTS`."""
    return any(key.endswith(layout.marker) for layout in LAYOUTS for key in state)


def check_tensors(path: Path, given: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Refuses entries that are not, one for one, those of a network.

    Raises:
        CheckpointError: If an entry is missing, unknown, of another shape or not finite; names the first of them.
    """
    for what, keys in (("lacks", expected.keys() - given.keys()), ("has unknown", given.keys() - expected.keys())):
        _refuse(path, "this network", what, keys)
    for key, value in given.items():
        _check_tensor(path, key, value, expected[key])


def read_state(path: Path) -> Mapping[str, Any]:
    """The entries of the network in a checkpoint file, whatever its layout.

    Raises:
        CheckpointError: If the file is missing or damaged, or holds more than data.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd pickles; what cannot be read is told below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror or error})") from error
    except UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise CheckpointError(path, "is no checkpoint, or a damaged one") from error
        raise CheckpointError(
            path, f"holds more than weights: opening it would run {code[1]}; save its state dict alone"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(path, "is no checkpoint, or a damaged one") from error
    if isinstance(content, Mapping):
        content = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise CheckpointError(path, "holds no weights by name")
    return content


def _recognised(path: Path, state: Mapping[str, Any]) -> tuple[Layout, dict[str, str]]:
    """The layout of a checkpoint, and the prefix of the model of each recording device."""
    for layout in LAYOUTS:
        prefixes = sorted(key.removesuffix(layout.marker) for key in state if key.endswith(layout.marker))
        if prefixes:
            return layout, {_device(path, layout, prefix): prefix for prefix in prefixes}
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise CheckpointError(path, f"is in none of the layouts that are read ({known})")


def _device(path: Path, layout: Layout, prefix: str) -> str:
    if prefix in _PREFIXES_OF_BASE:
        return BASE
    match = _PREFIX_OF_DEVICE.fullmatch(prefix)
    if match is None:
        raise CheckpointError(
            path, f"has a model ({layout.name}) under the unknown prefix {prefix!r}; expected 'model.'"
        )
    return match[1]


def _refuse(path: Path, whose: str, what: str, keys: Iterable[str]) -> None:
    listed = sorted(keys)
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise CheckpointError(path, f"{what} entries for {whose}: {', '.join(listed[:3])}{more}")


def _check_tensor(path: Path, key: str, value: Any, expected: Tensor) -> None:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise CheckpointError(path, f"has no plain tensor at {key}")
    if value.shape != expected.shape or value.is_floating_point() != expected.is_floating_point():
        raise CheckpointError(
            path, f"has {_words(value)} at {key}, expected {_words(expected)}: it belongs to another network"
        )
    if not torch.isfinite(value).all():
        raise CheckpointError(path, f"has values that are not finite at {key}")


def _words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
