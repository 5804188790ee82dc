"""Keeping feedback beside a service that answers: on threads of its own, swept now and then."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from platecheck.errors import MissingExtraError
from platecheck.feedback.errors import StorageError
from platecheck.serving import metrics
from platecheck.serving.logs import event
from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings

if TYPE_CHECKING:
    from platecheck.feedback.retention import RetentionJob
    from platecheck.feedback.store import Store

T = TypeVar("T")

# Threads that wait for the database, and most requests that wait for these threads.
THREADS, WAITING = 4, 16
RETRY = {"Retry-After": "10"}  # seconds


class FeedbackService:
    """Asks a store, on threads of its own: the event loop waits for no database, and no disk.

    Attributes:
        waiting: requests that wait for an answer of the store.
    """

    def __init__(self, store: "Store", days: int) -> None:
        self.store = store
        self.days = days
        self.waiting = 0
        self._threads = ThreadPoolExecutor(THREADS, "feedback")
        self._sweeper: RetentionJob | None = None

    def start(self) -> None:
        from platecheck.feedback.retention import RetentionJob

        self._sweeper = RetentionJob(self.store, timedelta(days=self.days), _count)

    def stop(self) -> None:
        if self._sweeper:
            self._sweeper.stop()
        self._threads.shutdown()
        self.store.close()

    async def ask(
        self,
        work: Callable[[], T],
        otherwise: str,
        undo: Callable[[T], None] = lambda result: None,
    ) -> T:
        """Do something with the store.

        Args:
            work: what to do.
            otherwise: what to say if it does not work.
            undo: what to do with the result if nobody waits for it any more.

        Raises:
            ProblemError: 503, it does not work now.
        """
        if self.waiting == WAITING:
            raise ProblemError(503, f"too much feedback at this moment: {otherwise}", headers=RETRY)
        self.waiting += 1
        future = self._threads.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:

            def undo_it(done: Future[T]) -> None:
                if not done.cancelled() and not done.exception():
                    undo(done.result())

            if future.done():
                self._threads.submit(undo_it, future)
            else:
                future.add_done_callback(undo_it)  # called on the thread that does the work
            raise
        except StorageError as error:
            event(logging.WARNING, "feedback failed", reason=str(error))
            raise ProblemError(503, f"{otherwise}; try again later", headers=RETRY) from error
        finally:
            self.waiting -= 1


def open_feedback(settings: Settings) -> "Store | None":
    """What keeps feedback, made if need be; None where it is off.

    Raises:
        SettingsError: the database or the folder cannot be used.
        MissingExtraError: packages are missing.
        StorageError: the database cannot be reached.
    """
    if settings.feedback is None or settings.feedback_photos is None:
        return None
    try:
        from platecheck.feedback.store import open_store
    except ModuleNotFoundError as error:
        raise MissingExtraError("Feedback", "feedback") from error
    return open_store(settings.feedback, settings.feedback_photos, create=True)


def _count(swept: Mapping[str, int]) -> None:
    for outcome, count in swept.items():
        metrics.FEEDBACK.labels(outcome).inc(count)
