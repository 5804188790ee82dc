"""Dividing photos: every photo once, fair to every class, the same each time."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.folders import Photo, PhotoSet, read_photos
from platecheck.data.splits import apply_split, describe_split, divide, with_validation
from platecheck.errors import DataError
from platecheck.model_info import SplitInfo

WritePhotos = Callable[[Path, Mapping[str, int]], Path]

# The validation half of 6 clean and 9 dirty photos, seed 0.
GOLDEN = [
    "test/clean/0002.jpg",
    "test/clean/0003.jpg",
    "test/clean/0005.jpg",
    "test/dirty/0002.jpg",
    "test/dirty/0004.jpg",
    "test/dirty/0007.jpg",
    "test/dirty/0008.jpg",
]

HALVES = {"val": 0.5, "test": 0.5}
THREE = {"train": 0.7, "val": 0.15, "test": 0.15}
CLASSES = ("clean", "dirty", "greasy", "wet", "broken")


def photos_of(sizes: Sequence[int], split: str = "test") -> tuple[Photo, ...]:
    """As many photos of each class as told; there are no files."""
    names = [
        (label, f"{split}/{CLASSES[label]}/{i:04}.jpg")
        for label, size in enumerate(sizes)
        for i in range(size)
    ]
    return tuple(
        Photo(Path("dishes", name), name, label, split, hashlib.sha256(name.encode()).hexdigest())
        for label, name in names
    )


def photo_set(splits: Mapping[str, Sequence[int]]) -> PhotoSet:
    photos = [photo for split, sizes in splits.items() for photo in photos_of(sizes, split)]
    classes = CLASSES[: max(map(len, splits.values()))]
    return PhotoSet(Path("dishes"), classes, tuple(sorted(photos, key=lambda p: p.name)))


def split_by_name(photos: Sequence[Photo]) -> dict[str, str]:
    return {photo.name: photo.split for photo in photos}


# --- divide

SIZES = st.lists(st.integers(0, 90), min_size=1, max_size=5).filter(any)
SEEDS = st.integers(0, 2**32)


@given(sizes=SIZES, seed=SEEDS, shares=st.sampled_from([HALVES, THREE]))
def test_every_photo_is_in_one_split_and_every_class_is_shared_fairly(
    sizes: list[int], seed: int, shares: dict[str, float]
) -> None:
    photos = photos_of(sizes)
    divided = divide(photos, shares, seed=seed)
    assert [replace(p, split="test") for p in divided] == sorted(photos, key=lambda p: p.name)
    counted = Counter((p.split, p.label) for p in divided)
    assert {split for split, _ in counted} <= set(shares)
    for split, share in shares.items():
        for label, size in enumerate(sizes):
            assert abs(counted[split, label] - share * size) < 1
        total = sum(counted[split, label] for label in range(len(sizes)))
        assert abs(total - share * sum(sizes)) < 1


@given(sizes=SIZES, seed=SEEDS)
def test_halves_differ_by_one_photo_at_most_and_test_is_the_larger(
    sizes: list[int], seed: int
) -> None:
    counted = Counter(photo.split for photo in divide(photos_of(sizes), HALVES, seed=seed))
    assert counted["val"] == sum(sizes) // 2


@given(sizes=SIZES, seed=SEEDS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_photos_and_their_place_do_not_matter(
    sizes: list[int], seed: int, order: random.Random
) -> None:
    photos = list(photos_of(sizes))
    expected = split_by_name(divide(tuple(photos), THREE, seed=seed))
    order.shuffle(photos)
    moved = tuple(replace(photo, path=Path("elsewhere", photo.name)) for photo in photos)
    assert split_by_name(divide(moved, THREE, seed=seed)) == expected


def test_the_seed_decides() -> None:
    photos = photos_of([100, 100])
    first = divide(photos, HALVES, seed=0)
    assert divide(photos, HALVES, seed=0) == first
    val = {photo.name for photo in first if photo.split == "val"}
    for seed in range(1, 20):
        other = {p.name for p in divide(photos, HALVES, seed=seed) if p.split == "val"}
        # Two fair halves share about 50 of 100; 25 or 75 would be five standard deviations off.
        assert 25 < len(val & other) < 75


def test_the_reference_has_250_and_251() -> None:
    divided = divide(photos_of([171, 330]), HALVES, seed=0)
    assert Counter((p.split, p.label) for p in divided) == {
        ("val", 0): 85,
        ("test", 0): 86,
        ("val", 1): 165,
        ("test", 1): 165,
    }


def test_a_division_stays_what_it_was() -> None:
    """Models carry a division's seed alone: another shuffle would judge them on seen photos."""
    divided = divide(photos_of([6, 9]), HALVES, seed=0)
    assert [p.name for p in divided if p.split == "val"] == GOLDEN


