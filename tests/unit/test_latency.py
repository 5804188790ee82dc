"""The pace: slow at once when photos are, fast again after a while, one slow photo is not many."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest

from platecheck.serving.latency import GUESS, MARGIN, PHOTOS, STRETCHES, LatencyEstimator


def paced(*stretches: float) -> LatencyEstimator:
    """After whole stretches whose photos took so many seconds each."""
    pace = LatencyEstimator()
    for seconds in stretches:
        for _ in range(PHOTOS):
            pace.add(seconds)
    return pace


def test_it_begins_with_a_guess() -> None:
    assert LatencyEstimator().seconds == pytest.approx(MARGIN * GUESS)


def test_the_slowest_stretch_counts_until_it_is_long_ago() -> None:
    assert paced(0.01, 0.2, *[0.01] * (STRETCHES - 1)).seconds == pytest.approx(MARGIN * 0.2)
    assert paced(0.01, 0.2, *[0.01] * STRETCHES).seconds == pytest.approx(MARGIN * 0.01)


def test_it_is_slow_at_once_when_photos_are() -> None:
    pace = paced(*[0.01] * STRETCHES)
    for _ in range(PHOTOS // 8):
        pace.add(0.8)
    assert pace.seconds == pytest.approx(MARGIN * 0.1)


def test_one_slow_photo_is_not_many() -> None:
    pace = paced(*[0.01] * STRETCHES)
    pace.add(3.2)
    assert pace.seconds == pytest.approx(MARGIN * 0.1)


def test_photos_of_a_batch_share_its_seconds() -> None:
    one_by_one, batched = paced(*[0.01] * STRETCHES), LatencyEstimator()
    for _ in range(STRETCHES):
        batched.add(0.01 * PHOTOS, PHOTOS)
    assert batched.seconds == pytest.approx(one_by_one.seconds)


def even(rng: random.Random) -> Iterator[float]:
    while True:
        yield rng.uniform(0.008, 0.012)


def mixed(rng: random.Random) -> Iterator[float]:
    """One in twenty takes twenty times as long."""
    while True:
        yield 0.1 if rng.random() < 0.05 else 0.005


def disturbed(rng: random.Random) -> Iterator[float]:
    """The machine does something else every few seconds, for a second or so."""
    while True:
        for _ in range(rng.randrange(200, 600)):
            yield rng.uniform(0.008, 0.012)
        for _ in range(rng.randrange(20, 60)):
            yield rng.uniform(0.02, 0.04)


@pytest.mark.parametrize("kind", [even, mixed, disturbed])
def test_what_is_taken_at_that_pace_waits_no_longer_than_was_promised(
    kind: Callable[[random.Random], Iterator[float]],
) -> None:
    """One thread and a queue that is filled up whenever there is room, for 20 000 photos."""
    limit, pace, now = 1.0, LatencyEstimator(), 0.0
    came: deque[float] = deque()
    waits = []
    for seconds in islice(kind(random.Random(0)), 20_000):
        while len(came) * pace.seconds <= limit:
            came.append(now)
        waits.append(now - came.popleft())
        now += seconds
        pace.add(seconds)
    assert np.percentile(waits[1000:], 99) <= limit
    assert np.percentile(waits[1000:], 50) >= limit / 4  # nor is much refused that could be taken
