"""The training loop: one network, one material, one recipe, an epoch at a time.

There is no loader: a batch is gathered from the memory map in this process, which costs a percent of the step, and
copied nowhere else. The randomness of epoch n derives from (seed, n) alone, and torch's global generator is left as it
was found.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.errors import InputError, NasError
from search_spaces.seeds import derive_seed
from trainers.augmentation.batches import Batch, augmented
from trainers.distillation import distillation_loss
from trainers.fit_clips import FitClips
from trainers.material import Material
from trainers.recipe import Recipe
from trainers.threads import torch_threads

GRADIENT_NORM = 5.0  # Never reached in a healthy training; keeps a bad batch from throwing an odd architecture off.


class TrainingFailed(NasError):
    """A training whose loss is no longer a finite number."""


@runtime_checkable
class Annealed(Protocol):
    """A module that changes from epoch to epoch by a schedule of its own."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch, from 0."""


@dataclass(frozen=True)
class EpochResult:
    """One pass over the fit clips.

    Attributes:
        epoch: From 1.
        loss: Mean over the clips, of augmented batches, while the network was learning.
        seconds: Wall time.
    """

    epoch: int
    loss: float
    seconds: float


class Training:
    """A network being taught. It is changed in place; its weights at the start are the caller's choice.

    Args:
        network: (batch, 1, mels, frames) -> (batch, scenes).
        material: Teacher logits in it are used; without them the loss is cross-entropy with the labels.
        seed: The only source of chance: order of the clips, their views, augmentation and dropout. With one thread on
            one machine, equal seeds and weights end in equal weights.
        threads: Torch threads while an epoch runs; by default as many as are set.
        device: Where to compute. On anything but the CPU the fit clips are copied there once.

    Raises:
        InputError: If there are fewer than two fit clips.
    """

    def __init__(
        self,
        network: nn.Module,
        material: Material,
        recipe: Recipe,
        *,
        seed: int,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        if len(material.rows["fit"]) < 2:
            raise InputError(f"there are {len(material.rows['fit'])} clips to learn from; a training needs at least 2")
        self.network = channels_last(network.to(device))
        self.recipe = recipe
        self.epochs_done = 0
        self._seed = seed
        self._threads = threads
        self._device = torch.device(device)
        self._clips = FitClips(material, self._device)
        self._front_end = material.front_end
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch. A last batch of a single clip is left out: batch norm cannot learn from it."""
        return len(self._clips) // self.recipe.batch + (len(self._clips) % self.recipe.batch > 1)

    def epoch(self) -> EpochResult:
        """Teaches one more epoch.

        Raises:
            TrainingFailed: If a loss was not finite; names the first such step.
            ValueError: If all epochs of the recipe are done.
        """
        if self.epochs_done == self.recipe.epochs:
            raise ValueError(f"all {self.recipe.epochs} epochs of this training are done")
        started = time.perf_counter()
        rng = np.random.default_rng(derive_seed(self._seed, "epoch", self.epochs_done))
        order = rng.permutation(len(self._clips))
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, Annealed):
                module.begin_epoch(self.epochs_done)
        losses, sizes = [], []
        with torch_threads(self._threads), _generator(self._device, derive_seed(self._seed, "torch", self.epochs_done)):
            for step in range(self.steps_per_epoch):
                places = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
                losses.append(self._step(places, step, rng))
                sizes.append(len(places))
            means = torch.stack(losses).double().cpu().numpy()
        if not np.isfinite(means).all():
            step = int(np.flatnonzero(~np.isfinite(means))[0])
            raise TrainingFailed(
                f"the loss is {means[step]} in epoch {self.epochs_done + 1}, "
                f"step {step + 1} of {self.steps_per_epoch}; a lower learning rate may help"
            )
        self.epochs_done += 1
        return EpochResult(self.epochs_done, float(np.average(means, weights=sizes)), time.perf_counter() - started)

    def _step(self, places: npt.NDArray[np.int64], step: int, rng: np.random.Generator) -> Tensor:
        steps = self.recipe.epochs * self.steps_per_epoch
        rate = self.recipe.learning_rate_at(self.epochs_done * self.steps_per_epoch + step, steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = augmented(self._clips.batch(places, rng), self.recipe, self._front_end, rng)
        loss = self._loss(self.network(batch.features[:, None]), batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        return loss.detach()

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if batch.logits is None:
            return F.cross_entropy(logits, batch.targets)
        return distillation_loss(
            logits,
            batch.logits,
            batch.targets,
            temperature=self.recipe.temperature,
            teacher_share=self.recipe.teacher_share,
        )


def channels_last(network: nn.Module) -> nn.Module:
    """The network itself, its weights laid out channels last: 1.6 times as fast on a CPU for networks as narrow as
    ours."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@contextmanager
def _generator(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's global generator, from which dropout draws, seeded for a while and put back."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
