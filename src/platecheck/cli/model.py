"""``platecheck export`` and ``platecheck model``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import shown, terminal
from platecheck.errors import MissingExtraError

# Of a split's figures, those that are kept in the file.
KEPT = {"photos", "correct", "accuracy", "accuracy_ci95", "precision", "recall", "f1", "ece"}


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "model.onnx"
    ),
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise: four times smaller, and faster.")
    ] = False,
    epoch: Annotated[int | None, typer.Option(min=1, help="Instead of the best one.")] = None,
) -> None:
    """Export a run's network as one ONNX file, and check it on the validation photos."""
    try:
        from platecheck.classifier import Classifier
        from platecheck.evaluation.evaluate import evaluate
        from platecheck.training.export import export as write
        from platecheck.training.run import Run
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Exporting", "train") from error

    opened = Run.load(run)

    def judge(exported: Classifier) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for split in ("val", "test"):
            if split not in opened.photos.splits:
                continue
            with progress_bar(f"evaluating {split}") as bar:
                evaluation = evaluate(
                    exported,
                    Path(opened.facts.data),
                    split=split,
                    division=opened.facts.division,
                    on_start=bar.start,
                    on_photo=bar.advance,
                )
            found[split] = evaluation.result.model_dump(mode="json", include=KEPT)
        return found

    report = write(opened, out, int8=int8, epoch=epoch, judge=judge)
    kind = "int8" if int8 else "float32"
    console = terminal()
    console.print(f"{shown(out)}: {kind}, {report.bytes / 1e6:.2f} MB, epoch {report.epoch}")
    console.print(
        f"checked on {report.photos} validation photos: {report.changed} answers changed,"
        f" probabilities differ by at most {report.max_difference:.2g}"
    )


def model(
    path: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The shipped model when absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print what an exported file holds."""
    from platecheck.classifier import Classifier, default_model

    info = Classifier.load(path).info
    if as_json:
        print(info.model_dump_json(indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("file", shown(path or default_model()))
    table.add_row("classes", shown(", ".join(info.classes)))
    table.add_row("input", f"{info.size}×{info.size} pixels, RGB, uint8")
    table.add_row("network", f"{shown(info.network)}, {info.precision}")
    table.add_row("recipe", f"{shown(info.recipe)}, seed {info.seed}, epoch {info.epoch}")
    table.add_row("temperature", f"{info.temperature:.4f}")
    for name, value in info.thresholds.items():
        table.add_row(shown(name), f"{value:.4f}")
    for split, figures in info.metrics.items():
        low, high = figures["accuracy_ci95"]
        table.add_row(
            shown(split),
            f"{figures['correct']}/{figures['photos']} = {figures['accuracy']:.2%}"
            f"  (95 % interval {low:.1%} to {high:.1%})",
        )
    table.add_row("data", shown(info.data_fingerprint[:16]))
    table.add_row("written by", f"platecheck {shown(info.platecheck)}")
    terminal().print(table)
