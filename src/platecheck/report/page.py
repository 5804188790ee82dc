"""HTML report of a run.

The page is self-contained: inline styles, images as data URIs, no scripts, and a content security
policy that forbids everything else.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.errors import MissingExtraError
from platecheck.evaluation import plots
from platecheck.evaluation.background_metrics import (
    Accuracy,
    AccuracyGap,
    BackgroundMetrics,
    describe_left_out,
    metric_rows,
    verdict,
)
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import reliability
from platecheck.evaluation.plots import PredictedPhoto

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MissingExtraError("Writing a report", "evaluate") from error

THUMBNAIL = 288  # pixels: twice the size on the page, for high-density screens
MAX_UNREADABLE = 20


@dataclass(frozen=True)
class RunSummary:
    """Description of a run.

    Attributes:
        seed: random seed of the run.
        versions: package name to version.
        data_fingerprint: hash of the photos and labels.
        counts: photos by split and class.
        epochs: number of epochs trained.
        best_epoch: epoch whose weights are used, from 1.
        training_seconds: duration of training, if known.
        planned_epochs: number of epochs in the recipe; `epochs` if None.
        trained: rows (label to text) at the top of the page.
    """

    seed: int
    versions: Mapping[str, str]
    data_fingerprint: str
    counts: Mapping[str, Mapping[str, int]]
    epochs: int
    best_epoch: int | None = None
    training_seconds: float | None = None
    planned_epochs: int | None = None
    trained: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GalleryRow:
    """A dish on several backgrounds.

    Attributes:
        name: name of the photo.
        truth: name of its class.
        predictions: the original, the dish on other backgrounds and, if visible, the background
            alone, which has no true class.
    """

    name: str
    truth: str
    predictions: Sequence[PredictedPhoto]


@dataclass(frozen=True, eq=False)
class BackgroundSection:
    """Evaluation with exchanged backgrounds.

    Attributes:
        result: the metrics.
        gallery: the most affected dishes, worst first.
    """

    result: BackgroundMetrics
    gallery: Sequence[GalleryRow]


@dataclass(frozen=True, eq=False)
class ReportData:
    """Content of the page; empty lists omit their section.

    Attributes:
        title: title of the page.
        recipe: the resolved recipe as YAML.
        summary: description of the run.
        history: rows for `plots.curves`.
        evaluations: most important first.
        grid: a sample of predictions.
        mistakes: misclassified photos, most confident first.
        commands: shell commands that reproduce the run.
        warnings: sentences shown at the top.
        backgrounds: exchanged backgrounds of the first evaluation.
    """

    title: str
    recipe: str
    summary: RunSummary
    history: Sequence[Mapping[str, float]] = ()
    evaluations: Sequence[Evaluation] = ()
    grid: Sequence[PredictedPhoto] = ()
    mistakes: Sequence[PredictedPhoto] = ()
    commands: Sequence[str] = ()
    warnings: Sequence[str] = ()
    backgrounds: BackgroundSection | None = None


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to `path` atomically.

    Raises:
        DataError: the history or an evaluation is invalid, or the file cannot be written.
    """
    save_page(render(data), path)


def save_page(page: str, path: Path) -> None:
    """Write a page, replacing undecodable bytes of file names with "?"."""
    plots.write(page.encode("utf-8", "replace"), path)


def templates(package: str) -> Environment:
    """Return the autoescaping templates of a subpackage of platecheck."""
    return Environment(
        loader=PackageLoader("platecheck", package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(data: ReportData) -> str:
    """Render the page as HTML.

    Raises:
        DataError: the history or an evaluation is invalid.
    """
    environment = templates("report")
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["interval"] = lambda ends: f"{100 * ends[0]:.1f}–{ends[1]:.1%}"
    environment.filters["three_decimals"] = "{:.3f}".format
    environment.filters["duration"] = _duration
    environment.filters["thumbnail"] = thumbnail
    return environment.get_template("run.html.j2").render(
        data=data,
        summary=data.summary,
        classes=list(dict.fromkeys(name for row in data.summary.counts.values() for name in row)),
        curves=_curves(data),
        matrices=[_matrix(evaluation) for evaluation in data.evaluations],
        diagrams=[_diagram(evaluation) for evaluation in data.evaluations],
        background_table=_background_table(data),
        scale_from=_scale_from(data.evaluations),
        max_unreadable=MAX_UNREADABLE,
    )


def _background_table(data: ReportData) -> dict[str, Any] | None:
    """Return the texts of the section; a row is name, correct, value, interval, description."""
    if data.backgrounds is None:
        return None
    result = data.backgrounds.result
    classes = len(data.evaluations[0].result.classes)
    rows = [(name, *_cells(metric), text) for name, metric, text in metric_rows(result, classes)]
    left_out = describe_left_out(result)
    return {"verdict": verdict(result, classes), "left_out": left_out, "rows": rows}


def _cells(metric: Accuracy | AccuracyGap) -> tuple[str, str, str]:
    if isinstance(metric, AccuracyGap):
        low, high = (100 * end for end in metric.gap_ci95)
        return "", f"{100 * metric.gap:+.1f} points", f"{low:+.1f} to {high:+.1f}"
    low, high = (100 * end for end in metric.accuracy_ci95)
    correct = f"{metric.correct}/{metric.photos}"
    return correct, f"{metric.accuracy:.1%}", f"{low:.1f}–{high:.1f}%"


@dataclass(frozen=True)
class _Plot:
    """A figure: its data URI and text alternative."""

    src: str
    alt: str


def _curves(data: ReportData) -> _Plot | None:
    if not data.history:
        return None
    last = data.history[-1]
    alt = (
        f"Loss and accuracy by epoch, {len(data.history)} epochs. At the last one, loss is "
        f"{last['train_loss']:.3f} in training and {last['val_loss']:.3f} in validation, accuracy "
        f"{last['train_accuracy']:.1%} and {last['val_accuracy']:.1%}."
    )
    return _Plot(_svg(plots.curves(data.history, data.summary.best_epoch)), alt)


def _matrix(evaluation: Evaluation) -> _Plot:
    result = evaluation.result
    alt = f"Confusion matrix, {evaluation.split}."
    for truth, row in zip(result.classes, result.confusion_matrix, strict=True):
        predicted = ", ".join(
            f"{count} as {name}" for name, count in zip(result.classes, row, strict=True)
        )
        alt += f" Of {sum(row)} {truth} photos: {predicted}."
    figure = plots.confusion_matrix(result.confusion_matrix, result.classes, evaluation.split)
    return _Plot(_svg(figure), alt)


def _diagram(evaluation: Evaluation) -> _Plot:
    result = evaluation.result
    alt = (
        f"Reliability diagram, {evaluation.split}. Mean confidence {result.mean_confidence:.1%}, "
        f"accuracy {result.accuracy:.1%}, expected calibration error {result.ece:.3f}."
    )
    binned = reliability(evaluation.probabilities, evaluation.labels)
    return _Plot(_svg(plots.reliability_diagram(binned, evaluation.split)), alt)


def _scale_from(evaluations: Sequence[Evaluation]) -> float:
    lows = [evaluation.result.accuracy_ci95[0] for evaluation in evaluations]
    return min(math.floor(10 * min(lows, default=0)) / 10, 0.9)


def _svg(figure: Figure) -> str:
    return _data_uri("image/svg+xml", plots.encode(figure, "svg", transparent=True))


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL) -> str:
    """Return a photo [H, W, 3], reduced to fit `side` pixels, as a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return _data_uri("image/jpeg", file.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
