"""Models side by side, on dishes on their own and on other backgrounds: a table and a figure.

    python -m experiments.side_by_side runs/tiny_vgg plate mobile tiny --data dishes

MODEL is a run folder, an exported file or a shipped model's name; the first one is drawn as what
the others are compared with. The split is ``test``, unless told otherwise.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from platecheck.evaluation.background_evaluation import evaluate_backgrounds
from platecheck.evaluation.background_metrics import Accuracy, AccuracyGap, BackgroundMetrics
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.evaluation.plots import BLUE, GREEN, GRID, INK, MUTED, VERMILLION

FIGURE = Path("docs/images/side-by-side.png")
# What is drawn, and what it is called there.
DRAWN = {
    "original_same_dishes": "own\nbackground",
    "mixed_same": "another of\nits class\n(Mixed-Same)",
    "mixed_rand": "any other\n\n(Mixed-Rand)",
    "mixed_next": "one of the\nother class\n(Mixed-Next)",
    "worst_table": "correct on\nall of 16",
}
PURPLE = "#aa4499"
COLOURS = (VERMILLION, BLUE, PURPLE, GREEN)

# This share of the photos that are classified must be correct.
SURE = 0.995

Measured = dict[str, tuple[Evaluation, BackgroundMetrics]]


def main() -> None:
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(prog="python -m experiments.side_by_side", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--names", nargs="*", help="instead of the models', in the figure")
    options = parser.parse_args()
    measured: Measured = {}
    for path, name in zip(options.models, options.names or options.models, strict=True):
        model, split_info = load_model(path)
        evaluation = evaluate(model, options.data, split=options.split, split_info=split_info)
        measured[str(name)] = evaluation, evaluate_backgrounds(model, evaluation, seed=0).result
    print("\n".join(table(measured)))
    with mpl.rc_context({"font.size": 10, "text.color": INK, "axes.labelcolor": INK}):
        draw(measured).savefig(FIGURE, dpi=160)


def table(measured: Measured) -> list[str]:
    """Markdown: a row a figure, a column a model."""

    def row(title: str, cells: list[str]) -> str:
        return f"| {title} | {' | '.join(cells)} |"

    both = list(measured.values())
    lines = [row("", list(measured)), "|---|" + "---|" * len(measured)]
    plain = [evaluation.result for evaluation, _ in both]
    lines.append(row("Original", [share(result.correct, result.photos) for result in plain]))
    for key in ("mixed_same", "mixed_rand", "mixed_next", "worst_table", "only_bg"):
        shares: list[Accuracy] = [getattr(metrics, key) for _, metrics in both]
        lines.append(row(key, [share(found.count, found.total) for found in shares]))
    lines.append(row("BG-Gap, points", [gap(metrics.bg_gap) for _, metrics in both]))
    lines.append(row("ECE, Original", [f"{result.ece:.3f}" for result in plain]))
    covered = [coverage(evaluation) for evaluation, _ in both]
    lines.append(row(f"coverage at {SURE:.1%} accuracy, most confident first", covered))
    return [
        *lines,
        row("ECE with Mixed-Rand", [f"{m.ece_original_and_mixed_rand:.3f}" for _, m in both]),
    ]


def coverage(evaluation: Evaluation) -> str:
    """Return the most photos, most confident first, of which `SURE` are correct."""
    order = np.argsort(-evaluation.probabilities.max(axis=1), kind="stable")
    correct = evaluation.probabilities.argmax(axis=1)[order] == evaluation.labels[order]
    enough = np.cumsum(correct) >= SURE * np.arange(1, len(correct) + 1)
    return share(int(np.flatnonzero(enough).max(initial=-1)) + 1, len(correct))


def gap(found: AccuracyGap) -> str:
    """Points, with their 95 % interval."""
    low, high = found.gap_ci95
    return f"{100 * found.gap:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def share(correct: int, photos: int) -> str:
    """A count and its percentage."""
    return f"{correct}/{photos} = {correct / photos:.1%}"


def draw(measured: Measured) -> Figure:
    """Accuracy and 95 % interval of every model on every kind of background."""
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    axes = figure.subplots()
    for number, (name, (_, metrics)) in enumerate(measured.items()):
        offset = 0.17 * (number - (len(measured) - 1) / 2)
        for place, key in enumerate(DRAWN):
            found: Accuracy = getattr(metrics, key)
            low, high = (100 * end for end in found.interval or (0, 1))
            accuracy, colour = 100 * found.count / found.total, COLOURS[number % len(COLOURS)]
            axes.plot([place + offset] * 2, [low, high], color=colour, linewidth=2, alpha=0.5)
            axes.plot(
                place + offset,
                accuracy,
                "sDo^"[number % 4],
                color=colour,
                markersize=7,
                label=name if place == 0 else None,
            )
            axes.annotate(
                f"{accuracy:.0f}",
                (place + offset, high),
                xytext=(0, 2),
                textcoords="offset points",
                va="bottom",
                ha="center",
                color=colour,
                fontsize=8,
            )
    axes.axhline(50, color=MUTED, linewidth=0.8, linestyle=":")
    axes.annotate("chance", (-0.45, 50), color=MUTED, fontsize=8, va="bottom")
    axes.set_xticks(range(len(DRAWN)), list(DRAWN.values()), fontsize=9)
    axes.set_xlim(-0.5, len(DRAWN) - 0.5)
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("accuracy, % (95 % interval)")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower left", frameon=False)
    axes.set_title("The same dishes on other backgrounds", loc="left", fontsize=12)
    return figure


if __name__ == "__main__":
    main()
