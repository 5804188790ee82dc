"""Atomic writes, locks and disk errors: an interrupted write never leaves a partial file."""

import errno
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from platecheck.errors import DataError, OutputError, PlatecheckError

TEMPORARY = ".part-"  # prefix of incomplete files, which a killed process may leave behind
OUTPUT_MARKER = ".platecheck-output"  # empty file that marks a folder as results, not photos
LOCK = ".lock"  # lock file; network file systems cannot lock folders
# Errors that concern the whole disk, whichever library runs into them.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    Raises:
        DataError: `path` is a device or a pipe, which root could replace by accident.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is not a regular file; choose another name")
    # The suffix stays, since many writers choose the format by it.
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(path, error) from error
    try:
        with writing(path):
            yield temporary
        try:
            temporary.replace(path)
        except OSError as error:
            raise OutputError(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Convert disk errors in the block, in whatever form a library raises them, to `OutputError`.

    Raises:
        OutputError: `path`, or a library's temporary files, cannot be written; `advice` is
            appended to its message.
    """
    try:
        yield
    except Exception as error:
        if failure := _output_error(path, error):
            raise OutputError(*failure, advice) from error
        raise


def _output_error(path: Path, error: Exception) -> tuple[Path | str, OSError] | None:
    """Return the path that cannot be written and the cause, or None for any other error."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        if isinstance(cause, OutputError):
            return cause.path, cause
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, PlatecheckError):
        return None
    # Libraries written in Rust and C++ give the error number in the message only, or not at all.
    quoted = [int(number) for number in re.findall(r"os error (\d+)", " ".join(map(str, chain)))]
    numbers = [each.errno for each in chain if isinstance(each, OSError)] + quoted
    known = next((number for number in numbers if number in DISK_ERRORS), None)
    if known is None and isinstance(error, OSError):
        return None
    # torch and Lightning also write temporary files elsewhere.
    own, temporary = path if path.is_dir() else path.parent, Path(tempfile.gettempdir())
    for folder, reported in ((own, path), (temporary, temporary)):
        if failure := _write_error(folder):
            return reported, failure
    return (path, OSError(known, os.strerror(known))) if known else None


def _write_error(folder: Path) -> OSError | None:
    """Return the error of writing a temporary file into a folder, if any."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
            file.flush()
    except OSError as error:
        return error
    return None


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Check that an output can be written before any work is spent on it.

    Raises:
        DataError: `path` exists but is not a file or, with `folder`, not a folder.
        OutputError: the location is not writable.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        expected = "folder" if folder else "regular file"
        raise DataError(f"{path} is not a {expected}; choose another name")
    nearest = path.absolute() if folder else path.absolute().parent
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if error := _write_error(nearest):
        raise OutputError(path, error, "choose another location")


@contextmanager
def locked(folder: Path, advice: str = "wait for it to finish") -> Iterator[None]:
    """Lock a folder against other processes; create it if missing, remove it if left empty.

    The system releases the lock however this process ends. On file systems without locks, the
    block runs unlocked. `advice` says what to do if another process holds the lock.

    Raises:
        DataError: another process holds the lock.
        OutputError: the folder is not writable.
    """
    import fcntl  # missing on Windows, where prediction must still work

    file = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            opened = file.open("a+", encoding="utf-8")
        except FileNotFoundError:  # the previous holder has deleted the folder meanwhile
            continue
        except OSError as error:
            raise OutputError(folder, error) from error
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.seek(0)
            holder = opened.read().strip()
            opened.close()
            raise DataError(
                f"another process{holder and f' ({holder})'} is using {folder}; {advice}"
            ) from None
        except OSError:
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                break
        opened.close()  # deleted between opening and locking
    # A forked child must not keep the lock after this process has ended.
    os.register_at_fork(after_in_child=opened.close)
    with opened:
        with suppress(OSError):
            now = datetime.now().astimezone().isoformat(" ", "minutes")
            opened.truncate(0)
            opened.write(f"{os.getpid()} on {socket.gethostname()}, since {now}\n")
            opened.flush()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that renames in it survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it to `folder` if the block succeeds."""
    temporary = folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            folder.rmdir()  # empty; some systems do not rename onto an existing folder
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; undecodable file names keep their bytes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def mark_output(folder: Path) -> None:
    """Mark a folder as platecheck's output, so that it is never read as photos or as a class."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTPUT_MARKER).touch()


def is_output(folder: Path) -> bool:
    """Return whether platecheck wrote a folder: marked, a run, or masks of rendered dishes."""
    return (
        os.path.exists(folder / OUTPUT_MARKER)
        or all(os.path.isfile(folder / name) for name in ("run.json", "recipe.yaml"))
        or (folder.name == "masks" and os.path.isfile(folder.parent / "synth.csv"))
    )
