"""A graph of a bundle as a network, run by ONNX Runtime."""

from pathlib import Path

import torch
from torch import Tensor, nn


class OnnxNetwork(nn.Module):
    """Runs an ONNX file as it is written, operation by operation, on one thread of the CPU.

    The runtime would merge the roundings of int8 into kernels of its own, some of which overflow on processors without
    instructions for it; as written, every processor gives the same scenes.

    Raises:
        RuntimeError: If the file is no graph.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime  # a fifth of a second of start-up

        super().__init__()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, scenes) float32 of feature maps (batch, 1, mels, frames)."""
        (logits,) = self._session.run(["logits"], {"features": features.numpy()})
        return torch.from_numpy(logits)
