"""Decoded and resized photos, kept on disk so that each is decoded once.

Keyed by the content of the file, so an entry can never belong to another photo or an older
version of it. Plain pixels rather than a cache library's pickles: nothing that is read back can
run code, and a damaged entry shows by its length. Any number of processes may use one folder.
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

# Part of the key: raise it when `open_photo` changes any pixel.
DECODER_VERSION = 1
DEFAULT_MAX_BYTES = 4 * 2**30


def default_folder() -> Path:
    """``$PLATECHECK_CACHE``, else ``$XDG_CACHE_HOME/platecheck``, else ``~/.cache/platecheck``."""
    if folder := os.environ.get("PLATECHECK_CACHE"):
        return Path(folder)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home: nothing can be kept
        base = os.devnull
    return Path(base) / "platecheck"


# matplotlib keeps a list of fonts: beside our own cache, and never in the way.
os.environ.setdefault("MPLCONFIGDIR", str(default_folder() / "matplotlib"))


def entry_path(folder: Path, photo: Photo, end: str) -> Path:
    """Where a cache keeps what belongs to the content of a photo."""
    if not photo.sha256:
        raise ValueError("the photo has no hash: read the folder with read_photos")
    return folder / photo.sha256[:2] / f"{photo.sha256}-{end}"


class PixelCache:
    """Photos at one size, as uint8 [size, size, 3].

    Bounded: when `max_bytes` would be passed, the entries that have not been used for longest go
    first, but never one used since this cache was opened, since a set larger than the bound would
    otherwise push itself out again and again. A folder that cannot be written to, or a full disk,
    costs speed and nothing else.
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
        """Pixels of a photo: from the cache, else decoded and put there.

        Args:
            photo: with its `sha256`.

        Raises:
            PhotoError: the photo cannot be opened.
        """
        entry = entry_path(self.folder, photo, f"{self.size}-v{DECODER_VERSION}.rgb")
        if (pixels := self._read(entry)) is not None:
            return pixels
        pixels = open_photo(photo.path, size=self.size)
        with contextlib.suppress(OSError):
            if sha256_of(photo.path) == photo.sha256:  # else it has changed since it was hashed
                self._write(entry, pixels)
        return pixels

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of each entry and of what killed processes left."""
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process has just removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _read(self, entry: Path) -> NDArray[np.uint8] | None:
        try:
            pixels = np.fromfile(entry, np.uint8)
        except OSError:
            return None
        if pixels.size != self.size * self.size * 3:
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read still gives pixels
            os.utime(entry)
        return pixels.reshape(self.size, self.size, 3)

    def _write(self, entry: Path, pixels: NDArray[np.uint8]) -> None:
        if self._bytes + pixels.nbytes > self.max_bytes and not self._make_room(pixels.nbytes):
            return
        with replacing(entry) as temporary:
            temporary.write_bytes(pixels.tobytes())
        self._bytes += pixels.nbytes

    def _make_room(self, wanted: int) -> bool:
        known = sorted(self._entries())
        self._bytes = sum(size for _, size, _ in known)
        for used, size, entry in known:
            if self._bytes + wanted <= self.max_bytes or used >= self._opened:
                break
            entry.unlink(missing_ok=True)
            self._bytes -= size
        return self._bytes + wanted <= self.max_bytes
