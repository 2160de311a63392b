"""Who is taught further: a share of those at a rung, and always who is expected to be worth most beside the others."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from nas.halving import Halving, thirds, usual_rungs
from studies.hypervolume import Scale, hypervolume

SCALE = Scale(chance=0.0, weight_bytes=2**16, macs=2**24)


class Pupil(NamedTuple):
    """A student with its accuracy after each epoch, in hundredths."""

    weight_bytes: int
    macs: int
    accuracies: list[int]

    @property
    def costs(self) -> dict[str, int]:
        return {"weight_bytes": self.weight_bytes, "macs": self.macs}

    def curve(self, epochs: int | None = None) -> list[dict[str, float]]:
        return [{"epoch": epoch, "accuracy": a / 100} for epoch, a in enumerate(self.accuracies[:epochs], 1)]


def pupil(bits: int, mac_bits: int, *accuracies: int) -> Pupil:
    return Pupil(2**bits, 2**mac_bits, list(accuracies))


pupils = st.builds(
    pupil, st.integers(10, 16), st.integers(18, 24), st.integers(1, 99), st.integers(1, 99), st.integers(1, 99)
)
rooms = st.lists(pupils, max_size=12)


def waiting(room: list[Pupil], epoch: int = 1, rungs: Mapping[int, int] = MappingProxyType({1: 2, 2: 2})) -> Halving:
    """All of them, by their places, waiting at the rung of that epoch."""
    halving = Halving(rungs, SCALE)
    for number, each in enumerate(room):
        halving.remember(number, each.costs, each.curve(epoch))
        halving.pause(number)
    return halving


def order_of(halving: Halving, *, last: bool = False) -> list[int]:
    """Who goes on, until nobody may."""
    order = []
    while (number := halving.choice(last=last)) is not None:
        halving.go_on(number)
        order.append(number)
    return order


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, ()), (2, (1,)), (6, (1, 2)), (10, (1, 3)), (20, (1, 2, 7)), (27, (1, 3, 9)), (60, (1, 2, 7, 20))],
)
def test_thirds_of_thirds_of_a_training(epochs: int, rungs: tuple[int, ...]) -> None:
    assert thirds(epochs) == rungs


@given(st.integers(1, 2000))
def test_thirds_are_before_the_end_and_all_different(epochs: int) -> None:
    rungs = thirds(epochs)
    assert list(rungs) == sorted(set(rungs))
    assert all(1 <= rung < epochs for rung in rungs)


@pytest.mark.parametrize(
    ("epochs", "blind", "rungs"),
    [
        (1, True, {}),
        (2, True, {1: 3}),
        (27, True, {1: 3, 3: 2, 9: 2}),
        (60, True, {1: 3, 2: 2, 7: 2, 20: 2}),
        (2, False, {}),
        (9, False, {3: 2}),
        (20, False, {2: 2, 7: 2}),
        (27, False, {3: 2, 9: 2}),
        (200, False, {22: 2, 67: 2}),
    ],
)
def test_students_pause_after_their_first_epoch_only_where_proposals_are_blind(
    epochs: int, blind: bool, rungs: dict[int, int]
) -> None:
    assert usual_rungs(epochs, blind=blind) == rungs


@pytest.mark.parametrize(("epoch", "goes_on"), [(1, 3), (2, 2)])
def test_every_rung_has_its_own_share(epoch: int, goes_on: int) -> None:
    assert len(order_of(waiting([pupil(12, 20, 50, 50)] * 6, epoch, rungs={2: 3, 1: 2}))) == goes_on


@given(rooms, st.integers(2, 4))
def test_one_in_so_many_goes_on_and_at_the_end_of_a_search_at_least_one(room: list[Pupil], reduction: int) -> None:
    assert len(order_of(waiting(room, rungs={1: reduction}))) == len(room) // reduction
    assert len(order_of(waiting(room, rungs={1: reduction}), last=True)) == -(-len(room) // reduction)


@settings(max_examples=20, deadline=None)
@given(st.lists(pupils, min_size=2, max_size=7))
def test_who_goes_on_is_who_is_expected_to_add_most_by_numeric_integration(room: list[Pupil]) -> None:
    """The growth of hypervolume and of best accuracy, at 101 quantiles of each candidate's accuracy."""
    halving = waiting(room)
    accuracy = np.array([each.accuracies[0] for each in room]) / 100
    saved = SCALE.saved(np.array([each.weight_bytes for each in room]), np.array([each.macs for each in room]))
    sd = max(0.5 * accuracy.std(), 1e-3)
    quantiles = norm.ppf((np.arange(101) + 0.5) / 101)
    ahead: list[int] = []

    def gains(numbers: list[int]) -> np.ndarray:
        return np.column_stack([accuracy[numbers], saved[numbers]]).reshape(-1, 3)

    def adds(number: int) -> float:
        front = gains(ahead)
        best = front[:, 0].max(initial=0)
        drawn = np.clip(accuracy[number] + sd * quantiles, 0, 1)
        volumes = [hypervolume(np.vstack([front, [z, *saved[number]]])) for z in drawn]
        return float(np.mean(volumes) - hypervolume(front) + np.maximum(drawn - best, 0).mean())

    for number in order_of(halving):
        others = [other for other in range(len(room)) if other not in ahead]
        assert adds(number) >= max(map(adds, others)) - 2e-3
        ahead.append(number)


