import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from search_spaces.errors import NasError
from trainers.evaluation import logits_of, score

SCENES = ("airport", "bus", "metro", "park")
DEVICES = ("a", "b", "s1", "s2", "s5")
TRAINED = {"a", "b", "s1", "s2"}


def macro(clips):
    """The definition, clip by clip: clips are (label, guess) pairs."""
    shares = []
    for scene in range(len(SCENES)):
        mine = [guess == scene for label, guess in clips if label == scene]
        if mine:
            shares.append(sum(mine) / len(mine))
    return sum(shares) / len(shares)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_scores_equal_their_definition(clips, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (clips, len(SCENES))).astype(np.float32)
    labels = rng.integers(0, len(SCENES), clips)
    devices = rng.choice(DEVICES, clips)
    scores = score(logits, labels, devices, SCENES, TRAINED)
    pairs = [(int(label), int(np.argmax(row))) for label, row in zip(labels, logits, strict=True)]
    loss = 0.0
    for label, row in zip(labels, logits.astype(float).tolist(), strict=True):
        loss += math.log(sum(math.exp(value) for value in row)) - row[label]
    assert scores.clips == clips
    assert scores.accuracy == pytest.approx(macro(pairs))
    assert scores.log_loss == pytest.approx(loss / clips)
    assert scores.scenes == {
        name: pytest.approx(
            sum(guess == i for label, guess in pairs if label == i) / sum(label == i for label, _ in pairs)
        )
        for i, name in enumerate(SCENES)
        if i in labels
    }
    for names, found in (
        ({name: {name} for name in DEVICES}, scores.devices),
        ({"real": {"a", "b"}, "seen": {"s1", "s2"}, "unseen": {"s5"}}, scores.groups),
    ):
        expected = {}
        for name, members in names.items():
            mine = [pair for pair, device in zip(pairs, devices, strict=True) if device in members]
            if mine:
                expected[name] = pytest.approx(macro(mine))
        assert found == expected


def test_scores_are_plain_json():
    scores = score(np.eye(4), np.arange(4), np.array(["a", "b", "s1", "s5"]), SCENES, TRAINED)
    assert json.loads(json.dumps(scores.to_json(), allow_nan=False))["groups"] == {
        "real": 1.0,
        "seen": 1.0,
        "unseen": 1.0,
    }


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 4)), np.zeros(0, dtype=np.int64)),
        (np.zeros((3, 5)), np.zeros(3, dtype=np.int64)),
        (np.full((1, 4), np.nan), np.zeros(1, dtype=np.int64)),
    ],
)
def test_what_cannot_be_scored_is_refused(logits, labels):
    with pytest.raises(NasError, match="cannot score"):
        score(logits, labels, np.array(["a"] * len(labels)), SCENES, TRAINED)


def test_logits_come_in_the_order_of_the_rows_whatever_the_batch():
    features = np.random.default_rng(0).normal(size=(11, 4, 6)).astype(np.float16)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(24, 3), nn.Dropout(0.9))
    rows = np.array([10, 0, 3, 3, 7])
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(features[rows]).float()[:, None]).numpy()
    network.train()
    statistics = network[0].running_mean.clone()
    for batch in (1, 2, 5, 100):
        found = logits_of(network, features, rows, batch=batch)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == np.float32
    assert network.training
    assert torch.equal(network[0].running_mean, statistics)


def test_a_network_without_parameters_is_heard_too():
    class Loudness(torch.nn.Module):
        def forward(self, features):
            return features.sum(dim=(2, 3)).repeat(1, 2)

    features = np.arange(12, dtype=np.float16).reshape(3, 2, 2)
    assert logits_of(Loudness(), features, np.array([2, 0])).tolist() == [[38, 38], [6, 6]]
