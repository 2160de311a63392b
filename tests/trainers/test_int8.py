"""Students in int8: what they compute, against sums of whole numbers written apart, and what is deployed of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn
from torchao.quantization.pt2e import FakeQuantize

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import form_cost
from search_spaces.designs import design
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock, Head, Pooling
from trainers.averaging import AveragedNetwork
from trainers.export.graphs import write_int8_graph
from trainers.export.runtime import OnnxNetwork
from trainers.int8 import Int8Network
from trainers.precision import quantised
from trainers.training import TrainingFailed

MELS, FRAMES = 16, 13
Made = tuple[Architecture, Int8Network, Path]


def noise(clips: int, seed: int = 0) -> Tensor:
    return torch.randn(clips, 1, MELS, FRAMES, generator=torch.Generator().manual_seed(seed))


def folded(architecture: Architecture) -> nn.Module:
    network = build(architecture, seed=1)
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):  # as if it had been taught
            module.running_mean = torch.randn(module.num_features, generator=generator) * 0.2
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
    return deployed(network, Form.FOLDED)


class Tiny(nn.Module):
    """Two convolutions with a rectifier between them, a shortcut, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        with torch.no_grad():
            self.second.weight[1] = self.second.weight[1].abs()  # a channel without negative weights

    def forward(self, features: Tensor) -> Tensor:
        maps = torch.relu(self.first(features))
        return (self.second(maps) + maps).mean((2, 3))


def to_grid(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float, int]:
    """Whole numbers of one byte for values whose range is known, with 0 among them; scale and zero point."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = int(np.clip(-128 - round(low / scale), -128, 127))
    return np.clip(np.rint(values / scale) + zero, -128, 127), scale, zero


def rounded(values: np.ndarray) -> np.ndarray:
    """The values on the grid of their own range."""
    numbers, scale, zero = to_grid(values, float(values.min()), float(values.max()))
    return (numbers - zero) * scale


def test_it_computes_sums_of_whole_numbers_and_rounds_where_a_device_does() -> None:
    """Float64 throughout: the input, the map after the rectifier (not before it), the second convolution, the sum."""
    tiny, maps = Tiny().eval(), noise(6)
    network = Int8Network(tiny, maps)

    def convolved(values: np.ndarray, conv: nn.Conv2d, padding: int) -> np.ndarray:
        numbers, scales = quantised(conv.weight)
        weights = numbers.double() * scales.double()[:, None, None, None]
        bias = None if conv.bias is None else conv.bias.double()
        return nn.functional.conv2d(torch.from_numpy(values), weights, bias, padding=padding).detach().numpy()

    with torch.no_grad():
        heard = rounded(maps.double().numpy())
        first = rounded(np.maximum(convolved(heard, tiny.first, 1), 0))
        second = rounded(convolved(first, tiny.second, 0))
        expected = rounded(second + first).mean((2, 3))
        np.testing.assert_allclose(network(maps).numpy(), expected, atol=2e-3)  # a step of the last map is 1e-2
        assert np.abs(tiny(maps).numpy() - expected).max() > 1e-4  # there was something to round


DESIGNS = [
    "dynacp",
    "sharif",
    pytest.param("cp-mobile-2023", marks=pytest.mark.nightly),
    pytest.param("cp-mobile-2025", marks=pytest.mark.nightly),
]


@pytest.fixture(scope="module", params=DESIGNS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A design, its network in int8 after a training step, and the file that is deployed."""
    architecture = design(request.param).at(MELS, FRAMES)
    network = Int8Network(folded(architecture), noise(32))
    path = tmp_path_factory.mktemp("graph") / "model.int8.onnx"
    network.train()
    network(noise(32, seed=1)).square().sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-4 * parameter.grad
    write_int8_graph(network.eval(), MELS, FRAMES, path)
    return architecture, network, path


def test_the_file_computes_what_training_computed(made: Made) -> None:
    _, network, path = made
    maps = noise(64, seed=4)
    with torch.no_grad():
        expected = network(maps).numpy()
        found = OnnxNetwork(path)(maps).numpy()
    assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()
    assert np.median(np.abs(found - expected)) <= 2e-3 * np.abs(expected).max()


