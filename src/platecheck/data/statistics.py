"""Channel mean and standard deviation of photos, for input normalization."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.cpus import in_threads
from platecheck.photo import open_photo

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Channel statistics of pixel values in [0, 1] of a number of photos, in RGB order."""

    mean: RGB  # mean of the photos' channel means
    std: RGB  # mean of the photos' own standard deviations, as the reference pipeline uses
    pooled_std: RGB  # standard deviation of all pixels of all photos together
    photos: int


def channel_statistics(
    paths: Iterable[Path], *, size: int, on_photo: Callable[[], None] = lambda: None
) -> ChannelStatistics:
    """Compute statistics of photos, each resized to `size` × `size`.

    Standard deviations are sample standard deviations (n - 1), as in ``torch.std``.
    """

    def moments(path: Path) -> NDArray[np.float64]:
        pixels = open_photo(path, size=size).reshape(-1, 3) / 255.0
        return np.stack([pixels.mean(axis=0), pixels.std(axis=0, ddof=1)])

    rows = list(in_threads(moments, paths, on_done=on_photo))
    if not rows:
        raise ValueError("no photos to measure")
    means, stds = np.stack(rows, axis=1)
    n = size * size
    mean, std = means.mean(axis=0), stds.mean(axis=0)
    squares = (stds**2 * (n - 1) + n * (means - mean) ** 2).sum(axis=0)
    pooled = np.sqrt(squares / (len(rows) * n - 1))
    return ChannelStatistics(_rgb(mean), _rgb(std), _rgb(pooled), len(rows))


def _rgb(values: NDArray[np.float64]) -> RGB:
    red, green, blue = values.tolist()
    return red, green, blue
