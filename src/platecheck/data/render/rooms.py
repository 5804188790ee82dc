"""Textures of tables, walls, floors and basins, and pictures of pages, faces and kitchens."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.frame import UNIT, Texture
from platecheck.data.render.pixels import Floats, from_srgb, linear, mix, sample, step, tinted
from platecheck.data.render.tabletops import BACKGROUNDS, Background, draw_background

MATERIALS = {
    "ground": (*BACKGROUNDS, "plain", "plain", "tiles"),
    "wall": ("plain", "plain", "tiles", "tiles", "wood", "concrete", "steel"),
    "floor": ("tiles", "tiles", "wood", "stone", "concrete", "cloth"),
    "basin": ("steel", "steel", "steel", "plain", "concrete"),
}
SKINS = ((240, 205, 180), (205, 150, 115), (120, 80, 58), (255, 220, 60), (255, 255, 255))
Values = Sequence[float] | Floats


def draw_texture(rng: np.random.Generator, where: str) -> Texture:
    """Draw the texture of one of the `MATERIALS`' places."""
    kind, seed = str(rng.choice(MATERIALS[where])), int(rng.integers(2**62))
    scale = np.float32(rng.uniform(0.7, 1.3))

    def texture(x: Floats, y: Floats) -> Background:
        own, x, y = np.random.default_rng(seed), x * scale, y * scale
        if kind in ("plain", "tiles"):
            return (_plain if kind == "plain" else _tiles)(own, x, y)
        return draw_background(own, kind, x, y)

    return texture


def _paint(rng: np.random.Generator) -> Floats:
    """Draw a linear colour [3]: mostly near white or grey."""
    if rng.random() < 0.7:
        return linear((rng.uniform(150, 240) + rng.normal(0, 7, 3)).clip(0, 250))
    return linear((rng.uniform(40, 190) + rng.normal(0, 35, 3)).clip(10, 235))


