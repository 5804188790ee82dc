"""The report of a run: gathers what the page shows."""

import shlex
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from platecheck.data.folders import PhotoSet
from platecheck.errors import PhotoError
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.evaluation.plots import AnsweredPhoto
from platecheck.evaluation.report import (
    NamedEvaluation,
    OtherTables,
    ReportData,
    RunFacts,
    write_report,
)
from platecheck.evaluation.table_gallery import gallery
from platecheck.evaluation.tables import measure_tables
from platecheck.model_info import Division
from platecheck.photo import open_photo
from platecheck.training.run import Run

GRID_PHOTOS = 24
MISTAKES = 12
SHOWN_SIZE = 288


def report_run(
    folder: Path,
    path: Path,
    *,
    data: Path | None = None,
    tables: bool = False,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> None:
    """Evaluate a run on its test and validation photos and write the page.

    Args:
        folder: the run.
        path: of the page.
        data: where the photos are now; where they were when absent.
        tables: also put the dishes of the first of these splits on other tables.
        seed: draws the tables, 0 or more.
        on_start: called with the number of photos of each split, then of each step of the latter.
        on_photo: called after each photo.

    Raises:
        ModelError: no such run, or it has no finished epoch.
        DataError: the photos are gone, or `tables` and too few dishes can be cut out.
    """
    run = Run.load(folder, data=data)
    photos_folder = run.data
    model, division = load_model(folder)
    splits = [name for name in ("test", "val") if name in run.photos.splits]
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
    first = evaluations[0]
    asked = (" --tables" + (f" --seed {seed}" if seed else "")) if tables else ""
    other_tables = None
    if tables:
        measured = measure_tables(model, first, seed=seed, on_start=on_start, on_photo=on_photo)
        rows = gallery(measured, first.result.classes)
        other_tables = OtherTables(measured.result, rows)
    facts = RunFacts(
        seed=run.facts.seed,
        versions={"platecheck": run.facts.platecheck, **run.facts.versions},
        data_fingerprint=run.facts.fingerprint,
        counts=run.photos.counts(),
        epochs=len(run.history),
        best_epoch=run.best_epoch,
        training_seconds=sum(row["seconds"] for row in run.history),
    )
    write_report(
        ReportData(
            title=f"{run.recipe.name} on {photos_folder.name}",
            recipe=run.recipe.to_yaml(),
            facts=facts,
            history=run.history,
            evaluations=[
                NamedEvaluation(e.split, e.result, e.probabilities, e.labels) for e in evaluations
            ],
            grid=_answered(first, _spread(len(first.photos), GRID_PHOTOS)),
            mistakes=_answered(first, _most_confident_mistakes(first)),
            commands=[
                run.facts.command,
                shlex.join(["platecheck", "evaluate", str(folder), "--data", str(photos_folder)])
                + asked,
                shlex.join(["platecheck", "report", str(folder)]) + asked,
            ],
            warnings=list(_warnings(run.photos, division)),
            tables=other_tables,
        ),
        path,
    )


def _answered(evaluation: Evaluation, indices: list[int]) -> list[AnsweredPhoto]:
    """Pictures for the page; a photo that has gone since is left out."""
    found = []
    for index in indices:
        photo = evaluation.photos[index]
        row = evaluation.probabilities[index]
        classes = evaluation.result.classes
        try:
            pixels = open_photo(photo.path, size=SHOWN_SIZE)
        except PhotoError:
            continue
        found.append(
            AnsweredPhoto(
                pixels=pixels,
                predicted=classes[int(row.argmax())],
                probability=float(row.max()),
                truth=classes[photo.label],
                name=photo.name,
            )
        )
    return found


def _spread(photos: int, wanted: int) -> list[int]:
    """Indices spread evenly over all photos, and so over all classes."""
    chosen = np.linspace(0, photos - 1, min(photos, wanted)).round().astype(int)
    found: list[int] = np.unique(chosen).tolist()
    return found


def _most_confident_mistakes(evaluation: Evaluation) -> list[int]:
    wrong = np.flatnonzero(evaluation.probabilities.argmax(axis=1) != evaluation.labels)
    confidence = evaluation.probabilities[wrong].max(axis=1)
    found: list[int] = wrong[np.argsort(-confidence, kind="stable")][:MISTAKES].tolist()
    return found


def _warnings(photos: PhotoSet, division: Division | None) -> list[str]:
    """What makes the figures less trustworthy than they look."""
    by_content = defaultdict(list)
    for photo in photos.photos:
        by_content[photo.sha256].append(photo)
    copies = [group for group in by_content.values() if len(group) > 1]
    leaks = sum(len({photo.split for photo in group}) > 1 for group in copies)
    contradictions = sum(len({photo.label for photo in group}) > 1 for group in copies)
    found = []
    if leaks:
        found.append(f"{_photos_are(leaks)} in more than one split, byte for byte.")
    if contradictions:
        found.append(f"{_photos_are(contradictions)} filed under more than one class.")
    if division is not None:
        found.append(
            f"There were no validation photos: '{division.split}' was divided (seed"
            f" {division.seed}), and the part called val chose the epoch."
        )
    return found


def _photos_are(count: int) -> str:
    return "1 photo is" if count == 1 else f"{count} photos are"
