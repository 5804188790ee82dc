"""Tileable noise for grain, stains, veins, smears and clutter.

Each kind of noise is one square tile, made once a process from a fixed seed, so reading it
anywhere gives the same value in every process. Tiles repeat without a seam.
"""

from functools import cache

import cv2
import numpy as np

from platecheck.data.render.pixels import Floats

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
