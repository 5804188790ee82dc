"""What light and camera do to a photo, and what happens to its file: brightness to JPEG."""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def photometric_augment(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same scene in another light, through another camera, as another file.

    Each kind of change comes with its own chance; dirt of a few pixels stays visible.

    Args:
        rng: where all chance comes from.
        pixels: uint8 [H, W, 3].
    """
    picture = _camera_noise(rng, _lighting(rng, pixels.astype(np.float32)))
    return _file(rng, np.clip(picture, 0, 255).astype(np.uint8))


def _lighting(rng: np.random.Generator, picture: Floats) -> Floats:
    height, width = picture.shape[:2]
    if rng.random() < 0.8:
        picture = picture * np.float32(rng.uniform(0.5, 1.2))
    if rng.random() < 0.5:
        middle = picture.mean()
        picture = (picture - middle) * np.float32(rng.uniform(0.7, 1.3)) + middle
    if rng.random() < 0.6:
        picture = picture * rng.uniform(0.88, 1.12, 3).astype(np.float32)
    if rng.random() < 0.4:
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + (picture - grey) * np.float32(rng.uniform(0.3, 1.4))
    if rng.random() < 0.3:
        bright = np.clip(picture / 255, 0, 1) ** rng.uniform(0.7, 1.5)
        picture = (255 * bright).astype(np.float32)
    if rng.random() < 0.3:
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
        across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.cos(angle)
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * np.sin(angle)
        picture = picture * (1 + strength * (across + down))
    return picture.astype(np.float32)


def _camera_noise(rng: np.random.Generator, picture: Floats) -> Floats:
    if rng.random() < 0.25:
        blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8))
        picture = np.asarray(blurred, np.float32)
    if rng.random() < 0.2:
        noise = rng.standard_normal(picture.shape, np.float32)
        picture = picture + np.float32(rng.uniform(2, 10)) * noise
    return picture


def _file(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if rng.random() < 0.25:
        quality = int(rng.integers(15, 90))
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < 0.15:
        share = rng.uniform(0.45, 0.9)
        small = (max(1, int(width * share)), max(1, int(height * share)))
        reduced = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(reduced, (width, height)), np.uint8)
    return pixels
