"""Liquid dirt: pools, smears, films, drips, dried rings and grease."""

from dataclasses import dataclass

import cv2
import numpy as np

from platecheck.data.render.pixels import Floats, linear, sample, spot, step
from platecheck.data.render.surface import Surface

WHOLE = (slice(None), slice(None))
OIL = linear((206, 160, 62))


@dataclass(frozen=True)
class Sauce:
    """A liquid: its linear colour [3] and how fast it becomes opaque with thickness."""

    colour: Floats
    body: float


def pools(rng: np.random.Generator, s: Surface, sauce: Sauce, count: int) -> None:
    """Draw glossy pools with rounded edges, some in a ring of oil."""
    for _ in range(count):
        at = s.place(rng, 0.55)
        size = rng.uniform(0.1, 0.3)
        part = s.around(at, size * 2.2)
        u, v = s.from_point(part, at)
        edge = s.noise(rng, "cloud", part, 0.16)
        shape = 0.16 * edge - 0.5
        for _ in range(rng.integers(3, 8)):
            x, y = (rng.normal(0, 0.5, 2) * size).astype(np.float32)
            wide = np.float32(size * rng.uniform(0.3, 0.75))
            shape += np.exp(-((u - x) ** 2 + (v - y) ** 2) / (wide * wide))
        if rng.random() < 0.4:
            ring = step(-0.16, 0.1, shape) * np.float32(rng.uniform(0.3, 0.8))
            s.pour(part, ring, OIL, body=0.8, wet=1.0)
        depth = np.sqrt(np.clip(shape, 0, 1))
        uneven = s.noise(rng, "cloud", part, 0.35)
        tone = np.exp(np.float32(0.16) * uneven)
        thick = depth * np.clip(0.75 + 0.3 * edge, 0.15, 1.4)
        s.pour(part, thick, sauce.colour, body=sauce.body, wet=1.0, tone=tone)
        s.relief[part] += depth * (0.03 + np.float32(0.0025) * uneven)


def smears(rng: np.random.Generator, s: Surface, sauce: Sauce, count: int) -> None:
    """Draw streaks swept by a finger, fork, spoon or piece of bread."""
    for _ in range(count):
        at = s.place(rng, 0.65)
        turn, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 2.0)
        width, length = rng.uniform(0.05, 0.26), rng.uniform(0.3, 0.9)
        part = s.around(at, length)
        # Along a circle of radius `bend` through the point: 0 where the sweep began, 1 at its end.
        centre = (at[0] - bend * np.cos(turn), at[1] - bend * np.sin(turn))
        u, v = s.from_point(part, centre)
        c, q = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        along = np.arctan2(v * c - u * q, u * c + v * q) * np.float32(bend)
        across = cv2.magnitude(u, v) - np.float32(bend)
        a, b = spot(rng)
        across += np.float32(0.06 * width) * sample("swell", along * 0.4 + a, across * 0.4 + b)
        side = across / np.float32(width / 2)
        way = along / np.float32(length) + np.float32(0.5)
        streaks = sample("cloud", along * 0.05 + b, across * 1.1 + a)
        streaks += 0.7 * sample("grain", along * 0.02 + a, across * 0.5 + b)
        if rng.random() < 0.35:  # the tines of a fork
            streaks += 1.6 * np.cos(side * np.float32(2 * np.pi))
        # A streak starts thick and round, then breaks up and ends where it runs dry.
        left = 0.95 - way + 0.28 * streaks
        begun = step(0.0, 0.12, way - 0.12 * side * side)
        thick = begun * step(0.0, 0.45, left) * step(1.0, 0.6, np.abs(side) + 0.1 * streaks)
        thick *= np.clip(0.3 + 0.8 * left + 0.2 * streaks, 0.05, 1.3) * rng.uniform(0.3, 0.9)
        s.pour(part, thick, sauce.colour, body=sauce.body, wet=rng.uniform(0.3, 1.0))
        s.relief[part] += thick * np.float32(0.01)


