"""Inference threads behind a queue bounded by expected delay and by number of photos."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil

from platecheck.classifier import Classifier, Prediction, predict_batch
from platecheck.heatmap import heatmap_png
from platecheck.serving.latency import LatencyEstimator


class QueueFullError(Exception):
    """The queue has no room for these photos.

    Attributes:
        seconds: expected time until it has.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full; retry after {seconds:.1f} s")
        self.seconds = seconds


class PoolClosedError(Exception):
    """The pool is closed."""


@dataclass(frozen=True, slots=True)
class PoolResult:
    """The result for one photo.

    Attributes:
        prediction: label and probabilities, or the error.
        png: heatmap overlay; None if not requested, or if the model has none.
    """

    prediction: Prediction
    png: bytes | None = None


@dataclass(slots=True)
class _Job:
    name: str
    photo: bytes
    heatmap: bool
    record: bool
    future: "Future[PoolResult]" = field(default_factory=Future)

    def release(self, _: object) -> None:
        """Free the photo's memory, even while a cancelled job is still queued."""
        self.photo = b""


class PredictionPool:
    """Classifies photos on its own threads, in order of arrival.

    A thread takes up to `batch` queued photos and decodes and classifies them; it never waits for a
    batch to fill. Photos are rejected at once if their expected queue delay exceeds
    `max_queue_delay`, or if more than `queue` photos would be in flight.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        threads: int,
        queue: int,
        max_queue_delay: float,
        batch: int,
        max_pixels: int,
        on_prediction: Callable[[Prediction], None] = lambda prediction: None,
        on_change: Callable[[int, float], None] = lambda in_flight, queue_delay: None,
    ) -> None:
        """Start the threads.

        Args:
            classifier: shared by the threads.
            threads: number of inference threads.
            queue: maximum photos queued or being processed.
            max_queue_delay: maximum expected seconds in the queue.
            batch: maximum batch size.
            max_pixels: maximum pixels per photo.
            on_prediction: called with each prediction, on the inference threads.
            on_change: called with `in_flight` and `queue_delay` whenever they change.
        """
        self.classifier = classifier
        self.queue = queue
        self.max_queue_delay = max_queue_delay
        self._batch = batch
        self._max_pixels = max_pixels
        self._on_prediction = on_prediction
        self._on_change = on_change
        self._waiting: deque[_Job] = deque()
        self._in_flight = 0
        self._latency = LatencyEstimator()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """Number of photos queued or being processed."""
        return self._in_flight

    @property
    def queue_delay(self) -> float:
        """Expected seconds until a photo that arrives now is started."""
        before = max(0, self._in_flight - len(self._threads) + 1)
        return before * self._latency.seconds / len(self._threads)

    def check(self, photos: int = 1) -> None:
        """Check that there is room for a number of photos.

        Raises:
            QueueFullError: There is not.
            PoolClosedError: The pool is closed.
        """
        if self._closed:
            raise PoolClosedError
        if self._in_flight + photos > self.queue or self.queue_delay > self.max_queue_delay:
            raise QueueFullError(self.queue_delay)

    def submit(
        self, photos: Sequence[tuple[str, bytes]], *, heatmap: bool = False, record: bool = True
    ) -> list["Future[PoolResult]"]:
        """Queue photos, all or none. Jobs whose future is cancelled before they start are skipped.

        Args:
            photos: name and content of each.
            heatmap: whether to draw the heatmap.
            record: whether to call `on_prediction`.

        Raises:
            QueueFullError: There is no room for all of them.
            PoolClosedError: The pool is closed.
        """
        jobs = [_Job(name, photo, heatmap, record) for name, photo in photos]
        for job in jobs:
            job.future.add_done_callback(job.release)
        with self._changed:
            self.check(len(jobs))
            self._in_flight += len(jobs)
            self._on_change(self._in_flight, self.queue_delay)
            self._waiting.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def close(self) -> None:
        """Finish the queued photos, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            start = time.perf_counter()
            pending = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            results: list[PoolResult] = []
            failure: Exception | None = None
            try:
                results = self._classify(pending) if pending else []
            except Exception as error:  # passed on to the caller; the thread continues
                failure = error
            with self._changed:
                if pending:
                    self._latency.add(time.perf_counter() - start, len(pending))
                self._in_flight -= len(jobs)
                self._on_change(self._in_flight, self.queue_delay)
            for job in pending if failure else ():
                job.future.set_exception(failure)
            for job, result in zip(pending, results, strict=False):
                job.future.set_result(result)

    def _next(self) -> list[_Job]:
        """Wait for the next batch; empty once the pool is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            share = ceil(len(self._waiting) / len(self._threads))
            return [self._waiting.popleft() for _ in range(min(self._batch, share))]

    def _classify(self, jobs: Sequence[_Job]) -> list[PoolResult]:
        photos, names = [job.photo for job in jobs], [job.name for job in jobs]
        predictions = predict_batch(self.classifier, photos, names, max_pixels=self._max_pixels)
        results = []
        for job, prediction in zip(jobs, predictions, strict=True):
            evidence = prediction.heatmap if job.heatmap else None
            png = None if evidence is None else heatmap_png(evidence)
            results.append(PoolResult(prediction, png))
            if job.record:
                self._on_prediction(prediction)
        return results
