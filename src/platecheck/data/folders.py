"""Read datasets from folders: ``DIR/{train,val,test,…}/{class}/…`` or ``DIR/{class}/…``."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from platecheck.cpus import in_threads
from platecheck.errors import DataError, PhotoError
from platecheck.glob import files_below, is_photo_file, is_result, is_system_folder
from platecheck.inputs import is_list, read_list
from platecheck.model_info import NO_DISH, UNSURE, class_key
from platecheck.photo import open_photo

UNSPLIT = "all"  # the only split of a folder without splits
# Names of split folders in any case: "Train", "test_set", "validation" …
_SPLIT_NAME = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev|eval(?:uation)?)"
    r"|(?P<test>test(?:ing)?)|hidden|holdout)(?:[-_ ]?(?:set|data|images|photos|split))?",
    re.IGNORECASE,
)
SOURCE_LISTS = (".yaml", ".yml")  # files that list folders: `platecheck.data.boxes`
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")
# Suffixes of files that platecheck writes: a folder with nothing else is not a class.
_RESULT_SUFFIXES = {".onnx", ".html", ".csv", ".json", ".jsonl", ".parquet", ".yaml", ".md"}
_Found = dict[tuple[str, str], list[Path]]  # photos by (split, class name)


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a dataset."""

    path: Path
    name: str  # path relative to the dataset folder, with ``/``
    label: int  # index of its class in `PhotoSet.classes`
    split: str  # ``train``, ``val``, ``test``, … or ``all``
    sha256: str = ""  # hash of the file's bytes; "" before `checked`


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """A dataset: the labelled photos of a folder."""

    folder: Path
    classes: tuple[str, ...]  # class names, in alphabetical order
    photos: tuple[Photo, ...]  # sorted by name
    unreadable: tuple[PhotoError, ...] = ()
    notes: tuple[str, ...] = ()  # remarks on how the folder was read, one line each

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that contain photos, sorted."""
        return tuple(sorted({photo.split for photo in self.photos}))

    def split(self, name: str) -> tuple[Photo, ...]:
        """Return the photos of one split."""
        chosen = tuple(photo for photo in self.photos if photo.split == name)
        if not chosen:
            splits = ", ".join(self.splits)
            raise DataError(f"{self.folder} has no split '{name}'; it has: {splits}")
        return chosen

    def counts(self) -> dict[str, dict[str, int]]:
        """Count photos by split and class name."""
        counted = Counter((photo.split, photo.label) for photo in self.photos)
        return {
            split: {name: counted[split, label] for label, name in enumerate(self.classes)}
            for split in self.splits
        }

    def fingerprint(self) -> str:
        """Return a SHA-256 over every photo's split, class, content and name.

        Names are included because they decide how photos are split; the folder's location is not.
        """
        digest = hashlib.sha256()
        rows = sorted((p.split, self.classes[p.label], p.sha256, p.name) for p in self.photos)
        for split, label, sha256, name in rows:
            if not sha256:
                raise ValueError("photos have no hashes yet; call read_photos or checked first")
            digest.update(os.fsencode(f"{split}\t{label}\t{sha256}\t{name}\n"))
        return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_of(name: str) -> str | None:
    """Return the split that a folder name stands for, or None if it is not a known split name."""
    match = _SPLIT_NAME.fullmatch(name)
    return match and (match.lastgroup or match[0].lower())


def base_of(folder: Path) -> Path:
    """Return the folder that photo names are relative to: `folder`, or the parent of a list."""
    return folder.parent if is_list(folder) or folder.suffix.lower() in SOURCE_LISTS else folder


def list_photos(folder: Path, *, classes: Sequence[str] | None = None) -> PhotoSet:
    """List the photos of a dataset folder or list without opening them.

    Args:
        folder: contains ``{split}/{class}/…``, if any first-level folder has a known split name,
            or ``{class}/…``. A nested dataset beside the splits is skipped; on its own it is read
            instead. Or a CSV list with the columns path, label and optionally split.
        classes: allowed class names, which fix the label indices (a trained model's, for example);
            taken from the folders by default.

    Raises:
        DataError: no such folder, no photos, fewer than two classes, or an empty, missing, unknown
            or reserved class.
    """
    folder = Path(folder)
    notes: list[str] = []
    found: _Found = {}
    if is_list(folder) and folder.is_file():
        for row in read_list(folder):
            split = split_of(row.split) or row.split.lower() or UNSPLIT
            if not row.label:
                raise DataError(f"{folder} has no label for {row.path}; add a column 'label'")
            found.setdefault((split, row.label), []).append(Path(row.path))
    else:
        folder = _find_dataset(folder, notes)
        found = _find_photos(folder, notes)
    for split in sorted({split for split, _ in found} - {UNSPLIT}):
        if split_of(split) is None:
            notes.append(f"'{split}' is not a known split name; training ignores it")
    found = _unify_class_names(folder, found, classes or ())
    names = tuple(classes) if classes else tuple(sorted({name for _, name in found}))
    _check_classes(folder, found, names, fixed=classes is not None)
    base = base_of(folder)
    photos = [
        Photo(path, Path(os.path.relpath(path, base)).as_posix(), names.index(name), split)
        for (split, name), paths in found.items()
        for path in paths
    ]
    ordered = tuple(sorted(photos, key=lambda photo: photo.name))
    return PhotoSet(folder, names, ordered, notes=tuple(notes))


def _folders(folder: Path) -> list[Path]:
    folders = (p for p in folder.iterdir() if p.is_dir() and not is_system_folder(p.name))
    return sorted(p for p in folders if not is_result(p))


def _direct_photos(folder: Path) -> int:
    return sum(p.is_file() and is_photo_file(p.name) for p in folder.iterdir())


def _find_dataset(folder: Path, notes: list[str]) -> Path:
    """Return the folder that contains the splits, if `folder` is one or more levels above it."""
    if folder.is_file() and folder.suffix.lower() in _ARCHIVES:
        raise DataError(f"{folder} is an archive; unpack it and give the resulting folder")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one with photos sorted into classes")
    if is_result(folder):
        raise DataError(f"{folder} contains platecheck's output; pass the folder of the photos")
    first = _folders(folder)
    datasets = [p for p in first if _contains_splits(p)]
    if any(split_of(p.name) for p in first) or len(datasets) != 1:
        return folder
    if len(first) > 1:
        raise DataError(f"{folder} has no train folder, but {datasets[0]} does; use that folder")
    notes.append(f"{folder} contains only {datasets[0]}, which is read instead")
    return _find_dataset(datasets[0], notes)


def _contains_splits(folder: Path) -> bool:
    """Return whether a folder, or its only subfolder, has splits with several classes."""
    inside = _folders(folder)
    return any(split_of(p.name) and len(_folders(p)) > 1 for p in inside) or (
        len(inside) == 1 and _contains_splits(inside[0])
    )


def _find_photos(folder: Path, notes: list[str]) -> _Found:
    """Return the photos of a dataset folder, without class folders that hold only results."""
    pairs = _class_folders(folder, notes)
    found: _Found = {}
    for split, class_folder in pairs:
        results: list[Path] = []
        besides = [other for _, other in pairs if other != class_folder]
        paths = [Path(p) for p in files_below(str(class_folder), besides=besides, results=results)]
        files = (p for p in class_folder.rglob("*") if p.is_file() and p.name[0] != ".")
        suffixes = {p.suffix.lower() for p in files} if not paths else set()
        if paths or not (results or (suffixes and suffixes <= _RESULT_SUFFIXES)):
            found.setdefault((split, class_folder.name), []).extend(paths)
    return found


def _class_folders(folder: Path, notes: list[str]) -> list[tuple[str, Path]]:
    """Return the (split, class folder) pairs of a dataset."""
    first = _folders(folder)
    if not any(split_of(p.name) for p in first):
        above = folder.resolve().parent
        others = [p for p in _folders(above) if split_of(p.name) and not p.samefile(folder)]
        if split_of(folder.resolve().name) and others:
            notes.append(f"{folder} is one split; its other splits are in {above}")
        return [(UNSPLIT, c) for c in first]
    pairs = []
    for p in first:
        inside = _folders(p)
        if not any(split_of(c.name) for c in inside):
            pairs += [(split_of(p.name) or p.name.lower(), c) for c in inside]
        if not inside and (flat := _direct_photos(p)):
            notes.append(
                f"{p} holds {flat} photos without classes, which are ignored;"
                f" to classify them, run: platecheck predict '{p}'"
            )
    return pairs


def _unify_class_names(folder: Path, found: _Found, classes: Sequence[str]) -> _Found:
    """Normalize the spelling of class names to `classes`, or else to the train split."""
    known = {class_key(name): name for name in classes}
    named: _Found = {}
    for split, name in sorted(found, key=lambda at: (at[0] != "train", at)):
        key = class_key(name)
        if key in ("", UNSURE, NO_DISH) and name not in classes:
            raise DataError(f"{folder} has a class '{name}', a reserved name; rename the folder")
        spelled = name if name in classes else known.setdefault(key, name)
        if (split, spelled) in named:
            raise DataError(
                f"{folder} has the class '{name}' in two spellings in one split; merge the two"
                " folders or rename one"
            )
        named[split, spelled] = found[split, name]
    return named


def _check_classes(folder: Path, found: _Found, names: Sequence[str], *, fixed: bool) -> None:
    if not any(found.values()):
        if folder.is_dir() and _direct_photos(folder):
            raise DataError(f"{folder} has photos but no class folders; give its parent folder")
        raise DataError(
            f"{folder} contains no photos; expected {folder}/train/CLASS/PHOTO or"
            f" {folder}/CLASS/PHOTO"
        )
    if unknown := sorted({name for _, name in found} - set(names)):
        raise DataError(
            f"{folder} has a class '{unknown[0]}' that the model does not know;"
            f" it knows: {', '.join(names)}"
        )
    if len(names) < 2:
        raise DataError(
            f"{folder} has only one class ('{names[0]}'); put the photos of each class into a"
            f" folder of its own, or give {folder / names[0]} if it contains the classes"
        )
    for split in sorted({split for split, _ in found}):
        for name in names:
            if not found.get((split, name)) and not fixed:
                place = f"{folder}/{name}" if split == UNSPLIT else f"{folder}/{split}/{name}"
                state = "is empty" if (split, name) in found else "is missing"
                if set(names) == {"images", "labels"}:
                    raise DataError(f"{folder} has boxes for a detector, not classes of photos")
                raise DataError(f"class folder {place} {state}; every class needs photos")


def checked(
    listed: PhotoSet, *, strict: bool = False, on_photo: Callable[[], None] | None = None
) -> PhotoSet:
    """Hash every photo and drop those that cannot be opened; `on_photo` is called after each.

    Raises:
        DataError: `strict` and a photo cannot be opened, or a class of a split has none left.
    """

    def check(photo: Photo) -> Photo | PhotoError:
        try:
            # Small enough for JPEGs to be decoded at 1/8 scale; the whole file is still read.
            open_photo(photo.path, size=8)
            return replace(photo, sha256=sha256_of(photo.path))
        except PhotoError as error:
            return error
        except OSError as error:  # deleted since it was opened
            return PhotoError(str(photo.path), error.strerror or str(error))

    results = list(in_threads(check, listed.photos, on_done=on_photo))
    good = tuple(result for result in results if isinstance(result, Photo))
    bad = tuple(result for result in results if isinstance(result, PhotoError))
    if bad and strict:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(f"unreadable photos (--strict): {bad[0]}{more}")
    remaining = {(photo.split, photo.label) for photo in good}
    for photo in listed.photos:
        if (photo.split, photo.label) not in remaining:
            raise DataError(
                f"no photo of class '{listed.classes[photo.label]}' in split '{photo.split}' of"
                f" {listed.folder} can be opened; first error: {bad[0]}"
            )
    return replace(listed, photos=good, unreadable=bad)


def read_photos(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    on_photo: Callable[[], None] | None = None,
) -> PhotoSet:
    """List a dataset's photos, then check and hash them; see `list_photos` and `checked`."""
    return checked(list_photos(folder, classes=classes), strict=strict, on_photo=on_photo)
