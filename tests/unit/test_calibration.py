from pathlib import Path

import numpy as np
import pytest

from platecheck.data.cache import PixelCache
from platecheck.data.folders import read_photos
from platecheck.data.segmentation import MaskCache
from platecheck.export.calibration import BATCH, batches, calibration_views
from platecheck.photo import open_photo
from platecheck.training.recipe import Normalization, load_recipe
from platecheck.training.robust import SwappedDataset, mixed_rand
from platecheck.training.run import Run, RunFacts

SIZE = 48


def run(data: Path, folder: Path, *changes: str) -> Run:
    """A run of which nothing but its recipe and its photos is known."""
    photos = read_photos(data)
    facts = RunFacts(
        platecheck="0", seed=0, data=str(data), fingerprint=photos.fingerprint(),
        classes=photos.classes, division=None,
        normalization=Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        unreadable={}, settings={}, versions={}, command="",
    )  # fmt: skip
    recipe = load_recipe("tiny_vgg", [f"input.size={SIZE}", *changes])
    return Run(folder, recipe, facts, photos)


ROBUST = "augmentation.robust={backgrounds: 0.5}"


def test_calibration_views_without_robust_are_the_photos(rendered: Path, tmp_path: Path) -> None:
    plain = run(rendered, tmp_path)
    pixels, labels, owners = calibration_views(plain, "val")
    photos = plain.photos.split("val")
    assert len(pixels) == len(photos) == 6
    for photo, found, label in zip(photos, pixels, labels, strict=True):
        np.testing.assert_array_equal(found, open_photo(photo.path, size=SIZE))
        assert label == photo.label
    assert owners.tolist() == list(range(6))


@pytest.mark.parametrize("split", ["val", "train"])
def test_calibration_views_with_robust_add_mixed_rand(
    split: str, rendered: Path, tmp_path: Path
) -> None:
    robust = run(rendered, tmp_path, ROBUST)
    pixels, labels, owners = calibration_views(robust, split)
    photos = robust.photos.split(split)
    mixed = list(mixed_rand(photos, PixelCache(SIZE, photos), MaskCache(), seed=0))
    assert 0.6 * len(photos) < len(mixed) <= len(photos)
    assert len(pixels) == len(labels) == len(photos) + len(mixed)
    for photo, found in zip(photos, pixels, strict=False):
        np.testing.assert_array_equal(found, open_photo(photo.path, size=SIZE))
    for (wanted, *_), found in zip(mixed, pixels[len(photos) :], strict=True):
        np.testing.assert_array_equal(found, wanted)
    wanted_labels = [photo.label for photo in photos] + [label for _, label, _ in mixed]
    assert labels.tolist() == wanted_labels
    assert owners.tolist() == [*range(len(photos)), *(owner for *_, owner in mixed)]
    assert all(photos[owner].label == label for owner, label in zip(owners, labels, strict=True))
    # What is calibrated on is what validation is measured on.
    norm = robust.facts.normalization
    validated = SwappedDataset(photos, PixelCache(SIZE, photos), MaskCache(), norm)
    assert len(validated) == len(pixels)
    assert [validated[i][1] for i in range(len(validated))] == wanted_labels


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 3 * BATCH + 5])
def test_batches_keep_the_order(count: int) -> None:
    pixels = [np.full((2, 2, 3), i, np.uint8) for i in range(count)]
    found = list(batches(pixels))
    assert all(1 <= len(batch) <= BATCH for batch in found)
    assert [int(photo[0, 0, 0]) for batch in found for photo in batch] == list(range(count))
    assert all(batch.dtype == np.uint8 for batch in found)
