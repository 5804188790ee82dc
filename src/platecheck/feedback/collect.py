"""Collect reviewed feedback into a training dataset."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from platecheck.auditing.duplicates import group_numbers
from platecheck.auditing.features import extract_all_features
from platecheck.data.folders import Photo, sha256_of
from platecheck.data.segmentation import MaskCache
from platecheck.data.splits import SHARES, divide
from platecheck.errors import DataError, PhotoError
from platecheck.feedback.photos import sha256_in
from platecheck.feedback.reviews import Decisions, Item, Reviews
from platecheck.feedback.store import Store
from platecheck.files import new_folder, write_text
from platecheck.model_info import NO_DISH
from platecheck.photo import open_photo

MANIFEST = "manifest.csv"
COLUMNS = ("path", "sha256", "split", "label", "reviewers", "group", "feedback")


@dataclass(frozen=True, slots=True)
class Collected:
    """A collected dataset.

    Attributes:
        folder: its folder.
        counts: number of photos by split and class.
        left_out: number of excluded photos by reason.
        groups: number of groups of near-duplicates, singletons included.
    """

    folder: Path
    counts: dict[str, dict[str, int]]
    left_out: dict[str, int]
    groups: int


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A photo with its label and number of reviewers; 0 if labelled by users only."""

    item: Item
    label: str
    reviewers: int


def collect(
    store: Store,
    folder: Path,
    *,
    unreviewed: bool = False,
    seed: int = 0,
    on_start: Callable[[int], None] = lambda photos: None,
    on_photo: Callable[[], None] = lambda: None,
) -> Collected:
    """Copy labelled photos into ``DIR/{train,val,test}/{class}/``.

    Near-duplicates go into the same split, and each photo is copied once. The result is
    deterministic for the same feedback and seed.

    Args:
        store: the feedback.
        folder: output folder; must be new or empty, and is created atomically.
        unreviewed: use the labels of users for photos without a review.
        seed: seed of the split.
        on_start: called with the number of photos to process.
        on_photo: called after each photo.

    Raises:
        DataError: The folder is not empty, or there are too few photos.
        StorageError: The database is unavailable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose a new folder")
    reviews = Reviews(store)
    known, left_out = _labelled(reviews.queue(), reviews.decisions(), unreviewed)
    found = {each.item.photo: each for each in known if _is_intact(store, each.item.photo)}
    left_out["unreadable"] = len(known) - len(found)
    if not found:
        hint = "" if unreviewed else "; run platecheck review, or pass --unreviewed to trust users"
        raise DataError(f"no labelled feedback{hint}")
    classes = sorted({each.label for each in found.values()})
    labelled = [
        Photo(store.photos.path(name), name, classes.index(each.label), "", sha256_in(name))
        for name, each in sorted(found.items())
    ]
    on_start(len(labelled))
    features = extract_all_features(labelled, MaskCache(), on_photo=on_photo)
    numbers = group_numbers(features)
    split_photos = _split(labelled, numbers, seed)
    counts = _counts(split_photos, classes)
    _write(folder, split_photos, numbers, [found[photo.name] for photo in split_photos])
    return Collected(folder, counts, dict(+left_out), len(set(numbers)))


def _labelled(
    items: Sequence[Item], decisions: Decisions, unreviewed: bool
) -> tuple[list[_Labelled], Counter[str]]:
    """Label each photo; also count the excluded ones by reason."""
    known, left_out = [], Counter[str]()
    for item in items:
        decided = decisions.get(item.photo, {})
        said = set(decided.values()) or {each.true_label for each in item.feedback}
        if not decided and not unreviewed:
            left_out["not reviewed"] += 1
        elif len(said) > 1:
            left_out["reviewers disagree" if decided else "users disagree"] += 1
        elif said == {NO_DISH}:
            left_out[NO_DISH] += 1
        else:
            known.append(_Labelled(item, said.pop(), len(decided)))
    return known, left_out


def _is_intact(store: Store, name: str) -> bool:
    """Return whether a photo can be opened and matches the hash in its name."""
    try:
        open_photo(store.photos.path(name), size=8)
        return sha256_of(store.photos.path(name)) == sha256_in(name)
    except (PhotoError, OSError):
        return False


def _split(photos: Sequence[Photo], numbers: Sequence[int], seed: int) -> list[Photo]:
    """Assign splits by group; `photos` are sorted by name."""
    first: dict[int, Photo] = {}
    for photo, number in zip(photos, numbers, strict=True):
        first.setdefault(number, photo)
    splits = {photo.name: photo.split for photo in divide(tuple(first.values()), SHARES, seed=seed)}
    return [
        replace(photo, split=splits[first[number].name])
        for photo, number in zip(photos, numbers, strict=True)
    ]


def _counts(photos: Sequence[Photo], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    if len(classes) < 2:
        raise DataError(f"all photos are of class '{classes[0]}'; at least two classes are needed")
    counts = {split: dict.fromkeys(classes, 0) for split in SHARES}
    for photo in photos:
        counts[photo.split][classes[photo.label]] += 1
    for split, name in product(SHARES, classes):
        if not counts[split][name]:
            total = sum(row[name] for row in counts.values())
            raise DataError(
                f"too few photos of class '{name}' ({total}): '{split}' would have none;"
                f" ten different photos are enough"
            )
    return counts


def _write(
    folder: Path, photos: Sequence[Photo], numbers: Sequence[int], known: Sequence[_Labelled]
) -> None:
    with new_folder(folder) as part:
        rows = []
        for photo, number, each in zip(photos, numbers, known, strict=True):
            path = Path(photo.split, each.label, photo.name.replace("/", ""))
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo.path, part / path)
            ids = " ".join(entry.id for entry in each.item.feedback)
            row = (photo.sha256, photo.split, each.label, each.reviewers, number, ids)
            rows.append((path.as_posix(), *row))
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(rows)])
        write_text(part / MANIFEST, file.getvalue())
