"""The pictures of a run: curves, confusion matrix, reliability diagram, answered photos.

Each function returns a new `Figure` and leaves matplotlib's global state alone. The colours are
from the colour-blind safe palette of Okabe and Ito; nothing is told by colour only.
"""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import platecheck.data.cache  # noqa: F401 (says where matplotlib keeps its fonts)
from platecheck.errors import DataError, MissingExtraError
from platecheck.evaluation.metrics import Reliability, wilson_interval
from platecheck.files import replacing

logging.getLogger("matplotlib").setLevel(logging.ERROR)

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator, PercentFormatter
except ModuleNotFoundError as error:
    raise MissingExtraError("Drawing figures", "evaluate") from error

INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e4e8ec"
BLUE = "#0072b2"
GREEN = "#009e73"
VERMILLION = "#d55e00"
WIDTH = 5.6  # inches: still readable when a phone shows it 330 px wide


@dataclass(frozen=True, eq=False)
class AnsweredPhoto:
    """A photo and what a model says of it.

    Attributes:
        pixels: uint8 [H, W, 3].
        predicted: name of the predicted class.
        probability: its probability, in [0, 1].
        truth: name of the true class, where known.
        name: what the user calls the photo, such as its path.
    """

    pixels: NDArray[np.uint8]
    predicted: str
    probability: float
    truth: str | None = None
    name: str = ""

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        probabilities: NDArray[np.floating[Any]],
        classes: Sequence[str],
        truth: str | None,
        name: str,
    ) -> "AnsweredPhoto":
        """With the most probable of some classes, `probabilities` [C]."""
        best = int(probabilities.argmax())
        return cls(pixels, classes[best], float(probabilities[best]), truth, name)

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; None where the truth is unknown."""
        return None if self.truth is None else self.predicted == self.truth


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None = None) -> Figure:
    """Draw loss and accuracy by epoch, and the learning rate where it changes.

    Args:
        history: one row an epoch with the keys epoch (from 1), train_loss, val_loss,
            train_accuracy and val_accuracy (in [0, 1]) and learning_rate. NaN leaves a gap.
        best_epoch: the epoch to mark; by default that of the lowest validation loss.

    Raises:
        DataError: no row, or no row for `best_epoch`.
    """
    if not history:
        raise DataError("There is no epoch to draw curves of.")
    column = {key: np.array([row[key] for row in history], float) for key in history[0]}
    epochs = column["epoch"]
    if best_epoch is None and np.isfinite(column["val_loss"]).any():
        best_epoch = int(epochs[np.nanargmin(column["val_loss"])])
    if best_epoch is not None and best_epoch not in epochs:
        raise DataError(f"The best epoch, {best_epoch}, is not in the history.")

    rate = column["learning_rate"]
    rate_changes = len(np.unique(rate)) > 1
    heights = [3, 3, 0.9] if rate_changes else [3, 3]
    figure = _figure(WIDTH, 0.85 * sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    dot = "o" if len(epochs) == 1 else ""  # a line of one point is invisible
    for axes, key in zip(panels, ("loss", "accuracy"), strict=False):
        _tidy(axes, key.capitalize())
        train, validation = column[f"train_{key}"], column[f"val_{key}"]
        axes.plot(epochs, train, "--", marker=dot, color=MUTED, linewidth=1.6, label="training")
        axes.plot(epochs, validation, marker=dot, color=BLUE, linewidth=2, label="validation")
        axes.legend(frameon=False, labelcolor=INK, fontsize=10)
        if best_epoch is not None:
            best = validation[epochs == best_epoch][0]
            figures = f"{best:.1%}" if key == "accuracy" else f"{best:.3f}"
            axes.set_title(f"best: epoch {best_epoch}, {figures}", loc="right", color=BLUE, size=10)
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
    """Draw counts and their share of the row, the photos truly of that class.

    Right answers are green and marked ✓, wrong ones orange and marked ✗.

    Args:
        matrix: [C, C] counts, rows are the truth.
        classes: C names.
        title: above the figure.

    Raises:
        DataError: the matrix is not [C, C].
    """
    counts = np.asarray(matrix)
    size = len(classes)
    if counts.shape != (size, size):
        raise DataError(f"{size} classes need a {size}×{size} matrix, not {list(counts.shape)}.")
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)

    side = min(max(2.6 + 0.9 * size, 4.4), 12)
    figure = _figure(side, 0.92 * side, fixed_aspect=True)
    axes = figure.subplots()
    _tidy(axes, title, grid=False)
    right = np.eye(size, dtype=bool)
    for cells, colours in ((right, ["#d9f0e8", GREEN]), (~right, ["#fbe3d4", VERMILLION])):
        tint = LinearSegmentedColormap.from_list("", colours).with_extremes(under="#f4f6f8")
        shown = np.ma.masked_where(~cells, share)  # 0 is under vmin, and grey
        axes.pcolormesh(shown, cmap=tint, vmin=1e-9, vmax=1.25, edgecolors="white", linewidth=3)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    font = min(18, 10 * side / size)
    for (row, column), count in np.ndenumerate(counts):
        percent = f"{share[row, column]:.1%}" if totals[row, 0] else "–"
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
    axes.set_ylabel("truth", color=MUTED, fontsize=10)
    axes.spines[:].set_visible(False)
    return figure


def reliability_diagram(reliability: Reliability, title: str = "Reliability") -> Figure:
    """Draw how often answers are right against how sure they are, and how many there are.

    A point's height above or below the diagonal is its bin's part in the expected calibration
    error, which the title gives.
    """
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


def prediction_grid(photos: Sequence[AnsweredPhoto], columns: int = 6) -> Figure:
    """Draw photos with their answers; ✓ and a thin frame is right, ✗ and a dashed one wrong.

    Raises:
        DataError: no photo.
    """
    if not photos:
        raise DataError("There is no photo to draw a grid of.")
    columns = min(columns, len(photos))
    rows = -(-len(photos) // columns)
    figure = _figure(1.75 * columns, 2.2 * rows)
    for place, photo in enumerate(photos, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.imshow(photo.pixels)
        axes.set(xticks=[], yticks=[])
        mark, colour, line, thickness = {
            True: ("✓ ", GREEN, "-", 2.0),
            False: ("✗ ", VERMILLION, (0, (3, 1.5)), 4.0),
            None: ("", MUTED, "-", 1.0),
        }[photo.correct]
        axes.spines[:].set(color=colour, linestyle=line, linewidth=thickness)
        lines = f"{mark}{_shorten(photo.predicted, 14)} {photo.probability:.0%}"
        if photo.correct is False:
            lines += f"\ntruth: {_shorten(photo.truth or '', 16)}"
        axes.set_title(lines, color=INK, fontsize=10, parse_math=False)
    return figure


def encode(figure: Figure, kind: str, transparent: bool = False) -> bytes:
    """The figure as a file of that kind ("png", "svg" …); the same figure gives the same bytes."""
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "platecheck"}):
        figure.savefig(file, format=kind, dpi=150, metadata=metadata, transparent=transparent)
    return file.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as the kind its name ends in, .png or .svg; never leaves half a file.

    Raises:
        DataError: another kind, or the file cannot be written.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in ("png", "svg"):
        raise DataError(f"{path}: a figure is saved as .png or .svg.")
    write(encode(figure, kind), path)


def write(content: bytes, path: Path) -> None:
    """Write a picture or a page, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
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
