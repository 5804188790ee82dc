"""Cluster the backgrounds of photos by the color and texture of their borders."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from platecheck.data.segmentation import DishMask

# Features are those of the outermost pixels of a thumbnail.
THUMBNAIL = 64
BORDER_WIDTH = 5
PHOTOS_PER_GROUP = 40
MAX_GROUPS = 6


@dataclass(frozen=True, eq=False)
class BackgroundGroups:
    """Groups of similar backgrounds, largest first.

    Attributes:
        group: int64 [N], the photos' groups, from 0.
        colors: mean border color of each group, as ``#rrggbb``.
    """

    group: NDArray[np.int64]
    colors: tuple[str, ...]


def border_features(pixels: NDArray[np.uint8], dish_mask: DishMask) -> NDArray[np.float64]:
    """Compute color and texture of a photo's border, without the dish.

    Args:
        pixels: uint8 [H, W, 3].
        dish_mask: ignored unless it is good.

    Returns:
        float64 [11]: mean RGB; mean and standard deviation of CIELAB; mean absolute horizontal
        and vertical differences of lightness.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    band = np.ones(size, bool)
    band[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = False
    if dish_mask.good:
        free = band & (dish_mask.mask(*size) == 0)
        band = free if free.any() else band
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    lightness = lab[..., 0]
    across = np.abs(np.diff(lightness, axis=1, append=lightness[:, -1:]))
    down = np.abs(np.diff(lightness, axis=0, append=lightness[-1:]))
    parts = (
        small[band].mean(axis=0),
        lab[band].mean(axis=0),
        lab[band].std(axis=0),
        [across[band].mean(), down[band].mean()],
    )
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def background_groups(borders: Sequence[NDArray[np.float64]], *, seed: int) -> BackgroundGroups:
    """Cluster backgrounds by k-means.

    One group per `PHOTOS_PER_GROUP` photos, between 2 and `MAX_GROUPS`, fewer if
    borders are identical. Silhouette scores are not used to choose the number: they favor
    splitting a few odd backgrounds from all others.

    Args:
        borders: [N], at least one, from `border_features`.
        seed: of k-means.
    """
    matrix = np.stack(borders)
    # RGB is only for display; CIELAB holds the same information, perceptually uniform.
    features = StandardScaler().fit_transform(matrix[:, 3:])
    wanted = int(np.clip(len(matrix) // PHOTOS_PER_GROUP, 2, MAX_GROUPS))
    count = min(wanted, len(np.unique(features.round(6), axis=0)))
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(features).astype(np.int64)
    order = np.argsort(-np.bincount(clusters), kind="stable")
    group = np.argsort(order)[clusters]
    means = [matrix[group == k, :3].mean(axis=0).round().astype(int) for k in range(len(order))]
    return BackgroundGroups(group, tuple("#{:02x}{:02x}{:02x}".format(*mean) for mean in means))
