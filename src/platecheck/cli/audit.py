"""``platecheck audit``."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.data import show_notes
from platecheck.cli.options import Json, Photos
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, count_table, escape, show_first
from platecheck.errors import MissingExtraError
from platecheck.files import check_writable

if TYPE_CHECKING:
    from platecheck.auditing.audit import Audit

MAX_PER_KIND = 5
_COLORS = {"error": "bold red", "warning": "yellow", "note": "dim"}


class FailOn(StrEnum):
    """Lowest severity that makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


def audit(
    folder: Photos,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    as_json: Json = False,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with code 1 on findings of this severity or worse.")
    ] = FailOn.ERROR,
    exclusions: Annotated[
        Path | None,
        typer.Option("--write-exclusions", help="Write a CSV list of photos to exclude."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cross-validation.")] = 0,
) -> None:
    """Find duplicates, leaks, label errors, bad photos and shortcuts in a data set."""
    try:
        from platecheck.auditing.audit import audit as run_audit
        from platecheck.auditing.findings import Severity
        from platecheck.report.audit import write_page
    except (ModuleNotFoundError, MissingExtraError) as error:
        raise MissingExtraError("Auditing photos", "audit") from error
    from platecheck.data.exclusions import write_exclusions

    for path in filter(None, (report, exclusions)):
        check_writable(path)
    found = run_audit(folder, seed=seed, stage=progress_bar)
    show_notes(found.photos.notes)
    if exclusions:
        write_exclusions(exclusions, found.exclusions)
    if report:
        with progress_bar("writing", len(found.findings)) as advance:
            write_page(found, report, exclusion_list=exclusions, on_finding=advance)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)
        for output, name in ((report, "report"), (exclusions, "exclusions")):
            if output:
                console().print(f"\n{name}: {escape(output)}")
        for command in found.next_steps(exclusions):
            console().print(f"\nnext: {escape(command)}")
    if fail_on is not FailOn.NEVER and found.fails(Severity(fail_on.value)):
        raise typer.Exit(1)


def _show(found: "Audit") -> None:
    stdout = console()
    photos = found.photos
    stdout.print(count_table(photos.counts()))
    stdout.print(f"\n[bold]{escape(found.verdict)}[/]")
    if found.probes:
        stdout.print("\nAccuracy without the dish (95 % interval) vs the most frequent class:")
        stdout.print(_shortcuts(found))
    for severity, color in _COLORS.items():
        kinds: dict[str, list[str]] = {}
        for finding in found.findings:
            if finding.severity == severity and finding.kind != "shortcut":
                names = "  ".join(finding.photos)
                kinds.setdefault(finding.kind, []).append(f"{finding.message} {names}")
        for kind, lines in kinds.items():
            stdout.print(f"\n[{color}]{severity}[/] {kind.replace('_', ' ')}: {len(lines)}")
            show_first(lines, stdout, most=MAX_PER_KIND, hint=" (--json lists all)")
    if not found.findings:
        stdout.print("\nNo problems found.")


def _shortcuts(found: "Audit") -> Table:
    columns = ["probe", f"inside {escape(found.learned_from)}"]
    if any(probe.outside for probe in found.probes):
        columns.append(f"on {escape(' and '.join(found.tried_on))}")
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
