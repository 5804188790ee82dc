"""``platecheck batch``."""

import json
import sys
from contextlib import redirect_stdout
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from platecheck.cli.options import DetectorOption, Json, ModelOption
from platecheck.cli.photos import COLORS
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape
from platecheck.errors import MissingExtraError, warn_renamed

if TYPE_CHECKING:
    from platecheck.batch.job import JobResult

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Engine(StrEnum):
    """Where predictions run."""

    LOCAL = "local"
    RAY = "ray"


Source = Annotated[
    str,
    typer.Argument(
        help="Folder, glob or manifest (.parquet, .csv, .txt; - for stdin), or a URL of one,"
        " such as s3://bucket/folder."
    ),
]
Inspect = Annotated[
    bool, typer.Option("--inspect", help="Find the dishes first; write a row for each.")
]
Column = Annotated[
    str | None, typer.Option(help="Manifest column that holds the paths \\[default: path].")
]
Keep = Annotated[list[str] | None, typer.Option(help="Manifest column to copy into the output.")]
Root = Annotated[
    str | None,
    typer.Option(
        help="Base folder or URL of relative paths in a manifest; default: current folder."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Concurrent photos (per core with ray); by default one per core, or eight for"
        " remote photos."
    ),
]


def batch(
    source: Source,
    out: Annotated[str, typer.Argument(help="Output file: .parquet, .csv or .jsonl.")],
    model: ModelOption = None,
    inspect: Inspect = False,
    detector: DetectorOption = None,
    column: Column = None,
    keep: Keep = None,
    root: Root = None,
    engine: Annotated[
        Engine, typer.Option(help="Run on this machine, or on a Ray cluster.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster address; by default $RAY_ADDRESS, or a local cluster."),
    ] = None,
    workers: Workers = None,
    shard_rows: Annotated[int, typer.Option(help="Photos per shard (checkpoint).")] = 1000,
    shards: Annotated[
        bool, typer.Option("--shards", help="Write OUT as a folder of shards.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: Json = False,
    part_rows: Annotated[int | None, typer.Option("--part-rows", hidden=True)] = None,
    parts: Annotated[bool, typer.Option("--parts", hidden=True)] = False,
) -> None:
    """Classify an archive of any size; run the same command again to resume.

    Exit code 1 if a photo could not be opened; the error is in its row.
    """
    try:
        from platecheck.batch.job import Job, StoppedError, run
    except ModuleNotFoundError as error:
        raise MissingExtraError("platecheck batch", "batch") from error

    if part_rows is not None:
        warn_renamed("--part-rows", "--shard-rows")
    if parts:
        warn_renamed("--parts", "--shards")
    job = Job(
        source,
        out,
        model=model,
        column=column,
        keep=tuple(keep or ()),
        root=root,
        engine=engine.value,
        address=address,
        workers=workers,
        shard_rows=shard_rows if part_rows is None else part_rows,
        one_file=not (shards or parts),
        overwrite=overwrite,
        inspect=inspect,
        detector=detector,
    )
    try:
        # Ray prints to stdout; keep it out of the summary.
        with redirect_stdout(sys.stderr), progress_bar("listing") as bar:
            result = run(job, bar.update)
    except StoppedError as stopped:
        console(stderr=True).print(escape(str(stopped)))
        raise typer.Exit(INTERRUPTED) from None
    _print(result, as_json=as_json, inspect=inspect)
    if result.counts.errors:
        raise typer.Exit(1)


def _print(result: "JobResult", *, as_json: bool, inspect: bool) -> None:
    counts = result.counts
    if as_json:
        summary = {
            "out": str(result.out),
            "model": result.model,
            "photos": counts.photos,
            "labels": dict(counts.labels),
            "errors": counts.errors,
            "resumed": result.resumed,
            "seconds": round(result.seconds, 3),
        }
        print(json.dumps(summary, indent=2))
    else:
        labels = sorted(counts.labels.items(), key=lambda item: -item[1])
        shown = [f"[{COLORS.get(label, 'bold')}]{escape(label)}[/] {n:,}" for label, n in labels]
        if counts.errors:
            shown.append(f"[yellow]could not be opened[/] {counts.errors:,}")
        photos = f"{counts.photos:,} photos in {escape(result.out)}"
        console().print(f"{photos}{'; dishes' if inspect else ''}: {', '.join(shown)}")
