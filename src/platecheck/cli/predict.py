"""``platecheck predict``."""

import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platecheck.cli.options import Json, ModelOption, Strict
from platecheck.cli.photos import (
    COLORS,
    AllowPrivate,
    Csv,
    Failures,
    MaxPixels,
    PhotoArguments,
    check_pictures,
    list_sources,
    open_source,
    save_picture,
)
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape
from platecheck.errors import DataError, ModelError
from platecheck.inputs import STDIN
from platecheck.model_info import NO_DISH, UNSURE, class_columns
from platecheck.quality import OK, explain

if TYPE_CHECKING:
    from platecheck.classifier import Prediction

HeatmapFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write photos overlaid with a dirt heatmap to a new folder."),
]


def predict(
    photos: PhotoArguments,
    model: ModelOption = None,
    as_json: Json = False,
    as_csv: Csv = False,
    heatmap: HeatmapFolder = None,
    strict: Strict = False,
    max_pixels: MaxPixels = None,
    allow_private: AllowPrivate = False,
) -> None:
    """Classify photos; exit code 1 if any cannot be read."""
    from platecheck.classifier import Classifier
    from platecheck.heatmap import overlay
    from platecheck.photo import MAX_PIXELS

    if as_json and as_csv:
        raise DataError("--json and --csv are mutually exclusive")
    classifier = Classifier.load(model)
    if heatmap:
        check_pictures(heatmap, "--heatmap")
        if not classifier.has_heatmap:
            raise ModelError("--heatmap needs a model with a heatmap, such as plate")
    sources = list_sources(photos)
    limit = max_pixels or MAX_PIXELS
    predictions = classifier.predict_many(
        (open_source(source, allow_private=allow_private) for source in sources), max_pixels=limit
    )
    width, stdout = min(60, max(map(len, sources))), console()
    table = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        columns = class_columns(classifier.classes, ("photo", "label", "probability", "error"))
        table.writerow(["photo", "label", "probability", *columns, "error"])
    failures = Failures(strict=strict)
    found: list[dict[str, Any]] = []
    with progress_bar("predicting", len(sources)) as bar:
        for number, (source, prediction) in enumerate(zip(sources, predictions, strict=True), 1):
            failures.add(prediction.error)
            if heatmap and prediction.heatmap is not None and source != STDIN:  # already consumed
                photo = open_source(source, allow_private=allow_private)
                picture = overlay(photo, prediction.heatmap, max_pixels=limit)
                save_picture(picture, heatmap, number, prediction.source)
            if as_json:
                found.append(prediction.as_dict())
            elif as_csv:
                table.writerow(_csv_row(prediction, classifier.classes))
            else:
                stdout.print(_line(prediction, width))
            bar.advance()
    if as_json:
        print(json.dumps(found, indent=2))
    failures.finish(len(sources), shown=not (as_json or as_csv))


def _csv_row(prediction: "Prediction", classes: Sequence[str]) -> list[str]:
    if prediction.error:
        return [prediction.source, "", "", *[""] * len(classes), prediction.error.reason]
    probabilities = (prediction.probability, *(prediction.probabilities[name] for name in classes))
    return [prediction.source, prediction.label, *(f"{each:.6f}" for each in probabilities), ""]


def _line(prediction: "Prediction", width: int) -> str:
    name = escape(prediction.source.ljust(width))
    if prediction.error:
        return f"{name}  [yellow]cannot be read:[/] {escape(prediction.error.reason)}"
    return f"{name}  {describe(prediction)}"


def describe(prediction: "Prediction") -> str:
    """Return the label of a prediction and what to know about it, for `console`."""
    color = COLORS.get(prediction.label, "bold")
    line = f"[{color}]{escape(prediction.label)}[/]"
    if prediction.label == NO_DISH:  # which has no probability
        return line
    if prediction.label == UNSURE:
        # Round down: 89.97 % must not look as if it met a threshold of 90 %.
        percent = math.floor(prediction.probability * 1000) / 10
        top, threshold = escape(prediction.top_class), prediction.threshold
        why = f"threshold {threshold:.1%}"
        if prediction.quality != OK and prediction.probability >= threshold:
            why = explain(prediction.quality)
        return f"{line}  ({top} {percent:.1f}%, {why})"
    return f"{line}  {prediction.probability:.1%}"
