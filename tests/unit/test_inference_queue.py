"""The inference queue: bounded, in order; one bad photo never stops it."""

import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.classifier import Classifier, Prediction
from platecheck.errors import ModelError
from platecheck.serving.problems import ProblemError
from platecheck.serving.service import GUESS, MARGIN, WINDOW, WINDOWS, LatencyEstimator, Service
from platecheck.serving.settings import Settings
from tests.conftest import WriteModel
from tests.support.photos import png

MakeService = Callable[..., Service]
# Estimated seconds per photo before the first one.
SLOWEST = MARGIN * GUESS


DARK, BRIGHT = png(1), png(250)


class Held(Classifier):
    """Predicts only after release, and records its batch sizes."""

    def hold(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches: list[int] = []

    def predict_pixels(self, pixels: NDArray[np.uint8], names: list[str]) -> list[Prediction]:
        self.begun.set()
        assert self.go.wait(30)
        self.batches.append(len(names))
        return super().predict_pixels(pixels, names)


@pytest.fixture
def held(tmp_path: Path, write_model: WriteModel) -> Iterator[Held]:
    classifier = Held.load(write_model(tmp_path / "m.onnx"))
    classifier.hold()
    yield classifier
    classifier.go.set()


@pytest.fixture
def make(held: Held) -> Iterator[MakeService]:
    with ExitStack() as running:

        def service(**settings: object) -> Service:
            limits = {"threads": 1, "queue": 4, "max_queue_delay": 100, "max_pixels": 10_000}
            made = Service(held, Settings(max_photos=1, **{**limits, **settings}))
            made.start()
            running.callback(made.stop)
            return made

        yield service
        held.go.set()


def taken(service: Service) -> int:
    """Return how many more photos the service takes."""
    before = service.in_flight
    with suppress(ProblemError):
        while True:
            service.submit([("a", DARK)])
    return service.in_flight - before


def test_submit_several_photos_each_has_its_own_result(make: MakeService, held: Held) -> None:
    held.go.set()
    photos = [("dark", DARK), ("bad", b"no photo"), ("big", png(9, 501)), ("lit", BRIGHT)]
    futures = make(threads=3).submit(photos)
    dark, bad, big, lit = (future.result(30).prediction for future in futures)
    assert (dark.source, dark.label) == ("dark", "clean")
    assert (lit.source, lit.label) == ("lit", "dirty")
    assert bad.error
    assert bad.error.source == "bad"
    assert big.error
    assert "501x20" in big.error.reason


def test_submit_more_than_the_queue_holds_is_refused_as_a_whole(
    make: MakeService, held: Held
) -> None:
    service = make(queue=4)
    first = service.submit([("a", DARK)] * 3)
    with pytest.raises(ProblemError):
        service.submit([("b", DARK)] * 2)
    assert service.in_flight == 3
    last = service.submit([("c", DARK)])
    with pytest.raises(ProblemError):
        service.check_capacity()
    held.go.set()
    assert all(future.result(30).prediction.label == "clean" for future in [*first, *last])
    assert service.in_flight == 0
    service.check_capacity()


@pytest.mark.parametrize(
    ("threads", "delay", "expected"), [(1, 4.5, 5), (3, 4.5, 16), (2, 0.001, 2)]
)
def test_submit_what_would_wait_too_long_is_refused(
    make: MakeService, held: Held, threads: int, delay: float, expected: int
) -> None:
    service = make(threads=threads, queue=100, max_queue_delay=delay * SLOWEST)
    assert taken(service) == expected
    assert service.queue_delay == pytest.approx((expected - threads + 1) / threads * SLOWEST)
    held.go.set()
    service.stop()  # finishes what was taken
    assert sum(held.batches) == expected


def test_submit_large_request_to_a_free_thread_is_taken(make: MakeService) -> None:
    service = make(threads=2, queue=100, max_queue_delay=SLOWEST / 1000)
    service.submit([("a", DARK)])
    service.submit([("b", DARK)] * 50)
    assert taken(service) == 0


def test_submit_after_slow_photos_takes_fewer(
    make: MakeService, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=0.2)  # a photo begins with one and ends with the next
    monkeypatch.setattr("platecheck.serving.service.time.perf_counter", lambda: next(ticks))
    service = make(queue=100, max_queue_delay=4.5 * 0.2 * MARGIN)
    held.go.set()
    for future in service.submit([("a", DARK)] * WINDOW):
        future.result(30)
    held.go.clear()
    assert taken(service) == 5


def test_cancelled_photo_is_skipped_and_its_memory_freed(make: MakeService, held: Held) -> None:
    service = make()
    begun, other = service.submit([("a", DARK), ("c", DARK)])
    assert held.begun.wait(30)
    content = bytes(1000)
    references = sys.getrefcount(content)
    (waiting,) = service.submit([("b", content)])
    assert not begun.cancel()
    assert waiting.cancel()
    assert sys.getrefcount(content) == references
    assert service.in_flight == 3  # it still has its place in the queue
    held.go.set()
    other.result(30)
    service.stop()
    assert held.batches == [1, 1]
    assert service.in_flight == 0


@pytest.mark.parametrize(("batch", "expected"), [(1, [1] * 6), (4, [1, 4, 1])])
def test_queued_photos_are_batched_up_to_the_setting(
    make: MakeService, held: Held, batch: int, expected: list[int]
) -> None:
    service = make(batch=batch, queue=10)
    first = service.submit([("a", DARK)])
    assert held.begun.wait(30)
    rest = service.submit([("b", DARK)] * 5)
    held.go.set()
    for future in [*first, *rest]:
        future.result(30)
    assert held.batches == expected


def test_stop_finishes_queued_photos_and_takes_no_more(make: MakeService, held: Held) -> None:
    service = make()
    futures = service.submit([("a", DARK)] * 3)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    held.go.set()
    stopping.join(30)
    assert all(future.result(0).prediction.label == "clean" for future in futures)
    with pytest.raises(ProblemError):
        service.submit([("b", DARK)])


def test_failing_model_raises_and_the_next_photo_is_classified(
    make: MakeService, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    service = make()

    def broken(*_: object) -> list[Prediction]:
        raise ModelError("the model cannot be run")

    with monkeypatch.context() as patch:
        patch.setattr(held, "predict_pixels", broken)
        with pytest.raises(ModelError):
            service.submit([("a", DARK)])[0].result(30)
    assert service.submit([("a", DARK)])[0].result(30).prediction.label == "clean"
    assert service.in_flight == 0


def test_latency_estimate_of_batches_is_per_photo() -> None:
    estimator = LatencyEstimator()
    for _ in range(WINDOWS):
        estimator.add(0.01 * WINDOW, WINDOW)
    assert estimator.seconds == pytest.approx(MARGIN * 0.01)


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
def test_photos_taken_by_the_estimate_wait_at_most_the_queue_delay(
    kind: Callable[[random.Random], Iterator[float]],
) -> None:
    """Simulate one thread and a queue that is always refilled, for 20 000 photos."""
    limit, estimator, now = 1.0, LatencyEstimator(), 0.0
    arrivals: deque[float] = deque()
    waits = []
    for seconds in islice(kind(random.Random(0)), 20_000):
        while len(arrivals) * estimator.seconds <= limit:
            arrivals.append(now)
        waits.append(now - arrivals.popleft())
        now += seconds
        estimator.add(seconds)
    assert np.percentile(waits[1000:], 99) <= limit
    assert np.percentile(waits[1000:], 50) >= limit / 4  # nor is much refused needlessly
