"""Render scenes: racks, trays, sinks and tables with dishes, and places without any."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import Camera, develop, look_at
from platecheck.data.render.crockery import (
    SORTS,
    STEEL,
    Design,
    ball,
    bottle,
    cutlery,
    drain,
    draw_design,
    make_dish,
    plain_solid,
    sponge,
    turned,
)
from platecheck.data.render.frame import UNIT, Scene, render
from platecheck.data.render.light import draw_light
from platecheck.data.render.pixels import Floats, linear, mean_colour
from platecheck.data.render.rooms import draw_texture, picture, with_picture
from platecheck.data.render.scene import LABELS
from platecheck.data.render.solids import Basin, Finish, Rod, Solid
from platecheck.errors import DataError

DISH_KINDS = ("rack", "tray", "sink", "table")
EMPTY_KINDS = ("empty-sink", "empty-rack", "hob", "floor", "bare-table", "kitchen", "page", "face", "hands")
SCENE_KINDS = DISH_KINDS + EMPTY_KINDS
MOST_DISHES = 12
MIN_SIZE, MAX_SIZE = 160, 1280


@dataclass(frozen=True)
class RenderedScene:
    """A rendered photo of a scene, with what can be seen of each dish.

    Attributes:
        photo: uint8 RGB [H, W, 3].
        kind: one of the `SCENE_KINDS`.
        boxes: visible extents, float32 [M, 4] (x0, y0, x1, y1 in pixels).
        labels: ``dirty`` if dirt can be seen on the dish, else ``clean``.
        visible: share of each dish that is neither hidden nor outside the photo, float32 [M].
        masks: bool [M, H, W], True where the dish is seen.
        dirt_masks: bool [M, H, W], True where its dirt is seen.
    """

    photo: NDArray[np.uint8]
    kind: str
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    visible: NDArray[np.float32]
    masks: NDArray[np.bool_]
    dirt_masks: NDArray[np.bool_]


def render_scene(
    rng: np.random.Generator,
    *,
    size: int = 640,
    kind: str | None = None,
    dishes: int | None = None,
    dirty: float | None = None,
) -> RenderedScene:
    """Render a photo of a place with or without dishes.

    Args:
        rng: source of randomness.
        size: longer side of the photo in pixels, 160 to 1280.
        kind: one of the `SCENE_KINDS`; by default two thirds have dishes.
        dishes: number of dishes that are placed, 1 to 12; drawn by default.
        dirty: probability that a dish is dirty; drawn for each scene by default.

    Raises:
        DataError: an argument has an invalid value.
    """
    if kind is not None and kind not in SCENE_KINDS:
        raise DataError(f"no such kind of scene: {kind!r}; choose one of {', '.join(SCENE_KINDS)}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"size {size} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels")
    if dishes is not None and not 1 <= dishes <= MOST_DISHES:
        raise DataError(f"{dishes} dishes are out of range; choose 1 to {MOST_DISHES}")
    if dirty is not None and not 0 <= dirty <= 1:
        raise DataError(f"dirty {dirty} is out of range; choose 0 to 1")
    drawn = DISH_KINDS if rng.random() < 2 / 3 else EMPTY_KINDS
    kind = kind or str(drawn[rng.integers(len(drawn))])
    count = dishes or int(rng.integers(1, MOST_DISHES + 1))
    share = dirty if dirty is not None else float(rng.choice([0, 1, rng.random()], p=(0.2, 0.2, 0.6)))
    setting = Setting(rng, size, count if kind in DISH_KINDS else 0, share)
    SETTINGS[kind](setting)
    scene, camera = setting.finish()
    image, frame, paint = render(scene, camera, size)
    height, width = _aspect(rng, size)
    top, left = (size - height) // 2, (size - width) // 2
    window = slice(top, top + height), slice(left, left + width)
    photo = develop(rng, image, size)[window]

    boxes, labels, visible, masks, dirt = [], [], [], [], []
    for number, solid in enumerate(scene.solids):
        mask = (frame.thing == number + 3)[window]
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if not solid.dish or mask.sum() < LEAST * height * width:
            continue
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        soiled = mask & (paint.dirt[window] > 0.25) & paint.soiled[number]
        labels.append(LABELS[int(soiled.any())])
        visible.append(min(1.0, mask.sum() / max(frame.whole(solid), 1)))
        masks.append(mask)
        dirt.append(soiled)
    shape = (len(boxes), height, width)
    return RenderedScene(
        np.ascontiguousarray(photo),
        kind,
        np.array(boxes, np.float32).reshape(-1, 4),
        tuple(labels),
        np.array(visible, np.float32),
        np.array(masks, bool).reshape(shape),
        np.array(dirt, bool).reshape(shape),
    )


LEAST = 3e-4  # of the photo; a dish that shows less has no box


def _aspect(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Draw the height and width of a photo as cameras take them."""
    short = round(size / float(rng.choice([1, 4 / 3, 3 / 2, 16 / 9], p=(0.4, 0.35, 0.15, 0.1))))
    return (size, short) if rng.random() < 0.5 else (short, size)


