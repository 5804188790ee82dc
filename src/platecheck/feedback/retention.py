"""Sweeps now and then: what is too old goes, and what a kill left half-way."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from platecheck.feedback.errors import StorageError
from platecheck.feedback.store import Store

logger = logging.getLogger(__name__)

EVERY = timedelta(minutes=10)


class RetentionJob:
    """Sweeps a store at once and every ten minutes, on a thread of its own, until stopped.

    Feedback that is older than `keep` is deleted; `on_swept` gets what :meth:`Store.sweep` found.
    """

    def __init__(
        self, store: Store, keep: timedelta, on_swept: Callable[[dict[str, int]], None]
    ) -> None:
        self._store = store
        self._keep = keep
        self._on_swept = on_swept
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feedback-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self._on_swept(self._store.sweep(self._keep))
            except StorageError as error:
                logger.warning("feedback cannot be swept: %s", error)
            if self._stopped.wait(EVERY.total_seconds()):
                return
