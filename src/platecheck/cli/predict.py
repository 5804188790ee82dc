"""``platecheck predict``."""

import csv
import io
import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from platecheck.cli.options import Json, ModelOption, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError, ModelError
from platecheck.files import check_writable, is_output, mark_output, replacing
from platecheck.inputs import STDIN
from platecheck.model_info import NO_DISH, UNSURE, class_columns

if TYPE_CHECKING:
    from PIL.Image import Image

    from platecheck.classifier import Classifier, Prediction
    from platecheck.photo import Source

COLORS = {"clean": "green", "dirty": "red", "unsure": "yellow", "not a dish": "yellow"}


PhotoArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO|FOLDER|GLOB|LIST|URL|-…",
        help="LIST: .txt (one path per line) or .csv (with a path column). -: read one photo"
        " from stdin.",
    ),
]
HeatmapFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write photos overlaid with a dirt heatmap to a new folder."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(min=1, max=200_000_000, help="Largest photo to open; default: 134 million."),
]


def predict(
    photos: PhotoArguments,
    model: ModelOption = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    heatmap: HeatmapFolder = None,
    strict: Strict = False,
    max_pixels: MaxPixels = None,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private-urls", help="Allow http:// and private network addresses."),
    ] = False,
) -> None:
    """Classify photos; exit code 1 if any cannot be read."""
    from platecheck.classifier import Classifier
    from platecheck.heatmap import overlay
    from platecheck.inputs import photo_sources
    from platecheck.photo import MAX_PIXELS

    if as_json and as_csv:
        raise DataError("--json and --csv are mutually exclusive")
    classifier = Classifier.load(model)
    if heatmap:
        _check_heatmap(heatmap, classifier)
    sources = list(photo_sources(photos))
    _warn_output(sources)
    limit = max_pixels or MAX_PIXELS
    predictions = classifier.predict_many(
        (_open(source, allow_private) for source in sources), max_pixels=limit
    )
    width, stdout = min(60, max(map(len, sources))), console()
    table = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        columns = class_columns(classifier.classes, ("photo", "label", "probability", "error"))
        table.writerow(["photo", "label", "probability", *columns, "error"])
    failed: list[str] = []
    found: list[dict[str, Any]] = []
    with progress_bar("predicting", len(sources)) as bar:
        for number, (source, prediction) in enumerate(zip(sources, predictions, strict=True), 1):
            if prediction.error and strict:
                raise DataError(f"unreadable photos (--strict): {prediction.error}")
            failed += [str(prediction.error)] if prediction.error else []
            if heatmap and prediction.heatmap is not None and source != STDIN:  # already consumed
                photo = _open(source, allow_private)
                picture = overlay(photo, prediction.heatmap, max_pixels=limit)
                _save_overlay(picture, heatmap, number, prediction.source)
            if as_json:
                found.append(prediction.as_dict())
            elif as_csv:
                table.writerow(_csv_row(prediction, classifier.classes))
            else:
                stdout.print(_line(prediction, width))
            bar.advance()
    if as_json:
        print(json.dumps(found, indent=2))
    elif failed and not as_csv and len(sources) > 1:
        stdout.print(f"{len(failed)} of {len(sources)} photos could not be read:")
        show_first(failed, stdout)
    if failed:
        raise typer.Exit(1)


def _check_heatmap(folder: Path, classifier: "Classifier") -> None:
    check_writable(folder, folder=True)
    if not classifier.has_heatmap:
        raise ModelError("--heatmap needs a model with a heatmap, such as plate")
    if folder.is_dir() and any(folder.iterdir()) and not is_output(folder):
        # Marked as output, its contents would no longer be read as photos.
        raise DataError(f"{folder} is not empty; choose a new folder for --heatmap")


def _warn_output(sources: list[str]) -> None:
    if written := next((name for name in sources if is_output(Path(name).parent)), None):
        console(stderr=True).print(
            f"note: {escape(written)} is platecheck's own output, not a photo"
        )


def _open(source: str, allow_private: bool) -> "Source":
    from platecheck.inputs import LazyFile, is_url
    from platecheck.photo import MAX_BYTES

    if source == STDIN:
        stdin = io.BytesIO(sys.stdin.buffer.read(MAX_BYTES + 1))
        stdin.name = "<stdin>"
        return stdin
    if is_url(source):
        from platecheck.urls import fetch_photo

        fetch = partial(fetch_photo, source, allow_private=allow_private)
        return cast("BinaryIO", LazyFile(source, fetch))
    return source


def _save_overlay(picture: "Image", folder: Path, number: int, source: str) -> None:
    mark_output(folder)
    # The number keeps names unique.
    with replacing(folder / f"{number:04d}-{Path(source).stem}.jpg") as temporary:
        picture.save(temporary, quality=90)


def _csv_row(prediction: "Prediction", classes: Sequence[str]) -> list[str]:
    if prediction.error:
        return [prediction.source, "", "", *[""] * len(classes), prediction.error.reason]
    probabilities = (prediction.probability, *(prediction.probabilities[name] for name in classes))
    return [prediction.source, prediction.label, *(f"{each:.6f}" for each in probabilities), ""]


def _line(prediction: "Prediction", width: int) -> str:
    name = escape(prediction.source.ljust(width))
    if prediction.error:
        return f"{name}  [yellow]cannot be read:[/] {escape(prediction.error.reason)}"
    color = COLORS.get(prediction.label, "bold")
    line = f"{name}  [{color}]{escape(prediction.label)}[/]"
    if prediction.label == NO_DISH:  # which has no probability
        return line
    if prediction.label == UNSURE:
        # Round down: 89.97 % must not look as if it met a threshold of 90 %.
        percent = math.floor(prediction.probability * 1000) / 10
        top, threshold = escape(prediction.top_class), prediction.threshold
        return f"{line}  ({top} {percent:.1f}%, threshold {threshold:.1%})"
    return f"{line}  {prediction.probability:.1%}"
