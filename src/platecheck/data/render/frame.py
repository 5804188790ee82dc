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
from platecheck.data.render.solids import FAR, Basin, Rod, Solid, sampled, unit
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import Background

BLURS = (0.4, 2.5, 7.0)  # of the reflected room, in pixels of its map, by roughness
GROUND, WALL, BASIN = range(3)  # the first things of a frame; then come solids and rods
DIRTY = 0.25  # coverage by dirt that counts
UNIT = 12.0  # centimetres in a unit of a texture
LIGHT_SIDE = 224  # pixels of the shadow map

Texture = Callable[[Floats, Floats], Background]


@dataclass
class Scene:
    """Everything that is seen.

    Attributes:
        light: of the room.
        ground: texture of the plane z = 0, over x and y.
        wall: texture of the plane y = `back`, over x and z.
        back: see `wall`.
        basins: sunk into the ground; with `inside` as their texture.
        solids, rods: what stands there.
    """

    light: Light
    ground: Texture
    wall: Texture
    back: float
    inside: Texture | None = None
    basins: list[Basin] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    rods: list[Rod] = field(default_factory=list)


class Frame:
    """What a camera sees at each of its pixels.

    Attributes:
        depth: along the ray [side, side].
        thing: `GROUND`, `WALL`, `BASIN`, or 3 and more for solids and then rods [side, side].
        normal: unit vectors [side, side, 3].
        at: coordinates on the body of a solid [side, side, 3].
    """

    def __init__(self, camera: Camera, side: int) -> None:
        self.camera, self.side = camera, side
        q = across(side) / np.float32(camera.zoom)
        right, down, forward = camera.axes
        self.rays = unit(forward + right * q[None, :, None] + down * q[:, None, None])
        self.depth = np.full((side, side), FAR, np.float32)
        self.thing = np.full((side, side), -1, np.int16)
        self.normal, self.at = (np.zeros((side, side, 3), np.float32) for _ in range(2))

    @property
    def points(self) -> Floats:
        """Points [side, side, 3] of the scene at each pixel."""
        return self.camera.place + self.rays * self.depth[..., None]

    def draw(self, scene: Scene, *, clear: bool = False) -> None:
        """Draw all, but glass only if `clear`."""
        self._surroundings(scene)
        far = [np.linalg.norm(solid.place - self.camera.place) for solid in scene.solids]
        for number in np.argsort(far).tolist():  # the nearest first: what it hides is not cast
            solid = scene.solids[number]
            if clear or not solid.clear:
                self.solid(solid, number + 3)
                for rod in solid.rods:
                    handle = Rod(solid.world(rod.points), rod.radius * solid.scale, rod.finish)
                    self.rod(handle, number + 3)
        for number, rod in enumerate(scene.rods, 3 + len(scene.solids)):
            self.rod(rod, number)

    def _surroundings(self, scene: Scene) -> None:
        o, d = self.camera.place, self.rays
        with np.errstate(divide="ignore"):
            down = np.where(d[..., 2] < -1e-4, -o[2] / d[..., 2], FAR)
            back = np.where(d[..., 1] > 1e-4, (scene.back - o[1]) / d[..., 1], FAR)
        back = np.where(back > 0, back, FAR)
        self.depth = np.minimum(np.minimum(down, back), FAR).astype(np.float32)
        self.thing[:] = np.where(down <= back, GROUND, WALL)
        self.normal[..., 2] = down <= back
        self.normal[..., 1] = -(down > back).astype(np.float32)
        for basin in scene.basins:
            p = self.points
            hole = (self.thing == GROUND) & (basin.flat(p[..., 0], p[..., 1]) < 0)
            t, normal = basin.cast(p[hole], d[hole])
            self.depth[hole] += t
            self.normal[hole], self.thing[hole] = normal, BASIN

    def _window(self, points: Floats, margin: float) -> tuple[slice, slice] | None:
        """Return the part of the image that holds points [n, 3], or None if there is none."""
        if ((points - self.camera.place) @ self.camera.axes[2]).min() < 1:
            return slice(0, self.side), slice(0, self.side)
        at = self.camera.project(points, self.side)
        x0, y0 = np.floor(at.min(0) - margin).astype(int).clip(0, self.side)
        x1, y1 = np.ceil(at.max(0) + margin + 1).astype(int).clip(0, self.side)
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def window_of(self, solid: Solid) -> tuple[slice, slice] | None:
        """Return the part of the image that a solid may cover."""
        return self._window(solid.world(solid.body.corners), 1)

    def solid(self, solid: Solid, number: int) -> None:
        """Draw a solid."""
        window = self.window_of(solid)
        if window is None:
            return
        wide = window[1].stop - window[1].start
        far, p = solid.cast(
            self.camera.place, self.rays[window].reshape(-1, 3), end=self.depth[window].ravel()
        )
        hit = (far < FAR).nonzero()[0]
        if not len(hit):
            return
        p, rows, columns = p[hit], hit // wide + window[0].start, hit % wide + window[1].start
        normal = solid.body.normals(p, solid.body.radius(p))
        self.depth[rows, columns], self.at[rows, columns] = far[hit], p
        self.thing[rows, columns], self.normal[rows, columns] = number, normal @ solid.turn.T

    def whole(self, solid: Solid) -> float:
        """Return the number of pixels that a solid would cover in an endless image, alone."""
        at = self.camera.project(solid.world(solid.body.corners), self.side)
        step = max(1.0, float(np.ptp(at, 0).max()) / 70)
        q = [
            np.arange(low, high, step, dtype=np.float32)
            for low, high in zip(at.min(0), at.max(0), strict=True)
        ]
        x, y = ((2 * (line + 0.5) / self.side - 1) / np.float32(self.camera.zoom) for line in q)
        right, down, forward = self.camera.axes
        rays = unit(forward + right * x[None, :, None] + down * y[:, None, None]).reshape(-1, 3)
        far, _ = solid.cast(self.camera.place, rays)
        return float((far < FAR).sum() * step * step)

    def rod(self, rod: Rod, number: int) -> None:
        """Draw a rod."""
        for a, b in zip(rod.points[:-1], rod.points[1:], strict=True):
            self._segment(np.stack([a, b]).astype(np.float32), rod.radius, number)

    def _segment(self, ends: Floats, radius: float, number: int) -> None:
        away = (ends - self.camera.place) @ self.camera.axes[2]
        if away.min() < 1:
            return
        half = np.maximum(radius * self.camera.zoom * self.side / 2 / away, 0.55)
        window = self._window(ends, float(half.max()))
        if window is None:
            return
        (ax, ay), (bx, by) = self.camera.project(ends, self.side)
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None] - ax
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - ay
        dx, dy = bx - ax, by - ay
        s = ((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-6)).clip(0, 1)
        cx, cy, wide = x - s * dx, y - s * dy, half[0] + s * (half[1] - half[0])
        aside = np.hypot(cx, cy) / wide
        hit = aside < 1
        over = np.sqrt(np.maximum(1 - aside * aside, 0))
        rays = self.rays[window]
        depth = 1 / (1 / away[0] + s * (1 / away[1] - 1 / away[0])) - radius * over
        depth = depth / (rays @ self.camera.axes[2])
        nearer = hit & (depth < self.depth[window])
        right, down, _ = self.camera.axes
        normal = right * (cx / wide)[..., None] + down * (cy / wide)[..., None]
        normal = normal - rays * over[..., None]
        self.depth[window][nearer], self.thing[window][nearer] = depth[nearer], number
        self.normal[window][nearer], self.at[window][nearer] = unit(normal[nearer]), 0


