"""The queue: bounded, in order, one bad photo never stops it."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platecheck.classifier import Classifier, Prediction
from platecheck.errors import ModelError
from platecheck.serving.latency import GUESS, MARGIN, PHOTOS
from platecheck.serving.pool import PoolClosedError, PredictionPool, QueueFullError
from tests.conftest import WriteModel

MakeEngine = Callable[..., PredictionPool]
# Seconds that a photo is expected to take at most before there has been one.
SLOWEST = MARGIN * GUESS


def photo(level: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (20, 20), (level, level, level)).save(file, "PNG")
    return file.getvalue()


class Held(Classifier):
    """Answers only once it is let go, and notes the sizes of its batches."""

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
    classifier = Held.load(write_model(tmp_path / "m.onnx", evidence=4))
    classifier.hold()
    yield classifier
    classifier.go.set()


@pytest.fixture
def make(held: Held) -> Iterator[MakeEngine]:
    made = []

    def engine(
        threads: int = 1,
        queue: int = 4,
        max_queue_delay: float = 100,
        batch: int = 1,
        **more: object,
    ) -> PredictionPool:
        limits = {
            "queue": queue,
            "max_queue_delay": max_queue_delay,
            "batch": batch,
            "max_pixels": 10_000,
        }
        made.append(PredictionPool(held, threads=threads, **limits, **more))
        return made[-1]

    yield engine
    held.go.set()
    for each in made:
        each.close()


def test_each_photo_gets_its_own_answer_in_order(make: MakeEngine, held: Held) -> None:
    held.go.set()
    futures = make(threads=3).submit(
        [("dark", photo(10)), ("bad", b"no photo"), ("lit", photo(250))]
    )
    dark, bad, lit = (future.result(30).prediction for future in futures)
    assert (dark.source, dark.label) == ("dark", "clean")
    assert (lit.source, lit.label) == ("lit", "dirty")
    assert bad.error is not None
    assert bad.error.source == "bad"


def test_evidence_is_drawn_where_it_is_asked_for(make: MakeEngine, held: Held) -> None:
    held.go.set()
    engine = make()
    (without,), (drawn,) = (
        engine.submit([("a", photo(250))], heatmap=wanted) for wanted in (False, True)
    )
    assert without.result(30).png is None
    picture = np.asarray(Image.open(BytesIO(drawn.result(30).png or b"")))
    assert picture.shape == (16, 16, 4)
    assert picture[..., 3].min() > 100  # a bright photo is dirty everywhere


def test_more_than_the_queue_holds_is_refused_at_once(make: MakeEngine, held: Held) -> None:
    engine = make(queue=4)
    first = engine.submit([("a", photo(1))] * 3)
    with pytest.raises(QueueFullError) as refused:
        engine.submit([("b", photo(1))] * 2)
    assert refused.value.seconds >= 0
    assert engine.in_flight == 3  # all or none
    last = engine.submit([("c", photo(1))])
    with pytest.raises(QueueFullError):
        engine.check()
    held.go.set()
    assert all(future.result(30).prediction.label == "clean" for future in [*first, *last])
    assert engine.in_flight == 0
    engine.check()


def taken_one_by_one(engine: PredictionPool) -> int:
    """How many photos more are taken."""
    before = engine.in_flight
    with suppress(QueueFullError):
        while True:
            engine.submit([("a", photo(1))])
    return engine.in_flight - before


def test_what_would_wait_too_long_is_refused_at_once(make: MakeEngine, held: Held) -> None:
    engine = make(queue=100, max_queue_delay=4.5 * SLOWEST)
    assert taken_one_by_one(engine) == 5  # the fifth waits for four
    with pytest.raises(QueueFullError) as refused:
        engine.check()
    assert refused.value.seconds == pytest.approx(5 * SLOWEST)
    held.go.set()
    engine.close()  # what was taken is answered
    assert sum(held.batches) == 5


def test_several_threads_work_a_queue_off_faster(make: MakeEngine) -> None:
    assert taken_one_by_one(make(threads=3, queue=100, max_queue_delay=4.5 * SLOWEST)) == 3 + 13


def test_what_a_free_thread_can_begin_with_does_not_wait(make: MakeEngine) -> None:
    engine = make(threads=2, queue=100, max_queue_delay=SLOWEST / 1000)
    engine.submit([("a", photo(1))])
    engine.submit([("b", photo(1))] * 50)  # however long the others of its request take
    assert taken_one_by_one(engine) == 0


def test_the_slower_photos_are_answered_the_fewer_are_taken(
    make: MakeEngine, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=0.2)  # a photo begins with one and ends with the next
    monkeypatch.setattr("platecheck.serving.pool.time.perf_counter", lambda: next(ticks))
    engine = make(queue=100, max_queue_delay=4.5 * 0.2 * MARGIN)
    held.go.set()
    for future in engine.submit([("a", photo(1))] * PHOTOS):
        future.result(30)
    held.go.clear()
    assert taken_one_by_one(engine) == 5


def test_a_photo_that_no_one_waits_for_is_left_out(make: MakeEngine, held: Held) -> None:
    engine = make(queue=3)
    begun, waiting, other = engine.submit([("a", photo(1)), ("b", photo(1)), ("c", photo(1))])
    assert held.begun.wait(30)
    assert not begun.cancel()
    assert waiting.cancel()
    held.go.set()
    other.result(30)
    assert held.batches == [1, 1]
    assert engine.in_flight == 0


def test_a_photo_that_no_one_waits_for_takes_no_memory(make: MakeEngine, held: Held) -> None:
    engine = make(queue=3)
    engine.submit([("a", photo(1))])
    assert held.begun.wait(30)
    content = bytes(1000)
    references = sys.getrefcount(content)
    (waiting,) = engine.submit([("b", content)])
    assert waiting.cancel()
    assert sys.getrefcount(content) == references
    assert engine.in_flight == 2  # it still has its place in the queue


def test_how_many_are_taken_is_told_whenever_it_changes(make: MakeEngine, held: Held) -> None:
    seen: list[tuple[int, float]] = []
    engine = make(on_change=lambda photos, seconds: seen.append((photos, seconds)))
    begun, waiting = engine.submit([("a", photo(1)), ("b", photo(1))])
    assert held.begun.wait(30)
    waiting.cancel()
    held.go.set()
    begun.result(30)
    engine.close()
    assert seen == [(2, 2 * SLOWEST), (1, SLOWEST), (0, 0)]


@pytest.mark.parametrize(("batch", "expected"), [(1, [1] * 6), (4, [1, 4, 1])])
def test_what_waits_is_batched_up_to_the_setting(
    make: MakeEngine, held: Held, batch: int, expected: list[int]
) -> None:
    engine = make(batch=batch, queue=10)
    first = engine.submit([("a", photo(1))])
    assert held.begun.wait(30)
    rest = engine.submit([("b", photo(1))] * 5)
    held.go.set()
    for future in [*first, *rest]:
        future.result(30)
    assert held.batches == expected


def test_closing_answers_what_is_queued_and_takes_no_more(make: MakeEngine, held: Held) -> None:
    engine = make()
    futures = engine.submit([("a", photo(1))] * 3)
    closing = threading.Thread(target=engine.close)
    closing.start()
    held.go.set()
    closing.join(30)
    assert all(future.result(0).prediction.label == "clean" for future in futures)
    with pytest.raises(PoolClosedError):
        engine.submit([("b", photo(1))])


def test_a_model_that_fails_is_heard_of_and_the_next_photo_is_answered(
    make: MakeEngine, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    engine = make()

    def broken(*_: object) -> list[Prediction]:
        raise ModelError("the model cannot be run")

    with monkeypatch.context() as patch:
        patch.setattr(held, "predict_pixels", broken)
        with pytest.raises(ModelError):
            engine.submit([("a", photo(1))])[0].result(30)
    assert engine.submit([("a", photo(1))])[0].result(30).prediction.label == "clean"
    assert engine.in_flight == 0


def test_a_photo_with_too_many_pixels_is_an_error(make: MakeEngine, held: Held) -> None:
    held.go.set()
    file = BytesIO()
    Image.new("RGB", (200, 51)).save(file, "PNG")
    (future,) = make().submit([("big", file.getvalue())])
    error = future.result(30).prediction.error
    assert error is not None
    assert "200x51" in error.reason


def test_every_answer_is_reported(make: MakeEngine, held: Held) -> None:
    held.go.set()
    seen: list[Prediction] = []
    engine = make(on_prediction=seen.append)
    for future in engine.submit([("a", photo(1)), ("b", b"x")]):
        future.result(30)
    assert [each.source for each in seen] == ["a", "b"]
