"""How good a network is: its logits over chosen clips, and the scores of the challenge from them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from search_spaces.errors import NasError


class ScoreError(NasError, ValueError):
    """Logits that cannot be scored: none, of another shape than the labels, or not finite."""


Group = Literal["real", "seen", "unseen"]
GROUPS: tuple[Group, ...] = ("real", "seen", "unseen")
REAL_DEVICES = frozenset("abc")  # TAU's microphones; its other recording devices are simulated.


@dataclass(frozen=True)
class Scores:
    """Scores of one network over some clips.

    Attributes:
        accuracy: Macro accuracy, the ranking measure of DCASE Task 1: the mean over scenes of the share of the scene's
            clips that were recognised. Scenes without clips are left out of the mean.
        log_loss: Mean cross entropy of the softmax in nats, over clips.
        clips: How many clips were scored.
        scenes: Share of recognised clips, for each scene that has clips.
        devices: Macro accuracy over each recording device's own clips, in the same sense as `accuracy`.
        groups: The same over the pooled clips of a device group: "real" is TAU's devices a, b and c, "seen" the other
            devices with training clips, "unseen" the rest. A group without clips is absent.
    """

    accuracy: float
    log_loss: float
    clips: int
    scenes: dict[str, float]
    devices: dict[str, float]
    groups: dict[Group, float]

    def to_json(self) -> dict[str, Any]:
        """Every score by its name."""
        return asdict(self)


def logits_of(
    network: nn.Module, features: npt.NDArray[np.float16], rows: npt.NDArray[np.int64], *, batch: int = 64
) -> npt.NDArray[np.float32]:
    """What a network says of chosen clips, in evaluation mode; its own mode is put back afterwards.

    Args:
        features: (clips, mels, frames), may be a memory map; only the rows asked for are read, a batch at a time.
        rows: (n,) rows of `features`, in any order.
        batch: Clips at a time; on a CPU more than 64 leave the cache and are slower.

    Returns:
        (n, scenes) float32 in the order of `rows`.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            parts = [
                network(torch.from_numpy(features[rows[start : start + batch]]).to(device).float()[:, None])
                .float()
                .cpu()
                for start in range(0, len(rows), batch)
            ]
    finally:
        network.train(was_training)
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def score(
    logits: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.int64],
    devices: npt.NDArray[np.str_],
    scenes: Sequence[str],
    trained_devices: Collection[str],
) -> Scores:
    """The scores of logits against labels.

    Args:
        logits: (clips, scenes), finite.
        labels: (clips,) index into `scenes`.
        devices: (clips,) recording device of each clip.
        scenes: Names in the order of the logits.
        trained_devices: Recording devices that the network has heard in training.

    Raises:
        ScoreError: If there is no clip, the shapes disagree or a logit is not finite.
    """
    if logits.shape != (len(labels), len(scenes)) or len(devices) != len(labels) or len(labels) == 0:
        raise ScoreError(
            f"cannot score logits of shape {logits.shape} for {len(labels)} labels, {len(devices)} devices "
            f"and {len(scenes)} scenes"
        )
    if not np.isfinite(logits).all():
        raise ScoreError("cannot score logits that are not finite: the network has not learnt anything usable")
    exact = logits.astype(np.float64)
    shifted = exact - exact.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = exact.argmax(axis=1) == labels
    names = sorted(set(devices.tolist()))
    of_group = {group: [name for name in names if group_of(name, trained_devices) == group] for group in GROUPS}
    return Scores(
        accuracy=_mean(_recalls(right, labels).values()),
        log_loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        clips=len(labels),
        scenes={scenes[label]: recall for label, recall in _recalls(right, labels).items()},
        devices={name: _macro(right, labels, devices == name) for name in names},
        groups={
            group: _macro(right, labels, np.isin(devices, members)) for group, members in of_group.items() if members
        },
    )


def group_of(device: str, trained_devices: Collection[str]) -> Group:
    """The group of a recording device, as in `Scores.groups`."""
    if device in REAL_DEVICES:
        return "real"
    return "seen" if device in trained_devices else "unseen"


def _recalls(right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]) -> dict[int, float]:
    return {int(label): float(right[labels == label].mean()) for label in np.unique(labels)}


def _macro(right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> float:
    return _mean(_recalls(right[chosen], labels[chosen]).values())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