@given(rooms)
def test_nobody_goes_on_before_one_that_is_better_in_everything(room: list[Pupil]) -> None:
    order = order_of(waiting(room))
    for place, number in enumerate(order):
        mine = room[number]
        for other in set(range(len(room))) - set(order[:place]) - {number}:
            its = room[other]
            beaten = (
                its.accuracies[0] > mine.accuracies[0] and its.weight_bytes < mine.weight_bytes and its.macs < mine.macs
            )
            assert not beaten


def test_a_small_student_goes_on_before_a_second_large_one_that_is_more_accurate() -> None:
    room = [pupil(16, 24, 80), pupil(16, 24, 79), pupil(11, 19, 60), pupil(16, 23, 78)]
    assert order_of(waiting(room)) == [2, 0]


def test_the_most_accurate_student_goes_on_though_it_is_at_the_limits() -> None:
    """It adds nothing to the hypervolume."""
    small = [pupil(12, 20, 50 - place) for place in range(6)]
    order = order_of(waiting([*small, pupil(16, 24, 90)]))
    assert 6 in order


def test_an_accuracy_at_a_rung_is_the_best_one_up_to_there() -> None:
    room = [pupil(12, 20, 70, 10), pupil(12, 20, 20, 60), pupil(12, 20, 65, 65), pupil(12, 20, 1, 1)]
    assert order_of(waiting(room, epoch=2)) == [0, 2]


def test_the_furthest_rung_comes_first() -> None:
    halving = waiting([pupil(12, 20, accuracy) for accuracy in (90, 80, 70, 60)])  # of these one may go on
    for number, each in enumerate([pupil(12, 20, 10, 10), pupil(12, 20, 5, 5)], 10):
        halving.remember(number, each.costs, each.curve())
        halving.pause(number)
    assert order_of(halving)[0] == 10


def test_those_that_passed_a_rung_count_there_for_the_share() -> None:
    halving = waiting([pupil(12, 20, 50)])
    halving.remember(7, pupil(12, 20, 90, 90).costs, pupil(12, 20, 90, 90).curve())  # of an earlier driver
    assert halving.choice() is None
    for number in (8, 9):
        halving.remember(number, pupil(12, 20, 1).costs, pupil(12, 20, 1).curve())
        halving.pause(number)
    assert order_of(halving) == [0]


def test_a_student_that_is_not_ranked_is_a_measure_for_the_others_and_takes_nobodys_place() -> None:
    room = [pupil(13, 21, 70), pupil(13, 20, 40)]
    assert order_of(waiting(room)) == [0]
    halving = waiting(room)
    halving.remember(9, pupil(13, 21, 80).costs, pupil(13, 21, 80, 81).curve(), ranked=False)
    assert order_of(halving) == [1]


def test_a_student_that_is_forgotten_is_no_measure() -> None:
    halving = waiting([pupil(13, 21, 70), pupil(13, 20, 40)])
    halving.remember(9, pupil(13, 21, 80).costs, pupil(13, 21, 80, 81).curve(), ranked=False)
    halving.forget(9)
    assert order_of(halving) == [0]


def test_a_student_that_is_forgotten_never_goes_on() -> None:
    halving = waiting([pupil(13, 21, 70), pupil(13, 20, 40), pupil(12, 20, 30)])
    halving.forget(0)
    assert order_of(halving, last=True) == [1]


@given(rooms, st.data())
def test_rungs_filled_from_the_records_choose_as_those_that_saw_it_happen(
    room: list[Pupil], data: st.DataObject
) -> None:
    """Some went on from epoch 1 and have come to 2 or 3; the next driver knows curves, and who waits."""
    first = waiting(room)
    ahead = order_of(first)
    come = {number: data.draw(st.integers(2, 3)) for number in ahead}
    for number, epoch in come.items():
        first.remember(number, room[number].costs, room[number].curve(epoch))
        if epoch == 2:
            first.pause(number)
    second = Halving({1: 2, 2: 2}, SCALE)
    for number, each in reversed(list(enumerate(room))):
        epoch = come.get(number, 1)
        second.remember(number, each.costs, each.curve(epoch))
        if epoch < 3:
            second.pause(number)
    assert order_of(first) == order_of(second)


def test_why_a_student_stays_is_told_in_numbers() -> None:
    halving = waiting([pupil(12, 20, 50 + place) for place in range(5)])
    order_of(halving)
    assert str(halving.stay(0)) == "at epoch 1, from where 2 of 5 students went on"


def test_without_rungs_nobody_pauses() -> None:
    halving = Halving({}, SCALE)
    halving.remember(0, pupil(12, 20, 50).costs, pupil(12, 20, 50).curve())
    assert not halving.is_rung(1)
    assert halving.choice(last=True) is None
