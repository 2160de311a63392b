"""One student from its architecture to its scores: what a worker does with a candidate."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.digest import digest
from search_spaces.errors import NasError
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.seeds import derive_seed
from trainers.cache import replacing, sole_builder
from trainers.cached_logits import sha256_of
from trainers.checkpoints import read_checkpoint, write_checkpoint
from trainers.evaluation import Scores, logits_of, score
from trainers.material import Material, MaterialError, Part
from trainers.precision import stored
from trainers.recipe import Recipe
from trainers.training import Training
from trainers.weights import load_weights, save_weights

if TYPE_CHECKING:
    from trainers.int8 import Int8Network

log = logging.getLogger("acoustic_nas.trainers")
N = TypeVar("N", bound=nn.Module)

WEIGHTS = "weights.safetensors"
OUTCOME = "outcome.json"
CHECKPOINT = "checkpoint.pt"

# Clips from which the ranges of a student in int8 begin.
_CALIBRATION = 256


@dataclass(frozen=True)
class Lesson:
    """Everything that decides how one student is taught; a worker needs nothing else but the files it names.

    Attributes:
        form: In which the student is deployed, and therefore judged.
        seed: Of the initial weights and of the training.
        features_dir: A folder of `trainers.features.load_features`, of the architecture's input.
        logits_dir: A folder of `trainers.teachers.logits.teacher_logits` of the same recordings, whatever features the
            teacher heard, or None to learn from labels alone.
        views_dir: A folder of `trainers.views.load_views` of the clips in `features_dir`, or None to hear them as they
            are.
        start: The folder of a student of the same architecture, whose weights it begins with; None for fresh ones.
        recording_device: The only one whose clips it learns from and is judged on; None for all of them.
        int8: Whether it computes in int8, from the folded form of the network that `start` left; see `trainers.int8`.
        validation_share: Share of the training list's locations that the student is judged on.
        validation_seed: Chooses those locations; one for a whole study.
    """

    architecture: Architecture
    form: Form
    recipe: Recipe
    seed: int
    features_dir: Path
    logits_dir: Path | None
    validation_share: float
    validation_seed: int
    views_dir: Path | None = None
    start: Path | None = None
    recording_device: str | None = None
    int8: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {
            "architecture": self.architecture.to_json(),
            "form": self.form.value,
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
            "features_dir": str(self.features_dir),
            "logits_dir": None if self.logits_dir is None else str(self.logits_dir),
            "validation_share": self.validation_share,
            "validation_seed": self.validation_seed,
            "views_dir": None if self.views_dir is None else str(self.views_dir),
            "start": None if self.start is None else str(self.start),
            "recording_device": self.recording_device,
            "int8": self.int8,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Lesson":
        """The lesson that `to_json` wrote."""
        return Lesson(
            architecture=Architecture.from_json(data["architecture"]),
            form=Form(data["form"]),
            recipe=Recipe(**data["recipe"]),
            seed=data["seed"],
            features_dir=Path(data["features_dir"]),
            logits_dir=None if data["logits_dir"] is None else Path(data["logits_dir"]),
            validation_share=data["validation_share"],
            validation_seed=data["validation_seed"],
            views_dir=None if data["views_dir"] is None else Path(data["views_dir"]),
            start=None if data["start"] is None else Path(data["start"]),
            recording_device=data["recording_device"],
            int8=data["int8"],
        )

    @property
    def key(self) -> str:
        """Changes with everything that could change the student; caches count by their names, which are digests."""
        folders = {"features_dir": self.features_dir, "logits_dir": self.logits_dir, "views_dir": self.views_dir}
        names = {name: folder and folder.name for name, folder in folders.items()}
        return digest(self.to_json() | names | {"start": None if self.start is None else _weights_sum(self.start)})

    def material(self) -> Material:
        """The clips of this lesson, opened from their caches.

        Raises:
            MaterialError: If they are damaged, do not belong together, or are not of the architecture's input.
        """
        material = Material.open(
            self.features_dir,
            validation_share=self.validation_share,
            validation_seed=self.validation_seed,
            logits_dir=self.logits_dir,
            views_dir=self.views_dir,
        )
        shape = self.architecture.input
        if (material.mels, material.frames) != (shape.mels, shape.frames):  # the network would take them all the same
            raise MaterialError(
                f"the student is for features of {shape.mels} x {shape.frames}, those in {self.features_dir} are "
                f"{material.mels} x {material.frames}; give those of its own input"
            )
        return material if self.recording_device is None else material.of_device(self.recording_device)


class Student:
    """A network being taught and judged, epoch by epoch, always in the form and precision it is deployed in.

    After each epoch it leaves a checkpoint in its folder, from which another student of the very same lesson carries on
    if this one is interrupted: to the last bit, on the same machine, as if nothing had happened.

    Args:
        folder: Where the finished student goes, in place of all that was there: its weights (training form, float32)
            and its outcome.
    """

    def __init__(self, lesson: Lesson, folder: Path) -> None:
        self.lesson = lesson
        self.folder = folder
        self.curve: list[dict[str, float]] = []
        self._material = lesson.material()
        self._training = self._beginning()
        checkpoint = read_checkpoint(folder / CHECKPOINT, lesson.key)
        if checkpoint is not None:
            try:
                self._training.restore(checkpoint["training"])
                self.curve = checkpoint["curve"]
            except (KeyError, ValueError, RuntimeError) as error:
                reason = str(error).split("\n", 1)[0]
                log.warning("the checkpoint in %s does not fit (%s): the student starts over", folder, reason)
                self._training = self._beginning()

    def epoch(self) -> dict[str, Any] | None:
        """Teaches one epoch and judges the student on the validation clips.

        Returns:
            The outcome once all epochs are done, else None. Keys: accuracy, log_loss, scenes, devices, groups, curve
            (epoch, loss, accuracy, log_loss and seconds of each epoch), seconds, epochs.

        Raises:
            TrainingFailed: If a loss was not finite.
            CacheError, OSError: If the folder cannot be written.
        """
        taught = self._training.epoch()
        scores = judged(self._training.taught, self.lesson, self._material, "validation")
        self.curve.append(
            {
                "epoch": taught.epoch,
                "loss": taught.loss,
                "accuracy": scores.accuracy,
                "log_loss": scores.log_loss,
                "seconds": taught.seconds,
            }
        )
        if taught.epoch < self.lesson.recipe.epochs:
            self._leave_checkpoint()
            return None
        outcome = scores.to_json() | {
            "curve": self.curve,
            "seconds": sum(point["seconds"] for point in self.curve),
            "epochs": taught.epoch,
        }
        self._save(outcome)
        return outcome

    def _beginning(self) -> Training:
        network: nn.Module = build(self.lesson.architecture, seed=derive_seed(self.lesson.seed, "weights"))
        if self.lesson.start is not None:
            load_weights(network, self.lesson.start / WEIGHTS)
        if self.lesson.int8:
            first = self._material.features[self._material.rows["fit"][:_CALIBRATION]]
            network = _in_int8(network, torch.from_numpy(first).float()[:, None])
        return Training(network, self._material, self.lesson.recipe, seed=self.lesson.seed, threads=1)

    def _leave_checkpoint(self) -> None:
        content = {"training": self._training.state(), "curve": self.curve}
        with sole_builder(self.folder):
            self.folder.mkdir(exist_ok=True)
            write_checkpoint(self.folder / CHECKPOINT, self.lesson.key, content)

    def _save(self, outcome: dict[str, Any]) -> None:
        with sole_builder(self.folder), replacing(self.folder) as folder:
            save_weights(self._training.taught, folder / WEIGHTS)
            record = {"lesson": self.lesson.key, "outcome": outcome}
            (folder / OUTCOME).write_text(json.dumps(record, allow_nan=False), encoding="utf-8")


def judged(network: nn.Module, lesson: Lesson, material: Material, part: Part) -> Scores:
    """Scores over one part of the material, of the network as it is deployed: folded, weights at their precision, or
    as it is if it is in int8."""
    rows = material.rows[part]
    as_deployed = network if lesson.int8 else stored(deployed(network, lesson.form), lesson.architecture.precision)
    logits = logits_of(as_deployed, material.features, rows)
    return score(logits, material.labels[rows], material.devices[rows], material.scenes, material.trained_devices)


def finished_outcome(lesson: Lesson, folder: Path) -> dict[str, Any] | None:
    """The outcome of this very lesson, finished earlier in this folder by a worker nobody heard; None if there is none.

    Raises:
        NasError: If there is a record that cannot be read.
    """
    record = _record(folder)
    if record is None or record["lesson"] != lesson.key:
        return None
    outcome: dict[str, Any] = record["outcome"]
    return outcome


def load_student(architecture: Architecture, folder: Path, outcome: dict[str, Any]) -> nn.Module:
    """The trained network (training form, evaluation mode) of a finished student.

    Args:
        outcome: As its study has it on record.

    Raises:
        NasError: If the folder holds another student, or weights that are missing, damaged or of another architecture.
    """
    return _loaded(build(architecture), folder, outcome)


def load_int8_student(architecture: Architecture, folder: Path, outcome: dict[str, Any]) -> "Int8Network":
    """The same of a student in int8, in evaluation mode."""
    shape = architecture.input
    blank = _in_int8(build(architecture), torch.zeros(2, 1, shape.mels, shape.frames))
    return _loaded(blank, folder, outcome)


def _loaded(network: N, folder: Path, outcome: dict[str, Any]) -> N:
    record = _record(folder)
    if record is None or record["outcome"] != outcome:
        raise NasError(f"{folder} does not hold the student that the study has on record; it was moved or overwritten")
    load_weights(network, folder / WEIGHTS)
    return network.eval()


def _in_int8(network: nn.Module, examples: torch.Tensor) -> "Int8Network":
    from trainers.int8 import Int8Network  # a second of start-up that few students need

    return Int8Network(deployed(network, Form.FOLDED), examples)


def _weights_sum(folder: Path) -> str:
    try:
        return sha256_of(folder / WEIGHTS)
    except OSError as error:
        raise NasError(
            f"the weights in {folder} that a student was to begin with cannot be read ({error.strerror})"
        ) from error


def _record(folder: Path) -> dict[str, Any] | None:
    path = folder / OUTCOME
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise NasError(f"{path} cannot be read ({error}); delete its folder to teach the student again") from error
    if not isinstance(record, dict) or not {"lesson", "outcome"} <= record.keys():
        raise NasError(f"{path} is no record of a student; delete its folder to teach the student again")
    return record
