"""From stored pixels to a network's input: random changes for training, none for testing."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from platecheck.training import torchvision_guard
from platecheck.training.recipe import Augmentation, Normalization

torchvision_guard.install()

from torchvision.transforms import v2  # noqa: E402

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

Transform = Callable[[NDArray[np.uint8]], Tensor]


class Compose:
    """Changes a PIL photo, then gives the normalised tensor [3, H, W].

    The changes work on PIL images of the size that the network sees, as the reference's do.
    """

    def __init__(self, changes: Sequence[v2.Transform], normalization: Normalization) -> None:
        self.changes = changes
        self.normalize = v2.Compose(
            [
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(normalization.mean), list(normalization.std)),
            ]
        )

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        photo = Image.fromarray(pixels)
        for change in self.changes:
            photo = change(photo)
        tensor: Tensor = self.normalize(photo)
        return tensor


def testing_transform(normalization: Normalization) -> Transform:
    """To float, normalise: what validation, test and production see."""
    return Compose([], normalization)


def training_transform(augmentation: Augmentation, normalization: Normalization) -> Transform:
    """Random changes drawn from torch's global generator, then as for testing."""
    changes: list[v2.Transform] = []
    if augmentation.horizontal_flip:
        changes.append(v2.RandomHorizontalFlip())
    if augmentation.vertical_flip:
        changes.append(v2.RandomVerticalFlip())
    if augmentation.rotation:
        changes.append(v2.RandomRotation(augmentation.rotation))
    if jitter := augmentation.color_jitter:
        changes.append(v2.ColorJitter(**jitter.model_dump()))
    if augmentation.trivial_augment_bins:
        changes.append(v2.TrivialAugmentWide(num_magnitude_bins=augmentation.trivial_augment_bins))
    return Compose(changes, normalization)


def enumerate_augmentations(
    augmentation: Augmentation, normalization: Normalization
) -> list[Transform]:
    """All versions of a photo that a finite augmentation can give, each equally likely.

    Raises:
        ValueError: the augmentation is not finite.
    """
    if not augmentation.finite:
        raise ValueError("this augmentation has no end of versions")
    flips: list[list[v2.Transform]] = [[]]
    if augmentation.horizontal_flip:
        flips += [[*flip, v2.RandomHorizontalFlip(p=1.0)] for flip in flips]
    if augmentation.vertical_flip:
        flips += [[*flip, v2.RandomVerticalFlip(p=1.0)] for flip in flips]
    return [Compose(flip, normalization) for flip in flips]
