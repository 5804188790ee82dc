"""From feedback to a folder of photos to train with."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from platecheck.audit.duplicates import group_numbers
from platecheck.audit.features import extract_all_features
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
    """What was collected.

    Attributes:
        folder: where.
        counts: photos by split and class.
        left_out: photos by the reason why they were left out.
        groups: sets of near-identical photos; one alone is a set too.
    """

    folder: Path
    counts: dict[str, dict[str, int]]
    left_out: dict[str, int]
    groups: int


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A photo with what is right of it, by so many reviewers; by none, in its givers' word."""

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
    """Copy photos of which it is known what is right into ``DIR/{train,val,test}/{class}/``.

    Near-identical photos are all put into one split. A photo is there once, however often it was
    given. The same feedback and seed give the same folder.

    Args:
        store: where the feedback is.
        folder: a new one; it is there whole or not at all.
        unreviewed: believe those who gave the feedback where nobody has reviewed it.
        seed: of the division.
        on_start: called with the number of photos to look at.
        on_photo: called after each.

    Raises:
        DataError: the folder is not new, or there are too few photos.
        StorageError: the database does not work.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; name a new folder")
    reviews = Reviews(store)
    known, left_out = _labelled(reviews.items(), reviews.decisions(), unreviewed)
    found = {each.item.photo: each for each in known if _is_whole(store, each.item.photo)}
    left_out["unreadable"] = len(known) - len(found)
    if not found:
        more = "" if unreviewed else "; platecheck review, or --unreviewed to believe the users"
        raise DataError(f"there is no feedback of which it is known what is right{more}")
    classes = sorted({each.label for each in found.values()})
    labelled = [
        Photo(store.photos.path(name), name, classes.index(each.label), "", sha256_in(name))
        for name, each in sorted(found.items())
    ]
    on_start(len(labelled))
    features = extract_all_features(labelled, MaskCache(), on_photo=on_photo)
    numbers = group_numbers(features)
    divided = _divided(labelled, numbers, seed)
    counts = _counts(divided, classes)
    _write(folder, divided, numbers, [found[photo.name] for photo in divided])
    return Collected(folder, counts, dict(+left_out), len(set(numbers)))


def _labelled(
    items: Sequence[Item], decisions: Decisions, unreviewed: bool
) -> tuple[list[_Labelled], Counter[str]]:
    """What is right of each photo, and how many were left out for want of it."""
    known, left_out = [], Counter[str]()
    for item in items:
        decided = decisions.get(item.photo, {})
        said = set(decided.values()) or {each.right for each in item.given}
        if not decided and not unreviewed:
            left_out["not reviewed"] += 1
        elif len(said) > 1:
            left_out["reviewers disagree" if decided else "users disagree"] += 1
        elif said == {NO_DISH}:
            left_out[NO_DISH] += 1
        else:
            known.append(_Labelled(item, said.pop(), len(decided)))
    return known, left_out


def _is_whole(store: Store, name: str) -> bool:
    """Whether a photo is what its name says, and can be opened."""
    try:
        open_photo(store.photos.path(name), size=8)
        return sha256_of(store.photos.path(name)) == sha256_in(name)
    except (PhotoError, OSError):
        return False


def _divided(photos: Sequence[Photo], numbers: Sequence[int], seed: int) -> list[Photo]:
    """Give each photo, ordered by name, the split of the first one of its group."""
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
        raise DataError(f"all photos are of the class '{classes[0]}'; a model needs another one")
    counts = {split: dict.fromkeys(classes, 0) for split in SHARES}
    for photo in photos:
        counts[photo.split][classes[photo.label]] += 1
    for split, name in product(SHARES, classes):
        if not counts[split][name]:
            total = sum(row[name] for row in counts.values())
            raise DataError(
                f"too few photos of class '{name}', which has {total}: none would be in"
                f" '{split}'; ten different ones are enough"
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
            given = " ".join(given.id for given in each.item.given)
            says = (photo.sha256, photo.split, each.label, each.reviewers, number, given)
            rows.append((path.as_posix(), *says))
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(rows)])
        write_text(part / MANIFEST, file.getvalue())
