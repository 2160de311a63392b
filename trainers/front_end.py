"""What a network hears: the logarithm of the mel power spectrogram, as the challenge's systems make it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from search_spaces.errors import InputError

Convention = Literal["torchaudio", "kaldi"]
Level = Literal["log", "decibel"]

# Features are stored as float16; the logarithm of a mel power stays within 30 of 0 for any audio in [-1, 1].
_LARGEST_LEVEL = {"log": 30.0, "decibel": 300.0 / math.log(10.0)}
_LARGEST_FLOAT16 = 65504.0
_NUMBERS = ("f_min", "f_max", "offset", "scale", "pre_emphasis", "floor")
# Written only where they are not the baseline's: front ends that were stored before these settings were stay equal.
_LATER_SETTINGS = frozenset({"pre_emphasis", "floor", "convention", "level", "bank_rate"})
# The mel bank is all but empty: that many groups of bands, each over its own bins, cost a tenth of the whole matrix.
_GROUPS = 16


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
        window: Length in samples of the Hann window, centred in the transform.
        hop: Samples from one frame to the next.
        mels: Triangular bands, equally wide on the mel scale m = 2595 log10(1 + f / 700), not normalised by area.
        f_min: Lower edge of the lowest band in Hz.
        f_max: Upper edge of the highest band in Hz.
        offset: Added to the logarithm.
        scale: Divides the sum: (x + 4.5) / 5 is offset 4.5, scale 5.
        pre_emphasis: c of y[t] = x[t + 1] - c x[t], which is a sample shorter; 0 leaves the audio as it is.
        floor: Of the mel power p, so that silence has a level.
        convention: "torchaudio" is a periodic window and bands that are triangles over frequency, "kaldi" a symmetric
            window and bands that are triangles over mels.
        level: "log" is ln(p + floor), "decibel" 10 log10(max(p, floor)).
        bank_rate: Rate in Hz that the mel bank is laid out for, where that is not the sample rate: `f_min` and `f_max`
            are then nominal, and really sample_rate / bank_rate times as high.
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
    pre_emphasis: float = 0.0
    floor: float = 1e-5
    convention: Convention = "torchaudio"
    level: Level = "log"
    bank_rate: int | None = None

    def __post_init__(self) -> None:
        optional = () if self.bank_rate is None else ("bank_rate",)
        for name in ("sample_rate", "n_fft", "window", "hop", "mels", *optional):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise FrontEndError(name, value, "a whole number of at least 1")
        for name in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise FrontEndError(name, value, "a finite number")
        for name, known in (("convention", get_args(Convention)), ("level", get_args(Level))):
            if getattr(self, name) not in known:
                raise FrontEndError(name, getattr(self, name), " or ".join(known))
        if not 0 <= self.pre_emphasis <= 1:
            raise FrontEndError("pre_emphasis", self.pre_emphasis, "at least 0 and at most 1")
        if not 1e-12 <= self.floor <= 1:
            raise FrontEndError("floor", self.floor, "at least 1e-12 and at most 1")
        if self.n_fft // 2 >= self._samples:
            raise FrontEndError("n_fft", self.n_fft, f"less than two seconds of samples ({2 * self._samples})")
        if self.window > self.n_fft:
            raise FrontEndError("window", self.window, f"at most n_fft ({self.n_fft})")
        if not 0 <= self.f_min < self.f_max:
            raise FrontEndError("f_min", self.f_min, f"at least 0 and below f_max ({self.f_max})")
        if self.f_max > self.nominal_rate / 2:
            rate = "sample rate" if self.bank_rate is None else "bank rate"
            raise FrontEndError("f_max", self.f_max, f"at most half the {rate} ({self.nominal_rate / 2:g})")
        if self.scale <= 0 or (abs(self.offset) + _LARGEST_LEVEL[self.level]) / self.scale > _LARGEST_FLOAT16:
            raise FrontEndError("scale", self.scale, "above 0 and large enough for features in float16")

    @property
    def frames(self) -> int:
        """Frames of one second: one at every hop from its first sample to its last (centred)."""
        return self._samples // self.hop + 1

    @property
    def nominal_rate(self) -> int:
        """The rate in Hz that the mel bank takes the audio to have."""
        return self.sample_rate if self.bank_rate is None else self.bank_rate

    @property
    def _samples(self) -> int:
        """Of one second, after the pre-emphasis."""
        return self.sample_rate - (self.pre_emphasis != 0)

    def to_json(self) -> dict[str, int | float | str]:
        """The settings by name; equal front ends give equal JSON, however their numbers were written."""
        values = asdict(self)
        values |= {name: float(values[name]) for name in _NUMBERS}
        return {
            name: value
            for name, value in values.items()
            if name not in _LATER_SETTINGS or value != getattr(FrontEnd, name)
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "FrontEnd":
        """The front end that `to_json` wrote; settings that are not there have their defaults.

        Raises:
            FrontEndError: Naming the first setting that is unknown or outside its domain.
        """
        known = [field.name for field in fields(FrontEnd)]
        for name, value in data.items():
            if name not in known:
                raise FrontEndError(name, value, f"one of {', '.join(known)}")
        return FrontEnd(**data)


BASELINE_2025 = FrontEnd()
"""The DCASE 2025 Task 1 baseline: 256 x 65."""

CP_JKU_2023 = FrontEnd(f_max=15_500.0, offset=4.5, scale=5.0, pre_emphasis=0.97, convention="kaldi")
"""CP-Mobile 2023 and its teachers, in evaluation: 256 x 64."""

DYNACP = replace(CP_JKU_2023, sample_rate=44_100, bank_rate=32_000)
"""DynaCP: audio as recorded, heard through the bank of 2023, whose f Hz are really 1.378 f Hz: 256 x 89."""

SHARIF = FrontEnd(window=4096, hop=502, floor=1e-10, level="decibel")
"""The Sharif student and its teachers: decibels, 256 x 64."""

EFFICIENTAT = replace(CP_JKU_2023, n_fft=1024, window=800, hop=320, mels=128, f_max=15_000.0)
"""EfficientAT's networks, MN and DyMN (Schmid et al. 2023), in evaluation: 128 x 100."""

