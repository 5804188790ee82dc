"""Solids of revolution, rods and basins that rays can be cast at; lengths are in centimetres."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.pixels import Floats
from platecheck.data.render.shapes import Shape
from platecheck.data.render.surface import Surface

EPSILON = 0.006  # a ray this near has hit; in units of a solid's radius
FAR = 1e5


@dataclass(frozen=True)
class Finish:
    """A plain material: linear colour [3], reflectance, and roughness, 0 (mirror) to 2."""

    colour: Floats
    gloss: float = 0.04
    rough: int = 1


@dataclass(frozen=True)
class Rod:
    """A bent rod of round section: its points [k, 3], radius and material."""

    points: Floats
    radius: float
    finish: Finish


class Body:
    """A closed profile around an axis, in units of its radius; it stands on z = 0.

    Args:
        shape: the outline seen from above.
        profile: points [k, 2] of (r, z), from the middle of the upper side outwards, then inwards
            along the lower side.
        inner: number of points on the upper side.
    """

    def __init__(self, shape: Shape, profile: Floats, inner: int) -> None:
        self.shape, self.profile, self.inner = shape, profile.astype(np.float32), inner
        self.height = float(profile[:, 1].max())
        self.wide = float(np.linalg.norm(shape.outline, axis=1).max() * profile[:, 0].max())
        sides = (-self.wide, self.wide)
        corners = [(x, y, z) for x in sides for y in sides for z in (0, self.height)]
        self.corners = np.array(corners, np.float32)  # of its bounding box
        self.pace = np.float32(0.95 / max(shape.aspect, 1 + 10 * shape.wave))

    @cached_property
    def table(self) -> tuple[Floats, NDArray[np.intp], float]:
        """Signed distances to the profile [z, r], the nearest segments, and the cells' width."""
        reach = float(self.profile[:, 0].max()) + 0.1
        cell = max(reach / 70, (self.height + 0.2) / 70, 0.011)
        r = np.arange(0, reach, cell, dtype=np.float32)
        z = np.arange(-0.1, self.height + 0.1, cell, dtype=np.float32)
        px, pz = (q.reshape(-1, 1) for q in np.meshgrid(r, z))
        (ax, az), (bx, bz) = self.profile[:-1].T, self.profile[1:].T
        dx, dz = bx - ax, bz - az
        along = ((px - ax) * dx + (pz - az) * dz) / np.maximum(dx * dx + dz * dz, 1e-9)
        along = along.clip(0, 1)
        apart = np.hypot(px - ax - along * dx, pz - az - along * dz)
        rising = np.where(np.abs(dz) < 1e-9, np.float32(1e-9), dz)
        crossed = ((az > pz) != (bz > pz)) & (px < (pz - az) / rising * dx + ax)
        signed = apart.min(1) * np.where(crossed.sum(1) % 2, -1, 1)
        shape = len(z), len(r)
        return signed.astype(np.float32).reshape(shape), apart.argmin(1).reshape(shape), cell

    def distance(self, r: Floats, z: Floats) -> Floats:
        """Return the distance of points (r, z) [h, w] from the surface, negative inside."""
        table, _, cell = self.table
        x, y = r * np.float32(1 / cell), (z + np.float32(0.1)) * np.float32(1 / cell)
        near = cv2.remap(table, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return near + np.maximum(r - np.float32((table.shape[1] - 1) * cell), 0)

    def radius(self, p: Floats) -> Floats:
        """Return r of points [n, 3], which must not be none."""
        return np.asarray(self.shape.radius(p[None, :, 0], p[None, :, 1])[0])

    def is_inner(self, r: Floats, z: Floats) -> NDArray[np.bool_]:
        """Return which points (r, z) [n] are nearest to the upper side."""
        _, nearest, cell = self.table
        row = ((z + 0.1) / cell + 0.5).astype(int).clip(0, len(nearest) - 1)
        column = (r / cell + 0.5).astype(int).clip(0, nearest.shape[1] - 1)
        return np.asarray(nearest[row, column] < self.inner - 1)

    def normals(self, p: Floats, r: Floats) -> Floats:
        """Return unit normals [n, 3] at points p [n, 3] on the surface."""
        e, folded = np.float32(0.012), fold(len(r))
        q, z = r[folded], p[:, 2][folded]
        dr = self.distance(q + e, z) - self.distance(np.maximum(q - e, 0), z)
        dz = self.distance(q, z + e) - self.distance(q, z - e)
        dr, dz = dr.ravel()[: len(r)], dz.ravel()[: len(r)]
        scale = np.array((1, self.shape.aspect), np.float32)
        out = np.abs(p[:, :2] * scale) / np.maximum(r, 1e-4)[:, None]
        out = np.sign(p[:, :2]) * out ** np.float32(self.shape.power - 1) * scale
        return unit(np.c_[out * dr[:, None], dz])


@dataclass
class Solid:
    """A body in the scene.

    Attributes:
        body: its geometry.
        scale: its radius.
        turn: its axes as columns [3, 3].
        place: of its origin [3].
        finish: material outside, and inside if there is no `surface`.
        surface: albedo, gloss and dirt of its upper side; for dishes.
        rods: handles, in the body's units and axes.
        clear: whether it is of glass.
        dish: whether it counts as a dish.
        band: lower and upper end and colour of a painted band.
    """

    body: Body
    scale: float
    turn: Floats
    place: Floats
    finish: Finish
    surface: Surface | None = None
    rods: tuple[Rod, ...] = ()
    clear: bool = False
    dish: bool = False
    band: tuple[float, float, Floats] | None = None

    def world(self, points: Floats) -> Floats:
        """Return points [n, 3] of the body in the scene."""
        return np.asarray((points @ self.turn.T) * self.scale + self.place, np.float32)

    def cast(
        self, origin: Floats, rays: Floats, start: Floats | float = 0.0, end: Floats | float = FAR
    ) -> tuple[Floats, Floats]:
        """Follow unit rays [n, 3] from an origin [3].

        Only what lies between `start` and `end` counts; a wall at the start is left first.

        Returns:
            How far each goes [n], `FAR` if it misses, and the points [n, 3] that they meet, in the
            body's units and axes.
        """
        body, scale = self.body, np.float32(self.scale)
        ox, oy, oz = ((origin - self.place) @ self.turn / scale).astype(np.float32)
        dx, dy, dz = (rays @ self.turn.astype(np.float32)).T
        middle = np.float32(body.height / 2)
        # Enter and leave the sphere around the body, and its slab.
        b = ox * dx + oy * dy + (oz - middle) * dz
        c = ox**2 + oy**2 + (oz - middle) ** 2 - body.wide**2 - (middle + 0.01) ** 2
        half = np.sqrt(np.maximum(b * b - np.float32(c), 0))
        up = np.where(np.abs(dz) < 1e-5, np.float32(1e-5), dz)
        here, wide = (middle - oz) / up, (middle + np.float32(0.01)) / np.abs(up)
        t = np.maximum(np.maximum(-b - half, here - wide), start / scale)
        stop = np.minimum(np.minimum(half - b, here + wide), end / scale)
        far, points = np.full(len(rays), FAR, np.float32), np.zeros((len(rays), 3), np.float32)
        index = ((half > 0) & (t < stop)).nonzero()[0]
        leaving = 12 if np.any(start) else 0
        for _ in range(24):
            if not len(index):
                break
            folded = index[fold(len(index))]
            a, b, c, s = dx[folded], dy[folded], dz[folded], t[folded]
            for step in range(-leaving, 5):
                x, y, z = ox + s * a, oy + s * b, oz + s * c
                apart = body.distance(body.shape.radius(x, y), z)
                if step < 0:
                    s = s + np.where(apart < EPSILON, np.maximum(-apart, EPSILON), 0)
                elif step < 4:
                    s = s + apart * body.pace
            leaving = 0
            x, y, z, apart, s = (q.ravel()[: len(index)] for q in (x, y, z, apart, s))
            hit = (apart < EPSILON) & (s < stop[index])
            far[index[hit]], points[index[hit]] = s[hit] * scale, np.c_[x, y, z][hit]
            t[index] = s
            index = index[~hit & (s < stop[index])]
        return far, points


@dataclass(frozen=True)
class Basin:
    """A box sunk into the ground; its corners and the edge of its bottom are rounded."""

    middle: tuple[float, float]
    half: tuple[float, float]
    depth: float
    corner: float
    fillet: float

    def flat(self, x: Floats, y: Floats) -> Floats:
        """Return the distance of points from the outline, seen from above; negative inside."""
        qx = np.abs(x - np.float32(self.middle[0])) - np.float32(self.half[0] - self.corner)
        qy = np.abs(y - np.float32(self.middle[1])) - np.float32(self.half[1] - self.corner)
        beyond = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
        return np.asarray(beyond + np.minimum(np.maximum(qx, qy), 0) - np.float32(self.corner))

    def distance(self, p: Floats) -> Floats:
        """Return the distance of points [n, 3] from the walls and the bottom; negative inside."""
        f = np.float32(self.fillet)
        side, down = self.flat(p[:, 0], p[:, 1]) + f, f - p[:, 2] - np.float32(self.depth)
        beyond = np.hypot(np.maximum(side, 0), np.maximum(down, 0))
        return np.asarray(beyond + np.minimum(np.maximum(side, down), 0) - f)

    def cast(self, start: Floats, rays: Floats) -> tuple[Floats, Floats]:
        """Follow rays that enter through the opening; return how far they go and the normals."""
        t = np.zeros(len(rays), np.float32)
        for _ in range(24):
            t -= self.distance(start + t[:, None] * rays)
        p = start + t[:, None] * rays
        steps = np.eye(3, dtype=np.float32) * np.float32(0.05)
        return t, unit(np.stack([self.distance(p - q) - self.distance(p + q) for q in steps], -1))


def unit(vectors: Floats) -> Floats:
    """Return vectors [..., 3] of length 1."""
    long = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return np.asarray(vectors / np.maximum(long, 1e-6)[..., None], np.float32)


def fold(count: int) -> NDArray[np.intp]:
    """Return indices of `count` points in rows of 256, filled up by repetition.

    OpenCV's images have at most 32767 rows.
    """
    return np.resize(np.arange(count), (-(-count // 256), 256))


def sampled(image: Floats, x: Floats, y: Floats) -> Floats:
    """Return bilinear samples [n, channels] of an image at pixels (x, y) [n]."""
    if not len(x):
        return np.zeros((0, *image.shape[2:]), np.float32)
    folded = fold(len(x))
    maps = x[folded].astype(np.float32), y[folded].astype(np.float32)
    out = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out.reshape(folded.size, -1)[: len(x)])
