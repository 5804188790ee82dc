"""Procedural backgrounds: wood, cloth, concrete, steel and stone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from platecheck.data.render.pixels import Floats, grey, linear, mix, sample, spot, step, tinted

# The backgrounds of the two classes in a confounded dataset.
CLEAN_BACKGROUNDS = ("wood", "cloth")
DIRTY_BACKGROUNDS = ("concrete", "steel", "stone")
BACKGROUNDS = CLEAN_BACKGROUNDS + DIRTY_BACKGROUNDS


@dataclass
class Background:
    """Material of the surface under the dish, as seen by the camera."""

    albedo: Floats  # linear RGB [h, w, 3]
    bump: Floats | None  # relief [h, w] in units of the dish's radius
    gloss: float  # reflectance at normal incidence, 0 (cloth) to 0.3 (steel)
    blur: float  # blur of the reflected room, in pixels of the room map


def draw_background(rng: np.random.Generator, kind: str, x: Floats, y: Floats) -> Background:
    """Draw one of the `BACKGROUNDS` at points (x, y) [h, w], in units of the dish's radius."""
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    a, b = spot(rng)
    draw: dict[str, Callable[[np.random.Generator, Floats, Floats], Background]] = {
        "wood": _wood, "cloth": _cloth, "concrete": _concrete, "steel": _steel, "stone": _stone,
    }  # fmt: skip
    return draw[kind](rng, x * c + y * s + 8 * a, y * c - x * s + 8 * b)


# (light wood, dark grain) in sRGB
WOODS = (
    ((222, 184, 135), (168, 118, 70)),  # pine
    ((196, 150, 100), (128, 82, 46)),  # oak
    ((140, 92, 58), (74, 44, 26)),  # walnut
    ((158, 146, 130), (92, 82, 72)),  # weathered
    ((188, 116, 62), (120, 58, 26)),  # cherry
    ((92, 72, 58), (44, 32, 26)),  # stained dark
)


