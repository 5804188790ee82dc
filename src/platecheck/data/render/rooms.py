"""Textures of tables, walls, floors and basins, and pictures on them: pages, faces, hobs, kitchens."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.dishes import PLASTICS
from platecheck.data.render.frame import UNIT, Texture
from platecheck.data.render.pixels import Floats, from_srgb, linear, mix, sample, step, tinted
from platecheck.data.render.tabletops import BACKGROUNDS, Background, draw_background

Colour = tuple[int, int, int]


def draw_texture(rng: np.random.Generator, where: str) -> Texture:
    """Draw the texture of a ``ground``, ``wall``, ``floor`` or ``basin``."""
    kinds = {
        "ground": (*BACKGROUNDS, "plain", "plain", "tiles"),
        "wall": ("plain", "tiles", "tiles", "wood", "concrete", "steel"),
        "floor": ("tiles", "tiles", "wood", "stone", "concrete", "cloth"),
        "basin": ("steel", "steel", "steel", "plain", "concrete"),
    }[where]
    kind, seed, scale = str(rng.choice(kinds)), int(rng.integers(2**62)), rng.uniform(0.7, 1.3)

    def texture(x: Floats, y: Floats) -> Background:
        own = np.random.default_rng(seed)
        draw = {"plain": _plain, "tiles": _tiles}.get(kind)
        x, y = x * np.float32(scale), y * np.float32(scale)
        return draw(own, x, y) if draw else draw_background(own, kind, x, y)

    return texture


def _paint(rng: np.random.Generator) -> Floats:
    """Draw a linear colour: mostly near white or grey."""
    if rng.random() < 0.65:
        return linear(rng.uniform(150, 244) + rng.normal(0, 8, 3))
    return linear(rng.uniform(20, 235, 3))


def _plain(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    cloud = sample("cloud", x * np.float32(0.06), y * np.float32(0.06))
    speck = sample("grain", x * np.float32(0.4), y * np.float32(0.4))
    light = 1 + 0.04 * cloud + np.float32(rng.choice([0.0, 0.02, 0.1])) * speck
    albedo = tinted(light.astype(np.float32), _paint(rng)).clip(0.01, 0.9)
    return Background(albedo, None, rng.choice([0.0, 0.02, 0.05]), rng.uniform(1, 6))


def _tiles(rng: np.random.Generator, x: Floats, y: Floats) -> Background:
    wide, tall = (1.0, 1.0) if rng.random() < 0.6 else (1.6, 0.7)
    k = np.float32(rng.uniform(0.6, 1.6))
    u, v = x / (k * wide), y / (k * tall)
    row = np.floor(v)
    if rng.random() < 0.4:
        u = u + 0.5 * (row % 2)
    column = np.floor(u)
    edge = np.minimum(np.minimum(u - column, 1 + column - u) * wide, np.minimum(v - row, 1 + row - v) * tall)
    pick = ((column * 7 + row * 13) % 61).astype(np.int32)
    tone = (1 + rng.uniform(0, 0.12) * rng.standard_normal(61)).astype(np.float32)[pick]
    colour = tinted(tone + 0.02 * sample("cloud", x * np.float32(0.2), y * np.float32(0.2)), _paint(rng))
    if rng.random() < 0.25:
        colour = mix(colour, tinted(tone, _paint(rng)), ((row + column) % 2).astype(np.float32))
    gap = rng.uniform(0.01, 0.03)
    albedo = mix(linear(rng.uniform(40, 220) + np.zeros(3)), colour, step(gap * 0.5, gap, edge)) if False else colour * step(gap * 0.5, gap, edge)[..., None] + linear(rng.uniform(40, 220) + np.zeros(3)) * (1 - step(gap * 0.5, gap, edge))[..., None]
    return Background(albedo.astype(np.float32).clip(0.01, 0.92), None, rng.choice([0.01, 0.05]), rng.uniform(1, 4))


def with_picture(base: Texture, image: NDArray[np.uint8], at: Sequence[float], half: float) -> Texture:
    """Return a texture with a picture, RGBA [h, w, 4], of a half width, around a place."""

    def texture(x: Floats, y: Floats) -> Background:
        below = base(x, y)
        k = np.float32(image.shape[1] / 2 / half)
        u = (x * np.float32(UNIT) - np.float32(at[0])) * k + np.float32(image.shape[1] / 2)
        v = (np.float32(at[1]) - y * np.float32(UNIT)) * k + np.float32(image.shape[0] / 2)
        found = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        over = found[..., 3].astype(np.float32) / 255
        below.albedo = mix(below.albedo, from_srgb(np.ascontiguousarray(found[..., :3])), over)
        return below

    return texture


def picture(rng: np.random.Generator, kind: str, *options: object) -> NDArray[np.uint8]:
    """Draw a ``page``, ``face``, ``hob`` or ``kitchen``, RGBA [h, w, 4]."""
    return {"page": _page, "face": _face, "hob": _hob, "kitchen": _kitchen}[kind](rng, *options)


def _ink(rng: np.random.Generator) -> Colour:
    r, g, b = rng.integers(0, 256, 3).tolist()
    return (r, g, b)


def _page(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a printed page with headings, text, pictures, charts and round marks."""
    image = np.full((900, 660, 4), (*[int(rng.uniform(225, 252))] * 3, 255), np.uint8)
    y, dark = 50, int(rng.integers(0, 90))
    while y < 840:
        part = rng.choice(["text", "heading", "figure"], p=(0.65, 0.15, 0.2))
        if part == "heading":
            cv2.putText(image, "".join(rng.choice(list("ABCDEFGHIKLMNORSTU "), 14)), (50, y + 30), 0, 1.3, (*_ink(rng), 255), 3, cv2.LINE_AA)
            y += 60
        elif part == "figure":
            tall = int(rng.integers(90, 260))
            cv2.rectangle(image, (50, y), (610, y + tall), (*rng.integers(120, 250, 3).tolist(), 255), -1)
            for _ in range(rng.integers(1, 5)):
                at, r = (int(rng.integers(90, 570)), y + tall // 2), int(rng.integers(15, tall // 2))
                cv2.ellipse(image, at, (r, r), 0, 0, int(rng.choice([120, 250, 360])), (*_ink(rng), 255), int(rng.choice([-1, 2, 8])), cv2.LINE_AA)
            y += tall + 25
        else:
            for _ in range(rng.integers(2, 9)):
                x, end = 50, int(rng.integers(300, 610)) if rng.random() < 0.2 else 610
                while x < end:
                    word = int(rng.integers(12, 70))
                    cv2.putText(image, "".join(rng.choice(list("aeinorstlmud"), max(1, word // 9))), (x, y + 12), 0, 0.42, (dark, dark, dark, 255), 1, cv2.LINE_AA)
                    x += word + 8
                y += 20
            y += 14
    return image


def _face(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a face: a sign of a few lines, or a person with skin and hair."""
    image = np.zeros((640, 640, 4), np.uint8)
    image[:] = (*(rng.integers(150, 256, 3).tolist() if rng.random() < 0.7 else _ink(rng)), 255)
    drawn = rng.random() < 0.6
    skin = (255, 220, 60) if drawn and rng.random() < 0.5 else tuple(rng.choice(np.array([(240, 205, 180), (205, 150, 115), (120, 80, 58), (255, 255, 255)])).tolist())
    line, wide = (*_ink(rng), 255) if drawn else (60, 40, 36, 255), int(rng.integers(3, 14))
    a, b = int(rng.integers(150, 240)), int(rng.integers(170, 270))
    if not drawn:
        hair = (*rng.choice(np.array([(40, 28, 22), (110, 74, 40), (210, 180, 110), (150, 150, 150)])).tolist(), 255)
        cv2.ellipse(image, (320, 290), (a + 30, b + 30), 0, 0, 360, hair, -1, cv2.LINE_AA)
        cv2.rectangle(image, (250, 480), (390, 640), (*[int(q * 0.85) for q in skin], 255), -1)
    cv2.ellipse(image, (320, 330), (a, b), 0, 0, 360, (*skin, 255), -1, cv2.LINE_AA)
    if drawn:
        cv2.ellipse(image, (320, 330), (a, b), 0, 0, 360, line, wide, cv2.LINE_AA)
    for side in (-1, 1):
        at = (320 + side * int(a * 0.42), 290)
        if not drawn:
            cv2.ellipse(image, at, (a // 5, a // 9), 0, 0, 360, (245, 245, 245, 255), -1, cv2.LINE_AA)
            cv2.ellipse(image, (at[0], at[1] - a // 5), (a // 4, a // 14), 0, 180, 360, line, 8, cv2.LINE_AA)
        cv2.circle(image, at, a // (11 if not drawn else int(rng.integers(7, 12))), line, -1, cv2.LINE_AA)
    smile = int(rng.integers(-30, 60))
    cv2.ellipse(image, (320, 330 + int(b * 0.4)), (int(a * 0.45), abs(smile) + 2), 0, 0 if smile > 0 else 180, 180 if smile > 0 else 360, line if drawn else (170, 80, 80, 255), wide, cv2.LINE_AA)
    if rng.random() < 0.6:
        cv2.line(image, (320, 310), (310, 370), line if drawn else (*[int(q * 0.8) for q in skin], 255), max(3, wide // 2), cv2.LINE_AA)
    return image if drawn else cv2.GaussianBlur(image, (0, 0), 2.5)


def _hob(rng: np.random.Generator, places: Sequence[tuple[float, float]], tone: Floats, gas: bool) -> NDArray[np.uint8]:
    """Draw a hob, 58 cm wide, with the rings of its plates around places in centimetres."""
    base = (255 * tone ** (1 / 2.2)).astype(int).tolist()
    image = np.zeros((600, 640, 4), np.uint8)
    cv2.rectangle(image, (4, 4), (635, 595), (*base, 255), -1)
    mark = (*[min(255, q + int(rng.integers(40, 150))) for q in base], 255)
    for x, y in places:
        at, r = (int(320 + x * 11), int(300 - y * 11)), int(rng.uniform(6, 11) * 11)
        if gas:
            cv2.circle(image, at, int(r * 0.8), (*[int(q * 0.6) for q in base], 255), -1, cv2.LINE_AA)
        elif rng.random() < 0.4:
            cv2.circle(image, at, r, (36, 34, 34, 255), -1, cv2.LINE_AA)
        for ring in range(1 if gas else int(rng.integers(1, 5))):
            cv2.circle(image, at, int(r * (1 - 0.2 * ring)), mark, int(rng.integers(1, 6)), cv2.LINE_AA)
    return image


def _kitchen(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw cupboards, an oven, a window, shelves and a clock, 180 cm wide; the rest is wall."""
    image = np.zeros((640, 1280, 4), np.uint8)
    front, knob = rng.integers(60, 245, 3), _ink(rng)
    x = 0
    while x < 1280:
        wide, kind = int(rng.integers(150, 330)), rng.choice(["cupboard", "window", "oven", "shelf", "clock", "wall"])
        box = (x + 4, 30), (x + wide - 4, int(rng.integers(280, 420)))
        mid = ((box[0][0] + box[1][0]) // 2, (box[0][1] + box[1][1]) // 2)
        colour = (*front.tolist(), 255)
        edge = (*(front * 0.7).astype(int).tolist(), 255)
        if kind in ("cupboard", "oven"):
            cv2.rectangle(image, *box, colour, -1)
            cv2.rectangle(image, *box, edge, 3)
            cv2.rectangle(image, (box[0][0] + 24, 60), (box[1][0] - 24, box[1][1] - 30), edge if kind == "cupboard" else (30, 30, 34, 255), 3 if kind == "cupboard" else -1)
            cv2.circle(image, (box[1][0] - 14, mid[1]), 8, (*knob, 255), -1, cv2.LINE_AA)
        elif kind == "window":
            cv2.rectangle(image, *box, (200, 224, 244, 255), -1)
            cv2.rectangle(image, *box, (250, 250, 250, 255), 14)
            cv2.line(image, (mid[0], 30), (mid[0], box[1][1]), (250, 250, 250, 255), 8)
        elif kind == "clock":
            cv2.circle(image, mid, 70, (245, 245, 240, 255), -1, cv2.LINE_AA)
            cv2.circle(image, mid, 70, (*knob, 255), 8, cv2.LINE_AA)
            for angle in rng.uniform(0, 6.3, 2):
                cv2.line(image, mid, (int(mid[0] + 50 * np.cos(angle)), int(mid[1] + 50 * np.sin(angle))), (20, 20, 20, 255), 5, cv2.LINE_AA)
        elif kind == "shelf":
            for y in (170, 330):
                cv2.rectangle(image, (x, y), (x + wide, y + 12), (130, 90, 56, 255), -1)
                for k in range(x + 6, x + wide - 30, 34):
                    tall = int(rng.integers(40, 110))
                    cv2.rectangle(image, (k, y - tall), (k + int(rng.integers(14, 30)), y), (*PLASTICS[rng.integers(len(PLASTICS))], 255), -1)
        x += wide
    return image
