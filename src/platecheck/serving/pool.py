"""Photos in, answers out: a queue bounded in seconds, and the threads that work it off."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil

from platecheck.classifier import Classifier, Prediction
from platecheck.heatmap import heatmap_png
from platecheck.serving.latency import LatencyEstimator
from platecheck.stream import try_to_open


class QueueFullError(Exception):
    """There is no room for these photos now.

    Attributes:
        seconds: after which there should be.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full; ask again after {seconds:.1f} s")
        self.seconds = seconds


class PoolClosedError(Exception):
    """The engine is being closed and takes no photo."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer for one photo.

    Attributes:
        prediction: label, probabilities, or the error.
        png: the evidence to lay over the photo; None where it was not asked for, or there is none.
    """

    prediction: Prediction
    png: bytes | None = None


@dataclass(slots=True)
class _Job:
    name: str
    photo: bytes
    evidence: bool
    counts: bool
    future: "Future[Answered]" = field(default_factory=Future)

    def forget(self, _: object) -> None:
        """Need no more memory, even if it is cancelled and waits its turn."""
        self.photo = b""


class PredictionPool:
    """Answers photos on its own threads, in the order they came.

    A thread takes up to `batch` of the waiting photos, decodes and answers them. None waits for a
    batch to fill up. What comes is refused at once where it would wait more than `wait` seconds, at
    the slowest pace of late, or where more than `queue` photos would wait or be under way. What is
    taken is answered.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        threads: int,
        queue: int,
        wait: float,
        batch: int,
        pixels: int,
        on_answer: Callable[[Prediction], None] = lambda prediction: None,
        on_taken: Callable[[int, float], None] = lambda taken, seconds: None,
    ) -> None:
        """Start the threads.

        Args:
            classifier: shared by the threads.
            threads: photos, or batches, under way at a time.
            queue: most photos waiting or under way.
            wait: most seconds until the first of some photos is under way.
            batch: most photos given to the model at once.
            pixels: most pixels a photo.
            on_answer: called with each answer, on the threads.
            on_taken: called with `taken` and `seconds`, whenever they change.
        """
        self.classifier = classifier
        self.queue = queue
        self.wait = wait
        self._batch = batch
        self._pixels = pixels
        self._on_answer = on_answer
        self._on_taken = on_taken
        self._waiting: deque[_Job] = deque()
        self._taken = 0  # photos waiting or under way
        self._pace = LatencyEstimator()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def taken(self) -> int:
        """Photos waiting or under way."""
        return self._taken

    @property
    def seconds(self) -> float:
        """Until a photo that came now would be under way, at the slowest pace of late."""
        before = max(0, self._taken - len(self._threads) + 1)
        return before * self._pace.seconds / len(self._threads)

    def check(self, photos: int = 1) -> None:
        """See whether so many photos would be taken now.

        Raises:
            QueueFullError: they would not.
            EngineClosedError: none will be any more.
        """
        if self._closed:
            raise PoolClosedError
        if self._taken + photos > self.queue or self.seconds > self.wait:
            raise QueueFullError(self.seconds)

    def submit(
        self, photos: Sequence[tuple[str, bytes]], *, evidence: bool = False, counts: bool = True
    ) -> list["Future[Answered]"]:
        """Queue photos, all or none; a future that is cancelled in time is not worked on.

        Args:
            photos: name and file of each.
            evidence: whether to draw where the dirt is.
            counts: whether `on_answer` is called.

        Raises:
            QueueFullError: there is no room for all of them.
            EngineClosedError: no photo is taken any more.
        """
        jobs = [_Job(name, photo, evidence, counts) for name, photo in photos]
        for job in jobs:
            job.future.add_done_callback(job.forget)
        with self._changed:
            self.check(len(jobs))
            self._taken += len(jobs)
            self._on_taken(self._taken, self.seconds)
            self._waiting.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def close(self) -> None:
        """Answer what is queued, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            start = time.perf_counter()
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            answers: list[Answered] = []
            failure: Exception | None = None
            try:
                answers = self._answer(wanted) if wanted else []
            except Exception as error:  # whoever waits must hear of it, and the thread goes on
                failure = error
            with self._changed:
                if wanted:
                    self._pace.add(time.perf_counter() - start, len(wanted))
                self._taken -= len(jobs)
                self._on_taken(self._taken, self.seconds)
            for job in wanted if failure else ():
                job.future.set_exception(failure)
            for job, answer in zip(wanted, answers, strict=False):
                job.future.set_result(answer)

    def _next(self) -> list[_Job]:
        """The next photos; none when there will be no more."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            fair = ceil(len(self._waiting) / len(self._threads))
            return [self._waiting.popleft() for _ in range(min(self._batch, fair))]

    def _answer(self, jobs: Sequence[_Job]) -> list[Answered]:
        opened = [
            try_to_open(job.photo, self.classifier.size, max_pixels=self._pixels, name=job.name)
            for job in jobs
        ]
        predictions = self.classifier.predict_pixels(opened, [job.name for job in jobs])
        answers = []
        for job, found in zip(jobs, predictions, strict=True):
            drawn = found.heatmap if job.evidence else None
            answers.append(Answered(found, None if drawn is None else heatmap_png(drawn)))
            if job.counts:
                self._on_answer(found)
        return answers