# --- with_validation


def test_test_is_halved_where_there_is_no_val() -> None:
    before = photo_set({"train": [5, 5], "test": [171, 330], "hidden": [3, 4]})
    after = with_validation(before)
    assert after.counts() == {
        "train": {"clean": 5, "dirty": 5},
        "val": {"clean": 85, "dirty": 165},
        "test": {"clean": 86, "dirty": 165},
        "hidden": {"clean": 3, "dirty": 4},
    }
    assert [p.name for p in after.photos] == [p.name for p in before.photos]
    # Only test photos have moved, and only to val.
    assert all(
        (a.split == b.split) or (b.split, a.split) == ("test", "val")
        for a, b in zip(after.photos, before.photos, strict=True)
    )


def test_another_seed_gives_other_halves() -> None:
    photos = photo_set({"train": [5, 5], "test": [50, 50]})
    assert with_validation(photos, seed=1) != with_validation(photos, seed=0)
    assert with_validation(photos, seed=1) == with_validation(photos, seed=1)


@given(share=st.floats(0, 0.9), clean=st.integers(20, 90), dirty=st.integers(20, 90))
def test_learning_from_validation_leaves_test_alone(share: float, clean: int, dirty: int) -> None:
    photos = photo_set({"train": [9, 9], "test": [clean, dirty]})
    plain, lent = (with_validation(photos, seed=3, learnt=learnt) for learnt in (0.0, share))
    assert lent.split("test") == plain.split("test")
    val = {photo.name for photo in plain.split("val")}
    kept = {photo.name for photo in lent.split("val")}
    learnt = {photo.name for photo in lent.split("train")} - {
        photo.name for photo in plain.split("train")
    }
    assert kept | learnt == val
    assert not kept & learnt
    assert len(learnt) == pytest.approx(share * len(val), abs=2)
    again = apply_split(photos, describe_split(photos, seed=3, learnt=share))
    assert again.photos == lent.photos


@pytest.mark.parametrize(
    "splits",
    [
        {"train": [5, 5], "val": [2, 2], "test": [3, 3]},
        {"train": [5, 5], "val": [2, 2]},
        {"train": [5, 5], "val": [1, 1], "hidden": [9, 9]},
    ],
)
def test_with_val_nothing_changes(splits: dict[str, list[int]]) -> None:
    photos = photo_set(splits)
    assert with_validation(photos) == photos
    assert describe_split(photos, seed=0) is None


def test_a_folder_without_splits_is_divided_70_15_15() -> None:
    after = with_validation(photo_set({"all": [100, 60]}))
    assert after.counts() == {
        "train": {"clean": 70, "dirty": 42},
        "val": {"clean": 15, "dirty": 9},
        "test": {"clean": 15, "dirty": 9},
    }


