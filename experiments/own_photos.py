"""``python -m experiments.own_photos FOLDER --clean A… --dirty B…``: what 40 own photos do.

20 clean and 20 dirty photos are drawn from the folders, `plate` is fine-tuned on them as in
docs/own-photos.md, and both models are compared on the rest, on 400 rendered dishes, and on the
test photos of ``--data``. Prints the time of training and export, and a table.
"""

import argparse
import csv
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.feedback_loop import command
from platecheck.data.render import write_dataset

LEARNT = 20  # photos of each class
VALIDATION = 4  # of these


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.own_photos", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--clean", type=Path, nargs="+", required=True)
    parser.add_argument("--dirty", type=Path, nargs="+", required=True)
    parser.add_argument("--data", type=Path, help="real photos of other dishes")
    parser.add_argument("--model", default="plate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="32-true")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True)
    own, rest = folder / "own.csv", folder / "rest.csv"
    chosen = choose({"clean": options.clean, "dirty": options.dirty}, options.seed)
    write_list(own, [row for row in chosen if row[2] != "test"])
    write_list(rest, [row for row in chosen if row[2] == "test"])
    rendered = folder / "rendered"
    write_dataset(rendered, photos=400, seed=103, splits={"test": 1.0})
    started = time.monotonic()
    run_folder, ours = folder / "run", folder / "ours.onnx"
    start = ("--from", options.model, "--out", run_folder, "--precision", options.precision)
    command("train", "plate", "--data", own, *start)
    command("export", run_folder, "--int8", "-o", ours)
    print(f"trained and exported in {time.monotonic() - started:.0f} s")
    print("| photos | before → after | difference |\n|---|---|---|")
    for name in (rest, rendered, *([options.data] if options.data else [])):
        answer = json.loads(command("compare", options.model, ours, "--data", name, "--json"))
        print(row(name.stem, answer), flush=True)


def choose(folders: dict[str, Sequence[Path]], seed: int) -> list[tuple[Path, str, str]]:
    """Return path, class and split of every photo."""
    rng, rows = random.Random(seed), []
    for label, places in folders.items():
        paths = sorted(path for place in places for path in place.iterdir())
        rng.shuffle(paths)
        for number, path in enumerate(paths):
            split = "val" if number < VALIDATION else "train" if number < LEARNT else "test"
            rows.append((path.absolute(), label, split))
    return rows


def write_list(path: Path, rows: Sequence[tuple[Path, str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows(rows)


def row(name: str, found: dict[str, Any]) -> str:
    low, high = found["difference_ci95"]
    before, after = (found["both"] + found[only] for only in ("only_a", "only_b"))
    return (
        f"| {name} | {before} → {after} of {found['photos']} |"
        f" {found['difference']:+.1%} ({low:+.1%} to {high:+.1%}), p {found['p_value']:.2g} |"
    )


if __name__ == "__main__":
    main()
