"""Impulse responses of microphones: read from a folder of WAV files, and heard through."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search_spaces.errors import InputError
from trainers.audio import AudioError, read_clip


class ImpulseResponseError(InputError):
    """A folder of impulse responses that cannot be used."""


def read_responses(folder: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    """Every WAV file of a folder, in the order of the names.

    Returns:
        (responses, sample_rate) float32: each mono, resampled to the rate in Hz, and a second long: padded with zeros,
        or cut, which no clip of a second can tell.

    Raises:
        ImpulseResponseError: If there is no such folder, no WAV file in it, or one of them is damaged or silent.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImpulseResponseError(f"there is no folder of impulse responses {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".wav")
    if not paths:
        raise ImpulseResponseError(f"{folder} holds no impulse responses: there is no WAV file in it")
    responses = np.empty((len(paths), sample_rate), dtype=np.float32)
    for row, path in enumerate(paths):
        try:
            responses[row], _ = read_clip(path, sample_rate)
        except AudioError as error:
            raise ImpulseResponseError(f"the impulse response {error}") from error
        if not responses[row].any():
            raise ImpulseResponseError(f"the impulse response {path} is silent; take it out of the folder")
    return responses


def convolved(waves: Tensor, responses: Tensor) -> Tensor:
    """Each wave through its own response: the full convolution, cut to the length of the wave.

    Args:
        waves: (batch, samples) float32.
        responses: (batch, any number of samples) float32 at the same rate.

    Returns:
        (batch, samples) float32, as loud as the response makes it.
    """
    samples = waves.shape[1]
    if len(waves) == 0:  # which the transform refuses
        return waves
    length = samples + responses.shape[1]  # one more than the full convolution, so that nothing wraps around
    spectrum = torch.fft.rfft(waves, n=length) * torch.fft.rfft(responses, n=length)
    heard: Tensor = torch.fft.irfft(spectrum, n=length)
    return heard[:, :samples]
