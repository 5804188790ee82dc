"""``platecheck data``: measure, download and render photos."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from platecheck.cli.progress import progress_bar
from platecheck.errors import MissingExtraError

SHOWN_FAILURES = 10

app = typer.Typer(help="Measure, download and render photos.", no_args_is_help=True)


@app.command()
def stats(
    folder: Annotated[Path, typer.Argument(help="Photos sorted into folders.")],
    size: Annotated[int, typer.Option(min=1, max=4096, help="Pixels to resize to.")] = 128,
    split: Annotated[
        str | None, typer.Option(help="Which split; train by default, or the only one.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse unreadable photos.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Channel mean and standard deviation of photos, and how many there are."""
    from platecheck.data.folders import list_photos, read_photos
    from platecheck.data.statistics import channel_statistics

    listed = list_photos(folder)
    with progress_bar("reading", len(listed.photos)) as bar:
        photos = read_photos(folder, strict=strict, on_photo=bar.advance)
    wanted = split or ("train" if "train" in photos.splits else photos.splits[0])
    chosen = photos.split(wanted)
    with progress_bar("measuring", len(chosen)) as bar:
        paths = [photo.path for photo in chosen]
        found = channel_statistics(paths, size=size, on_photo=bar.advance)
    unreadable = [{"path": e.source, "reason": e.reason} for e in photos.unreadable]
    if as_json:
        content = asdict(found) | {
            "split": wanted,
            "size": size,
            "counts": photos.counts(),
            "unreadable": unreadable,
            "fingerprint": photos.fingerprint(),
        }
        print(json.dumps(content, indent=2))
        return
    console = Console()
    counts = Table("split", *photos.classes, box=None, pad_edge=False)
    for name, row in photos.counts().items():
        counts.add_row(name, *(str(row[label]) for label in photos.classes))
    console.print(counts)
    table = Table("", "red", "green", "blue", box=None, pad_edge=False)
    for name, values in (
        ("mean", found.mean),
        ("std (mean over photos)", found.std),
        ("std (pooled)", found.pooled_std),
    ):
        table.add_row(name, *(f"{value:.4f}" for value in values))
    console.print(f"\n{found.photos} photos of '{wanted}' at {size}×{size}, values in [0, 1]:")
    console.print(table)
    show_unreadable(console, [str(error) for error in photos.unreadable])


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    photos: Annotated[int, typer.Option("--photos", "-n", min=4, help="How many.")] = 400,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Pixels of a side.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same photos.")] = 0,
    confound: Annotated[
        float,
        typer.Option(
            min=0.5, max=1.0, help="Probability that the table tells the class; 0.5: tells nothing."
        ),
    ] = 0.5,
    masks: Annotated[bool, typer.Option(help="Also write where dish and dirt are.")] = False,
) -> None:
    """Render artificial dishes, clean and dirty, on tables."""
    try:
        from platecheck.data.synth import write_dataset
    except ModuleNotFoundError as error:
        raise MissingExtraError("Rendering dishes", "data") from error

    with progress_bar("rendering", photos) as bar:
        write_dataset(
            folder,
            photos=photos,
            size=size,
            seed=seed,
            confound=confound,
            masks=masks,
            on_progress=lambda _: bar.advance(),
        )
    Console().print(f"{photos} photos of rendered dishes in {folder}")


@app.command()
def fetch(
    folder: Annotated[Path, typer.Argument(help="Where to.")] = Path("dishes"),
    source: Annotated[
        Path | None, typer.Option("--from", help="Take the files from a local copy.")
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Downloads at a time.")] = 8,
) -> None:
    """Download the public set of 1178 photos; go on where a download was broken off."""
    from platecheck.data.fetch import FetchProgress
    from platecheck.data.fetch import fetch as bring

    started = False

    with progress_bar("fetching") as bar:

        def show(progress: FetchProgress) -> None:
            nonlocal started
            if not started:
                bar.start(progress.total)
                started = True
            bar.advance()

        result = bring(folder, source=source, splits=splits, workers=workers, on_progress=show)
    console = Console(soft_wrap=True, highlight=False)
    console.print(result.summary(), markup=False)
    for path, reason in list(result.failed.items())[:SHOWN_FAILURES]:
        console.print(f"  {path}: {reason}", markup=False)
    if len(result.failed) > SHOWN_FAILURES:
        console.print(f"  … and {len(result.failed) - SHOWN_FAILURES} more")
    if not result.complete:
        raise typer.Exit(1)


def show_unreadable(console: Console, lines: list[str], limit: int = 10) -> None:
    """Name the photos that were left out."""
    if not lines:
        return
    console.print(f"\n[yellow]{len(lines)} unreadable photos were left out:[/]")
    for line in lines[:limit]:
        console.print(f"  {line}", markup=False, highlight=False)
    if len(lines) > limit:
        console.print(f"  … and {len(lines) - limit} more")
