"""Caches: the folder for computed files, and decoded photos in a temporary memory-mapped file."""

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.data.folders import Photo
from platecheck.photo import open_photo

DEFAULT_MAX_BYTES = 4 * 2**30


def default_folder() -> Path:
    """Return ``$PLATECHECK_CACHE``, ``$XDG_CACHE_HOME/platecheck`` or ``~/.cache/platecheck``."""
    if folder := os.environ.get("PLATECHECK_CACHE"):
        return Path(folder)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home directory: cache nothing
        base = os.devnull
    return Path(base) / "platecheck"


# Keep matplotlib's font cache beside ours, since its default folder may not be writable.
os.environ.setdefault("MPLCONFIGDIR", str(default_folder() / "matplotlib"))


class PixelCache:
    """Decoded photos of one size in a temporary memory-mapped file, filled on first use.

    Processes forked from this one share the file; a pickled cache starts empty. The file has no
    name (it is unlinked), so it is freed when the last process that uses it ends. Without
    enough disk space, or beyond `max_bytes`, photos are decoded at every use.
    """

    def __init__(
        self,
        size: int,
        photos: Sequence[Photo],
        *,
        folder: Path | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self.size = size
        self._reopen = partial(PixelCache, size, photos, folder=folder, max_bytes=max_bytes)
        shape = (min(len(photos), max_bytes // (size * size * 3 + 1)), size * size * 3 + 1)
        self._row_of = {photo.path: row for row, photo in enumerate(photos[: shape[0]])}
        try:
            folder = folder or default_folder()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                # Reserve the space now: writing to a mapped file on a full disk kills the process.
                if hasattr(os, "posix_fallocate"):  # not on macOS
                    os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1])
                # The last byte of a row says whether its photo has been decoded.
                self._rows = np.memmap(file, np.uint8, "w+", shape=shape)
        except (OSError, ValueError):  # an unusable folder, a full disk, no photos
            self._row_of = {}

    def get(self, photo: Photo) -> NDArray[np.uint8]:
        """Return a photo's pixels, uint8 [size, size, 3]; they may be modified."""
        if (index := self._row_of.get(photo.path)) is None:
            return open_photo(photo.path, size=self.size)
        row = self._rows[index]
        if not row[-1]:
            row[:-1] = open_photo(photo.path, size=self.size).reshape(-1)
            row[-1] = 1
        return np.array(row[:-1]).reshape(self.size, self.size, 3)

    def __reduce__(self) -> tuple["partial[PixelCache]", tuple[()]]:
        return self._reopen, ()
