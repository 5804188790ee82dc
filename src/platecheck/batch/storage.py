"""Open photos and manifests by path or URL, such as ``s3://bucket/key``."""

import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote, unquote_to_bytes

import fsspec
import pyarrow as pa
from pyarrow import fs

from platecheck import glob
from platecheck.errors import DataError, PhotoError
from platecheck.glob import Entry, is_remote
from platecheck.inputs import LazyFile
from platecheck.model_info import first_line
from platecheck.photo import MAX_BYTES, Source

# Schemes that pyarrow opens itself, faster and without more packages; fsspec opens the others.
_NATIVE = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_FILE = "file://"


def local_path(place: str) -> str:
    """Return the path of a ``file://`` URL; other paths and URLs stay as they are."""
    if not place.startswith(f"{_FILE}/"):
        return place
    return os.fsdecode(unquote_to_bytes(place.removeprefix(_FILE)))


def as_text(path: str, root: str) -> str:
    """Return a path as Unicode, which is all that Parquet and JSON hold.

    A name that is not UTF-8 becomes a ``file://`` URL below `root`, which preserves its bytes.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        if is_remote(root):  # object stores have no such names
            return os.fsencode(path).decode(errors="backslashreplace")
        return _FILE + quote(os.fsencode(Path(root, path)))
    return path


def filesystem(place: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URL, and the path within it.

    Object keys are taken literally, as other programs do: ``%20`` is not a space.
    """
    if not is_remote(place):
        return fs.LocalFileSystem(), place
    scheme, _, rest = place.partition("://")
    try:
        if scheme.lower() in _NATIVE:
            host, _, key = rest.partition("/")
            opener, base = _connect(f"{scheme.lower()}://{host}")
            return opener, f"{base.rstrip('/')}/{key}" if key else base
        opener, path = fsspec.url_to_fs(place)
    except (pa.ArrowException, OSError, ImportError, ValueError) as error:
        raise DataError(f"{place} cannot be opened: {first_line(error)}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(opener)), path


_connect = lru_cache(maxsize=64)(fs.FileSystem.from_uri)


def file_info(place: str) -> fs.FileInfo:
    """Return type, size and time of a file or folder, also of one that does not exist."""
    opener, path = filesystem(place)
    try:
        return opener.get_file_info(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{place} cannot be read: {first_line(error)}") from error


def list_entries(folder: str) -> list[Entry]:
    """List a folder for `platecheck.glob.files_below`."""
    if not is_remote(folder):
        return glob.local_entries(folder)
    opener, path = filesystem(folder)
    try:
        found = opener.get_file_info(fs.FileSelector(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(
            f"{folder} cannot be listed ({reason}); to skip it, pass a manifest instead"
        ) from error
    # A key such as "a//b" makes a store list the folder inside itself.
    return [
        (info.base_name, info.type == fs.FileType.Directory, False)
        for info in found
        if info.path.rstrip("/") != path.rstrip("/")
    ]


def photo_at(path: str | None, root: str) -> Source:
    """Return a photo of a manifest as `platecheck.photo.open_photo` takes it.

    Remote photos are read later, in the thread that decodes them.
    """
    place = local_path(path or "")
    if place and not is_remote(place):
        if not is_remote(root) or Path(place).is_absolute():
            return str(Path(root, place))
        place = f"{root.rstrip('/')}/{place}"

    def read() -> bytes:
        if not place:
            raise PhotoError("", "the path is empty in the manifest")
        try:
            opener, inside = filesystem(place)
            with opener.open_input_file(inside) as file:
                if file.seekable() and file.size() > MAX_BYTES:  # do not read it at all
                    raise PhotoError(place, f"the file is larger than {MAX_BYTES // 2**20} MB")
                return bytes(file.read())
        except (pa.ArrowInvalid, DataError) as error:
            raise PhotoError(place, f"reading failed ({first_line(error)})") from error

    return cast(BinaryIO, LazyFile(place, read))
