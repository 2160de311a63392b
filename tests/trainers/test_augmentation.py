"""What a training does to its batches: every statistic against its formula, in float64 or by torchaudio."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchaudio.functional as oracle
from scipy import stats

from trainers.augmentation.batches import Batch, augmented, fill_value, stored_level
from trainers.augmentation.mixing import draw_mixing, draw_weights
from trainers.augmentation.named_sets import NAMED_SETS
from trainers.augmentation.settings import Augmentation, AugmentationError, Views
from trainers.augmentation.spectra import freq_mixstyle, level_jitter, mask, noise, time_roll
from trainers.front_end import BASELINE_2025, CP_JKU_2023, SHARIF, FrontEnd, log_mel

OFF = Augmentation(roll=0.0, mixstyle_probability=0.0)


def features_of(clips=6, mels=5, frames=20, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(2, 3, (clips, mels, frames)).astype(np.float32))


def batch_of(clips=6, scenes=3, **kwargs):
    rng = np.random.default_rng(9)
    targets = F.one_hot(torch.from_numpy(rng.integers(0, scenes, clips)), scenes).float()
    logits = torch.from_numpy(rng.normal(size=(clips, scenes)).astype(np.float16))
    return Batch(features_of(clips, **kwargs), targets, logits)


def heard(batch, settings, rng, front_end=BASELINE_2025):
    return augmented(batch, settings, front_end, rng).features


def test_each_clip_is_rolled_circularly_by_its_own_shift_within_the_share():
    batch = features_of(clips=200)
    rolled = time_roll(batch, 0.1, np.random.default_rng(3))
    shifts = []
    for before, after in zip(batch, rolled, strict=True):
        found = [shift for shift in range(-10, 10) if torch.equal(torch.roll(before, shift, dims=1), after)]
        assert len(found) == 1
        shifts += found
    assert set(shifts) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("share", [0.0, 0.04])
def test_a_share_below_one_frame_changes_nothing(share):
    batch = features_of()
    assert torch.equal(time_roll(batch, share, np.random.default_rng(0)), batch)


def test_mixstyle_equals_a_loop_over_clips_and_bands():
    batch = features_of()
    mixed = freq_mixstyle(batch, 0.3, np.random.default_rng(5)).numpy()
    rng = np.random.default_rng(5)
    weights = rng.beta(0.3, 0.3, size=6)
    others = rng.permutation(6)
    exact = batch.numpy().astype(np.float64)
    for clip, (weight, other) in enumerate(zip(weights, others, strict=True)):
        for band in range(5):
            own, borrowed = exact[clip, band], exact[other, band]
            own_spread, spread = (np.sqrt(x.var(ddof=1) + 1e-6) for x in (own, borrowed))
            expected = (own - own.mean()) / own_spread * (weight * own_spread + (1 - weight) * spread)
            expected += weight * own.mean() + (1 - weight) * borrowed.mean()
            np.testing.assert_allclose(mixed[clip, band], expected, rtol=1e-4, atol=1e-5)


def test_mixstyle_of_a_silent_band_stays_finite():
    batch = features_of()
    batch[0] = -11.5
    assert torch.isfinite(freq_mixstyle(batch, 0.3, np.random.default_rng(0))).all()


class Replayed:
    """A generator whose uniform numbers torchaudio is given too, through torch.rand."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.drawn = []

    def random(self, size):
        self.drawn.append(self.rng.random(size).astype(np.float32))
        return self.drawn[-1].astype(np.float64)


@pytest.mark.parametrize(("dim", "width"), [(1, 48), (2, 8), (1, 1), (1, 256), (2, 65)])
def test_masks_are_those_of_torchaudio_for_the_same_draws(monkeypatch, dim, width):
    batch = features_of(clips=100, mels=256, frames=65)
    draws = Replayed(dim)
    masked = mask(batch, dim, width, -7.0, draws)
    replay = iter(draws.drawn)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.from_numpy(next(replay))[:, None])
    expected = oracle.mask_along_axis_iid(batch[:, None], width, -7.0, dim + 1)[:, 0]
    assert torch.equal(masked, expected)


def test_mask_widths_and_starts_have_the_moments_of_their_formula():
    """E floor(48 u) = 23.5; the start is uniform below 256 - 48 u."""
    clips = 20_000
    hidden = mask(torch.zeros(clips, 256, 1), 1, 48, 1.0, np.random.default_rng(4))[:, :, 0].numpy()
    widths, first = hidden.sum(1), hidden.argmax(1)
    assert set(widths) == set(range(48))
    assert widths.mean() == pytest.approx(23.5, abs=5 * 13.85 / math.sqrt(clips))
    assert np.all(hidden[np.arange(clips), np.minimum(first + widths.astype(int) - 1, 255)][widths > 0] == 1)
    starts = first[widths > 0]
    assert starts.mean() == pytest.approx((256 - 24.5) / 2 - 0.5, abs=5 * 68 / math.sqrt(clips))
    assert starts.max() > 230


