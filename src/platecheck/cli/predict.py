"""``platecheck predict``."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platecheck.cli.models import complete_model
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import shown, terminal
from platecheck.errors import DataError, ModelError
from platecheck.files import check_writable

if TYPE_CHECKING:
    from platecheck.classifier import Prediction

STDIN = "-"
COLORS = {"clean": "green", "dirty": "red", "unsure": "yellow", "not a dish": "yellow"}


def predict(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO|FOLDER|-…", help="- reads one photo from stdin.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="An exported file, plate or tiny; plate when absent.",
            autocompletion=complete_model,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for machines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    heatmap: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each photo with its dirt in colour.")
    ] = None,
) -> None:
    """Say for each photo which class it is of; exit code 1 when one cannot be opened."""
    from platecheck.classifier import Classifier

    if as_json and as_csv:
        raise DataError("choose one of --json and --csv")
    if heatmap:
        check_writable(heatmap, folder=True)
    classifier = Classifier.load(model)
    if heatmap and not classifier.gives_evidence:
        raise ModelError("this model does not say where the dirt is: --heatmap needs one that does")
    sources = list(_sources(photos))
    failed = False
    with progress_bar("predicting", len(sources)) as bar:

        def answers() -> Iterator["Prediction"]:
            nonlocal failed
            for number, answer in enumerate(classifier.predict_many(_opened(sources)), 1):
                failed |= answer.error is not None
                if heatmap and answer.evidence is not None:
                    _draw(answer, heatmap, number)
                bar.advance()
                yield answer

        if as_json:
            _print_json(answers())
        elif as_csv:
            _print_csv(answers(), classifier.classes)
        else:
            _print_table(answers(), width=min(60, max(map(len, sources))))
    if failed:
        raise typer.Exit(1)


def _draw(answer: "Prediction", folder: Path, number: int) -> None:
    """Write one overlay; the number keeps photos of one name apart."""
    from platecheck.files import replacing
    from platecheck.heatmap import overlay

    if answer.source == _Stdin.name:
        return  # it has been read and is gone
    assert answer.evidence is not None
    picture = overlay(answer.source, answer.evidence)
    with replacing(folder / f"{number:04d}-{Path(answer.source).stem}.jpg") as temporary:
        picture.save(temporary, quality=90)


def _sources(arguments: Iterable[str]) -> Iterator[str]:
    """Paths of photos; folders are searched at any depth, but "" is not the current one.

    Raises:
        DataError: a folder without photos.
    """
    from platecheck.data.folders import photos_below

    for argument in arguments:
        if argument in (STDIN, "") or not Path(argument).is_dir():
            yield argument
        else:
            found = [str(path) for path in photos_below(Path(argument))]
            if not found:
                raise DataError(f"{argument} holds no photos")
            yield from found


class _Stdin(io.BytesIO):
    """Standard input, under a name that people understand."""

    name = "<stdin>"


def _opened(sources: Iterable[str]) -> Iterator[str | _Stdin]:
    from platecheck.photo import MAX_BYTES

    for source in sources:
        yield _Stdin(sys.stdin.buffer.read(MAX_BYTES + 1)) if source == STDIN else source


def _print_json(answers: Iterable["Prediction"]) -> None:
    print(json.dumps([answer.as_dict() for answer in answers], indent=2))


def _print_csv(answers: Iterable["Prediction"], classes: Iterable[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(classes)
    writer.writerow(["photo", "label", "probability", *names, "error"])
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
            console.print(f"{name}  [{color}]{shown(answer.label)}[/]  {answer.probability:.1%}")
