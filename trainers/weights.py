"""The weights of a network in training form, in a file that holds data and never code."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from search_spaces.errors import NasError


class WeightsError(NasError):
    """A weights file that is missing, damaged or of another network."""


def save_weights(network: nn.Module, path: Path) -> None:
    """Writes parameters and running statistics, float32.

    Raises:
        OSError: If the file cannot be written.
    """
    # Written by Python: the library's own writing would hide a full disk in an error of its own.
    path.write_bytes(save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Reads what `save_weights` wrote of a network of the same architecture.

    Raises:
        WeightsError: If the file is missing, damaged or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).split("\n", 1)[0]
        raise WeightsError(f"the weights {path} cannot be loaded ({reason}); teach the network again") from error
