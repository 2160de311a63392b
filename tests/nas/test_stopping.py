"""Who is stopped early: only those that enough students no dearer lead, so never the cheapest, nor one of the front."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.stopping import Lead, Stopping, usual_rungs

GRID = 64
"""Accuracies and margins are multiples of a 64th, which floating point adds and compares exactly."""


class Pupil(NamedTuple):
    """A student with its accuracy after each epoch, in 64ths."""

    weight_bytes: int
    macs: int
    accuracies: list[int]

    @property
    def costs(self) -> dict[str, int]:
        return {"weight_bytes": self.weight_bytes, "macs": self.macs}

    @property
    def curve(self) -> list[dict[str, float]]:
        return [{"epoch": epoch, "accuracy": share / GRID} for epoch, share in enumerate(self.accuracies, 1)]


def room(
    pupils: list[Pupil], rungs: tuple[int, ...] = (1, 3, 9), leaders: int = 1, margin: float = 1 / GRID
) -> Stopping:
    """The rule, knowing these students by their place."""
    stopping = Stopping(rungs, leaders=leaders, margin=margin)
    for number, pupil in enumerate(pupils):
        stopping.remember(number, pupil.costs, pupil.curve)
    return stopping


pupils = st.lists(
    st.builds(
        Pupil,
        st.integers(1, 4),
        st.integers(1, 4),
        st.lists(st.integers(0, 12), max_size=4),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, ()), (2, (1,)), (6, (1, 2)), (10, (1, 3)), (20, (1, 2, 7)), (27, (1, 3, 9)), (60, (1, 2, 7, 20))],
)
def test_the_usual_rungs_are_thirds_of_thirds_of_the_training(epochs: int, rungs: tuple[int, ...]) -> None:
    assert usual_rungs(epochs) == rungs


@given(st.integers(1, 2000))
def test_the_usual_rungs_are_before_the_end_and_all_different(epochs: int) -> None:
    rungs = usual_rungs(epochs)
    assert list(rungs) == sorted(set(rungs))
    assert all(1 <= rung < epochs for rung in rungs)


@given(pupils, st.sets(st.integers(1, 4)), st.integers(1, 3), st.integers(0, 3))
def test_who_is_stopped_is_what_counting_by_hand_says(
    room_of: list[Pupil], rungs: set[int], leaders: int, margin: int
) -> None:
    stopping = room(room_of, tuple(rungs), leaders, margin / GRID)
    for number, mine in enumerate(room_of):
        passed = [rung for rung in rungs if rung <= len(mine.accuracies)]
        ahead = []
        if passed:
            at = max(passed)
            later = len([rung for rung in rungs if rung > at])
            needed = leaders + 1 if later else leaders
            for other, its in enumerate(room_of):
                dearer = its.weight_bytes > mine.weight_bytes or its.macs > mine.macs
                if len(its.accuracies) >= at and not dearer:
                    gap = its.accuracies[at - 1] - mine.accuracies[at - 1]
                    if gap > margin * 2.5**later:
                        ahead.append((-gap, other))
        lead = stopping.judge(number)
        if passed and len(ahead) >= needed:
            named = sorted(other for _, other in sorted(ahead)[:needed])
            assert lead == Lead(at, tuple(named), margin * 2.5**later / GRID)
        else:
            assert lead is None


@given(pupils, st.integers(0, 3))
def test_the_cheapest_and_the_front_of_a_rung_go_on_however_strict_the_rule(room_of: list[Pupil], margin: int) -> None:
    """One rung and one leader stop the most."""
    stopping = room(room_of, (2,), 1, margin / GRID)
    there = [pupil for pupil in room_of if len(pupil.accuracies) >= 2]
    for number, mine in enumerate(room_of):
        cheaper = [p for p in there if p is not mine and p.weight_bytes <= mine.weight_bytes and p.macs <= mine.macs]
        if all(len(mine.accuracies) >= 2 and p.accuracies[1] <= mine.accuracies[1] for p in cheaper):
            assert stopping.judge(number) is None


@given(pupils, st.randoms())
def test_refilled_from_the_curves_in_any_order_it_judges_as_it_did_live(room_of: list[Pupil], chance) -> None:
    live = Stopping((1, 3), leaders=1, margin=0)
    told = [(number, epochs) for number, pupil in enumerate(room_of) for epochs in range(1, len(pupil.accuracies) + 1)]
    chance.shuffle(told)
    for number, epochs in sorted(told, key=lambda each: each[1]):
        live.remember(number, room_of[number].costs, room_of[number].curve[:epochs])
        live.judge(number)
    refilled = room(room_of, (1, 3), 1, 0)
    assert [live.judge(n) for n in range(len(room_of))] == [refilled.judge(n) for n in range(len(room_of))]


def test_a_small_student_is_not_stopped_by_any_number_of_larger_ones() -> None:
    small = Pupil(8, 8, [10] * 9)
    assert room([small, *[Pupil(9, 8, [60] * 9)] * 5, *[Pupil(8, 9, [60] * 9)] * 5]).judge(0) is None


@pytest.mark.parametrize(("epochs", "needed", "margin"), [(9, 1, 4), (3, 2, 10), (1, 2, 25)])
def test_before_the_last_rung_one_more_must_lead_and_by_more(epochs: int, needed: int, margin: int) -> None:
    mine = Pupil(1, 1, [10] * epochs)
    for count, ahead in ((needed, margin + 1), (needed - 1, margin + 1), (needed, margin)):
        lead = room([mine, *[Pupil(1, 1, [10 + ahead] * 9)] * count], margin=4 / GRID).judge(0)
        assert (lead is not None) == (count == needed and ahead > margin)


def test_a_lead_of_just_the_margin_is_none() -> None:
    mine = Pupil(1, 1, [10])
    assert room([mine, Pupil(1, 1, [11])], (1,)).judge(0) is None
    assert room([mine, Pupil(1, 1, [12])], (1,)).judge(0) is not None


def test_between_rungs_a_student_is_judged_at_the_last_one_it_passed() -> None:
    """What was between rungs when its driver died was not judged there by all that is known now."""
    led_at_three = Pupil(1, 1, [10, 10, 10, 63])
    assert room([led_at_three, *[Pupil(1, 1, [20] * 3)] * 2]).judge(0) == Lead(3, (1, 2), 2.5 / GRID)


def test_a_student_that_was_taught_again_counts_once_with_its_new_curve() -> None:
    stopping = room([Pupil(1, 1, [10] * 3), Pupil(1, 1, [20] * 3)], (1, 3, 9))
    stopping.remember(1, Pupil(1, 1, []).costs, Pupil(1, 1, [30] * 3).curve)
    assert stopping.judge(0) is None
    stopping.remember(2, Pupil(1, 1, []).costs, Pupil(1, 1, [20] * 3).curve)
    assert stopping.judge(0) == Lead(3, (1, 2), 2.5 / GRID)
    stopping.remember(1, Pupil(1, 1, []).costs, Pupil(1, 1, [30]).curve)  # it starts over: no longer at epoch 3
    assert stopping.judge(0) is None


def test_a_student_that_failed_leads_nobody() -> None:
    stopping = room([Pupil(1, 1, [10]), Pupil(1, 1, [60])], (1,))
    assert stopping.judge(0) is not None
    stopping.forget(1)
    assert stopping.judge(0) is None


def test_without_rungs_nobody_is_stopped() -> None:
    stopping = Stopping()
    for number, share in enumerate((10, 60)):
        stopping.remember(number, Pupil(1, 1, []).costs, Pupil(1, 1, [share] * 3).curve)
    assert stopping.judge(0) is None


@pytest.mark.parametrize(
    ("leaders", "words"),
    [((4,), "trial 4"), ((4, 7), "trials 4 and 7"), ((4, 7, 11), "trials 4, 7 and 11")],
)
def test_a_lead_is_told_in_words(leaders: tuple[int, ...], words: str) -> None:
    assert str(Lead(3, leaders, 0.01)) == f"at epoch 3 {words}, no dearer, led by more than 0.01"
