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

from platecheck.cli.options import Model, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import show_first, shown, terminal
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
            help="A LIST is .txt (a path a line) or .csv (a column path); - reads one photo from"
            " stdin.",
        ),
    ],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for machines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write each photo with its dirt in colour to a new folder."
        ),
    ] = None,
    strict: Strict = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, max=200_000_000, help="Largest photo opened; 134 million when absent."),
    ] = None,
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private-urls", help="Also open http:// and addresses of your own network."
        ),
    ] = False,
) -> None:
    """Say for each photo which class it is of; exit code 1 when one cannot be opened."""
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
        raise ModelError("this model does not say where the dirt is: --heatmap needs one that does")
    if heatmap and heatmap.is_dir() and any(heatmap.iterdir()) and not is_output(heatmap):
        # All that is in it counts as written by platecheck from then on.
        raise DataError(f"{heatmap} is not empty; name a new folder for the pictures of --heatmap")
    sources = list(photo_sources(photos))
    if written := next((name for name in sources if is_output(Path(name).parent)), None):
        terminal(stderr=True).print(f"note: platecheck wrote {shown(written)}, it is no photo")
    failed: list[str] = []
    limit = max_pixels or MAX_PIXELS
    with progress_bar("predicting", len(sources)) as bar:

        def answers() -> Iterator["Prediction"]:
            opened = (_opened(source, allow_private) for source in sources)
            for number, answer in enumerate(classifier.predict_many(opened, max_pixels=limit), 1):
                if answer.error is not None:
                    failed.append(str(answer.error))
                    if strict:
                        raise DataError(f"unreadable photos, and --strict was given: {failed[0]}")
                if heatmap and answer.heatmap is not None and sources[number - 1] != STDIN:
                    # What stdin gave is gone.
                    photo = _opened(sources[number - 1], allow_private)
                    picture = overlay(photo, answer.heatmap, max_pixels=limit)
                    mark_output(heatmap)
                    # The number keeps photos of one name apart.
                    path = heatmap / f"{number:04d}-{Path(answer.source).stem}.jpg"
                    with replacing(path) as temporary:
                        picture.save(temporary, quality=90)
                bar.advance()
                yield answer

        if as_json:
            print(json.dumps([answer.as_dict() for answer in answers()], indent=2))
        elif as_csv:
            _print_csv(answers(), classifier.classes)
        else:
            _print_table(answers(), width=min(60, max(map(len, sources))))
    if failed:
        if not as_json and not as_csv and len(sources) > 1:
            terminal().print(f"{len(failed)} of {len(sources)} photos could not be read:")
            show_first(failed, terminal())
        raise typer.Exit(1)


def _opened(source: str, allow_private: bool) -> "Source":
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


def _print_csv(answers: Iterable["Prediction"], classes: Iterable[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(classes)
    columns = class_columns(names, ("photo", "label", "probability", "error"))
    writer.writerow(["photo", "label", "probability", *columns, "error"])
    for answer in answers:
        probabilities = answer.probabilities or {}
        writer.writerow(
            [
                answer.source,
                answer.label,
                "" if answer.error else f"{answer.probability:.6f}",
                *(f"{probabilities[name]:.6f}" if probabilities else "" for name in names),
                answer.error.reason if answer.error else "",
            ]
        )


def _print_table(answers: Iterable["Prediction"], *, width: int) -> None:
    """A row a photo as soon as it is answered, so that a long list is not waited for."""
    console = terminal()
    for answer in answers:
        name = shown(answer.source.ljust(width))
        if answer.error:
            console.print(f"{name}  [yellow]not readable:[/] {shown(answer.error.reason)}")
        else:
            color = COLORS.get(answer.label, "bold")
            console.print(f"{name}  [{color}]{shown(answer.label)}[/]{shown(_how_sure(answer))}")


def _how_sure(answer: "Prediction") -> str:
    """The probability of what is answered; none where that is no class."""
    if answer.label == NO_DISH:
        return ""
    if answer.label == UNSURE:
        # Rounded down: 89.97 % is not to be read as the 90 % that are needed.
        percent = math.floor(answer.probability * 1000) / 10
        return f"  ({answer.top_class} {percent:.1f}%, needs {answer.threshold:.1%})"
    return f"  {answer.probability:.1%}"
