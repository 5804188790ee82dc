"""The files below a folder, or those of a glob, in a fixed order; one folder's names at a time."""

import glob
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from platecheck.batch.places import filesystem, is_remote
from platecheck.errors import DataError
from platecheck.model_info import first_line

Names = tuple[str, ...]


def is_glob(place: str) -> bool:
    """Whether a place is a pattern; a file or folder of just this name goes before."""
    return glob.has_magic(place) and (is_remote(place) or not os.path.lexists(place))


def files_below(place: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Files at any depth whose names are wanted; a folder's own before those of folders in it.

    Names are sorted. Hidden files and folders are left out; links to folders are not followed.

    Args:
        place: a folder or a glob, here or at a URL. In a glob ``**`` is any depth, and a folder
            that it matches stands for all that it holds.
        wanted: says so of a file's name.

    Raises:
        DataError: a folder cannot be listed: to go on would leave photos out unsaid.
    """
    base, patterns = _divided(place) if is_glob(place) else (place, ())
    return _walk(base, (), patterns, wanted)


def _divided(place: str) -> tuple[str, Names]:
    """The folder that a glob begins with, and the patterns below it."""
    parts = place.split("/")
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    if is_remote(place) and first < 3:
        raise DataError(f"{place}: a pattern must begin after the first name of a URL")
    base = "/".join(parts[:first])
    return base or "/" * first, tuple(filter(None, parts[first:]))


def _walk(
    base: str, inside: Names, patterns: Names, wanted: Callable[[str], bool]
) -> Iterator[str]:
    folders = []
    for name, is_folder in sorted(_entries(_joined(base, inside))):
        names = (*inside, name)
        if name.startswith("."):
            continue
        if is_folder:
            folders.append(names)
        elif wanted(name) and _matches(names, patterns):
            yield _joined(base, names)
    for names in folders:
        if _may_lead_to_one(names, patterns):
            yield from _walk(base, names, patterns, wanted)


def _joined(base: str, names: Names) -> str:
    if is_remote(base):
        return "/".join([base.rstrip("/"), *names])
    return str(Path(base, *names))


def _matches(names: Names, patterns: Names) -> bool:
    if not patterns:
        return True  # to the end, or up to a folder that holds it
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        return any(_matches(names[skipped:], rest) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], first) and _matches(names[1:], rest)


def _may_lead_to_one(folders: Names, patterns: Names) -> bool:
    if not folders or not patterns or patterns[0] == "**":
        return True
    return fnmatchcase(folders[0], patterns[0]) and _may_lead_to_one(folders[1:], patterns[1:])


def _entries(folder: str) -> list[tuple[str, bool]]:
    """What a folder holds: each name, and whether it is a folder."""
    try:
        return _remote_entries(folder) if is_remote(folder) else _local_entries(folder)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(
            f"{folder} cannot be listed ({reason}); to leave it out, give a list of photos instead"
        ) from error


def _local_entries(folder: str) -> list[tuple[str, bool]]:
    with os.scandir(folder) as found:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]


def _remote_entries(folder: str) -> list[tuple[str, bool]]:
    opener, path = filesystem(folder)
    found = opener.get_file_info(fs.FileSelector(path))
    # A key such as "a//b" makes a store name the folder itself among what it holds.
    return [
        (info.base_name, info.type == fs.FileType.Directory)
        for info in found
        if info.path.rstrip("/") != path.rstrip("/")
    ]
