"""Scenes of solids on a table, in a basin or before a wall: what a camera sees, and its light."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import Camera, across, look_at
from platecheck.data.render.light import Light, diffuse, fresnel, reflected
from platecheck.data.render.pixels import Floats, grey, step, tinted
from platecheck.data.render.shapes import EDGE
from platecheck.data.render.solids import FAR, Basin, Rod, Solid, fold, sampled, unit
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import Background

BLURS = (0.4, 2.5, 7.0)  # of the reflected room, in pixels of its map, by roughness
GROUND, WALL, BASIN, FIRST = range(4)  # things of a frame; from `FIRST` on, solids and then rods
DIRTY = 0.25  # coverage by dirt that counts
UNIT = 12.0  # centimetres in a unit of a texture
LIGHT_SIDE = 224  # pixels of the shadow map

Texture = Callable[[Floats, Floats], Background]
Window = tuple[slice, slice]


@dataclass
class Scene:
    """Everything that is seen: the plane z = 0, the wall y = `back`, and what stands there.

    The textures are functions of x and y, on the wall of x and z, in `UNIT`.
    """

    light: Light
    ground: Texture
    wall: Texture
    inside: Texture  # of the basins
    back: float
    basins: list[Basin] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    rods: list[Rod] = field(default_factory=list)


class Frame:
    """What a camera sees at each of its pixels.

    Attributes:
        depth: along the ray [side, side].
        thing: `GROUND`, `WALL`, `BASIN`, or the number of a solid or rod [side, side].
        normal: unit vectors [side, side, 3].
        at: coordinates on the body of a solid, 0 on its handles [side, side, 3].
    """

    def __init__(self, camera: Camera, side: int) -> None:
        self.camera, self.side = camera, side
        self.rays = self._rays(across(side), across(side))
        self.depth = np.full((side, side), FAR, np.float32)
        self.thing = np.full((side, side), GROUND, np.int16)
        self.normal, self.at = (np.zeros((side, side, 3), np.float32) for _ in range(2))

    def _rays(self, x: Floats, y: Floats) -> Floats:
        right, down, forward = self.camera.axes
        x, y = x / np.float32(self.camera.zoom), y / np.float32(self.camera.zoom)
        return unit(forward + right * x[None, :, None] + down * y[:, None, None])

    def points(self) -> Floats:
        """Return the points [side, side, 3] of the scene that are seen."""
        return np.asarray(self.camera.place + self.rays * self.depth[..., None])

    def draw(self, scene: Scene, *, clear: bool = False) -> None:
        """Draw all, but glass only if `clear`."""
        self._surroundings(scene)
        far = [np.linalg.norm(solid.place - self.camera.place) for solid in scene.solids]
        for number in np.argsort(far).tolist():  # the nearest first: what it hides is not cast
            solid = scene.solids[number]
            if clear or not solid.clear:
                self._solid(solid, FIRST + number)
                for rod in solid.rods:
                    self._rod(solid.world(rod.points), rod.radius * solid.scale, FIRST + number)
        for number, rod in enumerate(scene.rods, FIRST + len(scene.solids)):
            self._rod(rod.points, rod.radius, number)

    def _surroundings(self, scene: Scene) -> None:
        o, d = self.camera.place, self.rays
        below, behind = d[..., 2] < -1e-4, (d[..., 1] > 1e-4) & (scene.back > o[1])
        down = np.where(below, -o[2] / np.minimum(d[..., 2], -1e-4), FAR)
        back = np.where(behind, (scene.back - o[1]) / np.maximum(d[..., 1], 1e-4), FAR)
        self.depth[:] = np.minimum(np.minimum(down, back), FAR)
        self.thing[down > back] = WALL
        self.normal[..., 2], self.normal[..., 1] = down <= back, -1.0 * (down > back)
        for basin in scene.basins:
            p = self.points()
            hole = (self.thing == GROUND) & (basin.flat(p[..., 0], p[..., 1]) < 0)
            t, self.normal[hole] = basin.cast(p[hole], d[hole])
            self.depth[hole] += t
            self.thing[hole] = BASIN

    def window(self, points: Floats, margin: float = 1) -> Window | None:
        """Return the part of the image that holds points [n, 3], or None if there is none."""
        if ((points - self.camera.place) @ self.camera.axes[2]).min() < 1:
            return slice(0, self.side), slice(0, self.side)
        at = self.camera.project(points, self.side)
        x0, y0 = np.floor(at.min(0) - margin).astype(int).clip(0, self.side)
        x1, y1 = np.ceil(at.max(0) + margin + 1).astype(int).clip(0, self.side)
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def _solid(self, solid: Solid, number: int) -> None:
        window = self.window(solid.world(solid.body.corners))
        if window is None:
            return
        rays, behind = self.rays[window], self.depth[window].ravel()
        far, p = solid.cast(self.camera.place, rays.reshape(-1, 3), end=behind)
        hit = (far < FAR).nonzero()[0]
        if not len(hit):
            return
        part, p = _inside(window, hit), p[hit]
        self.depth[part], self.at[part], self.thing[part] = far[hit], p, number
        self.normal[part] = solid.body.normals(p, solid.body.radius(p)) @ solid.turn.T

    def whole(self, solid: Solid) -> float:
        """Return the number of pixels that a solid would cover in an endless image, alone."""
        at = self.camera.project(solid.world(solid.body.corners), self.side)
        pace = max(1.0, float(np.ptp(at, 0).max()) / 70)
        x, y = (
            np.arange(low, low + wide, pace)
            for low, wide in zip(at.min(0), np.ptp(at, 0), strict=True)
        )
        rays = self._rays(*((2 * q + 1) / self.side - 1 for q in (x, y)))
        far, _ = solid.cast(self.camera.place, rays.reshape(-1, 3))
        return float((far < FAR).sum() * pace**2)

    def _rod(self, points: Floats, radius: float, number: int) -> None:
        for ends in np.stack([points[:-1], points[1:]], 1).astype(np.float32):
            away = (ends - self.camera.place) @ self.camera.axes[2]
            if away.min() < 1:
                continue
            half = np.maximum(radius * self.camera.zoom * self.side / 2 / away, 0.6)
            window = self.window(ends, float(half.max()))
            if window is not None:
                self._segment(ends, (away, half, radius), window, number)

    def _segment(
        self, ends: Floats, size: tuple[Floats, Floats, float], window: Window, number: int
    ) -> None:
        """Draw a straight piece of a rod: how far away and how wide in pixels its ends are."""
        (ax, ay), (bx, by) = self.camera.project(ends, self.side)
        (away, half, radius), (rows, columns) = size, window
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - ax
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - ay
        dx, dy = bx - ax, by - ay
        s = ((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-6)).clip(0, 1)
        wide = half[0] + s * (half[1] - half[0])
        cx, cy = (x - s * dx) / wide, (y - s * dy) / wide
        over, rays = np.sqrt(np.maximum(1 - cx * cx - cy * cy, 0)), self.rays[window]
        right, down, forward = self.camera.axes
        depth = 1 / (1 / away[0] + s * (1 / away[1] - 1 / away[0])) - radius * over
        depth /= rays @ forward
        nearer = (over > 0) & (depth < self.depth[window])
        normal = right * cx[..., None] + down * cy[..., None] - rays * over[..., None]
        self.depth[window][nearer], self.thing[window][nearer] = depth[nearer], number
        self.normal[window][nearer], self.at[window][nearer] = unit(normal[nearer]), 0


def _inside(window: Window, index: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of an image from indices in a window."""
    rows, columns = np.divmod(index, window[1].stop - window[1].start)
    return rows + window[0].start, columns + window[1].start


