"""Image arithmetic: colours, blending, smooth steps.

Pictures are float32 [h, w, 3] in linear light, values a pixel [h, w]. Broadcasting over a last
axis of 3 is slow in NumPy, so values are spread over three channels first.
"""

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


@cache
def _srgb_lookup() -> Floats:
    return linear(np.arange(256, dtype=np.float32)).reshape(1, 256)


def from_srgb(image: NDArray[np.uint8]) -> Floats:
    """Convert an sRGB image to linear light (0 to 1)."""
    return cv2.LUT(image, _srgb_lookup())
