"""A network that computes as it will in int8, and can be taught so."""

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx import GraphModule
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from trainers.int8.rounding import MapsAndWeights
from trainers.training import TrainingFailed


class Int8Network(nn.Module):
    """A folded network whose weights and maps are rounded to int8 wherever the deployed one's are.

    Gradients pass through a rounding as if it were not there, where its value is within its range (the straight-through
    estimator). In training mode the ranges of the maps follow what passes; in evaluation mode they stay. Batch norms
    that did not fold keep their statistics, and nothing is dropped, in either mode.

    Args:
        network: In folded form and evaluation mode; it stays as it is.
        examples: (n, 1, mels, frames) feature maps from which the ranges of the maps begin, n at least 2.
    """

    def __init__(self, network: nn.Module, examples: Tensor) -> None:
        super().__init__()
        plain = copy.deepcopy(network).eval()
        plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        program = torch.export.export(plain, (examples[:2],), dynamic_shapes=({0: Dim("batch", min=1)},))
        self.graph = prepare_pt2e(program.module(), MapsAndWeights())
        self._example_shape = examples[:1].shape
        self._maps = [
            module for module in self.graph.modules() if isinstance(module, FakeQuantize) and not module.is_per_channel
        ]
        with torch.no_grad():
            self.graph(examples)
        self.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, scenes) of feature maps (batch, 1, mels, frames).

        Raises:
            TrainingFailed: If weights, or maps in training mode, are not finite: they have no range to be rounded in.
        """
        try:
            logits: Tensor = self.graph(features)
        except AssertionError as error:  # torchao's, of a smallest value that is not below the largest
            raise TrainingFailed(
                "a student in int8 has weights or maps that are no longer finite; a lower learning rate may help"
            ) from error
        return logits

    def train(self, mode: bool = True) -> "Int8Network":
        """Ranges of maps follow in training mode. The graph itself has one mode: it was exported for evaluation."""
        self.training = mode
        for each in self._maps:
            each.enable_observer(mode)
            if not mode:  # from the ranges, which may be averages or have been loaded
                scale, zero_point = each.calculate_qparams()
                each.scale.copy_(scale)
                each.zero_point.copy_(zero_point)
        return self

    def converted(self) -> nn.Module:
        """The network with its weights in int8 and its maps as whole numbers between one operation and the next."""
        graph = copy.deepcopy(self).eval().graph
        with torch.no_grad():
            graph(torch.zeros(self._example_shape))  # so that the ranges of the weights are those of the last step's
        _write_out_norms(graph)
        converted: nn.Module = convert_pt2e(graph)
        return converted


def _write_out_norms(graph: GraphModule) -> None:
    """Replaces every batch norm by what it is with fixed statistics: a factor and a summand for each channel.

    With one left in the graph, torchao spends ten seconds on looking for convolutions that it could be folded into.
    """
    tensors = dict(graph.named_parameters()) | dict(graph.named_buffers())
    for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default):
        maps, weight, bias, mean, variance, _, _, epsilon, _ = node.args
        factor = tensors[weight.target] * (tensors[variance.target] + epsilon).rsqrt()
        summand = tensors[bias.target] - tensors[mean.target] * factor
        positions = [1] * (node.meta["val"].dim() - 2)
        graph.register_buffer(f"{node.name}_factor", factor.detach().reshape(-1, *positions))
        graph.register_buffer(f"{node.name}_summand", summand.detach().reshape(-1, *positions))
        with graph.graph.inserting_before(node):
            constants = [graph.graph.get_attr(f"{node.name}_{kind}") for kind in ("summand", "factor")]
            written_out = graph.graph.call_function(torch.ops.aten.addcmul.default, (constants[0], maps, constants[1]))
        node.replace_all_uses_with(written_out)
        graph.graph.erase_node(node)
    graph.recompile()
