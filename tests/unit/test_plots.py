import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from platecheck.errors import DataError, MissingExtraError, how_to_install
from platecheck.evaluation import plots
from platecheck.evaluation.metrics import evaluate_probabilities, reliability
from platecheck.evaluation.plots import PredictedPhoto

VAL_LOSS = [0.7, 0.5, 0.3, 0.4]
VAL_ACCURACY = [0.5, 0.7, 0.85, 0.9]


TRAIN_LOSS = [0.8, 0.4, 0.3, 0.2]
RATES = [0.01, 0.01, 0.01, 0.009]


def history() -> list[dict[str, float]]:
    columns = {
        "epoch": [1, 2, 3, 4],
        "train_loss": TRAIN_LOSS,
        "train_accuracy": VAL_ACCURACY,
        "val_loss": VAL_LOSS,
        "val_accuracy": VAL_ACCURACY,
        "learning_rate": RATES,
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def texts(figure: Figure) -> set[str]:
    """Every text of the figure's panels, titles included."""
    return {text.get_text() for axes in figure.axes for text in axes.findobj(mpl.text.Text)}


def test_curves_draw_what_the_history_says() -> None:
    loss, accuracy, rate = plots.curves(history()).axes
    drawn = {line.get_label(): line.get_ydata() for line in loss.lines}
    assert list(drawn["training"]) == TRAIN_LOSS
    assert list(drawn["validation"]) == VAL_LOSS
    assert len({line.get_linestyle() for line in loss.lines[:2]}) == 2  # not by color alone
    drawn = {line.get_label(): line.get_ydata() for line in accuracy.lines}
    assert list(drawn["validation"]) == VAL_ACCURACY
    assert list(rate.lines[0].get_ydata()) == RATES
    assert list(rate.lines[0].get_xdata()) == [1, 2, 3, 4]
    assert len(plots.curves(history()[:3]).axes) == 2  # a constant rate has no panel
    told = texts(plots.curves(history(), best_epoch=4))
    assert {"best: epoch 4, 0.400", "best: epoch 4, 90.0%"} <= told


def test_curves_are_inside_their_panels() -> None:
    for rows in (history(), history()[:1]):
        for axes in plots.curves(rows).axes:
            low, high = axes.get_ylim()
            for line in axes.lines:
                if line.get_transform() == axes.transData:
                    assert low <= np.min(line.get_ydata())
                    assert np.max(line.get_ydata()) <= high


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_curves_of_a_diverged_run_are_drawn(value: float) -> None:
    rows = history()
    rows[3]["val_loss"] = rows[3]["train_loss"] = value
    assert {"best: epoch 3, 0.300", "best: epoch 3, 85.0%"} <= texts(plots.curves(rows))
    for row in rows:
        row["val_loss"] = row["train_loss"] = value
    figure = plots.curves(rows)
    assert not any("best" in text for text in texts(figure))
    assert plots.encode(figure, "png")


def test_plots_of_nothing_or_the_wrong_shape_raise() -> None:
    with pytest.raises(DataError, match="no epoch"):
        plots.curves([])
    with pytest.raises(DataError, match="best epoch, 9"):
        plots.curves(history(), best_epoch=9)
    with pytest.raises(DataError, match="3 classes need a 3×3 matrix"):
        plots.confusion_matrix([[1, 2], [3, 4]], ["a", "b", "c"])
    with pytest.raises(DataError, match="no photo"):
        plots.prediction_grid([])


def test_confusion_matrix_has_counts_and_rates() -> None:
    figure = plots.confusion_matrix([[90, 10], [30, 30]], ["clean", "dirty"], "Test")
    assert {"90", "90.0%", "10", "10.0%", "30", "50.0%", "Test", "clean", "dirty"} <= texts(figure)
    placed = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert placed["10"][0] > placed["90"][0], "predicted runs along x"
    assert placed["10"][1] == placed["90"][1], "one truth is one row"
    marks = {
        text.get_position()[0] // 1 - text.get_position()[1] // 1: text.get_text()
        for text in figure.axes[0].texts
        if text.get_text() in "✓✗"
    }
    assert marks == {0: "✓", 1: "✗", -1: "✗"}
    empty = plots.confusion_matrix([[5, 0], [0, 0]], ["clean", "dirty"])
    rates = [text.get_text() for text in empty.axes[0].texts if text.get_text() in ("–", "0.0%")]
    assert sorted(rates) == ["0.0%", "–", "–"]


HOSTILE = ["$\\frac{$", "<script>alert(1)</script>", "two\nlines", "x" * 300, "%s{0}", "食器"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_hostile_class_names_are_drawn_as_text(kind: str) -> None:
    size = len(HOSTILE)
    figure = plots.confusion_matrix(np.eye(size, dtype=int), HOSTILE, title=HOSTILE[0])
    assert {"$\\frac{$", "two lines", "%s{0}"} <= texts(figure)
    assert max(len(text) for text in texts(figure)) < 50
    plots.encode(figure, kind)
    pixels = np.zeros((4, 4, 3), np.uint8)
    grid = [PredictedPhoto(pixels, name, 0.5, "$\\bad$") for name in HOSTILE]
    plots.encode(plots.prediction_grid(grid), kind)


def test_reliability_diagram_has_each_bin_and_the_error() -> None:
    rng = np.random.default_rng(0)
    second = rng.random(200)
    probabilities = np.column_stack([1 - second, second])
    labels = (rng.random(200) < second).astype(np.int64)
    found = reliability(probabilities, labels)
    ece = evaluate_probabilities(probabilities, labels, ["a", "b"]).ece
    figure = plots.reliability_diagram(found, "Test")
    upper, lower = figure.axes

    assert upper.get_title(loc="left") == f"Test (ECE {ece:.3f}, 200 photos)"
    points = upper.containers[0].lines[0]
    filled = found.count > 0
    assert np.array_equal(points.get_xdata(), found.confidence[filled])
    assert np.array_equal(points.get_ydata(), found.accuracy[filled])
    assert sum(bar.get_height() for bar in lower.patches) == 200
    assert [bar.get_x() for bar in lower.patches] == pytest.approx(found.edges[:-1][filled])
    assert upper.get_xlim()[0] <= found.edges[:-1][filled].min()


def grid_photo(predicted: str, truth: str | None, height: int = 20) -> PredictedPhoto:
    return PredictedPhoto(np.full((height, 30, 3), 128, np.uint8), predicted, 0.973, truth)


def test_prediction_grid_marks_correct_and_wrong_without_color() -> None:
    photos = [grid_photo("clean", "clean"), grid_photo("clean", "dirty"), grid_photo("clean", None)]
    right, wrong, unknown = plots.prediction_grid(photos).axes
    assert right.get_title() == "✓ clean 97%"
    assert wrong.get_title() == "✗ clean 97%\ntrue: dirty"
    assert unknown.get_title() == "clean 97%"
    frames = [axes.spines["top"] for axes in (right, wrong, unknown)]
    assert frames[1].get_linestyle() != frames[0].get_linestyle() == frames[2].get_linestyle()


def test_prediction_grid_has_the_unchanged_pixels() -> None:
    photos = [grid_photo("clean", "clean", height) for height in (20, 30, 60, 10, 5)]
    figure = plots.prediction_grid(photos, columns=2)
    assert len(figure.axes) == 5
    for axes, photo in zip(figure.axes, photos, strict=True):
        assert np.array_equal(axes.images[0].get_array(), photo.pixels)
    assert figure.axes[2].get_subplotspec().rowspan.start == 1


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_save_writes_the_same_file_for_the_same_figure(kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first.{kind}", tmp_path / f"second.{kind.upper()}"
    before = dict(mpl.rcParams)
    figure = plots.curves(history())
    plots.save(figure, first)
    plots.save(plots.curves(history()), second)
    assert first.read_bytes() == second.read_bytes()
    assert dict(mpl.rcParams) == before
    if kind == "svg":
        assert ElementTree.parse(first).getroot().tag.endswith("svg")
    else:
        with Image.open(first) as image:
            image.load()
            assert image.size == tuple(int(150 * side) for side in figure.get_size_inches())
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(DataError, match=r"curves\.png cannot be written: No space left"):
        plots.save(plots.curves(history()), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [("curves.docx", r"\.png or \.svg"), ("file/curves.png", "cannot be written")],
)
def test_save_to_an_unsupported_path_raises(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=message):
        plots.save(plots.curves(history()), tmp_path / name)


def test_import_does_not_need_pyplot() -> None:
    code = "import sys, platecheck.evaluation.plots as _; print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize(("package", "module"), [("matplotlib", "plots"), ("sklearn", "metrics")])
def test_import_without_a_package_names_the_extra(
    package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"platecheck.evaluation.{module}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=re.escape(how_to_install("evaluate"))):
        import_module(f"platecheck.evaluation.{module}")
