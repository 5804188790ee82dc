"""``platecheck predict``."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from platecheck.cli.options import ModelOption, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError, ModelError
from platecheck.files import check_writable
from platecheck.inputs import STDIN
from platecheck.model_info import NO_DISH, UNSURE, class_columns

if TYPE_CHECKING:
    from platecheck.classifier import Prediction
    from platecheck.photo import Source

COLORS = {"clean": "green", "dirty": "red", "unsure": "yellow", "not a dish": "yellow"}


def predict(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO|FOLDER|GLOB|LIST|URL|-…",
            help="LIST: .txt (one path per line) or .csv (with a path column). -: read one photo"
            " from stdin.",
        ),
    ],
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write photos overlaid with a dirt heatmap to a new folder."
        ),
    ] = None,
    strict: Strict = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, max=200_000_000, help="Largest photo to open; default: 134 million."),
    ] = None,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private-urls", help="Allow http:// and private network addresses."),
    ] = False,
) -> None:
    """Classify photos; exit code 1 when one cannot be read."""
    from platecheck.classifier import Classifier
    from platecheck.files import is_output, mark_output, replacing
    from platecheck.heatmap import overlay
    from platecheck.inputs import photo_sources
    from platecheck.photo import MAX_PIXELS

    if as_json and as_csv:
        raise DataError("choose one of --json and --csv")
    if heatmap:
        check_writable(heatmap, folder=True)
    classifier = Classifier.load(model)
    if heatmap and not classifier.has_heatmap:
        raise ModelError("this model has no heatmap; use another for --heatmap, such as plate")
    if heatmap and heatmap.is_dir() and any(heatmap.iterdir()) and not is_output(heatmap):
        # Marked as output, its contents would no longer be read as photos.
        raise DataError(f"{heatmap} is not empty; choose a new folder for --heatmap")
    sources = list(photo_sources(photos))
    if written := next((name for name in sources if is_output(Path(name).parent)), None):
        console(stderr=True).print(
            f"note: {escape(written)} was written by platecheck; it is not a photo"
        )
    failed: list[str] = []
    limit = max_pixels or MAX_PIXELS
    with progress_bar("predicting", len(sources)) as bar:

        def predictions() -> Iterator["Prediction"]:
            opened = (_open(source, allow_private) for source in sources)
            for number, prediction in enumerate(
                classifier.predict_many(opened, max_pixels=limit), 1
            ):
                if prediction.error is not None:
                    failed.append(str(prediction.error))
                    if strict:
                        raise DataError(f"unreadable photos (--strict): {failed[0]}")
                if heatmap and prediction.heatmap is not None and sources[number - 1] != STDIN:
                    # stdin cannot be read twice.
                    photo = _open(sources[number - 1], allow_private)
                    picture = overlay(photo, prediction.heatmap, max_pixels=limit)
                    mark_output(heatmap)
                    # The number keeps names unique.
                    path = heatmap / f"{number:04d}-{Path(prediction.source).stem}.jpg"
                    with replacing(path) as temporary:
                        picture.save(temporary, quality=90)
                bar.advance()
                yield prediction

        if as_json:
            print(json.dumps([prediction.as_dict() for prediction in predictions()], indent=2))
        elif as_csv:
            _print_csv(predictions(), classifier.classes)
        else:
            _print_table(predictions(), width=min(60, max(map(len, sources))))
    if failed:
        if not as_json and not as_csv and len(sources) > 1:
            console().print(f"{len(failed)} of {len(sources)} photos could not be read:")
            show_first(failed, console())
        raise typer.Exit(1)


def _open(source: str, allow_private: bool) -> "Source":
    from platecheck.inputs import LazyFile, is_url
    from platecheck.photo import MAX_BYTES
    from platecheck.urls import fetch_photo

    if source == STDIN:
        stdin = io.BytesIO(sys.stdin.buffer.read(MAX_BYTES + 1))
        stdin.name = "<stdin>"
        return stdin
    if is_url(source):
        fetch = partial(fetch_photo, source, allow_private=allow_private)
        return cast("BinaryIO", LazyFile(source, fetch))
    return source


def _print_csv(predictions: Iterable["Prediction"], classes: Iterable[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(classes)
    columns = class_columns(names, ("photo", "label", "probability", "error"))
    writer.writerow(["photo", "label", "probability", *columns, "error"])
    for prediction in predictions:
        probabilities = prediction.probabilities or {}
        writer.writerow(
            [
                prediction.source,
                prediction.label,
                "" if prediction.error else f"{prediction.probability:.6f}",
                *(f"{probabilities[name]:.6f}" if probabilities else "" for name in names),
                prediction.error.reason if prediction.error else "",
            ]
        )


def _print_table(predictions: Iterable["Prediction"], *, width: int) -> None:
    """Print each row as soon as it is known."""
    stdout = console()
    for prediction in predictions:
        name = escape(prediction.source.ljust(width))
        if prediction.error:
            stdout.print(f"{name}  [yellow]not readable:[/] {escape(prediction.error.reason)}")
        else:
            color = COLORS.get(prediction.label, "bold")
            stdout.print(
                f"{name}  [{color}]{escape(prediction.label)}[/]{escape(_confidence(prediction))}"
            )


def _confidence(prediction: "Prediction") -> str:
    """Describe the probability of the label, which only classes have."""
    if prediction.label == NO_DISH:
        return ""
    if prediction.label == UNSURE:
        # Round down: 89.97 % must not look as if it met a threshold of 90 %.
        percent = math.floor(prediction.probability * 1000) / 10
        return f"  ({prediction.top_class} {percent:.1f}%, threshold {prediction.threshold:.1%})"
    return f"  {prediction.probability:.1%}"