class Setting:
    """A scene in the making, in centimetres around the origin.

    Attributes:
        scene: what has been placed; its light is drawn last.
        count: number of dishes that are to be placed.
        reach: radius of what the camera shall see; set it with `tilt` and `target`.
        tilt: the camera's least and greatest angle from vertical, in degrees.
    """

    def __init__(self, rng: np.random.Generator, size: int, count: int, dirty: float) -> None:
        self.rng, self.size, self.count, self.dirty = rng, size, count, dirty
        self.reach, self.tilt, self.target = 30.0, (0.0, 65.0), np.zeros(3)
        self.turn = rng.uniform(0, 2 * np.pi)  # of everything, about the vertical
        self.ground, self.wall, self.inside = (draw_texture(rng, where) for where in ("ground", "wall", "basin"))
        self.back: float | None = None
        self.basins: list[Basin] = []
        self.solids: list[Solid] = []
        self.rods: list[Rod] = []
        self.designs: dict[str, list[Design]] = {}
        self.variety = float(rng.choice([0.1, 0.5, 1.0]))
        self.floor = np.zeros((160, 160), np.float32)  # height of what lies there, each centimetre

    def design(self, sort: str | None = None) -> Design:
        """Draw a design, often one that is already used, as in a set."""
        sort = sort or str(self.rng.choice(list(SORTS), p=list(SORTS.values())))
        known = self.designs.setdefault(sort, [])
        if not known or self.rng.random() < self.variety:
            known.append(draw_design(self.rng, sort, self.size / (2.2 * self.reach)))
        return known[int(self.rng.integers(len(known)))]

    def dish(self, design: Design) -> Solid:
        return make_dish(self.rng, design, dirty=self.rng.random() < self.dirty)

    def put(self, solid: Solid, at: Floats, height: float, turn: Floats | None = None) -> Solid:
        """Place a solid so that its lowest point is at a height."""
        solid.turn = solid.turn if turn is None else turn
        rim = np.concatenate([np.c_[solid.body.shape.outline * q, np.full(240, z)] for q, z in ((1, solid.body.height), (solid.body.shape.foot, 0))])
        low = float((rim @ solid.turn.T)[:, 2].min() * solid.scale)
        solid.place = np.array([*at, height - low], np.float32)
        self.solids.append(solid)
        return solid

    def cells(self, at: Floats, radius: float) -> tuple[Floats, Floats, Floats]:
        """Return the cells of `floor` within a radius, and how far each is from the middle."""
        y, x = np.mgrid[-80:80, -80:80] + 0.5
        away = np.hypot(x - at[0], y - at[1])
        rows, columns = np.nonzero(away < max(radius, 1))
        return rows, columns, away[rows, columns]

    def drop(self, solid: Solid, at: Floats, *, upside_down: bool = False) -> None:
        """Lay a solid onto what lies there already; where that is uneven, it leans."""
        shape, k = solid.body.shape, solid.scale
        rows, columns, away = self.cells(at, k * solid.body.wide)
        below = self.floor[rows, columns]
        foot = away < (k if upside_down else max(shape.foot, 0.5) * k)
        rest = float(below[foot].max(initial=0))
        if not upside_down:
            rest = max(rest, float(below.max()) - solid.body.height * k)
        x, y = columns - 79.5 - at[0], rows - 79.5 - at[1]
        high = below >= below.max() - 1
        lean = np.array([x[high].mean(), y[high].mean()]) / k
        tilt = 0.0
        if np.hypot(*lean) > 0.25 and rest > 0.5:
            tilt = min(0.6, np.arctan(rest / k) * 0.7)
            rest *= 0.45
        away_from = np.arctan2(-lean[1], -lean[0])
        spin = self.rng.uniform(0, 2 * np.pi)
        turn = turned(spin, tilt + (np.pi if upside_down else 0), away_from)
        self.put(solid, at, rest, turn)
        top = rest + k * solid.body.height * (1 if upside_down else 0.25 + 0.75 * (away / k) ** 3)
        top = top - np.sin(tilt) * (x * np.cos(away_from) + y * np.sin(away_from))
        self.floor[rows, columns] = np.maximum(below, np.minimum(top, rest + 2 * k))

    def stack(self, design: Design, at: Floats, count: int, height: float) -> None:
        """Stack dishes of one design."""
        gap = (0.05 + 0.22 * design.body.height) * design.radius
        for number in range(count):
            slip = self.rng.normal(0, 0.02, 2) * design.radius
            tilt = abs(self.rng.normal(0, 0.03))
            self.put(self.dish(design), at + slip, height + gap * number, turned(self.rng.uniform(0, 7), tilt, self.rng.uniform(0, 7)))
        rows, columns, _ = self.cells(at, design.radius)
        self.floor[rows, columns] = height + gap * (count - 1) + design.height

    def spread(self, count: int, half: tuple[float, float], height: float = 0.0, crowd: float = 0.9) -> None:
        """Place dishes over an area [-half, half], some stacked or one in the other."""
        self.floor[:] = np.maximum(self.floor, height)
        placed: list[tuple[Floats, float]] = []
        left = count
        while left > 0:
            design = self.design()
            at = self._free(placed, design.radius * crowd, half)
            placed.append((at, design.radius))
            together = 1
            if self.rng.random() < 0.25 and design.sort in ("plate", "bowl"):
                together = min(left, int(self.rng.integers(2, 7)))
            left -= together
            if together > 1:
                self.stack(design, at, together, height)
            else:
                self.drop(self.dish(design), at, upside_down=design.sort in ("mug", "glass", "cup") and self.rng.random() < 0.12)
            if left and design.sort == "plate" and self.rng.random() < 0.2:  # a cup or bowl on it
                self.drop(self.dish(self.design(str(self.rng.choice(["cup", "bowl", "plate"])))), at + self.rng.normal(0, 1.5, 2))
                left -= 1

    def _free(self, placed: list[tuple[Floats, float]], radius: float, half: tuple[float, float]) -> Floats:
        """Draw a place that is far from others, if there is one."""
        tries = self.rng.uniform(-1, 1, (30, 2)) * np.maximum(np.array(half) - radius * 0.6, 0.5)
        gaps = [min([np.hypot(*(at - other)) - radius - wide for other, wide in placed] or [0]) for at in tries]
        enough = [at for at, gap in zip(tries, gaps, strict=True) if gap >= 0]
        return np.asarray(enough[0] if enough else tries[int(np.argmax(gaps))])

    def clutter(self, count: int, half: tuple[float, float]) -> None:
        """Add cutlery, sponges, bottles and fruit, which are no dishes."""
        for _ in range(count):
            at = self.rng.uniform(-1, 1, 2) * half
            kind = self.rng.choice(["cutlery", "sponge", "bottle", "ball"], p=(0.64, 0.12, 0.12, 0.12))
            if kind == "cutlery":
                angle = self.rng.uniform(0, 7)
                ends = [self.floor[self.cells(at + q * 7 * np.array([np.cos(angle), np.sin(angle)]), 3)[:2]].max(initial=0) for q in (-1, 1)]
                self.rods += cutlery(self.rng, at, angle, (float(ends[0]), float(ends[1])))
            else:
                make = {"sponge": sponge, "bottle": bottle, "ball": ball}[str(kind)]
                self.drop(make(self.rng), at)

    def finish(self) -> tuple[Scene, Camera]:
        """Turn everything about the vertical, draw the light and aim the camera."""
        rng, around = self.rng, turned(self.turn)
        flip = around[:2, :2]
        for solid in self.solids:
            solid.turn, solid.place = around @ solid.turn, (around @ solid.place).astype(np.float32)
        rods = [Rod((rod.points @ around.T).astype(np.float32), rod.radius, rod.finish) for rod in self.rods]
        tilt, zoom = np.radians(rng.uniform(*self.tilt)), rng.uniform(1.3, 2.6)
        distance = max(self.reach * zoom / rng.uniform(0.75, 1.15), 16)
        target = around @ self.target + np.array([*rng.normal(0, 0.12, 2), 0]) * self.reach
        eye = target + distance * np.array([0, -np.sin(tilt), np.cos(tilt)])
        camera = look_at(eye, target, zoom, rng.normal(0, 0.06) + (rng.uniform(0, 6.3) if tilt < 0.4 else 0))
        back = self.back if self.back is not None else self.reach * rng.uniform(1.3, 4)
        line = np.linspace(-1, 1, 24, dtype=np.float32)
        light = draw_light(rng, mean_colour(self.ground(*np.meshgrid(line, line)).albedo))
        del flip
        return Scene(light, self.ground, self.wall, back, self.inside, self.basins, self.solids, rods), camera