def weights_of(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The whole numbers in the file that stand for weights, and their scales, by the name of the weight."""
    graph = onnx.load(path).graph
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    return {
        node.input[0]: (stored[node.input[0]], stored[node.input[1]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }


def test_the_file_holds_the_weights_that_the_cost_counts_at_a_byte_each(made: Made) -> None:
    architecture, _, path = made
    weights = weights_of(path).values()
    assert {numbers.dtype for numbers, _ in weights} == {np.dtype(np.int8)}
    count = sum(numbers.size for numbers, _ in weights)
    scales = sum(each.size for _, each in weights)
    cost = form_cost(replace(architecture, precision="int8"), Form.FOLDED)
    assert cost.weight_bytes == count + 4 * scales + 4 * (cost.params - count)


def test_every_convolution_reads_maps_and_weights_of_one_byte(made: Made) -> None:
    graph = onnx.load(made[2]).graph
    maker = {output: node for node in graph.node for output in node.output}
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(weighted) == len(weights_of(made[2]))

    def seen_through_views(name: str) -> str:
        while maker[name].op_type in ("Reshape", "Unsqueeze", "Transpose"):
            name = maker[name].input[0]
        return maker[name].op_type

    for node in weighted:
        assert [seen_through_views(name) for name in node.input[:2]] == ["DequantizeLinear"] * 2
    bytes_wide = {each.data_type for each in graph.initializer if each.name.endswith("zero_point")}
    assert bytes_wide <= {TensorProto.INT8}


def test_nothing_in_the_file_says_where_it_was_made(made: Made) -> None:
    content = made[2].read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(__file__).resolve().parents[2]).encode() not in content


def test_all_parameters_learn(made: Made) -> None:
    assert all(parameter.grad is not None for parameter in made[1].parameters())


@pytest.mark.parametrize("pooling", ["average", "max", "gem", "attention"])
def test_every_pooling_learns_from_silence_too(pooling: Pooling) -> None:
    """A rounded map is 0 in many places, where a power's gradient need not be finite."""
    stages = (Stage((CPMobileBlock(8, 8),)),)
    architecture = Architecture(InputShape(MELS, FRAMES), ConvStem((4, 8)), stages, head=Head(pooling), classes=3)
    network = Int8Network(deployed(build(architecture, seed=1), Form.FOLDED), noise(8)).train()
    network(torch.zeros(4, 1, MELS, FRAMES)).square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_a_training_that_has_gone_wrong_is_told() -> None:
    network = Int8Network(Tiny().eval(), noise(8)).train()
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingFailed, match="no longer finite"):
        network(noise(8))


def test_ranges_of_maps_follow_in_training_mode_only() -> None:
    network, loud = Int8Network(Tiny().eval(), noise(8)), 100 * noise(8, seed=5)

    def ranges() -> list[Tensor]:
        return [
            tensor.clone() for name, tensor in network.state_dict().items() if name.endswith(("min_val", "max_val"))
        ]

    before = ranges()
    with torch.no_grad():
        network(loud)
        assert all(map(torch.equal, before, ranges()))
        network.train()
        network(loud)
    network.eval()
    widened = [not torch.equal(*pair) for pair in zip(before, ranges(), strict=True)]
    assert sum(widened) == 7  # both ends of input, map and sum, the upper one of the rectified map; no weight's


def test_weights_are_rounded_as_they_are_not_as_they_were() -> None:
    """By the scales that the deployed file has; see `trainers.precision`."""
    tiny = Tiny().eval()
    network = Int8Network(tiny, noise(8)).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 3
        network.eval()(noise(8, seed=6))
    scales = [each.scale for each in network.modules() if isinstance(each, FakeQuantize) and each.is_per_channel]
    for scale, conv in zip(scales, (tiny.first, tiny.second), strict=True):
        torch.testing.assert_close(scale, quantised(3 * conv.weight)[1])


def test_what_is_converted_rounds_as_the_last_step_left_the_weights() -> None:
    network, maps = Int8Network(Tiny().eval(), noise(8)).train(), noise(8, seed=6)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 0.5
        np.testing.assert_allclose(network.converted()(maps).numpy(), network.eval()(maps).numpy(), atol=1e-5)


def test_it_comes_back_from_its_state() -> None:
    network = Int8Network(Tiny().eval(), noise(8)).train()
    network(3 * noise(8, seed=7))
    blank = Int8Network(Tiny().eval(), torch.zeros(2, 1, MELS, FRAMES))
    blank.load_state_dict(network.state_dict())
    maps = noise(8, seed=8)
    with torch.no_grad():
        torch.testing.assert_close(blank.eval()(maps), network.eval()(maps))


def test_its_average_rounds_by_the_average_of_its_ranges() -> None:
    network = Int8Network(Tiny().eval(), noise(8))
    average = AveragedNetwork(network, decay=0.5)
    network.train()
    for step in range(4):
        network(10 * noise(8, seed=step) + 50 * step)  # so that zero moves as well
        average.follow(step)
    averaged = average.network.eval()
    maps = 10 * noise(8, seed=9)
    with torch.no_grad():
        assert not torch.allclose(averaged(maps), network.eval()(maps))
        np.testing.assert_allclose(averaged.converted()(maps).numpy(), averaged(maps).numpy(), atol=1e-4)