class Paint:
    """Materials of what a frame shows: linear colour, gloss, roughness, open sky and dirt."""

    def __init__(self, frame: Frame, scene: Scene) -> None:
        shape = frame.depth.shape
        self.frame, self.colour = frame, np.zeros((*shape, 3), np.float32)
        self.gloss, self.dirt = (np.zeros(shape, np.float32) for _ in range(2))
        self.rough, self.sky = np.full(shape, 2, np.uint8), np.ones(shape, np.float32)
        self.soiled = [False] * len(scene.solids)
        p = frame.points / np.float32(UNIT)
        self._texture(GROUND, scene.ground, p[..., 0], p[..., 1])
        self._texture(WALL, scene.wall, p[..., 0], p[..., 2])
        if scene.basins and scene.inside is not None:
            self._texture(BASIN, scene.inside, p[..., 0], p[..., 1] - p[..., 2])
            basin = frame.thing == BASIN
            depth, wide = -frame.points[..., 2][basin], min(b.half[0] for b in scene.basins)
            self.sky[basin] = 1 / (
                1 + 0.6 * (depth.clip(0) / wide) ** 2 + 0.25 * depth.clip(0) / wide
            )
        finishes = [solid.finish for solid in scene.solids] + [rod.finish for rod in scene.rods]
        if not finishes:
            return
        # All pixels, ordered by what they show.
        order = np.argsort(frame.thing, axis=None, kind="stable")
        ends = np.searchsorted(frame.thing.ravel()[order], np.arange(3, 4 + len(scene.solids)))
        made = order[ends[0] :]
        which = frame.thing.ravel()[made] - 3
        self.colour.reshape(-1, 3)[made] = np.array([f.colour for f in finishes], np.float32)[which]
        self.gloss.ravel()[made] = np.array([f.gloss for f in finishes], np.float32)[which]
        self.rough.ravel()[made] = np.array([f.rough for f in finishes], np.uint8)[which]
        for number, solid in enumerate(scene.solids):
            if not solid.clear:
                self._solid(solid, number, order[ends[number] : ends[number + 1]])

    def _texture(self, thing: int, texture: Texture, x: Floats, y: Floats) -> None:
        here = self.frame.thing == thing
        if not here.any():
            return
        rows, columns = here.any(1).nonzero()[0], here.any(0).nonzero()[0]
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        found = texture(x[part].clip(-25, 25), y[part].clip(-25, 25))
        here = here[part]
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
        inner = solid.body.is_inner(solid.body.radius(p), p[:, 2])
        inner &= (p != 0).any(1)  # handles have no coordinates
        part, p = here[inner], p[inner]
        seen, (sky, dirt, bare, wet), normal = look_up_surface(solid, solid.surface, p)
        # A dish whose dirt cannot be seen counts as clean, and is drawn so.
        self.soiled[number] = bool((dirt > DIRTY).sum() > max(8, 0.004 * len(here)))
        if not self.soiled[number] and dirt.any():
            clean = Surface(solid.surface.dish)
            seen, (sky, dirt, bare, wet), normal = look_up_surface(solid, clean, p)
        colour[part], self.sky.ravel()[part], self.dirt.ravel()[part] = seen, sky, dirt
        self.gloss.ravel()[part] = solid.finish.gloss * bare + 0.05 * wet
        self.frame.normal.reshape(-1, 3)[part] = normal


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


