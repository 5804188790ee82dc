"""``python -m benchmarks.inspection``: what `platecheck.Inspector` gets right, with 95 % intervals.

Every folder is optional. Photos that the detector was trained on flatter it: give others.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.cpus import in_threads
from platecheck.data.folders import Photo, read_photos
from platecheck.data.segmentation import MaskCache
from platecheck.detector import iou
from platecheck.evaluation.background_swap import BackgroundSwap
from platecheck.evaluation.compare import Comparison
from platecheck.evaluation.metrics import Proportion
from platecheck.inspector import Dish, Inspection, Inspector
from platecheck.photo import open_photo

MATCH, TIGHT = 0.5, 0.7  # intersections over union
VISIBLE = (0.2, 0.4, 0.6, 0.8, 1.01)
SWAP_SIDE = 576  # pixels of photos on exchanged backgrounds

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--dishes", type=Path, help="{test}/{clean,dirty}/…, one dish a photo")
    parser.add_argument("--scenes", type=Path, help="from `platecheck data render --scenes`")
    parser.add_argument("--split", default="test", help="of --dishes and --scenes")
    parser.add_argument("--full", type=Path, help="sinks with dishes")
    parser.add_argument("--empty", type=Path, action="append", default=[], help="without dishes")
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
    names = [classes[swap.photos[dish].photo.label] for dish in swap.dishes]
    for name, choice in (("random", swap.others), ("the other class's", swap.next_class)):
        chosen = [(dish, swap.draw(dish, choice(dish), 1)) for dish in swap.dishes]
        images = [lambda pair=pair: swap.mixed(*pair) for pair in chosen]
        compare(inspector, f"on {name} backgrounds", images, names)


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
    judged = [(row["label"], dish.label) for row, dish in known if dish]
    share("clean called clean", [label == "clean" for truth, label in judged if truth == "clean"])
    share("clean called dirty", [label == "dirty" for truth, label in judged if truth == "clean"])
    share("dirty called dirty", [label == "dirty" for truth, label in judged if truth == "dirty"])
    share("dirty called clean", [label == "clean" for truth, label in judged if truth == "dirty"])


def match(
    found: Inspection, known: Sequence[dict[str, str]]
) -> Iterator[tuple[dict[str, str] | None, Dish | None]]:
    """Yield each dish that is known with the best that was found, and what was found besides."""
    left = list(found.dishes)
    for row in known:
        if not row["label"]:
            continue
        box = np.array([float(row[side]) for side in ("x0", "y0", "x1", "y1")], np.float32)
        best = max(left, key=lambda dish: overlap(dish.box, box), default=None)
        if best and overlap(best.box, box) >= MATCH:
            left.remove(best)
            yield row, best
        else:
            yield row, None
    yield from ((None, dish) for dish in left)


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
