"""Measure whether a photo of a dish is good enough to call the dish clean.

Dirt cannot be seen in the dark or through blur, and a dish without visible dirt looks clean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OK = "ok"

# What to do about each reason; the first that applies is reported.
ADVICE = {
    "too small": "go closer",
    "too dark": "add light",
    "too bright": "avoid glare",
    "low JPEG quality": "send the original photo",
    "too blurred": "hold the camera still",
    "too noisy": "add light",
    "partly hidden": "show the whole dish",
    "crowded": "show fewer dishes at once",
}
HIDDEN, CROWDED = "partly hidden", "crowded"  # what boxes say, and `measure` cannot

# Larger photos are reduced to this many pixels on the longer side.
SIDE = 384

# Glare is measured in what a margin of this share of each side leaves.
MARGIN = 1 / 6

# Blur is measured along every fourth column and row, which takes a quarter of the time.
COLUMN = 4
OVEREXPOSED = 250

# Chosen on training photos with `python -m benchmarks.corruptions`.
MIN_SIDE = 64
MIN_LIGHT = 60
MAX_GLARE = 0.15
MAX_BLOCKS = 0.4
MAX_BLUR = 0.56
MAX_NOISE = 12


@dataclass(frozen=True, slots=True)
class Quality:
    """What `measure` found.

    Attributes:
        side: the shorter side in pixels.
        light: 95th percentile of the luminance, 0 to 255.
        glare: share of overexposed pixels in the middle; around it, white may be the background.
        blocks: height of the steps at the borders of JPEG's 8×8 blocks, relative to all steps.
        blur: 0 (sharp) to 1 (Crete et al., The blur effect, 2007).
        noise: standard deviation in levels (after Immerkær, Fast noise variance estimation, 1996).
    """

    side: int
    light: float
    glare: float
    blocks: float
    blur: float
    noise: float

    @property
    def reason(self) -> str:
        """Why a dish in this photo cannot be called clean, a key of `ADVICE`, or `OK`."""
        failed = (
            self.side < MIN_SIDE,
            self.light < MIN_LIGHT,
            self.glare > MAX_GLARE,
            self.blocks > MAX_BLOCKS,
            self.blur > MAX_BLUR,
            self.noise > MAX_NOISE,
        )
        return next((reason for reason, fails in zip(ADVICE, failed, strict=False) if fails), OK)


def explain(reason: str) -> str:
    """Return a reason with what to do about it; `OK` and "" stay as they are."""
    return f"{reason}: {ADVICE[reason]}" if reason in ADVICE else reason


def measure(pixels: NDArray[np.uint8]) -> Quality:
    """Measure the quality of a photo of one dish, uint8 [H, W, 3], RGB, of any size from 1 × 1."""
    height, width = pixels.shape[:2]
    grey = Image.fromarray(pixels).convert("L")
    if (scale := SIDE / max(height, width)) < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    levels = np.asarray(grey)
    counts = np.bincount(levels.reshape(-1), minlength=256)
    light = int(np.searchsorted(np.cumsum(counts), 0.95 * levels.size))
    top, left = (int(side * MARGIN) for side in levels.shape)
    middle = levels[top : len(levels) - top, left : levels.shape[1] - left]
    glare = float((middle >= OVEREXPOSED).mean())
    values = levels.astype(np.float32)
    return Quality(
        min(height, width),
        float(light),
        glare,
        min(_blocks(values), _blocks(values.T)),
        max(map(_blur, (values[:, ::COLUMN], values.T[:, ::COLUMN], *_halved(values)))),
        _noise(levels),
    )


def _halved(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return means of 2×2 pixels, upright and transposed: there, a strong blur is a weak one."""
    height, width = (side // 2 * 2 for side in values.shape)
    rows = values[0:height:2] + values[1:height:2]
    half = (rows[:, 0:width:2] + rows[:, 1:width:2]) * np.float32(0.25)
    return half, half.T


def _blur(values: NDArray[np.float32]) -> float:
    """Return the share of the steps between neighbours in a column that blurring it keeps."""
    rows = len(values)
    if rows < 2 or not values.size:
        return 0.0
    values = np.ascontiguousarray(values)
    padded = np.pad(values, ((5, 4), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0, dtype=np.float32)
    blurred = (sums[9:] - sums[:rows]) / 9  # mean of 9 pixels
    steps, kept = np.abs(np.diff(values, axis=0)), np.abs(np.diff(blurred, axis=0))
    total = float(steps.sum())
    lost = float(np.maximum(steps - kept, 0).sum())
    return 1 - lost / total if total else 0.0


def _noise(levels: NDArray[np.uint8]) -> float:
    """Return the noise, from differences of second differences.

    Their median, unlike Immerkær's mean, hardly grows with texture and decoration.
    """
    if min(levels.shape) < 3:
        return 0.0
    values = levels.astype(np.int16)
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    both = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]).reshape(-1)
    middle = both.size // 2
    # The noise of `both` has 6 times the standard deviation; half of it is within 0.6745 of that.
    return float(np.partition(both, middle)[middle]) / (6 * 0.6745)


def _blocks(values: NDArray[np.float32]) -> float:
    """Return how much larger every eighth step between rows is than its neighbours.

    A crop may start anywhere in a block, so try all eight.
    """
    steps = np.abs(np.diff(values, axis=0)).mean(axis=1)
    if len(steps) < 18:  # two blocks
        return 0.0
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    return max(float(excess[start::8].mean()) for start in range(8)) / (float(steps.mean()) + 0.5)
