"""Make dishes see-through: glass and thin plastic, in front of whatever lies behind."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

# Distance of colours, in levels, from which something is on the glass, and surely so.
FAINT, PLAIN = 8, 45


@dataclass(frozen=True)
class Glass:
    """How a dish lets the background through.

    Attributes:
        opacity: uint8 [H, W], of the dish where it is in its photo; 0 lets everything through.
        lens: size of what is seen through it; upside down if negative.
        tint: what is left of red, green and blue, float32 [3] in [0, 1].
    """

    opacity: Mask
    lens: float
    tint: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, pixels: NDArray[np.uint8], mask: Mask) -> "Glass":
        """Draw a glass for the dish in a photo [H, W, 3].

        Glaze becomes transparent; reflections, edges, decoration and dirt stay.
        """
        dish = mask > 127
        glaze = np.median(pixels[dish], axis=0) if dish.any() else np.zeros(3)
        far = np.abs(pixels.astype(np.float32) - glaze).max(axis=2)
        least = rng.uniform(0.05, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 0.85)
        opacity = np.maximum(np.clip((far - FAINT) / (PLAIN - FAINT), 0, 1), least)
        depth = cv2.distanceTransform(np.where(dish, 255, 0).astype(np.uint8), cv2.DIST_L2, 3)
        wall = np.exp(-depth / max(1.0, rng.uniform(0.005, 0.04) * mask.shape[1]))
        opacity = np.maximum(opacity, np.minimum(wall, 1) * rng.uniform(0.2, 0.8))
        lens = rng.uniform(0.75, 1.2) if rng.random() < 0.8 else -rng.uniform(0.5, 1)
        tint = 1 - rng.uniform(0, 0.15) * rng.uniform(0, 1, 3)
        return cls(np.rint(255 * opacity).astype(np.uint8), lens, tint.astype(np.float32))

    def refract(self, background: NDArray[np.float32], alpha: Mask) -> NDArray[np.float32]:
        """Return the background [H, W, 3] as seen through a dish with this alpha mask."""
        x, y, width, height = cv2.boundingRect(alpha)
        middle = np.array([x + width / 2, y + height / 2])
        move = np.column_stack([np.eye(2) * self.lens, middle * (1 - self.lens)])
        size = alpha.shape[::-1]
        seen = cv2.warpAffine(background, move, size, borderMode=cv2.BORDER_REFLECT)
        share = alpha.astype(np.float32)[..., None] / 255
        return np.asarray(background + share * (seen * self.tint - background), np.float32)
