"""Collect reviewed feedback into a training dataset."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from PIL import Image

from platecheck.cpus import in_threads
from platecheck.data.folders import Photo
from platecheck.data.near_duplicates import (
    Fingerprint,
    fingerprint,
    group_near_duplicates,
    reduced_size,
)
from platecheck.data.splits import SHARES, divide
from platecheck.errors import DataError
from platecheck.feedback.reviews import Decisions, Item, review_queue
from platecheck.feedback.store import Store
from platecheck.files import new_folder, write_text
from platecheck.model_info import NO_DISH
from platecheck.photo import open_photo

MANIFEST = "manifest.csv"
COLUMNS = ("path", "sha256", "split", "label", "reviewers", "group", "feedback")


@dataclass(frozen=True, slots=True)
class Collected:
    """A collected dataset."""

    folder: Path
    counts: dict[str, dict[str, int]]  # photos by split and class
    left_out: dict[str, int]  # excluded photos by reason
    groups: int  # groups of near-duplicates, singletons included


@dataclass(slots=True)
class _Labelled:
    item: Item
    label: str
    reviewers: int  # 0 if labelled by users only
    group: int = 0
    split: str = ""


def collect(
    store: Store,
    folder: Path,
    *,
    unreviewed: bool = False,
    seed: int = 0,
    on_start: Callable[[int], None] = lambda photos: None,
    on_photo: Callable[[], None] = lambda: None,
) -> Collected:
    """Write labelled photos to ``DIR/{train,val,test}/{class}/``.

    Near-duplicates go into the same split, and each photo is written once. The result is
    deterministic for the same feedback and seed. The folder is created atomically.

    Args:
        unreviewed: use the labels of users for photos without a review.
        on_start: called with the number of photos to process.

    Raises:
        DataError: The folder is not empty, or there are too few photos.
        StorageError: The database is unavailable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose a new folder")
    labelled, left_out = _label(review_queue(store.all()), store.decisions(), unreviewed)
    on_start(len(labelled))
    photos = [each.item.photo for each in labelled]
    results = list(in_threads(partial(_fingerprint, store), photos, on_done=on_photo))
    left_out["unreadable"] = results.count(None)
    found = [each for each, result in zip(labelled, results, strict=True) if result]
    if not found:
        hint = "" if unreviewed else "; run platecheck review, or use --unreviewed for user labels"
        raise DataError(f"no labelled feedback{hint}")
    groups = group_near_duplicates(
        [(photo, result) for photo, result in zip(photos, results, strict=True) if result]
    )
    counts = _split(found, groups, seed)
    with new_folder(folder) as part:
        rows = []
        for each in found:
            photo, ids = each.item.photo, " ".join(entry.id for entry in each.item.feedback)
            content = store.photo(photo)
            if content is None:
                raise DataError("feedback was deleted in the meantime; try again")
            path = Path(each.split, each.label, f"{photo}.jpg")
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_bytes(content)
            row = (photo, each.split, each.label, each.reviewers, each.group, ids)
            rows.append((path.as_posix(), *row))
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(rows)])
        write_text(part / MANIFEST, file.getvalue())
    return Collected(folder, counts, dict(+left_out), len(set(groups)))


def _label(
    items: Sequence[Item], decisions: Decisions, unreviewed: bool
) -> tuple[list[_Labelled], Counter[str]]:
    """Label each photo, sorted by hash; also count the excluded ones by reason."""
    labelled, left_out = [], Counter[str]()
    for item in sorted(items, key=lambda item: item.photo):
        decided = decisions.get(item.photo, {})
        labels = set(decided.values()) or {each.true_label for each in item.feedback}
        if not decided and not unreviewed:
            left_out["not reviewed"] += 1
        elif len(labels) > 1:
            left_out["reviewers disagree" if decided else "users disagree"] += 1
        elif labels == {NO_DISH}:
            left_out[NO_DISH] += 1
        else:
            labelled.append(_Labelled(item, labels.pop(), len(decided)))
    return labelled, left_out


def _fingerprint(store: Store, photo: str) -> Fingerprint | None:
    content = store.photo(photo)
    if content is None:
        return None
    size = reduced_size(*Image.open(io.BytesIO(content)).size)
    return fingerprint(open_photo(content, size=size))


def _split(
    found: Sequence[_Labelled], groups: Sequence[int], seed: int
) -> dict[str, dict[str, int]]:
    """Assign splits by group; return the number of photos by split and class."""
    classes = sorted({each.label for each in found})
    if len(classes) < 2:
        raise DataError(f"all photos have class '{classes[0]}'; at least two classes are needed")
    first: dict[int, Photo] = {}
    for each, group in zip(found, groups, strict=True):
        photo = each.item.photo
        first.setdefault(group, Photo(Path(photo), photo, classes.index(each.label), ""))
    divided = divide(tuple(first.values()), SHARES, seed=seed)
    splits = {photo.name: photo.split for photo in divided}
    counts = {split: dict.fromkeys(classes, 0) for split in SHARES}
    for each, group in zip(found, groups, strict=True):
        each.group, each.split = group, splits[first[group].name]
        counts[each.split][each.label] += 1
    for split, name in product(SHARES, classes):
        if not counts[split][name]:
            total = sum(row[name] for row in counts.values())
            raise DataError(
                f"too few photos of class '{name}' ({total}): '{split}' would have none;"
                f" ten different photos are enough"
            )
    return counts
