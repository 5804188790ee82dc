"""How often a model says *not a dish* of pictures that show none, and of rendered dishes.

    python -m experiments.not_a_dish [MODEL]

All pictures are drawn here, none was seen in training.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier
from platecheck.data.backgrounds import extract_background, noise_background
from platecheck.data.render import render_dish
from platecheck.evaluation.metrics import Proportion
from platecheck.model_info import NO_DISH, UNSURE

Picture = NDArray[np.uint8]
COUNT = 100
SEED = 2**20


def solid_color(rng: np.random.Generator, size: int) -> Picture:
    """Black, white, or anything between: a covered lens."""
    colour = rng.choice([0, 255, rng.integers(256)]) + rng.integers(-3, 4, 3)
    picture = np.broadcast_to(colour, (size, size, 3)) + rng.normal(0, 2, (size, size, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def white_noise(rng: np.random.Generator, size: int) -> Picture:
    """Every pixel for itself."""
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def texture(rng: np.random.Generator, size: int) -> Picture:
    """Coloured clouds of several grains."""
    return noise_background(rng, size, size)


def stripes(rng: np.random.Generator, size: int) -> Picture:
    """Stripes, checks and gradients."""
    x = np.linspace(0, 1, size)
    a, b, c = rng.uniform(2, 30), rng.uniform(2, 30), rng.uniform(0.5, 2)
    wave = np.sin(2 * np.pi * a * x)[None] * np.sin(2 * np.pi * b * x)[:, None] ** rng.integers(
        0, 2
    )
    mix = np.clip(0.5 + c * wave / 2, 0, 1)[..., None]
    first, second = rng.uniform(0, 255, (2, 3))
    return (mix * first + (1 - mix) * second).astype(np.uint8)


def face(rng: np.random.Generator, size: int) -> Picture:
    """A head with eyes, nose, mouth and hair before a wall."""
    picture = np.full((size, size, 3), rng.integers(60, 220, 3), np.uint8)
    s, x, y = size / 2, int(size * rng.uniform(0.4, 0.6)), int(size * rng.uniform(0.4, 0.6))
    skin = (np.array([235, 190, 160]) * rng.uniform(0.35, 1.05)).clip(0, 255).tolist()
    hair = rng.integers(10, 120, 3).tolist()
    wide, high = int(s * rng.uniform(0.35, 0.55)), int(s * rng.uniform(0.55, 0.75))
    cv2.ellipse(
        picture, (x, y + high), (2 * wide, high), 0, 180, 360, rng.integers(0, 256, 3).tolist(), -1
    )
    cv2.ellipse(
        picture, (x, y - high // 6), (int(wide * 1.15), int(high * 1.1)), 0, 0, 360, hair, -1
    )
    cv2.ellipse(picture, (x, y), (wide, high), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = (x + side * wide // 2, y - high // 5)
        cv2.ellipse(
            picture, eye, (wide // 5, high // 10), 0, 0, 360, (250, 250, 250), -1, cv2.LINE_AA
        )
        cv2.circle(picture, eye, max(1, high // 14), (40, 30, 20), -1, cv2.LINE_AA)
    cv2.line(picture, (x, y), (x - wide // 10, y + high // 4), (120, 80, 60), 2, cv2.LINE_AA)
    cv2.ellipse(picture, (x, y + high // 2), (wide // 3, high // 9), 0, 0, 180, (150, 50, 50), -1)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.5))


def street(rng: np.random.Generator, size: int) -> Picture:
    """Sky, houses with windows, a road."""
    picture = np.zeros((size, size, 3), np.uint8)
    ground = int(size * rng.uniform(0.55, 0.75))
    picture[:] = rng.integers(120, 255, 3)
    left = 0
    while left < size:
        wide, top = int(size * rng.uniform(0.12, 0.3)), int(ground * rng.uniform(0.1, 0.7))
        cv2.rectangle(
            picture, (left, top), (left + wide, ground), rng.integers(40, 220, 3).tolist(), -1
        )
        pane, glass = max(4, int(size * rng.uniform(0.02, 0.05))), rng.integers(20, 250, 3).tolist()
        for row in range(top + pane, ground - pane, 2 * pane):
            for column in range(left + pane, left + wide - pane, 2 * pane):
                cv2.rectangle(picture, (column, row), (column + pane, row + pane), glass, -1)
        left += wide
    picture[ground:] = rng.integers(40, 110)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2))


def page(rng: np.random.Generator, size: int) -> Picture:
    """A printed page."""
    picture = np.full((size, size, 3), rng.integers(225, 256), np.uint8)
    letters = list("abcdefghijklmnopqrstuvwxyz     ")
    for row in range(size // 12, size, max(8, size // 18)):
        text = "".join(rng.choice(letters, 40))
        cv2.putText(
            picture,
            text,
            (size // 20, row),
            cv2.FONT_HERSHEY_SIMPLEX,
            size / 700,
            (30, 30, 30),
            1,
            cv2.LINE_AA,
        )
    return picture


def bare_table(rng: np.random.Generator, size: int) -> Picture:
    """A rendered table without a dish."""
    while True:
        dish = render_dish(rng, size=size)
        table = extract_background(
            dish.photo, np.where(dish.dish_mask, 255, 0).astype(np.uint8), rng
        )
        if table is not None:
            return table


def rendered_dish(rng: np.random.Generator, size: int) -> Picture:
    """A dish, for comparison: calling it no dish is a mistake."""
    return render_dish(rng, size=size, label=str(rng.choice(["clean", "dirty"]))).photo


KINDS: tuple[Callable[[np.random.Generator, int], Picture], ...] = (
    solid_color, white_noise, texture, stripes, face, street, page, bare_table, rendered_dish,
)  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.not_a_dish", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path)
    options = parser.parse_args()
    classifier = Classifier.load(options.model)
    print(f"| {COUNT} each | not a dish (95 % interval) | unsure | clean | dirty |")
    print("|---|---|---|---|---|")
    for kind in KINDS:
        rngs = [np.random.default_rng([SEED, index]) for index in range(COUNT)]
        pixels = [kind(rng, classifier.size) for rng in rngs]
        labels = []
        for start in range(0, COUNT, 10):
            found = classifier.outputs(np.stack(pixels[start : start + 10]))
            odd = found.ood_score if found.ood_score is not None else [None] * 10
            labels += [
                classifier.info.label(row, None if oddness is None else float(oddness))
                for row, oddness in zip(found.probabilities, odd, strict=True)
            ]
        count = labels.count
        others = " | ".join(str(count(name)) for name in (UNSURE, *classifier.classes))
        name = kind.__name__.replace("_", " ")
        print(f"| {name} | {Proportion(count=count(NO_DISH), total=COUNT)} | {others} |")


if __name__ == "__main__":
    main()
