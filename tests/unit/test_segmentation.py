"""Dish masks: the dish's outline where it is found, a low quality where it is not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import platecheck.data.segmentation as module
from platecheck.data.folders import Photo, sha256_of
from platecheck.data.render import RenderedDish, render_dish
from platecheck.data.segmentation import DishMask, MaskCache, segment_dish
from platecheck.errors import PhotoError


@pytest.fixture(scope="module")
def dishes() -> list[RenderedDish]:
    return [
        render_dish(np.random.default_rng([7, i]), size=96, label=("clean", "dirty")[i % 2])
        for i in range(16)
    ]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def test_segment_dish_finds_most_rendered_dishes(dishes: list[RenderedDish]) -> None:
    found = [(segment_dish(dish.photo), dish.dish_mask) for dish in dishes]
    good = [overlap(dish.mask(96, 96) > 0, mask) for dish, mask in found if dish.good]
    assert len(good) >= 0.85 * len(dishes)
    assert np.median(good) > 0.95
    assert min(good) > 0.75
    assert segment_dish(dishes[3].photo) == found[3][0]  # earlier calls do not matter


def test_segment_dish_accepts_photos_that_are_not_square(dishes: list[RenderedDish]) -> None:
    wide = np.asarray(Image.fromarray(dishes[0].photo).resize((240, 96)))
    mask = np.asarray(Image.fromarray(dishes[0].dish_mask).resize((240, 96)))
    assert overlap(segment_dish(wide).mask(96, 240) > 0, mask) > 0.9


SIDE = 128
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
GRAIN = np.random.default_rng(1).integers(0, 12, (SIDE, SIDE, 3), np.uint8)


def photo_of(shape: np.ndarray) -> np.ndarray:
    return np.where(shape[..., None], 230 - GRAIN, 40 + GRAIN).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "good"),
    [
        (photo_of(X**2 + Y**2 < 40**2), True),
        (photo_of(X**2 + Y**2 < 8**2), False),
        (photo_of((abs(X) < 12) & (abs(Y) < 56) | (abs(Y) < 12) & (abs(X) < 56)), False),
        (photo_of((X**2 + Y**2 < 50**2) & ((X - 25) ** 2 + Y**2 > 35**2)), False),  # a crescent
        (photo_of((abs(X) < 63) & (abs(Y) < 63)), False),
        (np.full((SIDE, SIDE, 3), 120, np.uint8), False),
        (np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8), False),
        (np.zeros((1, 1, 3), np.uint8), False),
        (np.tile(np.arange(SIDE, dtype=np.uint8)[None, :, None], (SIDE, 1, 3)), False),
        (np.where(Y[..., None] < 0, 0, np.full(3, 255)).astype(np.uint8), False),
    ],
)
def test_segment_dish_quality_is_good_only_for_a_dish(pixels: np.ndarray, good: bool) -> None:
    assert segment_dish(pixels).good is good


@given(
    outline=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12).map(tuple),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_dish_mask_accepts_any_outline_and_size(
    outline: tuple[tuple[float, float], ...], height: int, width: int
) -> None:
    mask = DishMask(outline, 1.0).mask(height, width)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask).tolist()) <= ({0, 255} if outline else {0})


@pytest.mark.parametrize("size", [20, 100, 301])
def test_dish_mask_covers_the_same_place_at_any_size(size: int) -> None:
    left_half = DishMask(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), 1.0)
    mask = left_half.mask(size, size) > 0
    assert mask.mean() == pytest.approx(0.5, abs=1.5 / size)
    assert mask[:, : size // 2 - 1].all()
    assert not mask[:, size // 2 + 1 :].any()


# --- the cache


@pytest.fixture
def photo(tmp_path: Path, dishes: list[RenderedDish]) -> Photo:
    path = tmp_path / "dish.png"
    Image.fromarray(dishes[0].photo).save(path)
    return Photo(path, path.name, 0, "all", sha256_of(path))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every mask that is computed and not read."""
    counted: list[int] = []

    def count(pixels: np.ndarray) -> DishMask:
        counted.append(1)
        return segment_dish(pixels)

    monkeypatch.setattr(module, "segment_dish", count)
    return counted


def test_mask_cache_computes_each_content_once(
    tmp_path: Path, photo: Photo, calls: list[int]
) -> None:
    first = MaskCache(tmp_path / "cache").get(photo)
    assert first.good
    copy = Path(shutil.copy(photo.path, tmp_path / "copy.png"))
    cache = MaskCache(tmp_path / "cache")
    assert cache.get(replace(photo, path=copy, name="copy.png")) == first
    assert len(calls) == 1
    Image.new("RGB", (96, 96), "white").save(photo.path)
    assert cache.get(replace(photo, sha256=sha256_of(photo.path))) != first
    assert len(calls) == 2


@pytest.mark.parametrize(
    "damaged",
    [
        *("", "{", "[]", "null", "\xff\xfe", '{"outline": [[0, 0]]}'),
        '{"outline": [[0]], "quality": 1}',
        '{"outline": [["a", 0]], "quality": 1}',
        '{"outline": [[NaN, 0]], "quality": 1}',
        '{"outline": [[0, 7]], "quality": 1}',
        '{"outline": [], "quality": NaN}',
        '{"outline": [], "quality": 2}',
    ],
)
def test_mask_cache_damaged_entry_is_computed_again(
    damaged: str, tmp_path: Path, photo: Photo, calls: list[int]
) -> None:
    cache = MaskCache(tmp_path / "cache")
    first = cache.get(photo)
    (entry,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    whole = json.loads(entry.read_text())
    entry.write_bytes(damaged.encode("latin-1"))
    assert cache.get(photo) == first
    assert len(calls) == 2
    assert json.loads(entry.read_text()) == whole


def test_mask_cache_in_an_unusable_folder_computes_every_time(tmp_path: Path, photo: Photo) -> None:
    (tmp_path / "file").write_text("in the way")
    assert MaskCache(tmp_path / "file").get(photo) == MaskCache(tmp_path / "cache").get(photo)


def test_mask_cache_refuses_photos_that_cannot_be_opened_or_have_no_hash(
    tmp_path: Path, photo: Photo
) -> None:
    cache = MaskCache(tmp_path / "cache")
    with pytest.raises(ValueError, match="no hash"):
        cache.get(replace(photo, sha256=""))
    with pytest.raises(PhotoError):
        cache.get(Photo(tmp_path / "gone.png", "", 0, "all", "ab" * 32))
