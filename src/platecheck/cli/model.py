"""``platecheck export`` and ``platecheck model``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.options import Json, Moved, RunFolder, complete_any_model
from platecheck.cli.terminal import console, escape
from platecheck.errors import DataError, MissingExtraError
from platecheck.files import check_writable
from platecheck.model_info import match_classes

if TYPE_CHECKING:
    from platecheck.export.detector import DetectorReport


def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Output file.")] = Path("model.onnx"),
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to int8: four times smaller, and faster.")
    ] = False,
    epoch: Annotated[
        int | None, typer.Option(min=1, help="Epoch to export \\[default: the best].")
    ] = None,
    max_missed_dirty: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Maximum share of dirty dishes among those predicted clean; else unsure.",
        ),
    ] = None,
    max_false_alarm: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Maximum share of clean dishes among those predicted dirty; else unsure.",
        ),
    ] = None,
    cost: Annotated[
        float | None, typer.Option(min=0, help="Cost of a missed dirty dish, in false alarms.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, help="Side of a detector's input \\[default: the recipe's]."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Minimum score of a dish \\[default: chosen on validation]."
        ),
    ] = None,
    data: Moved = None,
) -> None:
    """Export a run as one ONNX file and check it on the validation photos."""
    try:
        from platecheck.export.detector import export_detector
        from platecheck.export.onnx import export as export_run
        from platecheck.training.run import Run
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Exporting", "train") from error
    from platecheck.classifier import Classifier

    check_writable(out)
    opened = Run.load(run, data=data)
    if opened.recipe.detection:
        if any(each is not None for each in (max_missed_dirty, max_false_alarm, cost)):
            raise DataError(f"{run} finds dishes; a guarantee needs a run that classifies them")
        _show_detector(
            export_detector(opened, out, int8=int8, epoch=epoch, threshold=threshold, size=size)
        )
        return
    if size is not None or threshold is not None:
        raise DataError("--size and --threshold are for detectors")
    wrong = _error_rates(opened.facts.classes, max_missed_dirty, max_false_alarm, cost)
    report = export_run(opened, out, int8=int8, epoch=epoch, wrong=wrong)
    info, stdout = Classifier.load(out).info, console()
    stdout.print(
        f"{escape(out)}: {info.precision}, {report.bytes / 1e6:.2f} MB, epoch {report.epoch}"
    )
    stdout.print(
        f"checked on {report.photos} validation photos: {report.changed} predictions changed,"
        f" probabilities differ by at most {report.max_difference:.2g}"
    )
    never = [name for name, least in info.thresholds.items() if least > 1]
    if never:
        console(stderr=True).print(
            f"[bold yellow]never predicted:[/] {', '.join(map(escape, never))}: too few validation"
            f" photos ({report.photos}) for this guarantee; allow a higher error rate, export"
            " without a guarantee, or add photos"
        )


def _show_detector(report: "DetectorReport") -> None:
    info, stdout = report.info, console()
    stdout.print(
        f"{escape(report.path)}: {info.precision}, {report.bytes / 1e6:.2f} MB,"
        f" epoch {report.epoch}"
    )
    stdout.print(
        f"scores differ by at most {report.max_difference:.2g};"
        f" dishes have a score of {info.threshold:.2f} or more"
    )
    for split, figures in info.metrics.items():
        counts = figures["all"]
        stdout.print(
            f"{split}: {counts['found']} of {counts['dishes']} dishes found, nothing in"
            f" {counts['silent']} of {counts['empty']} photos without dishes"
        )


def _error_rates(
    classes: Sequence[str], missed: float | None, alarm: float | None, cost: float | None
) -> dict[str, float] | None:
    """Return the maximum error rate per predicted class; None: no guarantee."""
    if missed is None and alarm is None and cost is None:
        return None
    options = {"--max-missed-dirty": missed, "--max-false-alarm": alarm, "--cost": cost}
    for name, value in options.items():
        if value is not None and not 0 < value < math.inf:
            raise DataError(f"{name} must be a number above 0, not {value:g}")
    clean, dirty = match_classes(["clean", "dirty"], classes)
    if clean is None or dirty is None or len(classes) != 2:
        raise DataError(f"a guarantee needs the classes clean and dirty, not {', '.join(classes)}")
    if cost is not None:
        if (missed is None) == (alarm is None):
            raise DataError("--cost needs one of --max-missed-dirty and --max-false-alarm")
        if missed is not None:
            alarm = missed * cost
        elif alarm is not None:
            missed = alarm / cost
    # A rate of 1 means no guarantee.
    shares = {classes[clean]: missed, classes[dirty]: alarm}
    return {name: 1.0 if share is None else min(1.0, share) for name, share in shares.items()}


def model(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A file, plate, mobile, tiny or dishes \\[default: plate].",
            autocompletion=complete_any_model,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the metadata of an exported model."""
    from platecheck.classifier import Classifier, find_model
    from platecheck.cli.detection import finds_dishes, show_detector

    if path is not None and finds_dishes(path):
        show_detector(path, as_json=as_json)
        return
    info = Classifier.load(path).info
    if as_json:
        print(info.model_dump_json(indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("file", escape(find_model(path)))
    table.add_row("classes", escape(", ".join(info.classes)))
    table.add_row("input", f"{info.size}×{info.size} pixels, RGB, uint8")
    table.add_row("network", f"{escape(info.network)}, {info.precision}")
    table.add_row("recipe", f"{escape(info.recipe)}, seed {info.seed}, epoch {info.epoch}")
    table.add_row("temperature", f"{info.temperature:.4f}")
    for name, value in info.thresholds.items():
        answered = f"at {value:.1%} or more"
        if value > 1:
            answered = "never: too few validation photos for the guarantee"
        elif info.error_guarantee:
            answered += f": of these at most {info.error_guarantee.wrong[name]:.1%} are wrong"
        table.add_row(f"predicts {escape(name)}", answered)
    if info.error_guarantee:
        table.add_row(
            "else unsure", f"{1 - info.error_guarantee.answered:.1%} of validation photos"
        )
    if info.ood_threshold is not None:
        table.add_row("not a dish", f"above an OOD score of {info.ood_threshold:.3f}")
    for split, figures in info.metrics.items():
        low, high = figures["accuracy_ci95"]
        table.add_row(
            escape(split),
            f"{figures['correct']}/{figures['photos']} = {figures['accuracy']:.2%}"
            f"  (95 % interval {low:.1%} to {high:.1%})",
        )
    table.add_row("data", escape(info.data_fingerprint[:16]))
    table.add_row("written by", f"platecheck {escape(info.platecheck)}")
    console().print(table)
