"""What a finished network says of a recording, second by second."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor, nn

from search_spaces.cost import FormCost, form_cost
from search_spaces.errors import InputError
from search_spaces.parts import Precision
from trainers.audio import AudioError, read_clip, to_second
from trainers.export import ExportError, OnnxNetwork, int8_cost, load_bundle
from trainers.front_end import FrontEnd, log_mel
from trainers.published import BASE, load_published

log = logging.getLogger("acoustic_nas.trainers")


class PredictorError(InputError):
    """A model that cannot predict: a folder that is no bundle, or a recording device that there is no model for."""


@dataclass(frozen=True)
class Predictor:
    """A network with what it needs to listen.

    Attributes:
        name: The layout of the checkpoint, or the identity of the exported architecture.
        device: The recording device whose own model this is, `BASE` for the general one.
        network: In evaluation mode: (batch, 1, mels, frames) -> (batch, scenes).
        front_end: Makes its features.
        scenes: In the order of its logits.
        precision: Of its weights.
        cost: Of the network as it runs here: its form at its precision.
        int8: The same student taught further in int8; None where there is none.
    """

    name: str
    device: str
    network: nn.Module
    front_end: FrontEnd
    scenes: tuple[str, ...]
    precision: Precision
    cost: FormCost
    int8: "Predictor | None" = None

    def probabilities(self, path: Path) -> npt.NDArray[np.float64]:
        """The probability of every scene in every second of a recording: (seconds, scenes); see `seconds_of`.

        Raises:
            AudioError: If the recording is missing or damaged, or its samples are too large for audio.
        """
        # One by one: a recording of any length then needs the memory of a second.
        logits = torch.cat([self.logits(second[None]) for second in seconds_of(path, self.front_end.sample_rate)])
        if not torch.isfinite(logits).all():
            raise AudioError(path, "holds samples that are not finite or far outside [-1, 1]")
        return np.asarray(logits.double().softmax(1).numpy())

    def logits(self, waves: npt.NDArray[np.float32]) -> Tensor:
        """(batch, scenes) float32 for seconds (batch, samples) at the sample rate of the front end."""
        with torch.inference_mode():
            logits: Tensor = self.network(log_mel(torch.from_numpy(waves), self.front_end)[:, None])
        return logits


def open_predictor(path: Path, device: str | None = None) -> Predictor:
    """The model in the folder of an export, or in a published checkpoint.

    Args:
        device: The recording device, for checkpoints that have a model for each; None for the general model.

    Raises:
        CheckpointError, PredictorError: As `open_predictors`, or if there is no model for the recording device.
    """
    wanted = BASE if device is None else device
    predictors = open_predictors(path)
    if wanted not in predictors:
        raise PredictorError(f"{path} has no model for the recording device {wanted!r}; it has {', '.join(predictors)}")
    return predictors[wanted]


def open_predictors(path: Path) -> dict[str, Predictor]:
    """The models in the folder of an export, or in a published checkpoint, by recording device.

    Raises:
        CheckpointError: If there is no such file, or it is no checkpoint that is read.
        PredictorError: If the folder is no whole export.
    """
    if path.is_dir():
        return {BASE: _exported(path)}
    published = load_published(path)
    layout = published.layout
    # Whatever its authors deployed, the weights of a checkpoint are used as they stand in it.
    cost = form_cost(replace(layout.architecture, precision="fp32"), layout.form)
    return {
        device: Predictor(layout.name, device, network, layout.front_end, layout.scenes, "fp32", cost)
        for device, network in published.networks.items()
    }


def _exported(folder: Path) -> Predictor:
    try:
        bundle = load_bundle(folder)
    except ExportError as error:
        raise PredictorError(str(error)) from error
    architecture, front_end = bundle.architecture, FrontEnd.from_json(bundle.front_end)
    shape = architecture.input
    if (front_end.mels, front_end.frames) != (shape.mels, shape.frames):
        raise PredictorError(
            f"{folder} holds a network for {shape.mels} x {shape.frames} features, but its front end makes "
            f"{front_end.mels} x {front_end.frames}; export the network again"
        )
    predictor = Predictor(
        name=architecture.identity,
        device=BASE,
        network=bundle.network,
        front_end=front_end,
        scenes=bundle.scenes,
        precision=architecture.precision,
        cost=form_cost(architecture, bundle.form),
    )
    if bundle.int8_model is None:
        return predictor
    network = OnnxNetwork(bundle.int8_model)
    rounded = replace(predictor, network=network, precision="int8", cost=int8_cost(architecture))
    return replace(predictor, int8=rounded)


def seconds_of(path: Path, sample_rate: int) -> Iterator[npt.NDArray[np.float32]]:
    """The seconds of a recording from its start, each (sample_rate,) float32, mono, resampled by itself.

    A last piece of at least half a second is padded with silence, a shorter one is left out, which is logged; a
    recording that is shorter than a second itself is padded, however short.

    Raises:
        AudioError: If the recording is missing or damaged. Damage late in a file may be met only after some seconds.
    """
    first, notes = read_clip(path, sample_rate)  # also tells what is wrong with the file
    if "cut" not in notes:
        if "padded" in notes:
            log.info("%s is shorter than a second and was padded with silence", path)
        yield first
        return
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            for left in range(file.frames, 0, -rate):
                if 2 * left < rate:
                    log.warning("%s: the last %.2f s are less than half a second and were left out", path, left / rate)
                    return
                samples = file.read(frames=rate, dtype="float32", always_2d=True)
                if len(samples) < min(left, rate):
                    raise AudioError(path, f"is damaged {(file.frames - left) // rate} s after its start")
                yield to_second(samples, rate, sample_rate)
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be decoded ({error.error_string.rstrip('.')})") from error