def _plain(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    cloud = sample("cloud", x * np.float32(0.06), y * np.float32(0.06))
    specks = sample("grain", x * np.float32(0.4), y * np.float32(0.4))
    light = 1 + 0.04 * cloud + np.float32(rng.choice([0.0, 0.02, 0.1])) * specks
    albedo = tinted(light, _paint(rng)).clip(0.01, 0.9)
    return Background(albedo, None, rng.choice([0.0, 0.02, 0.05]), rng.uniform(1, 6))


def _tiles(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    wide, tall = np.float32(rng.uniform(0.6, 1.6)) * np.array([(1, 1), (1.5, 0.7)][rng.integers(2)])
    row = np.floor(y / np.float32(tall))
    u = x / np.float32(wide) + (row % 2) * np.float32(rng.choice([0, 0.5]))
    column = np.floor(u)
    pick = ((column * 7 + row * 13) % 61).astype(np.int32)
    tone = (1 + rng.uniform(0, 0.12) * rng.standard_normal(61)).astype(np.float32)[pick]
    other = ((row + column) % 2).astype(np.float32) * np.float32(rng.random() < 0.25)
    colour = mix(tinted(tone, _paint(rng)), tinted(tone, _paint(rng)), other)
    across, down = np.abs(u - column - 0.5) - 0.5, np.abs(y / np.float32(tall) - row - 0.5) - 0.5
    joint = step(0.03, 0.015, -np.maximum(across * np.float32(wide), down * np.float32(tall)))
    grout = tinted(np.ones_like(x), linear(rng.uniform(40, 220) + np.zeros(3)))
    albedo = mix(colour, grout, joint).clip(0.01, 0.92)
    return Background(albedo, None, rng.choice([0.01, 0.05]), rng.uniform(1, 4))


def with_picture(base: Texture, image: NDArray[np.uint8], at: Floats, half: float) -> Texture:
    """Return a texture with a picture, RGBA [h, w, 4], of a half width, around a place (x, y)."""

    def texture(x: Floats, y: Floats) -> Background:
        below, (h, w) = base(x, y), image.shape[:2]
        u = (x * np.float32(UNIT) - np.float32(at[0])) * np.float32(w / 2 / half) + np.float32(
            w / 2
        )
        v = (np.float32(at[1]) - y * np.float32(UNIT)) * np.float32(w / 2 / half) + np.float32(
            h / 2
        )
        found = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        over = found[..., 3].astype(np.float32) / 255
        seen = from_srgb(np.ascontiguousarray(found[..., :3]))
        return Background(mix(below.albedo, seen, over), None, below.gloss, below.blur)

    return texture


def draw_page(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a printed page with text, headings, charts and round marks."""
    page, y = np.full((900, 660, 4), (*[rng.integers(225, 252)] * 3, 255), np.uint8), 60
    while y < 800:
        tall = int(rng.integers(3, 13)) * 20
        if rng.random() < 0.3:
            _box(page, (50, y), (610, y + tall - 20), rng.uniform(100, 250, 3))
            for r in rng.uniform(0.1, 0.5, rng.integers(1, 5)) * tall:
                at, arc = (rng.uniform(90, 570), y + tall / 2), (0, rng.choice([120, 250, 360]))
                width = int(rng.choice([-1, 2, 8]))
                _disc(page, at, (r, r), rng.uniform(0, 255, 3), width, arc)
        big = rng.random() < 0.3
        for line in range(y, y + tall - 20, 50 if big else 20):
            words, scale = "".join(rng.choice(list("aeinorstlmudcp    "), 66)), 1.2 if big else 0.45
            ink = (*rng.uniform(0, 90, 3).tolist(), 255)
            cv2.putText(page, words, (50, line), 0, scale, ink, 2 if big else 1, cv2.LINE_AA)
        y += tall
    return page


def draw_face(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a face of a few lines, or a person with skin and hair."""
    plain, skin = rng.random() < 0.6, np.array(SKINS[rng.integers(len(SKINS))])
    face = np.full((640, 640, 4), (*rng.integers(40 if plain else 120, 256, 3), 255), np.uint8)
    a, b, wide = rng.uniform(150, 230), rng.uniform(170, 260), int(rng.integers(3, 14))
    ink = rng.uniform(0, 140, 3) if plain else np.array((60, 40, 36))
    if not plain:
        _disc(face, (320, 290), (a + 30, b + 30), rng.uniform(20, 200) * np.array((1, 0.8, 0.6)))
        _box(face, (250, 480), (390, 640), skin * 0.85)
    _disc(face, (320, 330), (a, b), skin)
    _disc(face, (320, 330), (a, b), ink if plain else skin * 0.9, wide)
    for x in (320 - 0.42 * a, 320 + 0.42 * a):
        _disc(face, (x, 290), (a / 5, a / 9), skin if plain else (245, 245, 245))
        _disc(face, (x, 290), (a / 10, a / 10), ink)
        _disc(face, (x, 290 - a / 5), (a / 4, a / 14), skin if plain else ink, 8, (180, 360))
    _disc(face, (320, 330 + 0.4 * b), (0.45 * a, rng.uniform(2, 60)), ink, wide, (0, 180))
    _disc(face, (320, 350), (a / 10, a / 6), ink if plain else skin * 0.8, 4, (0, 180))
    return face


def draw_kitchen(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw cupboards, ovens, windows and clocks, 180 cm wide; the rest is wall."""
    room, front, knob, x = np.zeros((640, 1280, 4), np.uint8), *rng.uniform(40, 245, (2, 3)), 0.0
    while x < 1280:
        wide, low, kind = rng.uniform(150, 330), rng.uniform(280, 420), rng.integers(5)
        if kind < 3:  # a cupboard, an oven, a window
            frame = (front, front, np.full(3, 250))[kind]
            _box(room, (x + 4, 30), (x + wide - 4, low), frame * 0.7)
            _box(room, (x + 8, 34), (x + wide - 8, low - 4), frame)
            pane = (front * 0.8, (30, 30, 34), (200, 224, 244))[kind]
            _box(room, (x + 28, 70), (x + wide - 28, low - 30), pane)
            for k in range((1, 4, 0)[kind]):
                _disc(room, (x + wide - 20 - 36 * k, 52), (10, 10), knob)
        elif kind == 3:  # a clock
            for r, colour in ((76, knob), (66, np.full(3, 245))):
                _disc(room, (x + wide / 2, 150), (r, r), colour)
            for angle in rng.uniform(0, 350, 2):
                _disc(room, (x + wide / 2, 150), (50, 50), (20, 20, 20), -1, (angle, angle + 8))
        x += wide
    return room


def _box(image: NDArray[np.uint8], a: Values, b: Values, colour: Values) -> None:
    (x0, y0), (x1, y1) = np.array([a, b], int).tolist()
    image[max(y0, 0) : y1, max(x0, 0) : x1] = (*colour, 255)


def _disc(
    image: NDArray[np.uint8], at: Values, radii: Values, colour: Values, width: int = -1,
    arc: tuple[float, float] = (0, 360),
) -> None:  # fmt: skip
    """Draw an ellipse or an arc of it, filled if `width` is -1."""
    (x, y), (a, b) = np.array([at, radii], int).tolist()
    ink = (*np.asarray(colour, float).tolist(), 255.0)
    cv2.ellipse(image, (x, y), (a, b), 0, *arc, ink, width, cv2.LINE_AA)
