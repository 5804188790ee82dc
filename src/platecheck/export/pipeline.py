"""Train a run completely: the epochs, calibration and curves."""

from rich.console import Console

from platecheck.evaluation import plots
from platecheck.export.calibration import calibrate
from platecheck.files import writing
from platecheck.training.callbacks import DivergedError, TrainingProgress
from platecheck.training.run import Run
from platecheck.training.train import TrainingSetup, first_process, train_epochs


def train_run(setup: TrainingSetup, console: Console) -> Run:
    """Train what `build_run` has set up, and calibrate it.

    Raises:
        Interrupted: Ctrl-C.
        DivergedError: loss or weights are not finite; earlier epochs are kept and calibrated.
        OutputError: a file cannot be written; the run can be resumed.
    """
    folder, calibrates = setup.run.folder, setup.run.recipe.calibrate
    with setup.held, writing(folder, "free some space, then use --resume"):
        progress = TrainingProgress(console)
        try:
            trainer = train_epochs(setup, on_epoch=_draw_curves, callbacks=[progress])
        except DivergedError:
            if calibrates and first_process() and Run.load(folder).history:
                calibrate(Run.load(folder))
            raise
        if trainer.is_global_zero and calibrates:
            calibrate(Run.load(folder))
        trainer.strategy.barrier()
        return Run.load(folder)


def _draw_curves(run: Run) -> None:
    plots.save(plots.curves(run.history), run.folder / "curves.png")
