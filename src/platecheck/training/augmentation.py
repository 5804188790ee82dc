"""Transforms from cached pixels to network input, with random augmentation in training only."""

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


def make_transform(
    augmentations: Sequence[v2.Transform], normalization: Normalization
) -> Transform:
    """Return a function from pixels uint8 [H, W, 3] to a normalized tensor [3, H, W].

    The augmentations get PIL images of the network's size, as in the reference.
    """
    transform: Transform = v2.Compose(
        [
            v2.Lambda(Image.fromarray),
            *augmentations,
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(normalization.mean), list(normalization.std)),
        ]
    )
    return transform


def training_transform(augmentation: Augmentation, normalization: Normalization) -> Transform:
    """Return the recipe's augmentation, drawn from torch's global generator."""
    augmentations: list[v2.Transform] = []
    if augmentation.horizontal_flip:
        augmentations.append(v2.RandomHorizontalFlip())
    if augmentation.vertical_flip:
        augmentations.append(v2.RandomVerticalFlip())
    if augmentation.rotation:
        augmentations.append(v2.RandomRotation(augmentation.rotation))
    if jitter := augmentation.color_jitter:
        augmentations.append(v2.ColorJitter(**jitter.model_dump()))
    if bins := augmentation.trivial_augment_bins:
        augmentations.append(v2.TrivialAugmentWide(num_magnitude_bins=bins))
    return make_transform(augmentations, normalization)


def enumerate_augmentations(
    augmentation: Augmentation, normalization: Normalization
) -> list[Transform]:
    """Return all versions of a photo that a finite augmentation can give, each equally likely."""
    assert augmentation.finite
    flips: list[list[v2.Transform]] = [[]]
    if augmentation.horizontal_flip:
        flips += [[*flip, v2.RandomHorizontalFlip(p=1.0)] for flip in flips]
    if augmentation.vertical_flip:
        flips += [[*flip, v2.RandomVerticalFlip(p=1.0)] for flip in flips]
    return [make_transform(flip, normalization) for flip in flips]
