"""Photo folder: files are stored as uploaded and named by their hash."""

import hashlib
import os
import tempfile
from pathlib import Path

from platecheck.files import PART, sync_folder

# File with the id of the database that the photos belong to.
OWNER = "platecheck-feedback.txt"
# Offset, signature and file extension of each format.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"\x89PNG", ".png"),
    (8, b"WEBP", ".webp"),
    (4, b"ftypavif", ".avif"),
    (0, b"GIF8", ".gif"),
    (0, b"BM", ".bmp"),
    (0, b"II*\0", ".tif"),
    (0, b"MM\0*", ".tif"),
)


def photo_name(content: bytes) -> str:
    """Return ``ab/cdef….jpg``: SHA-256 and file extension of a photo.

    Unlisted formats get .jpg; readers detect the format from the content.
    """
    digest = hashlib.sha256(content).hexdigest()
    suffix = next(
        (suffix for at, start, suffix in _SIGNATURES if content[at:].startswith(start)), ".jpg"
    )
    return f"{digest[:2]}/{digest[2:]}{suffix}"


def sha256_in(name: str) -> str:
    """Return the SHA-256 in a photo name."""
    return name.replace("/", "").partition(".")[0]


class PhotoFolder:
    """Photos on disk. Hold the lock of a photo's name to write or delete it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def create(self) -> None:
        """Create the folder, readable by its owner only, and check that it is writable.

        Raises:
            OSError: It cannot be created or written to.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.write(b"photo")

    def owner(self) -> str | None:
        """Return the id of the database that owns the folder, or None."""
        try:
            return (self.folder / OWNER).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def set_owner(self, database: str) -> None:
        """Record the id of the database that owns the folder."""
        self._write(self.folder / OWNER, f"{database}\n".encode(), database)
        sync_folder(self.folder)

    def write(self, name: str, content: bytes, feedback: str) -> None:
        """Write a photo unless it exists, and sync it to disk.

        The id of its feedback entry names the temporary file.
        """
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            self._write(path, content, feedback)
        # Even if it existed: its writer may have been killed before syncing.
        sync_folder(path.parent)
        sync_folder(self.folder)

    def delete(self, name: str) -> None:
        path = self.path(name)
        if path.exists():
            path.unlink()
            sync_folder(path.parent)

    def delete_part(self, name: str, feedback: str) -> None:
        """Delete the temporary file of an interrupted write."""
        _part(self.path(name), feedback).unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes, token: str) -> None:
        part = _part(path, token)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _part(path: Path, token: str) -> Path:
    """Return the path of the temporary file."""
    return path.parent / f"{PART}{token}"
