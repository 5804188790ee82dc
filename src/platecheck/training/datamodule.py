"""Photos for training: cached pixels, reproducible augmentation, features computed once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from platecheck.cpus import cpu_count
from platecheck.data.cache import PixelCache
from platecheck.data.folders import Photo, PhotoSet
from platecheck.data.render.pairs import RenderedPairs
from platecheck.data.segmentation import MaskCache
from platecheck.model_info import match_classes
from platecheck.training import torchvision_guard
from platecheck.training.augmentation import (
    Transform,
    enumerate_augmentations,
    make_transform,
    training_transform,
)
from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.recipe import Normalization, Recipe, Robust
from platecheck.training.robust import RobustDataset, SwappedDataset
from platecheck.training.teacher import TeacherModel

torchvision_guard.install()

from lightning.pytorch import LightningDataModule, Trainer  # noqa: E402

# (index of the photo, seed of its augmentation, epoch)
Draw = tuple[int, int, int]


@dataclass(eq=False)
class PhotoDataset(Dataset[tuple[Tensor, int]]):
    """Normalized photos [3, H, W] and labels.

    An item's augmentation depends on its draw only, so a resumed run sees the same photos.
    """

    photos: Sequence[Photo]
    cache: PixelCache
    transform: Transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: int | Draw) -> tuple[Tensor, int]:
        index, seed = draw[:2] if isinstance(draw, tuple) else (draw, 0)
        photo = self.photos[index]
        pixels = self.cache.get(photo)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.transform(pixels), photo.label


@dataclass(eq=False)
class CachedFeatures(Dataset[tuple[Tensor, int]]):
    """Features [versions, N, F] of augmented photos and labels [N]; a draw picks one version."""

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        index, seed = draw[:2]
        generator = torch.Generator().manual_seed(seed)
        version = int(torch.randint(len(self.features), (), generator=generator))
        return self.features[version, index], int(self.labels[index])


@dataclass(eq=False)
class EpochAwareSampler(Sampler[Draw]):
    """Draw a new order and new augmentation seeds every epoch, from seed and epoch alone.

    Each of `world_size` processes gets every `world_size`-th photo.
    """

    photos: int
    _: KW_ONLY
    seed: int
    rank: int
    world_size: int
    epoch: int = 0

    @classmethod
    def of_trainer(cls, trainer: Trainer | None, photos: int, *, seed: int) -> "EpochAwareSampler":
        """Return the sampler of this process, at the trainer's epoch."""
        rank, world_size, epoch = (0, 1, 0)
        if trainer is not None:
            rank, world_size = trainer.global_rank, trainer.world_size
            epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        sampler = cls(photos, seed=seed, rank=rank, world_size=world_size)
        # In a resumed run, Lightning sets the epoch only after workers have started prefetching.
        sampler.set_epoch(epoch)
        return sampler

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before every epoch, after a resume too."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return this process's number of draws, which is the same in all processes."""
        return math.ceil(self.photos / self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.photos, generator=generator)
        seeds = torch.randint(2**62, (self.photos,), generator=generator)
        for turn in range(self.rank, len(self) * self.world_size, self.world_size):
            index = int(order[turn % self.photos])
            yield index, int(seeds[index]), self.epoch


def derive_seed(*numbers: int) -> int:
    """Hash several numbers into one seed, so that adjacent inputs give independent streams."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = ((state ^ number) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
        state ^= state >> 31
    return state % 2**62


class PlateDataModule(LightningDataModule):
    """Data loaders for the splits ``train`` and ``val``, as configured by a recipe."""

    def __init__(
        self,
        photos: PhotoSet,
        recipe: Recipe,
        normalization: Normalization,
        *,
        seed: int,
        teacher: TeacherModel | None = None,
        workers: int | None = None,
    ) -> None:
        """Set up the data; `seed` is that of order and augmentation.

        By default there is one data loader process per core, at most four.
        """
        super().__init__()
        self.photos = photos
        self.recipe = recipe
        self.normalization = normalization
        self.seed = seed
        self.teacher = teacher
        self.workers = min(4, cpu_count()) if workers is None else workers
        self.cache = PixelCache(recipe.input.size, photos.photos)
        self.masks = MaskCache()

    @property
    def frozen(self) -> FrozenBackbone | None:
        """The module's frozen backbone; if it has one, features are served."""
        module = self.trainer.lightning_module if self.trainer else None
        return getattr(module, "frozen", None)

    def train_dataloader(self) -> DataLoader[Any]:
        photos = len(self._training_set)  # type: ignore[arg-type]
        sampler = EpochAwareSampler.of_trainer(self.trainer, photos, seed=self.seed)
        return self._loader(self._training_set, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self._validation_set, sampler=None)

    @cached_property
    def _validation_set(self) -> Dataset[Any]:
        photos, transform = self.photos.split("val"), make_transform([], self.normalization)
        if self.recipe.augmentation.robust:
            return SwappedDataset(photos, self.cache, self.masks, self.normalization)
        if self.frozen:
            return TensorDataset(self._features(photos, transform), _labels(photos))
        return PhotoDataset(photos, self.cache, transform)

    @cached_property
    def _training_set(self) -> Dataset[Any]:
        photos = self.photos.split("train")
        augmentation = self.recipe.augmentation
        if self.frozen and augmentation.finite:
            versions = enumerate_augmentations(augmentation, self.normalization)
            features = torch.stack([self._features(photos, version) for version in versions])
            return CachedFeatures(features, _labels(photos))
        if augmentation.robust:
            return self._robust_set(augmentation.robust)
        transform = training_transform(augmentation, self.normalization)
        return PhotoDataset(photos, self.cache, transform)

    def _robust_set(self, robust: Robust) -> RobustDataset:
        dirty, photos = dirty_class(self.photos.classes), self.photos.split("train")
        rendered, cache = None, self.cache
        if self.teacher:
            cache = PixelCache(self.teacher.size, photos)
        if dirty is not None and (robust.rendered or robust.dirt):
            rendered = RenderedPairs(robust.pairs, cache.size, seed=self.seed, workers=self.workers)
        return RobustDataset(
            photos,
            cache,
            self.masks,
            self.recipe,
            self.normalization,
            dirty=dirty,
            rendered=rendered,
            teacher=self.teacher,
        )

    def _features(self, photos: Sequence[Photo], transform: Transform) -> Tensor:
        assert self.frozen is not None
        loader = self._loader(PhotoDataset(photos, self.cache, transform), sampler=None)
        return torch.cat([self.frozen(batch).cpu() for batch, _ in loader])

    def _loader(
        self, dataset: Dataset[Any], *, sampler: EpochAwareSampler | None
    ) -> DataLoader[Any]:
        workers = 0 if isinstance(dataset, CachedFeatures | TensorDataset) else self.workers
        return DataLoader(
            dataset,
            batch_size=self.recipe.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def dirty_class(classes: Sequence[str]) -> int | None:
    """Return the index of the class with dirt; None unless the classes are clean and dirty."""
    clean, dirty = match_classes(["clean", "dirty"], classes)
    return None if clean is None or len(classes) != 2 else dirty


def _labels(photos: Sequence[Photo]) -> Tensor:
    return torch.tensor([photo.label for photo in photos])
