"""``platecheck inspect``."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platecheck.cli.inspect_video import FpsOption, WebhookOption, inspect_video, only_video
from platecheck.cli.options import DetectorOption, Json, ModelOption, Strict
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
from platecheck.cli.predict import describe
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape
from platecheck.errors import DataError, PhotoError
from platecheck.model_info import class_columns
from platecheck.quality import CROWDED, OK, explain

if TYPE_CHECKING:
    from platecheck.inspector import Inspection, Inspector

COLUMNS = ("photo", "verdict", "dish", "x0", "y0", "x1", "y1", "score", "label", "probability")
LAST_COLUMNS = ("quality", "error")

SaveFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write photos with the dishes drawn in to a new folder; of a video, the best frame of"
        " each dish.",
    ),
]


def inspect(
    photos: PhotoArguments,
    model: ModelOption = None,
    detector: DetectorOption = None,
    as_json: Json = False,
    as_csv: Csv = False,
    save: SaveFolder = None,
    strict: Strict = False,
    max_pixels: MaxPixels = None,
    allow_private: AllowPrivate = False,
    webhook: WebhookOption = None,
    fps: FpsOption = 10.0,
) -> None:
    """Find and classify every dish in photos, a video or the pictures of a camera.

    Exit code 1 if any photo cannot be read. Of a video file, the number of a camera or the URL of a
    stream, each dish is printed once, as a line of JSON.
    """
    from platecheck.inspector import Inspector

    if as_json and as_csv:
        raise DataError("--json and --csv are mutually exclusive")
    video = only_video(photos, webhook=webhook, as_csv=as_csv, allow_private=allow_private)
    inspector = Inspector.load(model, detector)
    if save:
        check_pictures(save, "--save")
    if video is not None:
        inspect_video(video, inspector, save=save, webhook=webhook, fps=fps)
        return
    sources = list_sources(photos)
    classes = inspector.classifier.classes
    stdout, table = console(), csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        names = class_columns(classes, (*COLUMNS, *LAST_COLUMNS))
        table.writerow([*COLUMNS, *names, *LAST_COLUMNS])
    failures = Failures(strict=strict)
    found: list[dict[str, Any]] = []
    inspections = _inspect(inspector, sources, save, max_pixels, allow_private=allow_private)
    with progress_bar("inspecting", len(sources)) as bar:
        for inspection in inspections:
            failures.add(inspection.error)
            if as_json:
                found.append(inspection.as_dict())
            elif as_csv:
                table.writerows(_csv_rows(inspection, classes))
            else:
                stdout.print("\n".join(_lines(inspection)))
            bar.advance()
    if as_json:
        print(json.dumps(found, indent=2))
    failures.finish(len(sources), shown=not (as_json or as_csv))


def _inspect(
    inspector: "Inspector",
    sources: Sequence[str],
    save: Path | None,
    max_pixels: int | None,
    *,
    allow_private: bool,
) -> Iterator["Inspection"]:
    """Inspect the photos and save their pictures."""
    from platecheck.drawing import draw
    from platecheck.photo import MAX_PIXELS

    limit = max_pixels or MAX_PIXELS
    photos, again = tee(open_source(source, allow_private=allow_private) for source in sources)
    found = inspector.inspect_many(photos, max_pixels=limit)
    for number, (photo, inspection) in enumerate(zip(again, found, strict=True), 1):
        if save and not inspection.error:
            if isinstance(photo, io.IOBase):  # stdin or a URL, which was read already
                photo.seek(0)
            try:
                picture = draw(photo, inspection, max_pixels=limit)
            except PhotoError as error:  # gone since
                console(stderr=True).print(
                    f"[yellow]note:[/] {escape(str(error))}: it was not drawn"
                )
            else:
                save_picture(picture, save, number, inspection.source)
        yield inspection


def _csv_rows(inspection: "Inspection", classes: Sequence[str]) -> Iterator[list[str]]:
    """Return a row for each dish, or one without a dish."""
    first, error = [inspection.source, inspection.verdict], inspection.error
    if not inspection.dishes:
        empty = [""] * (len(COLUMNS) - len(first) + len(classes))
        yield [*first, *empty, inspection.quality, error.reason if error else ""]
    for number, dish in enumerate(inspection.dishes, 1):
        probabilities = (dish.prediction.probabilities[name] for name in classes)
        yield [
            *first,
            str(number),
            *(f"{side:.1f}" for side in dish.box),
            f"{dish.score:.6f}",
            dish.label,
            f"{dish.prediction.probability:.6f}",
            *(f"{each:.6f}" for each in probabilities),
            dish.quality,
            "",
        ]


def _lines(inspection: "Inspection") -> Iterator[str]:
    name = escape(inspection.source)
    if inspection.error:
        yield f"{name}  [yellow]cannot be read:[/] {escape(inspection.error.reason)}"
        return
    verdict = inspection.verdict
    line = f"{name}  [{COLORS.get(verdict, 'bold')}]{escape(verdict)}[/]"
    if not inspection.dishes:
        yield line if inspection.quality == OK else f"{line}  ({explain(inspection.quality)})"
        return
    counts = ", ".join(f"{n} {escape(label)}" for label, n in inspection.counts.items() if n)
    number = len(inspection.dishes)
    why = f"  ({explain(CROWDED)})" if inspection.quality == CROWDED else ""
    yield f"{line}  {number} {'dish' if number == 1 else 'dishes'}: {counts}{why}"
    for dish in inspection.dishes:
        x0, y0, x1, y1 = map(round, dish.box)
        yield f"  {x0:5} {y0:5} {x1:5} {y1:5}  {describe(dish.prediction)}"
