"""Writing files so that a kill leaves the old one or the new one, never half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platecheck.errors import DataError

# How the name of a file begins that is not whole yet; a kill may leave it behind.
PART = ".part-"
# Empty file in every folder that holds results, not photos.
OUTPUT_MARKER = ".platecheck-output"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, which many writers choose the format by.

    Raises:
        DataError: `path` is a device or a pipe, which root could replace, but must not.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is not a file that can be written anew; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are private, the result should not be
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk: what was renamed in it stays so when the power fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once, in UTF-8; a file's name in it keeps the bytes it has."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def mark_output(folder: Path) -> None:
    """Mark a folder as written by platecheck, so that it is never read as photos or as a class."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTPUT_MARKER).touch()


def is_output(folder: Path) -> bool:
    """Whether platecheck wrote a folder: marked, a run's, or masks of rendered dishes."""
    return (
        (folder / OUTPUT_MARKER).exists()
        or ((folder / "run.json").is_file() and (folder / "recipe.yaml").is_file())
        or (folder.name == "masks" and (folder.parent / "synth.csv").is_file())
    )