def _table(s: Setting) -> None:
    half = (6 + 9.5 * s.count**0.5) * s.rng.uniform(0.8, 1.1)
    s.reach = half * 1.15
    s.spread(s.count, (half, half * 0.8), crowd=s.rng.uniform(0.6, 1))
    s.clutter(int(s.rng.integers(0, 7)), (half, half))


def _tray(s: Setting) -> None:
    design = s.design("tray")
    s.reach = design.radius * s.rng.uniform(1, 1.3)
    s.put(s.dish(design), np.zeros(2), 0, turned(0))
    half = (design.radius * 0.85, design.radius * 0.85 / design.body.shape.aspect)
    s.spread(s.count - 1, half, 0.02 * design.radius, crowd=s.rng.uniform(0.6, 0.9))
    s.clutter(int(s.rng.integers(0, 5)), half)
    s.turn = s.rng.normal(0, 0.3)


def _basins(s: Setting) -> Basin:
    """Sink one or two basins with drains and a tap; return the first."""
    rng = s.rng
    half = np.array([rng.uniform(17, 30), rng.uniform(15, 22)])
    depth, corner = rng.uniform(11, 20), min(half) * float(rng.choice([0.15, 0.4, 0.98]))
    first = Basin((0, 0), (half[0], half[1]), depth, corner, rng.uniform(1.5, 5))
    s.basins = [first]
    if rng.random() < 0.4:
        wide = half[0] * rng.uniform(0.5, 1)
        s.basins.append(Basin((half[0] + wide + rng.uniform(2, 5), 0), (wide, half[1]), depth * rng.uniform(0.6, 1), min(wide, corner), first.fillet))
    for basin in s.basins:
        at = np.array(basin.middle) + rng.normal(0, 0.12, 2) * half
        s.put(drain(rng, rng.uniform(3.2, 5.8)), at, -basin.depth + 0.05)
    x, y = rng.normal(0, 0.3) * half[0], half[1] + rng.uniform(4, 7)
    tall, long, r = rng.uniform(12, 28), rng.uniform(14, 24), rng.uniform(0.9, 1.6)
    t = np.linspace(0, np.pi * rng.uniform(0.75, 1), 9)
    bow = np.stack([0 * t + x, y - long / 2 * (1 - np.cos(t)), tall + long * 0.4 * np.sin(t)], -1)
    metal = Finish(linear((70, 70, 72)), 0.6, 0)
    s.rods += [Rod(np.array([(x, y, 0), *bow]), r, metal), Rod(np.array([(x, y, 0), (x, y, 4)]), 2 * r, metal)]
    s.rods.append(Rod(np.array([(x + 2, y, 5), (x + 8, y - 2, 8)]), 0.6, metal))
    s.back, s.turn, s.reach = half[1] + rng.uniform(8, 30), rng.normal(0, 0.15), half[0] * rng.uniform(1, 1.7)
    s.tilt, s.target = (5, 62), np.array([0, 0, -depth / 2])
    return first


