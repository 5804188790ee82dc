"""Find photos recursively or by glob pattern, in a deterministic order, with shared skip rules."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from platecheck.errors import DataError
from platecheck.files import is_output
from platecheck.photo_formats import (
    NOT_DOWNLOADED,
    PHOTO_SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    is_photo_name,
)

Names = tuple[str, ...]
Entry = tuple[str, bool, bool]
"""A directory entry: name, whether it is a folder, whether it is a symbolic link."""

# fmt: off
SYSTEM_FOLDERS = frozenset({
    "#recycle", "#snapshot", "$recycle.bin", "$windows.~bt", "@__thumb", "@appstore", "@database",
    "@download", "@eadir", "@quarantine", "@recently-snapshot", "@recycle", "@sharebin",
    "@snapshot", "@syno", "@tmp", "@transcode", "__macosx", "__pycache__", "backups.backupdb",
    "desktop folder", "found.000", "lost+found", "msocache", "network trash folder",
    "node_modules", "recycled", "recycler", "resource.frk", "site-packages",
    "system volume information", "temporary items", "thevolumesettingsfolder", "~snapshot",
})
# fmt: on
"""Lower-case names of folders of copies, thumbnails and deleted files."""

# Skipped beside a photo of the same name: the video of a Live Photo.
_VIDEOS = (".mov", ".mp4")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(place: str) -> bool:
    """Return whether a path is a URL other than ``file://``."""
    return _REMOTE.match(place) is not None and not place.startswith("file://")


def is_system_folder(name: str) -> bool:
    """Return whether a folder is hidden or belongs to an operating system or network drive."""
    name = name.lower()
    return name.startswith((".", "@gmt-")) or name in SYSTEM_FOLDERS


def is_photo_file(name: str) -> bool:
    """Return whether a file counts as a photo; unsupported formats do, to be reported later."""
    path = Path(name.lower())
    if path.suffix in NOT_DOWNLOADED:
        return is_photo_file(path.stem.lstrip("."))
    return not name.startswith(".") and path.suffix in PHOTO_SUFFIXES | UNSUPPORTED_SUFFIXES


def is_result(folder: Path) -> bool:
    """Return whether a folder is skipped because it holds results or feedback photos."""
    return os.path.isfile(folder / "platecheck-feedback.txt") or is_output(folder)


def is_glob(place: str) -> bool:
    """Return whether a path is a pattern and not the name of an existing file or folder."""
    return glob.has_magic(place) and (is_remote(place) or not os.path.lexists(place))


def local_entries(folder: str) -> list[Entry]:
    """List a local folder; raise DataError rather than leave photos out silently."""
    try:
        with os.scandir(folder) as entries:
            return [
                (e.name, Path(e.path).is_dir() if e.is_symlink() else e.is_dir(), e.is_symlink())
                for e in entries
            ]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}); to skip it, pass a list instead"
        ) from error


def files_below(
    place: str,
    wanted: Callable[[str], bool] = is_photo_file,
    *,
    entries: Callable[[str], list[Entry]] = local_entries,
    besides: Iterable[Path] = (),
    results: list[Path] | None = None,
) -> Iterator[str]:
    """Yield matching files at any depth, sorted by name; a folder's files before its subfolders'.

    Each folder is visited once, however many links lead to it: links to folders come last, and
    links to a parent folder are not followed.

    Args:
        place: a folder or glob pattern, local or a URL. ``**`` matches any depth, and a matching
            folder includes everything in it.
        besides: folders that are read separately, so that links to them are not followed.
        results: filled with the folders that were skipped because platecheck wrote them.

    Raises:
        DataError: a folder cannot be listed, or platecheck wrote `place` itself.
    """
    base, patterns = _split_pattern(place) if is_glob(place) else (place, ())
    local = not is_remote(base)
    if local and is_output(Path(base)):
        raise DataError(
            f"{base} contains platecheck's output, not photos; give the folder of the photos"
        )
    links: list[Names] = []
    skipped = [*Path(base).resolve().parents, *besides] if local else []
    seen = {_identity(p) for p in skipped} - {_identity(Path(base))}

    def walk(inside: Names) -> Iterator[str]:
        folder = _join(base, inside)
        identity = _identity(Path(folder)) if local else folder
        if identity in seen:
            return
        seen.add(identity)
        folders: list[Names] = []
        listed = sorted(entries(folder))
        photos = {Path(name).stem for name, *_ in listed if is_photo_name(name)}
        for name, is_folder, is_link in listed:
            names = (*inside, name)
            if not is_folder:
                visible = not name.startswith(".") or name.endswith(NOT_DOWNLOADED)
                if name.lower().endswith(_VIDEOS) and Path(name).stem in photos:
                    continue
                if visible and wanted(name) and _matches(names, patterns):
                    yield _join(base, names)
            elif not is_system_folder(name) and _matches(names, patterns, partial=True):
                if not local or not is_result(Path(folder, name)):
                    (links if is_link else folders).append(names)
                elif results is not None:
                    results.append(Path(folder, name))
        for names in folders:
            yield from walk(names)

    yield from walk(())
    for names in links:  # grows during the loop
        yield from walk(names)


def _identity(folder: Path) -> object:
    with suppress(OSError):
        status = folder.stat()
        return status.st_dev, status.st_ino
    return folder


def _split_pattern(place: str) -> tuple[str, Names]:
    """Split a glob into its fixed leading folder and the patterns below it."""
    parts = place.split("/")
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    if is_remote(place) and first < 3:
        raise DataError(f"{place}: a pattern must begin after the first name of a URL")
    return "/".join(parts[:first]) or "/" * first, tuple(filter(None, parts[first:]))


def _join(base: str, names: Names) -> str:
    if is_remote(base):
        return "/".join([base.rstrip("/"), *names])
    return str(Path(base, *names))


def _matches(names: Names, patterns: Names, *, partial: bool = False) -> bool:
    """Return whether names or a parent folder match; with `partial`, whether they still can."""
    if not patterns or (partial and not names):
        return True
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        return partial or any(_matches(names[depth:], rest) for depth in range(len(names) + 1))
    return (
        bool(names) and fnmatchcase(names[0], first) and _matches(names[1:], rest, partial=partial)
    )
