"""One process at a time in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platecheck.errors import DataError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be, and goes if left empty.

    The system lets go of the lock, however this process ends.

    Raises:
        DataError: another process is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another process is at work in {folder}") from None
        yield
    finally:
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()
