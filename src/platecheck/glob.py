"""The files below a folder, or those of a glob, in a fixed order; one rule of what is skipped."""

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
"""A file or folder: its name, whether it is a folder, whether it is a symbolic link."""

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
"""Lower-case names of folders that hold copies, thumbnails and rubbish, not photos of their own."""

# Beside a photo of the same name: the film of a Live Photo.
_FILMS = (".mov", ".mp4")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(place: str) -> bool:
    """Whether a place is a URL of another machine."""
    return _REMOTE.match(place) is not None and not place.startswith("file://")


def is_system_folder(name: str) -> bool:
    """Whether a folder is hidden, or an operating system's or a network disk's own."""
    name = name.lower()
    return name.startswith((".", "@gmt-")) or name in SYSTEM_FOLDERS


def is_photo_file(name: str) -> bool:
    """Whether a file counts as a photo, be it of a kind that cannot be read, which is then told."""
    path = Path(name.lower())
    if path.suffix in NOT_DOWNLOADED:
        return is_photo_file(path.stem.lstrip("."))
    return not name.startswith(".") and path.suffix in PHOTO_SUFFIXES | UNSUPPORTED_SUFFIXES


def is_result(folder: Path) -> bool:
    """Whether a folder is passed over: it holds results, or is the store of a feedback database."""
    return (folder / "platecheck-feedback.txt").is_file() or is_output(folder)


def is_glob(place: str) -> bool:
    """Whether a place is a pattern; a file or folder of just this name goes before."""
    return glob.has_magic(place) and (is_remote(place) or not os.path.lexists(place))


def local_entries(folder: str) -> list[Entry]:
    """What a folder of this machine holds.

    Raises:
        DataError: it cannot be listed: to go on would leave photos out unsaid.
    """
    try:
        with os.scandir(folder) as found:
            return [
                (e.name, Path(e.path).is_dir() if e.is_symlink() else e.is_dir(), e.is_symlink())
                for e in found
            ]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}); to leave it out, give a list of photos"
            " instead"
        ) from error


def files_below(
    place: str,
    wanted: Callable[[str], bool] = is_photo_file,
    *,
    entries: Callable[[str], list[Entry]] = local_entries,
    besides: Iterable[Path] = (),
    results: list[Path] | None = None,
) -> Iterator[str]:
    """Files at any depth whose names are wanted; a folder's own before those of folders in it.

    Names are sorted. Each folder is entered once, however many links lead to it: links to folders
    come last, and those to a folder above are not followed.

    Args:
        place: a folder or a glob, here or at a URL. In a glob ``**`` is any depth, and a folder
            that it matches stands for all that it holds.
        wanted: says so of a file's name.
        entries: lists a folder.
        besides: folders that are read in another way, so that links to them are not followed.
        results: gets the folders that were passed over because platecheck wrote them.

    Raises:
        DataError: a folder cannot be listed, or `place` itself is one that platecheck wrote.
    """
    base, patterns = _divided(place) if is_glob(place) else (place, ())
    local = not is_remote(base)
    if local and is_output(Path(base)):
        raise DataError(
            f"{base} holds what platecheck wrote, not photos; name the folder of the photos"
        )
    links: list[Names] = []
    above = [*Path(base).resolve().parents, *besides] if local else []
    seen = {_identity(p) for p in above} - {_identity(Path(base))}

    def walk(inside: Names) -> Iterator[str]:
        folder = _joined(base, inside)
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
                if name.lower().endswith(_FILMS) and Path(name).stem in photos:
                    continue
                if visible and wanted(name) and _fits(names, patterns):
                    yield _joined(base, names)
            elif not is_system_folder(name) and _fits(names, patterns, so_far=True):
                if not local or not is_result(Path(folder, name)):
                    (links if is_link else folders).append(names)
                elif results is not None:
                    results.append(Path(folder, name))
        for names in folders:
            yield from walk(names)

    yield from walk(())
    for names in links:  # which grow meanwhile
        yield from walk(names)


def _identity(folder: Path) -> object:
    with suppress(OSError):
        found = folder.stat()
        return found.st_dev, found.st_ino
    return folder


def _divided(place: str) -> tuple[str, Names]:
    """The folder that a glob begins with, and the patterns below it."""
    parts = place.split("/")
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    if is_remote(place) and first < 3:
        raise DataError(f"{place}: a pattern must begin after the first name of a URL")
    base = "/".join(parts[:first])
    return base or "/" * first, tuple(filter(None, parts[first:]))


def _joined(base: str, names: Names) -> str:
    if is_remote(base):
        return "/".join([base.rstrip("/"), *names])
    return str(Path(base, *names))


def _fits(names: Names, patterns: Names, *, so_far: bool = False) -> bool:
    """Whether names match to the end, or up to a folder that holds them; or may when continued."""
    if not patterns or (so_far and not names):
        return True
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        return so_far or any(_fits(names[skipped:], rest) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], first) and _fits(names[1:], rest, so_far=so_far)
