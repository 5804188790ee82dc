"""Composite dishes onto another background with soft edges and contact shadows."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.glass import Glass
from platecheck.data.segmentation import Mask


@dataclass(frozen=True)
class Placement:
    """Transformation of a dish relative to its original position."""

    scale: float = 1.0  # 1 keeps its size
    angle: float = 0.0  # degrees, counter-clockwise
    shift: tuple[float, float] = (0.0, 0.0)  # right and down, as fractions of width and height
    tilt: float = 0.0  # degrees between the view from above and the camera's, in which it turns

    def warp(self, image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        """Transform an image [H, W] or [H, W, 3]; `border` is one of OpenCV's border modes."""
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), self.angle, self.scale)
        flat = np.cos(np.radians(self.tilt))
        turn[1] = turn[1] * flat + (0, 0, height / 2 * (1 - flat))
        turn[:, 2] += self.shift[0] * width, self.shift[1] * height
        warped = cv2.warpAffine(image, turn, (width, height), borderMode=border)
        return np.asarray(warped, np.uint8)


@dataclass(frozen=True)
class Shadow:
    """Shadow of the dish on the background."""

    strength: float = 0.45  # 0 (none) to 1 (black)
    width: float = 0.025  # of the blur, as a fraction of the photo's width
    shift: tuple[float, float] = (0.008, 0.012)  # right and down, as fractions of width and height


IDENTITY = Placement()
CONTACT = Shadow()


def composite(
    background: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    mask: Mask,
    *,
    placement: Placement = IDENTITY,
    shadow: Shadow = CONTACT,
    glass: Glass | None = None,
) -> tuple[NDArray[np.uint8], Mask]:
    """Composite the dish of one photo [H, W, 3] onto a background [H, W, 3].

    The mask [H, W], 255 on the dish, is eroded by a pixel to remove the fringe of the original
    background. The background shows through `glass`. Returns the photo and the alpha mask of
    the dish in it, uint8 [H, W].
    """
    height, width = mask.shape
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    alpha = np.asarray(cv2.GaussianBlur(eroded, (0, 0), max(0.6, width / 300)), np.uint8)
    if placement != IDENTITY:
        pixels = placement.warp(pixels, cv2.BORDER_REFLECT)
        alpha = placement.warp(alpha, cv2.BORDER_CONSTANT)
    dark = cv2.GaussianBlur(alpha, (0, 0), max(0.8, shadow.width * width))
    move = np.array([[1, 0, shadow.shift[0] * width], [0, 1, shadow.shift[1] * height]])
    dark = cv2.warpAffine(dark, move, (width, height))
    lit = background * (1 - shadow.strength / 255 * dark.astype(np.float32))[..., None]
    over = alpha.astype(np.float32)[..., None] / 255
    if glass:
        over = over * placement.warp(glass.opacity, cv2.BORDER_CONSTANT)[..., None] / 255
        lit = glass.refract(lit.astype(np.float32), alpha)
    return np.rint(over * pixels + (1 - over) * lit).astype(np.uint8), alpha