def _sink(s: Setting) -> None:
    first = _basins(s)
    s.reach = first.half[0] * s.rng.uniform(0.9, 1.5)
    s.floor[:] = -first.depth
    half = np.array(first.half) - 2
    beside = int(s.rng.integers(0, max(1, s.count // 3) + 1)) if s.count > 2 else 0
    for _ in range(s.count - beside):
        design = s.design()
        room = np.maximum(half - design.radius, 1)
        at = s.rng.uniform(-1, 1, 2) * room
        s.drop(s.dish(design), at, upside_down=s.rng.random() < 0.1)
    s.clutter(int(s.rng.integers(0, 5)), (half[0] * 0.6, half[1] * 0.6))
    s.floor[:] = 0
    for _ in range(beside):
        design = s.design()
        side = float(s.rng.choice([-1, 1])) if len(s.basins) == 1 else -1
        s.drop(s.dish(design), np.array([side * (first.half[0] + design.radius + s.rng.uniform(1, 8)), s.rng.uniform(-1, 1) * first.half[1]]))


def _frame_of_rack(s: Setting, half: Floats, gap: float) -> float:
    """Build a rack of wire or plastic; return the height of its bottom."""
    rng, rods = s.rng, []
    colour = rng.choice(["white", "steel", "grey", "dark", "blue"])
    finish = STEEL if colour == "steel" else Finish(linear({"white": (226, 226, 224), "grey": (130, 134, 138), "dark": (40, 40, 44), "blue": (40, 84, 150)}[str(colour)]), 0.05, 1)
    basket = rng.random() < 0.4
    wire, low, wall = rng.uniform(0.35, 0.6) if basket else rng.uniform(0.15, 0.3), rng.uniform(0.8, 4), rng.uniform(7, 13)
    (a, b), levels = half, rng.integers(2, 5)
    for z in np.linspace(low, wall, levels):
        ring = np.array([(-a, -b, z), (a, -b, z), (a, b, z), (-a, b, z), (-a, -b, z)])
        rods.append(Rod(ring, wire * (2.2 if basket and z == wall else 1.3), finish))
    for x in np.arange(-a, a + 0.1, gap):
        rods.append(Rod(np.array([(x, -b, wall if basket else low), (x, -b, low), (x, b, low), (x, b, wall if basket else low)]), wire, finish))
    for y in np.linspace(-b, b, int(rng.integers(4, 9))):
        rods.append(Rod(np.array([(-a, y, wall), (-a, y, low), (a, y, low), (a, y, wall)]), wire, finish))
    tall = rng.uniform(5, 9)
    for x in np.arange(-a + gap / 2, a, gap):
        for y in (-0.75 * b, -0.25 * b, 0.25 * b, 0.75 * b):
            rods.append(Rod(np.array([(x, y, low), (x + 0.6, y, low + tall)]), wire * (1.3 if basket else 1), finish))
    s.rods += rods
    return low


def _rack(s: Setting, *, full: bool = True) -> None:
    rng = s.rng
    half, gap = np.array([rng.uniform(17, 27), rng.uniform(15, 25)]), rng.uniform(3.2, 5.5)
    low = _frame_of_rack(s, half, gap) + 0.4
    s.reach, s.tilt, s.target = float(half.max()) * rng.uniform(0.95, 1.3), (8, 72), np.array([0, 0, 6])
    if rng.random() < 0.35:
        s.ground, s.wall = s.inside, s.inside  # in a machine of steel
    if not full:
        return
    rows: list[tuple[float, str]] = [(-0.45 * half[1], "stand"), (0.5 * half[1], str(rng.choice(["stand", "lie"])))]
    left, lean = s.count, rng.uniform(0.05, 0.3)
    plates = s.design("plate")
    for y, way in rows if left > 3 else rows[:1]:
        mine = left if way == "lie" or y > 0 else (left if len(rows) == 1 or left <= 3 else int(np.ceil(left * rng.uniform(0.4, 0.9))))
        slots = np.arange(-half[0] + 3, half[0] - 2, gap)
        if way == "stand":
            first = int(rng.integers(max(1, len(slots) - mine + 1)))
            chosen = slots[first : first + mine] if rng.random() < 0.5 else np.sort(rng.permutation(slots)[:mine])
            for x in chosen:
                design = plates if rng.random() > s.variety else s.design(str(rng.choice(["plate", "plate", "bowl"])))
                tilt = np.pi / 2 - lean - rng.uniform(0, 0.05) - (0.3 if design.sort == "bowl" else 0)
                s.put(s.dish(design), np.array([x, y + rng.normal(0, 0.6)]), low, turned(rng.uniform(0, 7), tilt, 0.0))
                left -= 1
        else:
            x = -half[0] + 1
            while left > 0 and x < half[0] - 4:
                design = s.design(str(rng.choice(["mug", "glass", "bowl", "cup"])))
                x += design.radius
                turn = turned(rng.uniform(0, 7), np.pi - rng.uniform(0, 0.3) if rng.random() < 0.8 else 0.0, rng.uniform(0, 7))
                s.put(s.dish(design), np.array([x, y + rng.normal(0, 1)]), low, turn)
                x += design.radius + rng.uniform(0.3, 3)
                left -= 1
    s.clutter(int(rng.integers(0, 3)), (half[0], half[1]))


def _empty_sink(s: Setting) -> None:
    first = _basins(s)
    s.floor[:] = -first.depth
    s.clutter(int(s.rng.choice([0, 0, 1, 2])), (first.half[0] * 0.5, first.half[1] * 0.5))
    s.floor[:] = 0
    for _ in range(s.rng.integers(0, 4)):
        thing = (bottle, sponge, ball)[s.rng.choice(3, p=(0.6, 0.3, 0.1))](s.rng)
        s.drop(thing, np.array([s.rng.uniform(-1, 1) * first.half[0], first.half[1] + s.rng.uniform(4, 9)]))


def _hob(s: Setting) -> None:
    rng = s.rng
    tone = linear((24, 24, 26)) if rng.random() < 0.6 else STEEL.colour
    s.reach, s.turn, s.tilt = 30.0, rng.normal(0, 0.2), (5, 66)
    places = [(x * 14, y * 12.5) for x in (-1, 1) for y in (-1, 1)] + ([(0, 0)] if rng.random() < 0.3 else [])
    gas = rng.random() < 0.5
    s.ground = with_picture(s.ground, picture(rng, "hob", places, tone, gas), (0, 0), 29)
    iron = Finish(linear((26, 26, 28)), 0.04, 2)
    for x, y in places if gas else []:
        r = rng.uniform(2.2, 4.5)
        for wide, z in ((1.25, 0), (1, 0.8)):
            cap = plain_solid([(0, 0.3), (0.8, 0.3), (1, 0.2), (1, 0), (0, 0)], r * wide, iron if z else STEEL)
            s.put(cap, np.array([x, y]), z)
        for angle in np.arange(0, 2 * np.pi, np.pi / 2) + rng.choice([0, np.pi / 4]):
            c, q = np.cos(angle), np.sin(angle)
            s.rods.append(Rod(np.array([(x + 10 * c, y + 10 * q, 0), (x + 10 * c, y + 10 * q, 3.4), (x + 1.5 * c, y + 1.5 * q, 3.4)]), 0.5, iron))
    for k in range(rng.integers(0, 6)):
        knob = plain_solid([(0, 1), (0.85, 1), (1, 0), (0, 0)], 1.9, STEEL if rng.random() < 0.5 else iron)
        s.put(knob, np.array([k * 6 - 12, -25]), 0)


def _bare(s: Setting) -> None:
    s.reach = s.rng.uniform(15, 45)
    s.clutter(int(s.rng.integers(0, 9)), (s.reach * 0.8, s.reach * 0.8))


def _floor(s: Setting) -> None:
    s.ground, s.reach, s.tilt = draw_texture(s.rng, "floor"), s.rng.uniform(40, 160), (10, 78)
    for _ in range(s.rng.integers(0, 4)):
        s.drop(ball(s.rng), s.rng.uniform(-0.5, 0.5, 2) * min(s.reach, 90))


def _kitchen(s: Setting) -> None:
    s.reach, s.turn, s.tilt = s.rng.uniform(40, 80), 0.0, (72, 86)
    s.back = s.rng.uniform(15, 35)
    s.target = np.array([0, 0, s.rng.uniform(10, 30)])
    s.wall = with_picture(s.wall, picture(s.rng, "kitchen"), (0, 40), 90)
    for _ in range(s.rng.integers(1, 7)):
        s.drop((bottle, bottle, ball, sponge)[s.rng.integers(4)](s.rng), np.array([s.rng.uniform(-50, 50), s.rng.uniform(-10, 10)]))


def _page(s: Setting) -> None:
    s.reach, s.turn, s.tilt = s.rng.uniform(14, 26), s.rng.normal(0, 0.4), (0, 50)
    s.ground = with_picture(s.ground, picture(s.rng, "page"), s.rng.normal(0, 2, 2), s.rng.uniform(20, 30))
    s.clutter(int(s.rng.choice([0, 0, 1, 2])), (20, 20))


def _face(s: Setting) -> None:
    s.reach, s.turn, s.tilt = s.rng.uniform(10, 24), 0.0, (0, 30)
    s.ground = with_picture(s.ground, picture(s.rng, "face"), s.rng.normal(0, 2, 2), s.rng.uniform(12, 26))


def _hands(s: Setting) -> None:
    rng = s.rng
    s.reach, s.tilt = rng.uniform(12, 24), (0, 55)
    tone = rng.choice(np.array([(236, 196, 170), (214, 160, 126), (150, 100, 70), (92, 60, 44), (240, 120, 150), (250, 210, 40)]))
    skin = Finish(linear(tone.astype(float)), 0.02, 2)
    for side in (-1, 1)[: rng.integers(1, 3)]:
        at, angle = rng.uniform(-6, 6, 2) + (side * 8, 0), rng.uniform(-0.6, 0.6)
        c, q = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -q], [q, c]])

        def limb(points: list[tuple[float, float, float]], radius: float, at: Floats = at, turn: Floats = turn, side: int = side) -> None:
            p = np.array(points)
            flat = (p[:, :2] * (side, 1)) @ turn.T + at
            s.rods.append(Rod(np.c_[flat, p[:, 2] + 1.2], radius, skin))

        for x, long in ((-3, 6.2), (-1, 7.4), (1, 7.2), (3, 5.6)):
            bend, open_ = rng.uniform(0, 2.5), rng.uniform(1, 1.5)
            limb([(x, 4, 0.6), (x * open_, 4 + long * 0.55, bend), (x * open_ * 1.1, 4 + long, 0)], 0.85)
            limb([(x * 0.8, -4, 0), (x, 4, 0.6)], 1.35)
        limb([(-2.5, -2, 0), (-6, 2, 0.4), (-7, 5.5, 0)], 1.05)
        limb([(0, -4, 0), (0, -16, 0.5), (0, -50, 4)], 2.8)
    s.clutter(int(rng.integers(0, 3)), (14, 14))
    s.turn = rng.normal(0, 0.3)


def _empty_rack(s: Setting) -> None:
    _rack(s, full=False)


SETTINGS = {
    "rack": _rack, "tray": _tray, "sink": _sink, "table": _table, "empty-sink": _empty_sink,
    "empty-rack": _empty_rack, "hob": _hob, "floor": _floor, "bare-table": _bare, "kitchen": _kitchen,
    "page": _page, "face": _face, "hands": _hands,
}  # fmt: skip
