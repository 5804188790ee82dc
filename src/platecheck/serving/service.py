"""Inference threads behind a queue bounded by expected delay and by number of photos."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from platecheck.classifier import Classifier, Prediction, predict_batch
from platecheck.detector import Detector
from platecheck.heatmap import heatmap_png
from platecheck.inspector import Inspection, Inspector
from platecheck.serving import observability
from platecheck.serving.observability import Drift
from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings
from platecheck.serving.uploads import MemoryLimiter

# Service times are averaged over windows of this many photos, and this many windows count. Slow
# photos and CPU contention are bursty, which an average over all photos would hide.
WINDOW, WINDOWS = 32, 32
# Initial estimate in seconds per photo, and safety factor.
GUESS, MARGIN = 0.05, 1.25
# Predictions between two updates of the drift metric.
DRIFT_INTERVAL = 25


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one photo."""

    prediction: Prediction
    png: bytes | None = None  # heatmap overlay, if requested and if the model has one


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """The result for one photo of any number of dishes."""

    inspection: Inspection
    pngs: tuple[bytes | None, ...]  # heatmap overlay of each dish, as in `Result`


@dataclass(slots=True)
class _Job:
    name: str
    photo: bytes
    heatmap: bool
    record: bool
    inspect: bool = False
    future: "Future[Any]" = field(default_factory=Future)

    def release(self, _: object) -> None:
        """Free the photo's memory, even while a cancelled job is still queued."""
        self.photo = b""


class LatencyEstimator:
    """Conservative service-time estimate: the slowest recent window x 1.25.

    The current window counts missing photos as zero: a slowdown shows immediately, but
    one slow photo does not look like many.
    """

    def __init__(self) -> None:
        self._means = deque([GUESS], maxlen=WINDOWS)
        self._sum = 0.0
        self._photos = 0
        self.seconds = MARGIN * GUESS  # for one photo

    def add(self, seconds: float, photos: int = 1) -> None:
        """Add the time that some photos took together."""
        self._sum += seconds
        self._photos += photos
        if self._photos >= WINDOW:
            self._means.append(self._sum / self._photos)
            self._sum, self._photos = 0.0, 0
        self.seconds = MARGIN * max(*self._means, self._sum / WINDOW)


