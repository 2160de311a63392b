"""The weights file of a bundle: every tensor as it is deployed, in the safetensors format.

fp16 parameters are float16. An int8 weight is int8 under its own name with its float32 scales, one for each output
channel, under "<name>.scale"; weight = number * scale. Everything else, running statistics among it, is float32.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from search_spaces.parts import Precision
from trainers.export.manifest import ExportError
from trainers.precision import dequantised, quantised, quantised_names

SCALE = ".scale"


def write_weights(network: nn.Module, precision: Precision, path: Path) -> None:
    """The tensors of a network in its deployed form, rounded to a precision."""
    tensors: dict[str, Tensor] = {}
    parameters = dict(network.named_parameters())
    weights = quantised_names(network) if precision == "int8" else frozenset()
    for name, tensor in network.state_dict().items():
        if name in weights:
            tensors[name], tensors[name + SCALE] = quantised(tensor)
        elif precision == "fp16" and name in parameters:
            tensors[name] = tensor.half()
        else:
            tensors[name] = tensor
    # Written by Python: the library's own writing would hide a full disk in an error of its own.
    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def read_weights(network: nn.Module, path: Path) -> int:
    """Puts the tensors of a weights file into a network of the same form.

    Returns:
        Bytes that the parameters take in the file, scales included and buffers (running statistics) not.

    Raises:
        ExportError: If the file is damaged or its tensors are not those of the network.
    """
    try:
        tensors = load_file(path)
        state = {name: _value(name, tensors) for name in tensors if not _is_scale(name, tensors)}
        network.load_state_dict(state)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ExportError(
            f"{path} does not hold the weights of its architecture ({error}); export the network again"
        ) from error
    buffers = {name for name, _ in network.named_buffers()}
    return sum(tensor.nbytes for name, tensor in tensors.items() if name not in buffers)


def _is_scale(name: str, tensors: dict[str, Tensor]) -> bool:
    owner = tensors.get(name.removesuffix(SCALE)) if name.endswith(SCALE) else None
    return owner is not None and owner.dtype == torch.int8


def _value(name: str, tensors: dict[str, Tensor]) -> Tensor:
    tensor = tensors[name]
    if tensor.dtype != torch.int8:
        return tensor.float() if tensor.is_floating_point() else tensor
    scales = tensors.get(name + SCALE)
    if scales is None or scales.shape != tensor.shape[:1]:
        raise ExportError(f"the int8 weight {name} has no scale for each of its {tensor.shape[0]} output channels")
    return dequantised(tensor, scales)
