"""Tracking: each dish is reported once, with the label that its frames agree on."""

import gc
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from platecheck.detector import Box
from platecheck.model_info import UNSURE
from platecheck.tracking import Sighting, Tracker, TrackReport, decide
from tests.support.conveyor import (
    HEIGHT,
    SCENARIOS,
    WIDTH,
    Conveyor,
    FakeDish,
    Oracle,
    Score,
    judge,
    predicted,
)

SIZE = (HEIGHT, WIDTH)
MIDDLE = (200.0, 100.0, 300.0, 200.0)


def dish(box: Box = MIDDLE, label: str = "clean", score: float = 0.9, **of: Any) -> FakeDish:
    return FakeDish(box, score, predicted(label, **of))


def moved(box: Box, x: float) -> Box:
    return box[0] + x, box[1], box[2] + x, box[3]


def run(
    tracker: Tracker, frames: Sequence[Sequence[FakeDish]], fps: float = 10, start: float = 0
) -> list[TrackReport]:
    """Give the tracker frames, each of which is its number."""
    reports = []
    for number, dishes in enumerate(frames):
        reports += tracker.update(start + number / fps, dishes, SIZE, number)
    return reports


def seen(label: str, *, score: float = 1.0, cut: bool = False, **of: Any) -> Sighting:
    return Sighting(0.0, np.array(MIDDLE), score, predicted(label, **of), cut)


@cache
def scored(scenario: str) -> Score:
    """Follow three belts with a detector and classifier that err."""
    score = Score()
    for seed in range(3):
        conveyor = Conveyor(seed, **SCENARIOS[scenario], fps=10)
        oracle, tracker = Oracle(np.random.default_rng(seed)), Tracker()
        reports = []
        for number in range(len(conveyor)):
            found = oracle.look(conveyor.truth(number))
            reports += tracker.update(conveyor.time(number), found, SIZE)
        score += judge(conveyor, [*reports, *tracker.finish()])
    return score


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_conveyor_each_dish_is_reported_once(scenario: str) -> None:
    score = scored(scenario)
    assert score.missed + score.twice + score.none <= 0.03 * score.dishes
    assert score.wrong == 0


def test_conveyors_dishes_are_reported_with_their_labels() -> None:
    score = sum(map(scored, SCENARIOS), Score())
    assert score.dishes > 300
    assert score.right - score.none >= 0.97 * score.dishes


def test_decide_mean_reaches_threshold_gives_class() -> None:
    frames = [seen("dirty", probability=0.9)] * 9 + [seen("clean", probability=0.9)]
    assert decide(frames) == ("dirty", pytest.approx(0.82))


def test_decide_frames_disagree_is_unsure() -> None:
    frames = [seen("dirty"), seen("clean"), seen("clean")]
    assert decide(frames) == (UNSURE, pytest.approx((0.95 * 2 + 0.05) / 3))


def test_decide_weighs_frames_by_score() -> None:
    assert decide([seen("dirty", score=0.1), seen("clean", score=0.9)])[0] == "clean"


def test_decide_cut_frames_do_not_count_beside_whole_ones() -> None:
    assert decide([seen("clean", cut=True)] * 5 + [seen("dirty")])[0] == "dirty"
    assert decide([seen("clean", cut=True)] * 5)[0] == "clean"


def test_decide_frames_that_cannot_be_judged_do_not_count() -> None:
    capped = seen(UNSURE, probability=0.99, top="clean")  # blurred, or partly hidden
    assert decide([capped] * 3 + [seen("dirty")])[0] == "dirty"
    assert decide([capped] * 4 + [seen("clean")])[0] == UNSURE  # too few are left
    assert decide([capped] * 5) == (UNSURE, pytest.approx(0.99))


def test_tracker_few_frames_are_false_alarms() -> None:
    tracker = Tracker(min_frames=3)
    assert run(tracker, [[dish()], [dish()], *[[]] * 30]) == []
    assert tracker.finish() == []


def test_tracker_flicker_is_a_false_alarm() -> None:
    assert run(Tracker(), [*[[dish()], [], []] * 9, *[[]] * 30]) == []


def test_tracker_moving_dish_reported_when_it_has_left() -> None:
    frames = [[dish(moved(MIDDLE, 30 * number))] for number in range(12)]
    (report,) = run(Tracker(), [*frames, *[[]] * 12])
    assert (report.track, report.label, report.frames) == (1, "clean", 12)
    assert (report.first, report.last) == (0.0, pytest.approx(1.1))


