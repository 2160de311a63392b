"""Ten made-up scenes in TAU's layout, for trying the system within seconds and without a data set.

The scenes come in five pairs. The two of a pair have overlapping spectra and the same loudness and differ most in how
the sound moves: rising or falling, slow or fast, in step or at random, fading or swelling. A classifier of averages
names the pair and little more; telling the two apart takes filters that see time. Accuracies on this set say nothing
about accuracies on real scenes.
"""

import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from trainers.cache import replacing, sole_builder
from trainers.synthetic_sounds import SOUNDS, unit

FORMAT = 1
MARKER = "made.json"
SCENES = tuple(sorted(SOUNDS))
CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna")
TRAIN_LOCATIONS, TEST_LOCATIONS = 12, 6  # of each scene
TEST_SHARE = 0.4  # of each scene's clips; every test recording is there on all nine devices
OTHER_DEVICES_SHARE = 0.5  # of each scene's training clips; device a has the rest


class SyntheticError(InputError, ValueError):
    """A synthetic set that cannot be made as asked, or not there."""


@dataclass(frozen=True)
class Device:
    """A made-up recording device.

    Attributes:
        tilt: Slope of its response in dB per octave around 1 kHz.
        peaks: Resonances as (Hz, dB, width in octaves).
        low_cut: Frequency in Hz below which it falls by 12 dB per octave.
        ratio: Dynamic range compression above -30 dBFS; 1 for none.
        noise: Level of its own white noise in dBFS.
    """

    tilt: float = 0.0
    peaks: tuple[tuple[float, float, float], ...] = ()
    low_cut: float = 20.0
    ratio: float = 1.0
    noise: float = -75.0


TRAINED_DEVICES = {
    "a": Device(),
    "b": Device(tilt=-1.0, peaks=((2500.0, 6.0, 0.6),), low_cut=120.0, noise=-58.0),
    "c": Device(tilt=1.0, peaks=((900.0, -5.0, 0.8),), low_cut=80.0, noise=-62.0),
    "s1": Device(tilt=-1.5, peaks=((1200.0, 7.0, 0.4),), low_cut=150.0, ratio=2.0, noise=-66.0),
    "s2": Device(tilt=1.5, peaks=((3500.0, 8.0, 0.5),), low_cut=100.0, ratio=3.0, noise=-64.0),
    "s3": Device(tilt=0.5, peaks=((600.0, 8.0, 0.5), (4500.0, -8.0, 0.6)), low_cut=200.0, ratio=4.0, noise=-62.0),
}
UNSEEN_DEVICES = {
    "s4": Device(tilt=-3.0, peaks=((1800.0, 10.0, 0.3),), low_cut=250.0, ratio=4.0, noise=-56.0),
    "s5": Device(tilt=3.0, peaks=((500.0, -10.0, 0.7), (2800.0, 9.0, 0.3)), low_cut=300.0, ratio=5.0, noise=-54.0),
    "s6": Device(tilt=-2.0, peaks=((800.0, 11.0, 0.3), (3000.0, -10.0, 0.5)), low_cut=200.0, ratio=6.0, noise=-52.0),
}
DEVICES = TRAINED_DEVICES | UNSEEN_DEVICES


