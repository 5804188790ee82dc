"""What ``platecheck evaluate --tables`` prints."""

from typing import TYPE_CHECKING

from rich.table import Table

from platecheck.cli.terminal import console, escape

if TYPE_CHECKING:
    from platecheck.evaluation.background_metrics import BackgroundMetrics, Gap, Proportion


def show_tables(result: "BackgroundMetrics", classes: list[str]) -> None:
    """Print the figures, and in plain words what they say."""
    from platecheck.evaluation.background_metrics import left_out, meanings, verdict

    stdout = console()
    table = Table(
        "on other tables", "right", "percent", "95 % interval", "", box=None, pad_edge=False
    )
    for name, figure, meaning in meanings(result, len(classes)):
        table.add_row(name, *_cells(figure), escape(meaning))
    ece = f"{result.ece_original_and_mixed_rand:.4f}"
    table.add_row("calibration error", "", ece, "", "Original and Mixed-Rand")
    stdout.print()
    stdout.print(table)
    stdout.print()
    _show_groups(result)
    stdout.print(f"\n{left_out(result)}")
    stdout.print(f"\n[bold]{verdict(result, len(classes))}[/]")


def _show_groups(result: "BackgroundMetrics") -> None:
    worst = result.worst_group
    labels = list(dict.fromkeys(group.label for group in worst.groups))
    table = Table("kind of table", *(escape(label) for label in labels), box=None, pad_edge=False)
    for kind in worst.kinds:
        shares = {group.label: group for group in worst.groups if group.kind == kind.kind}
        cells = [
            f"{shares[label].correct}/{shares[label].photos}" if label in shares else "–"
            for label in labels
        ]
        table.add_row(f"{kind.kind} [on {kind.colour}]    [/] {kind.colour}", *cells)
    console().print(table)


def _cells(figure: "Proportion | Gap") -> tuple[str, str, str]:
    from platecheck.evaluation.background_metrics import Gap

    if isinstance(figure, Gap):
        low, high = figure.gap_ci95
        return "", f"{100 * figure.gap:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
    low, high = figure.accuracy_ci95
    right = f"{figure.correct}/{figure.photos}"
    return right, f"{100 * figure.accuracy:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"
