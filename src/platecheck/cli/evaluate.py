"""``platecheck evaluate`` and ``platecheck report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.data import show_unreadable
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import shown, terminal
from platecheck.errors import MissingExtraError

if TYPE_CHECKING:
    from platecheck.evaluation.metrics import EvaluationResult

SHOWN_MISTAKES = 10


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(help="A run folder or an exported file; the shipped model when absent."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Photos sorted into folders.")] = ...,  # type: ignore[assignment]
    split: Annotated[
        str | None, typer.Option(help="Which split; test by default, or the only one.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unreadable photos.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Judge a model on photos: accuracy, macro figures, calibration, mistakes."""
    from platecheck.evaluation.evaluate import evaluate as judge
    from platecheck.evaluation.evaluate import load_model

    loaded, division = load_model(model)
    with progress_bar("evaluating") as bar:
        found = judge(
            loaded,
            data,
            split=split,
            division=division,
            strict=strict,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    if as_json:
        print(found.result.model_dump_json(indent=2))
        return
    _show(found.result, found.split)


def _show(result: "EvaluationResult", split: str) -> None:
    console = terminal()
    low, high = result.accuracy_ci95
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("photos", f"{result.photos} of '{shown(split)}'")
    table.add_row(
        "accuracy",
        f"[bold]{result.correct}/{result.photos} = {result.accuracy:.2%}[/]"
        f"  (95 % interval {low:.1%} to {high:.1%})",
    )
    table.add_row("macro precision", f"{result.precision:.4f}")
    table.add_row("macro recall", f"{result.recall:.4f}")
    table.add_row("macro F1", f"{result.f1:.4f}")
    table.add_row(
        "AUROC", "a class has no photos" if result.auroc is None else f"{result.auroc:.4f}"
    )
    table.add_row("calibration error", f"{result.ece:.4f}  (15 bins)")
    table.add_row("Brier score", f"{result.brier:.4f}")
    table.add_row("mean confidence", f"{result.mean_confidence:.4f}")
    console.print(table)
    classes = [shown(name) for name in result.classes]
    matrix = Table("truth \\ answer", *classes, box=None, pad_edge=False)
    for name, row in zip(classes, result.confusion_matrix, strict=True):
        matrix.add_row(name, *(str(count) for count in row))
    console.print()
    console.print(matrix)
    if result.mistakes:
        console.print(f"\n{len(result.mistakes)} mistakes, the most confident first:")
    for mistake in result.mistakes[:SHOWN_MISTAKES]:
        line = f"{mistake.path}: {mistake.label} taken for {mistake.predicted}"
        console.print(f"  {shown(line)} ({mistake.probability:.1%})")
    if len(result.mistakes) > SHOWN_MISTAKES:
        console.print(f"  … and {len(result.mistakes) - SHOWN_MISTAKES} more (--json lists all)")
    show_unreadable([f"{photo.path}: {photo.reason}" for photo in result.unreadable])


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; by default RUN/report.html.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the photos are, if they were moved.")
    ] = None,
) -> None:
    """Write one HTML page about a run: figures, curves, pictures, mistakes."""
    try:
        from platecheck.evaluation.run_report import report_run
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Reporting a run", "train") from error

    path = out or run / "report.html"
    with progress_bar("evaluating") as bar:
        report_run(run, path, data=data, on_start=bar.start, on_photo=bar.advance)
    terminal().print(f"report: {shown(path)}")
