"""The files below a folder, or those of a glob, here or in an object store."""

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyarrow import fs

from platecheck import walk
from platecheck.batch.places import filesystem
from platecheck.errors import DataError
from platecheck.model_info import first_line
from platecheck.walk import Entry, is_remote


def files_below(place: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """As :func:`platecheck.walk.files_below`, also for a URL."""
    entries = _remote_entries if is_remote(place) else walk.local_entries
    return walk.files_below(place, wanted, entries=entries)


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