def make_scenes(root: Path, *, clips_per_scene: int, seed: int, sample_rate: int = 16_000) -> Path:
    """Write a synthetic data set, or leave the finished one that is already there.

    Args:
        root: The data set's folder: absent, empty, or made by an earlier call with the same settings.
        clips_per_scene: One-second clips of each of the ten scenes, at least 45: about 40 % of them, in multiples of
            the nine devices, are test clips; s4, s5 and s6 are in the test list only.
        seed: Equal arguments give equal files, byte for byte.
        sample_rate: In Hz, at least 8,000.

    Returns:
        `root`, with meta.csv, evaluation_setup/, split_setup/ and audio/*.wav (16 bit, mono) as in TAU. It appears
        all at once or not at all.

    Raises:
        SyntheticError: If an argument is out of range or the folder holds anything else.
        CacheError: If the folder cannot be written.
    """
    if clips_per_scene < 45:
        raise SyntheticError(f"a synthetic set needs at least 45 clips per scene, not {clips_per_scene}")
    if sample_rate < 8000:
        raise SyntheticError(f"a synthetic set needs a sample rate of at least 8,000 Hz, not {sample_rate}")
    root = Path(root).absolute()
    settings = {"clips_per_scene": clips_per_scene, "seed": seed, "sample_rate": sample_rate, "format": FORMAT}
    with sole_builder(root):
        if not _is_made(root, settings):
            with replacing(root) as folder:
                _write(folder, clips_per_scene, seed, sample_rate)
                (folder / MARKER).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    return root


def _is_made(root: Path, settings: dict[str, int]) -> bool:
    """Whether the finished set is there; a folder with anything else in it is never touched."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        made = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SyntheticError(f"{root} is not a synthetic set of ours and not empty; choose another folder") from None
    if made != settings:
        raise SyntheticError(f"{root} holds a synthetic set made with {made}, not {settings}; choose another folder")
    return True


class _Clip(NamedTuple):
    filename: str
    scene: str
    location: str
    device: str
    split: str


def _write(folder: Path, clips_per_scene: int, seed: int, sample_rate: int) -> None:
    (folder / "audio").mkdir()
    workshop = _Workshop(seed, sample_rate)
    clips = []
    for clip, samples in workshop.clips(clips_per_scene):
        with wave.open(str(folder / clip.filename), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sample_rate)
            file.writeframes(samples.tobytes())
        clips.append(clip)
    train = [f"{clip.filename}\t{clip.scene}" for clip in clips if clip.split == "train"]
    test = [f"{clip.filename}\t{clip.scene}" for clip in clips if clip.split == "test"]
    meta = [f"{clip.filename}\t{clip.scene}\t{clip.location}\t{clip.device}" for clip in clips]
    labelled = "filename\tscene_label"
    tables = {
        "meta.csv": [f"{labelled}\tidentifier\tsource_label", *meta],
        "evaluation_setup/fold1_train.csv": [labelled, *train],
        "evaluation_setup/fold1_test.csv": ["filename", *(line.split("\t")[0] for line in test)],
        "evaluation_setup/fold1_evaluate.csv": [labelled, *test],
        "split_setup/split25.csv": [labelled, *train],
        "split_setup/test.csv": [labelled, *test],
    }
    for name, lines in tables.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Workshop:
    """Makes the clips of one set; all chance derives from the seed and the name of what is made."""

    def __init__(self, seed: int, sample_rate: int) -> None:
        self.seed = seed
        self.rate = sample_rate
        self.frequencies = np.fft.rfftfreq(sample_rate, 1 / sample_rate)
        self.responses = {name: _response(device, self.frequencies) for name, device in DEVICES.items()}

    def clips(self, clips_per_scene: int) -> Iterator[tuple[_Clip, np.ndarray]]:
        """Every clip with its (sample_rate,) int16 samples, in a fixed order."""
        test_recordings = max(1, round(clips_per_scene * TEST_SHARE / len(DEVICES)))
        train_clips = clips_per_scene - test_recordings * len(DEVICES)
        others = [name for name in TRAINED_DEVICES if name != "a"]
        beside_a = round(train_clips * OTHER_DEVICES_SHARE)
        for number, scene in enumerate(SCENES):
            for recording in range(train_clips - beside_a):
                # Device a hears every recording; the other devices hear some of the same ones beside it.
                also = [others[k % len(others)] for k in range(beside_a) if k % (train_clips - beside_a) == recording]
                yield from self._recording(number, scene, "train", recording, ["a", *also])
            for recording in range(test_recordings):
                yield from self._recording(number, scene, "test", recording, list(DEVICES))

    def _recording(
        self, number: int, scene: str, split: str, recording: int, devices: list[str]
    ) -> Iterator[tuple[_Clip, np.ndarray]]:
        places = TRAIN_LOCATIONS if split == "train" else TEST_LOCATIONS
        place = recording % places + (0 if split == "train" else TRAIN_LOCATIONS)
        location = 1000 + number * (TRAIN_LOCATIONS + TEST_LOCATIONS) + place
        city = CITIES[(place + number) % len(CITIES)]
        serial = 40_000 + number * 10_000 + recording + (0 if split == "train" else 5_000)
        sound = self._sound(scene, location, serial)
        for device in devices:
            name = f"audio/{scene}-{city}-{location}-{serial}-0-{device}.wav"
            rng = self._rng("device", serial, device)
            yield _Clip(name, scene, f"{city}-{location}", device, split), self._through(device, sound, rng)

    def _rng(self, *path: int | str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, *path))

    def _sound(self, scene: str, location: int, serial: int) -> np.ndarray:
        """What there is to hear: the scene's own sound, one of another scene below it, and the place's background."""
        rng = self._rng("sound", serial)
        other = SOUNDS[str(rng.choice([name for name in SCENES if name != scene]))]
        sound: np.ndarray = unit(SOUNDS[scene](rng, self.rate))
        sound = sound + _gain(rng.uniform(-15, -5)) * unit(other(rng, self.rate))
        sound = sound + _gain(rng.uniform(-10, 1)) * self._background(location, rng)
        return np.asarray(_gain(rng.uniform(-32, -20)) * unit(sound))

    def _background(self, location: int, rng: np.random.Generator) -> np.ndarray:
        """Steady noise; its colour and hum are the place's, its samples the clip's."""
        place = self._rng("location", location)
        octaves = np.log2(np.maximum(self.frequencies, 50.0) / 1000.0)
        level = place.uniform(-6, -1) * octaves + place.uniform(-6, 6) * np.sin(
            place.uniform(0.6, 1.6) * octaves + place.uniform(0, 2 * np.pi)
        )
        return unit(np.fft.irfft(np.fft.rfft(rng.standard_normal(self.rate)) * _gain(level), self.rate))

    def _through(self, device: str, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The sound as one device stores it, (sample_rate,) int16."""
        made = DEVICES[device]
        heard = np.fft.irfft(np.fft.rfft(sound) * self.responses[device], self.rate)
        heard = _compressed(heard, made.ratio, self.rate) + _gain(made.noise) * rng.standard_normal(self.rate)
        heard *= min(1.0, 0.9 / np.abs(heard).max())
        return np.round(heard * 32767).astype("<i2")


