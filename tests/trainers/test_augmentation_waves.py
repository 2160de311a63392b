"""What a view does to waveforms: against float64, direct convolution and the formulas of the draws."""

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from scipy import signal, stats

from trainers.audio import read_clip
from trainers.augmentation.impulse_responses import ImpulseResponseError, convolved, read_responses
from trainers.augmentation.settings import AugmentationError, ImpulseResponses, Views
from trainers.augmentation.waves import gain, mixed, perturbed, roll, through_responses, view_of
from trainers.front_end import CP_JKU_2023, FrontEnd, FrontEndError, log_mel

TINY = FrontEnd(sample_rate=4000, n_fft=512, window=512, hop=500, mels=16, f_max=1500)


def waves_of(clips=8, samples=4000, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0.01, 0.1, (clips, samples)).astype(np.float32))


def test_each_wave_is_rolled_circularly_by_a_uniform_shift():
    waves = torch.arange(50.0).repeat(5000, 1)
    rolled = roll(waves, 3, np.random.default_rng(0))
    shifts = -rolled[:, 0].int() % 50
    shifts = (torch.where(shifts > 25, shifts - 50, shifts)).numpy()
    for row in range(20):
        assert torch.equal(rolled[row], torch.roll(waves[row], int(shifts[row])))
    counts = np.bincount(shifts + 3, minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_roll_is_the_same_share_of_a_second_at_every_rate():
    """To a sample of either, and of as much chance, also where a rate has no sample so short."""
    for seconds in (0.0, 0.00004, 0.1, 0.45):
        shifts, left = {}, []
        for rate in (16_000, 32_000, 44_100):
            rng = np.random.default_rng(3)
            impulses = torch.zeros(20, rate)
            impulses[:, rate // 2] = 1
            shifts[rate] = roll(impulses, int(seconds * rate), rng).argmax(dim=1).numpy() / rate - 0.5
            left.append(rng.random())
        for one, other in itertools.combinations(shifts, 2):
            assert np.abs(shifts[one] - shifts[other]).max() < 1 / one + 1 / other
        assert np.abs(shifts[16_000]).max() >= 0.8 * seconds - 1 / 16_000
        assert left[0] == left[1] == left[2]


def test_gain_is_a_whole_number_of_decibels_below_the_upper_end():
    waves = torch.ones(6000, 2)
    decibels = (20 * torch.log10(gain(waves, 12, np.random.default_rng(1)))).numpy()
    assert np.abs(decibels - decibels.round()).max() < 1e-4
    counts = np.bincount(decibels[:, 0].round().astype(int) + 12, minlength=24)
    assert len(counts) == 24  # -12 to +11
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_convolution_is_the_full_one_in_float64_cut_to_the_wave():
    waves, responses = waves_of(3, 700), waves_of(3, 300, seed=1)
    heard = convolved(waves, responses).numpy()
    assert heard.shape == (3, 700)
    for wave, response, found in zip(waves.double().numpy(), responses.double().numpy(), heard, strict=True):
        np.testing.assert_allclose(found, np.convolve(wave, response)[:700], atol=1e-6)


def test_responses_change_the_asked_share_and_are_drawn_uniformly():
    clips = 6000
    impulse = torch.zeros(clips, 8)
    impulse[:, 0] = 1
    responses = torch.arange(2.0, 7.0)[:, None]  # impulses of five heights: the result tells which it was
    eligible = np.arange(clips) % 3 == 0
    heard = through_responses(impulse, responses, eligible * 0.6, np.random.default_rng(3))[:, 0].round().int().numpy()
    assert (heard[~eligible] == 1).all()
    changed = heard[eligible] > 1
    assert changed.mean() == pytest.approx(0.6, abs=5 * 0.49 / math.sqrt(eligible.sum()))
    assert stats.chisquare(np.bincount(heard[heard > 1] - 2, minlength=5)).pvalue > 1e-3


def test_mixed_waves_have_no_mean_and_a_weight_of_1_changes_nothing():
    waves, partners = waves_of() + 0.5, waves_of(seed=1) - 0.25
    weight = np.array([1, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1], dtype=np.float32)
    found = mixed(waves, partners, weight)
    assert torch.equal(found[[0, 7]], waves[[0, 7]])
    for row in range(1, 7):
        own, other = (x[row].double() - x[row].double().mean() for x in (waves, partners))
        expected = float(weight[row]) * own + (1 - float(weight[row])) * other
        torch.testing.assert_close(found[row].double(), expected, rtol=1e-4, atol=1e-6)


def test_the_edges_of_the_mel_bank_are_drawn_as_in_cp_jku_s_systems():
    rng = np.random.default_rng(0)
    edges = [perturbed(CP_JKU_2023, 10, 1000, rng) for _ in range(20_000)]
    low, high = ({end for edge in edges for end in [getattr(edge, name)]} for name in ("f_min", "f_max"))
    assert low == set(range(10))
    assert (min(high), max(high)) == (15_001, 16_000)
    assert np.mean([edge.f_max for edge in edges]) == pytest.approx(15_500.5, abs=5 * 289 / math.sqrt(20_000))
    assert perturbed(CP_JKU_2023, 1, 1, rng) == CP_JKU_2023
    with pytest.raises(FrontEndError, match="f_max"):
        perturbed(replace(CP_JKU_2023, f_max=16_000.0), 1, 4000, np.random.default_rng(1))


FULL = Views(
    count=3,
    roll=0.1,
    gain=6,
    impulse_responses=ImpulseResponses(folder="-", probability=0.5, devices=("a",)),
    mixup_probability=0.5,
    f_min_range=10,
    f_max_range=400,
)


def test_a_view_without_settings_is_the_clips_as_they_are():
    waves = waves_of()
    view = view_of(waves, ["a"] * 8, Views(), TINY, np.random.default_rng(0))
    assert torch.equal(view.features, log_mel(waves, TINY))
    assert (view.weight == 1).all()


def test_a_view_is_response_gain_mixup_roll_and_bank_in_this_order():
    waves, partners, responses = waves_of(), waves_of(seed=1), waves_of(4, seed=2)
    devices = list("abacabac")
    before = waves.clone(), partners.clone()
    view = view_of(waves, devices, FULL, TINY, np.random.default_rng(7), responses=responses, partners=partners)
    rng = np.random.default_rng(7)
    eligible = np.array([device == "a" for device in devices])
    expected = gain(through_responses(waves, responses, eligible * 0.5, rng), 6, rng)
    drawn = rng.beta(2, 2, 8)
    weight = np.where(rng.random(8) < 0.5, np.maximum(drawn, 1 - drawn), 1).astype(np.float32)
    other = gain(partners, 6, rng)
    expected = roll(mixed(expected, other, weight), 400, rng)
    torch.testing.assert_close(view.features, log_mel(expected, perturbed(TINY, 10, 400, rng)))
    np.testing.assert_array_equal(view.weight, weight)
    assert torch.equal(waves, before[0])
    assert torch.equal(partners, before[1])


class Event(NamedTuple):
    """What happened to clips of an impulse at half a second, whose partners have one at three quarters.

    Attributes:
        shifts: (clips,) in seconds.
        heights: (clips, 2) of the two impulses.
        edges: Of the mel bank in Hz.
    """

    shifts: np.ndarray
    heights: np.ndarray
    edges: tuple[float, float]

    @staticmethod
    def of(waves, front_end):
        rate = front_end.sample_rate
        own = waves.argmax(axis=1)
        found = np.take_along_axis(waves, np.stack([own, own + rate // 4], axis=1) % rate, axis=1)
        return Event(own / rate - 0.5, found, (front_end.f_min, front_end.f_max))


@pytest.mark.parametrize("roll", [0.1, 0.00004, 0.0])
def test_a_view_is_the_same_event_at_every_sample_rate(roll, monkeypatch):
    """Impulses tell by their places and heights all that was drawn: shift, gain, response, weight; and the bank."""
    clips, heard, views = 64, [], replace(FULL, roll=roll)
    monkeypatch.setattr("trainers.augmentation.waves.log_mel", lambda *given: heard.append(given) or given[0])
    drawn = []
    for rate in (16_000, 32_000):
        waves, partners = torch.zeros(clips, rate), torch.zeros(clips, rate)
        # Beside each its opposite, so that there is no mean, which mixup takes away.
        waves[:, rate // 2], waves[:, rate // 2 + rate // 10] = 1, -1
        partners[:, rate * 3 // 4], partners[:, rate * 3 // 4 + rate // 10] = 1, -1
        responses = torch.zeros(4, 100)
        responses[:, 0] = torch.tensor([1.0, 10.0, 100.0, 1000.0])
        front_end = replace(CP_JKU_2023, sample_rate=rate, f_max=7000.0)
        rng, devices = np.random.default_rng(5), ["a", "b"] * (clips // 2)
        drawn.append(view_of(waves, devices, views, front_end, rng, responses=responses, partners=partners).weight)
    slow, fast = (Event.of(waves.numpy(), front_end) for waves, front_end in heard)
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_allclose(slow.heights, fast.heights, rtol=1e-4, atol=1e-5)
    assert np.abs(slow.shifts - fast.shifts).max() < 1 / 16_000 + 1 / 32_000
    assert slow.edges == fast.edges
    assert len(set(slow.heights[:, 0].round(3))) > 20  # gains and responses differ from clip to clip
    assert (drawn[0] < 1).any()


def test_equal_seeds_give_equal_views():
    given = {"responses": waves_of(4, seed=2), "partners": waves_of(seed=1)}
    first, again, other = (
        view_of(waves_of(), ["a"] * 8, FULL, TINY, np.random.default_rng(seed), **given).features for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_waves_on_a_gpu_stay_there_and_become_the_same():
    given = {"responses": waves_of(4, seed=2), "partners": waves_of(seed=1)}
    here = view_of(waves_of(), ["a"] * 8, FULL, TINY, np.random.default_rng(1), **given).features
    given = {name: each.cuda() for name, each in given.items()}
    there = view_of(waves_of().cuda(), ["a"] * 8, FULL, TINY, np.random.default_rng(1), **given).features
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("views", "named"),
    [(replace(FULL, mixup_probability=0.0), "impulse_responses"), (Views(mixup_probability=0.5), "mixup_probability")],
)
def test_a_view_that_lacks_what_it_needs_says_so(views, named):
    with pytest.raises(AugmentationError, match=named):
        view_of(waves_of(), ["a"] * 8, views, TINY, np.random.default_rng(0))


def test_responses_are_read_at_the_rate_of_the_front_end(tmp_path):
    tone = np.sin(2 * np.pi * 500 * np.arange(2400) / 48_000)
    soundfile.write(tmp_path / "b.wav", np.stack([tone, tone], axis=1), 48_000, subtype="FLOAT")
    soundfile.write(tmp_path / "A.WAV", [1.0, 0.5], 8000, subtype="FLOAT", format="WAV")
    (tmp_path / "README.md").write_text("responses")
    responses = read_responses(tmp_path, 8000)
    assert responses.shape == (2, 8000)
    np.testing.assert_allclose(responses[0, :3], [1, 0.5, 0])
    expected = signal.resample_poly(tone, 1, 6)
    np.testing.assert_allclose(responses[1, 50:350], expected[50:350], atol=2e-3)


def test_a_folder_without_usable_responses_is_refused(tmp_path):
    with pytest.raises(ImpulseResponseError, match="no folder"):
        read_responses(tmp_path / "none", 8000)
    with pytest.raises(ImpulseResponseError, match="no WAV file"):
        read_responses(tmp_path, 8000)
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000)
    with pytest.raises(ImpulseResponseError, match=r"a\.wav is silent"):
        read_responses(tmp_path, 8000)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(ImpulseResponseError, match=r"a\.wav"):
        read_responses(tmp_path, 8000)


def test_real_responses_are_all_read(shared_data):
    folder = shared_data / "micirp"
    responses = read_responses(folder, 32_000)
    names = sorted(path.name for path in folder.glob("*.wav"))
    assert len(responses) == len(names) == 56
    row = names.index("Toshiba_BK5.wav")
    np.testing.assert_array_equal(responses[row], read_clip(folder / names[row], 32_000)[0])
    assert (np.abs(responses).argmax(axis=1) < 0.01 * 32_000).all()
