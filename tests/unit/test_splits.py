"""Splits: every photo once, fair to every class, the same each time."""

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.folders import Photo, PhotoSet, read_photos
from platecheck.data.splits import SHARES, apply_split, describe_split, divide, with_validation
from platecheck.errors import DataError
from platecheck.model_info import SplitInfo
from tests.support.writing import write_photos

Splits = dict[str, list[int]]

HALVES = {"val": 0.5, "test": 0.5}
CLASSES = ("clean", "dirty", "greasy", "wet", "broken")


def photos_of(sizes: Sequence[int], split: str = "test") -> tuple[Photo, ...]:
    """Photos without files, as many of each class as given."""
    photos = []
    for label, size in enumerate(sizes):
        for i in range(size):
            name = f"{split}/{CLASSES[label]}/{i:04}.jpg"
            content = hashlib.sha256(name.encode()).hexdigest()
            photos.append(Photo(Path("dishes", name), name, label, split, content))
    return tuple(photos)


def photo_set(splits: Mapping[str, Sequence[int]]) -> PhotoSet:
    photos = [photo for split, sizes in splits.items() for photo in photos_of(sizes, split)]
    classes = CLASSES[: max(map(len, splits.values()))]
    return PhotoSet(Path("dishes"), classes, tuple(sorted(photos, key=lambda p: p.name)))


def split_by_name(photos: Sequence[Photo]) -> dict[str, str]:
    return {photo.name: photo.split for photo in photos}


# --- divide


