"""Disk cache of decoded and resized photos.

Entries are keyed by the hash of the file, so they are never stale. They hold raw pixels, not
pickles: reading one cannot run code, and a damaged entry is detected by its length. Any number of
processes may share one folder.
"""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.data.folders import Photo, sha256_of
from platecheck.files import replacing
from platecheck.photo import open_photo

# Part of the key; increase it when `open_photo` changes any pixel.
DECODER_VERSION = 1
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


def entry_path(folder: Path, photo: Photo, suffix: str) -> Path:
    """Return the path of a cache entry for the content of a photo."""
    if not photo.sha256:
        raise ValueError("the photo has no hash; read the folder with read_photos")
    return folder / photo.sha256[:2] / f"{photo.sha256}-{suffix}"


class PixelCache:
    """Least-recently-used cache of photos at one size, uint8 [size, size, 3].

    Entries used since the cache was opened are never evicted, because a dataset larger than
    `max_bytes` would otherwise keep evicting itself. If the folder is not writable or the disk is
    full, the cache is merely slower.
    """

    def __init__(
        self, size: int, *, folder: Path | None = None, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self.size = size
        self.folder = (folder or default_folder()) / "pixels"
        self.max_bytes = max_bytes
        self._opened = time.time()
        self._bytes = sum(size for _, size, _ in self._entries())

    def get(self, photo: Photo) -> NDArray[np.uint8]:
        """Return a photo's pixels from the cache, or decode and store them.

        Args:
            photo: must have its `sha256`.

        Raises:
            PhotoError: the photo cannot be opened.
        """
        entry = entry_path(self.folder, photo, f"{self.size}-v{DECODER_VERSION}.rgb")
        if (pixels := self._read(entry)) is not None:
            return pixels
        pixels = open_photo(photo.path, size=self.size)
        with contextlib.suppress(OSError):
            if sha256_of(photo.path) == photo.sha256:  # the file may have changed since
                self._write(entry, pixels)
        return pixels

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Return time of last use, size and path of all files, leftover temporary ones included."""
        entries = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process has just removed it
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        return entries

    def _read(self, entry: Path) -> NDArray[np.uint8] | None:
        try:
            pixels = np.fromfile(entry, np.uint8)
        except OSError:
            return None
        if pixels.size != self.size * self.size * 3:
            return None
        with contextlib.suppress(OSError):  # a read-only cache is still useful
            os.utime(entry)
        return pixels.reshape(self.size, self.size, 3)

    def _write(self, entry: Path, pixels: NDArray[np.uint8]) -> None:
        if self._bytes + pixels.nbytes > self.max_bytes and not self._evict(pixels.nbytes):
            return
        with replacing(entry) as temporary:
            temporary.write_bytes(pixels.tobytes())
        self._bytes += pixels.nbytes

    def _evict(self, needed: int) -> bool:
        """Evict entries until `needed` more bytes fit; return whether they do."""
        entries = sorted(self._entries())
        self._bytes = sum(size for _, size, _ in entries)
        for used, size, entry in entries:
            if self._bytes + needed <= self.max_bytes or used >= self._opened:
                break
            entry.unlink(missing_ok=True)
            self._bytes -= size
        return self._bytes + needed <= self.max_bytes