def _gain(decibels: float | np.ndarray) -> np.ndarray:
    return np.asarray(10.0 ** (np.asarray(decibels) / 20.0))


def _response(device: Device, frequencies: np.ndarray) -> np.ndarray:
    """Magnitude of the device's filter at each frequency."""
    audible = np.maximum(frequencies, 20.0)
    level = device.tilt * np.log2(audible / 1000.0)
    for centre, height, width in device.peaks:
        level += height * np.exp(-0.5 * (np.log2(audible / centre) / width) ** 2)
    level -= 10 * np.log10(1 + (device.low_cut / audible) ** 4)
    return _gain(level)


def _compressed(samples: np.ndarray, ratio: float, rate: int) -> np.ndarray:
    """Louder stretches turned down: above -30 dBFS (over 20 ms) the level grows by 1/ratio dB per dB."""
    if ratio == 1:
        return samples
    width = rate // 50
    around = (width // 2 + 1, width - width // 2 - 1)
    total = np.cumsum(np.pad(samples**2, around, "reflect"))
    level = np.sqrt(np.maximum((total[width:] - total[:-width]) / width, 1e-12))
    threshold = float(_gain(-30.0))
    return np.asarray(samples * np.maximum(level / threshold, 1.0) ** (1 / ratio - 1))
