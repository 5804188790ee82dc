"""Read photos with boxes from folders in YOLO format.

A photo ``images/A.jpg`` has its boxes in ``labels/A.txt``, one a line: the number of a class, then
center x, center y, width and height as shares of the photo's sides; or, after the class, the points
of an outline, whose extent is the box.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from platecheck.data.folders import UNSPLIT, split_of
from platecheck.errors import DataError
from platecheck.glob import files_below

IMAGES, LABELS = "images", "labels"
TOLERANCE = 0.01  # boxes may stick out of the photo by this share of its sides, from rounding
MOST_CLASSES = 10_000
_NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True, eq=False)
class BoxedPhoto:
    """A photo and its boxes.

    Attributes:
        path: the file.
        boxes: x0, y0, x1, y1 as shares of width and height, float32 [M, 4].
        split: ``train``, ``val``, ``test``, … or ``all``.
    """

    path: Path
    boxes: NDArray[np.float32]
    split: str


def read_boxes(folder: Path, classes: Sequence[str] | None = None) -> list[BoxedPhoto]:
    """Read a folder with ``images/`` and ``labels/``, in either of which splits may be folders.

    The splits may also be outside, as in ``train/images``. A photo without a label file has no
    boxes.

    Args:
        folder: the folder.
        classes: names of the classes that are dishes, as in the folder's ``data.yaml``,
            ``classes.txt`` or ``obj.names`` [default: all].

    Raises:
        DataError: the layout or a label file is invalid, or a class is unknown.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one with {IMAGES}/ and {LABELS}/")
    names = _read_names(folder)
    wanted = _wanted(folder, names, classes)
    found = []
    labelled = 0
    for split, images, labels in _parts(folder):
        if not labels.is_dir():
            raise DataError(
                f"{labels} is missing; it should hold the boxes of the photos in {images}"
            )
        for path in map(Path, files_below(str(images))):
            label = (labels / path.relative_to(images)).with_suffix(".txt")
            has_label = label.is_file()
            boxes = read_label(label, wanted, len(names)) if has_label else _array([])
            found.append(BoxedPhoto(path, boxes, split))
            labelled += has_label
    if not found:
        raise DataError(f"{folder} has no photos in its {IMAGES} folders")
    if not labelled:
        raise DataError(
            f"no photo in {folder} has a label file: of {found[0].path.name} it would be"
            f" {found[0].path.stem}.txt in {LABELS}; list photos without dishes under 'empty'"
        )
    return found


def read_label(path: Path, wanted: set[int] | None = None, known: int = 0) -> NDArray[np.float32]:
    """Read one label file; return x0, y0, x1, y1 as shares, float32 [M, 4].

    Args:
        path: the file.
        wanted: numbers of the classes to read [default: all].
        known: number of classes that have names; 0: unknown.

    Raises:
        DataError: a line is malformed; the message has the file, the line and the reason.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    boxes = []
    for number, line in enumerate(lines, start=1):
        if fields := line.split():
            try:
                kind, box = _parse(fields, known)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            if wanted is None or kind in wanted:
                boxes.append(box)
    return _array(boxes)


def _parse(fields: list[str], known: int) -> tuple[int, list[float]]:
    """Return class and x0, y0, x1, y1 of a line."""
    if not _NUMBER.fullmatch(fields[0]):
        raise ValueError(f"the class must be a number of 0 or more, not '{fields[0]}'")
    kind = int(fields[0])
    if known and kind >= known:
        raise ValueError(f"class {kind} has no name: there are {known}, counted from 0")
    try:
        values = [float(field) for field in fields[1:]]
    except ValueError:
        raise ValueError(
            f"expected numbers after the class, found '{' '.join(fields[1:])}'"
        ) from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"expected a class and 4 numbers, or an outline, not {len(fields)} fields")
    if not np.isfinite(values).all():
        raise ValueError("a number is not finite")
    if len(values) == 4:
        x, y, w, h = values
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    else:
        box = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
    if min(box) < -TOLERANCE or max(box) > 1 + TOLERANCE:
        raise ValueError(
            "the box is outside the photo; numbers must be shares of its sides, 0 to 1"
        )
    box = [min(max(value, 0.0), 1.0) for value in box]
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("the box has no width or no height")
    return kind, box


def _array(boxes: list[list[float]]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _parts(folder: Path) -> list[tuple[str, Path, Path]]:
    """Return each split's name, folder of photos and folder of labels."""
    inner = [p for p in _folders(folder) if split_of(p.name) and (p / IMAGES).is_dir()]
    if inner:
        return [(split_of(p.name) or "", p / IMAGES, p / LABELS) for p in inner]
    images, labels = folder / IMAGES, folder / LABELS
    if not images.is_dir():
        raise DataError(
            f"{folder} has no {IMAGES} folder; expected {IMAGES}/ and {LABELS}/, with or without"
            " train, val and test in them"
        )
    splits = [p for p in _folders(images) if split_of(p.name)]
    if not splits:
        return [(UNSPLIT, images, labels)]
    others = (Path(path) for path in files_below(str(images)))
    if beside := [p for p in others if not split_of(p.relative_to(images).parts[0])]:
        raise DataError(
            f"{images} has {splits[0].name} and {len(beside)} photos beside it, such as"
            f" {beside[0].relative_to(images)}; move them into train, val or test"
        )
    return [(split_of(p.name) or "", p, labels / p.name) for p in splits]


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir())


def _read_names(folder: Path) -> list[str]:
    """Return the names of the classes, in the order of their numbers; empty if there are none."""
    for name in ("data.yaml", "data.yml"):
        path = folder / name
        if path.is_file():
            return _names_in_yaml(path)
    for path in (folder / "classes.txt", folder / LABELS / "classes.txt", folder / "obj.names"):
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _names_in_yaml(path: Path) -> list[str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        names = content["names"]
        if isinstance(names, dict) and set(names) <= set(range(MOST_CLASSES)):
            return [str(names.get(index, "")) for index in range(max(names, default=-1) + 1)]
        if not isinstance(names, list):
            raise TypeError
        return [str(name) for name in names]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise DataError(f"{path} has no list of class names under 'names'") from error


def _wanted(folder: Path, names: list[str], classes: Sequence[str] | None) -> set[int] | None:
    if classes is None:
        return None
    if not names:
        raise DataError(f"{folder} has no data.yaml or classes.txt that names its classes")
    if unknown := [name for name in classes if name not in names]:
        raise DataError(
            f"{folder} has no class '{unknown[0]}'; it has: {', '.join(filter(None, names))}"
        )
    return {index for index, name in enumerate(names) if name in classes}
