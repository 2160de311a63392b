"""The sounds of the ten synthetic scenes, in five pairs of which the two differ most in how they move.

Each maker takes a generator and a sample rate in Hz and gives one second of samples at any level. `lowest` is the lower
end of its pitch or its band in Hz, a little different within each pair.
"""

from collections.abc import Callable

import numpy as np

Make = Callable[[np.random.Generator, int], np.ndarray]


def unit(samples: np.ndarray) -> np.ndarray:
    """Scaled to a root mean square of 1."""
    return np.asarray(samples / np.sqrt(np.mean(samples**2) + 1e-20))


def _band_noise(rng: np.random.Generator, rate: int, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies in Hz with soft edges of a third of an octave."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(rate, 1 / rate), 1.0))
    shape = 1 / (1 + np.exp(-20 * (octaves - np.log2(low)))) / (1 + np.exp(20 * (octaves - np.log2(high))))
    return unit(np.fft.irfft(np.fft.rfft(rng.standard_normal(rate)) * shape, rate))


def _glides(rising: bool, lowest: float) -> Make:
    """Two to four tones a second that glide by an octave or so, up or down."""

    def make(rng: np.random.Generator, rate: int) -> np.ndarray:
        sound = np.zeros(rate)
        period = rng.uniform(0.25, 0.5)
        length = int(0.85 * period * rate)
        ramp = np.linspace(0, 1, length)
        envelope = np.sin(np.pi * ramp) ** 0.5
        low, octaves = lowest * rng.uniform(1, 2.2), rng.uniform(0.8, 1.5)
        for start in np.arange(rng.uniform(-period, 0), 1, period):
            pitch = low * 2 ** (octaves * (ramp if rising else 1 - ramp)) * rng.uniform(0.95, 1.05)
            tone = envelope * np.sin(2 * np.pi * np.cumsum(pitch) / rate + rng.uniform(0, 2 * np.pi))
            _add(sound, tone, int(start * rate))
        return sound

    return make


def _throbbing(slowest: float, fastest: float, lowest: float) -> Make:
    """A band of noise whose loudness throbs at a rate between two limits in Hz."""

    def make(rng: np.random.Generator, rate: int) -> np.ndarray:
        time = np.arange(rate) / rate
        throb: np.ndarray = 1 + 0.9 * np.sin(2 * np.pi * (rng.uniform(slowest, fastest) * time + rng.uniform()))
        low = lowest * rng.uniform(1, 2.5)
        return np.asarray(throb * _band_noise(rng, rate, low, low * rng.uniform(3, 6)))

    return make


def _clicks(regular: bool, lowest: float) -> Make:
    """About six short clicks a second, in step or at random times."""

    def make(rng: np.random.Generator, rate: int) -> np.ndarray:
        count = rng.uniform(5, 8)
        if regular:
            starts = (np.arange(int(count) + 2) + rng.uniform(-1, 0)) / count
        else:
            starts = rng.uniform(0, 1, size=max(3, rng.poisson(count)))
        decay = np.exp(-np.arange(int(0.04 * rate)) / (rng.uniform(0.004, 0.01) * rate))
        colour = _band_noise(rng, rate, lowest * rng.uniform(1, 1.6), lowest * rng.uniform(3, 5))
        sound = np.zeros(rate)
        for start in starts:
            place = int(rng.integers(0, rate - len(decay)))
            _add(sound, decay * colour[place : place + len(decay)] * rng.uniform(0.7, 1.3), int(start * rate))
        return sound

    return make


def _voices(slowest: float, fastest: float, lowest: float) -> Make:
    """A stack of harmonics whose pitch sways at a rate between two limits in Hz."""

    def make(rng: np.random.Generator, rate: int) -> np.ndarray:
        time = np.arange(rate) / rate
        sway = np.sin(2 * np.pi * (rng.uniform(slowest, fastest) * time + rng.uniform()))
        pitch = lowest * rng.uniform(1, 2) * 2 ** (rng.uniform(0.15, 0.3) * sway)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        slope = rng.uniform(0.4, 0.9)
        return np.asarray(sum(np.sin(k * phase + rng.uniform(0, 2 * np.pi)) / k**slope for k in range(1, 11)))

    return make


def _drops(fading: bool, lowest: float) -> Make:
    """Three to six rings a second: struck and fading, or the same backwards."""

    def make(rng: np.random.Generator, rate: int) -> np.ndarray:
        sound = np.zeros(rate)
        length = int(rng.uniform(0.14, 0.24) * rate)
        envelope = np.exp(-4 * np.linspace(0, 1, length))
        for start in rng.uniform(-0.1, 0.95, size=rng.integers(3, 7)):
            pitch = lowest * rng.uniform(1, 2.5)
            ring = np.sin(2 * np.pi * pitch * np.arange(length) / rate + rng.uniform(0, 2 * np.pi))
            _add(sound, ring * (envelope if fading else envelope[::-1]), int(start * rate))
        return sound

    return make


def _add(sound: np.ndarray, part: np.ndarray, start: int) -> None:
    """Mix a part in place, as far as it lies within the second."""
    first, last = max(start, 0), min(start + len(part), len(sound))
    if first < last:
        sound[first:last] += part[first - start : last - start]


SOUNDS: dict[str, Make] = {
    "airport": _glides(rising=True, lowest=480),
    "bus": _throbbing(2.0, 4.0, lowest=140),
    "metro": _clicks(regular=True, lowest=850),
    "metro_station": _clicks(regular=False, lowest=1050),
    "park": _drops(fading=True, lowest=1150),
    "public_square": _drops(fading=False, lowest=1400),
    "shopping_mall": _glides(rising=False, lowest=600),
    "street_pedestrian": _voices(2.0, 4.0, lowest=170),
    "street_traffic": _voices(7.0, 11.0, lowest=210),
    "tram": _throbbing(7.0, 11.0, lowest=190),
}