FRONT_ENDS: Mapping[str, FrontEnd] = {
    "baseline-2025": BASELINE_2025,
    "cp-jku-2023": CP_JKU_2023,
    "dynacp": DYNACP,
    "sharif": SHARIF,
    "efficientat": EFFICIENTAT,
}


def log_mel(waves: Tensor, front_end: FrontEnd) -> Tensor:
    """Mel features.

    In the "torchaudio" convention they equal its MelSpectrogram (htk, norm none, power 2, reflection) and a logarithm,
    or its AmplitudeToDB.

    Args:
        waves: (batch, samples) at the front end's sample rate, more than n_fft / 2 samples (one more with
            pre-emphasis), in [-1, 1].
        front_end: The settings.

    Returns:
        (batch, mels, frames) float32: (level + offset) / scale; frames is samples // hop + 1, where pre-emphasis takes
        one sample.

    Raises:
        FrontEndError: If `waves` has another shape.
    """
    least = front_end.n_fft // 2 + (front_end.pre_emphasis != 0)
    if waves.ndim != 2 or waves.shape[1] <= least:
        raise FrontEndError("waves", tuple(waves.shape), f"(batch, more than {least} samples)")
    window, bank = _window_and_bank(front_end, waves.device)
    spectrum = torch.stft(
        _emphasised(waves.float(), front_end.pre_emphasis),
        n_fft=front_end.n_fft,
        hop_length=front_end.hop,
        win_length=front_end.window,
        window=window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    power = power.transpose(1, 2)
    mel = torch.cat([power[..., bins] @ bands for bins, bands in bank], dim=2).transpose(1, 2)
    return (_level(mel, front_end) + front_end.offset) / front_end.scale


def _emphasised(waves: Tensor, coefficient: float) -> Tensor:
    return waves if coefficient == 0 else waves[:, 1:] - coefficient * waves[:, :-1]


def _level(mel: Tensor, front_end: FrontEnd) -> Tensor:
    if front_end.level == "decibel":
        return 10.0 * torch.log10(mel.clamp(min=front_end.floor))
    return torch.log(mel + front_end.floor)


_Bank = tuple[tuple[slice, Tensor], ...]
"""Groups of neighbouring bands: the bins that any of them hears, and their part of the bank (bins, bands)."""


@lru_cache(maxsize=16)
def _window_and_bank(front_end: FrontEnd, device: torch.device) -> tuple[Tensor, _Bank]:
    window = torch.hann_window(front_end.window, periodic=front_end.convention == "torchaudio", device=device)
    groups = torch.tensor_split(mel_bank(front_end), min(_GROUPS, front_end.mels), dim=1)
    return window, tuple(_heard(group, device) for group in groups)


def _heard(bands: Tensor, device: torch.device) -> tuple[slice, Tensor]:
    bins = bands.any(dim=1).nonzero().flatten().tolist() or [0]
    heard = slice(bins[0], bins[-1] + 1)
    return heard, bands[heard].to(device, copy=True)


def mel_bank(front_end: FrontEnd) -> Tensor:
    """Triangular bands on the mel scale, m = 2595 log10(1 + f / 700) (Young et al., The HTK Book, 5.4.6).

    The edges are the same in both conventions; the sides are straight over frequency ("torchaudio") or mels ("kaldi").

    Returns:
        (n_fft // 2 + 1, mels) float32; each band rises from 0 to 1 and falls to 0 over its neighbours' centres.
    """
    bins = torch.linspace(0, front_end.nominal_rate // 2, front_end.n_fft // 2 + 1)
    low, high = (2595.0 * math.log10(1.0 + f / 700.0) for f in (front_end.f_min, front_end.f_max))
    if front_end.convention == "kaldi":
        # In float64: the slopes are small differences of large mels.
        edges = torch.linspace(low, high, front_end.mels + 2, dtype=torch.float64)
        bins = 2595.0 * torch.log10(1.0 + bins.double() / 700.0)
    else:
        edges = 700.0 * (10.0 ** (torch.linspace(low, high, front_end.mels + 2) / 2595.0) - 1.0)
    widths = edges.diff()
    distance = edges.unsqueeze(0) - bins.unsqueeze(1)
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0).float()