@pytest.mark.parametrize("others", [{}, {"hidden": [5, 5]}])
def test_with_validation_train_alone_is_divided_as_a_whole(others: dict[str, list[int]]) -> None:
    before = photo_set({"train": [100, 60], **others})
    after = with_validation(before)
    assert {split: row for split, row in after.counts().items() if split not in others} == {
        "train": {"clean": 70, "dirty": 42},
        "val": {"clean": 15, "dirty": 9},
        "test": {"clean": 15, "dirty": 9},
    }
    assert apply_split(before, describe_split(before, seed=0)) == after


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"test": [5, 5]}, "has no train folder; it has: test"),
        ({"val": [5, 5], "hidden": [5, 5]}, "has no train folder; it has: hidden, val"),
        ({"train": [5, 5], "test": [5, 1]}, "too few photos of class 'dirty' to split"),
        ({"train": [5, 5], "test": [1, 5]}, "'clean' to split: none would be left in 'val'"),
        ({"all": [20, 2]}, "too few photos of class 'dirty' to split: none would be left in"),
    ],
)
def test_what_cannot_be_divided_is_refused(splits: dict[str, list[int]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        with_validation(photo_set(splits))


# --- a model's division, replayed


@pytest.mark.parametrize("splits", [{"train": [9, 9], "test": [20, 30]}, {"all": [40, 50]}])
def test_a_division_is_replayed_for_the_same_photos(splits: dict[str, list[int]]) -> None:
    photos = photo_set(splits)
    division = describe_split(photos, seed=5)
    assert division is not None
    assert division.seed == 5
    again = SplitInfo.model_validate_json(division.model_dump_json())
    backwards = replace(photos, photos=photos.photos[::-1])
    assert apply_split(photos, again) == with_validation(photos, seed=5)
    assert apply_split(backwards, again) == with_validation(photos, seed=5)


def test_other_splits_do_not_matter_to_a_division() -> None:
    division = describe_split(photo_set({"train": [9, 9], "test": [20, 30]}), seed=0)
    alone = photo_set({"test": [20, 30]})
    assert Counter(p.split for p in apply_split(alone, division).photos) == {"val": 25, "test": 25}
    more = photo_set({"train": [2, 2], "test": [20, 30], "hidden": [3, 3]})
    assert apply_split(more, division).counts()["hidden"] == {"clean": 3, "dirty": 3}


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: replace(photo, sha256="0" * 64),
        lambda photo: replace(photo, label=1),
        lambda photo: replace(photo, name="test/clean/other.jpg"),
        lambda _: None,
    ],
    ids=["content", "class", "name", "gone"],
)
def test_other_photos_are_left_alone(change: Callable[[Photo], Photo | None]) -> None:
    photos = photo_set({"test": [20, 30]})
    division = describe_split(photo_set({"train": [9, 9], "test": [20, 30]}), seed=0)
    first = change(photos.photos[0])
    others = photos.photos[1:]
    changed = replace(photos, photos=((first, *others) if first else others))
    assert apply_split(changed, division) == changed
    assert apply_split(photos, division) != photos


def test_without_a_division_or_its_split_nothing_is_divided() -> None:
    photos = photo_set({"train": [9, 9], "test": [20, 30]})
    assert apply_split(photos, None) == photos
    elsewhere = photo_set({"hidden": [20, 30]})
    assert apply_split(elsewhere, describe_split(photos, seed=0)) == elsewhere


def test_photos_on_disk_are_divided_alike_wherever_they_lie(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    counts = {"train/clean": 1, "train/dirty": 1, "test/clean": 8, "test/dirty": 9}
    here, there = (read_photos(write_photos(tmp_path / name, counts)) for name in "ab")
    division = describe_split(here, seed=3)
    assert division == describe_split(there, seed=3)
    assert split_by_name(apply_split(there, division).photos) == split_by_name(
        with_validation(here, seed=3).photos
    )


@pytest.mark.real_photos
def test_the_real_photos_give_250_and_251(real_photos: Path) -> None:
    photos = with_validation(read_photos(real_photos))
    assert {split: sum(counts.values()) for split, counts in photos.counts().items()} == {
        "train": 458,
        "val": 250,
        "test": 251,
    }
    assert photos.counts()["val"] == {"clean": 85, "dirty": 165}