def remove_foreground(
    pixels: NDArray[np.uint8], mask: Mask, background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Cover the dish with a background from `extract_background`."""
    width = mask.shape[1]
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(2, width // 40))
    over = (cv2.GaussianBlur(grown, (0, 0), width / 100).astype(np.float32) / 255)[..., None]
    return np.rint(over * background + (1 - over) * pixels).astype(np.uint8)


LAYOUTS = ("spread", "row", "stack", "heap")
LEAST_VISIBLE = 0.03  # a dish that shows less of itself has no box


def compose_scene(
    rng: np.random.Generator,
    dishes: Sequence[NDArray[np.uint8]],
    background: NDArray[np.uint8],
    size: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Compose a photo of several dishes from cut-outs: spread, in a row, stacked or in a heap.

    The dishes are turned, scaled and seen in one perspective; later ones lie on earlier ones and
    cast shadows on them.

    Args:
        rng: source of randomness.
        dishes: any number of cut-outs, uint8 RGBA [h, w, 4] of any sizes.
        background: uint8 RGB [H, W, 3]; a random part of it fills the photo.
        size: side of the photo in pixels.

    Returns:
        The photo, uint8 RGB [size, size, 3]; the visible extents of the dishes that can be seen, in
        the given order, float32 [M, 4] (x0, y0, x1, y1 in pixels); and the visible share of each,
        float32 [M], of the whole dish.
    """
    photo = _part(rng, background, size)
    owner = np.full((size, size), -1, np.int32)
    areas = []
    tilt = np.radians(rng.uniform(0, 62))
    light = rng.uniform(0, 2 * np.pi)
    for number, (at, width) in enumerate(_layout(rng, len(dishes), size, np.cos(tilt))):
        cut = _in_perspective(rng, dishes[number], width, tilt, (at[1] / size - 0.5) * 0.5)
        alpha = cut[..., 3]
        areas.append(int((alpha > 127).sum()))
        x, y = round(at[0] - alpha.shape[1] / 2), round(at[1] - alpha.shape[0] / 2)
        _shade(photo, alpha, (x, y), light, rng.uniform(0.2, 0.6))
        here, window = _overlap(alpha.shape, (x, y), size)
        over = alpha[here].astype(np.float32)[..., None] / 255
        seen = np.minimum(cut[here][..., :3] * np.float32(rng.uniform(0.85, 1.1)), 255)
        photo[window] = over * seen + (1 - over) * photo[window]
        owner[window][alpha[here] > 127] = number
    boxes, shares = [], []
    for number, area in enumerate(areas):
        rows, columns = np.nonzero(owner == number)
        if len(rows) > LEAST_VISIBLE * area:
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            shares.append(len(rows) / area)
    box_array = np.array(boxes, np.float32).reshape(-1, 4)
    return np.rint(photo).astype(np.uint8), box_array, np.array(shares, np.float32)


def _part(
    rng: np.random.Generator, background: NDArray[np.uint8], size: int
) -> NDArray[np.float32]:
    """Return a random square part of a background as float32 [size, size, 3]."""
    height, width = background.shape[:2]
    side = max(1, round(min(height, width) * rng.uniform(0.6, 1)))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    part = background[y : y + side, x : x + side]
    mode = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size, size), interpolation=mode), np.float32)


def _layout(
    rng: np.random.Generator, count: int, size: int, flat: float
) -> list[tuple[tuple[float, float], float]]:
    """Draw the centre and the width in pixels of each dish, from the furthest to the nearest.

    `flat` is the height of a circle on the ground, as seen by the camera, over its width.
    """
    kind = LAYOUTS[rng.choice(len(LAYOUTS), p=(0.5, 0.2, 0.12, 0.18))] if count > 1 else "spread"
    width = size * rng.uniform(0.45, 1) * min(0.9, 1.15 / max(count, 1) ** 0.5)
    middle = rng.uniform(0.35, 0.65, 2) * size
    if kind == "stack":
        rise = rng.uniform(0.04, 0.2) * width
        slip = rng.normal(0, 0.05, (count, 2)) * width
        at = middle + slip - np.arange(count)[:, None] * (0, rise) + (0, rise * count / 2)
    elif kind == "row":
        angle, gap = rng.uniform(-0.5, 0.5), width * rng.uniform(0.25, 0.8)
        gap = min(gap, size / count)
        along = (np.arange(count) - (count - 1) / 2)[:, None] * gap
        slip = rng.normal(0, 0.03, (count, 2)) * width
        at = middle + along * (np.cos(angle), np.sin(angle)) + slip
    else:
        spread = 0.5 - 0.35 * width / size if kind == "spread" else 0.2
        at = size * 0.5 + rng.uniform(-1, 1, (count, 2)) * size * spread * (1, max(flat, 0.6))
        if kind == "spread":
            at = _push_apart(at, width * rng.uniform(0.5, 1.05), size)
    if kind != "stack":
        at = at[np.argsort(at[:, 1])]
    widths = width * np.exp(rng.normal(0, 0.04 if kind == "stack" else 0.2, count))
    return [((float(x), float(y)), float(w)) for (x, y), w in zip(at, widths, strict=True)]


