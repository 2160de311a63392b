"""The network as a graph that other programs run: model.onnx for runtimes, model.pt2 for PyTorch's own converters, and
model.int8.onnx of a student in int8, its weights in one byte each and its maps rounded where a device rounds them.

All take features (batch, 1, mels, frames) with any batch, and give logits (batch, scenes) in float32. Nothing in them
says where or by what code they were made.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

if TYPE_CHECKING:
    from trainers.int8 import Int8Network


def write_graphs(network: nn.Module, mels: int, frames: int, *, onnx_path: Path, program_path: Path) -> None:
    """Writes both graphs of a network in evaluation mode; they compute in float32 with the deployed values."""
    with _quiet():
        program = _program(network, mels, frames)
        torch.export.save(program, program_path)
        _write_onnx(program, onnx_path)


def write_int8_graph(network: "Int8Network", mels: int, frames: int, path: Path) -> None:
    """Writes the graph of a network in int8, in ONNX's QDQ form: whole numbers, and how each is read as a number."""
    with _quiet():
        _write_onnx(_program(network.converted(), mels, frames), path)


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    import onnx  # with the exporter a second of start-up that only an export needs

    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, external_data=False, input_names=["features"], output_names=["logits"]
    )
    if exported is None:
        raise TypeError("torch.onnx.export gave no program")
    model = exported.model_proto
    _strip(model)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path), save_as_external_data=False)


def _program(network: nn.Module, mels: int, frames: int) -> ExportedProgram:
    """The exported program, without the source lines (with paths of this machine) that torch notes at every node."""
    plain = deepcopy(network).requires_grad_(False).eval()
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, 1, mels, frames)  # a batch of 1 would be taken for a constant
    program = torch.export.export(plain, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def _strip(model: Any) -> None:
    """Removes metadata and doc strings everywhere, and names the batch."""
    graph = model.graph
    del graph.value_info[:]  # inferred shapes: any runtime infers them again
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words to its own developers: missing torchvision operators, passes, deprecations in
    torch."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
