"""Dishes, cutlery and other things of a kitchen as solids and rods; lengths are in centimetres."""

from dataclasses import dataclass, replace

import numpy as np

from platecheck.data.render.dishes import INKS, PLASTICS, Dish, draw_dish
from platecheck.data.render.meals import soil
from platecheck.data.render.pixels import Floats, linear, sample, spot, step
from platecheck.data.render.shapes import REACH, STEPS, Shape, draw_shape, look_up, round_off
from platecheck.data.render.solids import Body, Finish, Rod, Solid
from platecheck.data.render.surface import Surface

STEEL = Finish(linear((118, 118, 121)), 0.5, 1)
# how often each kind of dish is drawn in a mixed scene
SORTS = {"plate": 0.44, "bowl": 0.2, "mug": 0.1, "cup": 0.07, "glass": 0.1, "pot": 0.05, "pan": 0.04}


@dataclass(frozen=True)
class Design:
    """A dish as it leaves the factory: everything but its pose and its dirt."""

    sort: str
    dish: Dish
    body: Body
    radius: float
    finish: Finish
    rods: tuple[Rod, ...] = ()
    clear: bool = False
    band: tuple[float, float, Floats] | None = None

    @property
    def height(self) -> float:
        return self.body.height * self.radius


def turned(spin: float, tilt: float = 0.0, toward: float = 0.0) -> Floats:
    """Return the axes [3, 3] of a body turned about its own axis, then tilted in a direction."""
    (cs, ss), (ct, st), (cd, sd) = ((np.cos(q), np.sin(q)) for q in (spin, tilt, toward))
    about = np.array([[cs, -ss, 0], [ss, cs, 0], [0, 0, 1]])
    lean = np.array([[ct, 0, st], [0, 1, 0], [-st, 0, ct]])
    around = np.array([[cd, -sd, 0], [sd, cd, 0], [0, 0, 1]])
    return np.asarray(around @ lean @ about, np.float32)


def draw_design(rng: np.random.Generator, sort: str, density: float) -> Design:
    """Draw a design of one of the `SORTS`, or a tray, for `density` pixels in a centimetre."""
    fancy = str(rng.choice(["plate", "patterned", "speckled", "plastic"], p=(0.5, 0.25, 0.1, 0.15)))
    thick, kind, shape = rng.uniform(0.03, 0.05), fancy, None
    if sort == "plate":
        kind = "deep-plate" if rng.random() < 0.2 else fancy
        shape = draw_shape(rng, "plate" if kind == "patterned" else kind)
        radius = rng.uniform(6.5, 14.5)
    elif sort == "bowl":
        kind = "steel" if rng.random() < 0.15 else "bowl" if fancy == "plate" else fancy
        shape, radius = draw_shape(rng, "bowl"), rng.uniform(5.5, 11)
    elif sort == "tray":
        kind, radius, thick = str(rng.choice(["steel", "plastic"])), rng.uniform(19, 26), 0.012
        shape = _vessel(rng, rng.uniform(0.07, 0.11), 0.9, power=6, aspect=rng.uniform(1.2, 1.5))
    elif sort in ("pot", "pan"):
        kind, radius, thick = str(rng.choice(["steel", "steel", "plastic"])), rng.uniform(8, 13.5), 0.025
        shape = _vessel(rng, rng.uniform(0.7, 1.3) if sort == "pot" else rng.uniform(0.22, 0.4), 0.86)
    else:
        low, high = {"cup": (0.9, 1.4), "mug": (1.8, 2.4), "glass": (1.6, 3.4)}[sort]
        radius, thick = rng.uniform(3.3, 4.8), 0.07 if sort != "glass" else 0.05
        shape = _vessel(rng, rng.uniform(low, high), rng.uniform(0.5, 0.95 if sort != "cup" else 0.6))
    dish = draw_dish(rng, kind, int(np.clip(2 * radius * density, 64, 360)), shape)
    shape = dish.chart.shape
    if sort == "plate" and shape.height > 0.25:
        radius = min(radius, 10)
    if sort == "pan" and kind == "plastic":
        dish.albedo[:] = dish.albedo * 0 + linear((34, 34, 36)) * rng.uniform(0.7, 1.6)
    colour = dish.outside if kind != "steel" else STEEL.colour
    finish = Finish(np.asarray(colour, np.float32), dish.reflectance, 0 if dish.blur < 1.5 else 1)
    band = None
    if sort in ("mug", "cup", "bowl") and rng.random() < 0.35:
        low, high = np.sort(rng.uniform(0.1, 1, 2)) * shape.height
        band = (float(low), float(high), linear(INKS[rng.integers(len(INKS))]))
    body = Body(shape, *_profile(shape, thick, stem=sort == "glass" and rng.random() < 0.25))
    return Design(sort, dish, body, radius, finish, _handles(rng, sort, body, finish), sort == "glass", band)


