"""Evaluate a model on a folder of photos."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier, Model, find_model, predict_batch
from platecheck.data.folders import Photo, checked, list_photos
from platecheck.data.splits import apply_split
from platecheck.errors import DataError, MissingExtraError, ModelError
from platecheck.evaluation.metrics import (
    EvaluationResult,
    UnreadablePhoto,
    evaluate_probabilities,
    mistakes,
)
from platecheck.model_info import SplitInfo
from platecheck.stream import stream


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the predictions they were computed from.

    Attributes:
        decisions: an exported model's label for each photo: a class, unsure, or not a dish; None
            for a run, which has no thresholds.
    """

    split: str
    result: EvaluationResult
    probabilities: NDArray[np.float32]  # float32 [N, classes]
    labels: NDArray[np.int64]  # int64 [N]
    photos: tuple[Photo, ...]
    decisions: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def load_model(path: Path | None) -> tuple[Model, SplitInfo | None]:
    """Load a model and the split it was trained with.

    Args:
        path: a run folder (needs the ``train`` extra), an exported file, the name of a bundled
            model, or None for the default one.

    Raises:
        ModelError: `path` is none of these.
        MissingExtraError: `path` is a run folder and PyTorch is not installed.
    """
    if path is not None and path.is_dir():
        try:
            from platecheck.training.run import Run
            from platecheck.training.torch_predictor import TorchPredictor
        except ModuleNotFoundError as error:
            raise MissingExtraError("Evaluating a run folder", "train") from error
        run = Run.load(path)
        return TorchPredictor(run), run.facts.split_info
    if not find_model(path).exists():
        raise ModelError(f"no run folder or model file at {path}")
    classifier = Classifier.load(path)
    return classifier, classifier.info.split_info


def evaluate(
    model: Model,
    folder: Path,
    *,
    split: str | None = None,
    split_info: SplitInfo | None = None,
    strict: bool = False,
    batch_size: int = 8,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> Evaluation:
    """Evaluate a model on one split of a folder.

    Args:
        folder: photos sorted into folders named after the model's classes.
        split: name of the split; by default ``test``, or the only one.
        split_info: from `load_model`. If it split these photos, only the part not used for
            model selection is evaluated.
        strict: raise on unreadable photos instead of skipping them.

    Raises:
        DataError: the folder's layout is invalid, or it has no such split.
    """
    listed = list_photos(folder, classes=model.classes)
    if split_info is not None and split_info.split in listed.splits:
        # Photos are recognized by content, so hash them first.
        listed = apply_split(checked(listed), split_info)
    if not split and "test" not in listed.splits and len(listed.splits) > 1:
        names = ", ".join(listed.splits)
        raise DataError(f"{folder} has no test split; choose with --split: {names}")
    name = split or ("test" if "test" in listed.splits else listed.splits[0])
    chosen = listed.split(name)
    if on_start:
        on_start(len(chosen))
    rows, good, decisions, bad = [], [], [], list(listed.unreadable)
    workers = None if isinstance(model, Classifier) else 1  # PyTorch has its own threads
    predictions = stream(
        partial(predict_batch, model), (photo.path for photo in chosen), batch_size, workers
    )
    for photo, prediction in zip(chosen, predictions, strict=True):
        if prediction.error:
            bad.append(prediction.error)
        else:
            rows.append(list(prediction.probabilities.values()))
            good.append(photo)
            decisions.append(prediction.label)
        if on_photo:
            on_photo()
    if bad and strict:
        raise DataError(f"{len(bad)} unreadable photos (--strict), first: {bad[0]}")
    if not rows:
        raise DataError(f"no photo of split '{name}' in {folder} can be read: {bad[0]}")
    probabilities = np.array(rows, np.float32)
    labels = np.array([photo.label for photo in good])
    classes = list(model.classes)
    result = EvaluationResult(
        **evaluate_probabilities(probabilities, labels, classes).model_dump(),
        mistakes=mistakes(probabilities, labels, classes, [photo.path for photo in good]),
        unreadable=[UnreadablePhoto(path=error.source, reason=error.reason) for error in bad],
    )
    labeled = tuple(decisions) if isinstance(model, Classifier) else None
    return Evaluation(name, result, probabilities, labels, tuple(good), labeled, listed.notes)