def shine(scene: Scene, frame: Frame, paint: Paint, lit: Floats, near: Floats) -> Floats:
    """Return the light [side, side, 3] that the camera receives.

    `lit` is the share of the key light that arrives, and `near` that of the ambient light.
    """
    light, normal, rays = scene.light, frame.normal, frame.rays
    open_ = near * paint.sky * (0.675 + 0.325 * normal[..., 2])
    falling = diffuse(light, normal[..., 0], normal[..., 1])
    falling *= grey(open_) + tinted(0.5 - 0.5 * open_, paint.colour)
    facing = np.maximum(normal @ light.direction, 0) * lit
    falling += tinted(facing, light.key)
    along = -np.einsum("...i,...i->...", normal, rays)
    mirror = rays + (2 * along)[..., None] * normal
    rooms = np.concatenate([cv2.GaussianBlur(light.room, (0, 0), blur) for blur in BLURS])
    gleam = reflected(rooms, mirror[..., 0], mirror[..., 1], mirror[..., 2], paint.rough)
    strength = fresnel(paint.gloss, along.clip(0, 1)) * paint.sky * (0.3 + 0.7 * near)
    return np.asarray(paint.colour * falling + grey(strength) * gleam)


def lit_share(scene: Scene, points: Floats) -> Floats:
    """Return the share of the key light that reaches points [h, w, 3]."""
    stand = np.array([solid.place for solid in scene.solids] or [np.zeros(3)], np.float32)
    middle = np.median(stand, 0)
    reach = float(max(30, np.linalg.norm(stand - middle, axis=1).max() + 20))
    eye = middle + scene.light.direction * np.float32(400)
    camera = look_at(eye, middle, 400 / reach, 0.0)
    frame = Frame(camera, LIGHT_SIDE)
    frame.draw(scene, clear=True)
    size, points = points.shape[:2], points[::2, ::2]  # shadows are soft
    x, y = np.moveaxis(camera.project(points.reshape(-1, 3), LIGHT_SIDE), -1, 0).astype(np.float32)
    x, y = x.reshape(points.shape[:2]), y.reshape(points.shape[:2])
    depth = cv2.remap(
        frame.depth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=FAR
    )
    clear = [False] * 3 + [solid.clear for solid in scene.solids] + [False] * len(scene.rods)
    strength = 1 - 0.7 * cv2.remap(np.array(clear, np.float32)[frame.thing], x, y, cv2.INTER_LINEAR)
    behind = np.linalg.norm(points - eye, axis=-1) - depth
    shadow = step(0.5, 1.2, behind.astype(np.float32)) * strength
    blur = len(points) * (0.002 + 0.012 * min(scene.light.softness, 0.5))
    return np.asarray(1 - cv2.resize(cv2.GaussianBlur(shadow, (0, 0), blur), size))


