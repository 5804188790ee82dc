"""``platecheck train``."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from platecheck.cli.data import show_unreadable
from platecheck.cli.options import Data, Overrides, RecipeName, Strict, complete_model
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape
from platecheck.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from platecheck.training.run import Run
    from platecheck.training.train import TrainingSetup

# Environment variable that passes the run folder to the processes that Lightning starts.
RUN_FOLDER = "PLATECHECK_RUN_FOLDER"


def train(
    recipe: RecipeName,
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="Run folder [default: runs/RECIPE, numbered].")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Fine-tune: an exported file, plate, tiny or default.",
            autocompletion=complete_model,
        ),
    ] = None,
    overrides: Overrides = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Override the recipe's number of epochs.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
    split_seed: Annotated[
        int, typer.Option(min=0, help="Seed of the split, if there are no validation photos.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped run.")] = False,
    strict: Strict = False,
    exclude: Annotated[
        Path | None, typer.Option(help="CSV of photos to exclude, from platecheck audit.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning accelerator: cpu, gpu, …")] = "auto",
    devices: Annotated[str, typer.Option(help="Number or indices of devices: 2, 0,1 …")] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed, 16-mixed …")] = "32-true",
    workers: Annotated[int | None, typer.Option(min=0, help="Data loader processes.")] = None,
) -> None:
    """Train a recipe on a folder of photos and write a run folder."""
    from platecheck.data.folders import list_photos
    from platecheck.training.recipe import load_recipe

    # Report mistakes first: PyTorch takes seconds to import.
    wanted = load_recipe(recipe, overrides or ())
    listed = list_photos(data)
    try:
        from platecheck.evaluation import plots
        from platecheck.training import train as training
        from platecheck.training.callbacks import TrainingProgress
        from platecheck.training.onnx_import import fine_tuning
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Training", "train") from error
    if start is not None:
        wanted = fine_tuning(wanted, start, listed.classes)
    if epochs is not None:
        wanted = wanted.model_copy(update={"epochs": epochs})
    stdout = console()
    stdout.quiet = not training.first_process()

    def draw(run: "Run") -> None:
        plots.save(plots.curves(run.history), run.folder / "curves.png")

    def announce_teacher(teacher: "Run") -> None:
        name = escape(teacher.recipe.name)
        stdout.print(f"training the teacher first: [bold]{name}[/], into {escape(teacher.folder)}")

    with progress_bar("reading photos", len(listed.photos)) as bar:
        number = int(devices) if devices.isdigit() else devices
        settings = training.TrainerSettings(accelerator, number, nodes, precision, workers)
        setup = training.build_run(
            wanted,
            data,
            _run_folder(out, first=training.first_process(), nodes=nodes),
            seed=seed,
            split_seed=split_seed,
            resume=resume,
            strict=strict,
            exclude=exclude,
            settings=settings,
            on_photo=bar.advance,
        )
    folder = setup.run.folder
    os.environ[RUN_FOLDER] = str(folder)
    _announce(stdout, setup)
    try:
        run = training.fit(
            setup,
            on_epoch=draw,
            on_teacher=announce_teacher,
            callbacks=[TrainingProgress(stdout)],
        )
    except training.Interrupted:
        missing = [*([f"--out={folder}"] if out is None else []), *([] if resume else ["--resume"])]
        again = " ".join([setup.run.facts.command, shlex.join(missing)])
        stdout.print(f"\nstopped; resume with:\n  {escape(again.strip())}")
        raise typer.Exit(130) from None
    _conclude(stdout, run, data)


def _announce(stdout: Console, setup: "TrainingSetup") -> None:
    run = setup.run
    counts = run.photos.counts()
    stdout.print(f"[bold]{escape(run.recipe.name)}[/]: {escape(run.recipe.summary)}")
    for split in ("train", "val", "test"):
        if split in counts:
            numbers = ", ".join(f"{n} {escape(name)}" for name, n in counts[split].items())
            stdout.print(f"  {split:<5} {sum(counts[split].values())} photos ({numbers})")
    if run.facts.unreadable:
        show_unreadable([f"{path}: {why}" for path, why in run.facts.unreadable.items()])
    for note in (*run.photos.notes, *([setup.note] if setup.note else [])):
        stdout.print(f"  [yellow]{escape(note)}[/]")
    stdout.print(f"  into  {escape(run.folder)}")


def _conclude(stdout: Console, run: "Run", data: Path) -> None:
    best = run.history[run.best_epoch - 1]
    stdout.print(
        f"best epoch {run.best_epoch} of {len(run.history)}: validation loss"
        f" {best['val_loss']:.4f}, accuracy {best['val_accuracy']:.2%}"
    )
    # A folder's name may begin like an option.
    folder = f"./{run.folder}" if str(run.folder).startswith("-") else str(run.folder)
    following = ["platecheck", "evaluate", folder, f"--data={data}"]
    if "test" not in run.photos.splits:
        following.append("--split=val")
    stdout.print(f"next: {escape(shlex.join(following))}")


def _run_folder(out: Path | None, *, first: bool, nodes: int) -> Path | None:
    """Return the run folder, the same for all processes; None: the first process chooses."""
    if out is None and not first and (told := os.environ.get(RUN_FOLDER)):
        return Path(told)
    if out is None and (nodes > 1 or not first):
        raise DataError("several machines need a run folder on a shared file system: pass --out")
    return out
