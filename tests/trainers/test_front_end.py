"""The front ends equal those they are named after, and need no torchaudio."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import soxr
import torch

from search_spaces.errors import InputError
from trainers.front_end import (
    BASELINE_2025,
    CP_JKU_2023,
    DYNACP,
    EFFICIENTAT,
    FRONT_ENDS,
    SHARIF,
    FrontEnd,
    FrontEndError,
    log_mel,
    mel_bank,
)

SMALL = FrontEnd(sample_rate=8000, n_fft=512, window=400, hop=160, mels=32, f_min=50.0, f_max=3800.0)
SHIFTED = FrontEnd(sample_rate=16_000, n_fft=1024, window=1024, hop=500, mels=64, f_max=8000.0, offset=4.5, scale=5.0)


def by_torchaudio(waves: torch.Tensor, front_end: FrontEnd) -> torch.Tensor:
    torchaudio = pytest.importorskip("torchaudio")
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=front_end.sample_rate,
        n_fft=front_end.n_fft,
        win_length=front_end.window,
        hop_length=front_end.hop,
        f_min=front_end.f_min,
        f_max=front_end.f_max,
        n_mels=front_end.mels,
        power=2.0,
        mel_scale="htk",
        norm=None,
    )
    if front_end.level == "decibel":
        return torchaudio.transforms.AmplitudeToDB(stype="power", top_db=None)(mel(waves))
    return (torch.log(mel(waves) + 1e-5) + front_end.offset) / front_end.scale


class Described(NamedTuple):
    """A front end as its authors describe it, for one second of audio."""

    rate: int
    window: int
    symmetric: bool
    hop: int
    triangles_over_mels: bool
    highest: float
    bank_rate: int = 32_000
    emphasis: float = 0.0
    transform: int = 4096
    bands: int = 256


DESCRIBED = {
    BASELINE_2025: Described(32_000, 3072, False, 500, False, 16_000.0),
    CP_JKU_2023: Described(32_000, 3072, True, 500, True, 15_500.0, emphasis=0.97),
    DYNACP: Described(44_100, 3072, True, 500, True, 15_500.0, emphasis=0.97),
    SHARIF: Described(32_000, 4096, False, 502, False, 16_000.0),
    EFFICIENTAT: Described(32_000, 800, True, 320, True, 15_000.0, emphasis=0.97, transform=1024, bands=128),
}
NAMED = pytest.mark.parametrize("front_end", DESCRIBED, ids=["baseline", "2023", "dynacp", "sharif", "efficientat"])


def mel_power_by_hand(wave: np.ndarray, said: Described) -> np.ndarray:
    """The mel power of one second in float64, (bands, frames), frame by frame, from the description alone."""
    heard = wave[1:] - said.emphasis * wave[:-1] if said.emphasis else wave
    padded = np.pad(heard, said.transform // 2, mode="reflect")
    edge = (said.transform - said.window) // 2
    window = np.zeros(said.transform)
    turns = np.arange(said.window) / (said.window - said.symmetric)
    window[edge : edge + said.window] = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
    frames = [padded[start : start + said.transform] * window for start in range(0, len(heard) + 1, said.hop)]
    power = np.abs(np.fft.rfft(frames)) ** 2

    def mels(frequency: np.ndarray) -> np.ndarray:
        return 1127 * np.log(1 + frequency / 700)

    def hertz(mel: np.ndarray) -> np.ndarray:
        return 700 * (np.exp(mel / 1127) - 1)

    edges = np.linspace(0, mels(np.array(said.highest)), said.bands + 2)
    bins = np.arange(said.transform // 2 + 1) * said.bank_rate / said.transform
    corners, places = (edges, mels(bins)) if said.triangles_over_mels else (hertz(edges), bins)
    bank = [np.interp(places, corners[band : band + 3], [0, 1, 0]) for band in range(said.bands)]
    return np.array(bank) @ power.T


def by_hand(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    power = mel_power_by_hand(wave, DESCRIBED[front_end])
    if front_end == SHARIF:
        return 10 * np.log10(np.maximum(power, 1e-10))
    if front_end == BASELINE_2025:
        return np.log(power + 1e-5)
    return (np.log(power + 1e-5) + 4.5) / 5


@pytest.mark.parametrize(
    "front_end", [BASELINE_2025, SMALL, SHIFTED, SHARIF], ids=["baseline", "small", "shifted", "sharif"]
)
def test_features_equal_torchaudio(front_end: FrontEnd) -> None:
    generator = torch.Generator().manual_seed(1)
    waves = torch.randn(3, front_end.sample_rate, generator=generator) * torch.tensor([[0.3], [0.01], [0.0]])
    torch.testing.assert_close(log_mel(waves, front_end), by_torchaudio(waves, front_end), atol=1e-5, rtol=1e-5)


def test_the_mel_bank_equals_torchaudio_to_the_bit() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    for front_end in (FrontEnd(), SMALL):
        expected = functional.melscale_fbanks(
            front_end.n_fft // 2 + 1, front_end.f_min, front_end.f_max, front_end.mels, front_end.sample_rate
        )
        assert torch.equal(mel_bank(front_end), expected)


@NAMED
def test_the_named_front_ends_equal_their_descriptions_in_float64(front_end: FrontEnd) -> None:
    rate = DESCRIBED[front_end].rate
    waves = np.random.default_rng(3).normal(size=(2, rate)) * [[0.3], [0.001]]
    features = log_mel(torch.from_numpy(waves), front_end)
    for row in range(2):
        np.testing.assert_allclose(features[row].numpy(), by_hand(waves[row], front_end), atol=2e-4)


def test_dynacps_bank_hears_a_frequency_as_if_the_audio_had_32_khz() -> None:
    centres = 700 * (np.exp(np.linspace(0, np.log(1 + 15_500 / 700), 258)[1:-1]) - 1)
    for nominal in (500.0, 2000.0, 6000.0, 15_000.0):
        tone = torch.sin(2 * math.pi * nominal * 1.378125 * torch.arange(44_100) / 44_100)
        loudest = log_mel(tone[None], DYNACP)[0, :, 10:-10].mean(dim=1).argmax().item()
        assert abs(loudest - np.abs(centres - nominal).argmin()) <= 1


def test_a_bank_is_bounded_by_its_own_rate_and_has_one() -> None:
    assert FrontEnd(sample_rate=16_000, bank_rate=44_100, f_max=22_050.0).f_max == 22_050
    with pytest.raises(FrontEndError, match=r"f_max is 16001.0, expected at most half the bank rate \(16000\)"):
        FrontEnd(sample_rate=44_100, bank_rate=32_000, f_max=16_001.0)
    for wrong in (0, True, 3.5, "32000"):
        with pytest.raises(FrontEndError, match="bank_rate"):
            FrontEnd(bank_rate=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("front_end", [CP_JKU_2023, EFFICIENTAT], ids=["2023", "efficientat"])
def test_the_banks_of_cp_jku_equal_kaldis_in_torchaudio(front_end: FrontEnd) -> None:
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    said = DESCRIBED[front_end]
    expected, _ = kaldi.get_mel_banks(said.bands, said.transform, 32_000.0, 0.0, said.highest, 100.0, -500.0, 1.0)
    bank = mel_bank(front_end)
    torch.testing.assert_close(bank[:-1], expected.T, atol=5e-5, rtol=0)  # the expected one is computed in float32
    assert not bank[-1].any()


def test_a_real_recording_has_the_published_statistics(shared_data: Path) -> None:
    samples, rate = soundfile.read(shared_data / "tau-clip" / "metro_station-paris.wav", dtype="float32")
    seconds = [soxr.resample(second, rate, 32_000, quality="HQ") for second in samples.reshape(10, rate)]
    features = log_mel(torch.from_numpy(np.stack(seconds)), CP_JKU_2023)
    assert features.mean().item() == pytest.approx(0.491, abs=0.001)
    assert features.std().item() == pytest.approx(0.433, abs=0.001)


def test_silence_has_a_level_in_decibels() -> None:
    features = log_mel(torch.zeros(1, 32_000), SHARIF)
    torch.testing.assert_close(features, torch.full((1, 256, 64), -100.0))


@pytest.mark.parametrize(
    ("name", "mels", "frames"),
    [
        ("baseline-2025", 256, 65),
        ("cp-jku-2023", 256, 64),
        ("dynacp", 256, 89),
        ("sharif", 256, 64),
        ("efficientat", 128, 100),
    ],
)
def test_the_named_front_ends_say_their_frames(name: str, mels: int, frames: int) -> None:
    front_end = FRONT_ENDS[name]
    assert (front_end.mels, front_end.frames) == (mels, frames)
    assert log_mel(torch.zeros(1, front_end.sample_rate), front_end).shape == (1, mels, frames)


def test_every_described_front_end_has_one_name() -> None:
    assert FRONT_ENDS == {
        "baseline-2025": BASELINE_2025,
        "cp-jku-2023": CP_JKU_2023,
        "dynacp": DYNACP,
        "sharif": SHARIF,
        "efficientat": EFFICIENTAT,
    }
    assert set(FRONT_ENDS.values()) == set(DESCRIBED)


def test_the_baseline_hears_a_second_as_256_by_65() -> None:
    assert FrontEnd().frames == 65
    assert log_mel(torch.zeros(2, 32_000), FrontEnd()).shape == (2, 256, 65)


@pytest.mark.parametrize("hop", [1, 159, 160, 161, 8000, 9000])
def test_frames_says_how_many_frames_a_second_has(hop: int) -> None:
    for pre_emphasis in (0.0, 0.97):
        front_end = FrontEnd(8000, 512, 400, hop, 8, 0.0, 4000.0, pre_emphasis=pre_emphasis)
        assert log_mel(torch.zeros(1, 8000), front_end).shape == (1, 8, front_end.frames)


def test_silence_is_the_floor_shifted_and_scaled() -> None:
    features = log_mel(torch.zeros(1, 16_000), SHIFTED)
    torch.testing.assert_close(features, torch.full_like(features, (math.log(1e-5) + 4.5) / 5.0))


def test_a_clip_has_the_same_features_alone_and_in_a_batch() -> None:
    waves = torch.randn(5, 8000, generator=torch.Generator().manual_seed(2))
    together = log_mel(waves, SMALL)
    for row in range(5):
        torch.testing.assert_close(log_mel(waves[row : row + 1], SMALL)[0], together[row], atol=1e-4, rtol=1e-4)


def test_full_scale_features_fit_float16() -> None:
    square = torch.where(torch.arange(32_000) % 64 < 32, 1.0, -1.0)[None]
    for front_end in FRONT_ENDS.values():
        assert torch.isfinite(log_mel(square, front_end).to(torch.float16)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 0},
        {"mels": 2.5},
        {"hop": True},
        {"hop": -1},
        {"window": 5000},
        {"n_fft": 64_000, "window": 100},
        {"f_min": -1.0},
        {"f_min": 16_000.0},
        {"f_max": 16_001.0},
        {"f_max": float("nan")},
        {"offset": float("inf")},
        {"scale": 0.0},
        {"scale": 1e-6},
        {"scale": 1e-3, "level": "decibel"},
        {"pre_emphasis": -0.97},
        {"pre_emphasis": 2},
        {"floor": 0.0},
        {"floor": 1e-20},
        {"convention": "htk"},
        {"level": "dB"},
        {"level": ["log"]},
    ],
    ids=str,
)
def test_a_setting_outside_its_domain_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(FrontEndError, match=next(iter(wrong))) as caught:
        FrontEnd(**wrong)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_word_is_told_with_the_known_ones() -> None:
    with pytest.raises(FrontEndError, match="level is 'dB', expected log or decibel"):
        FrontEnd(level="dB")  # type: ignore[arg-type]


@pytest.mark.parametrize("mels", [1, 5, 16, 17, 200])
def test_any_number_of_bands_equals_the_whole_bank(mels: int) -> None:
    front_end = FrontEnd(sample_rate=8000, n_fft=256, window=256, hop=500, mels=mels, f_max=4000.0)  # some hear no bin
    waves = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(5))
    spectrum = torch.stft(waves, 256, 500, window=torch.hann_window(256), return_complex=True)
    mel = (spectrum.abs().double() ** 2).transpose(1, 2) @ mel_bank(front_end).double()
    torch.testing.assert_close(
        log_mel(waves, front_end), torch.log(mel + 1e-5).transpose(1, 2).float(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(32_000,), (1, 1, 32_000), (1, 2048)])
def test_waves_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrontEndError, match="waves"):
        log_mel(torch.zeros(shape), FrontEnd())


def test_the_sample_that_pre_emphasis_takes_is_asked_for() -> None:
    assert log_mel(torch.zeros(1, 2050), CP_JKU_2023).shape == (1, 256, 5)
    with pytest.raises(FrontEndError, match="more than 2049 samples"):
        log_mel(torch.zeros(1, 2049), CP_JKU_2023)


def test_equal_settings_give_equal_json() -> None:
    assert FrontEnd(f_max=16_000, scale=1).to_json() == FrontEnd().to_json()
    assert isinstance(FrontEnd(f_max=16_000).to_json()["f_max"], float)
    assert FrontEnd(pre_emphasis=1).to_json() == FrontEnd(pre_emphasis=1.0).to_json()


def test_the_baselines_json_is_what_caches_and_bundles_hold() -> None:
    assert FrontEnd().to_json() == {
        "sample_rate": 32_000,
        "n_fft": 4096,
        "window": 3072,
        "hop": 500,
        "mels": 256,
        "f_min": 0.0,
        "f_max": 16_000.0,
        "offset": 0.0,
        "scale": 1.0,
    }


@NAMED
def test_a_front_end_survives_its_json(front_end: FrontEnd) -> None:
    assert FrontEnd.from_json(front_end.to_json()) == front_end
    with pytest.raises(FrontEndError, match="hopp is 500, expected one of sample_rate, n_fft"):
        FrontEnd.from_json(front_end.to_json() | {"hopp": 500})


def test_different_front_ends_differ_in_json() -> None:
    others = [
        {"pre_emphasis": 0.97},
        {"floor": 1e-10},
        {"convention": "kaldi"},
        {"level": "decibel"},
        {"bank_rate": 44_100},
    ]
    written = [FrontEnd(**other).to_json() for other in others]  # type: ignore[arg-type]
    assert all(a != b for i, a in enumerate(written) for b in [FrontEnd().to_json(), *written[:i]])


def test_the_front_end_runs_without_torchaudio() -> None:
    code = (
        "import sys; sys.modules['torchaudio'] = None\n"
        "import torch; from trainers.front_end import FrontEnd, log_mel\n"
        "print(tuple(log_mel(torch.zeros(1, 32000), FrontEnd()).shape))"
    )
    start = f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
    result = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(1, 256, 65)"