def crevices(depth: Floats) -> Floats:
    """Return the ambient light that reaches each pixel, 0 to 1: less in hollows."""
    side, left = len(depth), np.ones_like(depth)
    depth = np.minimum(depth, 400)
    for blur, far in ((side / 90, 1.5), (side / 25, 6.0)):
        small = cv2.resize(depth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        around = cv2.resize(cv2.GaussianBlur(small, (0, 0), blur / 2), depth.shape[::-1])
        left = left * (1 - 0.55 * step(0, far, depth - around))
    return left


def render(scene: Scene, camera: Camera, side: int) -> tuple[Floats, Frame, Paint]:
    """Return the light [side, side, 3] that the camera receives, and what it shows."""
    frame = Frame(camera, side)
    frame.draw(scene)
    paint = Paint(frame, scene)
    lit, near = lit_share(scene, frame.points), crevices(frame.depth)
    image = shine(scene, frame, paint, lit, near)
    image = np.minimum(image, 4)
    edge = np.zeros(frame.thing.shape, np.uint8)
    for near_, next_ in (
        ((slice(1, None),), (slice(-1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
    ):
        bent = np.einsum("...i,...i->...", frame.normal[near_], frame.normal[next_]) < 0.8
        edge[near_] |= (frame.thing[near_] != frame.thing[next_]) | bent
    soft = cv2.dilate(edge, np.ones((2, 2), np.uint8), anchor=(1, 1)) > 0
    image[soft] = cv2.GaussianBlur(image, (0, 0), 0.75)[soft]
    far = [float(np.linalg.norm(solid.place - camera.place)) for solid in scene.solids]
    for number in np.argsort(far)[::-1].tolist():
        if scene.solids[number].clear:
            _glass(image, frame, paint, scene, number)
    return image, frame, paint


def _glass(image: Floats, frame: Frame, paint: Paint, scene: Scene, number: int) -> None:
    """Draw a glass over the image, through which what is behind shows bent."""
    solid, window = scene.solids[number], frame.window_of(scene.solids[number])
    if window is None:
        return
    wide, eye = window[1].stop - window[1].start, frame.camera.place
    d, behind = frame.rays[window].reshape(-1, 3), frame.depth[window].ravel()
    t, p = solid.cast(eye, d, end=behind)
    hit = (t < FAR).nonzero()[0]
    if not len(hit):
        return
    t, p, d, behind = t[hit], p[hit], d[hit], behind[hit]
    left, out = np.ones((len(hit), 1), np.float32), np.zeros((len(hit), 3), np.float32)
    dirt, bend = np.zeros(len(hit), np.float32), np.zeros((len(hit), 2), np.float32)
    for layer in range(3):  # the near wall, the far wall, and one more where it is bent
        here = (t < FAR).astype(np.float32)[:, None]
        r = solid.body.radius(p)
        normal = solid.body.normals(p, r) @ solid.turn.T
        along = np.einsum("ni,ni->n", normal, d)[:, None]
        mirror = d - 2 * along * normal
        gleam = reflected(scene.light.room, *(mirror[:, i : i + 1] for i in range(3)))[:, 0]
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
    rows, columns = hit // wide + window[0].start, hit % wide + window[1].start
    image[rows, columns] = out + left * sampled(image, columns - bend[:, 0], rows - bend[:, 1])
    paint.dirt[rows, columns] = dirt
    paint.soiled[number] = bool((dirt > DIRTY).sum() > max(8, 0.004 * len(hit)))
    frame.thing[rows, columns] = number + 3
