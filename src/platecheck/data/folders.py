"""Photos sorted into folders: ``DIR/{train,val,test,…}/{class}/…`` or ``DIR/{class}/…``."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from platecheck.cpus import cpu_count
from platecheck.errors import DataError, PhotoError
from platecheck.glob import files_below, is_photo_file, is_result, is_system_folder
from platecheck.inputs import is_list, read_list
from platecheck.model_info import NO_DISH, UNSURE, class_key
from platecheck.photo import open_photo

# The only split of a folder that is not divided into splits.
UNSPLIT = "all"
# How folders are called that hold splits, in any case: "Train", "test_set", "validation" …
_SPLIT_NAME = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev|eval(?:uation)?)"
    r"|(?P<test>test(?:ing)?)|hidden|holdout)(?:[-_ ]?(?:set|data|images|photos|split))?",
    re.IGNORECASE,
)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")
# Of files that platecheck writes: a folder that holds nothing else is no class.
_RESULTS = frozenset({".onnx", ".html", ".csv", ".json", ".jsonl", ".parquet", ".yaml", ".md"})


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
        notes: what people should know of how the folder was read, a line each.
    """

    folder: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    unreadable: tuple[PhotoError, ...] = ()
    notes: tuple[str, ...] = ()

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


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for; None where it is no usual name of one."""
    found = _SPLIT_NAME.fullmatch(name)
    return found and (found.lastgroup or found[0].lower())


def base_of(folder: Path) -> Path:
    """Where the names of a set's photos begin: the folder itself, or that of a list."""
    return folder.parent if is_list(folder) else folder


def _folders(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.is_dir() and not is_system_folder(p.name))
    return sorted(p for p in found if not is_result(p))


def _direct_photos(folder: Path) -> int:
    return sum(p.is_file() and is_photo_file(p.name) for p in folder.iterdir())


def list_photos(folder: Path, *, classes: Sequence[str] | None = None) -> PhotoSet:
    """List the photos below a folder, or of a list, without opening them.

    Args:
        folder: holds ``{split}/{class}/…`` or ``{class}/…``; the former when the name of a
            first-level folder is a usual one of a split. A folder beside the splits that holds
            splits itself is left out; where it stands alone it is read instead. Or a CSV list with
            the columns path, label and perhaps split.
        classes: class names that the folders must be among, to fix the labels (those of a
            trained model, say); read from the folders when absent.

    Raises:
        DataError: no such folder, no photos, an empty class, fewer than two classes, a class
            missing from a split, one that is not among `classes`, or one named as an answer is.
    """
    folder = Path(folder)
    notes: list[str] = []
    found: dict[tuple[str, str], list[Path]] = {}
    if is_list(folder) and folder.is_file():
        for row in read_list(folder):
            split = split_of(row.split) or row.split.lower() or UNSPLIT
            if not row.label:
                raise DataError(f"{folder} gives no label for {row.path}; it needs a column label")
            found.setdefault((split, row.label), []).append(Path(row.path))
    else:
        folder = _inner_set(folder, notes)
        where = _class_folders(folder, notes)
        for split, class_folder in where:
            results: list[Path] = []
            besides = [c for _, c in where if c != class_folder]
            paths = list(files_below(str(class_folder), besides=besides, results=results))
            if paths or not (results or _only_results(class_folder)):
                found.setdefault((split, class_folder.name), []).extend(map(Path, paths))
    for split in sorted({split for split, _ in found} - {UNSPLIT}):
        if split_of(split) is None:
            notes.append(f"'{split}' is no usual name of a split: training leaves it out")
    found = _by_class_name(folder, found, classes or ())
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


def _inner_set(folder: Path, notes: list[str]) -> Path:
    """The folder that holds the splits, where it was named one or more folders too high."""
    if folder.is_file() and folder.suffix.lower() in _ARCHIVES:
        raise DataError(f"{folder} is an archive; unpack it, and name the folder that comes of it")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that holds photos sorted into classes")
    if is_result(folder):
        raise DataError(f"{folder} holds what platecheck wrote; name the folder of the photos")
    first = _folders(folder)
    sets = [p for p in first if _holds_set(p)]
    if any(split_of(p.name) for p in first) or len(sets) != 1:
        return folder
    if len(first) > 1:
        raise DataError(f"{folder} has no train folder, but {sets[0]} has: name that one")
    notes.append(f"{folder} holds nothing but {sets[0]}, which is read")
    return _inner_set(sets[0], notes)


def _holds_set(folder: Path) -> bool:
    """Whether splits with several classes are in a folder, or in the only one that is in it."""
    inside = _folders(folder)
    return any(split_of(p.name) and len(_folders(p)) > 1 for p in inside) or (
        len(inside) == 1 and _holds_set(inside[0])
    )


def _class_folders(folder: Path, notes: list[str]) -> list[tuple[str, Path]]:
    first = _folders(folder)
    if not any(split_of(p.name) for p in first):
        above = folder.resolve().parent
        others = [p for p in _folders(above) if split_of(p.name) and not p.samefile(folder)]
        if split_of(folder.resolve().name) and others:
            notes.append(f"{folder} is one split; its other splits are in {above}")
        return [(UNSPLIT, c) for c in first]
    where = []
    for p in first:
        inside = _folders(p)
        if not any(split_of(c.name) for c in inside):
            where += [(split_of(p.name) or p.name.lower(), c) for c in inside]
        if not inside and (flat := _direct_photos(p)):
            notes.append(
                f"{p} holds {flat} photos without classes, which are left out here;"
                f" to classify them: platecheck predict '{p}'"
            )
    return where


def _only_results(folder: Path) -> bool:
    """Whether a folder holds files that platecheck writes, such as exported models, alone."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return bool(files) and all(p.suffix.lower() in _RESULTS for p in files)


def _by_class_name(
    folder: Path, found: dict[tuple[str, str], list[Path]], classes: Sequence[str]
) -> dict[tuple[str, str], list[Path]]:
    """Paths by split and class, where a class has one spelling: that of `classes`, or in train.

    Raises:
        DataError: one split has two spellings of a class, or a class is named as an answer is.
    """
    known = {class_key(name): name for name in classes}
    named: dict[tuple[str, str], list[Path]] = {}
    for split, name in sorted(found, key=lambda at: (at[0] != "train", at)):
        key = class_key(name)
        if key in ("", UNSURE, NO_DISH) and name not in classes:
            raise DataError(f"{folder} has a class '{name}', which is no class's name: rename it")
        spelled = name if name in classes else known.setdefault(key, name)
        if (split, spelled) in named:
            raise DataError(
                f"{folder} has the class '{name}' twice in one split, spelled in two ways; rename"
                " one, or put their photos together"
            )
        named[split, spelled] = found[split, name]
    return named


def _check_classes(
    folder: Path,
    found: dict[tuple[str, str], list[Path]],
    names: Sequence[str],
    *,
    fixed: bool,
) -> None:
    if not any(found.values()):
        if folder.is_dir() and _direct_photos(folder):
            raise DataError(f"{folder} holds photos, but no folders of classes; name one above it")
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
            f" into a folder of its own, or name {folder / names[0]} if it holds the classes"
        )
    for split in sorted({split for split, _ in found}):
        for name in names:
            if not found.get((split, name)) and not fixed:
                place = f"{folder}/{name}" if split == UNSPLIT else f"{folder}/{split}/{name}"
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
    with ThreadPoolExecutor(min(8, cpu_count())) as pool:
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
