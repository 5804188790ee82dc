"""Lighting: a key light (window, lamp or tube) in a room that is reflected in the dish.

The room is an environment map (paraboloid). Diffuse light, highlights and shadows are all derived
from it and thus consistent.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from platecheck.data.render.noise import sample, spot
from platecheck.data.render.pixels import Floats, mix, step, tinted

SIDE = 128  # pixels of the room map
REACH = 1.3  # the map covers |direction.xy / (1 + direction.z)| <= REACH
COARSE = 16  # pixels of the diffuse map, which covers |normal.xy| <= 1


@dataclass
class Light:
    """A key light and two environment maps of the room.

    Attributes:
        direction: unit vector [3] towards the key light.
        key: linear RGB [3] that falls on a surface facing the key light.
        softness: width of the key light in radians; wide lights cast soft shadows.
        room: radiance [SIDE, SIDE, 3] by direction.
        ambient: diffuse light [COARSE, COARSE, 3] by normal, without the key light.
    """

    direction: Floats
    key: Floats
    softness: float
    room: Floats
    ambient: Floats


@cache
def room_directions() -> Floats:
    """Return the directions [SIDE, SIDE, 3] of the room map's pixels."""
    m = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1) * REACH
    x, y = np.meshgrid(m, m)
    q = x * x + y * y
    return np.stack([2 * x, 2 * y, 1 - q], -1) / (1 + q)[..., None]


@cache
def diffuse_weights() -> Floats:
    """Return weights [COARSE * COARSE, 32 * 32] from a 32-pixel room map to diffuse light."""
    directions = cv2.resize(room_directions(), (32, 32), interpolation=cv2.INTER_AREA)
    directions = directions.reshape(-1, 3)
    c = (np.arange(COARSE, dtype=np.float32) + 0.5) / COARSE * 2 - 1
    x, y = np.meshgrid(c, c)
    z = np.sqrt(np.maximum(0, 1 - x * x - y * y))
    normals = np.stack([x, y, z], -1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # The solid angle of a paraboloid map's pixel is proportional to (1 + z)^2.
    weights = np.maximum(0, normals @ directions.T) * (1 + directions[:, 2]) ** 2
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def draw_light(rng: np.random.Generator, background: Floats) -> Light:
    """Draw a light for a scene on a background of mean albedo `background` [3].

    The irradiance of a horizontal surface is always about 1.0.
    """
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(38, 74))
    flat = np.array([np.cos(azimuth), np.sin(azimuth)]) * np.cos(elevation)
    direction = np.array([*flat, np.sin(elevation)], np.float32)
    warmth = rng.uniform(-1, 1)
    tint = np.array([1 + 0.10 * warmth, 1.0, 1 - 0.14 * warmth], np.float32)
    share = rng.uniform(0.3, 0.62)  # of the flat surface's light that is the key's
    key = tint * np.float32(share / direction[2])

    d = room_directions()
    up = step(-0.25, 0.9, d[..., 2])
    a, b = spot(rng)
    clutter = sample("cloud", a + d[..., 0] * 0.22, b + d[..., 1] * 0.22)
    room = (0.25 + 0.75 * up) * np.exp(0.45 * clutter)
    # The photographer is a dark figure to one side.
    figure = rng.uniform(0, 2 * np.pi)
    toward = d[..., 0] * np.cos(figure) + d[..., 1] * np.sin(figure)
    across = d[..., 1] * np.cos(figure) - d[..., 0] * np.sin(figure)
    room *= 1 - 0.75 * step(0.0, 0.25, toward) * step(0.42, 0.25, np.abs(across))
    cool = np.array([1 - 0.04 * warmth, 1.0, 1 + 0.05 * warmth], np.float32)
    sky = mix(tinted(room, cool), background * np.float32(0.7), step(0.12, -0.05, d[..., 2]))

    coarse = cv2.resize(sky, (32, 32), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    ambient = (diffuse_weights() @ coarse).reshape(COARSE, COARSE, 3)
    middle = ambient[COARSE // 2, COARSE // 2].mean()
    scale = np.float32((1 - share) / middle)
    lamps, softness = _lamps(rng, d, direction)
    glow = tinted(lamps, tint * (key.mean() * np.float32(rng.uniform(9, 22))))
    return Light(direction, key, softness, sky * scale + glow, ambient * scale)


def _lamps(rng: np.random.Generator, d: Floats, direction: Floats) -> tuple[Floats, float]:
    """Draw the lamps in the room map [SIDE, SIDE]; also return the key light's width in radians."""
    side = np.cross(direction, [0, 0, 1]).astype(np.float32)
    side /= np.linalg.norm(side)
    over = np.cross(side, direction).astype(np.float32)
    facing = np.maximum(d @ direction, 1e-3)
    a, b = (d @ side) / facing, (d @ over) / facing
    front = step(0.0, 0.1, d @ direction)
    kind = rng.choice(["window", "lamp", "tube", "softbox"])
    if kind == "window":  # panes with a cross of wood between
        w, h = rng.uniform(0.16, 0.34), rng.uniform(0.2, 0.42)
        shape = step(w, w - 0.05, np.abs(a)) * step(h, h - 0.05, np.abs(b))
        bars = rng.integers(1, 3)
        pane = np.abs(np.mod(a / (2 * w) * (bars + 1) + 0.5 * (bars + 1), 1) - 0.5)
        shape *= 0.25 + 0.75 * step(0.5, 0.44, pane)
        softness = (w + h) / 2
    elif kind == "lamp":
        r = rng.uniform(0.06, 0.16)
        shape = step(r * 1.3, r * 0.8, np.hypot(a, b))
        softness = r
    elif kind == "tube":
        w, h = rng.uniform(0.5, 0.9), rng.uniform(0.04, 0.09)
        shape = step(w, w - 0.1, np.abs(a)) * step(h, h * 0.6, np.abs(b))
        softness = 0.25
    else:
        w = rng.uniform(0.2, 0.4)
        shape = step(w, w * 0.5, np.maximum(np.abs(a), np.abs(b)))
        softness = w
    lamps = shape * front
    for _ in range(rng.integers(0, 3)):  # small lights elsewhere
        at = rng.normal(0, 0.35, 2)
        q = float(at @ at)
        other = np.array([2 * at[0], 2 * at[1], 1 - q], np.float32) / np.float32(1 + q)
        lamps = lamps + rng.uniform(0.2, 0.6) * step(0.985, 0.995, d @ other)
    return lamps, float(softness)


def reflected(room: Floats, x: Floats, y: Floats, z: Floats) -> Floats:
    """Return the radiance [h, w, 3] from unit directions (x, y, z), each [h, w]."""
    return _read(room, x, y, np.float32(SIDE / (2 * REACH)) / np.maximum(1 + z, 0.3))


def diffuse(light: Light, nx: Floats, ny: Floats) -> Floats:
    """Return the ambient light [h, w, 3] on surfaces with upward unit normals (nx, ny, ...)."""
    return _read(light.ambient, nx, ny, np.float32(COARSE / 2))


def _read(image: Floats, x: Floats, y: Floats, scale: Floats | np.float32) -> Floats:
    middle = np.float32(len(image) / 2 - 0.5)
    at = x * scale + middle, y * scale + middle
    return cv2.remap(image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
