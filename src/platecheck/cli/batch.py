"""``platecheck batch``."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from platecheck.cli.options import ModelOption
from platecheck.cli.predict import COLORS
from platecheck.cli.terminal import console, escape
from platecheck.errors import MissingExtraError

if TYPE_CHECKING:
    from platecheck.batch.job import JobResult, OnProgress

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Engine(StrEnum):
    """Where predictions run."""

    LOCAL = "local"
    RAY = "ray"


def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder, glob or manifest (.parquet, .csv, .txt; - for stdin), or a URL of one,"
            " such as s3://bucket/folder."
        ),
    ],
    out: Annotated[str, typer.Argument(help="Output file: .parquet, .csv or .jsonl.")],
    model: ModelOption = None,
    column: Annotated[
        str | None, typer.Option(help="Manifest column that holds the paths \\[default: path].")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Manifest column to copy into the output.")
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            help="Base folder or URL of relative paths in a manifest; default: current folder."
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Run on this machine, or on a Ray cluster.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster address; by default $RAY_ADDRESS, or a local cluster."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Concurrent photos (per core with ray); by default one per core, or eight for"
            " remote photos."
        ),
    ] = None,
    part_rows: Annotated[int, typer.Option(help="Photos per shard, the unit of resuming.")] = 1000,
    parts: Annotated[
        bool, typer.Option("--parts", help="Write OUT as a folder of shards.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
) -> None:
    """Classify an archive of any size; run the same command again to resume.

    Exit code 1 if a photo could not be opened; the error is in its row.
    """
    try:
        from platecheck.batch.job import Job, StoppedError, run
    except ModuleNotFoundError as error:
        raise MissingExtraError("platecheck batch", "batch") from error

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
        part_rows=part_rows,
        one_file=not parts,
        overwrite=overwrite,
    )
    try:
        # Ray prints to stdout; keep it out of the summary.
        with redirect_stdout(sys.stderr), _progress() as on_progress:
            result = run(job, on_progress)
    except StoppedError as stopped:
        console(stderr=True).print(escape(str(stopped)))
        raise typer.Exit(INTERRUPTED) from None
    _print(result, as_json=as_json)
    if result.counts.errors:
        raise typer.Exit(1)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} photos/s" if speed else "")


@contextmanager
def _progress() -> Iterator["OnProgress"]:
    """Show a bar with the rate while the block runs."""
    stderr = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=stderr, disable=not stderr.is_terminal, speed_estimate_period=60
    ) as progress:
        task = progress.add_task("", total=None, visible=False)

        def on_progress(title: str, done: int, total: int | None) -> None:
            if progress.tasks[0].description == title:
                progress.update(task, completed=done)
            else:  # without a reset, resumed photos would count towards the rate
                progress.reset(task, description=title, total=total, completed=done, visible=True)

        yield on_progress


def _print(result: "JobResult", *, as_json: bool) -> None:
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
        console().print(f"{counts.photos:,} photos in {escape(result.out)}: {', '.join(shown)}")