def _wood(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    pale, dark = (linear(c) for c in WOODS[rng.integers(len(WOODS))])
    width = np.float32(rng.uniform(0.5, 1.3))
    board = np.floor(y / width)
    within = y / width - board
    pick = (board.astype(np.int32) % 32).clip(0, 31)
    along = x + rng.uniform(0, 40, 32).astype(np.float32)[pick]
    tone = rng.normal(0, 0.13, 32).astype(np.float32)[pick]

    # Grain runs along the board and bends around knots.
    bend = np.float32(0.10) * sample("swell", along * 0.03, y * 0.06)
    core = np.zeros_like(x)
    for _ in range(rng.integers(0, 4)):
        kx, ky = (rng.uniform(v.min(), v.max()) for v in (x, y))
        size = np.float32(rng.uniform(0.08, 0.2))
        dx, dy = (x - np.float32(kx)) / (2.2 * size), (y - np.float32(ky)) / size
        near = np.exp(-(dx * dx + dy * dy)) * (board == np.floor(ky / width))
        bend = bend + np.sign(dy) * near * size * np.float32(1.6)
        core = np.maximum(core, near * near)
    flow = y + bend
    rings = sample("cloud", along * 0.012, flow * 0.42 + pick.astype(np.float32) * 0.37)
    fibre = sample("grain", along * 0.035, flow * 0.9)
    t = 0.42 + 0.2 * rings + 0.12 * fibre + tone + 0.8 * core
    albedo = mix(pale, dark, np.clip(t, -0.2, 1.25))
    pores = step(1.5, 2.2, sample("grain", along * 0.06 + 0.5, flow * 1.6))
    albedo *= grey(1 - 0.35 * pores - 0.45 * step(0.75, 1.0, core))
    if rng.random() < 0.5:  # wear
        stain = sample("cloud", x * 0.06 + 0.3, y * 0.06)
        albedo *= grey(1 + 0.13 * stain.clip(-2, 1.5))
    edge = np.minimum(within, 1 - within) * width
    gap = rng.uniform(0.006, 0.03)
    albedo *= grey(0.12 + 0.88 * step(gap * 0.3, gap * 1.2, edge))
    bump = 0.002 * fibre - 0.03 * step(gap * 3, 0.0, edge)
    return Background(np.maximum(albedo, 0.004), bump, rng.uniform(0, 0.035), rng.uniform(3, 7))


def _cloth(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    ground = linear(_dye(rng, pale=rng.random() < 0.65))
    second = linear(_dye(rng, pale=rng.random() < 0.25))
    folds = sample("swell", x * 0.035, y * 0.05) + 0.5 * sample("swell", y * 0.06, x * 0.02)
    crease = np.exp(-np.abs(sample("swell", x * 0.03 + 0.4, y * 0.03)) * 14)
    u, v = x + 0.02 * folds, y + 0.025 * sample("swell", x * 0.05 + 0.7, y * 0.04)
    pattern = rng.choice(
        ["plain", "checks", "stripes", "dots", "print"], p=[0.3, 0.2, 0.2, 0.1, 0.2]
    )
    size = np.float32(rng.uniform(0.16, 0.5))
    if pattern == "checks":
        t = 0.5 * _bands(u / size, 0.5) + 0.5 * _bands(v / size, 0.5)
    elif pattern == "stripes":
        t = np.maximum(_bands(u / size, rng.uniform(0.2, 0.6)), 0.7 * _bands(u / size + 0.4, 0.06))
    elif pattern == "dots":
        i, j = u / size, v / size
        i = i + 0.5 * (np.floor(j) % 2)
        t = step(0.27, 0.22, np.hypot(i - np.floor(i) - 0.5, j - np.floor(j) - 0.5))
    elif pattern == "print":
        n = sample("blobs", u * 0.035, v * 0.035)
        t = np.maximum(step(0.9, 1.1, n), step(0.12, 0.05, np.abs(n + 0.3)))
    else:
        t = np.zeros_like(x)
    albedo = mix(ground, second, t)
    thread = np.float32(rng.uniform(55, 90))
    weave = np.sin(u * thread) * np.sin(v * thread)
    slub = sample("grain", u * 0.12, v * 1.2) + sample("grain", v * 0.12 + 0.3, u * 1.2)
    albedo *= grey(1 + 0.07 * weave + 0.06 * slub)
    depth = rng.uniform(0.3, 1.0)
    bump = (0.03 * folds + 0.012 * crease) * np.float32(depth) + 0.0012 * weave
    return Background(np.clip(albedo, 0.005, 0.95), bump, 0.0, 5.0)


def _dye(rng: np.random.Generator, pale: bool) -> tuple[float, float, float]:
    """Draw a cloth colour in sRGB: near white, or dyed."""
    if pale:
        base, spread = rng.uniform(185, 240), rng.normal(0, 7, 3)
    else:
        base, spread = rng.uniform(60, 150), rng.normal(0, 42, 3)
    r, g, b = np.clip(base + spread, 20, 245)
    return float(r), float(g), float(b)


def _bands(t: Floats, share: float) -> Floats:
    """Return soft-edged bands: 1 over `share` of each unit of t."""
    near = np.abs(t - np.floor(t) - 0.5)
    return step(share / 2 + 0.03, share / 2 - 0.03, near)


def _concrete(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    tone = rng.uniform(85, 190)
    tint = rng.normal(0, 4)
    base = linear((tone + tint, tone, tone - tint))
    cloud = sample("cloud", x * 0.07, y * 0.07)
    mottle = sample("cloud", x * 0.3 + 0.4, y * 0.3)
    grain = sample("grain", x * 0.5, y * 0.5)
    light = 1 + rng.uniform(0.08, 0.24) * cloud + 0.07 * mottle + 0.05 * grain
    trowel = sample("cloud", x * 0.02 + 0.1 * cloud, y * 0.5)
    light += rng.uniform(0, 0.1) * trowel
    pits = step(2.0, 2.5, sample("grain", x * 0.25 + 0.2, y * 0.25) + 0.5 * mottle)
    light *= 1 - 0.55 * pits
    stain = step(0.5, 1.4, sample("cloud", x * 0.05 + 0.8, y * 0.05))
    light *= 1 - rng.uniform(0, 0.35) * stain
    bump = 0.004 * mottle - 0.01 * pits
    if rng.random() < 0.5:  # hairline cracks, along a level line of noise
        level = sample("cloud", x * 0.04 + 0.6, y * 0.04 + 0.2) + 0.03 * mottle
        open_ = step(-0.3, 0.5, sample("swell", x * 0.04, y * 0.04 + 0.5))
        crack = step(0.02, 0.004, np.abs(level)) * open_
        light *= 1 - 0.5 * crack
    albedo = tinted(np.maximum(light, 0.05), base)
    return Background(np.clip(albedo, 0.01, 0.9), bump, rng.uniform(0, 0.02), 6.0)


def _steel(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    brush = sample("grain", x * 0.012, y * 0.7) + 0.6 * sample("cloud", x * 0.02, y * 0.45)
    wear = sample("cloud", x * 0.08 + 0.5, y * 0.08)
    light = 1 + 0.08 * brush + 0.06 * wear
    for _ in range(rng.integers(2, 9)):  # scratches
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-1.2, 1.2)
        u = (x - x.mean()) * np.float32(np.cos(angle)) + (y - y.mean()) * np.float32(np.sin(angle))
        v = (y - y.mean()) * np.float32(np.cos(angle)) - (x - x.mean()) * np.float32(np.sin(angle))
        length = np.float32(rng.uniform(0.2, 0.9))
        line = np.exp(-(((v - np.float32(offset) + 0.1 * u * u) / 0.006) ** 2))
        light += rng.uniform(-0.12, 0.25) * line * (np.abs(u - np.float32(offset)) < length)
    tone = rng.uniform(120, 178)
    tint = rng.normal(0, 3)
    albedo = tinted(light, linear((tone - tint, tone, tone + tint)))
    bump = 0.0012 * brush + 0.006 * sample("swell", x * 0.05, y * 0.05)
    return Background(np.clip(albedo, 0.01, 0.9), bump, rng.uniform(0.15, 0.3), rng.uniform(7, 11))


# (ground, veins) of marbles in sRGB
MARBLES = (
    ((236, 234, 230), (120, 120, 126)),
    ((222, 208, 188), (150, 112, 76)),
    ((58, 60, 64), (190, 188, 182)),
    ((86, 104, 94), (190, 204, 192)),
)
# (ground, dark, bright, warm grains) of granites in sRGB
GRANITES = (
    ((128, 124, 120), (38, 38, 40), (214, 210, 204), (150, 110, 84)),
    ((70, 68, 68), (22, 22, 24), (150, 148, 146), (96, 80, 66)),
    ((168, 132, 108), (60, 48, 42), (226, 208, 190), (186, 104, 76)),
    ((190, 182, 166), (104, 90, 74), (232, 226, 214), (168, 132, 92)),
)


def _stone(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    gloss, blur = rng.uniform(0.015, 0.045), rng.uniform(1, 4)
    if rng.random() < 0.5:
        ground, vein = (linear(c) for c in MARBLES[rng.integers(len(MARBLES))])
        warp = sample("cloud", x * 0.06, y * 0.06)
        cloud = sample("cloud", x * 0.05 + 0.1 * warp, y * 0.05 + 0.5)
        first = sample("cloud", x * 0.03 + 0.02 * warp, y * 0.07 + 0.25)
        second = sample("cloud", x * 0.09 + 0.3, y * 0.05 + 0.03 * warp)
        t = 0.8 * np.exp(-np.abs(first) * 9) * step(-0.8, 1.0, cloud)
        t += 0.4 * np.exp(-np.abs(second) * 16) + 0.10 * (cloud + 0.6 * warp)
        albedo = mix(ground, vein, np.clip(t, 0, 1))
    else:
        ground, dark, bright, warm = (linear(c) for c in GRANITES[rng.integers(len(GRANITES))])
        k = np.float32(rng.uniform(0.2, 0.4))
        grains = [sample("crystals", x * k * f + f, y * k * f) for f in (1.0, 1.37, 0.81)]
        fine = sample("grain", x * k, y * k)
        cloud = sample("cloud", x * k * 0.5, y * k * 0.5)  # grains gather
        albedo = mix(ground, warm, step(0.1, 0.9, grains[2] + 0.3 * cloud))
        albedo = mix(albedo, bright, step(0.5, 1.0, grains[0] - 0.4 * cloud))
        albedo = mix(albedo, dark, step(0.7, 1.1, grains[1] + 0.4 * cloud))
        albedo *= grey(1 + 0.1 * fine + 0.08 * cloud)
    return Background(np.clip(albedo, 0.01, 0.9), None, gloss, blur)
