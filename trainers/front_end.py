"""What a network hears: the logarithm of the mel power spectrogram, as the challenge's baseline makes it."""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import Tensor

from search_spaces.errors import InputError

# Added to the mel power before the logarithm (DCASE 2025 Task 1 baseline).
FLOOR = 1e-5
# Features are stored as float16; the logarithm of a mel power stays within 30 of 0 for any audio in [-1, 1].
_LARGEST_LOG, _LARGEST_FLOAT16 = 30.0, 65504.0


class FrontEndError(InputError, ValueError):
    """A setting outside its domain. Carries `name`, `value` and `expected`."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"front end: {name} is {value!r}, expected {expected}")
        self.name, self.value, self.expected = name, value, expected


@dataclass(frozen=True)
class FrontEnd:
    """Settings of the mel spectrogram. The defaults are the DCASE 2025 Task 1 baseline: 256 x 65 for one second.

    Attributes:
        sample_rate: In Hz; audio is resampled to it.
        n_fft: Samples per Fourier transform.
        window: Length in samples of the periodic Hann window, centred in the transform.
        hop: Samples from one frame to the next.
        mels: Triangular bands, equally wide on the HTK mel scale, not normalised by area.
        f_min: Lower edge of the lowest band in Hz.
        f_max: Upper edge of the highest band in Hz.
        offset: Added to the logarithm.
        scale: Divides the sum: (x + 4.5) / 5 is offset 4.5, scale 5.
    """

    sample_rate: int = 32_000
    n_fft: int = 4096
    window: int = 3072
    hop: int = 500
    mels: int = 256
    f_min: float = 0.0
    f_max: float = 16_000.0
    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "window", "hop", "mels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise FrontEndError(name, value, "a whole number of at least 1")
        for name in ("f_min", "f_max", "offset", "scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise FrontEndError(name, value, "a finite number")
        if self.n_fft // 2 >= self.sample_rate:
            raise FrontEndError("n_fft", self.n_fft, f"less than two seconds of samples ({2 * self.sample_rate})")
        if self.window > self.n_fft:
            raise FrontEndError("window", self.window, f"at most n_fft ({self.n_fft})")
        if not 0 <= self.f_min < self.f_max:
            raise FrontEndError("f_min", self.f_min, f"at least 0 and below f_max ({self.f_max})")
        if self.f_max > self.sample_rate / 2:
            raise FrontEndError("f_max", self.f_max, f"at most half the sample rate ({self.sample_rate / 2:g})")
        if self.scale <= 0 or (abs(self.offset) + _LARGEST_LOG) / self.scale > _LARGEST_FLOAT16:
            raise FrontEndError("scale", self.scale, "above 0 and large enough for features in float16")

    @property
    def frames(self) -> int:
        """Frames of one second: one at every hop from its first sample to its last (centred)."""
        return self.sample_rate // self.hop + 1

    def to_json(self) -> dict[str, int | float]:
        """The settings by name; equal front ends give equal JSON, however their numbers were written."""
        values = asdict(self)
        return values | {name: float(values[name]) for name in ("f_min", "f_max", "offset", "scale")}


def log_mel(waves: Tensor, front_end: FrontEnd) -> Tensor:
    """Mel features, equal to torchaudio's MelSpectrogram (htk, norm none, power 2, reflection) and a logarithm.

    Args:
        waves: (batch, samples) at the front end's sample rate, more than n_fft / 2 samples, in [-1, 1].
        front_end: The settings.

    Returns:
        (batch, mels, frames) float32: (ln(mel power + 1e-5) + offset) / scale; frames is samples // hop + 1.

    Raises:
        FrontEndError: If `waves` has another shape.
    """
    if waves.ndim != 2 or waves.shape[1] <= front_end.n_fft // 2:
        raise FrontEndError("waves", tuple(waves.shape), f"(batch, more than {front_end.n_fft // 2} samples)")
    window, bank = _window_and_bank(front_end)
    spectrum = torch.stft(
        waves.float(),
        n_fft=front_end.n_fft,
        hop_length=front_end.hop,
        win_length=front_end.window,
        window=window.to(waves.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    mel = torch.matmul(power.transpose(1, 2), bank.to(waves.device)).transpose(1, 2)
    return (torch.log(mel + FLOOR) + front_end.offset) / front_end.scale


@lru_cache(maxsize=8)
def _window_and_bank(front_end: FrontEnd) -> tuple[Tensor, Tensor]:
    window = torch.hann_window(front_end.window, periodic=True)
    return window, mel_bank(front_end)


def mel_bank(front_end: FrontEnd) -> Tensor:
    """Triangular bands on the HTK mel scale, m = 2595 log10(1 + f / 700) (Young et al., The HTK Book, 5.4.6).

    Returns:
        (n_fft // 2 + 1, mels) float32; each band rises from 0 to 1 and falls to 0 over its neighbours' centres.
    """
    bins = torch.linspace(0, front_end.sample_rate // 2, front_end.n_fft // 2 + 1)
    low, high = (2595.0 * math.log10(1.0 + f / 700.0) for f in (front_end.f_min, front_end.f_max))
    edges = 700.0 * (10.0 ** (torch.linspace(low, high, front_end.mels + 2) / 2595.0) - 1.0)
    widths = edges.diff()
    distance = edges.unsqueeze(0) - bins.unsqueeze(1)
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)
