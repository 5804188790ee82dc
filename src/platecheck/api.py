"""The public functions `train`, `evaluate` and `audit`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from platecheck.classifier import Classifier
from platecheck.data.folders import list_photos
from platecheck.errors import MissingExtraError
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run

if TYPE_CHECKING:
    from platecheck.auditing.audit import Audit
    from platecheck.evaluation.evaluate import Evaluation
    from platecheck.training.train import TrainingSetup

PathLike = str | os.PathLike[str]


def train(
    recipe: Recipe | PathLike,
    data: PathLike,
    out: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
    epochs: int | None = None,
    start: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    resume: bool = False,
    strict: bool = False,
    exclude: PathLike | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
    precision: str = "32-true",
    workers: int | None = None,
    console: Console | None = None,
    on_photo: Callable[[], None] | None = None,
    on_start: "Callable[[TrainingSetup], None] | None" = None,
) -> Run:
    """Train a recipe on a folder of photos and write a run folder.

    Args:
        recipe: name of a shipped recipe, a YAML file, or a loaded recipe.
        data: folder of photos, ``{split}/{class}/…``; for a recipe that detects dishes a folder in
            YOLO format or a YAML file that lists folders, see `platecheck.data.boxes`.
        out: the run folder; must be empty unless `resume` [default: the first of ``runs/RECIPE``,
            ``runs/RECIPE-2``, … that does not exist; with `resume`, the last that does].
        overrides: changes to the recipe, such as ``"optimizer.lr=0.003"``.
        epochs: number of epochs, instead of the recipe's.
        start: fine-tune this exported file or shipped model.
        seed: seed of initial weights, order, augmentation and dropout.
        split_seed: seed of the split, if there are no validation photos; separate from `seed`, so
            that runs with several seeds are evaluated on the same photos.
        resume: resume a stopped run; the final weights equal those of an uninterrupted one.
        strict: raise on unreadable photos instead of skipping them.
        exclude: CSV of photos to exclude, from ``platecheck audit``; applied after the split, so
            that the other photos stay in their splits.
        accelerator: Lightning's accelerator, such as ``"gpu"``.
        devices: number or indices of devices.
        nodes: number of machines.
        precision: Lightning's precision, such as ``"bf16-mixed"``.
        workers: data loader processes [default: one per core, at most four].
        console: where to show progress: a bar on a terminal, otherwise one line per epoch.
        on_photo: called for each photo read.
        on_start: called with the run before training starts.

    Raises:
        DataError: the photos are invalid or differ from those of the resumed run, or another
            process is using the run folder.
        ModelError: the initial weights, the teacher, the run to resume or the settings are invalid,
            or training diverged; earlier epochs are kept.
        OutputError: a file cannot be written; a started run can be resumed.
        RecipeError: the recipe is invalid or differs from that of the resumed run.
        KeyboardInterrupt: Ctrl-C; the run can be resumed.
    """
    data = Path(data)
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    # Validate first: importing PyTorch takes seconds.
    classes = () if recipe.detection else list_photos(data).classes
    try:
        from platecheck.export.pipeline import train_run
        from platecheck.training.onnx_import import fine_tuning
        from platecheck.training.train import TrainerSettings, build_run, first_process
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Training", "train") from error

    if start is not None:
        recipe = fine_tuning(recipe, start, classes)
    if epochs is not None:
        recipe = recipe.model_copy(update={"epochs": epochs})
    setup = build_run(
        recipe,
        data,
        None if out is None else Path(out),
        seed=seed,
        split_seed=split_seed,
        resume=resume,
        strict=strict,
        exclude=None if exclude is None else Path(exclude),
        settings=TrainerSettings(accelerator, devices, nodes, precision, workers),
        on_photo=on_photo,
    )
    if on_start and first_process():
        on_start(setup)
    return train_run(setup, console or Console(soft_wrap=True, highlight=False, emoji=False))


def evaluate(
    model: Run | Classifier | PathLike | None,
    data: PathLike,
    *,
    split: str | None = None,
    strict: bool = False,
) -> "Evaluation":
    """Evaluate a model on a folder of photos.

    Args:
        model: a run or its folder, an exported file, the name of a shipped model, or None: the
            default one.
        data: photos sorted into folders named after the model's classes.
        split: name of the split [default: ``test``, or the only one].
        strict: raise on unreadable photos instead of skipping them.

    Raises:
        DataError: the folder's layout is invalid, or it has no such split.
        ModelError: there is no such model.
    """
    try:
        from platecheck.evaluation.evaluate import evaluate as evaluate_model
        from platecheck.evaluation.evaluate import load_model
    except ModuleNotFoundError as error:
        raise MissingExtraError("Evaluating", "evaluate") from error

    if isinstance(model, Run):
        model = model.folder
    if isinstance(model, Classifier):
        split_info = model.info.split_info
        return evaluate_model(model, Path(data), split=split, split_info=split_info, strict=strict)
    loaded, split_info = load_model(None if model is None else Path(model))
    return evaluate_model(loaded, Path(data), split=split, split_info=split_info, strict=strict)


def audit(folder: PathLike, *, seed: int = 0) -> "Audit":
    """Find duplicates, leaks, label errors, bad photos and shortcuts in a folder of photos.

    Args:
        folder: contains ``{split}/{class}/…`` or ``{class}/…``.
        seed: seed of the cross-validation.

    Raises:
        DataError: no such folder, no photos, or a class without readable photos.
    """
    try:
        from platecheck.auditing.audit import audit as audit_folder
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Auditing photos", "audit") from error

    return audit_folder(Path(folder), seed=seed)
