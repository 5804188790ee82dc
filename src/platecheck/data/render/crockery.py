"""Dishes, cutlery and other things of a kitchen as solids and rods; lengths are in centimetres."""

from dataclasses import dataclass, replace

import numpy as np

from platecheck.data.render.dishes import INKS, PLASTICS, Dish, draw_dish
from platecheck.data.render.meals import soil
from platecheck.data.render.pixels import Floats, linear, sample, spot, step
from platecheck.data.render.shapes import STEPS, Shape, draw_shape, look_up, round_off
from platecheck.data.render.solids import Body, Finish, Rod, Solid
from platecheck.data.render.surface import Surface

STEEL = Finish(linear((118, 118, 121)), 0.5, 1)
WIRE = Finish(STEEL.colour, 0.35, 2)  # rough, since highlights on thin rods would break up
DARK = Finish(linear((28, 28, 30)), 0.04, 1)
# how often each kind of dish is drawn
SORTS = {
    "plate": 0.44,
    "bowl": 0.2,
    "mug": 0.1,
    "cup": 0.07,
    "glass": 0.1,
    "pot": 0.05,
    "pan": 0.04,
}
CUPS = ("mug", "cup", "glass")
DRINKS = (
    (70, 40, 22), (120, 80, 46), (196, 120, 40), (150, 30, 40), (236, 226, 206), (110, 130, 60),
)  # fmt: skip
FRUITS = ((214, 120, 30), (180, 30, 34), (120, 160, 50), (230, 210, 80), (226, 190, 150))
SPONGES = ((236, 206, 60), (240, 130, 150), (110, 180, 220), (230, 230, 220))


@dataclass(frozen=True)
class Design:
    """A dish as it leaves the factory: its model is a `Solid` at the origin, still clean."""

    sort: str
    dish: Dish
    model: Solid

    @property
    def radius(self) -> float:
        return self.model.scale


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
    metal = str(rng.choice(["steel", "steel", "plastic"]))
    kind, shape, radius, thick = _draw_form(rng, sort, fancy, metal)
    dish = draw_dish(rng, kind, int(np.clip(2 * radius * density, 64, 360)), shape)
    if sort == "pan" and kind == "plastic":
        dish.albedo[:] = DARK.colour * np.float32(rng.uniform(0.8, 2))
        dish = replace(dish, outside=DARK.colour)
    colour = STEEL.colour if kind == "steel" else dish.outside
    finish = Finish(np.asarray(colour), dish.reflectance, 0 if dish.blur < 1.5 else 1)
    body = Body(shape, *_profile(shape, thick, stem=sort == "glass" and rng.random() < 0.25))
    band = None
    if sort in ("mug", "cup", "bowl") and rng.random() < 0.35:
        low, high = np.sort(rng.uniform(0.1, 1, 2)) * shape.height
        band = (float(low), float(high), linear(INKS[rng.integers(len(INKS))]))
    model = Solid(
        body, radius, turned(0), np.zeros(3, np.float32), finish, Surface(dish),
        _handles(rng, sort, body, finish), clear=sort == "glass", dish=True, band=band,
    )  # fmt: skip
    return Design(sort, dish, model)


def _draw_form(
    rng: np.random.Generator, sort: str, fancy: str, metal: str
) -> tuple[str, Shape, float, float]:
    """Draw the kind of dish, its shape, its radius, and the thickness of its walls."""
    if sort == "plate":
        kind = "deep-plate" if rng.random() < 0.2 else fancy
        shape = draw_shape(rng, "plate" if kind in ("patterned", "plastic") else kind)
        return kind, shape, rng.uniform(6.5, 14.5 if shape.height < 0.25 else 10), 0.035
    if sort == "bowl":
        kind = "steel" if rng.random() < 0.15 else "bowl" if fancy == "plate" else fancy
        return kind, draw_shape(rng, "bowl"), rng.uniform(5.5, 11), rng.uniform(0.03, 0.06)
    if sort == "tray":
        shape = _vessel(rng, rng.uniform(0.07, 0.11), 0.9, power=6, aspect=rng.uniform(1.2, 1.5))
        return metal, shape, rng.uniform(19, 26), 0.012
    if sort in ("pot", "pan"):
        height = rng.uniform(0.7, 1.3) if sort == "pot" else rng.uniform(0.22, 0.4)
        return metal, _vessel(rng, height, 0.86), rng.uniform(8, 13.5), 0.025
    low, high, wide = {"cup": (0.9, 1.4, 0.6), "mug": (1.8, 2.4, 0.95), "glass": (1.6, 3.4, 0.95)}[
        sort
    ]
    shape = _vessel(rng, rng.uniform(low, high), rng.uniform(0.5, wide))
    return fancy, shape, rng.uniform(3.3, 4.8), 0.05 if sort == "glass" else 0.07


