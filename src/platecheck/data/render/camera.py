"""Camera: projection of the scene, and conversion of light to a photo."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.pixels import Floats, tinted


@dataclass
class Camera:
    """A pinhole camera aimed at a dish of radius 1 at the origin, on the plane z = 0."""

    place: Floats  # position [3]
    axes: Floats  # right, down and forward, as rows [3, 3]
    zoom: float  # focal length in half widths of the image

    def slopes(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Return the rays' movement in x and y per unit of descent, [rows, columns] each.

        Columns and rows are image coordinates, -1 at the left and top to 1.
        """
        qx = columns[None, :] / np.float32(self.zoom)
        qy = rows[:, None] / np.float32(self.zoom)
        right, down, forward = self.axes
        fall = -(forward[2] + right[2] * qx + down[2] * qy)
        a = (forward[0] + right[0] * qx + down[0] * qy) / fall
        b = (forward[1] + right[1] * qx + down[1] * qy) / fall
        return a, b

    def at_height(self, a: Floats, b: Floats, z: Floats | float) -> tuple[Floats, Floats]:
        """Return the points (x, y) of rays of slopes (a, b) at height z."""
        fall = self.place[2] - z
        return self.place[0] + a * fall, self.place[1] + b * fall

    def project(self, points: Floats, side: int) -> Floats:
        """Project points [n, 3] to pixel coordinates [n, 2] in an image of `side` pixels."""
        p = (points - self.place) @ self.axes.T
        return np.asarray((p[:, :2] / p[:, 2:] * np.float32(self.zoom) + 1) * (side / 2) - 0.5)


def across(side: int) -> Floats:
    """Return the centres of `side` pixels, from -1 to 1."""
    return (np.arange(side, dtype=np.float32) + 0.5) * np.float32(2 / side) - 1


def aim(rng: np.random.Generator) -> Camera:
    """Draw a camera, 0 to 40 degrees from vertical, with the dish filling most of the image."""
    tilt = np.radians(min(abs(rng.normal(0, 18)), 40))
    around, roll = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2)
    distance, fill = rng.uniform(3.2, 6), rng.uniform(0.58, 0.9)
    out = np.array([np.cos(around), np.sin(around)])
    place = distance * np.array([*(np.sin(tilt) * out), np.cos(tilt)])
    target = np.array([*rng.normal(0, 0.07, 2), 0.1])
    forward = target - place
    forward /= np.linalg.norm(forward)
    right = np.array([-out[1], out[0], 0.0])
    down = np.cross(forward, right)
    down /= np.linalg.norm(down)
    right = np.cross(down, forward)
    c, s = np.cos(roll), np.sin(roll)
    axes = np.stack([c * right + s * down, c * down - s * right, forward])
    return Camera(place.astype(np.float32), axes.astype(np.float32), float(fill * distance))


@cache
def _tone_curve() -> NDArray[np.float32]:
    """Return sRGB values (0 to 255) of linear light 0 to 4 in steps of 1/1024, softly clipped."""
    light = np.arange(4096) / 1024
    knee = 0.7
    over = np.maximum(light - knee, 0) / (1 - knee)
    light = np.where(light > knee, knee + (1 - knee) * (1 - np.exp(-over)), light)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (srgb * 255).astype(np.float32)


def develop(rng: np.random.Generator, light: Floats, size: int) -> NDArray[np.uint8]:
    """Convert linear light [h, w, 3] to a photo [size, size, 3] like a phone's.

    White balance, exposure, vignette, bloom, blur and noise are drawn from `rng`.
    """
    side = light.shape[0]
    exposure = np.exp(rng.normal(-0.3, 0.22))
    red, blue = np.exp(rng.normal(0, 0.05, 2))
    gains = np.array([red, 1, blue], np.float32) * np.float32(exposure)
    q = across(side)
    fade = 1 - np.float32(rng.uniform(0, 0.16)) * (q[None, :] ** 2 + q[:, None] ** 2)
    light = light * tinted(fade, gains)
    bloom = cv2.resize(light, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    bloom = cv2.GaussianBlur(bloom, (0, 0), side / 100)
    light += np.float32(rng.uniform(0.02, 0.07)) * (cv2.resize(bloom, (side, side)) - light)
    if side != size:
        light = cv2.resize(light, (size, size), interpolation=cv2.INTER_AREA)
    blur = min(abs(rng.normal(0, 0.5)), 1.1) * size / 256
    if blur > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    photo: Floats = np.take(_tone_curve(), (light.clip(0, 3.99) * 1024).astype(np.int32))

    # Luma noise is fine and chroma noise coarse, since phones subsample chroma.
    strength = np.float32(rng.uniform(0.6, 3.2))
    ycc: Floats = cv2.cvtColor(photo, cv2.COLOR_RGB2YCrCb)
    half: Floats = cv2.resize(ycc[..., 1:], (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    half += strength * rng.standard_normal(half.shape, dtype=np.float32)
    ycc[..., 1:] = cv2.resize(half, (size, size))
    ycc[..., 0] += strength * rng.standard_normal((size, size), dtype=np.float32)
    photo = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    return np.asarray(np.clip(photo + 0.5, 0, 255), np.uint8)
