import numpy as np
import pytest
import torch
from torch import nn

from trainers.averaging import AveragedNetwork


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)


def change(source, rng):
    """Another value for every weight and every statistic, in place."""
    with torch.no_grad():
        for tensor in source.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(rng.uniform(0.5, 2, tuple(tensor.shape))))
            else:
                tensor.add_(1)


def values(network):
    return {name: tensor.double().numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("decay", [0.05, 0.3, 0.9])
def test_every_weight_and_statistic_follows_its_formula(decay):
    """a <- d a + (1 - d) w with d = min(decay, (1 + n) / (10 + n)), worked out in float64."""
    source, rng = network(), np.random.default_rng(1)
    average = AveragedNetwork(source, decay)
    expected = values(source)
    for step in range(25):
        change(source, rng)
        average.follow(step)
        d = min(decay, (1 + step) / (10 + step))
        expected = {name: d * expected[name] + (1 - d) * value for name, value in values(source).items()}
    found = values(average.network)
    assert found.pop("1.num_batches_tracked") == 25  # a whole number: that of the source
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)


def test_the_source_stays_as_it_is_and_the_average_is_its_own():
    source = network()
    average, before = AveragedNetwork(source, 0.9), values(source)
    average.follow(0)
    assert all((value == before[name]).all() for name, value in values(source).items())
    assert source.training
    assert not average.network.training
    mine = {tensor.data_ptr() for tensor in average.network.state_dict().values()}
    assert mine.isdisjoint({tensor.data_ptr() for tensor in source.state_dict().values()})
    assert all(parameter.requires_grad for parameter in source.parameters())


def test_averaged_statistics_are_those_of_the_averaged_weights():
    """Over the same clips, the mean of a convolution's outputs: copied, it would be that of the last weights."""
    source, rng = network(), np.random.default_rng(2)
    source[1].momentum = 1.0
    clips = torch.from_numpy(rng.normal(1, 1, (8, 1, 6, 6)).astype(np.float32))
    average = AveragedNetwork(source, 0.6)
    source(clips)
    average.network.load_state_dict(source.state_dict())
    for step in range(10):
        with torch.no_grad():
            source[0].weight.copy_(torch.from_numpy(rng.normal(size=(3, 1, 3, 3))))
        source(clips)
        average.follow(step)
    expected = average.network[0](clips).mean(dim=(0, 2, 3))
    torch.testing.assert_close(average.network[1].running_mean, expected, rtol=1e-4, atol=1e-5)
    assert (expected - source[1].running_mean).abs().max() > 0.1


def test_a_weight_in_two_places_is_averaged_once():
    source = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    source[1].weight = source[0].weight
    nn.init.zeros_(source[0].weight)
    average = AveragedNetwork(source, 0.5)
    nn.init.ones_(source[0].weight)
    average.follow(1000)
    torch.testing.assert_close(average.network[1].weight, torch.full((2, 2), 0.5))
