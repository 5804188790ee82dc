"""Evaluate any model on a folder of photos."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier, Model, Row, find_model, stream_probabilities
from platecheck.data.folders import Photo, PhotoSet, checked, list_photos
from platecheck.data.splits import apply_split
from platecheck.errors import DataError, MissingExtraError, ModelError, PhotoError
from platecheck.evaluation.metrics import (
    EvaluationResult,
    UnreadablePhoto,
    evaluate_probabilities,
    mistakes,
)
from platecheck.model_info import SplitInfo


@dataclass(frozen=True)
class Evaluation:
    """Figures, and what they were computed from.

    Attributes:
        split: the split that was evaluated.
        result: the figures.
        probabilities: float32 [N, classes].
        labels: int64 [N].
        photos: the N photos, in the same order.
        answers: what an exported model says of each: a class, unsure, or not a dish; None for a
            network that has no thresholds yet.
        notes: what people should know of how the folder was read.
    """

    split: str
    result: EvaluationResult
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    photos: tuple[Photo, ...]
    answers: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def load_model(path: Path | None) -> tuple[Model, SplitInfo | None]:
    """Load what a user calls a model, and how the photos that it was chosen on were divided.

    Args:
        path: a run folder (needs the ``train`` extra), an exported file, the name of a shipped
            model, or nothing: the default one.

    Raises:
        ModelError: it is none of these.
        MissingExtraError: a run folder, and PyTorch is not installed.
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
    division: SplitInfo | None = None,
    strict: bool = False,
    batch_size: int = 8,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> Evaluation:
    """Judge a model on one split of a folder.

    Args:
        model: gives probabilities.
        folder: of photos sorted into the model's classes.
        split: which; by default ``test``, or the only one there is.
        division: from :func:`load_model`. Where the photos are those that were divided for the
            model, only the part that it was not chosen on is evaluated.
        strict: refuse unreadable photos instead of leaving them out.
        batch_size: photos answered at once.
        on_start: called with the number of photos.
        on_photo: called after each photo.

    Raises:
        DataError: the folder is not as expected, or has no such split.
    """
    listed = list_photos(folder, classes=model.classes)
    if division is not None and division.split in listed.splits:
        # To see whether they are the photos that were divided, their contents must be known.
        listed = apply_split(checked(listed), division)
    wanted = split or ("test" if "test" in listed.splits else _only(listed))
    chosen = listed.split(wanted)
    if on_start:
        on_start(len(chosen))
    rows, good, answers, bad = [], [], [], list(listed.unreadable)
    paths = (photo.path for photo in chosen)
    for photo, (row, answer) in zip(chosen, _answers(model, paths, batch_size), strict=True):
        if isinstance(row, PhotoError):
            bad.append(row)
        else:
            rows.append(row)
            good.append(photo)
            answers.append(answer)
        if on_photo:
            on_photo()
    if bad and strict:
        raise DataError(f"{len(bad)} unreadable photos, and --strict was given; first: {bad[0]}")
    if not rows:
        raise DataError(f"no photo of split '{wanted}' in {folder} can be opened: {bad[0]}")
    probabilities = np.stack(rows)
    labels = np.array([photo.label for photo in good])
    classes = list(model.classes)
    result = EvaluationResult(
        **evaluate_probabilities(probabilities, labels, classes).model_dump(),
        mistakes=mistakes(probabilities, labels, classes, [photo.path for photo in good]),
        unreadable=[UnreadablePhoto(path=error.source, reason=error.reason) for error in bad],
    )
    decided = tuple(answers) if isinstance(model, Classifier) else None
    return Evaluation(wanted, result, probabilities, labels, tuple(good), decided, listed.notes)


def _answers(model: Model, paths: Iterable[Path], batch_size: int) -> Iterator[tuple[Row, str]]:
    """Probabilities [classes] of each photo or its error, and the answer ("" if none is given)."""
    if not isinstance(model, Classifier):  # torch has its own threads
        for _, row in stream_probabilities(model, paths, batch_size=batch_size, workers=1):
            yield row, ""
        return
    for found in model.predict_many(paths, batch_size):
        if found.error:
            yield found.error, ""
        else:
            values = (found.probabilities or {}).values()
            yield np.array(list(values), np.float32), found.label


def _only(photos: PhotoSet) -> str:
    if len(photos.splits) > 1:
        raise DataError(
            f"{photos.folder} has no test split; name one of: {', '.join(photos.splits)}"
        )
    return photos.splits[0]
