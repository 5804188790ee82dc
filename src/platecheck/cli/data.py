"""``platecheck data``: measure, download, render and collect photos."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from platecheck.cli.options import Json, Photos, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import MissingExtraError
from platecheck.files import check_writable

app = typer.Typer(help="Measure, download, render and collect photos.", no_args_is_help=True)


@app.command()
def stats(
    folder: Photos,
    size: Annotated[int, typer.Option(min=2, max=4096, help="Pixels to resize to.")] = 128,
    split: Annotated[
        str | None, typer.Option(help="Which split; train by default, or the only one.")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Channel mean and standard deviation of photos, and how many there are."""
    from platecheck.data.folders import checked, list_photos
    from platecheck.data.statistics import channel_statistics

    listed = list_photos(folder)
    with progress_bar("reading", len(listed.photos)) as bar:
        photos = checked(listed, strict=strict, on_photo=bar.advance)
    show_notes(photos.notes)
    wanted = split or ("train" if "train" in photos.splits else photos.splits[0])
    chosen = photos.split(wanted)
    with progress_bar("measuring", len(chosen)) as bar:
        paths = [photo.path for photo in chosen]
        found = channel_statistics(paths, size=size, on_photo=bar.advance)
    if as_json:
        content = asdict(found) | {
            "split": wanted,
            "size": size,
            "counts": photos.counts(),
            "unreadable": [{"path": e.source, "reason": e.reason} for e in photos.unreadable],
            "fingerprint": photos.fingerprint(),
        }
        print(json.dumps(content, indent=2))
        raise typer.Exit(1 if photos.unreadable else 0)
    stdout = console()
    _print_counts(photos.counts())
    table = Table("", "red", "green", "blue", box=None, pad_edge=False)
    names = ("mean", "std (mean over photos)", "std (pooled)")
    for name, values in zip(names, (found.mean, found.std, found.pooled_std), strict=True):
        table.add_row(name, *(f"{value:.4f}" for value in values))
    stdout.print(
        f"\n{found.photos} photos of '{escape(wanted)}' at {size}×{size}, values from 0 to 1:"
    )
    stdout.print(table)
    show_unreadable([str(error) for error in photos.unreadable])
    raise typer.Exit(1 if photos.unreadable else 0)


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
    kind: Annotated[
        str | None, typer.Option(help="Of all dishes: plate, bowl, steel, splashed …")
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write where dish and dirt are.")
    ] = False,
) -> None:
    """Render artificial dishes, clean and dirty, on tables."""
    try:
        from platecheck.data.render import write_dataset
    except ModuleNotFoundError as error:
        raise MissingExtraError("Rendering dishes", "data") from error

    check_writable(folder, folder=True)
    with progress_bar("rendering", photos) as bar:
        write_dataset(
            folder,
            photos=photos,
            size=size,
            seed=seed,
            confound=confound,
            kind=kind,
            masks=masks,
            on_progress=lambda _: bar.advance(),
        )
    console().print(f"{photos} photos of rendered dishes in {escape(folder)}")


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
    from platecheck.data.download import FetchProgress
    from platecheck.data.download import fetch as bring

    with progress_bar("fetching") as bar:

        def show(progress: FetchProgress) -> None:
            if progress.done == 1:
                bar.start(progress.total)
            bar.advance()

        result = bring(folder, source=source, splits=splits, workers=workers, on_progress=show)
    console().print(escape(result.summary()))
    show_first([f"{path}: {reason}" for path, reason in result.failed.items()], console())
    if not result.complete:
        raise typer.Exit(1)


@app.command()
def collect(
    url: Annotated[str, typer.Argument(help="The database of platecheck serve --feedback.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    photos: Annotated[Path, typer.Option(help="Folder of the database's photos.")],
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Believe the users where nobody has reviewed.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the division into splits.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a folder to train with from reviewed feedback."""
    try:
        from platecheck.feedback.collect import collect as make
        from platecheck.feedback.store import open_store
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Collecting feedback", "audit,feedback") from error

    check_writable(folder, folder=True)
    store = open_store(url, photos)
    try:
        with progress_bar("looking") as bar:
            found = make(
                store,
                folder,
                unreviewed=unreviewed,
                seed=seed,
                on_start=bar.start,
                on_photo=bar.advance,
            )
    finally:
        store.close()
    if as_json:
        print(json.dumps(asdict(found) | {"folder": str(folder)}, indent=2))
        return
    stdout = console()
    _print_counts(found.counts)
    total = sum(sum(row.values()) for row in found.counts.values())
    stdout.print(
        f"\n{total} photos in {escape(folder)}; {total - found.groups} are near-identical to"
        " others, and in the same split"
    )
    for reason, count in sorted(found.left_out.items()):
        stdout.print(f"left out, {reason}: {count}")


def _print_counts(counts: dict[str, dict[str, int]]) -> None:
    table = Table("split", *map(escape, next(iter(counts.values()))), box=None, pad_edge=False)
    for split, row in counts.items():
        table.add_row(escape(split), *map(str, row.values()))
    console().print(table)


def show_unreadable(lines: list[str]) -> None:
    """Name the photos that were left out."""
    if lines:
        console().print(f"\n[yellow]{len(lines)} unreadable photos were left out:[/]")
        show_first(lines, console())


def show_notes(notes: Iterable[str]) -> None:
    """Say how a folder was read, on stderr, so that JSON stays JSON."""
    for note in notes:
        console(stderr=True).print(f"note: {escape(note)}")
