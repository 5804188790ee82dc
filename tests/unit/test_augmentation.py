from typing import Any

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
from platecheck.training.recipe import Augmentation, ColorJitter, Normalization, load_recipe

NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
ALL = Augmentation(
    horizontal_flip=True,
    vertical_flip=True,
    rotation=10,
    color_jitter=ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05),
    trivial_augment_bins=31,
)


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def normalized(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the network should see, worked out without torch."""
    values = (pixels / 255 - NORMALIZATION.mean) / NORMALIZATION.std
    return values.transpose(2, 0, 1)


def changes(augmentation: Augmentation) -> list[v2.Transform]:
    transform = training_transform(augmentation, NORMALIZATION)
    assert isinstance(transform, v2.Compose)
    return transform.transforms[1:-3]


def settings(change: v2.Transform, *names: str) -> dict[str, Any]:
    return {name: getattr(change, name) for name in names}


@pytest.mark.parametrize("recipe", ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2_fullaug"])
def test_recipes_have_the_references_augmentation(recipe: str) -> None:
    horizontal, vertical, rotation, jitter, trivial = changes(load_recipe(recipe).augmentation)
    assert type(horizontal) is v2.RandomHorizontalFlip
    assert type(vertical) is v2.RandomVerticalFlip
    assert horizontal.p == vertical.p == 0.5
    assert type(rotation) is v2.RandomRotation
    assert settings(rotation, "degrees", "expand", "center", "fill") == {
        "degrees": [-10, 10],
        "expand": False,
        "center": None,
        "fill": 0,
    }
    assert type(jitter) is v2.ColorJitter
    assert settings(jitter, "brightness", "contrast", "saturation", "hue") == {
        "brightness": (0.9, 1.1),
        "contrast": (0.9, 1.1),
        "saturation": (0.9, 1.1),
        "hue": (-0.05, 0.05),
    }
    assert type(trivial) is v2.TrivialAugmentWide
    assert settings(trivial, "num_magnitude_bins", "fill") == {
        "num_magnitude_bins": 31,
        "fill": None,
    }
    # Some versions of torchvision keep the mode, others its name.
    for change in (rotation, trivial):
        assert v2.InterpolationMode(change.interpolation) == v2.InterpolationMode.NEAREST


def test_transform_without_augmentation_normalizes(pixels: NDArray[np.uint8]) -> None:
    tensor = make_transform([], NORMALIZATION)(pixels)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 24, 24)
    np.testing.assert_allclose(tensor.numpy(), normalized(pixels), atol=1e-6)


def test_horizontal_flip_flips_about_half(pixels: NDArray[np.uint8]) -> None:
    transform = training_transform(Augmentation(horizontal_flip=True), NORMALIZATION)
    torch.manual_seed(0)
    flipped = torch.from_numpy(normalized(pixels[:, ::-1])).float()
    count = sum(torch.allclose(transform(pixels), flipped, atol=1e-6) for _ in range(200))
    assert 70 < count < 130  # 100 on average, 7 the standard deviation


@pytest.mark.parametrize(
    ("augmentation", "flips"),
    [
        (Augmentation(), [(1, 1)]),
        (Augmentation(horizontal_flip=True), [(1, 1), (1, -1)]),
        (Augmentation(vertical_flip=True), [(1, 1), (-1, 1)]),
        (
            Augmentation(horizontal_flip=True, vertical_flip=True),
            [(1, 1), (1, -1), (-1, 1), (-1, -1)],
        ),
    ],
)
def test_enumerate_augmentations_yields_every_version_once(
    augmentation: Augmentation, flips: list[tuple[int, int]], pixels: NDArray[np.uint8]
) -> None:
    found = [
        version(pixels).numpy() for version in enumerate_augmentations(augmentation, NORMALIZATION)
    ]
    assert len(found) == len(flips)
    for down, right in flips:
        wanted = normalized(pixels[::down, ::right])
        assert sum(np.allclose(version, wanted, atol=1e-6) for version in found) == 1
