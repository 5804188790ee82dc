"""Where photos and lists are: a path on this machine, or a URL such as ``s3://bucket/key``."""

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa
from pyarrow import fs

from platecheck import glob
from platecheck.errors import DataError, PhotoError
from platecheck.glob import Entry, is_remote
from platecheck.inputs import LazyFile
from platecheck.model_info import first_line
from platecheck.photo import MAX_BYTES, Source

PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""Endings of packed files, and what packed them."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_FILE = "file://"


def local_path(place: str) -> str:
    """The path that a ``file://`` URL stands for; others as they are."""
    if not place.startswith(f"{_FILE}/"):
        return place
    return os.fsdecode(unquote_to_bytes(place.removeprefix(_FILE)))


def as_text(path: str, root: str) -> str:
    """A path as Unicode text, which is all that Parquet and JSON hold.

    One whose bytes are not UTF-8 becomes a ``file://`` URL, which says them all.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        if is_remote(root):  # there, no file has such a name
            return os.fsencode(path).decode(errors="backslashreplace")
        return _FILE + quote(os.fsencode(Path(root, path)))
    return path


def filesystem(url: str) -> tuple[fs.FileSystem, str]:
    """What opens the files of a URL, and the path that it knows this one by.

    Names are taken as they are, as by other programs for object stores: ``%20`` is no blank.

    Raises:
        DataError: this kind of URL is not known.
    """
    found = _URL.match(url)
    assert found, url
    scheme, host, key = found.groups()
    opener, base = _host(scheme.lower(), host)
    return opener, f"{base.rstrip('/')}/{key}" if key else base


@lru_cache(maxsize=64)
def _host(scheme: str, host: str) -> tuple[fs.FileSystem, str]:
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(f"{scheme}://{host}")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{scheme}://{host} cannot be reached: {first_line(error)}") from error
    return found


def files_below(place: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """As `platecheck.glob.files_below`, also for a URL."""
    entries = _remote_entries if is_remote(place) else glob.local_entries
    return glob.files_below(place, wanted, entries=entries)


def _remote_entries(folder: str) -> list[Entry]:
    opener, path = filesystem(folder)
    try:
        found = opener.get_file_info(fs.FileSelector(path))
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(
            f"{folder} cannot be listed ({reason}); to leave it out, give a list of photos instead"
        ) from error
    # A key such as "a//b" makes a store name the folder itself among what it holds.
    return [
        (info.base_name, info.type == fs.FileType.Directory, False)
        for info in found
        if info.path.rstrip("/") != path.rstrip("/")
    ]


def photo_at(path: str | None, root: str) -> Source:
    """What `platecheck.photo.open_photo` takes for a path of a list.

    Nothing is opened yet: that is for the thread that decodes the photo.

    Args:
        path: None or "" where the list has none.
        root: where relative paths begin.
    """
    if not path:
        return _later("", _no_path)
    if is_remote(path):
        return _later(path, partial(_read_remote, path))
    path = local_path(path)
    if not is_remote(root) or Path(path).is_absolute():
        return str(Path(root, path))
    url = f"{root.rstrip('/')}/{path}"
    return _later(url, partial(_read_remote, url))


def _later(name: str, content: Callable[[], bytes]) -> BinaryIO:
    return cast(BinaryIO, LazyFile(name, content))


def _no_path() -> bytes:
    raise PhotoError("", "the list has no path here")


def _read_remote(url: str) -> bytes:
    """A whole file, unless it is larger than a photo may be.

    Raises:
        PhotoError: it is, or its name cannot be one.
        OSError: whatever else is wrong.
    """
    try:
        opener, path = filesystem(url)
        with opener.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise PhotoError(url, f"the file is larger than {MAX_BYTES // 2**20} MB")
            content: bytes = file.read()
            return content
    except (pa.ArrowInvalid, DataError) as error:
        raise PhotoError(url, f"cannot be read ({first_line(error)})") from error


def open_list(place: str) -> Any:
    """Open a file for reading, here or elsewhere; ``.gz`` and the like are unpacked.

    Raises:
        OSError: it cannot be opened.
    """
    if is_remote(place):
        opener, path = filesystem(place)
        return opener.open_input_stream(path, compression="detect")
    codec = next((name for suffix, name in PACKED.items() if place.endswith(suffix)), None)
    file = Path(place).open("rb")  # noqa: SIM115 (who asked for it closes it)
    return pa.CompressedInputStream(file, codec) if codec else file
