"""Convert images of any mode to RGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Pixels converted to 8 bits at a time.
_CHUNK = 2**20


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB: 8 bits a channel, transparency flattened onto white."""
    if image.mode.startswith(("I", "F")):
        return _to_8_bits(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(values: NDArray[Any]) -> Image.Image:
    """Scale deep values [H, W] to 0 to 255.

    Wider types than 16 bits do not define a range: use the smallest of 0 to 1 (floats only), 0 to
    255 and 0 to 65535 that holds all values, else their own minimum and maximum.
    """
    flat = values.reshape(-1)
    # In chunks: a float64 copy of a large photo would take gigabytes.
    chunks = [slice(at, at + _CHUNK) for at in range(0, values.size, _CHUNK)]
    unknown = values.dtype.itemsize > 2
    finite = (flat[chunk][np.isfinite(flat[chunk])] for chunk in (chunks if unknown else ()))
    ranges = [(float(chunk.min()), float(chunk.max())) for chunk in finite if chunk.size]
    low = min((lowest for lowest, _ in ranges), default=0.0)
    high = max((highest for _, highest in ranges), default=0.0)
    start, span = 0.0, 65535.0
    if low < 0 or high > 65535:
        start, span = low, high - low or 1
    elif unknown and high <= 255:
        span = 1 if high <= 1 and values.dtype.kind == "f" else 255
    grey = np.empty(values.size, np.uint8)
    for chunk in chunks:
        deep = flat[chunk].astype(np.float64)
        known = np.nan_to_num(deep, nan=low, posinf=high, neginf=low)
        grey[chunk] = np.rint((known - start) * (255 / span))
    return Image.fromarray(grey.reshape(values.shape))
