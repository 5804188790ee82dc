"""Collect the data of a run's report."""

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.evaluation.background_evaluation import evaluate_backgrounds
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.evaluation.plots import PredictedPhoto
from platecheck.photo import open_photo
from platecheck.report.gallery import gallery
from platecheck.report.page import (
    THUMBNAIL,
    BackgroundSection,
    ReportData,
    RunSummary,
    write_report,
)
from platecheck.training.run import Run

GRID_PHOTOS = 24
MAX_MISTAKES = 12
_ORDER = "train val test"


def report_run(
    folder: Path,
    path: Path,
    *,
    data: Path | None = None,
    backgrounds: bool = False,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> None:
    """Evaluate a run on its test and validation photos and write the report.

    Args:
        folder: the run folder.
        path: output file.
        data: the photos' location, if they were moved.
        backgrounds: also evaluate the first of these splits with exchanged backgrounds.
        seed: seed of the backgrounds, 0 or more.
        on_start: called with the number of photos at the start of each step.
        on_photo: called after each photo.

    Raises:
        ModelError: there is no such run, or it has no finished epoch.
        DataError: the photos are missing, or too few have a good mask for `backgrounds`.
    """
    run = Run.load(folder, data=data)
    photos_folder = run.data
    splits = [name for name in ("test", "val") if name in run.photos.splits]
    options = ["--backgrounds", *(["--seed", str(seed)] if seed else [])] if backgrounds else []
    diverged = bool(run.history) and not any(np.isfinite(row["val_loss"]) for row in run.history)
    evaluations = []
    if not diverged:  # otherwise no epoch has finite predictions
        model, division = load_model(folder)
        evaluations = [
            evaluate(
                model,
                photos_folder,
                split=split,
                division=division,
                on_start=on_start,
                on_photo=on_photo,
            )
            for split in splits
        ]
    section = None
    if backgrounds and evaluations:
        first = evaluations[0]
        measured = evaluate_backgrounds(
            model, first, seed=seed, on_start=on_start, on_photo=on_photo
        )
        section = BackgroundSection(measured.result, gallery(measured, first.result.classes))
    summary = RunSummary(
        seed=run.facts.seed,
        versions={"platecheck": run.facts.platecheck, **run.facts.versions},
        data_fingerprint=run.facts.fingerprint,
        counts=dict(sorted(run.photos.counts().items(), key=lambda row: _ORDER.find(row[0]))),
        epochs=len(run.history),
        best_epoch=None if diverged else run.best_epoch,
        training_seconds=sum(row["seconds"] for row in run.history),
        planned_epochs=run.recipe.epochs,
        trained=_trained(run, photos_folder),
    )
    write_report(
        ReportData(
            title=f"{run.recipe.name} on {photos_folder.name}",
            recipe=run.recipe.to_yaml(),
            summary=summary,
            history=run.history,
            evaluations=evaluations,
            grid=[p for e in evaluations[:1] for p in _predictions(e, _spread(len(e.photos)))],
            mistakes=[p for e in evaluations[:1] for p in _predictions(e, _mistakes(e))],
            commands=_commands(run, photos_folder, splits[0], options),
            warnings=list(_warnings(run, evaluations)),
            backgrounds=section,
        ),
        path,
    )


def _trained(run: Run, photos: Path) -> dict[str, str]:
    network, size = run.recipe.network, run.recipe.input.size
    start = f"from {network.weights} weights" if network.weights else "from random weights"
    frozen = ", backbone frozen" if network.frozen else ""
    return {
        "Recipe": f"{run.recipe.name} ({run.recipe.summary})",
        "Network": f"{network.name} at {size}×{size} pixels, {start}{frozen}",
        "Data": str(photos),
    }


def _commands(run: Run, photos: Path, split: str, options: list[str]) -> list[str]:
    chosen = [] if split == "test" else ["--split", split]
    where = [str(run.folder), "--data", str(photos)]
    return [
        run.facts.command.replace("__main__.py", "python -m platecheck", 1),
        shlex.join(["platecheck", "evaluate", *where, *chosen, *options]),
        shlex.join(["platecheck", "report", *where, *options]),
    ]


def _predictions(evaluation: Evaluation, indices: list[int]) -> list[PredictedPhoto]:
    predictions = []
    for index in indices:
        photo = evaluation.photos[index]
        row = evaluation.probabilities[index]
        classes = evaluation.result.classes
        try:
            image = Image.fromarray(open_photo(photo.path))
        except PhotoError:
            continue
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        pixels, truth = np.asarray(image), classes[photo.label]
        predictions.append(
            PredictedPhoto.from_probabilities(pixels, row, classes, truth, photo.name)
        )
    return predictions


def _spread(photos: int) -> list[int]:
    chosen = np.linspace(0, photos - 1, min(photos, GRID_PHOTOS)).round().astype(int)
    indices: list[int] = np.unique(chosen).tolist()
    return indices


def _mistakes(evaluation: Evaluation) -> list[int]:
    wrong = np.flatnonzero(evaluation.probabilities.argmax(axis=1) != evaluation.labels)
    confidence = evaluation.probabilities[wrong].max(axis=1)
    indices: list[int] = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES].tolist()
    return indices


def _warnings(run: Run, evaluations: list[Evaluation]) -> Iterator[str]:
    bad = [int(row["epoch"]) for row in run.history if not np.isfinite(row["val_loss"])]
    if bad:
        yield (
            f"Training diverged: the validation loss of epoch {bad[0]} is not a finite number."
            " Train again with a lower learning rate."
        )
    elif not run.finished:
        yield f"{len(run.history)} of {run.recipe.epochs} epochs trained; continue with --resume."
    for first in evaluations[:1]:
        if first.result.majority_baseline.verdict != "better":
            yield f"On {first.split}: {first.result.majority_baseline}"
        if first.split != "test":
            yield "There are no test photos: 'val' selected the epoch: its metrics are optimistic."
    by_content = defaultdict(list)
    for photo in run.photos.photos:
        by_content[photo.sha256].append(photo)
    copies = [group for group in by_content.values() if len(group) > 1]
    leaks = sum(len({photo.split for photo in group}) > 1 for group in copies)
    contradictions = sum(len({photo.label for photo in group}) > 1 for group in copies)
    if leaks:
        yield f"{_photos_are(leaks)} in more than one split, byte for byte."
    if contradictions:
        yield f"{_photos_are(contradictions)} in more than one class."
    if division := run.facts.split_info:
        yield (
            f"There were no validation photos: '{division.split}' was split (seed"
            f" {division.seed}), and the part named val selected the epoch."
        )


def _photos_are(count: int) -> str:
    return "1 photo is" if count == 1 else f"{count} photos are"
