"""One HTML page that tells what was trained on what, and what it is worth.

The page asks for nothing from outside: styles are inline, pictures are data URIs, there is no
script, and its content security policy forbids all else.
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
    BackgroundMetrics,
    Gap,
    Proportion,
    left_out,
    meanings,
    verdict,
)
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import reliability
from platecheck.evaluation.plots import AnsweredPhoto

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MissingExtraError("Writing a report", "evaluate") from error

THUMBNAIL = 288  # pixels: sharp at the 144 px or so that the page gives a photo
LISTED_UNREADABLE = 20


@dataclass(frozen=True)
class RunFacts:
    """What is needed to know a run by.

    Attributes:
        seed: of the run.
        versions: package to version.
        data_fingerprint: of the photos and their labels.
        counts: split to class to number of photos.
        epochs: how many were trained.
        best_epoch: the one whose weights are used, from 1.
        training_seconds: how long training took, where known.
        planned_epochs: how many the recipe asks for; `epochs` when absent.
        trained: what was trained and on what, for the head of the page: label to text.
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
    """A dish on several tables.

    Attributes:
        name: of the photo.
        truth: name of its class.
        pictures: as it is, on the other tables, and the table alone where it is seen; each named
            by what it shows, the last one neither right nor wrong.
    """

    name: str
    truth: str
    pictures: Sequence[AnsweredPhoto]


@dataclass(frozen=True, eq=False)
class OtherTables:
    """What became of the answers when the dishes were put on other tables.

    Attributes:
        result: the figures.
        gallery: the dishes that changed most, worst first.
    """

    result: BackgroundMetrics
    gallery: Sequence[GalleryRow]


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that the page shows; an empty list leaves its section out.

    Attributes:
        title: of the page.
        recipe: the resolved recipe, as YAML text.
        facts: what the run is known by.
        history: rows as `plots.curves` takes them.
        evaluations: the most telling one first.
        grid: photos with their answers.
        mistakes: photos named wrongly, most confident first.
        commands: shell lines that repeat the run.
        warnings: one plain sentence each, shown on top.
        tables: of the first evaluation, where it was measured.
    """

    title: str
    recipe: str
    facts: RunFacts
    history: Sequence[Mapping[str, float]] = ()
    evaluations: Sequence[Evaluation] = ()
    grid: Sequence[AnsweredPhoto] = ()
    mistakes: Sequence[AnsweredPhoto] = ()
    commands: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: OtherTables | None = None


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        DataError: the history or an evaluation is not what it should be, or the file cannot be
            written.
    """
    save_page(render(data), path)


def save_page(page: str, path: Path) -> None:
    """Write any page; what is no Unicode in a file's name becomes "?"."""
    plots.write(page.encode("utf-8", "replace"), path)


def templates(package: str) -> Environment:
    """The page templates of a package below platecheck; all that they show is escaped."""
    return Environment(
        loader=PackageLoader("platecheck", package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(data: ReportData) -> str:
    """The page as HTML text.

    Raises:
        DataError: the history or an evaluation is not what it should be.
    """
    environment = templates("evaluation")
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["interval"] = lambda ends: f"{100 * ends[0]:.1f}–{ends[1]:.1%}"
    environment.filters["three_decimals"] = "{:.3f}".format
    environment.filters["duration"] = _duration
    environment.filters["thumbnail"] = thumbnail
    return environment.get_template("report.html.j2").render(
        data=data,
        facts=data.facts,
        classes=list(dict.fromkeys(name for row in data.facts.counts.values() for name in row)),
        curves=_curves(data),
        matrices=[_matrix(evaluation) for evaluation in data.evaluations],
        diagrams=[_diagram(evaluation) for evaluation in data.evaluations],
        other_tables=_other_tables(data),
        scale_from=_scale_from(data.evaluations),
        listed_unreadable=LISTED_UNREADABLE,
    )


def _other_tables(data: ReportData) -> dict[str, Any] | None:
    """Figures and words; a line is a name, right, a figure, its interval and its meaning."""
    if data.tables is None:
        return None
    result = data.tables.result
    classes = len(data.evaluations[0].result.classes)
    lines = [(name, *_cells(figure), says) for name, figure, says in meanings(result, classes)]
    return {"verdict": verdict(result, classes), "left_out": left_out(result), "lines": lines}


def _cells(figure: Proportion | Gap) -> tuple[str, str, str]:
    if isinstance(figure, Gap):
        low, high = (100 * end for end in figure.gap_ci95)
        return "", f"{100 * figure.gap:+.1f} points", f"{low:+.1f} to {high:+.1f}"
    low, high = (100 * end for end in figure.accuracy_ci95)
    right = f"{figure.correct}/{figure.photos}"
    return right, f"{figure.accuracy:.1%}", f"{low:.1f}–{high:.1f}%"


@dataclass(frozen=True)
class _Plot:
    """A figure on the page: its address and, in words, what it shows."""

    address: str
    words: str


def _curves(data: ReportData) -> _Plot | None:
    if not data.history:
        return None
    last = data.history[-1]
    words = (
        f"Loss and accuracy by epoch, {len(data.history)} epochs. At the last one, loss is "
        f"{last['train_loss']:.3f} in training and {last['val_loss']:.3f} in validation, accuracy "
        f"{last['train_accuracy']:.1%} and {last['val_accuracy']:.1%}."
    )
    return _Plot(_svg(plots.curves(data.history, data.facts.best_epoch)), words)


def _matrix(evaluation: Evaluation) -> _Plot:
    result = evaluation.result
    words = f"Confusion matrix, {evaluation.split}."
    for truth, row in zip(result.classes, result.confusion_matrix, strict=True):
        called = ", ".join(
            f"{count} as {name}" for name, count in zip(result.classes, row, strict=True)
        )
        words += f" Of {sum(row)} {truth} photos: {called}."
    figure = plots.confusion_matrix(result.confusion_matrix, result.classes, evaluation.split)
    return _Plot(_svg(figure), words)


def _diagram(evaluation: Evaluation) -> _Plot:
    result = evaluation.result
    words = (
        f"Reliability diagram, {evaluation.split}. Mean confidence {result.mean_confidence:.1%}, "
        f"accuracy {result.accuracy:.1%}, expected calibration error {result.ece:.3f}."
    )
    found = reliability(evaluation.probabilities, evaluation.labels)
    return _Plot(_svg(plots.reliability_diagram(found, evaluation.split)), words)


def _scale_from(evaluations: Sequence[Evaluation]) -> float:
    lows = [evaluation.result.accuracy_ci95[0] for evaluation in evaluations]
    return min(math.floor(10 * min(lows, default=0)) / 10, 0.9)


def _svg(figure: Figure) -> str:
    return _data_uri("image/svg+xml", plots.encode(figure, "svg", transparent=True))


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL) -> str:
    """The photo [H, W, 3], made small, its shape kept, as a data URI."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return _data_uri("image/jpeg", file.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
