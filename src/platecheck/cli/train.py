"""``platecheck train``."""

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platecheck.cli.data import show_unreadable
from platecheck.cli.options import Data, Overrides, RecipeName, Strict, complete_any_model
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape

if TYPE_CHECKING:
    from platecheck.training.recipe import Recipe
    from platecheck.training.run import Run
    from platecheck.training.train import TrainingSetup


NewRun = Annotated[Path | None, typer.Option(help="Run folder \\[default: runs/RECIPE, numbered].")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Override the recipe's number of epochs.")]
StartModel = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Fine-tune: an exported file, plate, mobile, tiny, dishes or default.",
        autocompletion=complete_any_model,
    ),
]
SplitSeed = Annotated[
    int, typer.Option(min=0, help="Seed of the split, if there are no validation photos.")
]
Exclusions = Annotated[
    Path | None, typer.Option(help="CSV of photos to exclude, from platecheck audit.")
]


def train(
    recipe: RecipeName,
    data: Data,
    out: NewRun = None,
    start: StartModel = None,
    overrides: Overrides = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
    split_seed: SplitSeed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped run.")] = False,
    strict: Strict = False,
    exclude: Exclusions = None,
    accelerator: Annotated[str, typer.Option(help="Lightning accelerator: cpu, gpu, …")] = "auto",
    devices: Annotated[str, typer.Option(help="Number or indices of devices: 2, 0,1 …")] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed, 16-mixed …")] = "32-true",
    workers: Annotated[int | None, typer.Option(min=0, help="Data loader processes.")] = None,
) -> None:
    """Train a recipe on a folder of photos and write a run folder."""
    from platecheck.api import train as train_recipe
    from platecheck.data.boxes import count_listed
    from platecheck.data.folders import list_photos
    from platecheck.training.recipe import load_recipe

    wanted = load_recipe(recipe, overrides or ())
    folders: list[Path] = []
    listed = count_listed(data) if wanted.detection else len(list_photos(data).photos)
    with ExitStack() as reading:
        bar = reading.enter_context(progress_bar("reading photos", listed))

        def announce(setup: "TrainingSetup") -> None:
            reading.close()
            folders.append(setup.run.folder)
            _announce(setup)

        try:
            run = train_recipe(
                wanted,
                data,
                out,
                epochs=epochs,
                start=start,
                seed=seed,
                split_seed=split_seed,
                resume=resume,
                strict=strict,
                exclude=exclude,
                accelerator=accelerator,
                devices=int(devices) if devices.isdigit() else devices,
                nodes=nodes,
                precision=precision,
                workers=workers,
                console=console(),
                on_photo=bar.advance,
                on_start=announce,
            )
        except KeyboardInterrupt:
            if folders:
                _explain_resume(folders[0], out, resume=resume)
            raise typer.Exit(130) from None
    if folders:  # the first of several processes
        _conclude(run, data)


def _explain_resume(folder: Path, out: Path | None, *, resume: bool) -> None:
    from platecheck.training.run import Run

    missing = [*([f"--out={folder}"] if out is None else []), *([] if resume else ["--resume"])]
    again = f"{Run.load(folder).facts.command} {shlex.join(missing)}".strip()
    console().print(f"\nstopped; resume with:\n  {escape(again)}")


def _announce(setup: "TrainingSetup") -> None:
    stdout, run = console(), setup.run
    counts = run.photos.counts()
    stdout.print(f"[bold]{escape(run.recipe.name)}[/]: {escape(run.recipe.summary)}")
    for split in ("train", "val", "test"):
        if split in counts:
            numbers = ", ".join(f"{n} {escape(name)}" for name, n in counts[split].items())
            stdout.print(f"  {split:<5} {sum(counts[split].values())} photos ({numbers})")
    show_unreadable([f"{path}: {why}" for path, why in run.facts.unreadable.items()])
    for note in filter(None, (*run.photos.notes, setup.note, _note_on_pictures(run.recipe))):
        stdout.print(f"  [yellow]{escape(note)}[/]")
    stdout.print(f"  run folder  {escape(run.folder)}")


def _note_on_pictures(recipe: "Recipe") -> str:
    from platecheck.data.pictures import clip_art, color_font

    robust = recipe.augmentation.robust
    if not robust or not robust.patterns or (color_font() and clip_art()):
        return ""
    return (
        "decorations are drawn with fewer pictures: install the font Noto Color Emoji and the Open"
        " Clip Art Library (Debian: fonts-noto-color-emoji, openclipart-png)"
    )


def _conclude(run: "Run", data: Path) -> None:
    stdout = console()
    best = run.history[run.best_epoch - 1]
    key, name = ("val_ap50", "AP50") if run.recipe.detection else ("val_accuracy", "accuracy")
    stdout.print(
        f"best epoch {run.best_epoch} of {len(run.history)}: validation loss"
        f" {best['val_loss']:.4f}, {name} {best[key]:.2%}"
    )
    # A folder's name may begin like an option.
    folder = f"./{run.folder}" if str(run.folder).startswith("-") else str(run.folder)
    following = ["platecheck", "evaluate", folder, f"--data={data}"]
    if "test" not in run.photos.splits:
        following.append("--split=val")
    stdout.print(f"next: {escape(shlex.join(following))}")