@pytest.mark.parametrize(
    ("front_end", "zero"),
    [(BASELINE_2025, 0.0), (CP_JKU_2023, 0.9), (SHARIF, 0.0), (FrontEnd(offset=1, scale=4), 0.25)],
)
def test_a_mask_writes_level_0_or_what_silence_has_after_the_front_end(front_end, zero):
    assert fill_value("zero", front_end) == pytest.approx(zero)
    silence = log_mel(torch.zeros(1, front_end.sample_rate), front_end)
    assert fill_value("silence", front_end) == pytest.approx(float(silence.mean()), rel=1e-5)


def test_a_mask_before_the_logarithm_is_one_of_silence_after_it():
    """Power 0 in some bands, then the logarithm: torchaudio's way round."""
    power = torch.rand(20, 40, 30)
    draws, again = np.random.default_rng(0), np.random.default_rng(0)
    late = mask(torch.log(power + 1e-5), 1, 20, fill_value("silence", BASELINE_2025), draws)
    torch.testing.assert_close(late, torch.log(mask(power, 1, 20, 0.0, again) + 1e-5))


def test_level_jitter_multiplies_levels_whatever_offset_and_scale_they_are_stored_with():
    clips = 4000
    decibels = features_of(clips, 2, 3) - 40
    zero = stored_level(0.0, FrontEnd(offset=4.5, scale=5))
    jittered = level_jitter((decibels + 4.5) / 5, 0.5, 0.3, zero, np.random.default_rng(1)) * 5 - 4.5
    factors = (jittered.double() / decibels.double()).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-4, atol=1e-4)
    found = factors.mean(1).numpy()
    changed = np.abs(found - 1) > 1e-5
    assert changed.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(clips))
    assert stats.kstest(found[changed], stats.uniform(0.7, 0.6).cdf).pvalue > 1e-3


def test_noise_is_gaussian_on_its_share_of_the_clips():
    clips = 2000
    batch = torch.zeros(clips, 10, 20)
    drawn = noise(batch, 0.5, 0.005, np.random.default_rng(2)).flatten(1)
    changed = drawn.ne(0).all(1)
    assert torch.equal(drawn[~changed], torch.zeros_like(drawn[~changed]))
    assert float(changed.float().mean()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(clips))
    sample = drawn[changed].flatten().double().numpy()[:20_000]
    assert stats.kstest(sample, stats.norm(0, 0.005).cdf).pvalue > 1e-3
    assert not batch.any()


def test_mixing_weights_have_the_moments_of_the_larger_half_of_a_beta():
    """max(l, 1 - l) of l ~ Beta(a, a): the density is twice that of the Beta on [0.5, 1]."""
    weights = draw_weights(40_000, 0.3, np.random.default_rng(0))
    half = stats.beta(0.3, 0.3)
    assert stats.kstest(weights, lambda x: 2 * half.cdf(x) - 1).pvalue > 1e-3
    some = draw_weights(40_000, 2.0, np.random.default_rng(0), probability=0.25)
    assert (some < 1).mean() == pytest.approx(0.25, abs=5 * 0.43 / 200)


def test_mixup_mixes_features_labels_and_teacher_logits_alike():
    batch = batch_of(clips=32, scenes=4)
    settings = replace(OFF, mixup_probability=1.0, mixup_alpha=0.3)
    mixed = augmented(batch, settings, BASELINE_2025, np.random.default_rng(11))
    rng = np.random.default_rng(11)
    rng.random(2)  # whether Freq-MixStyle, whether mixup
    mixing = draw_mixing(32, 0.3, rng)
    assert sorted(mixing.partner) == list(range(32))
    for row in range(32):
        weight, other = float(mixing.weight[row]), int(mixing.partner[row])
        for before, after in zip(batch, mixed, strict=True):
            expected = weight * before[row].double() + (1 - weight) * before[other].double()
            torch.testing.assert_close(after[row].double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(32))
    logits = torch.randn(32, 4)
    labels = batch.targets.argmax(1)
    own, other = (F.cross_entropy(logits, x, reduction="none") for x in (labels, labels[mixing.partner]))
    weight = torch.from_numpy(mixing.weight)
    torch.testing.assert_close(F.cross_entropy(logits, mixed.targets), (weight * own + (1 - weight) * other).mean())


def test_mixup_without_a_teacher():
    batch = batch_of()._replace(logits=None)
    settings = replace(OFF, mixup_probability=1.0)
    assert augmented(batch, settings, BASELINE_2025, np.random.default_rng(0)).logits is None