def test_tracker_still_dish_reported_once_while_in_the_picture() -> None:
    tracker = Tracker(settle=2)
    (report,) = run(tracker, [[dish()]] * 100)
    assert report.last == pytest.approx(2.0)
    assert tracker.finish() == []


def test_tracker_dish_at_the_edge_is_not_settled() -> None:
    tracker = Tracker()
    at_edge = (0.0, 100.0, 60.0, 200.0)
    assert run(tracker, [[dish(at_edge)]] * 50) == []
    assert len(tracker.finish()) == 1


def test_tracker_dish_that_fills_the_picture_settles() -> None:
    assert len(run(Tracker(), [[dish((0.0, 0.0, WIDTH, HEIGHT))]] * 50)) == 1


@pytest.mark.parametrize(("hidden", "reports"), [(8, 1), (15, 2)])
def test_tracker_dish_hidden_longer_than_patience_is_another(hidden: int, reports: int) -> None:
    tracker = Tracker(patience=1.0, settle=9)
    found = run(tracker, [*[[dish()]] * 20, *[[]] * hidden, *[[dish()]] * 20])
    assert len(found + tracker.finish()) == reports


def test_tracker_dish_stops_while_hidden_is_the_same() -> None:
    tracker = Tracker(settle=9)
    frames = [[dish(moved(MIDDLE, 20 * number))] for number in range(8)]
    hidden: list[list[FakeDish]] = [[]] * 6
    still = [[dish(moved(MIDDLE, 200))]] * 10
    assert run(tracker, [*frames, *hidden, *still]) == []
    assert len(tracker.finish()) == 1


def test_tracker_one_frame_a_second_is_followed() -> None:
    tracker = Tracker(patience=0.5)
    frames = [[dish(moved(MIDDLE, 30 * number))] for number in range(8)]
    assert run(tracker, frames, fps=1) == []
    assert [report.frames for report in tracker.finish()] == [
        7
    ]  # until then, that second was too long


def test_tracker_cup_on_saucer_are_two_dishes() -> None:
    cup = (230.0, 130.0, 270.0, 170.0)
    shifted = [[dish(moved(MIDDLE, x)), dish(moved(cup, x))] for x in range(0, 200, 20)]
    tracker = Tracker()
    run(tracker, shifted)
    assert sorted(report.frames for report in tracker.finish()) == [10, 10]


def test_tracker_best_frame_has_the_label_of_the_report() -> None:
    labels = ["dirty", "clean", "dirty", "dirty", "dirty", "dirty"]
    scores = [0.5, 0.99, 0.6, 0.95, 0.7, 0.5]
    tracker = Tracker()
    run(tracker, [[dish(label=a, score=b)] for a, b in zip(labels, scores, strict=True)])
    (report,) = tracker.finish()
    assert (report.label, report.frame, report.time) == ("dirty", 3, pytest.approx(0.3))


def test_tracker_best_frame_shows_the_whole_dish() -> None:
    tracker = Tracker()
    entering = [[dish((0.0, 100.0, 20.0 * number, 200.0), score=0.99)] for number in range(1, 6)]
    run(tracker, [*entering, *[[dish((20.0, 100.0, 120.0, 200.0), score=0.6)]] * 3])
    assert tracker.finish()[0].frame == 5


def test_tracker_forgets_frames_of_reported_dishes() -> None:
    tracker = Tracker(settle=0.5)
    frames = [np.zeros(4) for _ in range(20)]
    kept = [weakref.ref(frame) for frame in frames]
    reports = [tracker.update(k / 10, [dish()], SIZE, frames[k]) for k in range(20)]
    assert sum(map(len, reports)) == 1
    del reports, frames
    gc.collect()
    assert not any(frame() is not None for frame in kept)


def test_tracker_numbers_dishes_in_the_order_of_reports() -> None:
    tracker = Tracker()
    run(tracker, [[dish(), dish(moved(MIDDLE, 200))]] * 5)
    assert [report.track for report in tracker.finish()] == [1, 2]
    run(tracker, [[dish()]] * 5, start=60)
    assert [report.track for report in tracker.finish()] == [3]
