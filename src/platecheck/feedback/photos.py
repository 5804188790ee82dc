"""The folder of photos: each is written exactly as it came, and named by its content."""

import hashlib
import os
import tempfile
from pathlib import Path

from platecheck.files import PART, sync_folder

# The file that says which database the photos belong to.
OWNER = "platecheck-feedback.txt"
# Where a format's files begin with what, and what they are called.
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
    """``ab/cdef….jpg``: the SHA-256 of a photo, and what its format's files are called.

    A rare format gets .jpg too: names are for people, whoever opens a photo looks at its content.
    """
    digest = hashlib.sha256(content).hexdigest()
    suffix = next(
        (suffix for at, start, suffix in _SIGNATURES if content[at:].startswith(start)), ".jpg"
    )
    return f"{digest[:2]}/{digest[2:]}{suffix}"


def sha256_in(name: str) -> str:
    """The SHA-256 that a photo's name is made of."""
    return name.replace("/", "").partition(".")[0]


class PhotoFolder:
    """Photos on disk. Who writes or drops one must hold the lock of its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def create(self) -> None:
        """Make the folder if need be, for its owner's eyes only, and see that it can be written.

        Raises:
            OSError: that does not work.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.write(b"photo")

    def owner(self) -> str | None:
        """Id of the database whose photos these are; None: of none yet."""
        try:
            return (self.folder / OWNER).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def give_to(self, database: str) -> None:
        """Note the id of the database whose photos these are."""
        self._write(self.folder / OWNER, f"{database}\n".encode(), database)
        sync_folder(self.folder)

    def keep(self, name: str, content: bytes, feedback: str) -> None:
        """Write a photo unless it is there; it is on the disk when this returns.

        The id of its feedback names the file while it is not whole.
        """
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            self._write(path, content, feedback)
        # Also where it was there: who renamed it may have been killed before this.
        sync_folder(path.parent)
        sync_folder(self.folder)

    def drop(self, name: str) -> None:
        path = self.path(name)
        if path.exists():
            path.unlink()
            sync_folder(path.parent)

    def drop_part(self, name: str, feedback: str) -> None:
        """Delete what a kill left of a photo that was being written."""
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
    """What a file is called while it is not whole."""
    return path.parent / f"{PART}{token}"
