"""One second of audio from one file: decoded, mixed to mono, resampled; a damaged file is an error, never silence."""

import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from search_spaces.errors import InputError
from trainers.loudness import rms

# One step of 16-bit audio: nothing quieter is more than rounding.
_SILENCE = 1 / 32768
NOTES = {
    "mixed to mono": "mixed to mono from several channels",
    "padded": "shorter than a second and padded with silence",
    "cut": "longer than a second and cut",
    "resampled": "resampled from another rate",
    "silent": "silent throughout",
}
"""What may have to be done to a clip, or be said of it, in words."""

_UNKNOWN_SIZE = 0xFFFFFFFF
_OGG_END_OF_STREAM = 4
_OGG_LARGEST_PAGE = 65_307


class AudioError(InputError):
    """An audio file that is missing, truncated or cannot be decoded. The message begins with its path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason


class Sound(NamedTuple):
    """What a file holds.

    Attributes:
        rate: In Hz.
        channels: How many.
        encoding: Container and sample format in libsndfile's words: "WAV, Signed 24 bit PCM".
        rms: Root mean square of its first second in mono, padded with zeros if it is shorter.
        notes: As of `read_clip` at the file's own rate.
    """

    rate: int
    channels: int
    encoding: str
    rms: float
    notes: tuple[str, ...]


def read_clip(path: Path, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The first second of a file.

    Args:
        path: A WAV, FLAC, Ogg or any other file that libsndfile decodes.
        sample_rate: Of the result, in Hz; files at another rate are resampled (soxr, high quality).

    Returns:
        (sample_rate,) float32 in about [-1, 1], mono (the mean of the channels), padded with zeros if the file is
        shorter than a second; and what had to be done, as keys of `NOTES` ("silent" if the whole second is below one
        step of 16-bit audio).

    Raises:
        AudioError: If the file is missing, holds fewer samples than it declares, none at all, or cannot be decoded.
    """
    decoded = _decode(Path(path))
    second = to_second(decoded.samples, decoded.rate, sample_rate)
    return second, _notes(decoded, second)


def listen(path: Path) -> Sound:
    """What a file holds, decoded but not resampled.

    Raises:
        AudioError: As `read_clip` does.
    """
    decoded = _decode(Path(path))
    second = to_second(decoded.samples, decoded.rate, decoded.rate)
    return Sound(decoded.rate, decoded.samples.shape[1], decoded.encoding, rms(second), _notes(decoded, second))


def to_second(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Samples as one second of mono at a rate.

    Args:
        samples: (frames, channels) float32 at `rate`, in Hz; their channels are averaged.
        sample_rate: Of the result, in Hz; another rate is resampled (soxr, high quality).

    Returns:
        (sample_rate,) float32; what lasts longer is cut, what is shorter padded with zeros at its end.
    """
    mono = samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    mono = mono[:sample_rate]
    return np.pad(mono, (0, sample_rate - len(mono)))


class _Decoded(NamedTuple):
    """(frames, channels) float32, at most two seconds; whether the file lasts longer than one."""

    samples: np.ndarray
    rate: int
    encoding: str
    longer: bool


def _notes(decoded: _Decoded, second: np.ndarray) -> tuple[str, ...]:
    true = {
        "mixed to mono": decoded.samples.shape[1] > 1,
        "padded": len(decoded.samples) < decoded.rate,
        "cut": decoded.longer,
        "resampled": decoded.rate != len(second),
        "silent": np.abs(second).max() < _SILENCE,
    }
    return tuple(note for note in NOTES if true[note])


def _decode(path: Path) -> _Decoded:
    """Two seconds at most: enough for the resampler to see past the cut."""
    try:
        declared = _declared_frames(path)
        with soundfile.SoundFile(path) as file:
            rate, frames, encoding = int(file.samplerate), int(file.frames), f"{file.format}, {file.subtype_info}"
            samples = file.read(frames=2 * rate, dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise AudioError(path, "does not exist") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror})") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be decoded ({error.error_string.rstrip('.')})") from error
    except TypeError as error:  # a .raw file, which says nothing of its rate
        raise AudioError(path, "cannot be decoded (it has no header)") from error
    promised = frames if declared is None else declared
    if frames < promised or len(samples) < min(frames, 2 * rate):
        got = len(samples) if len(samples) < 2 * rate else frames
        raise AudioError(path, f"is truncated or damaged: it declares {promised:,} samples, {got:,} can be decoded")
    if len(samples) == 0:
        raise AudioError(path, "holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(path, "holds samples that are not finite numbers")
    return _Decoded(samples, rate, encoding, frames > rate)


def _declared_frames(path: Path) -> int | None:
    """The length that a container declares, None where libsndfile's own count can be trusted.

    libsndfile reports what is left of a cut WAV or Ogg file as its length, without an error, so the two are read here.

    Raises:
        AudioError: If the file ends before its container does.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise AudioError(path, "is not a file")
        start = file.read(64)
        if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
            _check_wav(path, file)
        elif start[:4] == b"OggS":
            return _ogg_frames(path, file, vorbis=b"\x01vorbis" in start)
    return None


def _check_wav(path: Path, file: BinaryIO) -> None:
    """Whether the data chunk is all there. A writer that could not seek back leaves the size unknown."""
    size = file.seek(0, os.SEEK_END)
    place = 12
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        place += 8
        if name == b"data":
            if length != _UNKNOWN_SIZE and place + length > size:
                left = size - place
                raise AudioError(path, f"is truncated: it declares {length:,} bytes of samples, {left:,} are there")
            return
        place += length + length % 2  # chunks are padded to even length
    raise AudioError(path, "is truncated: it ends before its samples begin")


def _ogg_frames(path: Path, file: BinaryIO, vorbis: bool) -> int | None:
    """The length from the last page, which carries the end-of-stream flag and counts the samples (RFC 3533)."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _OGG_LARGEST_PAGE))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or page + 27 > len(tail):
        raise AudioError(path, "is truncated: its last Ogg page is incomplete")
    flags, position = struct.unpack_from("<Bq", tail, page + 5)
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    if not flags & _OGG_END_OF_STREAM or len(tail) < page + 27 + tail[page + 26] + sum(segments):
        raise AudioError(path, "is truncated: its Ogg stream does not end")
    return int(position) if vorbis else None
