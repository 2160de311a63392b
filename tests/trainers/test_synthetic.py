"""The synthetic set: TAU's layout, equal bytes from equal seeds, hard for averages and easier for filters in time."""

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from trainers.features import load_features
from trainers.front_end import FrontEnd
from trainers.recordings import Recordings, read_recordings
from trainers.synthetic import MARKER, SCENES, SyntheticError, _write, make_scenes
from trainers.synthetic_sounds import SOUNDS

CLIPS = 45
FRONT_END = FrontEnd(sample_rate=16_000, n_fft=1024, window=1024, hop=512, mels=48, f_max=8000.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("synthetic") / "set", clips_per_scene=CLIPS, seed=3)


def content(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_set_reads_as_tau_does(small: Path) -> None:
    recordings = read_recordings(small)
    clips = recordings.clips
    assert recordings.scenes == SCENES
    assert len(SCENES) == 10
    assert (clips.groupby("scene").size() == CLIPS).all()
    train, test = clips[clips["split"] == "train"], clips[clips["split"] == "test"]
    assert set(train["device"]) == {"a", "b", "c", "s1", "s2", "s3"}
    assert set(test["device"]) == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
    assert test.groupby(["scene", "device"]).size().nunique() == 1
    assert (train.groupby("scene")["location"].nunique() >= 5).all()
    assert clips["location"].str.split("-").str[0].nunique() == 10
    fields = clips["filename"].str.removeprefix("audio/").str.removesuffix(".wav").str.split("-", expand=True)
    assert fields.shape[1] == 6
    assert (fields[0] == clips["scene"]).all()
    assert (fields[1] + "-" + fields[2] == clips["location"]).all()
    assert (fields[5] == clips["device"]).all()
    for name in clips["filename"].iloc[::50]:
        info = soundfile.info(small / name)
        assert (info.frames, info.samplerate, info.channels, info.subtype) == (16_000, 16_000, 1, "PCM_16")


def test_taus_own_lists_and_the_challenges_agree(small: Path) -> None:
    read = {name: (small / name).read_text() for name in content(small) if name.endswith(".csv")}
    assert read["evaluation_setup/fold1_train.csv"] == read["split_setup/split25.csv"]
    assert read["evaluation_setup/fold1_evaluate.csv"] == read["split_setup/test.csv"]
    evaluated = [line.split("\t")[0] for line in read["split_setup/test.csv"].splitlines()]
    assert read["evaluation_setup/fold1_test.csv"].splitlines() == evaluated


def test_no_clip_is_silent_clipped_or_there_twice(small: Path) -> None:
    clips = np.stack([soundfile.read(path, dtype="int16")[0] for path in sorted((small / "audio").iterdir())])
    peaks = np.abs(clips.astype(int)).max(axis=1)
    assert peaks.min() > 300
    assert peaks.max() < 32_767
    assert len(np.unique(clips, axis=0)) == len(clips)


def test_equal_seeds_give_equal_bytes_in_another_process_and_other_seeds_do_not(small: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
        "from pathlib import Path; from trainers.synthetic import make_scenes\n"
        f"make_scenes(Path({str(tmp_path / 'again')!r}), clips_per_scene={CLIPS}, seed=3)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert content(tmp_path / "again") == content(small)
    other = make_scenes(tmp_path / "other", clips_per_scene=CLIPS, seed=4)
    assert read_recordings(other).digest != read_recordings(small).digest


def test_a_finished_set_is_used_again(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert make_scenes(small, clips_per_scene=CLIPS, seed=3) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_a_set_made_with_other_settings_is_neither_used_nor_overwritten(small: Path) -> None:
    before = content(small)
    with pytest.raises(SyntheticError, match="made with"):
        make_scenes(small, clips_per_scene=CLIPS, seed=5)
    assert content(small) == before


@pytest.mark.parametrize("marker", [None, "{", "[]"])
def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path, marker: str | None) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    if marker is not None:
        (tmp_path / MARKER).write_text(marker)
    before = content(tmp_path)
    with pytest.raises(SyntheticError, match="choose another folder"):
        make_scenes(tmp_path, clips_per_scene=CLIPS, seed=3)
    assert content(tmp_path) == before


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(SyntheticError, match="choose another folder"):
        make_scenes(tmp_path / "set", clips_per_scene=CLIPS, seed=3)
    assert (tmp_path / "set").read_text() == "a file"


def test_a_set_whose_making_stops_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_and_stop(folder: Path, *settings: int) -> None:
        _write(folder, *settings)  # everything but the marker
        raise KeyboardInterrupt

    monkeypatch.setattr("trainers.synthetic._write", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "set", clips_per_scene=CLIPS, seed=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"clips_per_scene": 10}, {"sample_rate": 4000}], ids=str)
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(SyntheticError, match="at least"):
        make_scenes(tmp_path / "set", **({"clips_per_scene": CLIPS, "seed": 0} | wrong))


def test_a_device_colours_what_the_others_hear_beside_it(small: Path) -> None:
    def level(path: Path, low: float, high: float) -> float:
        samples, rate = soundfile.read(path)
        power = np.abs(np.fft.rfft(samples))[int(low * len(samples) / rate) : int(high * len(samples) / rate)] ** 2
        return float(10 * np.log10(power.sum()))

    def tilt(path: Path) -> float:
        return level(path, 2200, 2800) - level(path, 400, 600)

    test = (small / "split_setup/test.csv").read_text().splitlines()[1:]
    pairs = [small / line.split("\t")[0] for line in test if line.split("\t")[0].endswith("-a.wav")]
    differences = [tilt(path.with_name(path.name.replace("-a.wav", "-b.wav"))) - tilt(path) for path in pairs]
    # b: 6 dB more around 2,500 Hz, less 2.3 octaves of -1 dB.
    assert np.median(differences) == pytest.approx(3.5, abs=1.0)


