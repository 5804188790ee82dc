from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.data.cache import PixelCache
from platecheck.data.folders import read_photos
from platecheck.data.segmentation import MaskCache
from platecheck.export.calibration import (
    DECORATIONS,
    calibration_views,
    decorated_dishes,
    fit_calibration,
)
from platecheck.photo import open_photo
from platecheck.training.recipe import Normalization, load_recipe
from platecheck.training.robust import SwappedDataset, mixed_rand
from platecheck.training.run import Run, RunFacts
from platecheck.training.temperature import fit_platt
from platecheck.training.torch_predictor import TorchPredictor

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


def test_decorated_dishes_differ_from_their_photos_on_the_dish_alone(
    rendered: Path, tmp_path: Path
) -> None:
    run = run_of(rendered, tmp_path)
    photos = run.photos.split("val")
    cache, found = PixelCache(SIZE, photos), [MaskCache().get(photo) for photo in photos]
    good = [index for index, mask in enumerate(found) if mask.good]
    copies = list(decorated_dishes(run))
    assert len(copies) == DECORATIONS * len(good) > len(photos)
    changed = 0
    for number, (pixels, label) in enumerate(copies):
        index = good[number // DECORATIONS]
        assert label == photos[index].label
        differs = (pixels != cache.get(photos[index])).any(axis=2)
        assert not differs[found[index].mask(SIZE, SIZE) == 0].any()
        changed += differs.any()
    assert changed > 0.8 * len(copies)
    assert len({pixels.tobytes() for pixels, _ in copies}) > 0.8 * len(copies)


def test_other_classes_are_not_decorated(rendered: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split in ("train", "val"):
        for label in ("clean", "dirty"):
            (data / split).mkdir(parents=True, exist_ok=True)
            (data / split / f"is {label}").symlink_to(rendered / split / label)
    assert len(run_of(rendered, tmp_path).photos.split("val"))
    assert list(decorated_dishes(run_of(data, tmp_path))) == []


@pytest.mark.parametrize("patterns", [0, 0.5])
def test_scaling_is_fitted_to_decorated_dishes_if_training_decorates(
    patterns: float, rendered: Path, tmp_path: Path
) -> None:
    """The model is right but for decorated dishes, all of which it calls dirty."""
    robust = f"augmentation.robust={{backgrounds: 0.5, patterns: {patterns}}}"
    run = run_of(rendered, tmp_path, robust)
    val = calibration_views(run, "val")
    known = {pixels.tobytes(): label for pixels, label in zip(val.pixels, val.labels, strict=True)}

    def logits(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        dirty = [known.get(each.tobytes(), 1) for each in pixels]
        return np.array([[-2.0, 2.0] if each else [2.0, -2.0] for each in dirty])

    model = SimpleNamespace(run=run, logits=logits, network=SimpleNamespace(evidence=None))
    scaling, _ = fit_calibration(cast(TorchPredictor, model), val)
    alone = fit_platt(logits(np.stack(val.pixels)), val.labels)
    if patterns:
        assert scaling.bias[0] > alone.bias[0] + 0.3
    else:
        assert scaling == alone
