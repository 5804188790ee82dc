"""Photometric augmentation: lighting, camera noise and JPEG compression."""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def photometric_augment(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Vary lighting, camera and compression, each with its own probability.

    Changes are mild enough for dirt of a few pixels to stay visible.
    """
    image = _camera_noise(rng, _lighting(rng, pixels.astype(np.float32)))
    return _compression(rng, np.clip(image, 0, 255).astype(np.uint8))


def _lighting(rng: np.random.Generator, image: Floats) -> Floats:
    height, width = image.shape[:2]
    if rng.random() < 0.8:
        image = image * np.float32(rng.uniform(0.5, 1.2))
    if rng.random() < 0.5:
        middle = image.mean()
        image = (image - middle) * np.float32(rng.uniform(0.7, 1.3)) + middle
    if rng.random() < 0.6:
        image = image * rng.uniform(0.88, 1.12, 3).astype(np.float32)
    if rng.random() < 0.4:
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * np.float32(rng.uniform(0.3, 1.4))
    if rng.random() < 0.3:
        bright = np.clip(image / 255, 0, 1) ** rng.uniform(0.7, 1.5)
        image = (255 * bright).astype(np.float32)
    if rng.random() < 0.3:
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
        across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.cos(angle)
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * np.sin(angle)
        image = image * (1 + strength * (across + down))
    return image.astype(np.float32)


def _camera_noise(rng: np.random.Generator, image: Floats) -> Floats:
    if rng.random() < 0.25:
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
        image = np.asarray(blurred, np.float32)
    if rng.random() < 0.2:
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + np.float32(rng.uniform(2, 10)) * noise
    return image


def _compression(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
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
