"""Photos sorted into folders: ``DIR/{train,val,test,…}/{class}/…`` or ``DIR/{class}/…``."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from platecheck.errors import DataError, PhotoError
from platecheck.photo import is_photo_name, open_photo

# The only split of a folder that is not divided into splits.
WHOLE = "all"
# Where a first-level folder has one of these names, all of them that hold folders are splits.
SPLIT_NAMES = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "hidden", "holdout"}
)
# Other spellings of the names that the commands use.
_CANONICAL = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a set.

    Attributes:
        path: where the file is.
        name: its path below the set's folder, with ``/``.
        label: index of its class in :attr:`PhotoSet.classes`.
        split: ``train``, ``val``, ``test``, … or ``all``.
        sha256: hash of the file's bytes, or "" before :func:`checked`.
    """

    path: Path
    name: str
    label: int
    split: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """The photos of a folder.

    Attributes:
        folder: the folder that was read.
        classes: class names, in alphabetical order.
        photos: ordered by name.
        unreadable: one error per photo that was left out.
    """

    folder: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    unreadable: tuple[PhotoError, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold photos."""
        return tuple(sorted({photo.split for photo in self.photos}))

    def split(self, name: str) -> tuple[Photo, ...]:
        """Photos of one split.

        Raises:
            DataError: there is no such split.
        """
        chosen = tuple(photo for photo in self.photos if photo.split == name)
        if not chosen:
            raise DataError(
                f"{self.folder} has no photos in a split '{name}'; it has: {', '.join(self.splits)}"
            )
        return chosen

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of photos by split and class name."""
        counted = Counter((photo.split, photo.label) for photo in self.photos)
        return {
            split: {name: counted[split, label] for label, name in enumerate(self.classes)}
            for split in self.splits
        }

    def fingerprint(self) -> str:
        """SHA-256 of every photo's split, class, content and name: the identity of the data.

        Names count, since they decide how photos are divided; where the folder lies does not.
        """
        digest = hashlib.sha256()
        rows = sorted((p.split, self.classes[p.label], p.sha256, p.name) for p in self.photos)
        for split, label, sha256, name in rows:
            if not sha256:
                raise ValueError("photos have no hashes yet: use read_photos or checked first")
            digest.update(os.fsencode(f"{split}\t{label}\t{sha256}\t{name}\n"))
        return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_split_name(name: str) -> bool:
    return name.lower() in SPLIT_NAMES


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def photos_below(folder: Path) -> Iterable[Path]:
    """Photo files at any depth, hidden files and folders left out, in a fixed order."""
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and is_photo_name(name):
                yield Path(parent, name)


def list_photos(folder: Path, *, classes: Sequence[str] | None = None) -> PhotoSet:
    """List the photos below a folder without opening them.

    Args:
        folder: holds ``{split}/{class}/…`` or ``{class}/…``; the former when the name of a
            first-level folder is one of :data:`SPLIT_NAMES`. A folder beside the splits that holds
            splits itself, such as the masks of rendered dishes, is left out.
        classes: class names that the folders must be among, to fix the labels (those of a
            trained model, say); read from the folders when absent.

    Raises:
        DataError: no such folder, no photos, an empty class, fewer than two classes, a class
            missing from a split, or a class that is not among `classes`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that holds photos sorted into classes")
    first = _visible_folders(folder)
    if any(_is_split_name(p.name) for p in first):
        inside = {p: _visible_folders(p) for p in first}
        where = [
            (_CANONICAL.get(p.name.lower(), p.name.lower()), c)
            for p, class_folders in inside.items()
            if not any(_is_split_name(c.name) for c in class_folders)
            for c in class_folders
        ]
    else:
        where = [(WHOLE, c) for c in first]
    found: dict[tuple[str, str], list[Path]] = {}
    for split, class_folder in where:
        found.setdefault((split, class_folder.name), []).extend(photos_below(class_folder))
    names = tuple(classes) if classes else tuple(sorted({name for _, name in found}))
    _check_classes(folder, found, names, fixed=classes is not None)
    photos = [
        Photo(path, path.relative_to(folder).as_posix(), names.index(name), split)
        for (split, name), paths in found.items()
        for path in paths
    ]
    return PhotoSet(folder, names, tuple(sorted(photos, key=lambda photo: photo.name)))


def _check_classes(
    folder: Path,
    found: dict[tuple[str, str], list[Path]],
    names: Sequence[str],
    *,
    fixed: bool,
) -> None:
    if not any(found.values()):
        raise DataError(
            f"{folder} holds no photos; expected {folder}/train/CLASS/PHOTO or {folder}/CLASS/PHOTO"
        )
    if strangers := sorted({name for _, name in found} - set(names)):
        raise DataError(
            f"{folder} has a class '{strangers[0]}' that the model does not know;"
            f" it knows: {', '.join(names)}"
        )
    if len(names) < 2:
        raise DataError(
            f"{folder} has one class only ('{names[0]}'); put the photos of each class"
            " into a folder of its own"
        )
    for split in sorted({split for split, _ in found}):
        for name in names:
            if not found.get((split, name)) and not fixed:
                place = f"{folder}/{name}" if split == WHOLE else f"{folder}/{split}/{name}"
                state = "is empty" if (split, name) in found else "is missing"
                raise DataError(f"class folder {place} {state}; every class needs photos there")


def checked(
    listed: PhotoSet,
    *,
    strict: bool = False,
    on_photo: Callable[[], None] | None = None,
) -> PhotoSet:
    """Hash every photo and leave out those that cannot be opened.

    Args:
        listed: from :func:`list_photos`.
        strict: refuse instead of leaving out.
        on_photo: called after each photo, for a progress bar.

    Raises:
        DataError: `strict` and a photo cannot be opened, or a class of a split has none left.
    """

    def check(photo: Photo) -> Photo | PhotoError:
        try:
            # A tiny size lets JPEGs decode at 1/8 scale: the whole file is still read.
            open_photo(photo.path, size=8)
            return replace(photo, sha256=sha256_of(photo.path))
        except PhotoError as error:
            return error
        except OSError as error:  # gone since it was opened
            return PhotoError(str(photo.path), error.strerror or str(error))

    good: list[Photo] = []
    bad: list[PhotoError] = []
    # Pillow lets go of the interpreter lock while it decodes.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for result in pool.map(check, listed.photos):
            if isinstance(result, PhotoError):
                bad.append(result)
            else:
                good.append(result)
            if on_photo:
                on_photo()
    if bad and strict:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(f"unreadable photos, and --strict was given: {bad[0]}{more}")
    remaining = {(photo.split, photo.label) for photo in good}
    for photo in listed.photos:
        if (photo.split, photo.label) not in remaining:
            raise DataError(
                f"no photo of class '{listed.classes[photo.label]}' in split '{photo.split}' of"
                f" {listed.folder} can be opened; the first: {bad[0]}"
            )
    return replace(listed, photos=tuple(good), unreadable=tuple(bad))


def read_photos(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    on_photo: Callable[[], None] | None = None,
) -> PhotoSet:
    """:func:`list_photos`, then :func:`checked`."""
    return checked(list_photos(folder, classes=classes), strict=strict, on_photo=on_photo)
