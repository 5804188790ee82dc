"""The photos of a detector: with boxes, of single dishes, without dishes.

They come from a folder in YOLO format, or from a YAML file that lists folders by kind::

    boxes: [scenes]                # YOLO format, every dish has a box
    partly:                        # YOLO format, but some dishes have none
      - {folder: kitchens, classes: [plate, bowl, cup]}
    dishes: [../dishes]            # one dish per photo, {split}/{class}/…: its mask gives the box
    empty: [sinks/no_dishes]       # photos without a dish, {split}/… or not
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from platecheck.cpus import in_threads
from platecheck.data.folders import (
    UNSPLIT,
    Photo,
    PhotoSet,
    base_of,
    checked,
    list_photos,
    split_of,
)
from platecheck.data.segmentation import MaskCache
from platecheck.data.splits import with_validation
from platecheck.data.yolo import BoxedPhoto, read_boxes
from platecheck.errors import DataError, PhotoError
from platecheck.glob import files_below

KINDS = ("boxes", "partly", "dishes", "empty")

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class BoxedPhotoSet:
    """Photos by kind, and their boxes.

    Attributes:
        photos: the photos; their labels are indices of `KINDS`.
        boxes: x0, y0, x1, y1 as shares of width and height, float32 [M, 4], by name of the photo.
    """

    photos: PhotoSet
    boxes: Mapping[str, Boxes]

    def fingerprint(self) -> str:
        """Return a SHA-256 over the photos and their boxes."""
        digest = hashlib.sha256(self.photos.fingerprint().encode())
        for photo in self.photos.photos:
            digest.update(np.round(self.boxes[photo.name], 5).tobytes())
        return digest.hexdigest()


def read_boxed_photos(
    data: Path,
    *,
    split_seed: int | None = 0,
    strict: bool = False,
    on_photo: Callable[[], None] | None = None,
) -> BoxedPhotoSet:
    """Read, check and hash the photos of a folder or of a YAML file, and split them.

    Every folder is split on its own, as `with_validation` does. Single dishes without a good mask
    are left out, with a note.

    Args:
        data: a folder in YOLO format, or a YAML file that lists folders.
        split_seed: seed of the split of folders without validation photos; None: keep the splits.
        strict: raise on unreadable photos instead of leaving them out.
        on_photo: called after each photo.

    Raises:
        DataError: a folder, a label or the YAML file is invalid.
    """
    data = Path(data)
    photos: dict[str, Photo] = {}
    boxes: dict[str, Boxes] = {}
    unreadable: list[PhotoError] = []
    notes: list[str] = []
    for kind, folder, classes in _sources(data):
        listed, known = _list(kind, folder, classes)
        split = checked(listed, strict=strict, on_photo=on_photo)
        if split_seed is not None:
            split = with_validation(split, seed=split_seed)
        found = _mask_boxes(split) if kind == "dishes" else known
        if missing := len(split.photos) - sum(photo.path in found for photo in split.photos):
            notes.append(f"{folder}: {missing} photos in which no dish was found are left out")
        for photo in split.photos:
            if photo.path in found:
                name = _name(photo.path, data)
                if name in photos:
                    other = KINDS[photos[name].label]
                    raise DataError(f"{data} lists {name} twice: under '{other}' and '{kind}'")
                photos[name] = replace(photo, name=name, label=KINDS.index(kind))
                boxes[name] = found[photo.path]
        unreadable += split.unreadable
        notes += split.notes
    ordered = tuple(photos[name] for name in sorted(photos))
    return BoxedPhotoSet(PhotoSet(data, KINDS, ordered, tuple(unreadable), tuple(notes)), boxes)


def with_boxes(photos: PhotoSet, fingerprint: str) -> BoxedPhotoSet:
    """Read again what belongs to the photos of a run with this fingerprint.

    Raises:
        DataError: a photo is gone, or a photo or a box has changed.
    """
    now = read_boxed_photos(photos.folder, split_seed=None)
    known = {photo.name: photo.sha256 for photo in now.photos.photos}
    for photo in photos.photos:
        if known.get(photo.name) != photo.sha256:
            raise DataError(f"{photo.path} has changed or is gone since it was used for training")
    boxed = BoxedPhotoSet(photos, now.boxes)
    if boxed.fingerprint() != fingerprint:
        raise DataError(f"the boxes in {photos.folder} have changed since they were trained on")
    return boxed


def count_listed(data: Path) -> int:
    """Return the number of photos that `read_boxed_photos` will read."""
    return sum(len(_list(*source)[0].photos) for source in _sources(Path(data)))


def _sources(data: Path) -> Iterator[tuple[str, Path, list[str] | None]]:
    """Yield kind, folder and classes of the sources."""
    if base_of(data) == data:
        yield "boxes", data, None
        return
    try:
        content = yaml.safe_load(data.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{data} cannot be read as YAML: {reason}") from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{data} should list folders under {', '.join(KINDS)}")
    if "names" in content:
        raise DataError(f"{data} describes the folder {data.parent}; give the folder")
    if not any(content.values()):
        raise DataError(f"{data} lists no folders")
    for kind, entries in content.items():
        if kind not in KINDS:
            raise DataError(f"{data} has an unknown key '{kind}'; known: {', '.join(KINDS)}")
        for entry in entries if isinstance(entries, list) else [entries]:
            yield kind, *_parse_entry(data, kind, entry)


def _parse_entry(data: Path, kind: str, entry: Any) -> tuple[Path, list[str] | None]:
    content = entry if isinstance(entry, dict) else {"folder": entry}
    folder, classes = content.get("folder"), content.get("classes")
    known = {"folder", "classes"} if kind in ("boxes", "partly") else {"folder"}
    named = classes is None or (isinstance(classes, list) and classes)
    if set(content) - known or not named or not isinstance(folder, str):
        more = ", or {folder: …, classes: [...]}" if "classes" in known else ""
        raise DataError(f"{data}: under '{kind}', write a folder{more}")
    return data.parent / folder, classes


def _list(kind: str, folder: Path, classes: list[str] | None) -> tuple[PhotoSet, dict[Path, Boxes]]:
    """Return a folder's photos, with one class per folder, and the boxes that are written down."""
    if kind == "dishes":
        return list_photos(folder), {}
    if kind == "empty":
        found = [
            BoxedPhoto(path, np.zeros((0, 4), np.float32), split) for path, split in _all(folder)
        ]
    else:
        found = read_boxes(folder, classes)
    photos = [Photo(p.path, p.path.relative_to(folder).as_posix(), 0, p.split) for p in found]
    ordered = tuple(sorted(photos, key=lambda photo: photo.name))
    return PhotoSet(folder, (kind,), ordered), {photo.path: photo.boxes for photo in found}


def _all(folder: Path) -> Iterator[tuple[Path, str]]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    paths = [Path(path) for path in files_below(str(folder))]
    if not paths:
        raise DataError(f"{folder} contains no photos")
    for path in paths:
        first = path.relative_to(folder).parts[0]
        yield path, split_of(first) or UNSPLIT if path.parent != folder else UNSPLIT


def _mask_boxes(photos: PhotoSet) -> dict[Path, Boxes]:
    """Return the extents of the masks of single dishes, without those that are probably wrong."""
    masks = in_threads(MaskCache().get, photos.photos)
    boxes = {}
    for photo, mask in zip(photos.photos, masks, strict=True):
        if mask.good:
            outline = np.array(mask.outline, np.float32)
            boxes[photo.path] = np.concatenate((outline.min(0), outline.max(0)))[None]
    return boxes


def _name(path: Path, data: Path) -> str:
    """Return a path relative to the folder, or to that of the YAML file, or an absolute one."""
    path, base = path.absolute(), base_of(data).absolute()
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
