"""Photos with boxes for training: drawn by kind, placed, composed and augmented reproducibly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from platecheck.cpus import cpu_count, in_threads
from platecheck.data.backgrounds import extract_background, noise_background
from platecheck.data.boxes import KINDS, BoxedPhotoSet
from platecheck.data.cache import PixelCache
from platecheck.data.composite import compose_scene
from platecheck.data.decoration import decorate
from platecheck.data.folders import Photo
from platecheck.data.glazes import glaze_dish
from platecheck.data.photometric import photometric_augment
from platecheck.data.segmentation import MaskCache
from platecheck.detector import PADDING, letterbox
from platecheck.errors import DataError
from platecheck.photo import open_photo, open_reduced
from platecheck.training import torchvision_guard
from platecheck.training.datamodule import Draw, EpochAwareSampler
from platecheck.training.detection.loss import Target
from platecheck.training.recipe import Recipe

torchvision_guard.install()

from lightning.pytorch import LightningDataModule  # noqa: E402

LEARNT = 0.4  # a dish of which the frame shows a smaller share is neither dish nor background
LEAST_SEEN = 0.15  # likewise one that other dishes hide
MOST_COMPOSED = 12
GLAZED = 0.25  # share of the patterns that are a glaze
BARE = 0.25  # share of the photos without dishes that are nothing but background
# Composed dishes lie on photos without dishes, backgrounds of single dishes, or noise.
BACKGROUNDS = {"empty": 0.5, "dishes": 0.35, "noise": 0.15}

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]


class Scene(NamedTuple):
    """A photo uint8 [S, S, 3], its boxes [M, 4] in pixels, and which are learnt, bool [M]."""

    pixels: Pixels
    boxes: Boxes
    learn: NDArray[np.bool_]


def drawn_kinds(data: BoxedPhotoSet, recipe: Recipe) -> tuple[list[str], NDArray[np.float64]]:
    """Return the kinds of photos that a recipe draws for training, and their shares.

    Raises:
        DataError: there are no photos of these kinds, or none of them has a dish.
    """
    assert recipe.detection is not None
    dishes: dict[str, int] = {}
    for photo in data.photos.split("train"):
        kind = KINDS[photo.label]
        dishes[kind] = dishes.get(kind, 0) + len(data.boxes[photo.name])
    if "dishes" in dishes:
        dishes["composed"] = dishes["dishes"]
    drawn = {kind: share for kind, share in recipe.detection.shares.items() if kind in dishes}
    if not sum(drawn.values()):
        raise DataError(f"{data.photos.folder} has no photos of a kind that the recipe draws")
    if not any(dishes[kind] for kind, share in drawn.items() if share):
        raise DataError(f"no training photo in {data.photos.folder} that is drawn has a dish")
    return list(drawn), np.array(list(drawn.values())) / sum(drawn.values())


class SceneDataset(Dataset[tuple[Tensor, Target]]):
    """Training photos; an item depends on its draw only, so a resumed run sees the same."""

    def __init__(self, data: BoxedPhotoSet, recipe: Recipe, cache_folder: Path | None) -> None:
        assert recipe.detection is not None
        photos = data.photos.split("train")
        self.boxes = data.boxes
        self.recipe = recipe
        self.detection = recipe.detection
        self.size = recipe.input.size
        self.by_kind = {
            kind: [photo for photo in photos if photo.label == index]
            for index, kind in enumerate(KINDS)
        }
        self.kinds, self.shares = drawn_kinds(data, recipe)
        # Photos are cached as squares; their proportions are kept apart.
        side = round(self.size * max(1, self.detection.scale[1]))
        self.cache = PixelCache(side, photos, folder=cache_folder)
        self.masks = MaskCache(cache_folder)
        ratios = in_threads(_aspect_ratio, [photo.path for photo in photos])
        self.aspect = dict(zip([photo.name for photo in photos], ratios, strict=True))

    def __len__(self) -> int:
        return self.detection.photos

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Target]:
        rng = np.random.default_rng(draw[1])
        kind = self.kinds[rng.choice(len(self.kinds), p=self.shares)]
        scene = self._compose(rng) if kind == "composed" else self._photo(rng, kind)
        pixels, boxes, learn = flip(rng, scene, self.recipe)
        pixels = photometric_augment(rng, pixels)
        target = Target(torch.from_numpy(boxes), torch.from_numpy(learn), kind != "partly")
        return torch.from_numpy(pixels), target

    def _photo(self, rng: np.random.Generator, kind: str) -> Scene:
        if kind == "empty" and rng.random() < BARE:
            nothing = np.zeros((0, 4), np.float32)
            return place(rng, self._background(rng), nothing, (self.size, self.size), self.size)
        photo = self._choose(rng, kind)
        wide = self.aspect[photo.name] * self.detection.stretch ** rng.uniform(-1, 1)
        low, high = np.log(self.detection.scale)
        longest = self.size * np.exp(rng.uniform(low, high))
        width, height = longest * min(1, wide), longest * min(1, 1 / wide)
        pixels = self._decorated(rng, photo) if kind == "dishes" else self.cache.get(photo)
        return place(rng, pixels, self.boxes[photo.name], (round(width), round(height)), self.size)

    def _compose(self, rng: np.random.Generator) -> Scene:
        count = int(rng.integers(1, MOST_COMPOSED + 1))
        dishes = [self._cut_out(rng, self._choose(rng, "dishes")) for _ in range(count)]
        pixels, boxes, visible = compose_scene(rng, dishes, self._background(rng), self.size)
        return Scene(pixels, boxes, visible >= LEAST_SEEN)

    def _decorated(self, rng: np.random.Generator, photo: Photo) -> Pixels:
        """Return a single dish, with a pattern or glaze as often as the recipe says."""
        pixels = self.cache.get(photo)
        if rng.random() >= self.detection.patterns:
            return pixels
        mask = self.masks.get(photo).mask(self.cache.size, self.cache.size)
        change = glaze_dish if rng.random() < GLAZED else decorate
        return change(rng, pixels, mask)

    def _cut_out(self, rng: np.random.Generator, photo: Photo) -> Pixels:
        pixels, side = self._decorated(rng, photo), self.cache.size
        mask = self.masks.get(photo).mask(side, side)
        wide = self.aspect[photo.name]
        size = (max(1, round(side * min(1, wide))), max(1, round(side * min(1, 1 / wide))))
        return np.asarray(cv2.resize(np.dstack((pixels, mask)), size), np.uint8)

    def _background(self, rng: np.random.Generator) -> Pixels:
        kind = list(BACKGROUNDS)[rng.choice(len(BACKGROUNDS), p=list(BACKGROUNDS.values()))]
        if kind != "noise" and self.by_kind[kind]:
            photo = self._choose(rng, kind)
            pixels = self.cache.get(photo)
            if kind == "empty":
                return pixels
            mask = self.masks.get(photo).mask(self.cache.size, self.cache.size)
            if (background := extract_background(pixels, mask, rng)) is not None:
                return background
        return noise_background(rng, self.size, self.size)

    def _choose(self, rng: np.random.Generator, kind: str) -> Photo:
        photos = self.by_kind[kind]
        return photos[int(rng.integers(len(photos)))]


@dataclass(eq=False)
class LetterboxedDataset(Dataset[tuple[Tensor, Target]]):
    """Photos as the detector sees them."""

    photos: Sequence[Photo]
    data: BoxedPhotoSet
    size: int

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        photo = self.photos[index]
        pixels = open_photo(photo.path)
        square, scale = letterbox(pixels, self.size)
        height, width = pixels.shape[:2]
        boxes = self.data.boxes[photo.name] * np.float32(scale) * (width, height, width, height)
        complete = KINDS[photo.label] != "partly"
        learn = torch.ones(len(boxes), dtype=torch.bool)
        return torch.from_numpy(square), Target(torch.from_numpy(boxes).float(), learn, complete)


class BoxDataModule(LightningDataModule):
    """Data loaders for the splits ``train`` and ``val``, as configured by a recipe."""

    def __init__(
        self,
        data: BoxedPhotoSet,
        recipe: Recipe,
        *,
        seed: int,
        workers: int | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.data = data
        self.recipe = recipe
        self.seed = seed
        self.workers = min(4, cpu_count()) if workers is None else workers
        self.cache_folder = cache_folder
        self._training_set: SceneDataset | None = None

    def train_dataloader(self) -> DataLoader[Any]:
        self._training_set = self._training_set or SceneDataset(
            self.data, self.recipe, self.cache_folder
        )
        sampler = EpochAwareSampler.of_trainer(
            self.trainer, len(self._training_set), seed=self.seed
        )
        return self._loader(self._training_set, sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        photos = self.data.photos.split("val")
        return self._loader(LetterboxedDataset(photos, self.data, self.recipe.input.size), None)

    def _loader(self, dataset: Dataset[Any], sampler: EpochAwareSampler | None) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_size=self.recipe.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
        )


def collate(items: Sequence[tuple[Tensor, Target]]) -> tuple[Tensor, list[Target]]:
    """Stack photos; keep the boxes of each, whose number varies."""
    return torch.stack([pixels for pixels, _ in items]), [target for _, target in items]


def place(
    rng: np.random.Generator, pixels: Pixels, boxes: Boxes, shape: tuple[int, int], size: int
) -> Scene:
    """Scale a photo to `shape` (width, height) and put it, or a part of it, into a square.

    Args:
        rng: source of randomness.
        pixels: of any size.
        boxes: [M, 4] as shares of width and height.
        shape: in pixels.
        size: side of the square, in pixels.
    """
    width, height = max(1, shape[0]), max(1, shape[1])
    shrinks = width * height < pixels.shape[0] * pixels.shape[1]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, (width, height), interpolation=mode)
    free = size - width, size - height
    x, y = (int(rng.integers(min(0, each), max(0, each) + 1)) for each in free)
    square = np.full((size, size, 3), PADDING, np.uint8)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, size), min(y + height, size)
    square[top:bottom, left:right] = scaled[top - y : bottom - y, left - x : right - x]
    sides, corner = np.array((width, height) * 2, np.float32), np.array((x, y) * 2, np.float32)
    whole = boxes * sides + corner
    shown = whole.clip(0, size)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (shown, whole)]
    share = areas[0] / np.maximum(areas[1], 1e-6)
    seen = share > 0
    return Scene(square, shown[seen].astype(np.float32), (share >= LEARNT)[seen])


def flip(rng: np.random.Generator, scene: Scene, recipe: Recipe) -> Scene:
    """Mirror a photo and its boxes as the recipe says."""
    pixels, boxes, learn = scene
    size, boxes = len(pixels), boxes.copy()
    for axis, wanted in enumerate(
        (recipe.augmentation.horizontal_flip, recipe.augmentation.vertical_flip)
    ):
        if wanted and rng.random() < 0.5:
            pixels = np.flip(pixels, 1 - axis)
            boxes[:, [axis, axis + 2]] = size - boxes[:, [axis + 2, axis]]
    return Scene(np.ascontiguousarray(pixels), boxes, learn)


def _aspect_ratio(path: Path) -> float:
    """Return width / height of an upright photo."""
    photo = open_reduced(path, 8)
    return photo.width / photo.height
