"""``platecheck compare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.options import Json, Split, complete_model
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError

if TYPE_CHECKING:
    from platecheck.evaluation.compare import Comparison
    from platecheck.evaluation.evaluate import Evaluation

ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="Run folder, exported file, plate, mobile, tiny or default.",
        autocompletion=complete_model,
        show_default=False,
    ),
]

PhotosOrList = Annotated[
    Path, typer.Option("--data", help="Folder of photos, one subfolder per class, or a list.")
]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Also accept B if its accuracy is at most this much lower, such as 0.03."
    ),
]


def compare(
    a: ModelArgument,
    b: ModelArgument,
    data: PhotosOrList,
    split: Split = None,
    margin: Margin = None,
    as_json: Json = False,
) -> None:
    """Compare two models on photos that neither was trained on.

    Exit code 0: B is better, or with --margin not worse by more than the margin; 1 otherwise.
    """
    import numpy as np

    from platecheck.evaluation.compare import compare as compare_paired
    from platecheck.evaluation.evaluate import evaluate, load_model

    evaluations = []
    loaded = [load_model(path) for path in (a, b)]
    shared = next((info for _, info in loaded if info is not None), None)
    for path, (model, own) in zip((a, b), loaded, strict=True):
        with progress_bar(f"evaluating {path}") as bar:
            evaluations.append(
                evaluate(
                    model,
                    data,
                    split=split,
                    split_info=own or shared,  # both need the same splits
                    on_start=bar.start,
                    on_photo=bar.advance,
                )
            )
    correct_a, correct_b = (_correct(evaluation) for evaluation in evaluations)
    common = sorted(correct_a.keys() & correct_b.keys())
    if not common:
        raise DataError(f"there are no photos that both {a} and {b} can be evaluated on")
    pair = (np.array([correct[path] for path in common]) for correct in (correct_a, correct_b))
    result = compare_paired(*pair)
    changed = {
        "only_a": [str(path) for path in common if correct_a[path] and not correct_b[path]],
        "only_b": [str(path) for path in common if correct_b[path] and not correct_a[path]],
    }
    not_worse = margin is not None and result.not_worse(margin)
    if as_json:
        names = {"a": str(a), "b": str(b), "split": evaluations[0].split}
        test = {"margin": margin, "not_worse": not_worse} if margin is not None else {}
        print(json.dumps({**names, **result.as_dict(), **test, "changed": changed}, indent=2))
    else:
        _show(result, a, b, changed)
        for name, evaluation in zip("AB", evaluations, strict=True):
            baseline = evaluation.result.majority_baseline
            if baseline.verdict != "better":
                console().print(f"[yellow]{name}: {escape(str(baseline))}[/]")
        if margin is not None:
            verb, color = ("is not", "green") if not_worse else ("may be", "yellow")
            console().print(f"[{color}]B {verb} worse than A by {margin:.1%} or more.[/]")
    if result.verdict != "better" and not not_worse:
        raise typer.Exit(1)


def _correct(evaluation: "Evaluation") -> dict[Path, bool]:
    correct = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    return {photo.path: bool(ok) for photo, ok in zip(evaluation.photos, correct, strict=True)}


def _show(result: "Comparison", a: Path, b: Path, changed: dict[str, list[str]]) -> None:
    stdout = console()
    n = result.photos
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, path, correct in (
        ("A", a, result.both + result.only_a),
        ("B", b, result.both + result.only_b),
    ):
        table.add_row(name, escape(path), f"{correct}/{n} = {correct / n:.2%}")
    stdout.print(table)
    stdout.print(
        f"both correct {result.both}, only A {result.only_a}, only B {result.only_b},"
        f" neither {result.neither}"
    )
    low, high = result.interval
    stdout.print(
        f"B - A = {result.difference:+.1%} (95 % interval {low:+.1%} to {high:+.1%}),"
        f" McNemar's test p = {result.p_value:.2g}"
    )
    for who, photos in (("A", changed["only_a"]), ("B", changed["only_b"])):
        lines = [f"only {who} correct: {photo}" for photo in photos]
        show_first(lines, stdout, hint=" (--json)")
    stdout.print(
        {
            "better": "[green]B is better than A.[/]",
            "worse": "[red]B is worse than A.[/]",
            "not told apart": "[yellow]No significant difference on these photos.[/]",
        }[result.verdict]
    )
