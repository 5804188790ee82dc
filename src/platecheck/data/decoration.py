"""Decorate dishes with pictures: prints, wreaths, scatter, tiles, writing, relief, lustre.

The glaze keeps its light and shade, and what is on it stays visible through the print.
"""

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.data.pictures import SIDE, color_pictures, letters, symbols
from platecheck.data.segmentation import Mask

Floats = NDArray[np.floating[Any]]
CANVAS = 256  # pixels of a decoration before it is put on a dish
STYLES = {"color": 0.4, "one color": 0.3, "lustre": 0.12, "relief": 0.12, "reserve": 0.06}
# Distance of colours, in levels, from which something is on the glaze, and surely so.
FAINT, PLAIN = 12, 36


def decorate(rng: np.random.Generator, pixels: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Put a random decoration on the dish in a photo [H, W, 3]; `mask` [H, W] is 255 on it."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return pixels
    here = np.s_[top : top + height, left : left + width]
    dish, inside = pixels[here].astype(np.float32), mask[here] > 127
    if not inside.any():
        return pixels
    picture = _draw(rng).rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    layer = np.asarray(picture.resize((width, height), Image.Resampling.BOX), np.float32)
    cover, ink = layer[..., 3] / 255, layer[..., :3]
    style = list(STYLES)[rng.choice(len(STYLES), p=list(STYLES.values()))]
    if style == "relief":
        changed, cover = dish * _relief(rng, cover, ink)[..., None], np.ones_like(cover)
    else:
        if style == "reserve":  # the ground is coloured, the pictures are left out
            cover = 1 - cover
        if style != "color":
            cover = cover * (1 - 0.8 * ink.mean(axis=2) / 255)
            ink = np.broadcast_to(_ink(rng), ink.shape)
        cover = cover * np.float32(
            rng.uniform(0.12, 0.4) if style == "lustre" else rng.uniform(0.6, 1)
        )
        changed = ink * _shade(dish, inside)
    rim = cv2.erode(mask[here], np.ones((3, 3), np.uint8)).astype(np.float32) / 255
    over = (cover * rim * (1 - 0.9 * _stains(dish, inside)))[..., None]
    found = pixels.copy()
    found[here] = np.clip(over * changed + (1 - over) * dish, 0, 255)
    return found


def _shade(dish: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Return the light on a dish, about 1 on its glaze."""
    grey = dish.mean(axis=2, keepdims=True)
    level = max(30.0, float(np.percentile(grey[inside], 70)))
    return np.asarray(np.clip(grey / level, 0.2, 1.25), np.float32)


def _stains(dish: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Return how surely something that is no glaze is on a dish, 0 to 1; shade is none."""
    grey = dish.mean(axis=2)
    level = np.percentile(grey[inside], 60)
    glaze = np.median(dish[inside & (grey >= level)], axis=0)
    shade = grey / max(1.0, float(glaze.mean()))
    far = np.abs(dish - glaze * np.minimum(shade, 1)[..., None]).max(axis=2)
    around = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(1.0, 0.04 * dish.shape[1]))
    found = np.maximum(far, 1.5 * (around - grey))  # specks are darker than what is around them
    return np.asarray(np.clip((found - FAINT) / (PLAIN - FAINT), 0, 1), np.float32)


def _relief(rng: np.random.Generator, cover: Floats, ink: Floats) -> Floats:
    """Return the light on pictures that stand out of the glaze, about 1."""
    deep = cv2.GaussianBlur(cover * (255 - ink.mean(axis=2)) / 255, (0, 0), 1.2)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(deep, cv2.CV_32F, 1, 0, ksize=1) / 2
    slope += np.sin(angle) * cv2.Sobel(deep, cv2.CV_32F, 0, 1, ksize=1) / 2
    return np.asarray(np.clip(1 + rng.uniform(1, 3) * slope, 0.55, 1.4), np.float32)


def _ink(rng: np.random.Generator) -> Floats:
    """Draw the colour of a print; half are blue, as most of those are."""
    hue = rng.normal(0.62, 0.03) if rng.random() < 0.4 else rng.random()
    color = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.1, 1), rng.uniform(0.1, 0.85))
    return 255 * np.array(color, np.float32)