def _push_apart(at: NDArray[np.float64], gap: float, size: int) -> NDArray[np.float64]:
    """Move points [n, 2] until most are `gap` apart, or for a few rounds, within the photo."""
    for _ in range(12):
        between = at[:, None] - at[None]
        far = np.maximum(np.linalg.norm(between, axis=-1, keepdims=True), 1e-3)
        at = at + (between / far * np.maximum(gap - far, 0)).sum(1) * 0.3
        at = at.clip(size * 0.08, size * 0.92)
    return at


def _in_perspective(
    rng: np.random.Generator, dish: NDArray[np.uint8], width: float, tilt: float, nearer: float
) -> NDArray[np.uint8]:
    """Turn a cut-out and view it at `tilt` radians from vertical; return it cropped, RGBA.

    `nearer` is the relative change of its width by perspective.
    """
    x, y, w, h = cv2.boundingRect(dish[..., 3])
    if w == 0 or h == 0:
        return np.zeros((1, 1, 4), np.uint8)
    dish = dish[y : y + h, x : x + w]
    scale = width * (1 + nearer * np.sin(tilt)) / max(w, h)
    if scale < 0.5:  # shrink with area averaging first, against aliasing
        few = max(1, round(w * scale * 1.5)), max(1, round(h * scale * 1.5))
        dish = np.asarray(cv2.resize(dish, few, interpolation=cv2.INTER_AREA), np.uint8)
        h, w = dish.shape[:2]
        scale = width * (1 + nearer * np.sin(tilt)) / max(w, h)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    on_ground = (corners - (w / 2, h / 2)) @ turn.T * scale
    away = 1 - on_ground[:, 1] * np.sin(tilt) / (5 * width)
    seen = on_ground * (1, np.cos(tilt)) / away[:, None]
    low = seen.min(0)
    extent = np.ceil(seen.max(0) - low).astype(int).clip(1, 4 * int(width) + 1)
    matrix = cv2.getPerspectiveTransform(corners, (seen - low).astype(np.float32))
    inner = cv2.erode(
        dish[..., 3], np.ones((3, 3), np.uint8)
    )  # without the old background's fringe
    layers = np.dstack([dish[..., :3], cv2.GaussianBlur(inner, (0, 0), 0.8)])
    warped = cv2.warpPerspective(layers, matrix, extent.tolist(), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


def _overlap(
    shape: tuple[int, ...], at: tuple[int, int], size: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of an image that lies in the photo if placed at (x, y), in both."""
    (h, w), (x, y) = shape, at
    x0, y0, x1, y1 = max(x, 0), max(y, 0), max(min(x + w, size), 0), max(min(y + h, size), 0)
    here = slice(y0 - y, max(y1 - y, y0 - y)), slice(x0 - x, max(x1 - x, x0 - x))
    return here, (slice(y0, max(y0, y1)), slice(x0, max(x0, x1)))


def _shade(
    photo: NDArray[np.float32],
    alpha: NDArray[np.uint8],
    at: tuple[int, int],
    light: float,
    strength: float,
) -> None:
    """Darken the photo around a dish: a contact shadow and one away from the light."""
    width = alpha.shape[1]
    edge = max(4, width // 6)
    grown = cv2.copyMakeBorder(alpha, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
    few = max(1, grown.shape[1] // 4), max(1, grown.shape[0] // 4)
    small = cv2.resize(grown, few, interpolation=cv2.INTER_AREA)  # shadows are smooth
    for blur, far in ((width / 240, 0.01), (width / 64, 0.06)):
        dark = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(0.4, blur)), grown.shape[::-1])
        x = round(at[0] - edge + far * width * np.cos(light))
        y = round(at[1] - edge + far * width * np.sin(light))
        here, window = _overlap(dark.shape, (x, y), len(photo))
        left = 1 - dark[here].astype(np.float32) * np.float32(strength / 255)
        photo[window] = photo[window] * left[..., None]
