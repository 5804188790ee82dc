"""``platecheck compare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.models import complete_model
from platecheck.cli.options import Data, Json, Split
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError

if TYPE_CHECKING:
    from platecheck.evaluation.evaluate import Evaluation
    from platecheck.evaluation.paired import Comparison

Model = Annotated[
    Path,
    typer.Argument(
        help="A run folder, an exported file, plate, tiny or default.",
        autocompletion=complete_model,
        show_default=False,
    ),
]


def compare(
    a: Model,
    b: Model,
    data: Data,
    split: Split = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Also take B where it is at most this much worse; 0.03: three photos of 100.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether model B is better than model A on photos that neither has learnt from.

    The exit code is 0 where B is better, or with --margin not worse by more than that; 1 otherwise.
    """
    from platecheck.evaluation.evaluate import evaluate, load_model
    from platecheck.evaluation.paired import compare as pair

    found: list[Evaluation] = []
    loaded = [load_model(path) for path in (a, b)]
    shared = next((division for _, division in loaded if division is not None), None)
    for path, (model, own) in zip((a, b), loaded, strict=True):
        with progress_bar(f"evaluating {path}") as bar:
            found.append(
                evaluate(
                    model,
                    data,
                    split=split,
                    division=own or shared,  # so that a split of one is there for both
                    on_start=bar.start,
                    on_photo=bar.advance,
                )
            )
    rights = [_right(evaluation) for evaluation in found]
    common = sorted(rights[0].keys() & rights[1].keys())
    if not common:
        raise DataError(f"{a} and {b} have no photo in common that they can be judged on")
    import numpy as np

    result = pair(*(np.array([right[path] for path in common]) for right in rights))
    changed = {
        "only_a": [str(path) for path in common if rights[0][path] and not rights[1][path]],
        "only_b": [str(path) for path in common if rights[1][path] and not rights[0][path]],
    }
    not_worse = margin is not None and result.not_worse(margin)
    if as_json:
        names = {"a": str(a), "b": str(b), "split": found[0].split}
        judged = {"margin": margin, "not_worse": not_worse} if margin is not None else {}
        print(json.dumps({**names, **result.as_dict(), **judged, "changed": changed}, indent=2))
    else:
        _show(result, a, b, changed)
        for name, evaluation in zip("AB", found, strict=True):
            baseline = evaluation.result.majority_baseline
            if baseline.verdict != "better":
                console().print(f"[yellow]{name}: {escape(str(baseline))}[/]")
        if margin is not None:
            said, colour = ("is not", "green") if not_worse else ("may be", "yellow")
            console().print(f"[{colour}]B {said} worse than A by {margin:.1%} or more.[/]")
    if result.verdict != "better" and not not_worse:
        raise typer.Exit(1)


def _right(evaluation: "Evaluation") -> dict[Path, bool]:
    right = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    return {photo.path: bool(ok) for photo, ok in zip(evaluation.photos, right, strict=True)}


def _show(result: "Comparison", a: Path, b: Path, changed: dict[str, list[str]]) -> None:
    stdout = console()
    n = result.photos
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, path, right in (
        ("A", a, result.both + result.only_a),
        ("B", b, result.both + result.only_b),
    ):
        table.add_row(name, escape(path), f"{right}/{n} = {right / n:.2%}")
    stdout.print(table)
    stdout.print(
        f"both right {result.both}, only A {result.only_a}, only B {result.only_b},"
        f" neither {result.neither}"
    )
    low, high = result.interval
    stdout.print(
        f"B - A = {result.difference:+.1%} (95 % interval {low:+.1%} to {high:+.1%}),"
        f" McNemar's test p = {result.p_value:.2g}"
    )
    for who, photos in (("A", changed["only_a"]), ("B", changed["only_b"])):
        lines = [f"only {who} gets right: {photo}" for photo in photos]
        show_first(lines, stdout, hint=" (--json)")
    stdout.print(
        {
            "better": "[green]B is better than A.[/]",
            "worse": "[red]B is worse than A.[/]",
            "not told apart": "[yellow]These photos do not tell the two apart.[/]",
        }[result.verdict]
    )
