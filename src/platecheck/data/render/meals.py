"""Meals: combinations of dirt that occur together, from a few crumbs to heavy soiling."""

from dataclasses import dataclass

import numpy as np

from platecheck.data.render.dishes import Dish
from platecheck.data.render.leftovers import SOLIDS, Colour, crumbs, pieces
from platecheck.data.render.pixels import Floats, linear
from platecheck.data.render.sauces import Sauce, dried_ring, drips, film, grease, pools, smears
from platecheck.data.render.surface import Surface

MIN_CONTRAST = 0.25  # smaller colour differences are not visible
MIN_COVERAGE = 0.012  # fraction of the dish


@dataclass(frozen=True)
class Meal:
    """The leftovers of a meal, colours in sRGB.

    Attributes:
        sauce: colour of the sauce.
        body: how fast the sauce becomes opaque with thickness.
        bits: colours of the crumbs.
        solids: kinds of `SOLIDS`.
    """

    sauce: Colour
    body: float
    bits: tuple[Colour, ...]
    solids: tuple[str, ...]


MEALS = (
    Meal((176, 44, 18), 5, ((150, 40, 20), (200, 90, 40), (110, 40, 20)), ("noodle", "herb")),
    Meal((206, 132, 22), 4, ((196, 140, 40), (150, 94, 30)), ("rice", "herb")),
    Meal((96, 54, 22), 4, ((100, 66, 34), (140, 96, 54), (76, 46, 26)), ("pea", "piece")),
    Meal((52, 28, 16), 5, ((60, 36, 22), (96, 62, 42)), ("crumb",)),
    Meal((226, 176, 30), 4, ((220, 190, 110), (190, 140, 60)), ("crumb", "shred")),
    Meal((238, 226, 200), 5, ((230, 215, 180), (200, 180, 140)), ("rice", "herb")),
    Meal((84, 104, 30), 4, ((80, 110, 40), (60, 80, 30)), ("leaf", "noodle")),
    Meal((128, 20, 52), 4, ((120, 24, 60), (80, 14, 30)), ("piece", "crumb")),
    Meal((150, 92, 36), 3, ((190, 140, 80), (150, 100, 54), (120, 76, 40)), ("crumb", "piece")),
    Meal((196, 80, 24), 4, ((200, 100, 40), (230, 150, 70)), ("shred", "rice", "leaf")),
)


def soil(rng: np.random.Generator, dish: Dish) -> Surface:
    """Draw a meal and put its dirt on a dish."""
    s = Surface(dish)
    few = (slice(None, None, 4), slice(None, None, 4))
    ground = dish.albedo[few][dish.chart.r[few] < 0.9].mean(0) + 0.3 * dish.reflectance
    # Prefer a meal whose sauce is visible on the dish.
    order = rng.permutation(len(MEALS)).tolist()
    meal = MEALS[
        next((k for k in order if _contrast(MEALS[k].sauce, ground) > MIN_CONTRAST), order[0])
    ]
    sauce = Sauce(linear(meal.sauce), meal.body)
    bits = _standing_out(meal.bits + SOLIDS["crumb"][0], ground)
    amount = rng.random()
    if amount < 0.25:
        _leave_little(rng, s, sauce)
        crumbs(rng, s, bits, int(rng.integers(10, 50)))
    else:
        _leave_sauce(rng, s, sauce, heavy=amount > 0.6)
        crumbs(rng, s, bits, int(rng.integers(8, 70 if amount > 0.6 else 35)))
        if rng.random() < amount:
            for kind in meal.solids:
                pieces(rng, s, kind, _standing_out(SOLIDS[kind][0], ground))
    # Make sure that the dirt is visible.
    while (s.dirt[dish.chart.r < 0.95] > 0.3).mean() < MIN_COVERAGE:
        smears(rng, s, sauce, 1)
        crumbs(rng, s, bits, 15)
    return s


def _leave_little(rng: np.random.Generator, s: Surface, sauce: Sauce) -> None:
    trace = rng.integers(4)
    if trace == 0:
        drips(rng, s, sauce, int(rng.integers(3, 12)))
    elif trace == 1:
        smears(rng, s, sauce, 1)
    elif trace == 2:
        dried_ring(rng, s, sauce)


def _leave_sauce(rng: np.random.Generator, s: Surface, sauce: Sauce, *, heavy: bool) -> None:
    """Put sauce on the dish; more of it if `heavy`."""
    if rng.random() < (0.8 if heavy else 0.5):
        film(rng, s, sauce, rng.uniform(0.12, 0.6 if heavy else 0.25))
    if rng.random() < 0.3:
        dried_ring(rng, s, sauce)
    if rng.random() < 0.75:
        smears(rng, s, sauce, int(rng.integers(1, 7 if heavy else 4)))
    if rng.random() < 0.5:
        pools(rng, s, sauce, int(rng.integers(1, 5 if heavy else 3)))
    if rng.random() < 0.6:
        drips(rng, s, sauce, int(rng.integers(4, 24)))
    if rng.random() < 0.35:
        grease(rng, s)


def _contrast(colour: Colour, ground: Floats) -> float:
    """Return the largest channel difference on a perceptual scale, 0 to 1."""
    return float(np.abs(np.sqrt(linear(colour)) - np.sqrt(ground)).max())


def _standing_out(colours: tuple[Colour, ...], ground: Floats) -> tuple[Colour, ...]:
    """Return the colours that are visible on the ground, or the most visible one."""
    plain = tuple(colour for colour in colours if _contrast(colour, ground) > MIN_CONTRAST)
    return plain or (max(colours, key=lambda colour: _contrast(colour, ground)),)
