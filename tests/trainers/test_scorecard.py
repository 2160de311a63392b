"""Every number of a scorecard against a computation that goes through the clips one by one."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from trainers.intervals import LocationDraws
from trainers.scorecard import JudgedClips, confusion, nested, over_systems, scorecard

SCENES = ("airport", "bus", "metro", "park")
DEVICES = ("a", "b", "s1", "s2", "s10", "s4")
TRAINED = {"a", "b", "s1", "s10"}
GROUPS = {"real": ("a", "b"), "seen": ("s1", "s10"), "unseen": ("s2", "s4")}
NO_CLIPS = "park"


def judged(count: int = 300, seed: int = 0) -> JudgedClips:
    rng = np.random.default_rng(seed)
    homes = rng.integers(0, 9, count)
    return JudgedClips(
        labels=(homes % 3).astype(np.int64),  # no clip of the last scene
        devices=rng.choice(DEVICES, count),
        locations=np.array([f"city-{home}" for home in homes]),
        scenes=SCENES,
        trained_devices=TRAINED,
    )


def said(clips: JudgedClips, seed: int, strength: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (len(clips.labels), len(SCENES)))
    return (noise + strength * np.eye(len(SCENES))[clips.labels]).astype(np.float32)


DIFFERENCE = {"difference": ("device_specific", "general")}


def macro(rows: Sequence[int], labels: Sequence[int], heard: Sequence[int]) -> float:
    shares = []
    for scene in range(len(SCENES)):
        mine = [heard[row] == scene for row in rows if labels[row] == scene]
        if mine:
            shares.append(sum(mine) / len(mine))
    return sum(shares) / len(shares) if shares else float("nan")


def loss(rows: Sequence[int], labels: Sequence[int], logits: np.ndarray) -> float:
    terms = []
    for row in rows:
        powers = np.exp(logits[row].astype(float))
        terms.append(-float(np.log(powers[labels[row]] / powers.sum())))
    return sum(terms) / len(terms)


def measures(clips: JudgedClips, logits: np.ndarray) -> dict[tuple[str, str, str], Callable[[list[int]], float]]:
    """Each cell's definition, for any list of clips, in which a clip may be more than once."""
    labels, heard = clips.labels.tolist(), logits.argmax(axis=1).tolist()

    def of(devices: Sequence[str]) -> Callable[[list[int]], float]:
        return lambda rows: macro([row for row in rows if clips.devices[row] in devices], labels, heard)

    def recall(scene: int) -> Callable[[list[int]], float]:
        return lambda rows: macro([row for row in rows if labels[row] == scene], labels, heard)

    return {
        ("overall", "all", "accuracy"): of(DEVICES),
        ("overall", "all", "log_loss"): lambda rows: loss(rows, labels, logits),
        **{("groups", group, "accuracy"): of(members) for group, members in GROUPS.items()},
        **{("devices", device, "accuracy"): of([device]) for device in ("a", "b", "s1", "s10", "s2", "s4")},
        **{("scenes", SCENES[scene], "accuracy"): recall(scene) for scene in range(3)},
    }


def drawn_again(clips: JudgedClips, draws: LocationDraws) -> list[list[int]]:
    names = sorted(set(clips.locations.tolist()))
    return [
        [
            row
            for name, count in zip(names, times, strict=True)
            for _ in range(int(count))
            for row in np.flatnonzero(clips.locations == name).tolist()
        ]
        for times in draws.times
    ]


def cells(card: pd.DataFrame, students: str) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    chosen = card[(card["students"] == students) & (card["table"] != "confusion")]
    return {(row[1], row[2], row[3]): row[4:] for row in chosen.itertuples(index=False, name=None)}


def test_every_cell_equals_its_definition_and_every_interval_that_of_clips_drawn_again() -> None:
    clips = judged()
    general, specific = said(clips, 1, 0.7), said(clips, 2, 1.1)
    draws = LocationDraws.of(clips.locations, seed=4, draws=40)
    card = scorecard({"general": general, "device_specific": specific}, DIFFERENCE, clips, draws)
    assert list(dict.fromkeys(card["students"])) == ["general", "device_specific", "difference"]
    again = drawn_again(clips, draws)
    everything = list(range(len(clips.labels)))
    first, second = measures(clips, general), measures(clips, specific)
    expected = {
        "general": {cell: (each(everything), [each(rows) for rows in again]) for cell, each in first.items()},
        "device_specific": {cell: (each(everything), [each(rows) for rows in again]) for cell, each in second.items()},
    }
    expected["difference"] = {
        cell: (
            value - expected["general"][cell][0],
            [one - two for one, two in zip(drawn, expected["general"][cell][1], strict=True)],
        )
        for cell, (value, drawn) in expected["device_specific"].items()
    }
    for students, each in expected.items():
        found = cells(card, students)
        assert list(found) == list(each)  # and in the order in which people read
        for cell, (value, drawn) in each.items():
            bounds = np.nanpercentile(drawn, [2.5, 97.5])
            np.testing.assert_allclose(found[cell], [value, *bounds], atol=1e-6, err_msg=f"{students} {cell}")
            assert found[cell][1] < found[cell][2]


