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
    """A closed profile around an axis, in units of its radius; z = 0 is its lowest point.

    Args:
        shape: the outline seen from above.
        profile: points [k, 2] of (r, z), from the middle of the upper side outwards, then inwards
            along the lower side.
        inner: number of points on the upper side.
    """

    def __init__(self, shape: Shape, profile: Floats, inner: int) -> None:
        self.shape, self.profile, self.inner = shape, profile.astype(np.float32), inner
        self.low, self.height = float(profile[:, 1].min()), float(profile[:, 1].max())
        self.wide = float(np.hypot(shape.outline[:, 0], shape.outline[:, 1]).max())
        self.wide *= float(profile[:, 0].max())
        w, heights = self.wide, (self.low, self.height)
        corners = [(x, y, z) for x in (-w, w) for y in (-w, w) for z in heights]
        self.corners = np.array(corners, np.float32)  # of its bounding box
        self.pace = np.float32(0.95 / max(shape.aspect, 1 + 10 * shape.wave))

    @cached_property
    def table(self) -> tuple[Floats, NDArray[np.intp], float]:
        """Signed distances to the profile [z, r], the nearest segments, and the cells' width."""
        cell = max(self.profile[:, 0].max() + 0.1, self.height - self.low + 0.2) / 70
        cell = float(max(cell, 0.011))
        r = np.arange(0, self.profile[:, 0].max() + 0.1, cell, dtype=np.float32)
        z = np.arange(self.low - 0.1, self.height + 0.1, cell, dtype=np.float32)
        px, pz = (q.reshape(-1, 1) for q in np.meshgrid(r, z))
        (ax, az), (bx, bz) = self.profile[:-1].T, self.profile[1:].T
        dx, dz = bx - ax, bz - az
        along = ((px - ax) * dx + (pz - az) * dz) / np.maximum(dx * dx + dz * dz, 1e-9)
        along = along.clip(0, 1)
        apart = (px - ax - along * dx) ** 2 + (pz - az - along * dz) ** 2
        nearest = apart.argmin(1)
        far = np.sqrt(np.take_along_axis(apart, nearest[:, None], 1)[:, 0])
        rising = np.where(np.abs(dz) < 1e-9, np.float32(1e-9), dz)
        crossed = ((az > pz) != (bz > pz)) & (px < (pz - az) / rising * dx + ax)
        inside = crossed.sum(1) % 2 == 1
        signed = np.where(inside, -far, far).astype(np.float32)
        return signed.reshape(len(z), len(r)), nearest.reshape(len(z), len(r)), cell

    def distance(self, r: Floats, z: Floats) -> Floats:
        """Return the distance of points (r, z) [h, w] from the surface, negative inside."""
        table, _, cell = self.table
        k = np.float32(1 / cell)
        x, y = r * k, (z - np.float32(self.low - 0.1)) * k
        near = cv2.remap(table, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return near + np.maximum(r - np.float32((table.shape[1] - 1) * cell), 0)

    def radius(self, p: Floats) -> Floats:
        """Return r of points [n, 3], which must not be none."""
        return np.asarray(self.shape.radius(p[None, :, 0], p[None, :, 1])[0])

    def is_inner(self, r: Floats, z: Floats) -> NDArray[np.bool_]:
        """Return which points (r, z) [n] are nearest to the upper side."""
        _, nearest, cell = self.table
        row = ((z - self.low + 0.1) / cell + 0.5).astype(int).clip(0, len(nearest) - 1)
        column = (r / cell + 0.5).astype(int).clip(0, nearest.shape[1] - 1)
        return np.asarray(nearest[row, column] < self.inner - 1)

    def normals(self, p: Floats, r: Floats) -> Floats:
        """Return unit normals [n, 3] at points p [n, 3] on the surface."""
        e = np.float32(0.012)
        folded = fold(len(r))
        q, z = r[folded], p[:, 2][folded]
        dr = self.distance(q + e, z) - self.distance(np.maximum(q - e, 0), z)
        dz = self.distance(q, z + e) - self.distance(q, z - e)
        dr, dz = dr.ravel()[: len(r)], dz.ravel()[: len(r)]
        k, aspect = np.float32(self.shape.power - 1), np.float32(self.shape.aspect)
        out = np.abs(p[:, :2] * (1, aspect)) / np.maximum(r, 1e-4)[:, None]
        out = np.sign(p[:, :2]) * out**k * (1, aspect)
        normal = np.concatenate([out * dr[:, None], dz[:, None]], 1)
        return unit(normal.astype(np.float32))


@dataclass
class Solid:
    """A body in the scene.

    Attributes:
        body: its geometry.
        scale: its radius.
        turn: its axes as columns [3, 3].
        place: of the middle of its lowest side [3].
        finish: material outside, and inside if there is no `surface`.
        surface: albedo, gloss and dirt of its upper side; for dishes.
        rods: handles, in the body's units and axes.
        clear: whether it is of glass.
        dish: whether it counts as a dish.
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
    band: tuple[float, float, Floats] | None = None  # heights and colour of a painted band

    def world(self, points: Floats) -> Floats:
        """Return points [n, 3] of the body in the scene."""
        return np.asarray((points @ self.turn.T) * self.scale + self.place, np.float32)

    def cast(
        self, origin: Floats, rays: Floats, start: Floats | float = 0.0, end: Floats | float = FAR
    ) -> tuple[Floats, Floats]:
        """Follow unit rays [n, 3] from an origin [3].

        Args:
            origin: where they come from.
            rays: their directions.
            start, end: what part of them counts; if that begins within the wall, it is left first.

        Returns:
            How far each goes [n], `FAR` if it misses, and the points [n, 3] that they meet, in the
            body's units and axes.
        """
        body, scale = self.body, np.float32(self.scale)
        o = ((origin - self.place) @ self.turn / scale).astype(np.float32)
        d = (rays @ self.turn.astype(np.float32)).T
        middle = np.float32((body.low + body.height) / 2)
        tall = np.float32((body.height - body.low) / 2 + 0.01)
        # Enter and leave the sphere around the body, and its slab.
        b = o[0] * d[0] + o[1] * d[1] + (o[2] - middle) * d[2]
        c = o[0] ** 2 + o[1] ** 2 + (o[2] - middle) ** 2 - body.wide**2 - tall**2
        half = np.sqrt(np.maximum(b * b - np.float32(c), 0))
        up = np.where(np.abs(d[2]) < 1e-5, np.float32(1e-5), d[2])
        here, wide = (middle - o[2]) / up, tall / np.abs(up)
        first = np.maximum(np.maximum(-b - half, here - wide), start / scale)
        last = np.minimum(np.minimum(half - b, here + wide), end / scale)
        far, points = np.full(len(rays), FAR, np.float32), np.zeros((len(rays), 3), np.float32)
        index = ((half > 0) & (first < last)).nonzero()[0]
        leave = 12 if np.any(start) else 0
        t, stop = first[index], last[index]
        for turn in range(24):
            if not len(index):
                break
            folded = fold(len(index))
            dx, dy, dz = (q[index[folded]] for q in d)
            t = t[folded]
            for _ in range(leave if turn == 0 else 0):
                apart = body.distance(
                    body.shape.radius(o[0] + t * dx, o[1] + t * dy), o[2] + t * dz
                )
                t = t + np.where(apart < EPSILON, np.maximum(-apart, EPSILON), 0)
            for number in range(4):
                x, y, z = o[0] + t * dx, o[1] + t * dy, o[2] + t * dz
                apart = body.distance(body.shape.radius(x, y), z)
                t = t + apart * body.pace if number < 3 else t
            x, y, z, apart, t = (q.ravel()[: len(index)] for q in (x, y, z, apart, t))
            hit = (apart < EPSILON) & (t < stop)
            at = index[hit]
            far[at], points[at] = t[hit] * scale, np.stack([x[hit], y[hit], z[hit]], -1)
            t = t + apart * body.pace
            left = ~hit & (t < stop)
            index, t, stop = index[left], t[left], stop[left]
        return far, points


@dataclass(frozen=True)
class Basin:
    """A rounded box sunk into the ground: middle, half widths, depth, and radius of its corners."""

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
        round_ = np.hypot(np.maximum(side, 0), np.maximum(down, 0))
        return np.asarray(round_ + np.minimum(np.maximum(side, down), 0) - f)

    def cast(self, start: Floats, rays: Floats) -> tuple[Floats, Floats]:
        """Follow rays that enter through the opening; return how far they go and the normals."""
        t = np.zeros(len(rays), np.float32)
        for _ in range(24):
            t -= self.distance(start + t[:, None] * rays)
        p, e = start + t[:, None] * rays, np.float32(0.05)
        step = np.eye(3, dtype=np.float32) * e
        slope = [self.distance(p - q) - self.distance(p + q) for q in step]
        return t, unit(np.stack(slope, -1))


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
