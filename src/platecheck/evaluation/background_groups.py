"""Which kinds of table there are: the photos' borders, clustered."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from platecheck.data.segmentation import DishMask

# Borders are looked at in thumbnails of this size, that many pixels deep.
THUMBNAIL = 64
DEPTH = 5
PHOTOS_A_KIND = 40
MOST_KINDS = 6


@dataclass(frozen=True, eq=False)
class BackgroundGroups:
    """The kinds of table in a set of photos, the most frequent first.

    Attributes:
        kind: int64 [N], the photos' kinds, from 0.
        colours: mean colour of each kind's borders, as ``#rrggbb``.
    """

    kind: NDArray[np.int64]
    colours: tuple[str, ...]


def border_of(pixels: NDArray[np.uint8], cutout: DishMask) -> NDArray[np.float64]:
    """Colour and texture of a photo's border, less what of it is dish.

    Args:
        pixels: uint8 [H, W, 3].
        cutout: the dish; not looked at unless it is good.

    Returns:
        float64 [11]: mean RGB; mean of CIELAB, its deviation; mean steps across and down.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    band = np.ones(size, bool)
    band[DEPTH:-DEPTH, DEPTH:-DEPTH] = False
    if cutout.good:
        free = band & (cutout.mask(*size) == 0)
        band = free if free.any() else band
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    light = lab[..., 0]
    across = np.abs(np.diff(light, axis=1, append=light[:, -1:]))
    down = np.abs(np.diff(light, axis=0, append=light[-1:]))
    parts = (
        small[band].mean(axis=0),
        lab[band].mean(axis=0),
        lab[band].std(axis=0),
        [across[band].mean(), down[band].mean()],
    )
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def background_groups(borders: Sequence[NDArray[np.float64]], *, seed: int) -> BackgroundGroups:
    """Cluster borders by k-means.

    There is a kind for every :data:`PHOTOS_A_KIND` photos, but at least two and at most
    :data:`MOST_KINDS`. (What makes the clearest clusters, by silhouette, is of no use here: it
    parts a few odd tables from all others, and those are the ones to be told apart.) Where borders
    are alike there are fewer.

    Args:
        borders: from :func:`border_of`, one a photo, at least one.
        seed: of k-means.
    """
    table = np.stack(borders)
    # RGB is for people only; CIELAB says the same as the eye sees it.
    features = StandardScaler().fit_transform(table[:, 3:])
    wanted = int(np.clip(len(table) // PHOTOS_A_KIND, 2, MOST_KINDS))
    kinds = min(wanted, len(np.unique(features.round(6), axis=0)))
    best = KMeans(kinds, n_init=10, random_state=seed).fit_predict(features).astype(np.int64)
    order = np.argsort(-np.bincount(best), kind="stable")
    kind = np.argsort(order)[best]
    means = [table[kind == k, :3].mean(axis=0).round().astype(int) for k in range(len(order))]
    return BackgroundGroups(kind, tuple("#{:02x}{:02x}{:02x}".format(*mean) for mean in means))
