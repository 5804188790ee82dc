import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from platecheck.data.cache import PixelCache
from platecheck.data.folders import Photo, PhotoSet, read_photos
from platecheck.data.render.pairs import RenderedPair, RenderedPairs
from platecheck.data.segmentation import MaskCache
from platecheck.training.datamodule import PlateDataModule
from platecheck.training.recipe import Augmentation, Normalization, Robust, load_recipe
from platecheck.training.robust import (
    CELL,
    CLEAN,
    DIRT,
    UNKNOWN,
    RobustDataset,
    SwappedDataset,
    mixed_rand,
)
from platecheck.training.teacher import TeacherModel

SIZE = 64
CELLS = SIZE // CELL
PLAIN = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
DIRTY = 1
# Nothing but what a test asks for.
STILL: dict[str, Any] = {"backgrounds": 0.0, "scale": (1, 1), "shift": 0, "photometric": 0}
WILD: dict[str, Any] = {"scale": (0.75, 1.25), "shift": 0.1}
ALL_WAYS: dict[str, Any] = {"horizontal_flip": True, "vertical_flip": True, "rotation": 180}
EVERYTHING: dict[str, Any] = {
    **WILD, "backgrounds": 0.7, "backgrounds_ramp": 0.5, "photometric": 1.0, "patterns": 0.5,
    "tilt": 50.0, "glass": 0.3, "clutter": 0.3,
    "dirt": 0.5, "rendered": 5, "changes": ALL_WAYS,
}  # fmt: skip
HUES = [(200, 60, 60), (60, 190, 60), (70, 70, 220), (210, 200, 50), (60, 200, 200), (190, 90, 30)]


