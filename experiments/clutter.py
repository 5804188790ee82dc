"""Draw pictures of shapes, text and patterns without a dish, to train a detector with.

python -m experiments.clutter FOLDER [--photos 130]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.backgrounds import noise_background

Picture = NDArray[np.uint8]
SIZE, SEED = 384, 77
LETTERS = list("abcdefghijklmnop ABCDEFG0123")
SMOOTH = cv2.LINE_AA


def clutter(rng: np.random.Generator) -> Picture:
    """Draw up to 21 things on clouds, stripes or one color, uint8 [SIZE, SIZE, 3]."""
    kind = rng.random()
    if kind < 0.35:
        picture = noise_background(rng, SIZE, SIZE)
    else:
        picture = np.full((SIZE, SIZE, 3), rng.integers(0, 256, 3), np.uint8)
    if kind > 0.85:
        often, angle = rng.uniform(4, 40), rng.uniform(0, np.pi)
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE
        stripes = np.sin(2 * np.pi * often * (x * np.cos(angle) + y * np.sin(angle))) > 0
        picture = np.where(stripes[..., None], picture, rng.integers(0, 256, 3)).astype(np.uint8)
    things = (_rectangle, _polygon, _line, _text, _blob, _checks, _scribble)
    for _ in range(rng.integers(0, 22)):
        things[rng.integers(7)](rng, picture)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.5)), np.uint8)


def _color(rng: np.random.Generator) -> Sequence[int]:
    return rng.integers(0, 256, 3).tolist()


def _spot(rng: np.random.Generator) -> Sequence[int]:
    return rng.integers(-20, SIZE + 20, 2).tolist()


def _rectangle(rng: np.random.Generator, picture: Picture) -> None:
    corner, sides = np.array(_spot(rng)), rng.integers(8, SIZE // 2, 2)
    cv2.rectangle(picture, corner.tolist(), (corner + sides).tolist(), _color(rng), -1)


def _polygon(rng: np.random.Generator, picture: Picture) -> None:
    middle, corners, radius = np.array(_spot(rng)), rng.integers(3, 9), rng.uniform(10, SIZE / 3)
    angles = np.sort(rng.uniform(0, 6.28, corners))
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    points = middle + around * radius * rng.uniform(0.3, 1, (corners, 1))
    cv2.fillPoly(picture, [points.astype(np.int32)], _color(rng), SMOOTH)


def _line(rng: np.random.Generator, picture: Picture) -> None:
    cv2.line(picture, _spot(rng), _spot(rng), _color(rng), int(rng.integers(1, 14)), SMOOTH)


def _text(rng: np.random.Generator, picture: Picture) -> None:
    words, at = "".join(rng.choice(LETTERS, rng.integers(3, 20))), _spot(rng)
    font, scale = int(rng.integers(0, 8)), rng.uniform(0.4, 2.5)
    cv2.putText(picture, words, at, font, scale, _color(rng), int(rng.integers(1, 5)), SMOOTH)


def _blob(rng: np.random.Generator, picture: Picture) -> None:
    """Draw an ellipse, or a part of one, with small ellipses on it."""
    middle, axes = _spot(rng), rng.integers(12, SIZE // 4, 2)
    turn, end = float(rng.uniform(0, 180)), float(rng.uniform(150, 360))
    cv2.ellipse(picture, middle, axes.tolist(), turn, 0, end, _color(rng), -1, SMOOTH)
    for _ in range(rng.integers(2, 7)):
        at = [int(q + rng.normal(0, axis * 0.5)) for q, axis in zip(middle, axes, strict=True)]
        small = (rng.uniform(0.05, 0.35, 2) * axes.min()).astype(int).tolist()
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(picture, at, small, turn, 0, 360, _color(rng), -1, SMOOTH)


def _checks(rng: np.random.Generator, picture: Picture) -> None:
    (x, y), side, color = _spot(rng), int(rng.integers(6, 40)), _color(rng)
    for column in range(rng.integers(2, 8)):
        for row in range(rng.integers(2, 8)):
            at = (x + 2 * side * column, y + 2 * side * row)
            cv2.rectangle(picture, at, (at[0] + side, at[1] + side), color, -1)


def _scribble(rng: np.random.Generator, picture: Picture) -> None:
    steps = rng.normal(0, 25, (rng.integers(4, 30), 2))
    points = [(np.cumsum(steps, 0) + _spot(rng)).astype(np.int32)]
    cv2.polylines(picture, points, False, _color(rng), int(rng.integers(1, 9)), SMOOTH)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.clutter", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=130)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    for number in range(options.photos):
        picture = clutter(np.random.default_rng([SEED, number]))
        path = options.folder / f"{number:03d}.jpg"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


if __name__ == "__main__":
    main()