class Service:
    """Classifies photos on its own threads, in order of arrival.

    A thread takes up to `batch` queued photos and decodes and classifies them; it never waits for a
    batch to fill. Photos are rejected at once if their expected queue delay exceeds
    `max_queue_delay`, or if more than `queue` photos would be in flight.
    """

    def __init__(
        self, classifier: Classifier, settings: Settings, detector: Detector | None = None
    ) -> None:
        self.classifier = classifier
        self.inspector = Inspector(classifier, detector) if detector else None
        self.settings = settings
        self.uploads = MemoryLimiter(settings.max_upload_bytes)
        self.in_flight = 0  # photos queued or being processed
        self.stopping = False  # rejects new photos
        self._jobs: deque[_Job] = deque()
        self._latency = LatencyEstimator()
        self._changed = threading.Condition()
        self._predictions = 0
        reference = classifier.info.reference
        self._drift = Drift(reference) if reference else None
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(settings.threads)
        ]

    def start(self) -> None:
        info = self.classifier.info
        observability.MODEL.labels(self.classifier.id, info.recipe, info.precision).set(1)
        observability.QUEUE_LIMIT.set(self.settings.queue)
        observability.WAIT_LIMIT.set(self.settings.max_queue_delay)
        self._set_in_flight(0)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the queued photos, then stop the threads."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def queue_delay(self) -> float:
        """Expected seconds until a photo that arrives now is started."""
        before = max(0, self.in_flight - len(self._threads) + 1)
        return before * self._latency.seconds / len(self._threads)

    def check_capacity(self, photos: int = 1) -> None:
        """Raise a 503 `ProblemError` if the service is stopping or has no room for the photos."""
        if self.stopping:
            raise ProblemError(503, "the service is stopping", {"Retry-After": "1"})
        too_many = self.in_flight + photos > self.settings.queue
        if too_many or self.queue_delay > self.settings.max_queue_delay:
            observability.REJECTED.labels("queue").inc()
            # Not rounded up: the estimate is conservative.
            retry = {"Retry-After": str(max(1, round(self.queue_delay)))}
            raise ProblemError(503, "too many photos are queued; retry later", retry)

    def submit(
        self,
        photos: Sequence[tuple[str, bytes]],
        *,
        heatmap: bool = False,
        record: bool = True,
        inspect: bool = False,
    ) -> list["Future[Any]"]:
        """Enqueue all photos (name, content) or none, in which case `check_capacity` raises.

        The futures give a `Result` or, with `inspect`, an `InspectionResult`; those cancelled
        before they start are skipped. With `record`, predictions are counted in the metrics.
        """
        jobs = [_Job(name, photo, heatmap, record, inspect) for name, photo in photos]
        for job in jobs:
            job.future.add_done_callback(job.release)
        with self._changed:
            self.check_capacity(len(jobs))
            self._set_in_flight(self.in_flight + len(jobs))
            self._jobs.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def _set_in_flight(self, photos: int) -> None:
        self.in_flight = photos
        observability.QUEUE.set(photos)
        observability.WAIT.set(self.queue_delay)

    def _work(self) -> None:
        while jobs := self._next():
            start = time.perf_counter()
            pending = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            results: list[Result | InspectionResult] = []
            failure: Exception | None = None
            try:
                results = self._judge(pending) if pending else []
            except Exception as error:  # passed on to the caller; the thread continues
                failure = error
            with self._changed:
                if pending:
                    self._latency.add(time.perf_counter() - start, len(pending))
                self._set_in_flight(self.in_flight - len(jobs))
            for job in pending if failure else ():
                job.future.set_exception(failure)
            for job, result in zip(pending, results, strict=False):
                job.future.set_result(result)

    def _next(self) -> list[_Job]:
        """Wait for the next batch; empty once the service is stopping."""
        with self._changed:
            while not self._jobs and not self.stopping:
                self._changed.wait()
            share = ceil(len(self._jobs) / len(self._threads))
            return [self._jobs.popleft() for _ in range(min(self.settings.batch, share))]

    def _judge(self, jobs: Sequence[_Job]) -> list[Result | InspectionResult]:
        plain = iter(self._classify([job for job in jobs if not job.inspect]))
        return [self._inspect(job) if job.inspect else next(plain) for job in jobs]

    def _classify(self, jobs: Sequence[_Job]) -> list[Result]:
        photos, names = [job.photo for job in jobs], [job.name for job in jobs]
        max_pixels = self.settings.max_pixels
        predictions = predict_batch(self.classifier, photos, names, max_pixels=max_pixels)
        results = []
        for job, prediction in zip(jobs, predictions, strict=True):
            results.append(Result(prediction, _png(prediction) if job.heatmap else None))
            if job.record:
                observability.PHOTOS.labels("error" if prediction.error else prediction.label).inc()
                self._record(prediction)
        return results

    def _inspect(self, job: _Job) -> InspectionResult:
        assert self.inspector, "the route checks it"
        max_pixels = self.settings.max_pixels
        (found,) = self.inspector.inspect_batch([job.photo], [job.name], max_pixels=max_pixels)
        if job.record:
            observability.PHOTOS.labels("error" if found.error else found.verdict).inc()
            for dish in found.dishes:
                observability.DISHES.labels(dish.label).inc()
                if dish.crop == (
                    0.0,
                    0.0,
                    float(found.width),
                    float(found.height),
                ):  # as the drift's reference
                    self._record(dish.prediction)
        pngs = (_png(dish.prediction) if job.heatmap else None for dish in found.dishes)
        return InspectionResult(found, tuple(pngs))

    def _record(self, prediction: Prediction) -> None:
        if self._drift is None:
            return
        self._drift.add(prediction)
        self._predictions += 1
        if self._predictions % DRIFT_INTERVAL == 0:
            distances = {"answers": self._drift.answers(), "features": self._drift.features()}
            for of, distance in distances.items():
                if distance is not None:
                    observability.DRIFT.labels(of).set(distance)


def _png(prediction: Prediction) -> bytes | None:
    return None if prediction.heatmap is None else heatmap_png(prediction.heatmap)
