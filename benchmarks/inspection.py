"""``python -m benchmarks.inspection``: what `platecheck.Inspector` gets right, with 95 % intervals.

Every folder is optional. Photos that the detector was trained on flatter it: give others.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.not_a_dish import KINDS, SEED
from platecheck.cpus import in_threads
from platecheck.data.composite import compose_scene
from platecheck.data.folders import Photo, read_photos
from platecheck.data.segmentation import MaskCache
from platecheck.detector import iou
from platecheck.evaluation.background_swap import BackgroundSwap
from platecheck.evaluation.compare import Comparison
from platecheck.evaluation.metrics import Proportion, reliability
from platecheck.inspector import Dish, Inspection, Inspector
from platecheck.photo import open_photo

MATCH, TIGHT = 0.5, 0.7  # intersections over union
VISIBLE = (0.2, 0.4, 0.6, 0.8, 1.01)
SWAP_SIDE = 576  # pixels of photos on exchanged backgrounds
SCENES, WHOLE = (
    400,
    0.9,
)  # composed scenes; visible share of dishes that count, as dirt may be hidden

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--dishes", type=Path, help="{test}/{clean,dirty}/…, one dish a photo")
    parser.add_argument("--scenes", type=Path, help="from `platecheck data render --scenes`")
    parser.add_argument("--split", default="test", help="of --dishes and --scenes")
    parser.add_argument("--full", type=Path, help="sinks with dishes")
    parser.add_argument("--empty", type=Path, action="append", default=[], help="without dishes")
    parser.add_argument("--drawn", type=int, default=0, help="pictures of each kind without dishes")
    parser.add_argument("--model", default="plate")
    parser.add_argument("--detector", help="an ONNX file [default: dishes]")
    options = parser.parse_args()
    inspector = Inspector.load(options.model, options.detector)
    if options.dishes:
        single_dishes(inspector, options.dishes, options.split)
    if options.scenes:
        rendered_scenes(inspector, options.scenes, options.split)
    if options.full:
        verdicts(inspector, options.full)
    for folder in options.empty:
        verdicts(inspector, folder)
    for kind in KINDS if options.drawn else ():
        draws = (np.random.default_rng([SEED, number]) for number in range(options.drawn))
        found = [inspector.detector.detect(kind(rng, inspector.classifier.size)) for rng in draws]
        share(f"{kind.__name__}: no dish found", [not each for each in found])


def share(name: str, hits: Sequence[bool]) -> None:
    print(f"  {name}: {Proportion(count=sum(hits), total=len(hits))}", flush=True)


def single_dishes(inspector: Inspector, folder: Path, split: str) -> None:
    """Compare boxes with masks, and verdicts with those of `Classifier.predict`."""
    photos = [photo for photo in read_photos(folder).photos if photo.split == split]
    classes = read_photos(folder).classes
    masks = MaskCache()

    def look(photo: Photo) -> tuple[bool, float | None]:
        pixels, mask = open_photo(photo.path), masks.get(photo)
        found = inspector.detector.detect(pixels)
        if not mask.good:
            return len(found) == 1, None
        outline = np.array(mask.outline, np.float32) * pixels.shape[1::-1]
        box = np.concatenate((outline.min(0), outline.max(0)))
        return len(found) == 1, max((overlap(each.box, box) for each in found), default=0.0)

    print(f"{folder}, {split} photos")
    looked = [each for each in in_threads(look, photos) if each[1] is not None]
    share("exactly one dish, IoU 0.7 or more with its mask's box",
          [one and overlap >= TIGHT for one, overlap in looked])  # fmt: skip
    names = [classes[photo.label] for photo in photos]
    compare(
        inspector, "as they are", [lambda p=photo: open_photo(p.path) for photo in photos], names
    )
    swap = BackgroundSwap(photos, SWAP_SIDE, seed=0)
    composed_scenes(inspector, swap, classes)
    names = [classes[swap.photos[dish].photo.label] for dish in swap.dishes]
    for name, choice in (("random", swap.others), ("the other class's", swap.next_class)):
        chosen = [(dish, swap.draw(dish, choice(dish), 1)) for dish in swap.dishes]
        images = [lambda pair=pair: swap.mixed(*pair) for pair in chosen]
        compare(inspector, f"on {name} backgrounds", images, names)


def composed_scenes(inspector: Inspector, swap: BackgroundSwap, classes: Sequence[str]) -> None:
    """Judge dishes in scenes of several: their crops come from the detector."""

    def mask(index: int) -> NDArray[np.uint8]:
        return swap.photos[index].dish_mask.mask(swap.size, swap.size)

    def judge(number: int) -> list[tuple[str, Dish | None]]:
        rng = np.random.default_rng(number)
        chosen = rng.choice(swap.dishes, int(rng.integers(2, 6)), replace=False).tolist()
        dishes = [np.dstack((swap.original(i), mask(i))) for i in chosen]
        table = swap.only_background(int(rng.choice(swap.backgrounds)))
        photo, boxes, visible = compose_scene(rng, dishes, table, 1024)
        if len(boxes) < len(dishes):
            return []  # one is hidden, but which?
        left = list(inspector.inspect(photo).dishes)
        known = [
            (classes[swap.photos[i].photo.label], take(left, box))
            for i, box in zip(chosen, boxes, strict=True)
        ]
        return [pair for pair, share in zip(known, visible, strict=True) if share >= WHOLE]

    judged = [pair for pairs in in_threads(judge, range(SCENES)) for pair in pairs]
    print(f"  {SCENES} scenes of 2 to 5 of these dishes; those of which hardly anything is hidden")
    share("dishes found", [dish is not None for _, dish in judged])
    labels(judged)
    found = [(truth, dish.prediction) for truth, dish in judged if dish]
    rows = np.array([list(each.probabilities.values()) for _, each in found])
    truths = np.array([list(found[0][1].probabilities).index(truth) for truth, _ in found])
    share("most probable class right", (rows.argmax(1) == truths).tolist())
    print(f"  expected calibration error {reliability(rows, truths).ece:.3f}")


def labels(judged: Sequence[tuple[str, Dish | None]]) -> None:
    """Count the labels of dishes that were found, by the true one."""
    for truth, label in product(("clean", "dirty"), repeat=2):
        said = [dish.label == label for true, dish in judged if dish and true == truth]
        share(f"{truth} called {label}", said)
    for label in ("clean", "dirty"):
        wrong = [truth != label for truth, dish in judged if dish and dish.label == label]
        share(f"of those called {label}, wrong", wrong)


def compare(
    inspector: Inspector, name: str, images: Sequence[Callable[[], Pixels]], truth: Sequence[str]
) -> None:
    """Count right answers of `Classifier.predict` and of `Inspector.inspect` on the same photos."""

    def judge(image: Callable[[], Pixels]) -> tuple[str, Inspection]:
        pixels = image()
        return inspector.classifier.predict(pixels).label, inspector.inspect(pixels)

    judged = list(in_threads(judge, images))
    a = np.array([label for label, _ in judged]) == truth
    b = np.array([found.verdict for _, found in judged]) == truth
    pair = Comparison(
        int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum())
    )
    share(f"{name}: predict right", a.tolist())
    share(f"{name}: inspect right", b.tolist())
    print(f"    only predict {pair.only_a}, only inspect {pair.only_b}, p = {pair.p_value:.3f}")
    dirty = [
        found.verdict == "clean"
        for (_, found), label in zip(judged, truth, strict=True)
        if label != "clean"
    ]
    share(f"{name}: dirty called clean by inspect", dirty)


def rendered_scenes(inspector: Inspector, folder: Path, split: str) -> None:
    """Match dishes with what was rendered: found, labels, errors by visible share."""
    rows: dict[str, list[dict[str, str]]] = {}
    with (folder / "scenes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["photo"].split("/")[1] == split and (folder / row["photo"]).exists():
                rows.setdefault(row["photo"], []).append(row)
    inspections = inspector.inspect_many(folder / name for name in rows)
    matched = [
        pair
        for found, known in zip(inspections, rows.values(), strict=True)
        for pair in match(found, known)
    ]
    print(f"{folder}, {split} scenes")
    known = [(row, dish) for row, dish in matched if row]
    share("dishes found", [dish is not None for _, dish in known])
    for low, high in pairwise(VISIBLE):
        seen = [dish is not None for row, dish in known if low <= float(row["visible"]) < high]
        share(f"dishes found, {low:.0%} to {min(high, 1):.0%} visible", seen)
    share("found that are none", [row is None for row, dish in matched if dish])
    labels([(row["label"], dish) for row, dish in known])


def match(
    found: Inspection, known: Sequence[dict[str, str]]
) -> Iterator[tuple[dict[str, str] | None, Dish | None]]:
    """Yield each dish that is known with the best that was found, and what was found besides."""
    left = list(found.dishes)
    for row in known:
        if not row["label"]:
            continue
        box = np.array([float(row[side]) for side in ("x0", "y0", "x1", "y1")], np.float32)
        yield row, take(left, box)
    yield from ((None, dish) for dish in left)


def take(left: list[Dish], box: NDArray[np.float32]) -> Dish | None:
    """Remove and return the dish that matches a box best, if any does."""
    best = max(left, key=lambda dish: overlap(dish.box, box), default=None)
    if best is None or overlap(best.box, box) < MATCH:
        return None
    left.remove(best)
    return best


def verdicts(inspector: Inspector, folder: Path) -> None:
    """Count the verdicts on photos of places."""
    photos = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [each for each in inspector.inspect_many(photos) if not each.error]
    print(folder, dict(Counter(each.verdict for each in found)))
    share("no dish found", [not each.dishes for each in found])
    share("called clean", [each.verdict == "clean" for each in found])


def overlap(box: Sequence[float], other: NDArray[np.float32]) -> float:
    return float(iou(other, np.array([box], np.float32))[0])


if __name__ == "__main__":
    main()
