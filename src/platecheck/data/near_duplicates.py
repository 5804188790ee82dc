"""Recognize near-identical photos by perceptual hash and grey thumbnail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Photos are reduced to this longer side, in pixels, before they are compared.
MAX_SIDE = 512
# Side of the grey thumbnail that distinguishes near-identical from similar photos.
GREY = 32
# Largest distance between 64-bit perceptual hashes, and smallest cosine similarity of thumbnails.
# Looser limits match photos of the same dish before and after washing.
MAX_BITS = 4
MIN_SIMILARITY = 0.99
# Rows compared at a time, to bound memory.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Perceptual fingerprint for near-duplicate detection."""

    phash: NDArray[np.bool_]  # perceptual hash, bool [64]
    grey: NDArray[np.float32]  # thumbnail [GREY²], mean 0, length 1; 0 for a uniform photo


def reduced_size(width: int, height: int) -> tuple[int, int] | None:
    """Return the (height, width) at which a photo is compared; None for its own size."""
    share = MAX_SIDE / max(width, height)
    return (max(1, round(height * share)), max(1, round(width * share))) if share < 1 else None


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Compute the fingerprint of a photo, uint8 [H, W, 3], opened at its `reduced_size`."""
    small = cv2.resize(pixels, (GREY, GREY), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return Fingerprint(
        phash=np.asarray(imagehash.phash(Image.fromarray(pixels)).hash, bool).ravel(),
        grey=grey / length if length > 1 else np.zeros_like(grey),
    )


def group_near_duplicates(photos: Sequence[tuple[str, Fingerprint]]) -> list[int]:
    """Return a group number for each photo, shared by near-identical photos only.

    `photos` are the SHA-256 and fingerprint of each file; identical files are always grouped.
    """
    pairs = np.array(list(_similar_pairs(photos)), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(photos), len(photos)))
    numbers: list[int] = connected_components(graph, directed=False)[1].tolist()
    return numbers


def _similar_pairs(photos: Sequence[tuple[str, Fingerprint]]) -> Iterator[tuple[int, int]]:
    """Yield index pairs of identical or near-identical photos."""
    first: dict[str, int] = {}
    for at, (digest, _) in enumerate(photos):
        if (earlier := first.setdefault(digest, at)) != at:
            yield earlier, at
    # With bits as ±1, the dot product of two hashes is 64 − 2 × their Hamming distance.
    signs = (
        np.array([each.phash for _, each in photos], np.float32).reshape(len(photos), -1) * 2 - 1
    )
    greys = [each.grey for _, each in photos]
    for start in range(0, len(photos), _CHUNK):
        products = signs[start : start + _CHUNK] @ signs[start:].T
        rows, columns = np.nonzero(products >= signs.shape[1] - 2 * MAX_BITS)
        later: NDArray[np.bool_] = columns > rows
        for row, column in zip(rows[later] + start, columns[later] + start, strict=True):
            if float(greys[row] @ greys[column]) >= MIN_SIMILARITY:
                yield int(row), int(column)
