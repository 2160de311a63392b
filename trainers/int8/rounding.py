"""What is rounded to int8, and how: the one rule, for torchao's graphs.

- Weights of convolutions and linear layers: symmetric, -127 to 127, a scale for each output channel, as
  `trainers.precision.quantised` rounds them.
- Maps, that is whatever has more than one position, and what a linear layer reads: from -128 to 127, one scale and one
  zero point each (Jacob et al. 2018). Between an operation and an activation function that alone reads it there is no
  map: kernels for microcontrollers apply the function to their sums, before they round.

All else stays float32: biases (which such kernels keep in 32 bits), statistics of normalisations, the powers within a
generalised mean, which would begin at 0 where its gradient is infinite, and the logits.
"""

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

_ATEN = torch.ops.aten
_LINEAR = _ATEN.linear.default
_WEIGHTED = (_ATEN.conv2d.default, _LINEAR)
_FUNCTIONS = (_ATEN.relu.default, _ATEN.hardtanh.default, _ATEN.leaky_relu.default)
# They hand on the very values they are given.
_VIEWS = (
    _ATEN.unsqueeze.default,
    _ATEN.squeeze.dim,
    _ATEN.flatten.using_ints,
    _ATEN.view.default,
    _ATEN.permute.default,
    _ATEN.dropout.default,
)
_POWERS = (_ATEN.clamp.default, _ATEN.pow.Tensor_Tensor)

# The fused kernel of torchao is faster, but gives a channel without negative weights another scale than the graph that
# is deployed has.
_MAP = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, averaging_constant=0.01),
)
_WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver,
        averaging_constant=1.0,  # the range of the weights as they are, not as they were
    ),
)


class MapsAndWeights(Quantizer):  # type: ignore[misc]
    """Marks in an exported graph, in evaluation mode, what is rounded."""

    def annotate(self, model: GraphModule) -> GraphModule:
        """Marks it, in place."""
        for node in model.graph.nodes:
            read = {}
            if node.target in _WEIGHTED:
                read[node.args[1]] = _WEIGHT
            if node.target is _LINEAR:
                read[node.args[0]] = _MAP
            written = _MAP if _is_stored_map(node) else None
            if read or written:
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=read, output_qspec=written, _annotated=True
                )
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing: there is no combination of marks that cannot be."""


def _is_stored_map(node: Node) -> bool:
    if node.op not in ("placeholder", "call_function") or node.target in (*_VIEWS, *_POWERS):
        return False
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dim() != 4 or value.shape[2] * value.shape[3] == 1:
        return False
    readers = list(node.users)
    return not (len(readers) == 1 and readers[0].target in _FUNCTIONS)
