"""Surface of a dish to which dirt is added layer by layer."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.dishes import Dish
from platecheck.data.render.pixels import Floats, from_srgb, mix, sample, spot, step
from platecheck.data.render.shapes import EDGE

Part = tuple[slice, slice]  # rows and columns of the chart


@dataclass
class Surface:
    """A dish's inner surface with its dirt, all [n, n] or [n, n, 3]."""

    dish: Dish  # the clean dish
    albedo: Floats = field(init=False)  # linear RGB
    relief: Floats = field(init=False)  # height of the dirt, in units of the dish's radius
    bare: Floats = field(init=False)  # visibility of the dish's own gloss, 0 under dirt to 1
    wet: Floats = field(init=False)  # gloss of the dirt, 0 to 1
    dirt: Floats = field(init=False)  # coverage by dirt, 0 to 1

    def __post_init__(self) -> None:
        self.albedo = self.dish.albedo.copy()
        self.relief, self.wet, self.dirt = (np.zeros_like(self.dish.chart.r) for _ in range(3))
        self.bare = np.ones_like(self.dish.chart.r)

    @property
    def pixel(self) -> float:
        """Width of a pixel in units of the dish's radius."""
        return 2 * EDGE / len(self.relief)

    def part(self, low: tuple[float, float], high: tuple[float, float]) -> Part:
        """Return the part of the chart between two corners (u, v)."""
        n = len(self.relief)
        first = [min(max(int((q + EDGE) / self.pixel), 0), n - 1) for q in low]
        last = [min(max(int((q + EDGE) / self.pixel) + 2, 1), n) for q in high]
        return slice(first[1], last[1]), slice(first[0], last[0])

    def around(self, at: tuple[float, float], reach: float) -> Part:
        """Return the part of the chart within `reach` of a point."""
        return self.part((at[0] - reach, at[1] - reach), (at[0] + reach, at[1] + reach))

    def from_point(self, part: Part, at: tuple[float, float]) -> tuple[Floats, Floats]:
        """Return coordinates of a part's pixels relative to a point."""
        chart = self.dish.chart
        return chart.u[part] - np.float32(at[0]), chart.v[part] - np.float32(at[1])

    def noise(self, rng: np.random.Generator, kind: str, part: Part, scale: float) -> Floats:
        """Return noise over a part, `scale` tiles per dish radius."""
        a, b = spot(rng)
        k = np.float32(scale)
        return sample(kind, self.dish.chart.u[part] * k + a, self.dish.chart.v[part] * k + b)

    def place(self, rng: np.random.Generator, far: float) -> tuple[float, float]:
        """Draw a point on the surface with r up to `far`."""
        r, angle = far * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        return float(r * np.cos(angle)), float(r * np.sin(angle) / self.dish.chart.shape.aspect)

    def pour(
        self,
        part: Part,
        thickness: Floats,
        colour: Floats,
        *,
        body: float,
        wet: float,
        tone: Floats | float = 1.0,
    ) -> None:
        """Add a liquid to a part, more transparent where it is thin (Beer-Lambert).

        `colour` [3] is linear and `tone` [h, w] lightens it; `body` is the absorption per
        thickness; `wet` is the liquid's gloss, 0 to 1.
        """
        thickness = thickness * step(1.0, 0.95, self.dish.chart.r[part])  # the rim's edge stays dry
        depth = thickness * np.float32(-body)
        # A liquid absorbs its own colour least.
        through = [np.exp(depth * np.float32(1.5 - c / colour.max())) for c in colour]
        own = [(1 - t) * tone * c for t, c in zip(through, colour, strict=True)]
        self.albedo[part] = self.albedo[part] * cv2.merge(through) + cv2.merge(own)
        left = np.exp(depth)
        self.bare[part] *= left
        self.wet[part] = np.float32(wet) + (self.wet[part] - np.float32(wet)) * left
        np.maximum(self.dirt[part], 1 - left, out=self.dirt[part])

    def lay(self, part: Part, cover: Floats, image: NDArray[np.uint8], relief: Floats) -> None:
        """Add solids to a part: their cover [h, w] (0 to 1), image (sRGB) and relief [h, w]."""
        cover = cover * step(1.0, 0.97, self.dish.chart.r[part])
        self.albedo[part] = mix(self.albedo[part], from_srgb(image), cover)
        self.relief[part] += relief * cover
        self.bare[part] *= 1 - cover
        self.wet[part] *= 1 - 0.75 * cover
        np.maximum(self.dirt[part], cover, out=self.dirt[part])
