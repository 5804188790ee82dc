from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from platecheck.training import augmentation as augmentations
from platecheck.training.augmentation import (
    IMAGENET,
    Compose,
    enumerate_augmentations,
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
    assert isinstance(transform, Compose)
    return list(transform.changes)


def settings(change: v2.Transform, *names: str) -> dict[str, Any]:
    return {name: getattr(change, name) for name in names}


@pytest.mark.parametrize("recipe", ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2_fullaug"])
def test_the_recipes_augmentation_is_the_references_to_the_letter(recipe: str) -> None:
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


def test_after_the_changes_come_float_and_normalisation() -> None:
    transform = training_transform(ALL, IMAGENET)
    assert isinstance(transform, Compose)
    to_tensor, to_float, normalize = transform.normalize.transforms
    assert type(to_tensor) is v2.PILToTensor
    assert type(to_float) is v2.ToDtype
    assert settings(to_float, "dtype", "scale") == {"dtype": torch.float32, "scale": True}
    assert type(normalize) is v2.Normalize
    assert settings(normalize, "mean", "std") == {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.mark.parametrize(
    ("augmentation", "kinds"),
    [
        (Augmentation(), []),
        (Augmentation(horizontal_flip=True), [v2.RandomHorizontalFlip]),
        (Augmentation(vertical_flip=True), [v2.RandomVerticalFlip]),
        (Augmentation(rotation=5), [v2.RandomRotation]),
        (Augmentation(color_jitter=ColorJitter(hue=0.1)), [v2.ColorJitter]),
        (Augmentation(trivial_augment_bins=7), [v2.TrivialAugmentWide]),
    ],
)
def test_only_what_the_recipe_names_is_done(
    augmentation: Augmentation, kinds: list[type[v2.Transform]]
) -> None:
    assert [type(change) for change in changes(augmentation)] == kinds


def test_the_recipes_number_of_bins_is_taken() -> None:
    (trivial,) = changes(Augmentation(trivial_augment_bins=7))
    assert trivial.num_magnitude_bins == 7


def test_the_testing_transform_is_plain_arithmetic(pixels: NDArray[np.uint8]) -> None:
    tensor = augmentations.testing_transform(NORMALIZATION)(pixels)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 24, 24)
    np.testing.assert_allclose(tensor.numpy(), normalized(pixels), atol=1e-6)


def test_training_changes_pictures_and_is_repeated_by_the_seed(pixels: NDArray[np.uint8]) -> None:
    transform = training_transform(ALL, NORMALIZATION)

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return transform(pixels)

    drawn = [draw(seed) for seed in range(8)]
    assert all(tensor.shape == (3, 24, 24) for tensor in drawn)
    assert all(torch.equal(draw(seed), drawn[seed]) for seed in range(8))
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:])


def test_a_flip_is_done_to_about_half_of_the_pictures(pixels: NDArray[np.uint8]) -> None:
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
def test_every_version_of_a_flipped_photo_comes_once(
    augmentation: Augmentation, flips: list[tuple[int, int]], pixels: NDArray[np.uint8]
) -> None:
    found = [
        version(pixels).numpy() for version in enumerate_augmentations(augmentation, NORMALIZATION)
    ]
    assert len(found) == len(flips)
    for down, right in flips:
        wanted = normalized(pixels[::down, ::right])
        assert sum(np.allclose(version, wanted, atol=1e-6) for version in found) == 1


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(rotation=1),
        Augmentation(color_jitter=ColorJitter(brightness=0.1)),
        Augmentation(trivial_augment_bins=31),
        ALL,
    ],
)
def test_an_augmentation_without_end_has_no_list_of_versions(augmentation: Augmentation) -> None:
    assert not augmentation.finite
    with pytest.raises(ValueError, match="no end of versions"):
        enumerate_augmentations(augmentation, NORMALIZATION)
