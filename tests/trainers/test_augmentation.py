import numpy as np
import pytest
import torch

from trainers.augmentation import augmented, freq_mixstyle, time_roll
from trainers.recipe import Recipe


def batch_of(clips=6, mels=5, frames=20, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(2, 3, (clips, mels, frames)).astype(np.float32))


def test_each_clip_is_rolled_circularly_by_its_own_shift_within_the_share():
    batch = batch_of(clips=200)
    rolled = time_roll(batch, 0.1, np.random.default_rng(3))
    shifts = []
    for before, after in zip(batch, rolled, strict=True):
        found = [shift for shift in range(-10, 10) if torch.equal(torch.roll(before, shift, dims=1), after)]
        assert len(found) == 1
        shifts += found
    assert set(shifts) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("share", [0.0, 0.04])
def test_a_share_below_one_frame_changes_nothing(share):
    batch = batch_of()
    assert torch.equal(time_roll(batch, share, np.random.default_rng(0)), batch)


def test_mixstyle_equals_a_loop_over_clips_and_bands():
    batch = batch_of()
    mixed = freq_mixstyle(batch, 0.3, np.random.default_rng(5)).numpy()
    rng = np.random.default_rng(5)
    weights = rng.beta(0.3, 0.3, size=(6, 1, 1))[:, 0, 0]
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
    batch = batch_of()
    batch[0] = -11.5
    assert torch.isfinite(freq_mixstyle(batch, 0.3, np.random.default_rng(0))).all()


def test_mixstyle_changes_the_asked_share_of_batches():
    recipe = Recipe(epochs=1, roll=0.0, mixstyle_probability=0.3)
    rng = np.random.default_rng(0)
    batch = batch_of()
    changed = sum(not torch.equal(augmented(batch, recipe, rng), batch) for _ in range(500))
    assert 120 <= changed <= 180


def test_augmentation_leaves_the_cached_features_as_they_are():
    batch = batch_of().half()
    before = batch.clone()
    seen = augmented(batch, Recipe(epochs=1, mixstyle_probability=1.0), np.random.default_rng(0))
    assert torch.equal(batch, before)
    assert seen.dtype == torch.float32
    assert seen.shape == batch.shape


def test_equal_seeds_give_equal_batches_and_leave_the_global_generators_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    recipe = Recipe(epochs=1, mixstyle_probability=1.0)
    first, again, other = (augmented(batch_of(), recipe, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)