def _vessel(
    rng: np.random.Generator, height: float, foot: float, power: float = 2, aspect: float = 1.0
) -> Shape:
    """Draw a vessel with a flat bottom of radius `foot` and steep walls."""
    low, belly = 0.1 * min(1, height), rng.uniform(0.4, 0.75)
    wall = [
        (foot + 0.02 + (0.95 - foot) * q**belly, low + 0.9 * height * q)
        for q in (0.05, 0.2, 0.45, 0.7)
    ]
    points = [(0.0, 0.05), (foot - 0.06, 0.05), *wall, (1.0, height)]
    return Shape(aspect, power, 0, 0, height, foot, 1.0, round_off(points, 0.012))


def _profile(shape: Shape, thick: float, *, stem: bool) -> tuple[Floats, int]:
    """Return a body's profile with walls of a thickness, and the number of points on its inside."""
    r = np.linspace(0, 1, 600, dtype=np.float32)
    z = look_up(shape.heights, r) + thick
    long = np.concatenate([[0], np.cumsum(np.hypot(np.diff(r), np.diff(z)))])
    at = np.linspace(0, long[-1], 30)
    inner = np.stack([np.interp(at, long, r), np.interp(at, long, z)], -1)
    way = np.gradient(inner, axis=0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    outer = (inner + thick * np.stack([way[:, 1], -way[:, 0]], -1))[::-1].clip(0)
    if stem:
        foot = [(0.1, 1.3), (0.08, 0.2), (0.85, 0.06), (0.85, 0), (0, 0)]
        up = np.array((0, 1.6))
        inner, outer = inner + up, np.concatenate([outer[outer[:, 0] > 0.12] + up, foot])
    return np.concatenate([inner, outer]), len(inner)


def _handles(rng: np.random.Generator, sort: str, body: Body, finish: Finish) -> tuple[Rod, ...]:
    h, t = body.height, np.linspace(-np.pi / 2, np.pi / 2, 9)
    grip = DARK if rng.random() < 0.6 else finish
    if sort in ("mug", "cup") and rng.random() < 0.85:
        arc = np.stack([0.97 + 0.5 * np.cos(t), 0 * t, h * (0.52 + 0.3 * np.sin(t))], -1)
        return (Rod(arc, rng.uniform(0.09, 0.14), finish),)
    if sort == "pan" or (sort == "pot" and rng.random() < 0.4):
        line = [(0.98, 0, 0.85 * h), (1.2, 0, h), (rng.uniform(2, 2.7), 0, h + 0.2)]
        return (Rod(np.array(line), 0.085, grip),)
    if sort == "pot":
        arc = np.stack([0.98 + 0.25 * np.cos(t), 0.35 * np.sin(t), 0.85 * h + 0 * t], -1)
        return Rod(arc, 0.06, grip), Rod(arc * (-1, 1, 1), 0.06, grip)
    return ()


def _drunk(rng: np.random.Generator, dish: Dish) -> Surface:
    """Return the inside of a cup with the rest of a drink, its tide lines and runs."""
    surface, shape, whole = Surface(dish), dish.chart.shape, (slice(None), slice(None))
    colour, body = linear(DRINKS[rng.integers(len(DRINKS))]), rng.uniform(1, 8)
    z, (a, b) = look_up(shape.heights, dish.chart.r), spot(rng)
    uneven = sample("cloud", dish.chart.angle * 2 + a, z * np.float32(0.25) + b)
    level = rng.uniform(0.07, 0.45) * shape.height
    surface.pour(whole, 3 * (level - z).clip(0), colour, body=body, wet=1.0)
    for line in rng.uniform(level, 0.95 * shape.height, rng.integers(1, 4)):
        ring = np.exp(-(((z - line) / 0.04 + uneven) ** 2)) * (1 + 0.3 * uneven).clip(0)
        surface.pour(whole, ring, colour, body=2.5, wet=0.3)
    runs = step(1.0, 1.8, sample("blobs", dish.chart.angle * 2 + b, z * np.float32(0.03) + a))
    surface.pour(whole, runs * step(level * 0.5, level, z), colour, body=1.5, wet=0.5)
    return surface


def make_dish(rng: np.random.Generator, design: Design, *, dirty: bool) -> Solid:
    """Return a dish of a design, at the origin; its dirt is drawn."""
    used = _drunk if design.sort in CUPS else soil
    surface = used(rng, design.dish) if dirty else Surface(design.dish)
    return replace(design.model, surface=surface, turn=turned(rng.uniform(0, 7)))


def _solid(profile: Floats, radius: float, finish: Finish, power: float, aspect: float) -> Solid:
    """Return a thing that is no dish; its profile goes from top to bottom."""
    shape = Shape(aspect, power, 0, 0, float(profile[0, 1]), 1, 1, np.zeros(STEPS, np.float32))
    return Solid(Body(shape, profile, 0), radius, turned(0), np.zeros(3, np.float32), finish)


def block(tall: float, radius: float, finish: Finish, power: float = 2, aspect: float = 1) -> Solid:
    """Return a disc or, of a high power, a block, that is no dish."""
    h = tall / radius
    edge = [(0, h), (0.96, h), (1, 0.9 * h), (1, 0.1 * h), (0.96, 0), (0, 0)]
    return _solid(np.array(edge), radius, finish, power, aspect)


def draw_thing(rng: np.random.Generator, kind: str) -> Solid:
    """Draw a ``ball`` (or fruit), a ``bottle`` (or can), or a ``sponge``."""
    tall, t, radius = rng.uniform(3, 6), np.linspace(0, np.pi, 16), rng.uniform(2.5, 4.5)
    one, other = (linear(PLASTICS[k]) for k in rng.integers(len(PLASTICS), size=2))
    if kind == "ball":
        profile = np.c_[np.sin(t), (0.7 + 0.07 * tall) * (1 + np.cos(t))]
        return _solid(profile, radius, Finish(linear(FRUITS[rng.integers(len(FRUITS))])), 2, 1)
    if kind == "bottle":
        neck, low = rng.uniform(0.25, 0.9), rng.uniform(0.6, 0.8)
        side = [(0, 1), (neck, 1), (neck, 0.85), (1, low), (1, 0.01), (0.95, 0), (0, 0)]
        solid = _solid(np.array(side) * (1, tall), radius, Finish(one, 0.05), 2, 1)
        return replace(solid, band=(0.2 * tall, 0.5 * tall, other))
    colour = linear(SPONGES[rng.integers(len(SPONGES))])
    solid = block(0.6 * tall, 1.3 * radius, Finish(colour, 0.0, 2), 7, 1.5)
    return replace(solid, band=(0, 0.2, linear((60, 110, 60))), turn=turned(rng.uniform(0, 7)))


def draw_drain(rng: np.random.Generator, radius: float) -> Solid:
    """Draw a drain with a strainer: a steel disc, open or with holes or slots, that looks sunk."""
    points = [(0.0, -0.2), (0.5, -0.2), (0.62, 0.0), (0.9, 0.04), (1.0, 0.03)]
    shape = Shape(1, 2, 0, 0, 0.05, 1, 1, round_off(points, 0.03))
    dish = draw_dish(rng, "steel", 128, shape)
    r, turn, kind = dish.chart.r, dish.chart.angle, rng.integers(3)
    dark = step(0.62, 0.58, r) * (0.35 if kind else 0.94)
    for count, ring in ((6, 0.17), (12, 0.32), (18, 0.46)) if kind == 1 else ():
        near = (np.abs((turn * count) % 1 - 0.5)) / count * 2 * np.pi * ring
        dark = np.maximum(dark, 0.95 * step(0.07, 0.04, np.hypot(near, r - ring)))
    if kind == 2:
        slot = step(0.28, 0.22, np.abs((turn * rng.integers(6, 12)) % 1 - 0.5))
        dark = np.maximum(dark, 0.95 * slot * step(0.15, 0.2, r) * step(0.55, 0.5, r))
    dish.albedo[:] = dish.albedo * (1 - dark[..., None])
    dish.open_sky[:] = dish.open_sky * (1 - dark)
    body = Body(shape, np.array([(0, 0.05), (0.92, 0.06), (1, 0), (0, 0)]), 3)
    return Solid(body, radius, turned(0), np.zeros(3, np.float32), STEEL, Surface(dish))


def draw_cutlery(
    rng: np.random.Generator, at: Floats, angle: float, rise: tuple[float, float]
) -> list[Rod]:
    """Draw a knife, fork or spoon around a point (x, y), between two heights at its ends."""
    coloured = Finish(linear(PLASTICS[rng.integers(len(PLASTICS))]), 0.05, 2)
    finish, long = WIRE if rng.random() < 0.8 else coloured, rng.uniform(15, 21)
    # Pieces: where along they start and end, how far aside, and their radius.
    pieces: list[tuple[float, ...]] = [(0, 0.2, 0, 0, 0.5), (0.2, 0.62, 0, 0, 0.34)]
    pieces.append((0.62, 0.76, 0, 0, 0.25))
    kind = rng.integers(3)
    if kind == 0:
        for q in (-0.95, -0.32, 0.32, 0.95):
            pieces += [(0.75, 0.82, q / 2, q, 0.2), (0.82, 1, q, q, 0.14)]
    elif kind == 1:
        pieces += [(0.5, 0.97 - 0.04 * k, 0, 0.3 * k - 0.3, 0.4) for k in range(3)]
    else:
        pieces += [(0.8, 0.95, q, q, 0.75) for q in (-0.8, 0, 0.8)]
    way = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rods = []
    for start, end, left, right, radius in pieces:
        t, aside = np.array([start, end]), np.array([left, right])
        flat = at + np.stack([(t - 0.5) * long, aside], -1) @ way
        rods.append(Rod(np.c_[flat, rise[0] + (rise[1] - rise[0]) * t + 0.3], radius, finish))
    return rods
