"""``python -m benchmarks.corruptions DISHES``: how often bad photos of dirty dishes pass as clean.

DISHES holds ``{train,test}/{clean,dirty}/…``. The limits in `platecheck.quality` were chosen on the
training photos; with ``--measures``, print the distribution of every measure to choose from.
"""

import argparse
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from platecheck.classifier import Classifier, Prediction
from platecheck.cpus import in_threads
from platecheck.evaluation.metrics import Proportion
from platecheck.photo import open_photo
from platecheck.quality import OK, Quality, measure

Corrupt = Callable[[Image.Image], Image.Image]
LEVELS = (0, 1, 2, 50, 98, 99, 100)


def blurred(share: float) -> Corrupt:
    """Gaussian blur with a sigma of 1/share of the width."""
    return lambda photo: photo.filter(ImageFilter.GaussianBlur(photo.width / share))


def darkened(photo: Image.Image, factor: float = 0.12) -> Image.Image:
    return photo.point(lambda level: level * factor)


def overexposed(photo: Image.Image, factor: float = 3) -> Image.Image:
    return photo.point(lambda level: min(255, level * factor))


def noisy(sigma: float) -> Corrupt:
    def corrupt(photo: Image.Image) -> Image.Image:
        rng = np.random.default_rng(photo.width * photo.height)
        noise = rng.normal(0, sigma, (photo.height, photo.width, 3))
        return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))

    return corrupt


def compressed(photo: Image.Image, quality: int = 10) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def shrunk(side: int) -> Corrupt:
    """Reduce the shorter side to a number of pixels."""

    def corrupt(photo: Image.Image) -> Image.Image:
        scale = side / min(photo.size)
        size = (round(photo.width * scale), round(photo.height * scale))
        return photo.resize(size, Image.Resampling.BILINEAR)

    return corrupt


CORRUPTIONS: dict[str, Corrupt] = {
    "as they are": lambda photo: photo,
    "blurred, sigma = width / 80": blurred(80),
    "blurred, sigma = width / 60": blurred(60),
    "blurred, sigma = width / 40": blurred(40),
    "darkened to 12 %": darkened,
    "darkened, blurred by width / 60": lambda photo: darkened(blurred(60)(photo)),
    "JPEG quality 10": compressed,
    "noise, sigma 25": noisy(25),
    "noise, sigma 40": noisy(40),
    "overexposed 3 times": overexposed,
    "40 pixels": shrunk(40),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corruptions", description=__doc__)
    parser.add_argument("dishes", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="plate")
    parser.add_argument("--measures", action="store_true")
    options = parser.parse_args()
    classifier = Classifier.load(options.model)
    folder = options.dishes / options.split
    photos = {name: sorted((folder / name).iterdir()) for name in ("clean", "dirty")}
    print(f"{options.model}, {options.split} photos\n")
    print("| photos | dirty called clean: without the check | with it | clean refused | reasons |")
    print("|---|---|---|---|---|")
    for name, corrupt in CORRUPTIONS.items():
        print(row(name, classifier, photos, corrupt), flush=True)
        if options.measures:
            for label, paths in photos.items():
                measures(label, paths, corrupt)


def row(name: str, classifier: Classifier, photos: dict[str, list[Path]], corrupt: Corrupt) -> str:
    """Return a line of the table."""

    def judge(path: Path) -> Prediction:
        return classifier.predict(corrupt(Image.fromarray(open_photo(path))))

    def unchecked(prediction: Prediction) -> str:
        values = np.array(list(prediction.probabilities.values()))
        return classifier.info.label(values, prediction.ood_score)

    dirty, clean = (list(in_threads(judge, photos[label])) for label in ("dirty", "clean"))
    before = sum(unchecked(prediction) == "clean" for prediction in dirty)
    after = sum(prediction.label == "clean" for prediction in dirty)
    refused = [each.quality for each in clean if each.quality != OK]
    reasons = Counter(each.quality for each in (*dirty, *clean) if each.quality != OK)
    cells = (
        name,
        str(Proportion(count=before, total=len(dirty))),
        str(Proportion(count=after, total=len(dirty))),
        str(Proportion(count=len(refused), total=len(clean))),
        ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()),
    )
    return f"| {' | '.join(cells)} |"


def measures(label: str, paths: list[Path], corrupt: Corrupt) -> None:
    """Print percentiles of every measure."""

    def look(path: Path) -> Quality:
        return measure(np.asarray(corrupt(Image.fromarray(open_photo(path)))))

    found = list(map(asdict, in_threads(look, paths)))
    for field in fields(Quality):
        values = np.percentile([each[field.name] for each in found], LEVELS)
        print(f"  {label} {field.name}:", *(f"{value:.3g}" for value in values))


if __name__ == "__main__":
    main()