def _draw(rng: np.random.Generator) -> Image.Image:
    """Draw a decoration of pictures on a transparent square; the dish's rim touches its sides."""
    kind = rng.random()
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    if kind < 0.08:
        _write(rng, canvas)
        return canvas
    chosen = _choose(rng, int(rng.integers(1, 5)))
    if kind < 0.3:
        _put(canvas, chosen[0], (0.0, 0.0), rng.uniform(0.8, 1.9), rng.uniform(0, 360))
        if rng.random() < 0.5:
            return canvas
    if kind < 0.68:
        for _ in range(rng.integers(1, 3)):
            _wreath(rng, canvas, chosen)
        if rng.random() < 0.3:
            _put(canvas, chosen[-1], (0.0, 0.0), rng.uniform(0.2, 0.8), rng.uniform(0, 360))
    elif kind < 0.83:
        side = rng.uniform(0.18, 0.6)
        for _ in range(int(rng.integers(4, 30))):
            where = rng.uniform(-1, 1, 2)
            size = side * rng.uniform(0.6, 1.4)
            _put(canvas, chosen[rng.integers(len(chosen))], where, size, rng.uniform(0, 360))
    else:
        _tile(rng, canvas, chosen)
    return canvas


def _choose(rng: np.random.Generator, count: int) -> list[Image.Image]:
    kinds = [symbols(), letters(), *[color_pictures()] * 6]
    source = kinds[rng.integers(len(kinds))] or symbols()
    return [source[rng.integers(len(source))] for _ in range(count)]


def _wreath(rng: np.random.Generator, canvas: Image.Image, chosen: Sequence[Image.Image]) -> None:
    count, far = int(rng.integers(3, 30)), rng.uniform(0.35, 0.92)
    side = min(2 * np.pi * far / count * rng.uniform(0.5, 1.3), rng.uniform(0.15, 0.6))
    for number, turn in enumerate(np.linspace(0, 360, count, endpoint=False)):
        where = far * np.array([np.sin(np.radians(turn)), -np.cos(np.radians(turn))])
        _put(canvas, chosen[number % len(chosen)], where, side, -turn)


def _tile(rng: np.random.Generator, canvas: Image.Image, chosen: Sequence[Image.Image]) -> None:
    gap = rng.uniform(0.12, 0.5)
    side, offset = gap * rng.uniform(0.5, 1.1), rng.choice([0, 0.5])
    rows = range(-int(1 / gap) - 1, int(1 / gap) + 2)
    for row in rows:
        for column in rows:
            where = np.array([column + offset * (row % 2), row]) * gap
            _put(canvas, chosen[(row + column) % len(chosen)], where, side, 0)


def _write(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Write lines of letters."""
    size, middle = rng.uniform(0.1, 0.4), rng.uniform(-0.5, 0.5)
    for line in range(int(rng.integers(1, 4))):
        count = int(rng.integers(2, 12))
        for number in range(count):
            x = (number - (count - 1) / 2) * size * 0.9
            _put(canvas, _letter(rng), (x, middle + 1.3 * size * line), size, 0)


def _letter(rng: np.random.Generator) -> Image.Image:
    return letters()[rng.integers(len(letters()))]


def _put(
    canvas: Image.Image,
    picture: Image.Image,
    where: Sequence[float] | NDArray[np.float64],
    side: float,
    angle: float,
) -> None:
    """Put a picture on the square; x and y are in [-1, 1], and so is `side`'s unit."""
    pixels = max(3, round(side * CANVAS / 2))
    if pixels < SIDE:  # rotating a small picture is faster
        picture = picture.resize((pixels, pixels), Image.Resampling.BILINEAR, reducing_gap=2)
    turned = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True) if angle else picture
    if pixels > SIDE:
        scaled = round(turned.width * pixels / SIDE), round(turned.height * pixels / SIDE)
        turned = turned.resize(scaled, Image.Resampling.BICUBIC)
    x, y = (round((1 + each) * CANVAS / 2 - turned.width / 2) for each in where)
    canvas.paste(turned, (x, y), turned)
