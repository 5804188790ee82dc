"""HTML report of a detector's run."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from platecheck.data.boxes import KINDS, with_boxes
from platecheck.detector import Detector
from platecheck.errors import MissingExtraError
from platecheck.evaluation import plots
from platecheck.evaluation.detection import DetectionEvaluation, SearchedPhoto, evaluate_detector
from platecheck.photo import open_photo
from platecheck.report.render import plot, render_template
from platecheck.training.detection.metrics import match, precision_recall
from platecheck.training.run import Run

MOST_MISTAKES = 12
PICTURE = 480  # pixels
# Solid green: a dish that was found. Dashed orange: found, but no dish. Thin white: missed.
FOUND, WRONG, MISSED = "#009e73", "#d55e00", "#ffffff"


def detection_page(
    run: Run,
    *,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> str:
    """Export a run to a temporary file, evaluate it on test and validation photos, render HTML.

    Raises:
        ModelError: the run has no finished epoch.
        DataError: the photos are missing or have changed.
    """
    try:
        from platecheck.export.detector import export_detector
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reporting a run", "train") from error
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dishes.onnx"
        export_detector(run, file, measure=False)
        detector = Detector.load(file.read_bytes())
    data = with_boxes(run.photos, run.facts.fingerprint)
    evaluations = [
        evaluate_detector(detector, data, split=split, on_start=on_start, on_photo=on_photo)
        for split in ("test", "val")
        if split in data.photos.splits
    ]
    counted = run.photos.counts()
    counts = {split: counted[split] for split in ("train", "val", "test") if split in counted}
    return render_template(
        "detection.html.j2",
        title=f"{run.recipe.name} on {run.data.name}",
        run=run,
        counts=counts,
        evaluations=evaluations,
        curves=plot(plots.curves(run.history, run.best_epoch), "Loss and AP50 by epoch."),
        plots=[_curve(evaluation) for evaluation in evaluations],
        mistakes=_worst(evaluations[0]),
        pictures=[_picture(each, detector.info.threshold) for each in _worst(evaluations[0])],
        seconds=sum(row["seconds"] for row in run.history),
        notes=run.photos.notes,
    )


def _worst(evaluation: DetectionEvaluation) -> Sequence[SearchedPhoto]:
    threshold = evaluation.result.threshold
    wrong = [each for each in evaluation.photos if each.mistakes(threshold)]
    return sorted(wrong, key=lambda each: -each.mistakes(threshold))[:MOST_MISTAKES]


def _picture(searched: SearchedPhoto, threshold: float) -> NDArray[np.uint8]:
    """Draw a photo's dishes and what was found."""
    image = Image.fromarray(open_photo(searched.photo.path))
    scale = PICTURE / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(image)
    for box in (searched.truth * scale).tolist():
        draw.rectangle(box, outline=MISSED, width=2)
    hits = match(searched.found, searched.scores, searched.truth).hits.tolist()
    complete = KINDS[searched.photo.label] != "partly"  # otherwise it may be a dish without a box
    boxes = (searched.found * scale).tolist()
    for box, score, hit in zip(boxes, searched.scores.tolist(), hits, strict=True):
        if score >= threshold and hit:
            draw.rectangle(box, outline=FOUND, width=4)
        elif score >= threshold and complete:
            _dashed(draw, box)
    return np.asarray(image, np.uint8)


def _dashed(draw: ImageDraw.ImageDraw, box: Sequence[float], dash: int = 10) -> None:
    x0, y0, x1, y1 = box
    for start in np.arange(x0, x1, 2 * dash):
        for y in (y0, y1):
            draw.line((start, y, min(start + dash, x1), y), fill=WRONG, width=4)
    for start in np.arange(y0, y1, 2 * dash):
        for x in (x0, x1):
            draw.line((x, start, x, min(start + dash, y1)), fill=WRONG, width=4)


def _curve(evaluation: DetectionEvaluation) -> dict[str, str]:
    result = evaluation.result
    _, precision, recall = precision_recall([each.matched for each in evaluation.photos])
    chosen = (result.all.recall or 0.0, result.all.precision or 0.0)
    title = f"{result.split} (AP50 {result.all.ap50 or 0:.3f})"
    alt = f"Precision and recall, {title}. At the threshold {chosen[1]:.1%} and {chosen[0]:.1%}."
    return plot(plots.precision_recall_curve(precision, recall, chosen, title), alt)