class Paint:
    """Materials of what a frame shows [side, side]: colour, gloss, roughness, open sky and dirt.

    `soiled` says of each solid whether its dirt can be seen.
    """

    def __init__(self, frame: Frame, scene: Scene) -> None:
        shape = frame.depth.shape
        self.frame, self.colour = frame, np.zeros((*shape, 3), np.float32)
        self.gloss, self.dirt = (np.zeros(shape, np.float32) for _ in range(2))
        self.rough, self.sky = np.full(shape, 2, np.uint8), np.ones(shape, np.float32)
        self.soiled = [False] * len(scene.solids)
        x, y, z = np.moveaxis((frame.points() / UNIT).clip(-25, 25).astype(np.float32), -1, 0)
        self._texture(GROUND, scene.ground, x, y)
        self._texture(WALL, scene.wall, x, z)
        self._texture(BASIN, scene.inside, x, y - z)
        if scene.basins:
            depth = (-z * UNIT / min(basin.half[0] for basin in scene.basins)).clip(0)
            self.sky = np.where(
                frame.thing == BASIN, 1 / (1 + 0.6 * depth**2 + 0.25 * depth), self.sky
            )
        finishes = [solid.finish for solid in scene.solids] + [rod.finish for rod in scene.rods]
        # All pixels, ordered by what they show.
        order = np.argsort(frame.thing, axis=None, kind="stable")
        ends = np.searchsorted(frame.thing.ravel()[order], FIRST + np.arange(len(finishes) + 1))
        for number, finish in enumerate(finishes):
            here = order[ends[number] : ends[number + 1]]
            self.colour.reshape(-1, 3)[here] = finish.colour
            self.gloss.ravel()[here], self.rough.ravel()[here] = finish.gloss, finish.rough
            if number < len(scene.solids):
                self._solid(scene.solids[number], number, here)

    def _texture(self, thing: int, texture: Texture, x: Floats, y: Floats) -> None:
        here = self.frame.thing == thing
        if not here.any():
            return
        rows, columns = here.any(1).nonzero()[0], here.any(0).nonzero()[0]
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        found, here = texture(x[part], y[part]), here[part]
        self.colour[part][here], self.gloss[part][here] = found.albedo[here], found.gloss
        self.rough[part][here] = 0 if found.blur < 1.5 else 1 if found.blur < 4.5 else 2

    def _solid(self, solid: Solid, number: int, here: NDArray[np.intp]) -> None:
        """Paint the pixels `here` of a solid, whose plain colour is there already."""
        colour, p = self.colour.reshape(-1, 3), self.frame.at.reshape(-1, 3)[here]
        if solid.band is not None:
            low, high, band = solid.band
            colour[here[(p[:, 2] > low) & (p[:, 2] < high)]] = band
        if solid.surface is None or not len(p):
            return
        inner = solid.body.is_inner(solid.body.radius(p), p[:, 2]) & (p != 0).any(1)
        part, p = here[inner], p[inner]
        seen, (sky, dirt, bare, wet), normal = look_up_surface(solid, solid.surface, p)
        # A dish whose dirt cannot be seen counts as clean, and is drawn so.
        self.soiled[number] = _is_soiled(dirt, len(here))
        if not self.soiled[number] and dirt.any():
            clean = Surface(solid.surface.dish)
            seen, (sky, dirt, bare, wet), normal = look_up_surface(solid, clean, p)
        colour[part], self.sky.ravel()[part], self.dirt.ravel()[part] = seen, sky, dirt
        self.gloss.ravel()[part] = solid.finish.gloss * bare + 0.05 * wet
        self.frame.normal.reshape(-1, 3)[part] = normal


