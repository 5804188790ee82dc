"""Image arithmetic (float32, linear light) and tileable noise."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# float32 arrays; OpenCV's own annotations are less specific
Floats = NDArray[Any]


def grey(values: Floats) -> Floats:
    """Return values [h, w] as an image of three equal channels."""
    return cv2.merge((values, values, values))


def tinted(values: Floats, colour: Floats) -> Floats:
    """Multiply values [h, w] by a colour [3] or an image [h, w, 3]."""
    if colour.ndim == 3:
        return np.asarray(grey(values) * colour)
    return np.asarray(cv2.merge([values * c for c in colour.astype(np.float32)]))


def mix(a: Floats, b: Floats, t: Floats) -> Floats:
    """Interpolate colours or images linearly: a where t [h, w] is 0, b where it is 1."""
    return tinted(1 - t, a) + tinted(t, b)


def mean_colour(image: Floats) -> Floats:
    """Return the mean colour [3] of an image."""
    return np.array(cv2.mean(image)[:3], np.float32)


def step(low: float, high: float, x: Floats) -> Floats:
    """Return the cubic smoothstep: 0 at `low`, 1 at `high`, which may be the smaller one."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def linear(rgb: tuple[float, float, float] | Floats) -> Floats:
    """Convert sRGB colours (0 to 255) to linear light (0 to 1)."""
    c = np.asarray(rgb, np.float32) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = linear(np.arange(256, dtype=np.float32)).reshape(1, 256)


def from_srgb(image: NDArray[np.uint8]) -> Floats:
    """Convert an sRGB image to linear light (0 to 1)."""
    return cv2.LUT(image, _LINEAR)


TILE = 512

# exponent of the amplitude spectrum 1/f^e, and the band of frequencies (cycles per tile) kept
SPECTRA: dict[str, tuple[float, float, float]] = {
    "cloud": (1.7, 1, 200),  # fractal: large shapes with fine edges
    "swell": (0.0, 3, 7),  # smooth waves of one size
    "blobs": (0.0, 18, 34),  # smooth blobs of one size
    "crystals": (0.9, 14, 140),  # ragged blobs
    "grain": (0.3, 40, 256),  # fine grain
}


@cache
def tile(kind: str) -> Floats:
    """Return a tile of noise [TILE + 1, TILE + 1], mean 0, std 1; its last row repeats the first.

    Spectral synthesis: white noise with a shaped spectrum.
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
    """Return noise at points (x, y), arrays of one shape, in units of one tile."""
    # Manual wrapping is six times faster than OpenCV's BORDER_WRAP.
    x = (x - np.floor(x)) * np.float32(TILE)
    y = (y - np.floor(y)) * np.float32(TILE)
    return cv2.remap(tile(kind), x, y, cv2.INTER_LINEAR)


def spot(rng: np.random.Generator) -> tuple[np.float32, np.float32]:
    """Draw a random offset on a tile."""
    return np.float32(rng.random()), np.float32(rng.random())