def _vessel(
    rng: np.random.Generator, height: float, foot: float, power: float = 2, aspect: float = 1.0
) -> Shape:
    """Draw a vessel with a flat bottom of radius `foot` and steep walls."""
    corner, belly = foot + 0.02, rng.uniform(0.4, 0.75)
    wall = [(corner + (0.97 - corner) * q**belly, 0.1 * min(1, height) + 0.9 * height * q) for q in (0.05, 0.2, 0.45, 0.7)]
    points = [(0.0, 0.05), (foot - 0.06, 0.05), *wall, (1.0, height)]
    return Shape(aspect, power, 0, 0, height, foot, 1.0, round_off(points, 0.012))


def _profile(shape: Shape, thick: float, stem: bool = False) -> tuple[Floats, int]:
    """Return a body's profile with walls of a thickness, and the number of points on its inside."""
    r = np.linspace(0, 1, 600, dtype=np.float32)
    z = look_up(shape.heights, r)
    long = np.concatenate([[0], np.cumsum(np.hypot(np.diff(r), np.diff(z)))])
    at = np.linspace(0, long[-1], 30)
    inner = np.stack([np.interp(at, long, r), np.interp(at, long, z)], -1)
    way = np.gradient(inner, axis=0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    outer = inner + thick * np.stack([way[:, 1], -way[:, 0]], -1)
    outer = outer[::-1].clip(0)
    if stem:
        up = np.array([0, 1.6])
        foot = np.array([(0.1, 1.3), (0.08, 0.2), (0.85, 0.06), (0.85, 0), (0, 0)])
        outer = np.concatenate([(outer + up)[outer[:, 0] > 0.12], foot])
        inner = inner + up
    return np.concatenate([inner, outer]).astype(np.float32), len(inner)


def _handles(rng: np.random.Generator, sort: str, body: Body, finish: Finish) -> tuple[Rod, ...]:
    h, t = body.height, np.linspace(-np.pi / 2, np.pi / 2, 9)
    if sort in ("mug", "cup") and rng.random() < 0.85:
        arc = np.stack([0.97 + 0.5 * np.cos(t), 0 * t, h * (0.52 + 0.3 * np.sin(t))], -1)
        return (Rod(arc, rng.uniform(0.09, 0.14), finish),)
    dark = Finish(linear((30, 30, 32)), 0.04, 1) if rng.random() < 0.6 else finish
    if sort == "pan" or (sort == "pot" and rng.random() < 0.4):
        line = np.array([(0.98, 0, 0.85 * h), (1.2, 0, h), (rng.uniform(2, 2.7), 0, h + 0.2)])
        return (Rod(line, 0.085, dark),)
    if sort == "pot":
        arc = np.stack([0.98 + 0.25 * np.cos(t), 0.35 * np.sin(t), 0.85 * h + 0 * t], -1)
        return Rod(arc, 0.06, dark), Rod(arc * (-1, 1, 1), 0.06, dark)
    return ()


def dregs(rng: np.random.Generator, dish: Dish) -> Surface:
    """Return a cup or glass with the rest of a drink, its tide lines and runs."""
    surface, shape = Surface(dish), dish.chart.shape
    drinks = ((70, 40, 22), (120, 80, 46), (196, 120, 40), (150, 30, 40), (236, 226, 206), (110, 130, 60))
    colour = linear(drinks[rng.integers(len(drinks))])
    whole = (slice(None), slice(None))
    z, (a, b) = look_up(shape.heights, dish.chart.r), spot(rng)
    uneven = sample("cloud", dish.chart.angle * 2 + a, z * np.float32(0.25) + b) * np.float32(0.05)
    level = rng.uniform(0.07, 0.45) * shape.height
    surface.pour(whole, 3 * (level - z).clip(0), colour, body=rng.uniform(1, 8), wet=1.0)
    for _ in range(rng.integers(1, 4)):
        line = rng.uniform(level, 0.95 * shape.height)
        ring = np.exp(-(((z - line) / 0.04 + uneven * 20) ** 2)) * (1 + 6 * uneven).clip(0)
        surface.pour(whole, ring, colour, body=2.5, wet=0.3)
    runs = step(1.0, 1.8, sample("blobs", dish.chart.angle * 2 + b, z * np.float32(0.03) + a))
    surface.pour(whole, runs * step(level * 0.5, level, z), colour, body=1.5, wet=0.5)
    return surface


def make_dish(rng: np.random.Generator, design: Design, *, dirty: bool) -> Solid:
    """Return a dish of a design, at the origin; its dirt is drawn."""
    if not dirty:
        surface = Surface(design.dish)
    elif design.sort in ("mug", "cup", "glass"):
        surface = dregs(rng, design.dish)
    else:
        surface = soil(rng, design.dish)
    return Solid(
        design.body, design.radius, turned(rng.uniform(0, 7)), np.zeros(3, np.float32), design.finish,
        surface, design.rods, design.clear, True, design.band,
    )  # fmt: skip


def plain_solid(points: list[tuple[float, float]], radius: float, finish: Finish, power: float = 2, aspect: float = 1.0) -> Solid:
    """Return a solid of revolution, or a block, that is no dish; points (r, z) go from top to bottom."""
    shape = Shape(aspect, power, 0, 0, points[0][1], 1, 1, np.zeros(STEPS, np.float32))
    body = Body(shape, np.array(points), 0)
    return Solid(body, radius, turned(0), np.zeros(3, np.float32), finish)


def ball(rng: np.random.Generator) -> Solid:
    """Draw a fruit, an egg or a ball."""
    t = np.linspace(0, np.pi, 16)
    tall = rng.uniform(0.85, 1.15)
    points = [(float(np.sin(q)), tall * (1 + float(np.cos(q)))) for q in t]
    colours = ((214, 120, 30), (180, 30, 34), (120, 160, 50), (230, 210, 80), (226, 190, 150), (120, 60, 90))
    return plain_solid(points, rng.uniform(2.5, 4.5), Finish(linear(colours[rng.integers(6)]), 0.04, 1))


def bottle(rng: np.random.Generator) -> Solid:
    """Draw a bottle of detergent or oil, a jar with a lid, or a can."""
    tall, neck = rng.uniform(3, 6), rng.uniform(0.25, 0.9)
    points = [(0, tall), (neck, tall), (neck, tall * 0.85), (1, tall * rng.uniform(0.6, 0.8)), (1, 0.05), (0.95, 0), (0, 0)]
    colour = linear(PLASTICS[rng.integers(len(PLASTICS))])
    solid = plain_solid(points, rng.uniform(2.5, 4.2), Finish(colour, 0.05, int(rng.integers(2))))
    low = rng.uniform(0.1, 0.3) * tall
    return replace(solid, band=(low, low + 0.3 * tall, linear(PLASTICS[rng.integers(len(PLASTICS))])))


def sponge(rng: np.random.Generator) -> Solid:
    """Draw a sponge with a rough side."""
    tall = rng.uniform(0.4, 0.7)
    points = [(0, tall), (0.96, tall), (1, tall - 0.05), (1, 0.03), (0.96, 0), (0, 0)]
    colours = ((236, 206, 60), (240, 130, 150), (110, 180, 220), (230, 230, 220))
    solid = plain_solid(points, rng.uniform(4, 6), Finish(linear(colours[rng.integers(4)]), 0.0, 2), 7, 1.5)
    solid.turn = turned(rng.uniform(0, 7))
    return replace(solid, band=(0, 0.3 * tall, linear((60, 110, 60))))


def drain(rng: np.random.Generator, radius: float) -> Solid:
    """Draw a drain with a strainer: a steel disc with holes or slots that looks sunk in."""
    kind = rng.integers(3)
    points = [(0.0, -0.2), (0.5, -0.2), (0.62, 0.0), (0.9, 0.04)]
    shape = Shape(1, 2, 0, 0, 0.05, 1, 1, round_off([*points, (1.0, 0.03)], 0.03))
    dish = draw_dish(rng, "steel", 128, shape)
    r, angle = dish.chart.r, dish.chart.angle
    dark = step(0.60, 0.56, r) * 0.35 if kind else step(0.62, 0.58, r) * 0.94
    for count, ring in ((6, 0.17), (12, 0.32), (18, 0.46)) if kind == 1 else ():
        near = np.abs((angle * count) % 1 - 0.5) / count * 2 * np.pi * ring
        dark = np.maximum(dark, 0.95 * step(0.07, 0.04, np.hypot(near, r - ring)))
    if kind == 2:
        bars = np.abs((angle * rng.integers(6, 12)) % 1 - 0.5)
        dark = np.maximum(dark, 0.95 * step(0.28, 0.22, bars) * step(0.15, 0.2, r) * step(0.55, 0.5, r))
    dish.albedo[:] = dish.albedo * (1 - dark[..., None])
    dish.open_sky[:] = dish.open_sky * (1 - dark)
    low = np.array([(0, 0.05), (0.92, 0.06), (1, 0), (0, 0)])
    return Solid(Body(shape, low, 3), radius, turned(0), np.zeros(3, np.float32), STEEL, Surface(dish))


def cutlery(rng: np.random.Generator, at: Floats, angle: float, rise: tuple[float, float]) -> list[Rod]:
    """Draw a knife, fork or spoon at a point (x, y), between two heights at its ends."""
    long = rng.uniform(15, 21)
    colour = STEEL if rng.random() < 0.8 else Finish(linear(PLASTICS[rng.integers(len(PLASTICS))]), 0.05, 1)
    way = np.array([np.cos(angle), np.sin(angle)])

    def line(along: list[float], aside: float | list[float], radius: float, finish: Finish = colour) -> Rod:
        t = np.asarray(along)
        flat = at + (t[:, None] - 0.5) * long * way + np.outer(np.broadcast_to(aside, t.shape), (-way[1], way[0]))
        z = rise[0] + (rise[1] - rise[0]) * t + 0.3
        return Rod(np.concatenate([flat, z[:, None]], 1).astype(np.float32), radius, finish)

    kind = rng.choice(["fork", "knife", "spoon"])
    rods = [line([0, 0.2], 0.0, 0.5), line([0.2, 0.62], 0.0, 0.34), line([0.62, 0.76], 0.0, 0.25)]
    if kind == "fork":
        rods += [line([0.74, 0.8, 1], [q * 0.5, q, q], 0.13) for q in (-0.95, -0.32, 0.32, 0.95)]
    elif kind == "knife":
        rods += [line([0.5, 0.97 - 0.04 * k], [0.0, 0.3 * k - 0.3], 0.4) for k in range(3)]
    else:
        rods += [line([0.8, 0.95], q, 0.75, STEEL) for q in (-0.8, 0.0, 0.8)] + [line([0.77, 0.98], 0.0, 0.9, STEEL)]
    return rods