@pytest.mark.parametrize("name", ["mixstyle_probability", "mixup_probability"])
def test_mixstyle_and_mixup_change_the_asked_share_of_batches(name):
    rng, batch = np.random.default_rng(0), batch_of()
    settings = replace(OFF, **{name: 0.3})
    changed = sum(not torch.equal(heard(batch, settings, rng), batch.features) for _ in range(500))
    assert 120 <= changed <= 180


def test_switched_off_nothing_changes():
    batch = batch_of()
    seen = augmented(batch, OFF, BASELINE_2025, np.random.default_rng(0))
    assert all(torch.equal(before, after) for before, after in zip(batch, seen, strict=True))
    half = batch._replace(features=batch.features.half())
    assert heard(half, OFF, np.random.default_rng(0)).dtype == torch.float32


ALL = Augmentation(
    level_probability=0.5,
    noise_probability=0.5,
    frequency_mask=0.34,
    time_mask=0.2,
    mixstyle_probability=1.0,
    mixup_probability=1.0,
)


def test_the_steps_are_taken_in_the_documented_order():
    batch, rng = batch_of(clips=8, mels=12), np.random.default_rng(3)
    seen = heard(batch, ALL, np.random.default_rng(3), CP_JKU_2023)
    expected = time_roll(batch.features, 0.1, rng)
    expected = level_jitter(expected, 0.5, 0.3, 0.9, rng)
    expected = noise(expected, 0.5, 0.001, rng)  # 0.005 in levels, which are stored divided by 5
    silence = (math.log(1e-5) + 4.5) / 5
    expected = mask(mask(expected, 1, 4, silence, rng), 2, 4, silence, rng)
    rng.random()
    expected = freq_mixstyle(expected, 0.3, rng)
    rng.random()
    torch.testing.assert_close(seen, draw_mixing(8, 0.3, rng).of(expected))


def test_the_cached_clips_stay_as_they_are():
    batch = batch_of()
    batch = batch._replace(features=batch.features.half())
    before = [part.clone() for part in batch]
    seen = augmented(batch, ALL, SHARIF, np.random.default_rng(0))
    assert all(torch.equal(part, kept) for part, kept in zip(batch, before, strict=True))
    assert [part.dtype for part in seen] == [torch.float32] * 3
    assert [part.shape for part in seen] == [part.shape for part in batch]


def test_equal_seeds_give_equal_batches_and_leave_the_global_generators_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again, other = (heard(batch_of(), ALL, np.random.default_rng(seed), SHARIF) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_batch_on_a_gpu_stays_there_and_becomes_the_same():
    batch = batch_of(clips=16, mels=32, frames=30)
    on_gpu = Batch(*(part.cuda() for part in batch))
    here, there = (augmented(each, ALL, SHARIF, np.random.default_rng(5)) for each in (batch, on_gpu))
    for cpu, gpu in zip(here, there, strict=True):
        assert gpu.is_cuda
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-4, atol=1e-4)


def test_the_named_sets_are_those_of_the_systems():
    told = {
        name: (
            given.batches.mixstyle_probability,
            given.batches.mixstyle_alpha,
            int(given.batches.frequency_mask * 256),
            int(given.batches.time_mask * 65),
            given.batches.mask_fill,
            given.batches.mixup_probability > 0,
            given.batches.level_probability,
        )
        for name, given in NAMED_SETS.items()
    }
    assert told == {
        "baseline-2025": (0.4, 0.3, 48, 0, "silence", False, 0),
        "cp-jku-2023": (0.4, 0.3, 48, 0, "zero", False, 0),
        "dynacp": (0.8, 0.4, 48, 0, "zero", True, 0),
        "sharif-teacher": (0.4, 0.3, 48, 8, "zero", False, 0.5),
        "sharif-student": (0.6, 0.8, 48, 8, "zero", False, 0.5),
    }
    assert NAMED_SETS["cp-jku-2023"].views["f_max_range"] == 1000


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Augmentation, "level_probability", 1.1),
        (Augmentation, "level_spread", -0.1),
        (Augmentation, "noise_probability", math.nan),
        (Augmentation, "noise", math.inf),
        (Augmentation, "noise", -1.0),
        (Augmentation, "frequency_mask", -0.1),
        (Augmentation, "time_mask", 8),
        (Augmentation, "mask_fill", "black"),
        (Augmentation, "mixup_probability", 2.0),
        (Augmentation, "mixup_alpha", 0.0),
        (Views, "count", 0),
        (Views, "roll", 1.5),
        (Views, "gain", -1),
        (Views, "f_max_range", 0),
        (Views, "mixup_alpha", math.nan),
    ],
)
def test_a_setting_outside_its_domain_is_refused_by_name(kind, name, value):
    with pytest.raises(AugmentationError, match=name):
        kind(**{name: value})