def test_the_confusion_counts_every_clip() -> None:
    clips = judged()
    general, specific = said(clips, 1, 0.7), said(clips, 2, 1.1)
    draws = LocationDraws.of(clips.locations, seed=0, draws=5)
    card = scorecard({"general": general, "device_specific": specific}, DIFFERENCE, clips, draws)
    for students, logits in (("general", general), ("device_specific", specific)):
        expected = [[0] * 4 for _ in range(4)]
        for label, heard in zip(clips.labels, logits.argmax(axis=1), strict=True):
            expected[label][heard] += 1
        assert confusion(card, students) == {"value": expected, "low": [[None] * 4] * 4, "high": [[None] * 4] * 4}
        assert expected[3] == [0] * 4
    assert not ((card["table"] == "confusion") & (card["students"] == "difference")).any()


def test_without_device_students_there_is_nothing_to_compare() -> None:
    clips = judged()
    card = scorecard({"general": said(clips, 1, 1.0)}, {}, clips, LocationDraws.of(clips.locations, seed=0, draws=5))
    assert set(card["students"]) == {"general"}
    assert nested(card, "device_specific") == {}


def test_one_location_promises_no_interval() -> None:
    clips = judged()
    alone = JudgedClips(
        clips.labels, np.where(clips.locations == "city-4", "s4", "a"), clips.locations, SCENES, TRAINED
    )
    draws = LocationDraws.of(clips.locations, seed=0, draws=30)
    found = nested(scorecard({"general": said(clips, 1, 1.0)}, {}, alone, draws), "general")
    assert found["devices"]["s4"]["accuracy"]["low"] is None
    assert found["groups"]["unseen"]["accuracy"]["high"] is None
    assert found["devices"]["a"]["accuracy"]["low"] is not None
    assert NO_CLIPS not in found["scenes"]
    nowhere = JudgedClips(clips.labels, clips.devices, np.full(len(clips.labels), "x"), SCENES, TRAINED)
    whole = nested(
        scorecard({"general": said(clips, 1, 1.0)}, {}, nowhere, LocationDraws.of(nowhere.locations, seed=0, draws=9)),
        "general",
    )
    assert {cell["low"] for row in whole.values() for each in row.values() for cell in each.values()} == {None}


def test_devices_stand_by_group_and_number() -> None:
    assert judged().device_groups() == {
        "a": "real", "b": "real", "s1": "seen", "s10": "seen", "s2": "unseen", "s4": "unseen"
    }  # fmt: skip
    assert list(judged().device_groups()) == ["a", "b", "s1", "s10", "s2", "s4"]
    numbered = JudgedClips(
        np.zeros(4, dtype=np.int64),
        np.array(["s10", "s9", "²", "s"]),
        np.array(["x"] * 4),
        SCENES,
        {"s10", "s9", "²", "s"},
    )
    assert list(numbered.device_groups()) == ["s", "s9", "s10", "²"]


def test_several_systems_are_told_by_their_mean_and_the_spread_between_them() -> None:
    clips = judged()
    draws = LocationDraws.of(clips.locations, seed=0, draws=10)
    strong = said(clips, 9, 2.0)
    cards = [
        scorecard({"general": said(clips, seed, 0.5 + seed), "device_specific": strong}, DIFFERENCE, clips, draws)
        for seed in (1, 2, 3)
    ]
    together = over_systems(cards, DIFFERENCE)
    assert len(together) == len(cards[0])
    for row, (students, table, truth, column, value, low, high) in enumerate(
        together.itertuples(index=False, name=None)
    ):
        values = [float(card["value"].iloc[row]) for card in cards]
        mean = sum(values) / 3
        half = 4.30265273 * (sum((each - mean) ** 2 for each in values) / 2 / 3) ** 0.5
        bounds = [mean - half, mean + half]
        if students != "difference":
            most = {"accuracy": 1.0, "log_loss": float("inf")}.get(column)
            if table == "confusion":
                most = float((clips.labels == SCENES.index(truth)).sum())
            bounds = [max(bounds[0], 0.0), min(bounds[1], most)]
        assert [value, low, high] == pytest.approx([mean, *bounds], abs=1e-6, nan_ok=True)
    assert (together["high"] == 1).any()
    counts = confusion(together, "general")
    assert 0 < counts["low"][0][0] < counts["value"][0][0] < counts["high"][0][0]
    assert 0.0 in counts["low"][0]
    assert counts["high"][3] == [0.0] * 4
    assert together.loc[together["students"] == "difference", "low"].min() < 0
    with pytest.raises(ValueError, match="different tables"):
        over_systems([cards[0], scorecard({"general": said(clips, 1, 1.0)}, {}, clips, draws)], DIFFERENCE)
