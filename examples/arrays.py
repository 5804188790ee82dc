"""Classify images that are already in memory: python examples/arrays.py PHOTO...

Images from OpenCV are NumPy arrays in the channel order blue, green, red: pass ``color="bgr"``.
`predict_many` takes any iterable, reads it as needed and keeps the order.
"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck import Classifier


def images(paths: list[str]) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        image = cv2.imread(path)
        if image is None:
            sys.exit(f"{path} cannot be read")
        yield image


if __name__ == "__main__":
    paths = sys.argv[1:]
    predictions = Classifier.load().predict_many(images(paths), color="bgr")
    for path, prediction in zip(paths, predictions, strict=True):
        print(f"{path}: {prediction.label} {prediction.probability:.1%}")
