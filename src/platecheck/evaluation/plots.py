"""Plots of a run: curves, confusion matrix, reliability diagram, predictions.

Each function returns a new `Figure` and does not touch matplotlib's global state. Colors are from
the color-blind safe palette of Okabe and Ito; none carries meaning alone.
"""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import platecheck.data.cache  # noqa: F401 (sets matplotlib's cache folder)
from platecheck.errors import DataError, MissingExtraError
from platecheck.evaluation.metrics import Reliability, wilson_interval
from platecheck.files import replacing

if TYPE_CHECKING:
    from platecheck.evaluation.robustness import Robustness

logging.getLogger("matplotlib").setLevel(logging.ERROR)

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator, PercentFormatter
except ModuleNotFoundError as error:
    raise MissingExtraError("Plotting", "evaluate") from error

INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e4e8ec"
BLUE = "#0072b2"
GREEN = "#009e73"
VERMILLION = "#d55e00"
WIDTH = 5.6  # inches: readable at 330 px on a phone


@dataclass(frozen=True, eq=False)
class PredictedPhoto:
    """A photo, uint8 [H, W, 3], and its prediction; `name` is its caption, such as the path.

    `truth` is the name of the true class, if known.
    """

    pixels: NDArray[np.uint8]
    predicted: str
    probability: float
    truth: str | None = None
    name: str = ""

    @classmethod
    def from_probabilities(
        cls,
        pixels: NDArray[np.uint8],
        probabilities: NDArray[np.floating[Any]],
        classes: Sequence[str],
        truth: str | None,
        name: str,
    ) -> "PredictedPhoto":
        """Predict the most probable class, given `probabilities` [C]."""
        best = int(probabilities.argmax())
        return cls(pixels, classes[best], float(probabilities[best]), truth, name)

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is correct; None if the true class is unknown."""
        return None if self.truth is None else self.predicted == self.truth


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None = None) -> Figure:
    """Plot loss and accuracy or AP50 by epoch, and the learning rate if it changes.

    Args:
        history: one row per epoch with the keys epoch (from 1), train_loss, val_loss,
            train_accuracy and val_accuracy (in [0, 1]) or, of a detector, val_ap50, and
            learning_rate. NaN leaves a gap.
        best_epoch: epoch to mark; by default the one with the lowest validation loss, or the
            highest AP50.

    Raises:
        DataError: the history is empty or lacks `best_epoch`.
    """
    if not history:
        raise DataError("There are no epochs to plot.")
    column = {key: np.array([row[key] for row in history], float) for key in history[0]}
    epochs = column["epoch"]
    second, worse = "accuracy", column["val_loss"]
    if "val_ap50" in column:
        second, worse = "AP50", -column["val_ap50"]
    if best_epoch is None and np.isfinite(worse).any():
        best_epoch = int(epochs[::-1][np.nanargmin(worse[::-1])])
    if best_epoch is not None and best_epoch not in epochs:
        raise DataError(f"The best epoch, {best_epoch}, is not in the history.")

    rate = column["learning_rate"]
    rate_changes = len(np.unique(rate)) > 1
    heights = [3, 3, 0.9] if rate_changes else [3, 3]
    figure = _figure(WIDTH, 0.85 * sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    dot = "o" if len(epochs) == 1 else ""  # a line of one point is invisible
    for axes, key in zip(panels, ("loss", second), strict=False):
        _tidy(axes, key[0].upper() + key[1:])
        train, validation = column.get(f"train_{key}"), column[f"val_{key.lower()}"]
        if train is not None:
            axes.plot(epochs, train, "--", marker=dot, color=MUTED, linewidth=1.6, label="training")
        axes.plot(epochs, validation, marker=dot, color=BLUE, linewidth=2, label="validation")
        axes.legend(frameon=False, labelcolor=INK, fontsize=10)
        if best_epoch is not None:
            best = validation[epochs == best_epoch][0]
            value = f"{best:.1%}" if key == second else f"{best:.3f}"
            axes.set_title(f"best: epoch {best_epoch}, {value}", loc="right", color=BLUE, size=10)
            axes.axvline(best_epoch, color=INK, linewidth=0.8, linestyle=":")
            axes.plot([best_epoch], [best], "o", color=BLUE, markersize=8, markeredgecolor="white")
    panels[0].update_datalim([(epochs[0], 0)])
    panels[0].autoscale_view()
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(min(0.45, panels[1].get_ylim()[0]), 1.01)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    if rate_changes:
        _tidy(panels[2], "Learning rate")
        panels[2].plot(epochs, rate, color=MUTED, linewidth=1.2, drawstyle="steps-mid")
        panels[2].set_ylim(bottom=0)
    panels[-1].set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    panels[-1].xaxis.set_major_locator(
        MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )
    panels[-1].set_xlabel("epoch", color=MUTED, fontsize=10)
    return figure


def confusion_matrix(
    matrix: NDArray[np.integer[Any]] | Sequence[Sequence[int]],
    classes: Sequence[str],
    title: str = "Confusion matrix",
) -> Figure:
    """Plot counts [C, C] and their proportion of the row; rows are true classes.

    Correct cells are green and marked ✓, wrong ones orange and marked ✗.
    """
    counts = np.asarray(matrix)
    size = len(classes)
    if counts.shape != (size, size):
        raise DataError(f"{size} classes need a {size}×{size} matrix, not {list(counts.shape)}.")
    totals = counts.sum(axis=1, keepdims=True)
    rates = counts / np.maximum(totals, 1)

    side = min(max(2.6 + 0.9 * size, 4.4), 12)
    figure = _figure(side, 0.92 * side, fixed_aspect=True)
    axes = figure.subplots()
    _tidy(axes, title, grid=False)
    correct = np.eye(size, dtype=bool)
    for cells, colors in ((correct, ["#d9f0e8", GREEN]), (~correct, ["#fbe3d4", VERMILLION])):
        tint = LinearSegmentedColormap.from_list("", colors).with_extremes(under="#f4f6f8")
        masked = np.ma.masked_where(~cells, rates)  # 0 is below vmin, drawn gray
        axes.pcolormesh(masked, cmap=tint, vmin=1e-9, vmax=1.25, edgecolors="white", linewidth=3)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    font = min(18, 10 * side / size)
    for (row, column), count in np.ndenumerate(counts):
        percent = f"{rates[row, column]:.1%}" if totals[row, 0] else "–"
        middle = column + 0.5
        mark = "✓" if row == column else "✗"
        axes.text(middle, row + 0.3, mark, color=INK, ha="center", va="bottom", size=0.7 * font)
        axes.text(middle, row + 0.6, f"{count}", color=INK, ha="center", va="bottom", size=font)
        axes.text(middle, row + 0.64, percent, color=INK, ha="center", va="top", size=0.65 * font)
    places = np.arange(size) + 0.5
    names = [_shorten(name) for name in classes]
    axes.set_xticks(places, names, parse_math=False)
    if size > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names, parse_math=False)
    axes.tick_params(length=0, labelsize=11, labelcolor=INK)
    axes.set_xlabel("predicted", color=MUTED, fontsize=10)
    axes.set_ylabel("true", color=MUTED, fontsize=10)
    axes.spines[:].set_visible(False)
    return figure


def reliability_diagram(reliability: Reliability, title: str = "Reliability") -> Figure:
    """Plot accuracy against confidence, and the number of photos in each bin."""
    filled = reliability.count > 0
    left, width = reliability.edges[:-1][filled], np.diff(reliability.edges)[filled]
    accuracy, count = reliability.accuracy[filled], reliability.count[filled]
    intervals = np.array(
        [wilson_interval(round(a * n), n) for a, n in zip(accuracy, count.tolist(), strict=True)]
    )
    figure = _figure(WIDTH, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])

    _tidy(upper, f"{_shorten(title, 30)} (ECE {reliability.ece:.3f}, {count.sum()} photos)")
    upper.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1.2, label="perfectly calibrated")
    upper.errorbar(
        reliability.confidence[filled],
        accuracy,
        yerr=np.abs(intervals - accuracy[:, None]).T,
        fmt="o",
        color=BLUE,
        ecolor="#8fc3e3",
        elinewidth=2,
        label="accuracy, 95% interval",
    )
    upper.set_ylim(0, 1.02)
    upper.set_xlim(min(left[0], 0.5), 1.005)
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    upper.legend(frameon=False, labelcolor=INK, fontsize=10, loc="lower right")

    _tidy(lower, "Photos")
    lower.bar(left, count, width, align="edge", color=MUTED, edgecolor="white", linewidth=1)
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    lower.set_xlabel("probability of the predicted class", color=MUTED, fontsize=10)
    return figure


def precision_recall_curve(
    precision: NDArray[np.floating[Any]],
    recall: NDArray[np.floating[Any]],
    chosen: tuple[float, float],
    title: str,
) -> Figure:
    """Plot precision against recall [D]; `chosen` is the recall and precision at the threshold."""
    figure = _figure(WIDTH, 4)
    axes = figure.subplots()
    _tidy(axes, title)
    axes.plot(recall, precision, color=BLUE, linewidth=2)
    axes.plot(*chosen, "o", color=BLUE, markersize=8, markeredgecolor="white", label="threshold")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("recall: dishes found", color=MUTED, fontsize=10)
    axes.set_ylabel("precision", color=MUTED, fontsize=10)
    axes.legend(frameon=False, labelcolor=INK, fontsize=10, loc="lower left")
    return figure


def robustness(rows: "Sequence[Robustness]", title: str) -> Figure:
    """Plot by change how many photos are right, and how many dirty ones are called clean."""
    figure = _figure(WIDTH, 1.4 + 0.42 * len(rows))
    axes = figure.subplots()
    _tidy(axes, _shorten(title, 40))
    places = np.arange(len(rows))
    for key, marker, color, name in (
        ("correct", "o", BLUE, "right class is the most probable"),
        ("dangerous", "X", VERMILLION, "dirty, called clean"),
    ):
        found = [getattr(row, key) for row in rows]
        shown = np.array([each.total > 0 for each in found])
        share = np.array([each.value or 0 for each in found])[shown]
        ends = np.array([each.interval or (0, 0) for each in found])[shown]
        axes.errorbar(
            share,
            places[shown],
            xerr=np.abs(ends - share[:, None]).T,
            fmt=marker,
            color=color,
            markersize=7,
            markeredgecolor="white",
            label=name,
        )
    axes.set_yticks(places, [row.change for row in rows], color=INK, fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(frameon=False, labelcolor=INK, fontsize=10, loc="outside lower center", ncols=2)
    return figure


def prediction_grid(photos: Sequence[PredictedPhoto], columns: int = 6) -> Figure:
    """Plot photos with predictions; ✓ and a thin frame: correct, ✗ and a dashed one: wrong."""
    if not photos:
        raise DataError("There are no photos to plot.")
    columns = min(columns, len(photos))
    rows = -(-len(photos) // columns)
    figure = _figure(1.75 * columns, 2.2 * rows)
    for place, photo in enumerate(photos, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.imshow(photo.pixels)
        axes.set(xticks=[], yticks=[])
        mark, color, line, thickness = {
            True: ("✓ ", GREEN, "-", 2.0),
            False: ("✗ ", VERMILLION, (0, (3, 1.5)), 4.0),
            None: ("", MUTED, "-", 1.0),
        }[photo.correct]
        axes.spines[:].set(color=color, linestyle=line, linewidth=thickness)
        lines = f"{mark}{_shorten(photo.predicted, 14)} {photo.probability:.0%}"
        if photo.correct is False:
            lines += f"\ntrue: {_shorten(photo.truth or '', 16)}"
        axes.set_title(lines, color=INK, fontsize=10, parse_math=False)
    return figure


def encode(figure: Figure, kind: str, transparent: bool = False) -> bytes:
    """Encode a figure as "png", "svg" …; equal figures give equal bytes."""
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "platecheck"}):
        figure.savefig(file, format=kind, dpi=150, metadata=metadata, transparent=transparent)
    return file.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, as .png or .svg."""
    kind = path.suffix.lstrip(".").lower()
    if kind not in ("png", "svg"):
        raise DataError(f"{path}: save figures as .png or .svg.")
    write(encode(figure, kind), path)


def write(content: bytes, path: Path) -> None:
    """Write a file atomically."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error


def _figure(width: float, height: float, fixed_aspect: bool = False) -> Figure:
    engine = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1, compress=fixed_aspect)
    return Figure(figsize=(width, height), layout=engine)


def _tidy(axes: Axes, title: str, grid: bool = True) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", colors=MUTED, labelsize=10)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis="y", color=GRID, linewidth=0.8)


def _shorten(name: str, length: int = 22) -> str:
    name = " ".join(name.split())
    return name if len(name) <= length else name[: length - 1] + "…"