def envelope(scene: str, seed: int) -> np.ndarray:
    """Loudness of a scene's own sound over time, 200 values for its second."""
    sound = SOUNDS[scene](np.random.default_rng(seed), 16_000)
    return np.asarray(np.sqrt((sound.reshape(200, 80) ** 2).mean(axis=1)))


@pytest.mark.parametrize(("scene", "rates"), [("bus", (2, 4)), ("tram", (7, 11))])
def test_a_bus_throbs_slowly_and_a_tram_fast(scene: str, rates: tuple[int, int]) -> None:
    spectra = [np.abs(np.fft.rfft(curve - curve.mean())) for curve in (envelope(scene, seed) for seed in range(10))]
    assert all(rates[0] <= spectrum.argmax() <= rates[1] for spectrum in spectra)


@pytest.mark.parametrize(("scene", "sign"), [("park", 1), ("public_square", -1)])
def test_rings_fade_in_the_park_and_swell_in_the_square(scene: str, sign: int) -> None:
    steps = [np.diff(envelope(scene, seed)) for seed in range(10)]
    assert all(sign * (step**3).sum() > 0 for step in steps)  # steps up are steeper than steps down, or the reverse


@pytest.mark.parametrize(("scene", "sign"), [("airport", 1), ("shopping_mall", -1)])
def test_tones_rise_in_the_airport_and_fall_in_the_mall(scene: str, sign: int) -> None:
    for seed in range(10):
        sound = SOUNDS[scene](np.random.default_rng(seed), 16_000).reshape(-1, 400) * np.hanning(400)
        pitch = np.abs(np.fft.rfft(sound, n=4096)).argmax(axis=1).astype(float)
        assert sign * np.median(np.diff(pitch)) > 0


@pytest.mark.parametrize(("scene", "regular"), [("metro", True), ("metro_station", False)])
def test_clicks_are_in_step_in_the_metro_and_not_in_its_station(scene: str, regular: bool) -> None:
    gaps = []
    for seed in range(20):
        curve = envelope(scene, seed)
        loud = curve > 0.25 * curve.max()
        starts = np.flatnonzero(loud[1:] & ~loud[:-1])
        gaps.append(np.diff(starts).std() / np.diff(starts).mean())
    assert bool(np.median(gaps) < 0.1) is regular


@pytest.mark.parametrize(("scene", "rates"), [("street_pedestrian", (2, 4)), ("street_traffic", (7, 11))])
def test_voices_sway_slowly_on_foot_and_fast_in_traffic(scene: str, rates: tuple[int, int]) -> None:
    found = []
    for seed in range(10):
        sound = SOUNDS[scene](np.random.default_rng(seed), 16_000).reshape(-1, 320) * np.hanning(320)
        spectra = np.abs(np.fft.rfft(sound, n=8192))[:, 80:320]  # 156 to 625 Hz: the lowest harmonics
        pitch = (spectra**2 * np.arange(80, 320)).sum(axis=1) / (spectra**2).sum(axis=1)
        found.append(np.abs(np.fft.rfft(pitch - pitch.mean()))[1:15].argmax() + 1)
    assert rates[0] <= np.median(found) <= rates[1]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recordings, torch.Tensor, torch.Tensor, np.ndarray]:
    """A set of 120 clips per scene: recordings, features (clips, mels, frames), labels, and which are for training."""
    folder = tmp_path_factory.mktemp("heard")
    recordings = read_recordings(make_scenes(folder / "set", clips_per_scene=120, seed=0))
    path = load_features(recordings, FRONT_END, folder / "caches", workers=2)
    features = torch.from_numpy(np.load(path / "clips.npy", allow_pickle=False)).float()
    labels = torch.tensor([recordings.scenes.index(scene) for scene in recordings.clips["scene"]])
    return recordings, features, labels, (recordings.clips["split"] == "train").to_numpy(copy=True)


def fitted(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, epochs: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=generator).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval()


def test_averages_name_the_pair_and_filters_in_time_name_the_scene(
    heard: tuple[Recordings, torch.Tensor, torch.Tensor, np.ndarray],
) -> None:
    recordings, features, labels, train = heard
    unseen = np.isin(recordings.clips["device"], ["s4", "s5", "s6"])[~train]
    averages = torch.cat([features.mean(2), features.std(2)], dim=1)
    averages = (averages - averages[train].mean(0)) / averages[train].std(0)
    maps = ((features - features[train].mean()) / features[train].std())[:, None]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        linear = nn.Linear(averages.shape[1], 10)
        widths = [1, 16, 32, 48]
        blocks = [
            layer
            for before, after in pairwise(widths)
            for layer in (
                nn.Conv2d(before, after, 3, 2 if before == 1 else 1, 1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
        ]
        network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))
        with torch.enable_grad():
            fitted(linear, averages[train], labels[train], 30, 3e-3)
            fitted(network, maps[train], labels[train], 10, 5e-3)
        by_averages = (linear(averages[~train]).argmax(1) == labels[~train]).numpy()
        by_filters = (network(maps[~train]).argmax(1) == labels[~train]).numpy()
    assert 0.35 < by_averages.mean() < 0.65
    assert by_filters.mean() > by_averages.mean() + 0.08
    assert by_averages[~unseen].mean() > by_averages[unseen].mean() + 0.05
