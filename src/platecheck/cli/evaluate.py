"""``platecheck evaluate`` and ``platecheck report``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.data import show_notes, show_unreadable
from platecheck.cli.detection import evaluate_boxes, finds_dishes
from platecheck.cli.options import (
    Backgrounds,
    Data,
    Json,
    Moved,
    Plot,
    Robust,
    RunFolder,
    Seed,
    Split,
    Strict,
    Tables,
    complete_any_model,
)
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError, MissingExtraError, warn_renamed
from platecheck.files import check_writable

if TYPE_CHECKING:
    from platecheck.classifier import Model
    from platecheck.evaluation.background_metrics import BackgroundMetrics
    from platecheck.evaluation.evaluate import Evaluation
    from platecheck.evaluation.metrics import DecisionMetrics, EvaluationResult, Proportion
    from platecheck.evaluation.robustness import Robustness


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, exported file, plate, mobile, tiny or dishes; default: plate.",
            autocompletion=complete_any_model,
        ),
    ] = None,
    data: Data = ...,  # type: ignore[assignment]
    split: Split = None,
    strict: Strict = False,
    backgrounds: Backgrounds = False,
    robustness: Robust = False,
    plot: Plot = None,
    seed: Seed = 0,
    as_json: Json = False,
    tables: Tables = False,
) -> None:
    """Evaluate a model: accuracy, macro metrics, calibration, mistakes, backgrounds, robustness.

    A detector is evaluated on photos with boxes: a folder in YOLO format, or a YAML file.
    """
    if model is not None and finds_dishes(model):
        if backgrounds or tables or robustness or plot:
            raise DataError(f"{model} finds dishes; --backgrounds, --robustness need a classifier")
        evaluate_boxes(model, data, split=split, strict=strict, as_json=as_json)
        return
    from platecheck.evaluation.evaluate import evaluate as evaluate_model
    from platecheck.evaluation.evaluate import load_model

    if tables:
        warn_renamed("--tables", "--backgrounds")
    if plot:
        _check_plot(plot, robustness)
    loaded, split_info = load_model(model)
    with progress_bar("evaluating") as bar:
        found = evaluate_model(
            loaded,
            data,
            split=split,
            split_info=split_info,
            strict=strict,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    show_notes(found.notes)
    decisions = _decision_metrics(loaded, found)
    swapped = _evaluate_backgrounds(loaded, found, seed) if backgrounds or tables else None
    changed = _evaluate_robustness(loaded, found, seed, plot) if robustness else []
    if as_json:
        result = found.result.model_dump(mode="json")
        for key, more in (("answers", decisions), ("tables", swapped)):
            if more:
                result[key] = more.model_dump(mode="json")
        if changed:
            result["robustness"] = [row.model_dump(mode="json") for row in changed]
        print(json.dumps(result, indent=2))
    else:
        _show(found.result, found.split)
        if decisions:
            _show_decisions(decisions)
        if swapped:
            _show_backgrounds(swapped, found.result.classes)
        if changed:
            _show_robustness(changed)
    raise typer.Exit(1 if found.result.unreadable else 0)


def _decision_metrics(model: "Model", found: "Evaluation") -> "DecisionMetrics | None":
    from platecheck.classifier import Classifier
    from platecheck.evaluation.metrics import evaluate_decisions

    if not isinstance(model, Classifier) or found.decisions is None:
        return None
    if not model.info.thresholds and model.info.ood_threshold is None:
        return None
    return evaluate_decisions(found.decisions, found.labels, model.classes)


def _check_plot(path: Path, robustness: bool) -> None:
    if not robustness:
        raise DataError("--plot draws the table of --robustness")
    if path.suffix.lower() not in (".png", ".svg"):
        raise DataError(f"{path}: plots are saved as .png or .svg")
    check_writable(path)


def _evaluate_backgrounds(model: "Model", found: "Evaluation", seed: int) -> "BackgroundMetrics":
    try:
        from platecheck.evaluation.background_evaluation import evaluate_backgrounds
    except ModuleNotFoundError as error:
        raise MissingExtraError("Swapping backgrounds", "data") from error
    with progress_bar("swapping backgrounds") as bar:
        return evaluate_backgrounds(
            model, found, seed=seed, on_start=bar.start, on_photo=bar.advance
        ).result


def _evaluate_robustness(
    model: "Model", found: "Evaluation", seed: int, plot: Path | None
) -> "list[Robustness]":
    try:
        from platecheck.evaluation import plots
        from platecheck.evaluation.robustness import evaluate_robustness
    except ModuleNotFoundError as error:
        raise MissingExtraError("Changing photos", "data") from error
    with progress_bar("changing photos") as bar:
        rows = evaluate_robustness(
            model, found.photos, seed=seed, on_start=bar.start, on_photo=bar.advance
        )
    if plot:
        plots.save(plots.robustness(rows, f"Changed photos of '{found.split}'"), plot)
    return rows


def _show(result: "EvaluationResult", split: str) -> None:
    stdout = console()
    low, high = result.accuracy_ci95
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("photos", f"{result.photos} of '{escape(split)}'")
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
    stdout.print(table)
    baseline = result.majority_baseline
    color = "default" if baseline.verdict == "better" else "yellow"
    stdout.print(f"[{color}]{escape(str(baseline))}[/]")
    classes = [escape(name) for name in result.classes]
    matrix = Table("true \\ predicted", *classes, box=None, pad_edge=False)
    for name, row in zip(classes, result.confusion_matrix, strict=True):
        matrix.add_row(name, *(str(count) for count in row))
    stdout.print()
    stdout.print(matrix)
    if result.mistakes:
        stdout.print(f"\n{len(result.mistakes)} mistakes, most confident first:")
    lines = [
        f"{m.path}: {m.label} predicted as {m.predicted} ({m.probability:.1%})"
        for m in result.mistakes
    ]
    show_first(lines, stdout, hint=" (--json lists all)")
    show_unreadable([f"{photo.path}: {photo.reason}" for photo in result.unreadable])


def _show_decisions(metrics: "DecisionMetrics") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("classified", str(metrics.coverage))
    table.add_row("selective accuracy", str(metrics.accuracy))
    for name, proportion in metrics.wrong.items():
        table.add_row(f"predicted {escape(name)}, wrong", str(proportion))
    for name, proportion in metrics.missed.items():
        table.add_row(f"true {escape(name)}, missed", str(proportion))
    table.add_row("unsure", str(metrics.unsure))
    table.add_row("not a dish", str(metrics.no_dish))
    stdout = console()
    stdout.print("\nWith the labels unsure and not a dish:")
    stdout.print(table)


def _show_backgrounds(metrics: "BackgroundMetrics", classes: list[str]) -> None:
    stdout = console()
    headers = ("other backgrounds", "correct", "accuracy", "95 % interval", "")
    table = Table(*headers, box=None, pad_edge=False)
    for row in metrics.rows(len(classes)):
        table.add_row(*map(escape, row))
    stdout.print()
    stdout.print(table)
    stdout.print()
    table = Table("background group", *map(escape, classes), box=None, pad_edge=False)
    groups = {(group.kind, group.label): group for group in metrics.worst_group.groups}
    for cluster in metrics.worst_group.kinds:
        cells = [groups.get((cluster.kind, name)) for name in classes]
        counts = [f"{cell.count}/{cell.total}" if cell else "–" for cell in cells]
        table.add_row(f"{cluster.kind} [on {cluster.colour}]    [/] {cluster.colour}", *counts)
    stdout.print(table)
    stdout.print(f"\n{metrics.describe_left_out()}")
    stdout.print(f"\n[bold]{metrics.verdict(len(classes))}[/]")


def _short(share: "Proportion") -> str:
    if share.value is None or share.interval is None:
        return "–"
    low, high = share.interval
    return f"{share.count}/{share.total} = {share.value:.0%} ({low:.0%} to {high:.0%})"


def _show_robustness(rows: "list[Robustness]") -> None:
    names = ("changed", "most probable is right", "dirty, called clean", "undecided")
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        cells = map(_short, (row.correct, row.dangerous))
        table.add_row(row.change, *cells, f"{row.undecided.count}/{row.undecided.total}")
    stdout = console()
    stdout.print()
    stdout.print(table)


def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output file; default: RUN/report.html.")
    ] = None,
    data: Moved = None,
    backgrounds: Backgrounds = False,
    seed: Seed = 0,
    tables: Tables = False,
) -> None:
    """Write an HTML report of a run: metrics, curves, predictions, mistakes."""
    try:
        from platecheck.report.run import report_run
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Reporting a run", "train") from error

    if tables:
        warn_renamed("--tables", "--backgrounds")
    path = out or run / "report.html"
    check_writable(path)
    with progress_bar("evaluating") as bar:
        report_run(
            run,
            path,
            data=data,
            backgrounds=backgrounds or tables,
            seed=seed,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    console().print(f"report: {escape(path)}")
