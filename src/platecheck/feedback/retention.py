"""Periodic deletion of expired feedback."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from platecheck.feedback.errors import StorageError
from platecheck.feedback.store import Store

logger = logging.getLogger(__name__)

INTERVAL = timedelta(minutes=10)


class RetentionJob:
    """Purges a store at once and then every ten minutes, on its own thread, until stopped.

    Args:
        store: the store.
        max_age: age at which feedback is deleted.
        on_purged: called with the result of `Store.purge`.
    """

    def __init__(
        self, store: Store, max_age: timedelta, on_purged: Callable[[dict[str, int]], None]
    ) -> None:
        self._store = store
        self._max_age = max_age
        self._on_purged = on_purged
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feedback-retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self._on_purged(self._store.purge(self._max_age))
            except StorageError as error:
                logger.warning("feedback cannot be purged: %s", error)
            if self._stopped.wait(INTERVAL.total_seconds()):
                return
