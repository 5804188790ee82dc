"""Add to photos what is no dirt: drops of water, cutlery, watermarks."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.data.pictures import letters
from platecheck.data.segmentation import Mask

Pixels = NDArray[np.uint8]
PIECE = (48, 384)  # width and length of a drawn piece of cutlery in pixels


def wet(rng: np.random.Generator, pixels: Pixels, mask: Mask) -> Pixels:
    """Put drops of clear water on the dish in a photo [H, W, 3]; `mask` [H, W] is 255 on it."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask > 127)
    if not len(rows):
        return pixels
    dome = np.zeros((height, width), np.float32)  # height of the water over its drop's radius
    rounded = rng.uniform(0.6, 1)
    for _ in range(int(rng.integers(4, 70))):
        here = rng.integers(len(rows))
        radius = np.exp(rng.uniform(np.log(0.004), np.log(0.03))) * width
        axes = max(1.0, radius), max(1.0, radius * rng.uniform(rounded, 1 / rounded))
        r = int(max(axes)) + 2
        y, x = rows[here], columns[here]
        top, left = max(0, y - r), max(0, x - r)
        down, right = np.mgrid[top : min(height, y + r + 1), left : min(width, x + r + 1)]
        bump = 1 - ((right - x) / axes[0]) ** 2 - ((down - y) / axes[1]) ** 2
        part = dome[top : y + r + 1, left : x + r + 1]
        np.maximum(part, np.sqrt(np.maximum(bump, 0)), out=part)
    dome[mask == 0] = 0
    soft = cv2.GaussianBlur(dome, (0, 0), 0.6)
    slope_x, slope_y = (
        cv2.Sobel(soft, cv2.CV_32F, *axis, ksize=1) / 2 for axis in ((1, 0), (0, 1))
    )
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    bend = np.float32(0.02 * width)
    seen = cv2.remap(
        pixels,
        grid_x - bend * slope_x,
        grid_y - bend * slope_y,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    ).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    lit = slope_x * np.cos(angle) + slope_y * np.sin(angle)
    strength = rng.uniform(0.3, 1)
    shade = 1 + strength * np.clip(lit, -0.35, 0.5)
    spark = 255 * strength * np.clip(lit * 6 - 1.2, 0, 1)
    found = seen * shade[..., None] + spark[..., None]
    return np.where(dome[..., None] > 0, np.clip(found, 0, 255), pixels).astype(np.uint8)


def lay_cutlery(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Lay one or two forks, knives or spoons anywhere in a photo [H, W, 3], with shadows."""
    height, width = pixels.shape[:2]
    found = pixels.astype(np.float32)
    angle, metal = rng.uniform(0, 360), _metal(rng)
    at = rng.uniform(0.15, 0.85, 2) * np.array([width, height])
    scale = rng.uniform(0.5, 1.1) * width / PIECE[1]
    for _ in range(int(rng.integers(1, 3))):
        kind = ("fork", "knife", "spoon")[rng.integers(3)]
        piece = np.dstack([np.tile(metal, (PIECE[1], 1, 1)), _silhouette(kind)])
        turn = cv2.getRotationMatrix2D((PIECE[0] / 2, PIECE[1] / 2), angle, scale)
        turn[:, 2] += at - (PIECE[0] / 2, PIECE[1] / 2)
        layer = cv2.warpAffine(piece, turn, (width, height), flags=cv2.INTER_AREA)
        shadow = cv2.GaussianBlur(layer[..., 3], (0, 0), max(1, 0.012 * width))
        shadow = np.roll(shadow, int(rng.integers(1, 2 + width // 50)), (0, 1))
        dark = rng.uniform(0.2, 0.5) / 255 * shadow.astype(np.float32)
        lit = found * (1 - dark[..., None])
        over = layer[..., 3:].astype(np.float32) / 255
        found = (over * layer[..., :3] + (1 - over) * lit).astype(np.float32)
        at = at + rng.uniform(0.05, 0.3) * width * np.array([np.cos(angle), np.sin(angle)])
        angle += rng.normal(0, 12)
    return np.clip(found, 0, 255).astype(np.uint8)


def _metal(rng: np.random.Generator) -> Pixels:
    """Return the colours across a piece of cutlery, [1, width, 3]."""
    across = np.linspace(0, 1, PIECE[0])
    shine = 0.55 + 0.45 * np.cos(rng.uniform(2, 9) * across + rng.uniform(0, 6))
    color = np.array([1, rng.uniform(0.85, 1), rng.uniform(0.6, 1)]) * rng.uniform(120, 300)
    return (shine[None, :, None] * color).clip(0, 255).astype(np.uint8)


def _silhouette(kind: str) -> Mask:
    """Draw a fork, a knife or a spoon upright, 255 on it."""
    width, length = PIECE
    middle, drawn = width // 2, np.zeros((length, width), np.uint8)
    cv2.ellipse(drawn, (middle, length - 70), (9, 68), 0, 0, 360, 255, -1)
    cv2.rectangle(drawn, (middle - 4, 100), (middle + 4, length - 90), 255, -1)
    if kind == "spoon":
        cv2.ellipse(drawn, (middle, 62), (22, 58), 0, 0, 360, 255, -1)
    elif kind == "knife":
        points = [(middle - 7, 190), (middle - 8, 40), (middle + 2, 4), (middle + 9, 60)]
        cv2.fillPoly(drawn, [np.array([*points, (middle + 7, 190)])], 255)
    else:
        cv2.ellipse(drawn, (middle, 90), (18, 34), 0, 0, 360, 255, -1)
        for tine in range(4):
            x = middle - 17 + 10 * tine
            cv2.rectangle(drawn, (x, 4), (x + 4, 90), 255, -1)
    return drawn


def watermark(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Write a line of letters across a photo [H, W, 3], once or all over, as stock photos have."""
    height, width = pixels.shape[:2]
    side = max(4, round(width * rng.uniform(0.025, 0.09)))
    word = [letters()[rng.integers(len(letters()))] for _ in range(rng.integers(3, 14))]
    line = Image.new("L", (side * len(word), side))
    for number, letter in enumerate(word):
        small = letter.resize((side - 1, side - 1), Image.Resampling.BOX)
        line.paste(small.getchannel("A"), (number * side, 0))
    cover = Image.new("L", (2 * width, 2 * height))
    if rng.random() < 0.5:
        cover.paste(line, tuple(rng.integers(width // 2, width, 2).tolist()))
        angle = 0.0
    else:
        for x in range(0, cover.width, line.width + 3 * side):
            for y in range(0, cover.height, round(side * rng.uniform(3, 8))):
                cover.paste(line, (x, y))
        angle = rng.uniform(-60, 60)
    corner = width // 2, height // 2
    shown = cover.rotate(angle).crop((*corner, corner[0] + width, corner[1] + height))
    over = np.asarray(shown, np.float32)[..., None] / 255 * np.float32(rng.uniform(0.1, 0.6))
    ink = 255 if rng.random() < 0.7 else 40
    return np.clip(over * ink + (1 - over) * pixels, 0, 255).astype(np.uint8)
