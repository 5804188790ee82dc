"""``python -m experiments.drift``: what the service's drift figures say of several sets of photos.

The test photos should be near validation's, dimmed and rendered ones far.
"""

import argparse
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageEnhance

from benchmarks.__main__ import photos
from platecheck.classifier import BUNDLED_MODELS, Classifier, Source
from platecheck.data.folders import checked, list_photos
from platecheck.data.render import write_dataset
from platecheck.data.splits import apply_split
from platecheck.photo import open_photo
from platecheck.serving.observability import Drift

DIM = 0.35


def main() -> None:
    argparse.ArgumentParser(prog="python -m experiments.drift", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, described = photos(folder)
        division = Classifier.load().info.split_info
        divided = apply_split(checked(list_photos(data)), division)
        test: list[Source] = [photo.path for photo in divided.split("test")]
        write_dataset(folder / "rendered", photos=200)
        rendered: list[Source] = [photo.path for photo in list_photos(folder / "rendered").photos]
        sets = {
            f"{described}, those of the test half": test,
            f"the same at {DIM:.0%} of their brightness": [dimmed(path) for path in test],
            "rendered dishes": rendered,
        }
        print("| model | photos | n | answers | features |\n|---|---|---|---|---|")
        for model in BUNDLED_MODELS:
            classifier = Classifier.load(model)
            for described, chosen in sets.items():
                print(
                    f"| {model} | {described} | {len(chosen)} | {distances(classifier, chosen)} |"
                )


def distances(classifier: Classifier, chosen: list[Source]) -> str:
    """Population stability index of the answers and of the features."""
    assert classifier.info.reference
    drift = Drift(classifier.info.reference)
    for answer in classifier.predict_many(chosen):
        drift.add(answer)
    found = (drift.answers(), drift.features())
    return " | ".join("–" if distance is None else f"{distance:.2f}" for distance in found)


def dimmed(path: Source) -> bytes:
    """A photo in little light, as a JPEG file."""
    file = BytesIO()
    ImageEnhance.Brightness(Image.fromarray(open_photo(path))).enhance(DIM).save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    main()
