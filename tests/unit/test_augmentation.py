import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from platecheck.training.augmentation import (
    enumerate_augmentations,
    make_transform,
    training_transform,
    v2,
)
from platecheck.training.recipe import Augmentation, Normalization, load_recipe

NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def normalized(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the network should see, worked out without torch."""
    values = (pixels / 255 - NORMALIZATION.mean) / NORMALIZATION.std
    return values.transpose(2, 0, 1)


@pytest.mark.parametrize("recipe", ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2_fullaug"])
def test_recipes_have_the_references_augmentation(recipe: str) -> None:
    transform = training_transform(load_recipe(recipe).augmentation, NORMALIZATION)
    reference = [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomVerticalFlip(0.5),
        v2.RandomRotation(10.0, expand=False, center=None, fill=0),
        v2.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05),
        v2.TrivialAugmentWide(31, fill=None),
    ]
    changes = transform.transforms[1:-3]
    assert list(map(repr, changes)) == list(map(repr, reference))
    # Some versions of torchvision keep the mode, others its name.
    for change in (changes[2], changes[4]):
        assert v2.InterpolationMode(change.interpolation) == v2.InterpolationMode.NEAREST


def test_transform_without_augmentation_normalizes(pixels: NDArray[np.uint8]) -> None:
    tensor = make_transform([], NORMALIZATION)(pixels)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 24, 24)
    np.testing.assert_allclose(tensor.numpy(), normalized(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("augmentation", "flips"),
    [
        ({}, [(1, 1)]),
        ({"horizontal_flip": True}, [(1, 1), (1, -1)]),
        ({"vertical_flip": True}, [(1, 1), (-1, 1)]),
        (
            {"horizontal_flip": True, "vertical_flip": True},
            [(1, 1), (1, -1), (-1, 1), (-1, -1)],
        ),
    ],
)
def test_enumerate_augmentations_yields_every_version_once(
    augmentation: dict[str, bool], flips: list[tuple[int, int]], pixels: NDArray[np.uint8]
) -> None:
    versions = enumerate_augmentations(Augmentation(**augmentation), NORMALIZATION)
    found = [version(pixels).numpy() for version in versions]
    assert len(found) == len(flips)
    for down, right in flips:
        wanted = normalized(pixels[::down, ::right])
        assert sum(np.allclose(version, wanted, atol=1e-6) for version in found) == 1
