"""``make bench``: writes benchmarks/results.md and benchmarks/results.json.

Uses the real photos ($PLATECHECK_DATA or ../shared/dishes), or rendered dishes where there are
none, and says which.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import torch

from benchmarks import predicting, training
from benchmarks.timing import Row
from platecheck.classifier import BUNDLED_MODELS
from platecheck.data.folders import list_photos
from platecheck.data.render import write_dataset

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(benchmarks(Path(), [], Path())))
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PLATECHECK_CACHE"] = str(Path(folder, "cache"))
        data, described = photos(Path(folder))
        paths = [photo.path for photo in list_photos(data).photos]
        spread = paths[:: max(1, len(paths) // 100)]
        measured = earlier(options.out / "results.json") if options.only else {}
        for name, measure in benchmarks(data, spread, Path(folder)).items():
            if not options.only or name in options.only:
                print(f"measuring: {name}", flush=True)
                measured[name] = measure()
    write(measured, described, options.out)


def earlier(path: Path) -> dict[str, list[Row]]:
    """What was measured before, by name; nothing where there is no such file."""
    found: dict[str, list[Row]] = {}
    if path.is_file():
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            known = {field.name: row[field.name] for field in fields(Row)}
            found.setdefault(row["benchmark"], []).append(Row(**known))
    return found


def benchmarks(data: Path, spread: list[Path], folder: Path) -> dict[str, Callable[[], list[Row]]]:
    """What can be measured, by name."""
    return {
        "start": lambda: [predicting.whole_process(spread[0], rounds=5)],
        "one": lambda: [
            predicting.one_photo(spread[:20], rounds=5, model=model) for model in BUNDLED_MODELS
        ],
        "inspect": lambda: predicting.one_inspection(spread[:20], folder, rounds=5),
        "many": lambda: [predicting.many_photos(spread, rounds=5)],
        "epoch": lambda: training.epochs_from_scratch(data, rounds=3),
        "transfer": lambda: training.transfer_until_good(data),
    }


def photos(folder: Path) -> tuple[Path, str]:
    """Photos to measure with, and what they are."""
    for place in (os.environ.get("PLATECHECK_DATA"), "../shared/dishes"):
        if place and Path(place).is_dir():
            return Path(place), "the real photos"
    write_dataset(folder / "dishes", photos=959, size=512)
    return folder / "dishes", "959 rendered photos of 512 px"


def write(measured: dict[str, list[Row]], described: str, out: Path) -> None:
    """Write the table as Markdown and JSON."""
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    lines = [
        f"Measured with `make bench` on {described}; {machine}. Each ratio is the median of rounds"
        " in which the two took turns (range in brackets); seconds are only a hint. Rows may be of"
        " different days.",
        "",
        "| what | against | ours | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    for row in (row for name in benchmarks(Path(), [], Path()) for row in measured.get(name, [])):
        span = f" ({min(row.ratios):.2f}–{max(row.ratios):.2f})" if len(row.ratios) > 1 else ""
        goal = f"{row.goal:g}×" if row.goal else "–"
        cells = (
            f"{row.what}{'; ' + row.note if row.note else ''}",
            f"{row.baseline}: {row.baseline_seconds:.2f} s",
            f"{row.ours}: {row.ours_seconds:.2f} s",
            f"**{row.ratio:.2f}×**{span}",
            goal,
        )
        lines.append(f"| {' | '.join(cells)} |")
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    (out / "results.md").write_text(text, encoding="utf-8")
    content = {
        "photos": described,
        "machine": machine,
        "rows": [
            asdict(row) | {"ratio": row.ratio, "benchmark": name}
            for name, rows in measured.items()
            for row in rows
        ],
    }
    (out / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
