"""Tileable noise: the raw material of grain, stains, veins, smears and clutter.

Each kind of noise is one square tile, made once a process from a fixed seed, so reading it
anywhere gives the same value in every process. Tiles repeat without a seam.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# float32 arrays; OpenCV's own annotations are too loose to say so
Floats = NDArray[Any]

TILE = 512

# exponent of the amplitude spectrum 1/f^e, and the band of frequencies (cycles per tile) kept
SPECTRA: dict[str, tuple[float, float, float]] = {
    "cloud": (1.7, 1, 200),  # fractal: large shapes with fine edges
    "swell": (0.0, 3, 7),  # smooth waves of one size
    "blobs": (0.0, 18, 34),  # smooth blobs of one size
    "grain": (0.3, 40, 256),  # fine grain
}


@cache
def tile(kind: str) -> Floats:
    """One tile of noise [TILE + 1, TILE + 1], mean 0, std 1; its last row repeats the first.

    Made by shaping the spectrum of white noise (spectral synthesis).
    """
    exponent, low, high = SPECTRA[kind]
    rng = np.random.default_rng(sum(kind.encode()))
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.fft.fftfreq(TILE, 1 / TILE), np.fft.rfftfreq(TILE, 1 / TILE)
    f = np.hypot(fy[:, None], fx[None, :])
    band = (f >= low) & (f <= high)
    spectrum *= np.where(band, np.maximum(f, 1.0) ** -exponent, 0.0)
    values = np.fft.irfft2(spectrum, s=(TILE, TILE))
    values = (values - values.mean()) / values.std()
    return np.pad(values, (0, 1), mode="wrap").astype(np.float32)


def sample(kind: str, x: Floats, y: Floats) -> Floats:
    """Noise at the places (x, y), arrays of one shape, in units of one tile."""
    # Wrapping by hand is six times faster than OpenCV's BORDER_WRAP.
    x = (x - np.floor(x)) * np.float32(TILE)
    y = (y - np.floor(y)) * np.float32(TILE)
    read: Floats = cv2.remap(tile(kind), x, y, cv2.INTER_LINEAR)
    return read


def step(low: float, high: float, x: Floats) -> Floats:
    """Smooth step: 0 below `low`, 1 above `high`, a cubic in between."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth


def linear(rgb: tuple[float, float, float] | Floats) -> Floats:
    """sRGB colours (0 to 255) as linear light (0 to 1)."""
    c = np.asarray(rgb, np.float32) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _srgb_table() -> Floats:
    return linear(np.arange(256, dtype=np.float32)).reshape(1, 256)


def from_srgb(picture: NDArray[np.uint8]) -> Floats:
    """A picture in sRGB as linear light (0 to 1)."""
    light: Floats = cv2.LUT(picture, _srgb_table())
    return light


def mix(a: Floats, b: Floats, t: Floats) -> Floats:
    """Blend colours a and b (each [3] or [h, w, 3]) by t [h, w]."""
    blend: Floats = a + (b - a) * t[..., None]
    return blend


def spot(rng: np.random.Generator) -> tuple[np.float32, np.float32]:
    """A random place on a tile, to start reading from."""
    return np.float32(rng.random()), np.float32(rng.random())
