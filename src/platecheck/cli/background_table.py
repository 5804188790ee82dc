"""Output of ``platecheck evaluate --backgrounds``."""

from typing import TYPE_CHECKING

from rich.table import Table

from platecheck.cli.terminal import console, escape

if TYPE_CHECKING:
    from platecheck.evaluation.background_metrics import Accuracy, AccuracyGap, BackgroundMetrics


def show_backgrounds(result: "BackgroundMetrics", classes: list[str]) -> None:
    """Print the metrics and a conclusion."""
    from platecheck.evaluation.background_metrics import describe_left_out, metric_rows, verdict

    stdout = console()
    table = Table(
        "other backgrounds", "correct", "percent", "95 % interval", "", box=None, pad_edge=False
    )
    for name, metric, description in metric_rows(result, len(classes)):
        table.add_row(name, *_cells(metric), escape(description))
    ece = f"{result.ece_original_and_mixed_rand:.4f}"
    table.add_row("calibration error", "", ece, "", "Original and Mixed-Rand")
    stdout.print()
    stdout.print(table)
    stdout.print()
    _show_groups(result)
    stdout.print(f"\n{describe_left_out(result)}")
    stdout.print(f"\n[bold]{verdict(result, len(classes))}[/]")


def _show_groups(result: "BackgroundMetrics") -> None:
    worst = result.worst_group
    labels = list(dict.fromkeys(group.label for group in worst.groups))
    table = Table(
        "background group", *(escape(label) for label in labels), box=None, pad_edge=False
    )
    for cluster in worst.kinds:
        by_label = {group.label: group for group in worst.groups if group.kind == cluster.kind}
        cells = [
            f"{by_label[label].correct}/{by_label[label].photos}" if label in by_label else "–"
            for label in labels
        ]
        color = cluster.colour
        table.add_row(f"{cluster.kind} [on {color}]    [/] {color}", *cells)
    console().print(table)


def _cells(metric: "Accuracy | AccuracyGap") -> tuple[str, str, str]:
    from platecheck.evaluation.background_metrics import AccuracyGap

    if isinstance(metric, AccuracyGap):
        low, high = metric.gap_ci95
        return "", f"{100 * metric.gap:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
    low, high = metric.accuracy_ci95
    correct = f"{metric.correct}/{metric.photos}"
    return correct, f"{100 * metric.accuracy:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"
