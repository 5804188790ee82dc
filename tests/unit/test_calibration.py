from pathlib import Path

import numpy as np
import pytest

from platecheck.data.cache import PixelCache
from platecheck.data.folders import read_photos
from platecheck.data.segmentation import MaskCache
from platecheck.export.calibration import calibration_views
from platecheck.photo import open_photo
from platecheck.training.recipe import Normalization, load_recipe
from platecheck.training.robust import SwappedDataset, mixed_rand
from platecheck.training.run import Run, RunFacts

SIZE = 48


def run_of(data: Path, folder: Path, *changes: str) -> Run:
    """A run of which nothing but its recipe and its photos is known."""
    photos = read_photos(data)
    facts = RunFacts(
        platecheck="0", seed=0, data=str(data), fingerprint=photos.fingerprint(),
        classes=photos.classes, division=None,
        normalization=Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        unreadable={}, settings={}, versions={}, command="",
    )  # fmt: skip
    return Run(folder, load_recipe("tiny_vgg", [f"input.size={SIZE}", *changes]), facts, photos)


@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize("robust", [False, True])
def test_calibration_views_are_the_photos_and_with_robust_mixed_rand(
    robust: bool, split: str, rendered: Path, tmp_path: Path
) -> None:
    changes = ["augmentation.robust={backgrounds: 0.5}"] if robust else []
    run = run_of(rendered, tmp_path, *changes)
    pixels, labels, owners = calibration_views(run, split)
    photos = run.photos.split(split)
    cache, masks = PixelCache(SIZE, photos), MaskCache()
    wanted = [(open_photo(p.path, size=SIZE), p.label, i) for i, p in enumerate(photos)]
    if robust:
        mixed = list(mixed_rand(photos, cache, masks, seed=0))
        assert 0.6 * len(photos) < len(mixed) <= len(photos)
        wanted += mixed
        # What is calibrated on is what validation is measured on.
        validated = SwappedDataset(photos, cache, masks, run.facts.normalization)
        assert [validated[i][1] for i in range(len(validated))] == labels.tolist()
    for view, found in zip(wanted, zip(pixels, labels, owners, strict=True), strict=True):
        np.testing.assert_array_equal(found[0], view[0])
        assert found[1:] == view[1:]
        assert photos[view[2]].label == view[1]
