"""One process at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platecheck.errors import DataError

LOCK = "lock"
"""The file that is locked: file systems of other machines do not lock folders."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be, and goes if left empty.

    The system lets go of the lock, however this process ends. Where it knows no locks, there is
    none.

    Raises:
        DataError: another process is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    with file.open("wb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another process is at work in {folder}") from None
        except OSError:
            pass
        try:
            yield
        finally:
            file.unlink()
            with suppress(OSError):
                folder.rmdir()
