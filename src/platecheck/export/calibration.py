"""Post-training calibration of a run: scaling of logits and out-of-distribution statistics."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from platecheck.cpus import cpu_count
from platecheck.data.cache import PixelCache
from platecheck.data.decoration import decorate
from platecheck.data.photometric import photometric_augment
from platecheck.data.render.pairs import RenderedPairs
from platecheck.data.segmentation import MaskCache
from platecheck.export.ood import MahalanobisOOD, fit_ood, import_ood
from platecheck.files import write_text
from platecheck.training.datamodule import dirty_class
from platecheck.training.onnx_import import initial_info, started_from
from platecheck.training.robust import mixed_rand
from platecheck.training.run import Run
from platecheck.training.temperature import Scaling, fit_platt, fit_temperature
from platecheck.training.torch_predictor import TorchPredictor

BATCH = 8
INITIAL_PHOTOS = 100  # a fine-tuned model's scaling counts as much as a new one of so many photos
DECORATIONS = 4  # of each validation photo's dish
MAX_KNOWN = 1500  # photos that the Gaussian of features is fitted to, each in two versions


class CalibrationViews(NamedTuple):
    """N photos of a split, the originals first, then composites with their dishes."""

    pixels: list[NDArray[np.uint8]]  # N × [size, size, 3]
    labels: NDArray[np.int64]  # [N]
    owners: NDArray[np.int64]  # [N], index of the original photo in the split


def calibrate(run: Run) -> None:
    """Fit scaling and, with a heatmap, OOD statistics; write both into the run folder."""
    for stale in (run.ood_statistics, run.calibration):
        stale.unlink(missing_ok=True)
    model = TorchPredictor(run, device=fast_device())
    val = calibration_views(run, "val")
    model.scaling, ood = fit_calibration(model, val)
    if ood is not None:
        ood.save(run.ood_statistics)
    facts = {"epoch": model.epoch, "photos": len(val.pixels)}
    write_text(run.calibration, json.dumps(model.scaling._asdict() | facts, indent=2) + "\n")


def fast_device() -> str:
    """Return the device that calibration runs on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fit_calibration(
    model: TorchPredictor, val: CalibrationViews
) -> tuple[Scaling, MahalanobisOOD | None]:
    """Return the scaling of a run's epoch and, with a heatmap, its OOD statistics."""
    run, pixels, labels = model.run, list(val.pixels), val.labels.tolist()
    robust = run.recipe.augmentation.robust
    if robust and robust.patterns:
        for decorated, label in decorated_dishes(run):
            pixels.append(decorated)
            labels.append(label)
    logits = np.concatenate([model.logits(batch) for batch in batches(pixels)])
    if robust:
        scaling = fit_platt(logits, np.array(labels))
    else:
        scaling = Scaling(fit_temperature(logits, val.labels))
    if (initial := initial_info(run.recipe.network, run.facts.classes)) is not None:
        info, _ = initial  # its bias is in the weights that training started from
        photos = len(np.unique(val.owners))
        scaling = Scaling(info.temperature).toward(scaling, photos / (photos + INITIAL_PHOTOS))
    if model.network.evidence is None:
        return scaling, None
    start = started_from(run.recipe.network)
    before = import_ood(start) if start else None
    train = calibration_views(run, "train").pixels
    if before is None:  # else its statistics stand for rendered dishes, too
        train.extend(_rendered_dishes(run))
    if len(train) > MAX_KNOWN:
        chosen = np.random.default_rng(0).choice(len(train), MAX_KNOWN, replace=False)
        train = [train[index] for index in chosen]
    known, validated = (_pooled_features(model, pixels) for pixels in (train, val.pixels))
    return scaling, fit_ood(known, validated, before)


def calibration_views(run: Run, split: str) -> CalibrationViews:
    """Return the photos of a split; for robust recipes also on other backgrounds (Mixed-Rand)."""
    photos = run.photos.split(split)
    cache = PixelCache(run.recipe.input.size, photos)
    found = [(cache.get(photo), photo.label, index) for index, photo in enumerate(photos)]
    if run.recipe.augmentation.robust:
        found += mixed_rand(photos, cache, MaskCache(), seed=0)
    pixels, labels, owners = zip(*found, strict=True)
    return CalibrationViews(list(pixels), np.array(labels), np.array(owners))


def decorated_dishes(run: Run) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield validation photos with random decorations on their dishes, and the photos' labels.

    Most dishes of public sets are plain, many of other people's are decorated, and networks call
    more of those dirty: a scaling fitted to plain ones alone is biased on them. Only for classes
    clean and dirty; a decoration may be all that other classes differ in.
    """
    if dirty_class(run.facts.classes) is None:
        return
    photos, size = run.photos.split("val"), run.recipe.input.size
    cache, masks = PixelCache(size, photos), MaskCache()
    for index, photo in enumerate(photos):
        if not (found := masks.get(photo)).good:
            continue
        for copy in range(DECORATIONS):
            rng = np.random.default_rng([copy, index])
            yield decorate(rng, cache.get(photo), found.mask(size, size)), photo.label


def batches(pixels: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield arrays uint8 [n, size, size, 3] of at most `BATCH` photos."""
    rest = iter(pixels)
    while batch := list(islice(rest, BATCH)):
        yield np.stack(batch)


def _rendered_dishes(run: Run) -> Iterator[NDArray[np.uint8]]:
    """Yield the rendered dishes that training drew from, clean and dirty in turn."""
    robust = run.recipe.augmentation.robust
    if robust is None or not robust.rendered:
        return
    size = run.recipe.input.size
    pairs = RenderedPairs(robust.pairs, size, seed=run.facts.seed, workers=cpu_count())
    for index in range(len(pairs)):
        yield pairs[index].dirty if index % 2 else pairs[index].clean


def _pooled_features(
    model: TorchPredictor, pixels: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """Return features of photos and of their photometric augmentations, as in-distribution data."""
    augmented = (
        photometric_augment(np.random.default_rng([0, index]), photo)
        for index, photo in enumerate(pixels)
    )
    shown = batches([*pixels, *augmented])
    return np.concatenate([model.pooled_features(batch) for batch in shown])
