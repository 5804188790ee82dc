"""Cut-outs: the dish's outline where it is found, a low quality where it is not."""

import json
import shutil
from collections.abc import Callable
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
from platecheck.data.segmentation import GOOD, DishMask, MaskCache, segment_dish
from platecheck.errors import PhotoError

DISHES = 16


@pytest.fixture(scope="module")
def dishes() -> list[RenderedDish]:
    return [
        render_dish(np.random.default_rng([7, i]), size=96, label=("clean", "dirty")[i % 2])
        for i in range(DISHES)
    ]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def test_most_rendered_dishes_are_cut_out_along_their_edge(dishes: list[RenderedDish]) -> None:
    found = [(segment_dish(dish.photo), dish.dish_mask) for dish in dishes]
    good = [overlap(cutout.mask(96, 96) > 0, mask) for cutout, mask in found if cutout.good]
    assert len(good) >= 0.85 * DISHES
    assert np.median(good) > 0.95
    assert min(good) > 0.75


def test_a_photo_of_another_shape_is_cut_out_as_well(dishes: list[RenderedDish]) -> None:
    dish = dishes[0]
    wide = np.asarray(Image.fromarray(dish.photo).resize((240, 96)))
    mask = np.asarray(Image.fromarray(dish.dish_mask).resize((240, 96)))
    assert overlap(segment_dish(wide).mask(96, 240) > 0, mask) > 0.9


def test_the_same_photo_gives_the_same_outline(dishes: list[RenderedDish]) -> None:
    first = segment_dish(dishes[3].photo)
    segment_dish(dishes[4].photo)  # what was done before does not count
    assert segment_dish(dishes[3].photo) == first


def test_where_there_is_no_dish_the_quality_is_low() -> None:
    rng = np.random.default_rng(0)
    ramp = np.tile(np.arange(128, dtype=np.uint8)[None, :, None], (128, 1, 3))
    halves = np.zeros((128, 128, 3), np.uint8)
    halves[64:] = 255
    for pixels in (
        np.full((128, 128, 3), 120, np.uint8),
        rng.integers(0, 256, (128, 128, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        ramp,
        halves,
    ):
        assert not segment_dish(pixels).good


def test_what_cannot_be_a_dish_is_not_taken_for_one() -> None:
    size = 128
    y, x = np.mgrid[:size, :size] - size / 2
    grain = np.random.default_rng(1).integers(0, 12, (size, size, 3), np.uint8)

    def photo(shape: np.ndarray) -> np.ndarray:
        return np.where(shape[..., None], 230 - grain, 40 + grain).astype(np.uint8)

    assert segment_dish(photo(x**2 + y**2 < 40**2)).good
    tiny = x**2 + y**2 < 8**2
    cross = (abs(x) < 12) & (abs(y) < 56) | (abs(y) < 12) & (abs(x) < 56)
    crescent = (x**2 + y**2 < 50**2) & ((x - 25) ** 2 + y**2 > 35**2)
    whole = (abs(x) < 63) & (abs(y) < 63)
    for shape in (tiny, cross, crescent, whole):
        assert not segment_dish(photo(shape)).good


@pytest.mark.parametrize(("quality", "good"), [(0.0, False), (GOOD - 0.01, False), (GOOD, True)])
def test_good_is_a_threshold(quality: float, good: bool) -> None:
    assert DishMask((), quality).good is good


@given(
    outline=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12).map(tuple),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_masks_of_any_outline_and_size(
    outline: tuple[tuple[float, float], ...], height: int, width: int
) -> None:
    mask = DishMask(outline, 1.0).mask(height, width)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask).tolist()) <= {0, 255}
    if not outline:
        assert not mask.any()


def test_a_mask_covers_the_same_place_at_any_size() -> None:
    left_half = DishMask(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), 1.0)
    for size in (20, 100, 301):
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
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every cut-out that is made, not read."""
    counted: list[int] = []
    make: Callable[[np.ndarray], DishMask] = module.segment_dish

    def count(pixels: np.ndarray) -> DishMask:
        counted.append(1)
        return make(pixels)

    monkeypatch.setattr(module, "segment_dish", count)
    return counted


def test_each_content_is_cut_out_once(tmp_path: Path, photo: Photo, made: list[int]) -> None:
    first = MaskCache(tmp_path / "cache").get(photo)
    assert first.good
    copy = Path(shutil.copy(photo.path, tmp_path / "copy.png"))
    again = MaskCache(tmp_path / "cache").get(replace(photo, path=copy, name="copy.png"))
    assert (again, len(made)) == (first, 1)


def test_another_content_is_another_entry(tmp_path: Path, photo: Photo, made: list[int]) -> None:
    cache = MaskCache(tmp_path / "cache")
    first = cache.get(photo)
    Image.new("RGB", (96, 96), "white").save(photo.path)
    assert cache.get(replace(photo, sha256=sha256_of(photo.path))) != first
    assert len(made) == 2


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "null",
        "\xff\xfe",
        '{"outline": [[0, 0]]}',
        '{"outline": [[0]], "quality": 1}',
        '{"outline": [["a", 0]], "quality": 1}',
        '{"outline": [[NaN, 0]], "quality": 1}',
        '{"outline": [[0, 7]], "quality": 1}',
        '{"outline": [], "quality": NaN}',
        '{"outline": [], "quality": 2}',
    ],
)
def test_a_damaged_entry_is_made_anew(
    damaged: str, tmp_path: Path, photo: Photo, made: list[int]
) -> None:
    cache = MaskCache(tmp_path / "cache")
    first = cache.get(photo)
    (entry,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    whole = json.loads(entry.read_text())
    entry.write_bytes(damaged.encode("latin-1"))
    assert cache.get(photo) == first
    assert len(made) == 2
    assert json.loads(entry.read_text()) == whole


def test_a_folder_that_cannot_be_written_to_costs_time_alone(tmp_path: Path, photo: Photo) -> None:
    (tmp_path / "file").write_text("in the way")
    assert MaskCache(tmp_path / "file").get(photo) == MaskCache(tmp_path / "cache").get(photo)


def test_a_photo_without_a_hash_is_refused(tmp_path: Path, photo: Photo) -> None:
    with pytest.raises(ValueError, match="no hash"):
        MaskCache(tmp_path / "cache").get(replace(photo, sha256=""))


def test_a_photo_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(PhotoError):
        MaskCache(tmp_path / "cache").get(Photo(tmp_path / "gone.png", "", 0, "all", "ab" * 32))
