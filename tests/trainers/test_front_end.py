"""The front end equals torchaudio's, and needs no torchaudio."""

import math
import subprocess
import sys
from typing import Any

import pytest
import torch

from search_spaces.errors import InputError
from trainers.front_end import FrontEnd, FrontEndError, log_mel, mel_bank

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
    return (torch.log(mel(waves) + 1e-5) + front_end.offset) / front_end.scale


@pytest.mark.parametrize("front_end", [FrontEnd(), SMALL, SHIFTED], ids=["baseline", "small", "shifted"])
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


def test_the_baseline_hears_a_second_as_256_by_65() -> None:
    assert FrontEnd().frames == 65
    assert log_mel(torch.zeros(2, 32_000), FrontEnd()).shape == (2, 256, 65)


@pytest.mark.parametrize("hop", [1, 159, 160, 161, 8000, 9000])
def test_frames_says_how_many_frames_a_second_has(hop: int) -> None:
    front_end = FrontEnd(8000, 512, 400, hop, 8, 0.0, 4000.0)
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
    assert torch.isfinite(log_mel(square, FrontEnd()).to(torch.float16)).all()


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
    ],
    ids=str,
)
def test_a_setting_outside_its_domain_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(FrontEndError, match=next(iter(wrong))) as caught:
        FrontEnd(**wrong)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("shape", [(32_000,), (1, 1, 32_000), (1, 2048)])
def test_waves_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrontEndError, match="waves"):
        log_mel(torch.zeros(shape), FrontEnd())


def test_equal_settings_give_equal_json() -> None:
    assert FrontEnd(f_max=16_000, scale=1).to_json() == FrontEnd().to_json()
    assert isinstance(FrontEnd(f_max=16_000).to_json()["f_max"], float)
    assert FrontEnd(**FrontEnd().to_json()) == FrontEnd()  # type: ignore[arg-type]


def test_the_front_end_runs_without_torchaudio() -> None:
    code = (
        "import sys; sys.modules['torchaudio'] = None\n"
        "import torch; from trainers.front_end import FrontEnd, log_mel\n"
        "print(tuple(log_mel(torch.zeros(1, 32000), FrontEnd()).shape))"
    )
    start = f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
    result = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(1, 256, 65)"
