from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from platecheck.data.folders import PhotoSet, read_photos
from platecheck.photo import open_photo
from platecheck.training.augmentation import training_transform
from platecheck.training.datamodule import (
    CachedFeatures,
    EpochAwareSampler,
    PhotoDataset,
    PlateDataModule,
)
from platecheck.training.recipe import Normalization, load_recipe
from tests.conftest import WritePhotos

NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SIZE = 32
# The reference's whole augmentation, in small batches.
RECIPE = load_recipe("tiny_vgg", [f"input.size={SIZE}", "batch_size=4"])
Batches = list[tuple[Tensor, Tensor]]


def draws(photos: int, *, seed: int = 0, epoch: int = 0, rank: int = 0, ranks: int = 1) -> list:
    sampler = EpochAwareSampler(photos, seed=seed, rank=rank, world_size=ranks)
    sampler.set_epoch(epoch)
    found = [(index, seed) for index, seed, of in sampler if of == epoch]
    assert len(found) == len(sampler)
    return found


class TestSampler:
    def test_sampler_draws_every_photo_once(self) -> None:
        assert sorted(index for index, _ in draws(50)) == list(range(50))

    def test_sampler_with_another_seed_or_epoch_draws_differently(self) -> None:
        # Seed 1 in epoch 0 must not be seed 0 in epoch 1.
        found = [draws(50, seed=seed, epoch=epoch) for seed in range(8) for epoch in range(8)]
        assert len({tuple(index for index, _ in drawn) for drawn in found}) == 64
        assert len({seed for drawn in found for _, seed in drawn}) == 64 * 50

    @pytest.mark.parametrize(("photos", "ranks"), [(12, 2), (13, 2), (10, 4), (3, 8), (7, 1)])
    def test_sampler_ranks_share_the_epoch(self, photos: int, ranks: int) -> None:
        parts = [draws(photos, seed=5, epoch=2, rank=rank, ranks=ranks) for rank in range(ranks)]
        assert len({len(part) for part in parts}) == 1
        whole = draws(photos, seed=5, epoch=2)
        counted = Counter(draw for part in parts for draw in part)
        # All of what one process alone would draw, and as little twice as equal parts allow.
        assert set(counted) == set(whole)
        assert sum(counted.values()) - photos == -photos % ranks
        if photos >= ranks:
            assert max(counted.values()) <= 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, write_photos: WritePhotos) -> PhotoSet:
    """Photos of noise: no two versions of them look alike."""
    folder = tmp_path_factory.mktemp("photos")
    places = [f"{split}/{name}" for split in ("train", "val") for name in ("clean", "dirty")]
    return read_photos(write_photos(folder, dict.fromkeys(places, 5)))


def module(photos: PhotoSet, *, seed: int = 0, workers: int = 0) -> PlateDataModule:
    return PlateDataModule(photos, RECIPE, NORMALIZATION, seed=seed, workers=workers)


def epochs(datamodule: PlateDataModule, wanted: list[int]) -> Iterator[Batches]:
    loader = datamodule.train_dataloader()
    for epoch in wanted:
        assert isinstance(loader.sampler, EpochAwareSampler)
        loader.sampler.set_epoch(epoch)
        yield [(inputs.clone(), labels.clone()) for inputs, labels in loader]


def same(ours: Batches, theirs: Batches) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(x, y) and torch.equal(labels, other_labels)
        for (x, labels), (y, other_labels) in zip(ours, theirs, strict=True)
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
def test_batches_do_not_depend_on_workers(photos: PhotoSet) -> None:
    alone = list(epochs(module(photos), [0, 1]))
    for workers in (1, 2):
        shared = list(epochs(module(photos, workers=workers), [0, 1]))
        assert all(map(same, shared, alone))
    assert [len(labels) for _, labels in alone[0]] == [4, 4, 2]


def test_epoch_does_not_depend_on_earlier_ones(photos: PhotoSet) -> None:
    first, second = epochs(module(photos), [0, 1])
    (resumed,) = epochs(module(photos), [1])
    assert same(second, resumed)
    assert not same(first, second)
    (other_seed,) = epochs(module(photos, seed=1), [0])
    assert not same(first, other_seed)


def test_item_depends_on_its_draw_only(photos: PhotoSet) -> None:
    datamodule = module(photos)
    transform = training_transform(RECIPE.augmentation, NORMALIZATION)
    dataset = PhotoDataset(photos.split("train"), datamodule.cache, transform)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, label = dataset[3, 77]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    _ = dataset[5, 1]
    assert torch.equal(first, dataset[3, 77][0])
    assert label == photos.split("train")[3].label
    assert not torch.equal(first, dataset[3, 78][0])


def test_validation_photos_are_unchanged_and_in_order(photos: PhotoSet) -> None:
    inputs, labels = map(torch.cat, zip(*module(photos).val_dataloader(), strict=True))
    pixels = np.stack([open_photo(photo.path, size=SIZE) for photo in photos.split("val")])
    wanted = (pixels.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(inputs.numpy(), wanted, atol=1e-6)
    assert labels.tolist() == [photo.label for photo in photos.split("val")]


def test_cached_features_draw_picks_a_version() -> None:
    features = torch.arange(4 * 3).reshape(4, 3, 1).float()  # version v of photo p holds 3v + p
    dataset = CachedFeatures(features, torch.tensor([0, 1, 1]))
    assert len(dataset) == 3
    picked = Counter()
    for seed in range(400):
        found, label = dataset[2, seed]
        assert label == 1
        assert torch.equal(found, dataset[2, seed][0])
        version, photo = divmod(int(found), 3)
        assert photo == 2
        picked[version] += 1
    assert sorted(picked) == [0, 1, 2, 3]
    assert min(picked.values()) > 60  # 100 on average, 9 the standard deviation