@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=5).filter(any),
    seed=st.integers(0, 2**32),
    shares=st.sampled_from([HALVES, SHARES]),
    order=st.randoms(use_true_random=False),
)
def test_divide_is_fair_to_every_class_whatever_the_order(
    sizes: list[int], seed: int, shares: dict[str, float], order: random.Random
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
        if (split, share) == ("val", 0.5):
            assert total == sum(sizes) // 2
    moved = [replace(photo, path=Path("elsewhere", photo.name)) for photo in photos]
    order.shuffle(moved)
    assert split_by_name(divide(tuple(moved), shares, seed=seed)) == split_by_name(divided)


def test_divide_with_another_seed_gives_other_halves() -> None:
    divided = [divide(photos_of([100, 100]), HALVES, seed=seed) for seed in range(20)]
    halves = [{p.name for p in photos if p.split == "val"} for photos in divided]
    # Two fair halves share about 50 of 100; 25 or 75 would be five standard deviations off.
    assert all(25 < len(halves[0] & half) < 75 for half in halves[1:])


def test_divide_never_changes_between_versions() -> None:
    """Models carry only the seed: another shuffle would evaluate them on photos they have seen."""
    divided = divide(photos_of([6, 9]), HALVES, seed=0)
    assert [p.name.removeprefix("test/") for p in divided if p.split == "val"] == [
        "clean/0002.jpg", "clean/0003.jpg", "clean/0005.jpg", "dirty/0002.jpg", "dirty/0004.jpg",
        "dirty/0007.jpg", "dirty/0008.jpg",
    ]  # fmt: skip


# --- with_validation


def test_with_validation_halves_test_as_the_reference_does() -> None:
    before = photo_set({"train": [5, 5], "test": [171, 330], "hidden": [3, 4]})
    after = with_validation(before)
    assert after.counts() == {
        "train": {"clean": 5, "dirty": 5},
        "val": {"clean": 85, "dirty": 165},
        "test": {"clean": 86, "dirty": 165},
        "hidden": {"clean": 3, "dirty": 4},
    }
    for new, old in zip(after.photos, before.photos, strict=True):
        assert new == old or (new == replace(old, split="val") and old.split == "test")


@given(share=st.floats(0, 0.8), clean=st.integers(20, 90), dirty=st.integers(20, 90))
def test_with_validation_val_to_train_leaves_test_alone(
    share: float, clean: int, dirty: int
) -> None:
    photos = photo_set({"train": [9, 9], "test": [clean, dirty]})
    plain, moved = (with_validation(photos, seed=3, val_to_train=part) for part in (0.0, share))
    assert moved.split("test") == plain.split("test")
    val, kept = ({photo.name for photo in p.split("val")} for p in (plain, moved))
    old, new = ({photo.name for photo in p.split("train")} for p in (plain, moved))
    assert kept | (new - old) == val
    assert not kept & new
    assert len(new - old) == pytest.approx(share * len(val), abs=2)
    info = describe_split(photos, seed=3, val_to_train=share)
    assert apply_split(photos, info).photos == moved.photos


@pytest.mark.parametrize("others", [{"test": [3, 3]}, {}, {"hidden": [9, 9]}])
def test_with_validation_changes_nothing_if_there_is_val(others: Splits) -> None:
    photos = photo_set({"train": [5, 5], "val": [2, 2], **others})
    assert with_validation(photos) == photos
    assert describe_split(photos, seed=0) is None


@pytest.mark.parametrize(
    ("split", "others"), [("all", {}), ("train", {}), ("train", {"hidden": [5, 5]})]
)
def test_with_validation_splits_a_single_split_70_15_15(split: str, others: Splits) -> None:
    before = photo_set({split: [100, 60], **others})
    after = with_validation(before)
    found = {name: list(row.values()) for name, row in after.counts().items()}
    assert found == {"train": [70, 42], "val": [15, 9], "test": [15, 9], **others}
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
def test_with_validation_of_too_few_photos_is_refused(splits: Splits, says: str) -> None:
    with pytest.raises(DataError, match=says):
        with_validation(photo_set(splits))


# --- apply_split


@pytest.mark.parametrize("splits", [{"train": [9, 9], "test": [20, 30]}, {"all": [40, 50]}])
def test_apply_split_repeats_the_split_of_the_same_photos(splits: Splits) -> None:
    photos = photo_set(splits)
    info = describe_split(photos, seed=5)
    assert info is not None
    again = SplitInfo.model_validate_json(info.model_dump_json())
    expected = with_validation(photos, seed=5)
    assert expected != with_validation(photos, seed=0)
    assert apply_split(photos, again) == expected
    assert apply_split(replace(photos, photos=photos.photos[::-1]), again) == expected


def test_apply_split_ignores_other_splits() -> None:
    photos = photo_set({"train": [9, 9], "test": [20, 30]})
    info = describe_split(photos, seed=0)
    alone = photo_set({"test": [20, 30]})
    assert Counter(p.split for p in apply_split(alone, info).photos) == {"val": 25, "test": 25}
    more = photo_set({"train": [2, 2], "test": [20, 30], "hidden": [3, 3]})
    assert apply_split(more, info).counts()["hidden"] == {"clean": 3, "dirty": 3}
    elsewhere = photo_set({"hidden": [20, 30]})
    assert apply_split(elsewhere, info) == elsewhere
    assert apply_split(photos, None) == photos


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"label": 1}, {"name": "test/clean/other.jpg"}, None]
)
def test_apply_split_leaves_other_photos_alone(change: dict[str, object] | None) -> None:
    photos = photo_set({"test": [20, 30]})
    info = describe_split(photo_set({"train": [9, 9], "test": [20, 30]}), seed=0)
    first, *others = photos.photos
    changed = () if change is None else (replace(first, **change),)  # type: ignore[arg-type]
    other = replace(photos, photos=(*changed, *others))
    assert apply_split(other, info) == other
    assert apply_split(photos, info) != photos


def test_apply_split_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    counts = {"train/clean": 1, "train/dirty": 1, "test/clean": 8, "test/dirty": 9}
    here, there = (read_photos(write_photos(tmp_path / name, counts)) for name in "ab")
    info = describe_split(here, seed=3)
    assert info == describe_split(there, seed=3)
    found, expected = apply_split(there, info), with_validation(here, seed=3)
    assert split_by_name(found.photos) == split_by_name(expected.photos)


@pytest.mark.real_photos
def test_with_validation_of_the_public_set_gives_250_and_251(real_photos: Path) -> None:
    counts = with_validation(read_photos(real_photos)).counts()
    sums = {split: sum(row.values()) for split, row in counts.items()}
    assert sums == {"train": 458, "val": 250, "test": 251}
    assert counts["val"] == {"clean": 85, "dirty": 165}