def dish(table: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """A light dish, off the middle, on a table of one colour; a little noise."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIZE, SIZE, 3), table, np.uint8)
    cv2.ellipse(pixels, (26 + seed % 5, 33), (21, 19), 0, 0, 360, (235, 230, 240), -1)
    cv2.ellipse(pixels, (26 + seed % 5, 31), (4, 4), 0, 0, 360, (120, 120, 140), -1)
    noisy = pixels + rng.normal(0, 2, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    """Six dishes of each class, each on its own table, and one photo of noise of each class."""
    folder = tmp_path_factory.mktemp("photos")
    for label in ("clean", "dirty"):
        (folder / "train" / label).mkdir(parents=True)
        for i, hue in enumerate(HUES):
            Image.fromarray(dish(hue, i)).save(folder / "train" / label / f"{i}.png")
        noise = np.random.default_rng(9).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        if label == "dirty":
            noise = noise[::-1]
        Image.fromarray(noise).save(folder / "train" / label / "noise.png")
    return read_photos(folder)


def caches(photos: PhotoSet) -> tuple[PixelCache, MaskCache]:
    """Dishes are cut out once for all tests."""
    folder = photos.folder.with_name(f"{photos.folder.name}-kept")
    return PixelCache(SIZE, photos.photos, folder=folder), MaskCache(folder)


class Magenta(RenderedPairs):
    """Pairs whose dirt is of a colour that nothing else has."""

    def __init__(self) -> None:
        self.count, self.size = 3, SIZE

    def __getitem__(self, index: int) -> RenderedPair:
        clean = dish((110, 110, 110), index)
        spot, mask = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.uint8)
        cv2.ellipse(mask, (32, 33), (21, 19), 0, 0, 360, 255, -1)
        cv2.circle(spot, (24, 28), 7, 255, -1)
        dirty = np.where(spot[..., None] > 0, (255, 0, 255), clean).astype(np.uint8)
        return RenderedPair(clean, dirty, mask, spot)


def dataset(
    photos: PhotoSet,
    *,
    dirty: int | None = DIRTY,
    pairs: RenderedPairs | None = None,
    changes: dict[str, Any] | None = None,
    size: int = SIZE,
    teacher: Any = None,
    **robust: Any,
) -> RobustDataset:
    augmentation = Augmentation(robust=Robust(**{**STILL, **robust}), **(changes or {}))
    recipe = load_recipe("tiny_vgg", [f"input.size={size}", "epochs=10"])
    recipe = recipe.model_copy(update={"augmentation": augmentation})
    return RobustDataset(
        photos.photos, *caches(photos), recipe, PLAIN, dirty=dirty, rendered=pairs, teacher=teacher
    )


def pixels_of(item: Sequence[Any]) -> NDArray[np.int_]:
    """The photo [H, W, 3] of an item that was not normalised."""
    return np.rint(item[0].numpy().transpose(1, 2, 0) * 255).astype(int)


def original(photo: Photo) -> NDArray[np.int_]:
    with Image.open(photo.path) as opened:
        return np.asarray(opened).astype(int)


def magenta(pixels: NDArray[np.int_]) -> NDArray[np.bool_]:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return (red > green + 70) & (blue > green + 70)


def is_noise(photo: Photo) -> bool:
    return photo.path.stem == "noise"


def table_seen(pixels: NDArray[np.int_]) -> NDArray[np.floating]:
    """Mean colour of the corners, which no dish covers."""
    corners = [pixels[y : y + 5, x : x + 5] for y in (0, SIZE - 5) for x in (0, SIZE - 5)]
    return np.median(np.concatenate(corners).reshape(-1, 3), axis=0)


class Witness:
    """A teacher that keeps what it was shown."""

    size = SIZE

    def __init__(self) -> None:
        self.shown: list[NDArray[np.uint8]] = []

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.shown.append(pixels.copy())
        return np.array([0.3, 0.7], np.float32)


class TestTeacher:
    CLEAR = EVERYTHING | {"photometric": 0}

    def test_teacher_sees_the_students_photo(self, photos: PhotoSet) -> None:
        teacher = Witness()
        items = dataset(photos, pairs=Magenta(), teacher=teacher, **self.CLEAR)
        alone = dataset(photos, pairs=Magenta(), **self.CLEAR)
        for index in (0, 3, len(items) - 1):
            inputs, _, target, taught = items[index, 5, 9]
            assert np.array_equal(pixels_of([inputs]), teacher.shown[-1])
            torch.testing.assert_close(taught, torch.tensor([0.3, 0.7]))
            for part, wanted in zip((inputs, target), alone[index, 5, 9][::2], strict=True):
                assert torch.equal(part, wanted)

    def test_only_the_student_sees_photometric_changes(self, photos: PhotoSet) -> None:
        teacher = Witness()
        for share in (0, 1):
            changes = EVERYTHING | {"photometric": share}
            items = dataset(photos, pairs=Magenta(), teacher=teacher, **changes)
            assert np.array_equal(pixels_of(items[3, 5, 9]), teacher.shown[-1]) == (share == 0)
        assert np.array_equal(*teacher.shown)

    def test_teacher_and_student_see_their_own_sizes(self, photos: PhotoSet) -> None:
        teacher, half = Witness(), SIZE // 2
        items = dataset(photos, pairs=Magenta(), teacher=teacher, size=half, **self.CLEAR)
        for index in (0, len(items) - 1):
            item = items[index, 5, 9]
            assert item[0].shape == (3, half, half)
            assert item[2].shape == (half // CELL, half // CELL)
            shown = teacher.shown[-1].astype(int)
            assert shown.shape == (SIZE, SIZE, 3)
            quarters = shown.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
            np.testing.assert_allclose(pixels_of(item), quarters, atol=1)


class TestItem:
    def test_item_depends_on_its_draw_only(self, photos: PhotoSet) -> None:
        first, again = (dataset(photos, pairs=Magenta(), **EVERYTHING) for _ in range(2))
        draws = [(i, 100 + i, i % 7) for i in range(len(photos.photos) + 5)]
        wanted = {draw: first[draw] for draw in draws}
        for draw in reversed(draws):
            for seed in (torch.manual_seed, np.random.seed, random.seed):
                seed(draw[0])
            for ours, theirs in zip(again[draw], wanted[draw], strict=True):
                assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))


class TestBackgrounds:
    def test_backgrounds_ramp_ends_with_all(self, photos: PhotoSet) -> None:
        items = dataset(photos, backgrounds=1, backgrounds_ramp=0.4)
        for index, photo in enumerate(photos.photos):
            np.testing.assert_array_equal(pixels_of(items[index, index, 0]), original(photo))

        for epoch, least, most in ((1, 0.1, 0.4), (2, 0.35, 0.65), (4, 1, 1), (9, 1, 1)):
            swapped = [
                (pixels_of(items[index, seed, epoch]) != original(photos.photos[index])).any()
                for index in range(6)
                for seed in range(12)
            ]
            assert least <= np.mean(swapped) <= most

    def test_swapped_background_keeps_the_dish(self, photos: PhotoSet) -> None:
        items = dataset(photos, backgrounds=1)
        kept, others = [], []
        for index in range(6):
            before = original(photos.photos[index])
            for seed in range(12):
                after = pixels_of(items[index, seed, 0])
                middle = np.s_[24:42, 24:40]
                kept.append((np.abs(after[middle] - before[middle]) <= 1).all())
                others.append(np.abs(table_seen(after) - table_seen(before)).max() > 25)
        assert np.mean(kept) > 0.8  # a tenth is translucent
        assert np.mean(others) > 0.75  # the rest come from photos with the same table

    def test_backgrounds_come_from_both_classes(self, photos: PhotoSet) -> None:
        # Three tables are under clean dishes alone, three under dirty ones alone.
        divided = (p for p in photos.photos if not is_noise(p))
        kept = tuple(p for p in divided if (int(p.path.stem) < 3) == (p.label != DIRTY))
        own = replace(photos, photos=kept)
        items = dataset(own, backgrounds=1)
        for index in range(len(own.photos)):
            colours = [table_seen(pixels_of(items[index, seed, 0])) for seed in range(60)]
            hues = [c / max(1.0, c.mean()) for c in colours]
            hits = [min(np.abs(h - np.array(t) / np.mean(t)).max() for h in hues) for t in HUES]
            assert max(hits) < 0.35, "a table is never used"

    def test_photo_without_a_good_mask_keeps_its_background(self, photos: PhotoSet) -> None:
        items = dataset(photos, pairs=Magenta(), backgrounds=1, dirt=1, patterns=1)
        bad = [index for index, photo in enumerate(photos.photos) if is_noise(photo)]
        assert len(bad) == 2
        for index in bad:
            for seed in range(5):
                item, photo = items[index, seed, 0], photos.photos[index]
                np.testing.assert_array_equal(pixels_of(item), original(photo))
                assert item[1] == photo.label
                assert (item[2] == (UNKNOWN if photo.label == DIRTY else CLEAN)).all()


class TestDirt:
    def test_pasted_dirt_changes_the_label(self, photos: PhotoSet) -> None:
        items = dataset(photos, pairs=Magenta(), dirt=0.5)
        became = []
        for index, photo in enumerate(photos.photos):
            for seed in range(12):
                item = items[index, seed, 0]
                if is_noise(photo):
                    assert item[1] == photo.label
                    continue
                seen = magenta(pixels_of(item)).any()
                if photo.label == DIRTY:
                    assert item[1] == DIRTY
                    assert not seen
                else:
                    assert (item[1] == DIRTY) == seen == bool((item[2] == DIRT).any())
                    became.append(seen)
        assert 0.3 < np.mean(became) < 0.7

    @pytest.mark.parametrize("tables", [0, 1])
    def test_target_follows_the_dirt(self, tables: int, photos: PhotoSet) -> None:
        items = dataset(
            photos, pairs=Magenta(), dirt=1, backgrounds=tables, changes=ALL_WAYS, **WILD
        )
        cells: dict[int, list[float]] = {CLEAN: [], DIRT: []}
        for index in range(6):
            for item in (items[index, seed, 0] for seed in range(20)):
                if item[1] != DIRTY:
                    continue
                share = magenta(pixels_of(item))
                share = share.reshape(CELLS, CELL, CELLS, CELL).mean(axis=(1, 3))
                for truth, found in cells.items():
                    found.extend(share[item[2].numpy() == truth])
                assert not (item[2] == UNKNOWN).any()
        assert len(cells[DIRT]) > 100
        assert np.mean(np.array(cells[DIRT]) > 0.05) > 0.97
        assert np.max(cells[CLEAN]) < 0.3

    def test_target_of_a_dirty_photo_is_unknown_on_the_dish(self, photos: PhotoSet) -> None:
        items = dataset(photos)
        for index, photo in enumerate(photos.photos):
            target = items[index, 0, 0][2]
            if photo.label != DIRTY:
                assert (target == CLEAN).all()
            elif not is_noise(photo):
                assert target[3:5, 3:5].eq(UNKNOWN).all()
                assert target[[0, 0, -1, -1], [0, -1, 0, -1]].eq(CLEAN).all()
                assert 0.2 < target.eq(UNKNOWN).float().mean() < 0.6
                assert not target.eq(DIRT).any()

    def test_patterns_change_only_the_dish(self, photos: PhotoSet) -> None:
        items = dataset(photos, patterns=1)
        changed = 0
        for index, photo in enumerate(photos.photos):
            for seed in range(6):
                item = items[index, seed, 0]
                assert item[1] == photo.label
                assert not item[2].eq(DIRT).any()
                difference = np.abs(pixels_of(item) - original(photo)).max(axis=2)
                changed += int((difference > 8).sum() > 8)
                assert difference[:8].max() == 0
        assert changed > 40

    @pytest.mark.parametrize("pairs", [None, Magenta()])
    def test_other_classes_get_no_dirt(self, pairs: RenderedPairs | None, photos: PhotoSet) -> None:
        items = dataset(photos, pairs=pairs, dirty=None, dirt=1, patterns=1, rendered=4)
        assert len(items) == len(photos.photos)
        for index, photo in enumerate(photos.photos):
            item = items[index, index, 0]
            assert item[1] == photo.label
            assert not item[2].eq(DIRT).any()
            np.testing.assert_array_equal(pixels_of(item), original(photo))

    def test_rendered_dishes_follow_the_photos(self, photos: PhotoSet) -> None:
        items = dataset(photos, pairs=Magenta(), rendered=7)
        count = len(photos.photos)
        assert len(items) == count + 7
        labels = []
        for index in range(count, count + 7):
            for seed in range(10):
                item = items[index, seed, 0]
                seen = magenta(pixels_of(item)).any()
                assert seen == (item[1] == DIRTY) == bool(item[2].eq(DIRT).any())
                assert not item[2].eq(UNKNOWN).any()
                labels.append(item[1])
        assert 0.3 < np.mean(labels) < 0.7


class TestMixedRand:
    def test_mixed_rand_puts_every_dish_on_another_background(self, photos: PhotoSet) -> None:
        one_class = tuple(p for p in photos.photos if p.label == 0)
        cache, cutouts = caches(photos)
        good = [p for p in one_class if cutouts.get(p).good]
        assert len(good) == 6
        found = list(mixed_rand(one_class, cache, cutouts, seed=0))
        assert [label for _, label, _ in found] == [photo.label for photo in good]
        assert [one_class[owner] for *_, owner in found] == good
        used = set()
        for photo, (pixels, *_) in zip(good, found, strict=True):
            before = original(photo)
            assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE, 3), np.uint8)
            middle = np.s_[24:42, 24:40]
            assert np.abs(pixels[middle].astype(int) - before[middle]).max() <= 1
            seen = table_seen(pixels.astype(int))
            nearest = min(range(6), key=lambda i: np.abs(np.array(HUES[i]) - seen).max())
            assert np.abs(np.array(HUES[nearest]) - seen).max() < 12  # it is one of the others
            assert nearest != int(photo.path.stem)
            used.add(nearest)
        assert len(used) > 2

    def test_mixed_rand_without_another_background_yields_nothing(self, photos: PhotoSet) -> None:
        for some in (photos.photos[:1], photos.photos[:0], (photos.photos[0], photos.photos[6])):
            assert list(mixed_rand(some, *caches(photos), seed=0)) == []


class TestValidation:
    def test_validation_serves_photos_then_mixed_rand(self, photos: PhotoSet) -> None:
        norm = Normalization(mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1))
        cache, cutouts = caches(photos)
        items = SwappedDataset(photos.photos, cache, cutouts, norm)
        mixed = [found[:2] for found in mixed_rand(photos.photos, cache, cutouts, seed=0)]
        count = len(photos.photos)
        assert len(mixed) == 12
        assert len(items) == count + 12
        wanted = [(original(photo), photo.label) for photo in photos.photos] + mixed
        for index, (pixels, label) in enumerate(wanted):
            inputs, found, target = items[index]
            normalised = (pixels / 255 - norm.mean) / norm.std
            np.testing.assert_allclose(inputs.numpy(), normalised.transpose(2, 0, 1), atol=1e-5)
            assert found == label
            assert target.shape == (CELLS, CELLS)
            assert target.eq(UNKNOWN).all()


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
def test_batches_do_not_depend_on_workers(taught: bool, photos: PhotoSet) -> None:
    robust = "augmentation.robust"
    wanted = [f"input.size={SIZE}", "batch_size=8", f"{robust}.pairs=2", f"{robust}.rendered=2"]
    recipe = load_recipe("tiny_vgg_plate", wanted)

    def batches(workers: int) -> list[torch.Tensor]:
        module = PlateDataModule(
            replace(photos, photos=photos.photos[:8]), recipe, PLAIN,
            seed=3, workers=workers,
            teacher=TeacherModel(("plate",), ("clean", "dirty")) if taught else None,
        )  # fmt: skip
        loader = module.train_dataloader()
        found = []
        for epoch in (0, 30):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            found += [part.clone() for batch in loader for part in batch]
        return found

    alone, shared = batches(0), batches(2)
    parts = 4 if taught else 3
    assert [len(part) for part in alone] == ([8] * parts + [2] * parts) * 2
    assert all(torch.equal(*two) for two in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], alone[2 * parts])
