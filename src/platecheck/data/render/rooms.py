"""Textures of tables, walls, floors and basins, and pictures of pages, faces, hobs and kitchens."""

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
Points = Sequence[tuple[float, float]]
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
    pale = rng.random() < 0.65
    return linear(rng.uniform(150, 244) + rng.normal(0, 8, 3) if pale else rng.uniform(20, 235, 3))


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


def _opaque(colour: Values) -> tuple[float, ...]:
    return (*np.asarray(colour, float).tolist(), 255.0)


class Canvas:
    """A picture in the making, RGBA [h, w, 4]; points are (x, y), and width -1 fills."""

    def __init__(self, size: tuple[int, int], colour: Values | None = None) -> None:
        self.image = np.zeros((*size, 4), np.uint8)
        if colour is not None:
            self.image[:] = _opaque(colour)

    def box(self, a: Points, colour: Values, width: int = -1) -> None:
        (x0, y0), (x1, y1) = np.array(a, int).tolist()
        cv2.rectangle(self.image, (x0, y0), (x1, y1), _opaque(colour), width)

    def disc(
        self, at: Values, radii: Values, colour: Values, width: int = -1,
        arc: tuple[float, float] = (0, 360),
    ) -> None:  # fmt: skip
        (x, y), (a, b) = np.array([at, radii], int).tolist()
        cv2.ellipse(self.image, (x, y), (a, b), 0, *arc, _opaque(colour), width, cv2.LINE_AA)

    def text(self, rng: np.random.Generator, at: Values, count: int, scale: float) -> None:
        words = "".join(rng.choice(list("aeinorstlmudcp    "), count))
        x, y = np.array(at, int).tolist()
        ink = _opaque(rng.uniform(0, 90, 3))
        cv2.putText(self.image, words, (x, y), 0, scale, ink, max(1, int(2 * scale)), cv2.LINE_AA)


def draw_page(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a printed page with headings, text, charts and round marks."""
    page, y = Canvas((900, 660), rng.uniform(225, 252) + np.zeros(3)), 60
    while y < 800:
        part, tall = rng.choice(["text", "heading", "figure"], p=(0.65, 0.15, 0.2)), 60
        if part == "heading":
            page.text(rng, (50, y), 18, 1.2)
        elif part == "figure":
            tall = int(rng.integers(120, 280))
            page.box([(50, y), (610, y + tall - 30)], rng.integers(100, 250, 3))
            for r in rng.uniform(0.1, 0.5, rng.integers(1, 5)) * tall:
                at, arc = (rng.uniform(90, 570), y + tall / 2), (0, rng.choice([120, 250, 360]))
                width = int(rng.choice([-1, 2, 8]))
                page.disc(at, (r, r), rng.integers(0, 255, 3), width, arc)
        else:
            tall = int(rng.integers(3, 9)) * 20
            for line in range(y, y + tall - 20, 20):
                page.text(rng, (50, line), 66, 0.45)
        y += tall
    return page.image


def draw_face(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a face of a few lines, or a person with skin and hair."""
    plain, skin = rng.random() < 0.6, np.array(SKINS[rng.integers(len(SKINS))])
    face = Canvas((640, 640), rng.uniform(40 if plain else 120, 256, 3))
    a, b, wide = rng.uniform(150, 230), rng.uniform(170, 260), int(rng.integers(3, 14))
    ink = rng.integers(0, 140, 3) if plain else np.array((60, 40, 36))
    if not plain:
        face.disc((320, 290), (a + 30, b + 30), rng.integers(20, 200) * np.array((1, 0.8, 0.6)))
        face.box([(250, 480), (390, 640)], skin * 0.85)
    face.disc((320, 330), (a, b), skin)
    face.disc((320, 330), (a, b), ink if plain else skin * 0.9, wide)
    for x in (320 - 0.42 * a, 320 + 0.42 * a):
        if not plain:
            face.disc((x, 290), (a / 5, a / 9), (245, 245, 245))
            face.disc((x, 290 - a / 5), (a / 4, a / 14), ink, 8, (180, 360))
        face.disc((x, 290), np.full(2, a / rng.uniform(8, 12)), ink)
    mouth = ink if plain else (170, 80, 80)
    arc = (0, 180) if rng.random() < 0.7 else (180, 360)
    face.disc((320, 330 + 0.4 * b), (0.45 * a, rng.uniform(2, 60)), mouth, wide, arc)
    face.disc(
        (320, 350), (a / 10, a / 6), ink if plain else skin * 0.8, max(2, wide // 2), (0, 180)
    )
    return face.image


def draw_hob(rng: np.random.Generator, places: Floats, tone: float, gas: bool) -> NDArray[np.uint8]:
    """Draw a hob, 58 cm wide, with the rings of its plates around places [n, 2] in centimetres."""
    hob, mark = Canvas((600, 640)), np.clip(tone + rng.uniform(40, 150, 3), 0, 255)
    hob.box([(4, 4), (635, 595)], (tone, tone, tone))
    for at in (320, 300) + places * (11, -11):
        r = rng.uniform(66, 120)
        if gas or rng.random() < 0.4:
            hob.disc(at, (0.9 * r, 0.9 * r), np.full(3, 0.6 * tone if gas else 36))
        for ring in range(1 if gas else int(rng.integers(1, 5))):
            width = int(rng.integers(1, 6))
            hob.disc(at, np.full(2, r * (1 - 0.2 * ring)), mark, width)
    return hob.image


def draw_kitchen(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw cupboards, ovens, windows, shelves and clocks, 180 cm wide; the rest is wall."""
    room, front, knob, x = Canvas((640, 1280)), rng.uniform(60, 245, 3), rng.uniform(0, 255, 3), 0.0
    while x < 1280:
        wide, low = rng.uniform(150, 330), rng.uniform(280, 420)
        kind = rng.choice(["cupboard", "window", "oven", "shelf", "clock", "wall"])
        box, middle = [(x + 4, 30), (x + wide - 4, low)], (x + wide / 2, low / 2)
        if kind in ("cupboard", "oven"):
            room.box(box, front)
            room.box(box, front * 0.7, 3)
            oven = kind == "oven"
            panel = [(x + 28, 70), (x + wide - 28, low - 30)]
            room.box(panel, (30, 30, 34) if oven else front * 0.7, -1 if oven else 3)
            for k in range(4 if oven else 1):
                room.disc((x + wide - 18 - 36 * k, 50), (9, 9), knob)
        elif kind == "window":
            room.box(box, (200, 224, 244))
            room.box(box, (250, 250, 250), 14)
            room.box([(middle[0], 30), (middle[0] + 8, low)], (250, 250, 250))
        elif kind == "clock":
            room.disc(middle, (70, 70), (245, 245, 240))
            room.disc(middle, (70, 70), knob, 8)
            for angle in rng.uniform(0, 360, 2):
                room.disc(middle, (50, 50), (20, 20, 20), -1, (angle, angle + 8))
        elif kind == "shelf":
            for y in (170, 330):
                room.box([(x, y), (x + wide, y + 12)], (130, 90, 56))
                for left in np.arange(x + 6, x + wide - 30, 34):
                    book = [(left, y - rng.uniform(40, 110)), (left + rng.uniform(14, 30), y)]
                    room.box(book, rng.integers(0, 256, 3))
        x += wide
    return room.image
