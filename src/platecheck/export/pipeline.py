"""Train a run completely: the teacher, the epochs, calibration and curves."""

from pathlib import Path

from rich.console import Console

from platecheck.evaluation import plots
from platecheck.export.calibration import calibrate
from platecheck.export.onnx import export
from platecheck.files import writing
from platecheck.training.callbacks import DivergedError, TrainingProgress
from platecheck.training.pretrained import read_state
from platecheck.training.run import Run
from platecheck.training.teacher import TeacherModel
from platecheck.training.train import TrainingSetup, build_teacher_run, first_process, train_epochs


def train_run(setup: TrainingSetup, console: Console) -> Run:
    """Train what `build_run` has set up, including the teacher, and calibrate it.

    Raises:
        Interrupted: Ctrl-C.
        DivergedError: loss or weights are not finite; earlier epochs are kept and calibrated.
        OutputError: a file cannot be written; the run can be resumed.
    """
    run, recipe = setup.run, setup.run.recipe.teacher
    with setup.held, writing(run.folder, "free some space, then use --resume"):
        teacher = None
        if recipe is not None:
            file = run.teacher / "model.onnx"
            if not recipe.model and not file.is_file():
                _train_and_calibrate(build_teacher_run(setup), None, console, file)
            if recipe.warm_start and not run.history:
                theirs = Run.load(run.teacher)
                setup.network.load_state_dict(read_state(theirs.weights(theirs.best_epoch)))
            teacher = TeacherModel(recipe.model or str(file), run.facts.classes, recipe.tta_flips)
        return _train_and_calibrate(setup, teacher, console)


def _train_and_calibrate(
    setup: TrainingSetup, teacher: TeacherModel | None, console: Console, file: Path | None = None
) -> Run:
    folder, calibrates = setup.run.folder, setup.run.recipe.calibrate
    progress = TrainingProgress(console)
    try:
        trainer = train_epochs(setup, teacher, on_epoch=_draw_curves, callbacks=[progress])
    except DivergedError:
        if calibrates and first_process() and Run.load(folder).history:
            calibrate(Run.load(folder))
        raise
    if trainer.is_global_zero:
        if calibrates:
            calibrate(Run.load(folder))
        if file:
            # The teacher predicts every photo in every epoch: int8 is several times faster.
            export(Run.load(folder), file, int8=True, measure=False)
    trainer.strategy.barrier()
    return Run.load(folder)


def _draw_curves(run: Run) -> None:
    plots.save(plots.curves(run.history), run.folder / "curves.png")
