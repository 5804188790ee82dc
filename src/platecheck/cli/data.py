"""``platecheck data``: measure, download, render and collect photos."""

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from platecheck.cli.options import FeedbackPhotos, FeedbackUrl, Json, Photos, Strict
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, count_table, escape, show_first
from platecheck.errors import MissingExtraError, warn_renamed
from platecheck.files import check_writable

app = typer.Typer(help="Measure, download, render and collect photos.", no_args_is_help=True)


@app.command()
def stats(
    folder: Photos,
    size: Annotated[int, typer.Option(min=2, max=4096, help="Resize to this many pixels.")] = 128,
    split: Annotated[
        str | None, typer.Option(help="Split to measure; default: train, or the only one.")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Compute channel means and standard deviations, and count photos."""
    from platecheck.data.folders import checked, list_photos
    from platecheck.data.statistics import channel_statistics

    listed = list_photos(folder)
    with progress_bar("reading", len(listed.photos)) as bar:
        photos = checked(listed, strict=strict, on_photo=bar.advance)
    show_notes(photos.notes)
    name = split or ("train" if "train" in photos.splits else photos.splits[0])
    chosen = photos.split(name)
    with progress_bar("measuring", len(chosen)) as bar:
        paths = [photo.path for photo in chosen]
        found = channel_statistics(paths, size=size, on_photo=bar.advance)
    if as_json:
        content = asdict(found) | {
            "split": name,
            "size": size,
            "counts": photos.counts(),
            "unreadable": [{"path": e.source, "reason": e.reason} for e in photos.unreadable],
            "fingerprint": photos.fingerprint(),
        }
        print(json.dumps(content, indent=2))
        raise typer.Exit(1 if photos.unreadable else 0)
    stdout = console()
    stdout.print(count_table(photos.counts()))
    table = Table("", "red", "green", "blue", box=None, pad_edge=False)
    rows = ("mean", "std (mean over photos)", "std (pooled)")
    for row, values in zip(rows, (found.mean, found.std, found.pooled_std), strict=True):
        table.add_row(row, *(f"{value:.4f}" for value in values))
    stdout.print(
        f"\n{found.photos} photos of '{escape(name)}' at {size}×{size}, values from 0 to 1:"
    )
    stdout.print(table)
    show_unreadable([str(error) for error in photos.unreadable])
    raise typer.Exit(1 if photos.unreadable else 0)


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="New folder to create.")],
    photos: Annotated[
        int,
        typer.Option(
            "--photos", "-n", min=4, help="Number of photos, at least 6 if not of scenes."
        ),
    ] = 400,
    size: Annotated[
        int | None,
        typer.Option(
            min=32, max=1280, help="Width and height in pixels; default: 256, or 640 for scenes."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    confound: Annotated[
        float,
        typer.Option(
            min=0.5, max=1.0, help="Probability that the background matches the class; 0.5: chance."
        ),
    ] = 0.5,
    kind: Annotated[
        str | None,
        typer.Option(help="Render one kind only: plate, bowl, steel …, or with --scenes: rack …"),
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write masks of dish and dirt.")
    ] = False,
    scenes: Annotated[
        bool,
        typer.Option("--scenes", help="Render racks, trays, sinks, tables … with boxes for YOLO."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Render synthetic clean and dirty dishes, or scenes of many dishes."""
    try:
        from platecheck.data.render import write_dataset, write_scenes
    except ModuleNotFoundError as error:
        raise MissingExtraError("Rendering dishes", "data") from error

    if scenes and confound != 0.5:
        raise typer.BadParameter("scenes have no class; omit --confound")
    check_writable(folder, folder=True)
    write: Callable[..., Any] = (
        write_scenes if scenes else partial(write_dataset, confound=confound)
    )
    with progress_bar("rendering", photos) as bar:
        found = asdict(
            write(
                folder,
                photos=photos,
                size=size or (640 if scenes else 256),
                seed=seed,
                kind=kind,
                masks=masks,
                on_progress=lambda _: bar.advance(),
            )
        )
    if as_json:
        for key in {"counts", "backgrounds"} & found.keys():  # JSON has no keys of two words
            found[key] = {"/".join(pair): count for pair, count in found[key].items()}
        print(json.dumps(found | {"folder": str(folder)}, indent=2))
        return
    what = "scenes" if scenes else "dishes"
    console().print(f"{photos} photos of rendered {what} in {escape(folder)}")


@app.command("synth", hidden=True)
@wraps(render)
def _synth(*args: Any, **options: Any) -> None:
    warn_renamed("platecheck data synth", "platecheck data render")
    render(*args, **options)


@app.command()
def fetch(
    folder: Annotated[Path, typer.Argument(help="Destination folder.")] = Path("dishes"),
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy from this folder instead of downloading.")
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Fetch only this split; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Parallel downloads.")] = 8,
) -> None:
    """Download the public set of 1178 photos, resuming an interrupted download."""
    from platecheck.data.download import fetch as download

    with progress_bar("fetching") as bar:
        result = download(
            folder,
            source=source,
            splits=splits,
            workers=workers,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    console().print(escape(result.summary()))
    show_first([f"{path}: {reason}" for path, reason in result.failed.items()], console())
    if not result.complete:
        raise typer.Exit(1)


@app.command()
def collect(
    url: FeedbackUrl,
    folder: Annotated[Path, typer.Argument(help="New folder to create.")],
    photos: FeedbackPhotos = None,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Also use unreviewed user labels.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    as_json: Json = False,
) -> None:
    """Create a training folder from reviewed feedback."""
    try:
        from platecheck.feedback.collect import collect as collect_feedback
        from platecheck.feedback.store import open_store
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Collecting feedback", "data,feedback") from error

    check_writable(folder, folder=True)
    with closing(open_store(url, photos)) as store, progress_bar("collecting") as bar:
        found = collect_feedback(
            store,
            folder,
            unreviewed=unreviewed,
            seed=seed,
            on_start=bar.start,
            on_photo=bar.advance,
        )
    if as_json:
        print(json.dumps(asdict(found) | {"folder": str(folder)}, indent=2))
        return
    stdout = console()
    stdout.print(count_table(found.counts))
    total = sum(sum(row.values()) for row in found.counts.values())
    stdout.print(
        f"\n{total} photos in {escape(folder)}; {total - found.groups} are near-identical to"
        " others, and in the same split"
    )
    for reason, count in sorted(found.left_out.items()):
        stdout.print(f"excluded, {reason}: {count}")


def show_unreadable(lines: list[str]) -> None:
    """Print the photos that could not be read."""
    if lines:
        console().print(f"\n[yellow]{len(lines)} unreadable photos were skipped:[/]")
        show_first(lines, console())


def show_notes(notes: Iterable[str]) -> None:
    """Print notes about reading a folder to stderr, so that stdout stays parseable."""
    for note in notes:
        console(stderr=True).print(f"note: {escape(note)}")
