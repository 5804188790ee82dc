"""Photos for the tests of the page, all of them rendered."""

from functools import cache
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.data.render import BACKGROUNDS, render_dish
from platecheck.data.render.tabletops import draw_background

SIDE = 640

Pixels = NDArray[np.uint8]


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode a photo."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


@cache
def dish(number: int, *, size: int = 256) -> Pixels:
    """Render a dish that fills the photo; even numbers are clean, odd ones dirty."""
    label = ("clean", "dirty")[number % 2]
    return render_dish(np.random.default_rng([77, number]), size=size, label=label).photo


@cache
def far_dish(number: int) -> Pixels:
    """Render a dish from too far away: it takes a third of each side of the photo."""
    background = tuple(BACKGROUNDS)[number % len(BACKGROUNDS)]
    label = ("clean", "dirty")[number % 2]
    rng = np.random.default_rng([77, number])
    near = render_dish(rng, size=256, label=label, background=background)
    across = ((np.arange(768) + 0.5) * 2 / 768 - 1).astype(np.float32) * 3.9
    ground = draw_background(
        np.random.default_rng(number), background, *np.meshgrid(across, across)
    )
    photo = cv2.resize(_srgb(ground.albedo * 0.8), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    side = SIDE // 3
    place = slice((SIDE - side) // 2, (SIDE - side) // 2 + side)
    mask = _smaller(near.dish_mask.astype(np.float32), side)[..., None]
    shadow = np.zeros((SIDE, SIDE), np.float32)
    shadow[place, place] = mask[..., 0]
    shadow = cv2.GaussianBlur(np.roll(shadow, (4, 6), (0, 1)), (0, 0), 6)
    photo *= 1 - 0.45 * shadow[..., None]
    photo[place, place] *= 1 - mask
    photo[place, place] += mask * _smaller(near.photo, side)
    photo += np.random.default_rng(number).normal(0, 2, photo.shape)
    return photo.clip(0, 255).astype(np.uint8)


# Predictions of the bundled model for these, and for their central half.
UNSURE_FROM_AFAR = 109  # unsure; dirty
NO_DISH_FROM_AFAR = 26  # not a dish; clean


def darker(photo: Pixels, light: float) -> Pixels:
    """The same scene with that share of its light, and a camera's noise."""
    noise = np.random.default_rng(1).normal(0, 3, photo.shape)
    dark = _srgb(_linear(photo / np.float32(255)) * light) + noise
    return dark.clip(0, 255).astype(np.uint8)


def blurred(photo: Pixels, deviation: float) -> Pixels:
    """The same photo out of focus; the deviation is in 256ths of its width."""
    return cv2.GaussianBlur(photo, (0, 0), deviation * photo.shape[1] / 256)


def _smaller(picture: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _linear(srgb: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(light: NDArray[np.float32]) -> NDArray[np.float32]:
    light = light.clip(0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(255 * srgb, np.float32)


def rack(*numbers: int | None, columns: int = 4) -> Pixels:
    """Put rendered dishes on a dark rack, row by row: 320 pixels each; None leaves a gap."""
    rows = -(-len(numbers) // columns)
    photo = np.full((rows * 320, columns * 320, 3), (44, 52, 56), np.uint8)
    for place, number in enumerate(numbers):
        if number is None:
            continue
        label = ("clean", "dirty")[number % 2]
        made = render_dish(np.random.default_rng([77, number]), size=288, label=label)
        top, left = 320 * (place // columns) + 16, 320 * (place % columns) + 16
        part = photo[top : top + 288, left : left + 288]
        part[made.dish_mask] = made.photo[made.dish_mask]
    return photo
