"""``python -m benchmarks.serving.batching``: milliseconds a photo by the size of batches.

On one core; the sizes take turns. The service gives the model one photo at a time unless told
otherwise (``--batch``): this shows why.
"""

import argparse
import json
import os
import statistics
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.timing import seconds
from platecheck.classifier import BUNDLED_MODELS, Classifier
from platecheck.photo import open_photo
from tests.support.photos import read_photos

SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Row:
    """Milliseconds a photo in batches of a size, each round's."""

    model: str
    batch: int
    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median round's."""
        return statistics.median(self.milliseconds)

    def times(self, other: "Row") -> float:
        """How many times as long as another one, the median round's."""
        return statistics.median(
            own / theirs for own, theirs in zip(self.milliseconds, other.milliseconds, strict=True)
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.batching")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--photos", type=int, default=64, help="a round; divisible by 16")
    parser.add_argument("--models", nargs="*", default=list(BUNDLED_MODELS))
    parser.add_argument("--out", type=Path, help="file of JSON")
    options = parser.parse_args()
    rows = [
        row
        for model in options.models
        for row in measure(model, rounds=options.rounds, photos=options.photos)
    ]
    print(table(rows))
    if options.out:
        content = [{**asdict(row), "median": row.median} for row in rows]
        options.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(model: str, *, rounds: int, photos: int) -> list[Row]:
    """All sizes in each round; decoding is left out, since it is the same for all."""
    classifier = Classifier.load(model)
    files = islice(cycle(read_photos()), photos)
    pixels = np.stack([open_photo(file, classifier.size) for file in files])

    def answer(batch: int) -> None:
        for at in range(0, photos, batch):
            classifier.outputs(pixels[at : at + batch])

    for batch in SIZES:  # to get warm
        answer(batch)
    found: dict[int, list[float]] = {batch: [] for batch in SIZES}
    for _ in range(rounds):
        for batch in SIZES:
            spent = seconds(lambda batch=batch: answer(batch))  # type: ignore[misc]
            found[batch].append(spent * 1000 / photos)
    return [Row(model, batch, tuple(found[batch])) for batch in SIZES]


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = [
        f"milliseconds a photo on one of {os.cpu_count()} cores, decoding left out, and how many"
        f" times as long as in batches of 1; medians of {len(rows[0].milliseconds)} rounds",
        "",
        f"| model | {' | '.join(f'batch of {size}' for size in SIZES)} |",
        f"|---|{'---|' * len(SIZES)}",
    ]
    for model in dict.fromkeys(row.model for row in rows):
        of_model = [row for row in rows if row.model == model]
        cells = [
            f"{row.median:.2f} ms, {row.times(of_model[0]):.2f}×"
            if row.batch > 1
            else f"{row.median:.2f} ms"
            for row in of_model
        ]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
