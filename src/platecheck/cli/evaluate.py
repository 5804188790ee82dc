"""``platecheck evaluate`` and ``platecheck report``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.background_table import show_tables
from platecheck.cli.data import show_notes, show_unreadable
from platecheck.cli.models import complete_model
from platecheck.cli.options import Data, Json, Moved, RunFolder, Split, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import show_first, shown, terminal
from platecheck.errors import MissingExtraError
from platecheck.files import check_writable

if TYPE_CHECKING:
    from platecheck.classifier import Model
    from platecheck.evaluation.answers import DecisionMetrics
    from platecheck.evaluation.background_metrics import BackgroundMetrics
    from platecheck.evaluation.evaluate import Evaluation
    from platecheck.evaluation.metrics import EvaluationResult


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder, an exported file, plate or tiny; plate when absent.",
            autocompletion=complete_model,
        ),
    ] = None,
    data: Data = ...,  # type: ignore[assignment]
    split: Split = None,
    strict: Strict = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="Also put the dishes on other tables.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the tables.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge a model on photos: accuracy, macro figures, calibration, mistakes, tables."""
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
    show_notes(found.notes)
    answers = _judge_answers(loaded, found)
    other_tables = _measure_tables(loaded, found, seed) if tables else None
    if as_json:
        result = found.result.model_dump(mode="json")
        if answers:
            result["answers"] = answers.model_dump(mode="json")
        if other_tables:
            result["tables"] = other_tables.model_dump(mode="json")
        print(json.dumps(result, indent=2))
        raise typer.Exit(1 if found.result.unreadable else 0)
    _show(found.result, found.split)
    if answers:
        _show_answers(answers)
    if other_tables:
        show_tables(other_tables, found.result.classes)
    raise typer.Exit(1 if found.result.unreadable else 0)


def _judge_answers(model: "Model", found: "Evaluation") -> "DecisionMetrics | None":
    from platecheck.classifier import Classifier
    from platecheck.evaluation.answers import evaluate_decisions

    if not isinstance(model, Classifier) or found.answers is None:
        return None
    if not model.info.thresholds and model.info.ood_threshold is None:
        return None
    return evaluate_decisions(found.answers, found.labels, model.classes)


def _show_answers(figures: "DecisionMetrics") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("answered", str(figures.coverage))
    table.add_row("right of these", str(figures.accuracy))
    for name, share in figures.wrong.items():
        table.add_row(f"called {shown(name)}, and is not", str(share))
    for name, share in figures.missed.items():
        table.add_row(f"{shown(name)}, and called otherwise", str(share))
    table.add_row("unsure", str(figures.unsure))
    table.add_row("not a dish", str(figures.no_dish))
    console = terminal()
    console.print("\nWith the answers unsure and not a dish:")
    console.print(table)


def _measure_tables(model: "Model", found: "Evaluation", seed: int) -> "BackgroundMetrics":
    try:
        from platecheck.evaluation.background_evaluation import evaluate_backgrounds
    except ModuleNotFoundError as error:
        raise MissingExtraError("Exchanging tables", "data") from error

    with progress_bar("exchanging tables") as bar:
        return evaluate_backgrounds(
            model, found, seed=seed, on_start=bar.start, on_photo=bar.advance
        ).result


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
    baseline = result.majority_baseline
    colour = "default" if baseline.verdict == "better" else "yellow"
    console.print(f"[{colour}]{shown(str(baseline))}[/]")
    classes = [shown(name) for name in result.classes]
    matrix = Table("truth \\ answer", *classes, box=None, pad_edge=False)
    for name, row in zip(classes, result.confusion_matrix, strict=True):
        matrix.add_row(name, *(str(count) for count in row))
    console.print()
    console.print(matrix)
    if result.mistakes:
        console.print(f"\n{len(result.mistakes)} mistakes, the most confident first:")
    lines = [
        f"{m.path}: {m.label} taken for {m.predicted} ({m.probability:.1%})"
        for m in result.mistakes
    ]
    show_first(lines, console, hint=" (--json lists all)")
    show_unreadable([f"{photo.path}: {photo.reason}" for photo in result.unreadable])


def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; by default RUN/report.html.")
    ] = None,
    data: Moved = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="Also put the dishes on other tables; takes minutes.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the tables.")] = 0,
) -> None:
    """Write one HTML page about a run: figures, curves, pictures, mistakes."""
    try:
        from platecheck.evaluation.run_report import report_run
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Reporting a run", "train") from error

    path = out or run / "report.html"
    check_writable(path)
    with progress_bar("evaluating") as bar:
        report_run(
            run,
            path,
            data=data,
            tables=tables,
            seed=seed,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    terminal().print(f"report: {shown(path)}")
