"""The part of ``platecheck evaluate`` for detectors."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from platecheck.cli.data import show_notes, show_unreadable
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import MissingExtraError

if TYPE_CHECKING:
    from platecheck.detector import Detector
    from platecheck.evaluation.detection import DetectionEvaluation


def finds_dishes(model: Path) -> bool:
    """Return whether a run folder, a file or a name is that of a detector."""
    from platecheck.detector import is_detector
    from platecheck.model_file import BUNDLED_DETECTORS, BUNDLED_MODELS, find_model

    if model.is_dir():
        try:
            from platecheck.training.run import Run
        except ModuleNotFoundError:
            return False
        return Run.is_run(model) and Run.load(model).recipe.detection is not None
    file = find_model(model, (*BUNDLED_MODELS, *BUNDLED_DETECTORS))  # `default` is a classifier
    return file.is_file() and is_detector(file)


def evaluate_boxes(
    model: Path, data: Path, *, split: str | None, strict: bool, as_json: bool
) -> None:
    """Evaluate a detector and show the result."""
    try:
        from platecheck.data.boxes import count_listed, read_boxed_photos, with_boxes
        from platecheck.evaluation.detection import evaluate_detector
        from platecheck.training.run import Run
    except ModuleNotFoundError as error:
        raise MissingExtraError("Evaluating a detector", "data,evaluate") from error

    detector = load_detector(model)
    with progress_bar("reading photos", count_listed(data)) as bar:
        run = Run.load(model) if model.is_dir() else None
        if run and run.photos.folder.resolve() == data.resolve():
            photos = with_boxes(run.photos, run.facts.fingerprint)  # as split for training
        else:
            photos = read_boxed_photos(data, split_seed=None, strict=strict, on_photo=bar.advance)
    with progress_bar("evaluating") as bar:
        found = evaluate_detector(
            detector, photos, split=split, on_start=bar.start, on_photo=bar.advance
        )
    show_notes(photos.photos.notes)
    if as_json:
        print(json.dumps(found.result.model_dump(mode="json"), indent=2))
    else:
        _show(found)
    show_unreadable([str(error) for error in photos.photos.unreadable])


def load_detector(model: Path) -> "Detector":
    """Load a file, or export a run to a temporary one."""
    from platecheck.detector import Detector

    if not model.is_dir():
        return Detector.load(model)
    from platecheck.export.detector import export_detector
    from platecheck.training.run import Run

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dishes.onnx"
        export_detector(Run.load(model), file, measure=False)
        return Detector.load(file.read_bytes())


def show_detector(path: Path, *, as_json: bool) -> None:
    """Print the metadata of a detector's file."""
    from platecheck.detector import Detector

    info, stdout = Detector.load(path).info, console()
    if as_json:
        print(info.model_dump_json(indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("finds", f"dishes with a score of {info.threshold:.2f} or more")
    table.add_row("input", f"{info.size}×{info.size} pixels, RGB, uint8")
    table.add_row("network", f"{escape(info.network)}, {info.precision}")
    table.add_row("recipe", f"{escape(info.recipe)}, seed {info.seed}, epoch {info.epoch}")
    for split, figures in info.metrics.items():
        table.add_row(escape(split), "{found}/{dishes} dishes found".format(**figures["all"]))
    table.add_row("data", escape(info.data_fingerprint[:16]))
    table.add_row("written by", f"platecheck {escape(info.platecheck)}")
    stdout.print(table)


def _show(found: "DetectionEvaluation") -> None:
    result, stdout = found.result, console()
    headers = ("", "photos", "dishes found", "recall", "precision", "AP50", "empty photos right")
    table = Table(*headers, box=None, pad_edge=False)
    for name, counts in {**result.kinds, "all": result.all}.items():
        shares = (counts.recall, counts.precision, counts.ap50)
        table.add_row(
            name,
            str(counts.photos),
            f"{counts.found}/{counts.dishes}",
            *("–" if share is None else f"{share:.1%}" for share in shares),
            f"{counts.silent}/{counts.empty}" if counts.empty else "–",
        )
    stdout.print(f"split '{escape(result.split)}', scores of {result.threshold:.2f} or more")
    stdout.print(table)
    worst = sorted(found.photos, key=lambda each: -each.mistakes(result.threshold))
    lines = [
        f"{each.photo.path}: {each.mistakes(result.threshold)} missed or wrong"
        for each in worst
        if each.mistakes(result.threshold)
    ]
    if lines:
        stdout.print(f"\nphotos with mistakes ({len(lines)}), worst first:")
        show_first(lines, stdout)
