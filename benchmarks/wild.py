"""``python -m benchmarks.wild DIR``: models on sets of photos from other sources.

DIR holds ``SET/{clean,dirty}/…``, any number of sets. For every set, class and model: how often the
more probable class is right, and the answers given with the thresholds in the file. The last rows
are all photos, the dirty ones called clean, and the calibration error.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from platecheck.classifier import BUNDLED_MODELS, Classifier, Prediction
from platecheck.evaluation.metrics import Proportion, reliability
from platecheck.inputs import read_list

CLASSES = ("clean", "dirty")
ANSWERS = (*CLASSES, "unsure", "not a dish")

Judged = list[tuple[str, str, Prediction]]  # set, true class, answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wild", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--model", nargs="+", default=list(BUNDLED_MODELS))
    parser.add_argument(
        "--without", nargs="*", type=Path, default=[], help="lists of photos, as used in training"
    )
    options = parser.parse_args()
    excluded = {Path(row.path).resolve() for path in options.without for row in read_list(path)}
    photos = [
        (group.name, label, path)
        for group in sorted(options.folder.iterdir())
        for label in CLASSES
        for path in sorted((group / label).glob("*"))
        if path.resolve() not in excluded
    ]
    if not photos:
        parser.error(f"{options.folder} holds no SET/{{clean,dirty}}/…")
    judged = {name: judge(Classifier.load(name), photos) for name in options.model}
    print(f"| photos | {' | '.join(judged)} |")
    print("|---" * (len(judged) + 1) + "|")
    for group, label in dict.fromkeys((group, label) for group, label, _ in photos):
        cells = [
            right([each for each in found if each[:2] == (group, label)])
            for found in judged.values()
        ]
        print(f"| {group}, {label} | {' | '.join(cells)} |")
    print(f"| all | {' | '.join(map(right, judged.values()))} |")
    print(f"| dirty, called clean | {' | '.join(map(missed, judged.values()))} |")
    print(f"| calibration error | {' | '.join(map(calibration, judged.values()))} |")


def judge(classifier: Classifier, photos: list[tuple[str, str, Path]]) -> Judged:
    predictions = classifier.predict_many(path for *_, path in photos)
    return [(*photo[:2], found) for photo, found in zip(photos, predictions, strict=True)]


def right(judged: Judged) -> str:
    """Return how often the more probable class is right, and the answers."""
    correct = [found.top_class == label for _, label, found in judged]
    answers = Counter(found.label for *_, found in judged)
    listed = ", ".join(f"{answers[name]} {name}" for name in ANSWERS if answers[name])
    return f"{Proportion.of(np.array(correct))}; {listed}"


def missed(judged: Judged) -> str:
    dirty = [found.label for _, label, found in judged if label == "dirty"]
    return str(Proportion(count=dirty.count("clean"), total=len(dirty)))


def calibration(judged: Judged) -> str:
    rows = np.array([[found.probabilities[name] for name in CLASSES] for *_, found in judged])
    labels = np.array([CLASSES.index(label) for _, label, _ in judged])
    return f"{reliability(rows, labels).ece:.3f}"


if __name__ == "__main__":
    main()
