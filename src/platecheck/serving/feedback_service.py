"""Feedback storage for the service: runs blocking calls on threads and purges old entries."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from platecheck.errors import MissingExtraError, StorageError
from platecheck.serving import observability as metrics
from platecheck.serving.observability import event
from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings

if TYPE_CHECKING:
    from platecheck.feedback.store import Store

T = TypeVar("T")

# Threads for database calls, and maximum requests waiting for them.
THREADS, MAX_WAITING = 4, 16
RETRY = {"Retry-After": "10"}  # seconds
PURGE_INTERVAL = 600  # seconds


class FeedbackService:
    """Runs calls to the store on threads, so that they do not block the event loop."""

    def __init__(self, store: "Store", days: int) -> None:
        self.store = store
        self.days = days
        self.waiting = 0  # requests
        self._threads = ThreadPoolExecutor(THREADS, "feedback")
        self._stopped = asyncio.Event()

    def start(self) -> None:
        """Start purging: immediately, then every ten minutes."""
        self._retention = asyncio.create_task(self._purge())

    async def stop(self) -> None:
        self._stopped.set()
        await self._retention
        await asyncio.to_thread(self._threads.shutdown)
        self.store.close()

    async def run_blocking(
        self, call: Callable[[], T], failure: str, undo: Callable[[T], None] = lambda result: None
    ) -> T:
        """Run a call to the store on a thread; undo its result if the request is cancelled.

        Raises:
            ProblemError: 503, the store is unavailable or busy; its text contains `failure`.
        """
        if self.waiting == MAX_WAITING:
            raise ProblemError(503, f"too many requests for feedback: {failure}", headers=RETRY)
        self.waiting += 1
        future = self._threads.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:

            def undo_result(done: Future[T]) -> None:
                if not done.cancelled() and not done.exception():
                    undo(done.result())

            if future.done():
                self._threads.submit(undo_result, future)
            else:
                future.add_done_callback(undo_result)  # runs on the worker thread
            raise
        except StorageError as error:
            event(logging.WARNING, "feedback failed", reason=str(error))
            raise ProblemError(503, f"{failure}; retry later", headers=RETRY) from error
        finally:
            self.waiting -= 1

    async def _purge(self) -> None:
        loop, max_age = asyncio.get_running_loop(), timedelta(days=self.days)
        while not self._stopped.is_set():
            try:
                expired = await loop.run_in_executor(self._threads, self.store.purge, max_age)
                metrics.FEEDBACK.labels("expired").inc(expired)
            except StorageError as error:
                event(logging.WARNING, "feedback not purged", reason=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), PURGE_INTERVAL)


def open_feedback(settings: Settings) -> "Store | None":
    """Open the feedback store, creating it if necessary; None if feedback is off."""
    if settings.feedback is None:
        return None
    try:
        from platecheck.feedback.store import open_store
    except ModuleNotFoundError as error:
        raise MissingExtraError("Feedback", "feedback") from error
    return open_store(settings.feedback, settings.feedback_photos, create=True)
