"""``platecheck audit``."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.data import show_notes
from platecheck.cli.options import Json, Photos
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import count_table, show_first, shown, terminal
from platecheck.errors import MissingExtraError
from platecheck.files import check_writable

if TYPE_CHECKING:
    from platecheck.audit.audit import Audit

SHOWN_OF_A_KIND = 5
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


class FailOn(StrEnum):
    """What makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


def audit(
    folder: Photos,
    report: Annotated[
        Path | None, typer.Option(help="Write one HTML page with thumbnails.")
    ] = None,
    as_json: Json = False,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with 1 when something as bad as this, or worse, is found.")
    ] = FailOn.ERROR,
    exclusions: Annotated[
        Path | None,
        typer.Option("--write-exclusions", help="Write a table of photos to leave out."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the cross-validation.")] = 0,
) -> None:
    """Find what is wrong with photos: copies, leaks, doubtful labels, shortcuts."""
    try:
        from platecheck.audit.audit import audit as examine
        from platecheck.audit.findings import Severity
        from platecheck.audit.page import write_page
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Auditing photos", "audit") from error
    from platecheck.data.exclusions import write_exclusions

    for wanted in filter(None, (report, exclusions)):
        check_writable(wanted)
    found = examine(folder, seed=seed, stage=_stage)
    show_notes(found.photos.notes)
    if exclusions:
        write_exclusions(exclusions, found.exclusions)
    if report:
        with _stage("writing", len(found.findings)) as advance:
            write_page(found, report, exclusion_list=exclusions, on_finding=lambda: advance(1))
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)
        for path, what in ((report, "report"), (exclusions, "exclusions")):
            if path:
                terminal().print(f"\n{what}: {shown(path)}")
        for command in found.next_steps(exclusions):
            terminal().print(f"\nnext: {shown(command)}")
    if fail_on is not FailOn.NEVER and found.fails(Severity(fail_on.value)):
        raise typer.Exit(1)


@contextmanager
def _stage(title: str, steps: int) -> Iterator[Callable[[int], None]]:
    with progress_bar(title, steps) as bar:
        yield bar.advance


def _show(found: "Audit") -> None:
    console = terminal()
    photos = found.photos
    console.print(count_table(photos.counts()))
    console.print(f"\n[bold]{shown(found.verdict)}[/]")
    if found.probes:
        console.print("\nRight answers without the dish (95 % interval) vs the commonest class:")
        console.print(_shortcuts(found))
    for severity, colour in _COLOURS.items():
        kinds: dict[str, list[str]] = {}
        for finding in found.findings:
            if finding.severity == severity and finding.kind != "shortcut":
                names = "  ".join(finding.photos)
                kinds.setdefault(finding.kind, []).append(f"{finding.message} {names}")
        for kind, lines in kinds.items():
            console.print(f"\n[{colour}]{severity}[/] {kind.replace('_', ' ')}: {len(lines)}")
            show_first(lines, console, most=SHOWN_OF_A_KIND, hint=" (--json lists all)")
    if not found.findings:
        console.print("\nNothing is wrong with these photos, as far as this audit can see.")


def _shortcuts(found: "Audit") -> Table:
    columns = ["seen", f"inside {shown(found.learned_from)}"]
    if any(probe.outside for probe in found.probes):
        columns.append(f"on {shown(' and '.join(found.tried_on))}")
    table = Table(*columns, "", box=None, pad_edge=False)
    for probe in found.probes:
        row = [probe.probe.name.replace("_", " ")]
        for score in (probe.inside, probe.outside)[: len(columns) - 1]:
            if score is None:
                row.append("–")
                continue
            low, high = score.accuracy_ci95
            row.append(f"{score.accuracy:.1%} ({low:.0%}–{high:.0%}) vs {score.majority:.0%}")
        table.add_row(*row, "[bold red]shortcut[/]" if probe.found else "")
    return table
