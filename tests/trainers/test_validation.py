"""Validation clips are cut from the training list by whole locations, and the test list stays out of it."""

from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.validation import ValidationError, validation_mask


def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Clips from (scene, location, split), recorded with one device."""
    return pd.DataFrame(rows, columns=["scene", "location", "split"]).assign(device="a")


@st.composite
def data_sets(draw: st.DrawFn) -> pd.DataFrame:
    """Two to four scenes of two to eight locations with one to twenty clips each, and test rows among them."""
    rows = []
    for scene in range(draw(st.integers(2, 4))):
        sizes = draw(st.lists(st.integers(1, 20), min_size=2, max_size=8))
        for place, size in enumerate(sizes):
            rows += [(f"scene{scene}", f"city-{scene}{place}", "train")] * size
        rows += [(f"scene{scene}", f"city-{scene}99", "test")] * draw(st.integers(0, 5))
    order = draw(st.permutations(range(len(rows)))) if len(rows) < 40 else range(len(rows))
    return table([rows[row] for row in order])


@settings(max_examples=150, deadline=None)
@given(clips=data_sets(), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1))
def test_any_cut_keeps_locations_whole_scenes_on_both_sides_and_the_share_near(
    clips: pd.DataFrame, share: float, seed: int
) -> None:
    mask = validation_mask(clips, share, seed)
    assert mask.dtype == bool
    assert mask.flags.writeable
    assert mask.shape == (len(clips),)
    train = (clips["split"] == "train").to_numpy()
    assert not (mask & ~train).any()
    held, kept = clips[mask], clips[train & ~mask]
    assert not set(held["location"]) & set(kept["location"])
    assert set(held["scene"]) == set(kept["scene"]) == set(clips["scene"])
    for scene, rows in clips[train].groupby("scene"):
        largest = rows.groupby("location").size().max()
        sides = [part.loc[part["scene"] == scene, "location"].nunique() for part in (held, kept)]
        slack = largest / (1 if 1 in sides else 2)
        assert abs((held["scene"] == scene).sum() - share * len(rows)) <= slack + 1e-9


@settings(max_examples=40, deadline=None)
@given(clips=data_sets(), seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_rows(clips: pd.DataFrame, seed: int, shuffle: Random) -> None:
    order = list(range(len(clips)))
    shuffle.shuffle(order)
    again = clips.iloc[order].reset_index(drop=True)
    np.testing.assert_array_equal(validation_mask(again, 0.3, seed), validation_mask(clips, 0.3, seed)[order])


def test_another_seed_holds_other_locations() -> None:
    clips = table([(f"s{n % 3}", f"city-{n}", "train") for n in range(60)])
    chosen = {tuple(validation_mask(clips, 0.3, seed)) for seed in range(20)}
    assert len(chosen) == 20


def misses(clips: pd.DataFrame, mask: np.ndarray, share: float) -> float:
    """By how much the device with the most uneven cut misses the share."""
    return max(abs(float(mask[rows.index].mean()) - share) for _, rows in clips.groupby("device"))


def test_devices_are_divided_about_as_evenly_as_scenes() -> None:
    # As in TAU: most clips from device a; the others heard some places often and most places never.
    rng = np.random.default_rng(0)
    rows = []
    for device, recordings in (("a", 900), ("b", 60), ("c", 60), ("s1", 60)):
        for place in rng.integers(120, size=recordings):
            rows += [(f"scene{place % 6}", f"city-{place}", device)] * 10
    clips = pd.DataFrame(rows, columns=["scene", "location", "device"]).assign(split="train")
    masks = [validation_mask(clips, 0.2, seed) for seed in range(25)]
    without = [validation_mask(clips.assign(device="a"), 0.2, seed) for seed in range(25)]
    missed, before = ([misses(clips, mask, 0.2) for mask in each] for each in (masks, without))
    assert np.mean(missed) < 0.6 * np.mean(before)
    assert max(missed) < 0.1
    assert len({mask.tobytes() for mask in masks}) == 25


def test_every_location_has_its_turn() -> None:
    clips = table(
        [("bus", f"city-{n}", "train") for n in range(10)] + [("tram", f"town-{n}", "train") for n in range(10)]
    )
    counts = sum(validation_mask(clips, 0.3, seed).astype(int) for seed in range(300))
    assert np.all(counts > 50)
    assert np.all(counts < 130)


def test_a_location_with_several_scenes_stays_whole_and_a_cut_is_found() -> None:
    rows = [("bus", "a"), ("bus", "b"), ("tram", "b"), ("tram", "c"), ("park", "c"), ("park", "d"), ("bus", "d")]
    clips = table([(scene, location, "train") for scene, location in rows for _ in range(3)])
    for seed in range(20):
        mask = validation_mask(clips, 0.25, seed)
        assert not set(clips[mask]["location"]) & set(clips[~mask]["location"])
        assert set(clips[mask]["scene"]) == set(clips[~mask]["scene"]) == {"bus", "tram", "park"}


def test_scenes_chained_by_shared_locations_are_cut_where_that_is_possible() -> None:
    # Six places in a ring, each two neighbours a scene: only every second place will do.
    ring = ((0, 1), (2, 3), (4, 5), (1, 2), (3, 4), (5, 0))
    rows = [(f"scene{n}", f"place{place}", "train") for n, places in enumerate(ring) for place in places]
    for seed in range(20):
        mask = validation_mask(table(rows), 0.5, seed)
        assert set(table(rows)[mask]["location"]) in ({"place0", "place2", "place4"}, {"place1", "place3", "place5"})


def test_a_test_clip_is_never_taken_wherever_it_was_recorded() -> None:
    clips = table([("bus", location, split) for location in "abcdef" for split in ("train", "test")])
    for seed in range(10):
        assert set(clips[validation_mask(clips, 0.5, seed)]["split"]) == {"train"}


def test_a_scene_with_one_training_location_is_an_error_that_names_it() -> None:
    clips = table([("bus", "a", "train"), ("bus", "b", "train"), ("tram", "c", "train"), ("tram", "d", "test")])
    with pytest.raises(ValidationError, match="tram has training clips from one location only"):
        validation_mask(clips, 0.5, 0)


def test_scenes_that_no_cut_can_serve_are_an_error() -> None:
    # Three places, every two of them a scene: two must go to one side.
    pairs = {"bus": "ab", "tram": "bc", "park": "ac"}
    clips = table([(scene, location, "train") for scene, locations in pairs.items() for location in locations])
    with pytest.raises(ValidationError, match="shares its locations"):
        validation_mask(clips, 0.5, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    clips = table([("bus", "a", "train"), ("bus", "b", "train")])
    with pytest.raises(ValidationError, match="share"):
        validation_mask(clips, share, 0)


def test_without_training_clips_there_is_nothing_to_cut() -> None:
    with pytest.raises(ValidationError, match="no training clips"):
        validation_mask(table([("bus", "a", "test")]), 0.5, 0)