def _is_soiled(dirt: Floats, pixels: int) -> bool:
    return bool((dirt > DIRTY).sum() > max(8, 0.004 * pixels))


def look_up_surface(solid: Solid, surface: Surface, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a dish's upper side at points p [n, 3] of its body.

    Returns:
        Albedo [n, 3]; open sky, dirt, bareness and wetness [4, n]; normals in the scene [n, 3].
    """
    n, dish = len(surface.relief), surface.dish
    x, y = ((q / EDGE + 1) * (n / 2) - 0.5 for q in (p[:, 0], p[:, 1]))
    gx, gy = dish.slope_u, dish.slope_v
    if surface.relief.any():
        gx = gx + cv2.Sobel(surface.relief, -1, 1, 0, scale=1 / (8 * surface.pixel))
        gy = gy + cv2.Sobel(surface.relief, -1, 0, 1, scale=1 / (8 * surface.pixel))
    rest = cv2.merge([dish.open_sky, surface.dirt, surface.bare, surface.wet])
    slope = sampled(cv2.merge([-gx, -gy, np.ones_like(gx)]), x, y)
    return sampled(surface.albedo, x, y), sampled(rest, x, y).T, unit(slope) @ solid.turn.T


def shine(scene: Scene, frame: Frame, paint: Paint) -> Floats:
    """Return the light [side, side, 3] that the camera receives."""
    light, normal, rays = scene.light, frame.normal, frame.rays
    near = _crevices(frame.depth)
    open_ = near * paint.sky * (0.675 + 0.325 * normal[..., 2])
    falling = diffuse(light, normal[..., 0], normal[..., 1])
    falling *= grey(open_) + tinted(0.5 - 0.5 * open_, paint.colour)
    facing = np.maximum(normal @ light.direction, 0) * _lit(scene, frame.points())
    falling += tinted(facing, light.key)
    along = -np.einsum("...i,...i->...", normal, rays)
    mirror = rays + (2 * along)[..., None] * normal
    rooms = np.concatenate([cv2.GaussianBlur(light.room, (0, 0), blur) for blur in BLURS])
    gleam = reflected(rooms, mirror[..., 0], mirror[..., 1], mirror[..., 2], paint.rough)
    strength = fresnel(paint.gloss, along.clip(0, 1)) * paint.sky * (0.3 + 0.7 * near)
    return np.asarray(paint.colour * falling + grey(strength) * gleam)


def _lit(scene: Scene, points: Floats) -> Floats:
    """Return the share of the key light that reaches points [h, w, 3], from a shadow map."""
    stand = np.array([solid.place for solid in scene.solids] or [np.zeros(3)], np.float32)
    middle = np.median(stand, 0)
    reach = float(max(30, np.linalg.norm(stand - middle, axis=1).max() + 20))
    eye = middle + scene.light.direction * np.float32(400)
    frame = Frame(look_at(eye, middle, 400 / reach, 0.0), LIGHT_SIDE)
    frame.draw(scene, clear=True)
    size, points = points.shape[:2], points[::2, ::2]  # shadows are soft
    at = frame.camera.project(points.reshape(-1, 3), LIGHT_SIDE).astype(np.float32)
    x, y = at[:, 0].reshape(points.shape[:2]), at[:, 1].reshape(points.shape[:2])
    depth = cv2.remap(frame.depth, x, y, cv2.INTER_LINEAR, borderValue=FAR)
    clear = [False] * FIRST + [solid.clear for solid in scene.solids] + [False] * len(scene.rods)
    through = cv2.remap(np.array(clear, np.float32)[frame.thing], x, y, cv2.INTER_LINEAR)
    behind = (np.linalg.norm(points - eye, axis=-1) - depth).astype(np.float32)
    shadow = step(0.5, 1.2, behind) * (1 - 0.7 * through)
    blur = len(points) * (0.002 + 0.012 * min(scene.light.softness, 0.5))
    return np.asarray(1 - cv2.resize(cv2.GaussianBlur(shadow, (0, 0), blur), size))


def _crevices(depth: Floats) -> Floats:
    """Return the ambient light that reaches each pixel, 0 to 1: less in hollows."""
    side, left = len(depth), np.ones_like(depth)
    small = cv2.resize(np.minimum(depth, 400), (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    for blur, far in ((side / 180, 1.5), (side / 50, 6.0)):
        around = cv2.resize(cv2.GaussianBlur(small, (0, 0), blur), (side, side))
        left *= 1 - 0.55 * step(0, far, depth - around)
    return left


def render(scene: Scene, camera: Camera, side: int) -> tuple[Floats, Frame, Paint]:
    """Return the light [side, side, 3] that the camera receives, and what it shows."""
    frame = Frame(camera, side)
    frame.draw(scene)
    paint = Paint(frame, scene)
    image = np.minimum(shine(scene, frame, paint), 4)
    edge = np.zeros(frame.thing.shape, bool)  # soften the edges of things and sharp bends
    for axis in (0, 1):
        other = np.roll(frame.thing, 1, axis), np.roll(frame.normal, 1, axis)
        bent = np.einsum("...i,...i->...", frame.normal, other[1]) < 0.8
        differs = (frame.thing != other[0]) | bent
        edge |= differs | np.roll(differs, -1, axis)
    image[edge] = cv2.GaussianBlur(image, (0, 0), 0.75)[edge]
    far = [float(np.linalg.norm(solid.place - camera.place)) for solid in scene.solids]
    for number in np.argsort(far)[::-1].tolist():
        if scene.solids[number].clear:
            _glass(image, frame, paint, scene, number)
    return image, frame, paint


def _glass(image: Floats, frame: Frame, paint: Paint, scene: Scene, number: int) -> None:
    """Draw a glass over the image, through which what is behind shows bent."""
    solid, eye = scene.solids[number], frame.camera.place
    window = frame.window(solid.world(solid.body.corners))
    if window is None:
        return
    d, behind = frame.rays[window].reshape(-1, 3), frame.depth[window].ravel()
    t, p = solid.cast(eye, d, end=behind)
    hit = (t < FAR).nonzero()[0]
    if not len(hit):
        return
    t, p, d, behind = t[hit], p[hit], d[hit], behind[hit]
    left, out = np.ones((len(hit), 1), np.float32), np.zeros((len(hit), 3), np.float32)
    dirt, bend = np.zeros(len(hit), np.float32), np.zeros((len(hit), 2), np.float32)
    for layer in range(3):  # the near wall, the far wall, and one more where it is bent
        here, r = (t < FAR).astype(np.float32)[:, None], solid.body.radius(p)
        normal = solid.body.normals(p, r) @ solid.turn.T
        along = np.einsum("ni,ni->n", normal, d)[:, None]
        mirror = (d - 2 * along * normal)[fold(len(hit))].transpose(2, 0, 1)
        gleam = reflected(scene.light.room, *mirror).reshape(-1, 3)[: len(hit)]
        along = np.abs(along).clip(0, 1)
        out += left * here * (fresnel(0.07, along) * gleam + 0.015)
        left = left * (1 - here * (0.08 + 0.55 * (1 - along) ** 3))
        if layer == 0:
            bend = (normal @ frame.camera.axes[:2].T) * np.float32(frame.side * 0.02)
        if solid.surface is not None:
            inner = (solid.body.is_inner(r, p[:, 2]) & (t < FAR)).nonzero()[0]
            seen, (_, cover, *_), _ = look_up_surface(solid, solid.surface, p[inner])
            dirt[inner] = np.maximum(dirt[inner], cover)
            out[inner] += left[inner] * cover[:, None] * seen * np.float32(0.9)
            left[inner] *= 1 - cover[:, None]
        t, p = solid.cast(eye, d, start=t + 0.02, end=behind)
    part = _inside(window, hit)
    image[part] = out + left * sampled(image, part[1] - bend[:, 0], part[0] - bend[:, 1])
    paint.dirt[part], frame.thing[part] = dirt, FIRST + number
    paint.soiled[number] = _is_soiled(dirt, len(hit))
