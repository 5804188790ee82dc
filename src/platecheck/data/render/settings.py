"""Places where scenes are set: racks, trays, sinks, tables, and places without any dish."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import Camera, look_at
from platecheck.data.render.crockery import (
    CUPS,
    DARK,
    SORTS,
    STEEL,
    WIRE,
    Design,
    block,
    draw_cutlery,
    draw_design,
    draw_drain,
    draw_thing,
    make_dish,
    turned,
)
from platecheck.data.render.frame import Scene
from platecheck.data.render.light import draw_light
from platecheck.data.render.pixels import Floats, linear, mean_colour
from platecheck.data.render.rooms import (
    SKINS,
    draw_face,
    draw_kitchen,
    draw_page,
    draw_texture,
    with_picture,
)
from platecheck.data.render.solids import Basin, Finish, Rod, Solid

TILTS = (0.1, 0.22, 0.36, 0.52)  # radians by which a dish may lean on others
WIRES = ((226, 226, 224), (130, 134, 138), (40, 40, 44), (40, 84, 150), (150, 110, 80))


class Setting:
    """A scene in the making, in centimetres around the origin.

    Attributes:
        count: number of dishes to place.
        reach: radius of what the camera sees around `target`.
        tilt: the camera's least and greatest angle from vertical, in degrees.
        turn: of everything about the vertical, in radians.
        floor: height of what lies on each square centimetre [160, 160].
    """

    def __init__(self, rng: np.random.Generator, size: int, count: int, dirty: float) -> None:
        self.rng, self.size, self.count, self.dirty = rng, size, count, dirty
        self.reach, self.tilt, self.target = 30.0, (0.0, 65.0), np.zeros(3)
        self.turn, self.back = float(rng.uniform(0, 2 * np.pi)), rng.uniform(40, 120)
        self.ground, self.wall = draw_texture(rng, "ground"), draw_texture(rng, "wall")
        self.inside = draw_texture(rng, "basin")
        self.basins: list[Basin] = []
        self.solids: list[Solid] = []
        self.rods: list[Rod] = []
        self.designs: dict[str, list[Design]] = {}
        self.variety = float(rng.choice([0.1, 0.5, 1.0]))
        self.floor = np.zeros((160, 160), np.float32)

    def finish(self) -> tuple[Scene, Camera]:
        """Turn everything about the vertical, draw the light and aim the camera."""
        rng, around = self.rng, turned(self.turn)
        for solid in self.solids:
            solid.turn, solid.place = around @ solid.turn, around @ solid.place
        rods = [Rod(rod.points @ around.T, rod.radius, rod.finish) for rod in self.rods]
        tilt, zoom = np.radians(rng.uniform(*self.tilt)), rng.uniform(1.3, 2.6)
        top = max([solid.place[2] + solid.scale - self.target[2] for solid in self.solids] or [0])
        distance = max(self.reach * zoom / rng.uniform(0.65, 1.1), 16, 12 + 1.6 * top)
        target = around @ self.target + np.array([*rng.normal(0, 0.1, 2), 0]) * self.reach
        eye = target + distance * turned(0, tilt, rng.normal(-np.pi / 2, 0.25))[:, 2]
        roll = rng.normal(0, 0.06) + (rng.uniform(0, 6.3) if tilt < 0.3 else 0)
        line = np.linspace(-1, 1, 24, dtype=np.float32)
        light = draw_light(rng, mean_colour(self.ground(*np.meshgrid(line, line)).albedo))
        scene = Scene(
            light, self.ground, self.wall, self.inside, self.back, self.basins, self.solids, rods
        )
        return scene, look_at(eye, target, zoom, roll)

    def design(self, *sorts: str) -> Design:
        """Draw a design, often one that is already used, as in a set."""
        shares = np.array([SORTS.get(sort, 1) for sort in sorts or SORTS])
        sort = str(self.rng.choice(sorts or list(SORTS), p=shares / shares.sum()))
        known = self.designs.setdefault(sort, [])
        if not known or self.rng.random() < self.variety:
            known.append(draw_design(self.rng, sort, self.size / (2.2 * self.reach)))
        return known[int(self.rng.integers(len(known)))]

    def dish(self, design: Design) -> Solid:
        """Return a dish of a design, dirty or clean."""
        return make_dish(self.rng, design, dirty=self.rng.random() < self.dirty)

    def rod(self, points: list[tuple[float, float, float]], radius: float, finish: Finish) -> None:
        """Add a bent rod."""
        self.rods.append(Rod(np.array(points), radius, finish))

    def put(self, solid: Solid, at: Floats, height: float, turn: Floats | None = None) -> None:
        """Place a solid at (x, y) so that its lowest point is at a height."""
        solid.turn, shape = solid.turn if turn is None else turn, solid.body.shape
        ends = ((1.0, solid.body.height), (shape.foot, 0.0))
        rim = np.concatenate([np.c_[shape.outline * q, np.full(240, z)] for q, z in ends])
        low = float((rim @ solid.turn.T)[:, 2].min()) * solid.scale
        solid.place = np.array([*at, height - low], np.float32)
        self.solids.append(solid)

    def cells(self, at: Floats, radius: float) -> tuple[Floats, Floats, Floats, Floats]:
        """Return rows and columns of `floor` within a radius, and their x and y from there."""
        y, x = np.mgrid[-79.5:80, -79.5:80]
        rows, columns = np.nonzero(np.hypot(x - at[0], y - at[1]) < max(radius, 1))
        return rows, columns, columns - 79.5 - at[0], rows - 79.5 - at[1]

    def drop(self, solid: Solid, at: Floats, *, upside_down: bool = False) -> None:
        """Lay a solid onto what lies there: as low as it can, leaning if that helps."""
        k, foot = solid.scale, solid.body.shape.foot
        rows, columns, x, y = self.cells(at, k * solid.body.wide)
        below, r, tall = self.floor[rows, columns], np.hypot(x, y) / k, k * solid.body.height
        under = tall * ((r - foot) / max(1 - foot, 0.05)).clip(0, 1)
        top = tall * (0.2 + 0.8 * r.clip(0, 1) ** 3)
        if upside_down:
            under, top = tall * (1 - r.clip(0, 1) ** 8), np.full_like(r, tall)
        best = (np.inf, 0.0, 0.0, r * 0)
        for tilt, way in [(0.0, 0.0), *((t, q * np.pi / 4) for t in TILTS for q in range(8))]:
            slope = -np.tan(tilt) * (x * np.cos(way) + y * np.sin(way))
            rest = float((below - under - slope).max(initial=0))
            if rest < best[0] - 0.02 * k:
                best = (rest, tilt, way, slope)
        rest, tilt, way, slope = best
        spin = self.rng.uniform(0, 2 * np.pi)
        self.put(solid, at, rest, turned(spin, tilt + (np.pi if upside_down else 0), way))
        solid.place[2] = rest + (tall if upside_down else 0)
        self.floor[rows, columns] = np.maximum(below, rest + top + slope)

    def stack(self, design: Design, at: Floats, count: int, height: float) -> None:
        """Stack dishes of one design."""
        gap = (0.06 + 0.22 * design.model.body.height) * design.radius
        for number in range(count):
            slip = at + self.rng.normal(0, 0.02, 2) * design.radius
            turn = turned(self.rng.uniform(0, 7), self.rng.normal(0, 0.02), self.rng.uniform(0, 7))
            self.put(self.dish(design), slip, height + gap * number, turn)
        rows, columns, *_ = self.cells(at, design.radius)
        self.floor[rows, columns] = height + gap * count + 0.5 * design.radius

    def spread(self, count: int, half: Floats, height: float = 0.0) -> None:
        """Place dishes over an area [-half, half], some stacked or one in the other."""
        self.floor[:] = np.maximum(self.floor, height)
        crowd, placed = self.rng.uniform(0.6, 1), np.zeros((0, 3))
        while count > 0:
            design = self.design()
            room = np.maximum(half - 0.6 * design.radius, 0.5)
            tries = self.rng.uniform(-1, 1, (30, 2)) * room
            gaps = np.linalg.norm(tries[:, None] - placed[:, :2], axis=-1) - placed[:, 2]
            gap = gaps.min(1, initial=99) - crowd * design.radius
            at = tries[int(np.argmax(gap >= 0) if (gap >= 0).any() else np.argmax(gap))]
            placed = np.concatenate([placed, [(*at, crowd * design.radius)]])
            if design.sort in ("plate", "bowl") and count > 1 and self.rng.random() < 0.25:
                together = min(count, int(self.rng.integers(2, 7)))
                self.stack(design, at, together, height)
            else:
                together, over = 1, design.sort in CUPS and self.rng.random() < 0.12
                self.drop(self.dish(design), at, upside_down=over)
            count -= together
            if count and design.sort == "plate" and self.rng.random() < 0.2:
                self.drop(self.dish(self.design("cup", "bowl", "plate")), at)
                count -= 1

    def clutter(self, most: int, half: Floats | float) -> None:
        """Add cutlery, sponges, bottles and fruit, which are no dishes."""
        for _ in range(self.rng.integers(most + 1)):
            at, angle = self.rng.uniform(-1, 1, 2) * half, self.rng.uniform(0, 7)
            kind = self.rng.choice(
                ["cutlery", "sponge", "bottle", "ball"], p=(0.64, 0.12, 0.12, 0.12)
            )
            if kind != "cutlery":
                self.drop(draw_thing(self.rng, str(kind)), at)
                continue
            way = 7 * np.array([np.cos(angle), np.sin(angle)])
            ends = [self.floor[self.cells(at + way * q, 4)[:2]].max(initial=0) for q in (-1, 1)]
            self.rods += draw_cutlery(self.rng, at, angle, (float(ends[0]), float(ends[1])))


def _table(s: Setting) -> None:
    s.reach = (7 + 10 * s.count**0.5) * s.rng.uniform(0.8, 1.1)
    half, s.back = np.full(2, 0.9 * s.reach), s.reach * s.rng.uniform(1.2, 4)
    s.spread(s.count, half)
    s.clutter(6, half)


def _tray(s: Setting) -> None:
    design = s.design("tray")
    s.reach, s.turn = design.radius * s.rng.uniform(1, 1.3), s.rng.normal(0, 0.3)
    s.put(s.dish(design), np.zeros(2), 0, turned(0))
    half = 0.85 * design.radius * np.array([1, 1 / design.model.body.shape.aspect])
    s.spread(s.count - 1, half, float(design.model.body.profile[0, 1]) * design.radius)
    s.clutter(4, half)


def _basins(s: Setting) -> Basin:
    """Sink one or two basins with drains and a tap; return the first."""
    rng = s.rng
    half, depth = np.array([rng.uniform(17, 30), rng.uniform(15, 22)]), rng.uniform(11, 20)
    corner = half.min() * float(rng.choice([0.15, 0.4, 0.98]))
    s.basins = [Basin((0, 0), (half[0], half[1]), depth, corner, rng.uniform(1.5, 5))]
    if rng.random() < 0.4:
        wide = half[0] * rng.uniform(0.5, 1)
        middle = (half[0] + wide + rng.uniform(2, 5), 0.0)
        s.basins.append(Basin(middle, (wide, half[1]), depth * 0.8, min(wide, corner), 2))
    lip = WIRE if rng.random() < 0.7 else Finish(linear(np.full(3, rng.uniform(30, 240))), 0.05, 2)
    t = np.linspace(0, 2 * np.pi, 49) + 1e-6
    around = np.stack([np.cos(t), np.sin(t)], -1)
    for basin in s.basins:
        straight = np.sign(around) * (np.array(basin.half) - basin.corner)
        line = straight + basin.corner * around + basin.middle
        s.rods.append(Rod(np.c_[line, 0 * t], 0.4, lip))
        at = np.array(basin.middle) + rng.normal(0, 0.12, 2) * half
        s.put(draw_drain(rng, rng.uniform(3.2, 5.8)), at, 0.05 - basin.depth)
    x, y, tall = rng.normal(0, 0.3) * half[0], half[1] + rng.uniform(4, 7), rng.uniform(12, 28)
    t, long = np.linspace(0, np.pi * rng.uniform(0.75, 1), 9), rng.uniform(14, 24)
    bow = np.c_[0 * t + x, y - long / 2 * (1 - np.cos(t)), tall + 0.4 * long * np.sin(t)]
    metal, r = Finish(linear((70, 70, 72)), 0.6, 0), rng.uniform(0.9, 1.6)
    s.rod([(x, y, 0), *map(tuple, bow.tolist())], r, metal)
    s.rod([(x, y, 0), (x, y, 4)], 2 * r, metal)
    s.rod([(x + 2, y, 5), (x + 8, y - 2, 8)], 0.6, metal)
    s.back, s.turn, s.reach, s.tilt = half[1] + rng.uniform(8, 30), 0.0, half[0], (5, 62)
    s.target = np.array([0, 0, -depth / 2])
    return s.basins[0]


def _sink(s: Setting) -> None:
    first, rng = _basins(s), s.rng
    half, s.reach = np.array(first.half) - 2, s.reach * rng.uniform(0.9, 1.5)
    beside = int(rng.integers(0, max(1, s.count // 3) + 1)) if s.count > 2 else 0
    s.floor[:] = -first.depth
    for _ in range(s.count - beside):
        design = s.design()
        tries = rng.uniform(-1, 1, (4, 2)) * np.maximum(half - design.radius, 1)
        heights = [s.floor[s.cells(at, design.radius)[:2]].max() for at in tries]
        at = tries[int(np.argmin(heights))]
        s.drop(s.dish(design), at, upside_down=rng.random() < 0.1)
    s.clutter(4, half * 0.6)
    s.floor[:] = 0
    for _ in range(beside):
        design, side = s.design(), -1 if len(s.basins) > 1 else rng.choice([-1, 1])
        x = side * (first.half[0] + design.radius + rng.uniform(1, 8))
        s.drop(s.dish(design), np.array([x, rng.uniform(-1, 1) * first.half[1]]))


def _empty_sink(s: Setting) -> None:
    first = _basins(s)
    s.reach *= s.rng.uniform(0.8, 1.7)
    s.floor[:] = -first.depth
    s.clutter(int(s.rng.choice([0, 0, 2])), np.array(first.half) * 0.5)
    s.floor[:] = 0
    for kind in s.rng.choice(["bottle", "bottle", "sponge", "ball"], s.rng.integers(0, 4)):
        at = s.rng.uniform(-1, 1) * first.half[0], first.half[1] + s.rng.uniform(4, 9)
        s.drop(draw_thing(s.rng, str(kind)), np.array(at))


def _build_rack(s: Setting, half: Floats, gap: float) -> float:
    """Build a rack of wire or plastic; return the height of its bottom."""
    rng, (a, b) = s.rng, half.tolist()
    colour = linear(WIRES[rng.integers(len(WIRES))])
    finish = WIRE if rng.random() < 0.3 else Finish(colour, 0.05, 2)
    basket = rng.random() < 0.4
    wire = rng.uniform(0.35, 0.6) if basket else rng.uniform(0.15, 0.3)
    low, wall, tall = rng.uniform(0.8, 4), rng.uniform(7, 13), rng.uniform(5, 9)
    side = wall if basket else low
    for z in np.linspace(low, wall, rng.integers(2, 5)):
        ring = [(-a, -b, z), (a, -b, z), (a, b, z), (-a, b, z), (-a, -b, z)]
        s.rod(ring, wire * (2.2 if basket and z == wall else 1.3), finish)
    for x in np.arange(-a, a + 0.1, gap):
        s.rod([(x, -b, side), (x, -b, low), (x, b, low), (x, b, side)], wire, finish)
        for y in (-0.75 * b, -0.25 * b, 0.25 * b, 0.75 * b):
            s.rod([(x + gap / 2, y, low), (x + gap / 2 + 0.6, y, low + tall)], wire, finish)
    for y in np.linspace(-b, b, rng.integers(4, 9)):
        s.rod([(-a, y, wall), (-a, y, low), (a, y, low), (a, y, wall)], wire, finish)
    return low + 0.4


def _rack(s: Setting) -> None:
    rng = s.rng
    half, gap = np.array([rng.uniform(17, 27), rng.uniform(15, 25)]), rng.uniform(3.2, 5.5)
    low = _build_rack(s, half, gap)
    s.reach, s.tilt, s.target = (
        float(half.max()) * rng.uniform(0.95, 1.3),
        (8, 72),
        np.array([0, 0, 6]),
    )
    if rng.random() < 0.35:
        s.ground = s.wall = s.inside  # in a machine
    first = s.count if s.count < 4 else int(np.ceil(s.count * rng.uniform(0.4, 0.9)))
    _stand(s, first, half[0], gap, (-0.45 * half[1], low))
    if s.count:
        (_stand if rng.random() < 0.5 else _lie)(
            s, s.count - first, half[0], gap, (0.5 * half[1], low)
        )
        s.clutter(2, half)


def _stand(s: Setting, count: int, half: float, gap: float, at: tuple[float, float]) -> None:
    """Stand plates in the slots of a row at (y, z)."""
    slots, lean, plate = (
        np.arange(3 - half, half - 2, gap),
        s.rng.uniform(0.05, 0.3),
        s.design("plate"),
    )
    start = int(s.rng.integers(max(1, len(slots) - count + 1)))
    close = s.rng.random() < 0.5
    for x in slots[start : start + count] if close else s.rng.permutation(slots)[:count]:
        design = plate if s.rng.random() > s.variety else s.design("plate", "bowl")
        tilt = np.pi / 2 - lean - s.rng.uniform(0, 0.05) - (0.3 if design.sort == "bowl" else 0)
        where = np.array([x, at[0] + s.rng.normal(0, 0.6)])
        s.put(s.dish(design), where, at[1], turned(s.rng.uniform(0, 7), tilt))


def _lie(s: Setting, count: int, half: float, gap: float, at: tuple[float, float]) -> None:
    """Lay cups, glasses and bowls in a row at (y, z), most of them upside down."""
    x = 1 - half
    for design in [s.design("mug", "glass", "bowl", "cup") for _ in range(count)]:
        x += design.radius
        if x < half:
            tilt = np.pi - s.rng.uniform(0, 0.3) if s.rng.random() < 0.8 else 0.0
            turn = turned(s.rng.uniform(0, 7), tilt, s.rng.uniform(0, 7))
            s.put(s.dish(design), np.array([x, at[0] + s.rng.normal(0, 1)]), at[1], turn)
        x += design.radius + s.rng.uniform(0.3, gap)


def _hob(s: Setting) -> None:
    rng, gas, tone = s.rng, s.rng.random() < 0.5, float(s.rng.choice([0.01, 0.2, 0.8]))
    s.turn, s.tilt = rng.normal(0, 0.2), (5, 66)
    top = Finish(np.full(3, tone, np.float32), 0.05, int(rng.integers(2)))
    mark = Finish(linear(np.clip(255 * tone**0.45 + rng.uniform(40, 150, 3), 0, 255)), 0.04, 1)
    s.put(block(1.2, 30, top, 12, 1.15), np.zeros(2), 0)
    for x, y in ((-14, -12), (14, -12), (-14, 12), (14, 12)):
        at, r = np.array([x, y]), rng.uniform(6, 10.5)
        rings = [(0.5, STEEL, 1.3), (0.38, DARK, 2)] if gas else [(1, mark, 1.1), (0.95, top, 1.15)]
        if not gas and rng.random() < 0.7:
            rings += [(0.6, mark, 1.2), (0.54, top, 1.25)]
        for wide, finish, z in rings:  # each covers the middle of the one before
            s.put(block(0.4, wide * r, finish), at, z)
        for angle in np.arange(4 if gas else 0) * np.pi / 2 + rng.choice([0, np.pi / 4]):
            way = np.array([np.cos(angle), np.sin(angle)])
            s.rod([(*(at + way * k), z) for k, z in ((10, 1), (10, 4.5), (1.5, 4.5))], 0.5, DARK)
    for k in range(rng.integers(0, 6)):
        s.put(block(1.9, 1.9, STEEL if gas else DARK), np.array([k * 6 - 12, -23]), 1.2)


def _bare(s: Setting, where: str = "ground") -> None:
    s.reach, s.ground = s.rng.uniform(15, 45), draw_texture(s.rng, where)
    if where == "floor":
        s.reach, s.tilt = 3.5 * s.reach, (10, 78)
    s.back = s.reach * s.rng.uniform(0.5, 3)
    s.clutter(7, min(s.reach * 0.7, 70))


def _kitchen(s: Setting) -> None:
    rng = s.rng
    s.reach, s.turn, s.tilt, s.back = rng.uniform(40, 80), 0.0, (72, 86), rng.uniform(15, 35)
    s.target = np.array([0, 0, rng.uniform(10, 30)])
    s.wall = with_picture(s.wall, draw_kitchen(rng), np.array([0, 40]), 90)
    for kind in rng.choice(["bottle", "bottle", "ball", "sponge"], rng.integers(1, 7)):
        s.drop(draw_thing(rng, str(kind)), np.array([rng.uniform(-50, 50), rng.uniform(-10, 10)]))


def _picture(s: Setting, draw: Callable[[np.random.Generator], NDArray[np.uint8]]) -> None:
    s.reach, s.turn, s.tilt = s.rng.uniform(11, 24), 0.0, (0, 45)
    s.ground = with_picture(s.ground, draw(s.rng), s.rng.normal(0, 2, 2), 18)
    s.clutter(int(s.rng.choice([0, 0, 2])), 18)


def _hands(s: Setting) -> None:
    rng = s.rng
    s.reach, s.tilt, s.turn = rng.uniform(13, 26), (0, 55), rng.normal(0, 0.3)
    skin = Finish(linear(np.array(SKINS[rng.integers(4)]) * rng.uniform(0.85, 1)), 0.02, 2)
    for side in (-1, 1)[: rng.integers(1, 3)]:
        around, at = turned(rng.uniform(-0.6, 0.6)), np.array([*rng.uniform(-6, 6, 2), 1.3])
        limbs: list[tuple[float, list[tuple[float, ...]]]] = [
            (2.8, [(0, -4, 0), (0, -16, 0.5), (0, -50, 4)]),
            (1.05, [(-2.5, -2, 0), (-6, 2, 0.4), (-7, 5.5, 0)]),
        ]
        for x, long in ((-3, 6.2), (-1, 7.4), (1, 7.2), (3, 5.6)):
            bend, out = rng.uniform(0, 2.5), x * rng.uniform(1, 1.5)
            tip = [(out, 4 + long * 0.55, bend), (out * 1.1, 4 + long, 0)]
            limbs += [(0.85, [(x, 4, 0.6), *tip]), (1.35, [(x * 0.8, -4, 0), (x, 4, 0.6)])]
        for radius, points in limbs:
            p = np.array(points) * (side, 1, 1) @ around.T + at + (side * 8, 0, 0)
            s.rods.append(Rod(p, radius, skin))
    s.clutter(2, 14)


SETTINGS: dict[str, Callable[[Setting], None]] = {
    "rack": _rack, "tray": _tray, "sink": _sink, "table": _table, "empty-sink": _empty_sink,
    "empty-rack": _rack, "hob": _hob, "bare-table": _bare, "floor": partial(_bare, where="floor"),
    "kitchen": _kitchen, "hands": _hands,
    "page": partial(_picture, draw=draw_page), "face": partial(_picture, draw=draw_face),
}  # fmt: skip
