"""Writing files so that a kill leaves the old one or the new one, never half of one."""

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

# How the name of a file begins that is not whole yet; a kill may leave it behind.
PART = ".part-"
# Empty file in every folder that holds results, not photos.
OUTPUT_MARKER = ".platecheck-output"
# The file that is locked: file systems of other machines do not lock folders.
LOCK = ".lock"
# What keeps every file on a disk from being written, whichever library meets it.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, which many writers choose the format by.

    Raises:
        DataError: `path` is a device or a pipe, which root could replace, but must not.
        OutputError: it cannot be written.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is not a file that can be written anew; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=path.suffix)
    except OSError as error:
        raise OutputError(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        with writing(path):
            yield temporary
        umask = os.umask(0)
        os.umask(umask)
        try:
            temporary.chmod(0o666 & ~umask)  # mkstemp's files are private, the result is not
            temporary.replace(path)
        except OSError as error:
            raise OutputError(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Say which disk is full, whatever a library in the block makes of it.

    Args:
        path: what the block writes.
        advice: what to do about it.

    Raises:
        OutputError: it cannot be written, or the temporary files of a library cannot be.
    """
    try:
        yield
    except Exception as error:
        if found := _output_error(path, error):
            raise OutputError(*found, advice) from error
        raise


def _output_error(path: Path, error: Exception) -> tuple[Path | str, OSError] | None:
    """What cannot be written and why, if that is what was behind an error."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if told := next((each for each in chain if isinstance(each, OutputError)), None):
        return told.path, told
    if isinstance(error, PlatecheckError):
        return None
    # Libraries in Rust and C++ only quote the number, or not even that.
    quoted = [int(number) for number in re.findall(r"os error (\d+)", " ".join(map(str, chain)))]
    numbers = [each.errno for each in chain if isinstance(each, OSError)] + quoted
    known = next((number for number in numbers if number in DISK_ERRORS), None)
    if known is None and isinstance(error, OSError):
        return None
    # The last resort: temporary files of a library, torch's or Lightning's, lie elsewhere.
    own, temporary = path if path.is_dir() else path.parent, Path(tempfile.gettempdir())
    for folder, named in ((own, path), (temporary, temporary)):
        if fault := _fault(folder):
            return named, fault
    return (path, OSError(known, os.strerror(known))) if known else None


def _fault(folder: Path) -> OSError | None:
    """Why no file can be written into a folder; None if one can. It leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
            file.flush()
    except OSError as error:
        return error
    return None


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Refuse an output that cannot be written, before any work is spent on it.

    Args:
        path: of a file that may be there already, or of a folder; parents may be missing.
        folder: it is the latter.

    Raises:
        DataError: a folder where a file is wanted, or the other way round, or a device.
        OutputError: the place cannot be written to.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        wanted = "folder" if folder else "file that can be written anew"
        raise DataError(f"{path} is not a {wanted}; choose another name")
    nearest = path.absolute() if folder else path.absolute().parent
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if error := _fault(nearest):
        raise OutputError(path, error, "choose another place")


@contextmanager
def locked(folder: Path, advice: str = "wait for it to end") -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be, and goes if left empty.

    The system lets go of the lock, however this process ends. Where it knows no locks, there is
    none.

    Args:
        folder: to work in.
        advice: what to do where another process is in it.

    Raises:
        DataError: another process is in it.
        OutputError: it cannot be written to.
    """
    import fcntl  # which Windows does not have, where predicting works all the same

    file = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            opened = file.open("a+", encoding="utf-8")
        except FileNotFoundError:  # whoever was in it has deleted it since
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
                f"another process{holder and f' ({holder})'} is at work in {folder}; {advice}"
            ) from None
        except OSError:
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                break
        opened.close()  # it was deleted between our opening and our locking it
    # A process that is forked off must not hold the lock when this one is gone.
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
    """Have a folder's names on the disk: what was renamed in it stays so when the power fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; it takes its name if the block succeeds."""
    part = folder.parent / f"{PART}{uuid.uuid4().hex}"
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            folder.rmdir()  # it was empty, and some systems do not rename onto a folder
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
