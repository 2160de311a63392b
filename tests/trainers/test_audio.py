"""A second of audio comes out whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainers.audio import AudioError, listen, read_clip, to_second

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, pitch: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def saved(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", None)]
)
def test_a_plain_second_comes_back_as_it_is(tmp_path: Path, suffix: str, subtype: str | None) -> None:
    samples, notes = read_clip(saved(tmp_path / f"a.{suffix}", tone(), subtype=subtype), RATE)
    assert samples.dtype == np.float32
    assert samples.shape == (RATE,)
    assert notes == ()
    np.testing.assert_allclose(samples, tone(), atol=1.01 / 32768)


def test_an_ogg_second_is_a_whole_second(tmp_path: Path) -> None:
    samples, notes = read_clip(saved(tmp_path / "a.ogg", tone()), RATE)
    assert samples.shape == (RATE,)
    assert notes == ()
    assert np.corrcoef(samples, tone())[0, 1] > 0.99


def test_channels_are_mixed_by_their_mean(tmp_path: Path) -> None:
    left, right = tone(pitch=300), tone(pitch=500)
    samples, notes = read_clip(saved(tmp_path / "a.wav", np.stack([left, right], axis=1)), RATE)
    assert notes == ("mixed to mono",)
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1.01 / 32768)


@pytest.mark.parametrize("rate", [44_100, 48_000, 8_000, 22_050])
def test_another_rate_gives_the_same_tone(tmp_path: Path, rate: int) -> None:
    samples, notes = read_clip(saved(tmp_path / "a.wav", tone(rate=rate), rate), RATE)
    assert notes == ("resampled",)
    middle = slice(RATE // 10, -RATE // 10)
    np.testing.assert_allclose(samples[middle], tone()[middle], atol=2e-3)


def test_resampling_lets_nothing_above_the_new_band_through(tmp_path: Path) -> None:
    samples, _ = read_clip(saved(tmp_path / "a.wav", tone(rate=44_100, pitch=12_000), 44_100), RATE)
    assert np.abs(samples[RATE // 10 : -RATE // 10]).max() < 1e-3


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_of_more_than_a_second_the_first_is_kept(rate: int) -> None:
    samples = np.concatenate([tone(rate=rate), np.zeros(rate // 2)]).astype(np.float32)[:, None]
    second = to_second(samples, rate, RATE)
    assert second.shape == (RATE,)
    middle = slice(RATE // 10, -RATE // 10)
    np.testing.assert_allclose(second[middle], tone()[middle], atol=2e-3)


def test_a_short_file_is_padded_and_a_long_one_cut(tmp_path: Path) -> None:
    short, notes = read_clip(saved(tmp_path / "short.wav", tone(0.25)), RATE)
    assert notes == ("padded",)
    assert not short[RATE // 4 :].any()
    np.testing.assert_allclose(short[: RATE // 4], tone(0.25), atol=1.01 / 32768)
    for seconds in (1.5, 7.0):
        long, notes = read_clip(saved(tmp_path / "long.wav", tone(seconds)), RATE)
        assert notes == ("cut",)
        np.testing.assert_allclose(long, tone(), atol=1.01 / 32768)


def test_silence_is_noted_and_a_whisper_is_not(tmp_path: Path) -> None:
    assert read_clip(saved(tmp_path / "a.wav", np.zeros(RATE)), RATE)[1] == ("silent",)
    assert read_clip(saved(tmp_path / "b.wav", tone() / 1000), RATE)[1] == ()


@pytest.mark.parametrize("suffix", ["wav", "ogg", "flac"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, suffix: str, kept: float) -> None:
    path = saved(tmp_path / f"a.{suffix}", np.random.default_rng(0).uniform(-0.5, 0.5, RATE))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(AudioError, match=rf"a\.{suffix}"):
        read_clip(path, RATE)


def test_a_long_file_cut_after_its_first_second_is_truncated_too(tmp_path: Path) -> None:
    for suffix in ("wav", "ogg"):
        path = saved(tmp_path / f"a.{suffix}", np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 9 // 10])
        with pytest.raises(AudioError, match="truncated"):
            read_clip(path, RATE)


def test_an_ogg_file_cut_between_two_pages_is_truncated(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ogg", np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"OggS")])
    with pytest.raises(AudioError, match="does not end"):
        read_clip(path, RATE)


def test_an_ogg_file_with_a_hole_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ogg", np.random.default_rng(0).uniform(-0.5, 0.5, 44_100), rate=44_100)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 400] = bytes(400)
    path.write_bytes(whole)
    with pytest.raises(AudioError, match="truncated or damaged"):
        read_clip(path, RATE)


def test_a_wav_whose_writer_did_not_know_its_length_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone())
    whole = bytearray(path.read_bytes())
    place = whole.index(b"data") + 4
    whole[place : place + 4] = whole[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(whole)
    samples, notes = read_clip(path, RATE)
    assert notes == ()
    np.testing.assert_allclose(samples, tone(), atol=1.01 / 32768)


def test_chunks_before_the_samples_are_skipped(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone())
    whole = path.read_bytes()
    place = whole.index(b"data")
    path.write_bytes(whole[:place] + b"LIST\x05\x00\x00\x00hello\x00" + whole[place:])
    assert read_clip(path, RATE)[1] == ()


def test_a_file_without_samples_or_with_other_content_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no samples"):
        read_clip(saved(tmp_path / "none.wav", np.zeros(0)), RATE)
    (tmp_path / "text.wav").write_text("not audio at all, whatever the name says")
    with pytest.raises(AudioError, match=r"text\.wav cannot be decoded"):
        read_clip(tmp_path / "text.wav", RATE)
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    with pytest.raises(AudioError, match=r"a\.raw cannot be decoded"):
        read_clip(tmp_path / "a.raw", RATE)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav does not exist"):
        read_clip(tmp_path / "none.wav", RATE)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav"):
        read_clip(tmp_path / "folder.wav", RATE)


def test_samples_that_are_not_numbers_are_an_error(tmp_path: Path) -> None:
    samples = tone()
    samples[100] = np.nan
    with pytest.raises(AudioError, match="not finite"):
        read_clip(saved(tmp_path / "a.wav", samples, subtype="FLOAT"), RATE)


def test_listening_says_what_a_file_holds(tmp_path: Path) -> None:
    stereo = np.stack([tone(1.5, 48_000), np.zeros(72_000)], axis=1)
    sound = listen(saved(tmp_path / "a.wav", stereo, 48_000, "PCM_24"))
    assert sound[:3] == (48_000, 2, "WAV, Signed 24 bit PCM")
    assert sound.rms == pytest.approx(0.25 / np.sqrt(2), rel=1e-5)  # half of a sine of amplitude 0.5
    assert sound.notes == ("mixed to mono", "cut")
    assert listen(saved(tmp_path / "b.wav", tone(0.25))).rms == pytest.approx(0.25 / np.sqrt(2), rel=1e-5)
    encodings = [listen(saved(tmp_path / f"c.{suffix}", tone())).encoding for suffix in ("flac", "ogg")]
    assert encodings == ["FLAC, Signed 16 bit PCM", "OGG, Vorbis"]
    with pytest.raises(AudioError, match="does not exist"):
        listen(tmp_path / "none.wav")