def film(rng: np.random.Generator, s: Surface, sauce: Sauce, thickness: float) -> None:
    """Draw a thin film, scraped into streaks."""
    chart = s.dish.chart
    at = s.place(rng, 0.25)
    u, v = s.from_point(WHOLE, at)
    rho = cv2.magnitude(u, v) / np.float32(rng.uniform(0.5, 0.85))
    torn = s.noise(rng, "cloud", WHOLE, 0.22)
    shape = step(1.0, 0.75, rho + 0.22 * torn)
    a, b = spot(rng)
    if rng.random() < 0.5:  # scraped around, else across
        scraped = sample("cloud", chart.angle + a, chart.r * np.float32(0.8) + b)
    else:
        turn = rng.uniform(0, np.pi)
        c, q = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        wave = 0.03 * torn
        scraped = sample("cloud", (u * c + v * q) * 0.07 + a, (v * c - u * q + wave) * 0.7 + b)
    bits = s.noise(rng, "cloud", WHOLE, 0.6)
    thick = 0.22 + step(-0.2, 1.6, scraped + 0.5 * torn)
    thick += 1.3 * step(1.1, 2.2, bits + 0.6 * scraped)
    thick *= shape * np.float32(thickness)
    s.pour(WHOLE, thick, sauce.colour, body=sauce.body, wet=rng.uniform(0.2, 0.8))
    s.relief += thick * np.float32(0.012)


def dried_ring(rng: np.random.Generator, s: Surface, sauce: Sauce) -> None:
    """Draw a dried ring, darkest at its outer edge."""
    if rng.random() < 0.5:  # around the dish, where the level stood
        radius, rho = rng.uniform(0.45, 0.8), s.dish.chart.r
    else:
        radius = rng.uniform(0.16, 0.4)
        u, v = s.from_point(WHOLE, s.place(rng, 0.4))
        rho = cv2.magnitude(u, v)
    inward = np.float32(radius) - rho + 0.02 * s.noise(rng, "cloud", WHOLE, 0.15)
    width = np.float32(rng.uniform(0.012, 0.035))
    edge = step(-0.006, 0.006, inward) * np.exp(-np.maximum(inward, 0) / width)
    edge *= step(-0.5, 0.9, s.noise(rng, "cloud", WHOLE, 0.14))
    spots = step(-0.6, 1.8, s.noise(rng, "cloud", WHOLE, 0.3))
    inner = 0.3 * step(0.0, 0.03, inward) * step(0.5, 0.05, inward) * spots
    thick = edge * np.float32(rng.uniform(0.4, 0.8)) + inner
    s.pour(WHOLE, thick, sauce.colour, body=sauce.body, wet=0.15)


def drips(rng: np.random.Generator, s: Surface, sauce: Sauce, count: int) -> None:
    """Draw small drops, most round, some with a tail."""
    turn = rng.uniform(0, 2 * np.pi)
    c, q = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    for _ in range(count):
        at = s.place(rng, 0.85)
        size = 0.012 + 0.04 * rng.random() ** 3
        tail = rng.uniform(1.2, 3.0) if rng.random() < 0.3 else 1.0
        part = s.around(at, size * (tail + 0.4))
        u, v = s.from_point(part, at)
        a, b = (u * c + v * q) / np.float32(tail), v * c - u * q
        uneven = 0.14 * np.sin(3 * np.arctan2(b, a) + np.float32(at[0] * 40))
        rho = cv2.magnitude(a, b) * (1 + uneven)
        depth = np.sqrt(np.maximum(1 - (rho / np.float32(size)) ** 2, 0))
        s.pour(part, depth * 0.8, sauce.colour, body=sauce.body, wet=1.0)
        s.relief[part] += depth * np.float32(size * 0.3)


def grease(rng: np.random.Generator, s: Surface) -> None:
    """Draw a greasy sheen with drops of fat."""
    patch = 0.7 + 0.6 * s.noise(rng, "cloud", WHOLE, 0.12) - 1.1 * s.dish.chart.r
    sheen = step(0.0, 0.3, patch) * step(-1.4, 0.8, s.noise(rng, "cloud", WHOLE, 0.4))
    s.pour(WHOLE, sheen * np.float32(0.22), OIL, body=1.6, wet=1.0)
    s.relief += sheen * (np.float32(0.003) + 0.001 * s.noise(rng, "swell", WHOLE, 0.5))
    centre, spread = s.place(rng, 0.4), rng.uniform(0.15, 0.4)
    for _ in range(rng.integers(20, 70)):
        at = (centre[0] + rng.normal(0, spread), centre[1] + rng.normal(0, spread))
        if np.hypot(*at) > 0.85:
            continue
        size = 0.01 + 0.05 * rng.random() ** 3
        part = s.around(at, size)
        u, v = s.from_point(part, at)
        depth = np.sqrt(np.maximum(1 - (u * u + v * v) / np.float32(size * size), 0))
        s.pour(part, depth * 0.6, OIL, body=1.2, wet=1.0)
        s.relief[part] += depth * np.float32(size * 0.35)
