"""Decorate dishes: paintings, twigs, wreaths, scatter, tiles, writing; relief, lustre.

The glaze keeps its light and shade, and what is on it stays visible through the print.
"""

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from platecheck.data.pictures import (
    SUBJECTS,
    clip_art,
    color_pictures,
    letters,
    open_drawing,
    symbols,
)
from platecheck.data.segmentation import Mask

Floats = NDArray[np.floating[Any]]
CANVAS = 320  # pixels of a decoration before it is put on a dish
STYLES = {"color": 0.5, "one color": 0.26, "lustre": 0.1, "relief": 0.1, "reserve": 0.04}
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
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    chosen = _choose(rng, int(rng.integers(1, 5)))
    kind = rng.random()
    if kind < 0.06:
        _write(rng, canvas)
    elif kind < 0.2:
        _put(canvas, chosen[0], (0.0, 0.0), rng.uniform(0.8, 1.9), rng.uniform(0, 360))
    elif kind < 0.38:
        _painting(rng, canvas)
    elif kind < 0.56:
        _twigs(rng, canvas, chosen)
    elif kind < 0.7:
        side = rng.uniform(0.18, 0.6)
        for _ in range(int(rng.integers(4, 30))):
            where, size = rng.uniform(-1, 1, 2), side * rng.uniform(0.6, 1.4)
            _put(canvas, chosen[rng.integers(len(chosen))], where, size, rng.uniform(0, 360))
    elif kind < 0.83:
        _tile(rng, canvas, chosen)
    if kind > 0.83 or rng.random() < 0.3:
        for _ in range(rng.integers(1, 3)):
            _wreath(rng, canvas, chosen)
        if rng.random() < 0.3:
            _put(canvas, chosen[-1], (0.0, 0.0), rng.uniform(0.2, 0.8), rng.uniform(0, 360))
    return canvas


def _choose(rng: np.random.Generator, count: int) -> list[Image.Image]:
    kind = rng.random()
    if kind < 0.5 and clip_art():
        subjects = rng.choice(len(SUBJECTS), count, p=list(SUBJECTS.values()))
        files = [clip_art()[subject] for subject in subjects]
        return [open_drawing(each[rng.integers(len(each))]) for each in files]
    source = (color_pictures() if kind < 0.8 else letters() if kind < 0.88 else ()) or symbols()
    return [source[rng.integers(len(source))] for _ in range(count)]


def _painting(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Put upright pictures of many sizes about one place, at times on a painted ground."""
    if rng.random() < 0.4:
        ground = Image.linear_gradient("L").rotate(rng.uniform(0, 360)).resize(canvas.size)
        layers = [Image.new("RGBA", canvas.size, _paint(rng)) for _ in range(2)]
        canvas.paste(Image.composite(layers[0], layers[1], ground))
    middle, spread = rng.uniform(-0.4, 0.4, 2), rng.uniform(0.2, 0.7)
    for picture in _choose(rng, int(rng.integers(2, 9))) * int(rng.integers(1, 4)):
        where = middle + spread * rng.normal(size=2)
        _put(canvas, picture, where, np.exp(rng.uniform(-2, 0)), rng.normal(0, 15))


def _twigs(rng: np.random.Generator, canvas: Image.Image, chosen: Sequence[Image.Image]) -> None:
    """Draw twigs with leaves, and pictures as their flowers."""
    draw = ImageDraw.Draw(canvas)
    bark, leaf = _paint(rng), _paint(rng)
    long, wide, flowers = rng.uniform(0.05, 0.25), rng.uniform(0.15, 0.5), rng.uniform(0.05, 0.35)
    for _ in range(int(rng.integers(1, 6))):
        points = [rng.uniform(-0.8, 0.8, 2)]
        turn = np.arctan2(*-points[0][::-1]) + rng.normal(0, 0.8)  # inwards
        for _ in range(int(rng.integers(6, 24))):
            turn += rng.normal(0, 0.3)
            points.append(points[-1] + 0.06 * np.array([np.cos(turn), np.sin(turn)]))
        draw.line(_pixels(np.array(points)), bark, int(rng.integers(1, 6)), "curve")
        for point in points:
            if rng.random() < 0.6:
                side = turn + rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
                edges = _leaf(side, long * rng.uniform(0.6, 1.2), wide)
                draw.polygon(_pixels(point + edges), leaf, bark)
            if rng.random() < 0.2:
                size, picture = rng.uniform(0.6, 1.5), chosen[int(rng.integers(len(chosen)))]
                _put(canvas, picture, point, flowers * size, rng.uniform(0, 360))


def _leaf(turn: float, length: float, width: float) -> NDArray[np.float64]:
    """Return the outline of a leaf that starts at (0, 0); `width` is a share of its length."""
    along = length * np.array([np.cos(turn), np.sin(turn)])
    part = np.linspace(0, 1, 7)[:, None]
    bulge = width * np.sin(np.pi * part) * along[::-1] * (-1, 1)
    return np.concatenate([part * along + bulge, (part * along - bulge)[::-1]])


def _pixels(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (1 + points) * CANVAS / 2]


def _paint(rng: np.random.Generator) -> tuple[int, int, int, int]:
    red, green, blue = (int(each) for each in _ink(rng))
    return red, green, blue, int(rng.uniform(120, 256))


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
    size: float,
    angle: float,
) -> None:
    """Put a picture on the square; x and y are in [-1, 1], and so is `size`'s unit."""
    pixels = max(3, round(size * CANVAS / 2))
    side = picture.width
    if pixels < side:  # rotating a small picture is faster
        picture = picture.resize((pixels, pixels), Image.Resampling.BILINEAR, reducing_gap=2)
    turned = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True) if angle else picture
    if pixels > side:
        scaled = round(turned.width * pixels / side), round(turned.height * pixels / side)
        turned = turned.resize(scaled, Image.Resampling.BICUBIC)
    x, y = (round((1 + each) * CANVAS / 2 - turned.width / 2) for each in where)
    canvas.paste(turned, (x, y), turned)
