"""HTML report of a run."""

import math
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from platecheck.errors import DataError, PhotoError
from platecheck.evaluation import plots
from platecheck.evaluation.background_evaluation import BackgroundEvaluation, evaluate_backgrounds
from platecheck.evaluation.background_metrics import BackgroundMetrics
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.evaluation.metrics import reliability
from platecheck.evaluation.plots import PredictedPhoto
from platecheck.photo import open_photo
from platecheck.report.detection import detection_page
from platecheck.report.render import THUMBNAIL, plot, render_template, save_page
from platecheck.training.run import Run

GRID_PHOTOS = 24
MAX_MISTAKES = 12
MAX_UNREADABLE = 20
MAX_GALLERY_ROWS = 12
VARIANTS = {
    "original": "Original",
    "mixed_same": "Mixed-Same",
    "mixed_rand": "Mixed-Rand",
    "mixed_next": "Mixed-Next",
}
_SPLIT_ORDER = "train val test"


@dataclass(frozen=True, eq=False)
class GalleryRow:
    """A dish on its own and other backgrounds and, if visible, the background alone."""

    name: str
    truth: str
    predictions: Sequence[PredictedPhoto]


@dataclass(frozen=True, eq=False)
class RunReport:
    """Content of the report; empty fields omit their section."""

    title: str
    recipe: str
    seed: int
    data_fingerprint: str
    versions: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    trained: Mapping[str, str] = field(default_factory=dict)  # rows at the top of the page
    history: Sequence[Mapping[str, float]] = ()  # rows for `plots.curves`, one per trained epoch
    best_epoch: int | None = None
    planned_epochs: int | None = None
    training_seconds: float | None = None
    evaluations: Sequence[Evaluation] = ()  # most important first
    grid: Sequence[PredictedPhoto] = ()
    mistakes: Sequence[PredictedPhoto] = ()
    backgrounds: BackgroundMetrics | None = None
    gallery: Sequence[GalleryRow] = ()  # the dishes most affected by other backgrounds, worst first
    commands: Sequence[str] = ()
    warnings: Sequence[str] = ()


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
        data: the photos' location, if they were moved.
        backgrounds: also evaluate the first of these splits with exchanged backgrounds.
        seed: seed of the backgrounds, 0 or more.
        on_start: called with the number of photos at the start of each step.

    Raises:
        ModelError: there is no such run, or it has no finished epoch.
        DataError: the photos are missing, too few have a good mask for `backgrounds`, or the file
            cannot be written.
    """
    run = Run.load(folder, data=data)
    if run.recipe.detection:
        if backgrounds:
            raise DataError(f"{folder} finds dishes; backgrounds are exchanged for classifiers")
        save_page(detection_page(run, on_start=on_start, on_photo=on_photo), path)
        return
    splits = [name for name in ("test", "val") if name in run.photos.splits]
    diverged = bool(run.history) and not any(np.isfinite(row["val_loss"]) for row in run.history)
    evaluations, swapped = [], None
    if not diverged:  # otherwise no epoch has finite predictions
        model, split_info = load_model(folder)
        evaluations = [
            evaluate(
                model,
                run.data,
                split=split,
                split_info=split_info,
                on_start=on_start,
                on_photo=on_photo,
            )
            for split in splits
        ]
        if backgrounds:
            swapped = evaluate_backgrounds(
                model, evaluations[0], seed=seed, on_start=on_start, on_photo=on_photo
            )
    save_page(render(_collect(run, evaluations, swapped, seed if backgrounds else None)), path)


def _collect(
    run: Run,
    evaluations: Sequence[Evaluation],
    swapped: BackgroundEvaluation | None,
    background_seed: int | None,
) -> RunReport:
    first = evaluations[0] if evaluations else None
    network, size = run.recipe.network, run.recipe.input.size
    weights = f"{network.weights} weights" if network.weights else "random weights"
    frozen = ", backbone frozen" if network.frozen else ""
    return RunReport(
        title=f"{run.recipe.name} on {run.data.name}",
        recipe=run.recipe.to_yaml(),
        seed=run.facts.seed,
        data_fingerprint=run.facts.fingerprint,
        versions={"platecheck": run.facts.platecheck, **run.facts.versions},
        counts=dict(sorted(run.photos.counts().items(), key=lambda row: _SPLIT_ORDER.find(row[0]))),
        trained={
            "Recipe": f"{run.recipe.name} ({run.recipe.summary})",
            "Network": f"{network.name} at {size}×{size} pixels, from {weights}{frozen}",
            "Data": str(run.data),
        },
        history=run.history,
        best_epoch=run.best_epoch if evaluations else None,
        planned_epochs=run.recipe.epochs,
        training_seconds=sum(row["seconds"] for row in run.history),
        evaluations=evaluations,
        grid=_sample(first) if first else (),
        mistakes=_worst_mistakes(first) if first else (),
        backgrounds=swapped.result if swapped else None,
        gallery=gallery(swapped, run.facts.classes) if swapped else (),
        commands=_commands(run, background_seed),
        warnings=list(_warnings(run, first)),
    )


def render(data: RunReport) -> str:
    """Render the report as HTML."""
    lows = [evaluation.result.accuracy_ci95[0] for evaluation in data.evaluations]
    return render_template(
        "run.html.j2",
        title=data.title,
        data=data,
        classes=list(dict.fromkeys(name for row in data.counts.values() for name in row)),
        curves=_curves(data),
        matrices=[_matrix(evaluation) for evaluation in data.evaluations],
        diagrams=[_diagram(evaluation) for evaluation in data.evaluations],
        scale_from=min(math.floor(10 * min(lows, default=0)) / 10, 0.9),
        max_unreadable=MAX_UNREADABLE,
    )


def gallery(
    measured: BackgroundEvaluation, classes: Sequence[str], max_rows: int = MAX_GALLERY_ROWS
) -> list[GalleryRow]:
    """Return the dishes that lose most on other backgrounds, worst first.

    Dishes classified correctly on their own background and wrongly on another come first, then
    those with the largest drop in the true class's probability. Dishes without a drop are omitted.
    """
    swap = measured.swap
    labels = np.array([swap.photos[dish].photo.label for dish in swap.dishes])
    each = np.arange(len(labels))
    before = measured.probabilities["original"]
    mixed = np.stack([measured.probabilities[name] for name in measured.backgrounds])
    drop = before[each, labels] - mixed[:, each, labels].min(axis=0)
    lost = (before.argmax(axis=1) == labels) & (mixed.argmax(axis=2) != labels).any(axis=0)
    worst_first = np.lexsort((-drop, ~lost))
    rows = []
    for at in worst_first[drop[worst_first] > 0][:max_rows].tolist():
        dish, truth = swap.dishes[at], classes[labels[at]]
        images = {"original": swap.original(dish)}
        images |= {name: swap.mixed(dish, to[at]) for name, to in measured.backgrounds.items()}
        predictions = [
            PredictedPhoto.from_probabilities(
                pixels, measured.probabilities[name][at], classes, truth, VARIANTS[name]
            )
            for name, pixels in images.items()
        ]
        if dish in measured.only_background:
            pixels, row = swap.only_background(dish), measured.only_background[dish]
            predictions.append(
                PredictedPhoto.from_probabilities(pixels, row, classes, None, "Only-BG")
            )
        rows.append(GalleryRow(swap.photos[dish].photo.name, truth, predictions))
    return rows


def _sample(evaluation: Evaluation) -> list[PredictedPhoto]:
    photos = len(evaluation.photos)
    spread = np.linspace(0, photos - 1, min(photos, GRID_PHOTOS)).round().astype(int)
    return _predictions(evaluation, np.unique(spread).tolist())


def _worst_mistakes(evaluation: Evaluation) -> list[PredictedPhoto]:
    wrong = np.flatnonzero(evaluation.probabilities.argmax(axis=1) != evaluation.labels)
    confidence = evaluation.probabilities[wrong].max(axis=1)
    most_confident = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES]
    return _predictions(evaluation, most_confident.tolist())


def _predictions(evaluation: Evaluation, indices: list[int]) -> list[PredictedPhoto]:
    predictions, classes = [], evaluation.result.classes
    for index in indices:
        photo, row = evaluation.photos[index], evaluation.probabilities[index]
        try:
            image = Image.fromarray(open_photo(photo.path))
        except PhotoError:  # deleted meanwhile
            continue
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        pixels, truth = np.asarray(image), classes[photo.label]
        predictions.append(
            PredictedPhoto.from_probabilities(pixels, row, classes, truth, photo.name)
        )
    return predictions


def _commands(run: Run, background_seed: int | None) -> list[str]:
    options = [] if background_seed is None else ["--backgrounds"]
    options += ["--seed", str(background_seed)] if background_seed else []
    chosen = [] if "test" in run.photos.splits else ["--split", "val"]
    where = [str(run.folder), "--data", str(run.data)]
    return [
        run.facts.command.replace("__main__.py", "python -m platecheck", 1),
        shlex.join(["platecheck", "evaluate", *where, *chosen, *options]),
        shlex.join(["platecheck", "report", *where, *options]),
    ]


def _warnings(run: Run, first: Evaluation | None) -> Iterator[str]:
    bad = [int(row["epoch"]) for row in run.history if not np.isfinite(row["val_loss"])]
    if bad:
        yield (
            f"Training diverged: the validation loss of epoch {bad[0]} is not a finite number."
            " Train again with a lower learning rate."
        )
    elif not run.finished:
        yield f"{len(run.history)} of {run.recipe.epochs} epochs trained; continue with --resume."
    if first and first.result.majority_baseline.verdict != "better":
        yield f"On {first.split}: {first.result.majority_baseline}"
    if first and first.split != "test":
        yield "There are no test photos: 'val' selected the epoch, so its metrics are optimistic."
    by_content = defaultdict(list)
    for photo in run.photos.photos:
        by_content[photo.sha256].append(photo)
    leaks = sum(len({photo.split for photo in same}) > 1 for same in by_content.values())
    contradictions = sum(len({photo.label for photo in same}) > 1 for same in by_content.values())
    for count, where in ((leaks, "split, byte for byte"), (contradictions, "class")):
        if count:
            photos_are = "1 photo is" if count == 1 else f"{count} photos are"
            yield f"{photos_are} in more than one {where}."
    if info := run.facts.split_info:
        yield (
            f"There were no validation photos: '{info.split}' was split (seed {info.seed}), and"
            " the part named val selected the epoch."
        )


def _curves(data: RunReport) -> dict[str, str] | None:
    if not data.history:
        return None
    last = data.history[-1]
    alt = (
        f"Loss and accuracy by epoch, {len(data.history)} epochs. At the last one, loss is "
        f"{last['train_loss']:.3f} in training and {last['val_loss']:.3f} in validation, accuracy "
        f"{last['train_accuracy']:.1%} and {last['val_accuracy']:.1%}."
    )
    return plot(plots.curves(data.history, data.best_epoch), alt)


def _matrix(evaluation: Evaluation) -> dict[str, str]:
    result = evaluation.result
    alt = f"Confusion matrix, {evaluation.split}."
    for truth, row in zip(result.classes, result.confusion_matrix, strict=True):
        counts = zip(row, result.classes, strict=True)
        predicted = ", ".join(f"{count} as {name}" for count, name in counts)
        alt += f" Of {sum(row)} {truth} photos: {predicted}."
    figure = plots.confusion_matrix(result.confusion_matrix, result.classes, evaluation.split)
    return plot(figure, alt)


def _diagram(evaluation: Evaluation) -> dict[str, str]:
    result = evaluation.result
    alt = (
        f"Reliability diagram, {evaluation.split}. Mean confidence {result.mean_confidence:.1%}, "
        f"accuracy {result.accuracy:.1%}, expected calibration error {result.ece:.3f}."
    )
    binned = reliability(evaluation.probabilities, evaluation.labels)
    return plot(plots.reliability_diagram(binned, evaluation.split), alt)
