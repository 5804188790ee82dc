"""Light: a key light in a room, and shading of background, dish and dirt.

The room is an environment map (paraboloid), from which diffuse light, reflections (Schlick's
Fresnel term) and shadows are all derived, so that they are consistent.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from platecheck.data.render.camera import Camera
from platecheck.data.render.dishes import Dish
from platecheck.data.render.pixels import Floats, grey, mix, sample, spot, step, tinted
from platecheck.data.render.shapes import EDGE, look_up
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import Background

SIDE = 128  # pixels of the room map
REACH = 1.3  # the map covers |direction.xy / (1 + direction.z)| <= REACH
COARSE = 16  # pixels of the diffuse map, which covers |normal.xy| <= 1


@dataclass
class Light:
    """A key light and two environment maps of the room."""

    direction: Floats  # unit vector [3] towards the key light
    key: Floats  # linear RGB [3] that falls on a surface facing the key light
    softness: float  # width of the key light in radians; wide lights cast soft shadows
    room: Floats  # radiance [SIDE, SIDE, 3] by direction
    ambient: Floats  # diffuse light [COARSE, COARSE, 3] by normal, without the key light


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


def _fresnel(straight: float, along: Floats) -> Floats:
    """Return the reflectance at an angle of cosine `along` (Schlick's approximation)."""
    q = 1 - along
    q2 = q * q
    return np.asarray(straight + (1 - straight) * (q2 * q2 * q))


def light_background(
    background: Background, light: Light, camera: Camera, a: Floats, b: Floats
) -> Floats:
    """Return the background's radiance [h, w, 3] along slopes (a, b), without shadows."""
    nx = ny = np.zeros_like(a)
    facing = np.full_like(a, light.direction[2])
    if background.bump is not None:
        # Slopes per pixel as seen from above are accurate enough for low relief.
        pixel = np.float32(2 * camera.place[2] / camera.zoom / len(a))
        nx = cv2.Sobel(background.bump, -1, 1, 0, scale=float(-1 / (8 * pixel)))
        ny = cv2.Sobel(background.bump, -1, 0, 1, scale=float(-1 / (8 * pixel)))
        right, down, _ = camera.axes
        facing += nx * (light.direction @ right) + ny * (light.direction @ down)
        np.maximum(facing, 0, out=facing)
    ambient = flat_ambient(light)
    falling = [c + facing * k for c, k in zip(ambient, light.key, strict=True)]
    lit: Floats = background.albedo * cv2.merge(falling)
    if background.gloss > 0:
        room = cv2.GaussianBlur(light.room, (0, 0), background.blur)
        up = 1 / np.sqrt(1 + a * a + b * b)
        # A horizontal mirror only inverts the ray's vertical component.
        mirror = reflected(room, a * up + 2 * nx, b * up + 2 * ny, up)
        lit += tinted(_fresnel(background.gloss, up), mirror)
    return lit


def flat_ambient(light: Light) -> Floats:
    """Return the ambient light [3] on a horizontal surface."""
    middle = np.zeros((1, 1), np.float32)
    return np.asarray(diffuse(light, middle, middle)[0, 0])


def light_dish(surface: Surface, light: Light, camera: Camera) -> Floats:
    """Return the radiance [n, n, 3] of the dish's inner surface towards the camera."""
    dish, relief = surface.dish, surface.relief
    pixel = 2 * EDGE / len(relief)
    gx, gy = dish.slope_u, dish.slope_v
    if relief.any():
        gx = gx + cv2.Sobel(relief, -1, 1, 0, scale=1 / (8 * pixel))
        gy = gy + cv2.Sobel(relief, -1, 0, 1, scale=1 / (8 * pixel))
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    nx, ny = -gx * nz, -gy * nz

    lx, ly, lz = light.direction
    facing = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    if dish.chart.shape.height > 0.1:
        facing *= _wall_shadow(dish, light)
    if relief.any():  # short shadows of raised dirt
        ahead = _shifted(relief, light.direction[:2] / lz * 0.025 / pixel, 0.0)
        facing *= 1 - 0.6 * step(0.006, 0.02, ahead - relief)

    # Interreflection between the walls takes on their colour.
    sky, walls = grey(dish.open_sky), grey(1 - dish.open_sky)
    wall = np.minimum(surface.albedo, 0.92)
    seen = wall * walls
    falling = diffuse(light, nx, ny) * sky / (1 - seen)
    falling += seen * tinted(np.full_like(nx, 0.35 * lz), light.key)
    falling += tinted(facing, light.key)
    out = surface.albedo * falling

    vx, vy, vz = camera.place[0] - dish.chart.u, camera.place[1] - dish.chart.v, camera.place[2]
    near = 1 / np.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx * near, vy * near, vz * near
    along = nx * vx + ny * vy + nz * vz
    room = cv2.GaussianBlur(light.room, (0, 0), dish.blur) if dish.blur > 0.3 else light.room
    mirror = reflected(room, 2 * along * nx - vx, 2 * along * ny - vy, 2 * along * nz - vz)
    along = np.clip(along, 0, 1)
    shine = _fresnel(dish.reflectance, along) * surface.bare + _fresnel(0.04, along) * surface.wet
    out += tinted(shine * (0.35 + 0.65 * dish.open_sky), mirror)
    return np.asarray(out)


def light_wall(
    dish: Dish, light: Light, ground: Floats, at: tuple[Floats, Floats], level: Floats
) -> Floats:
    """Return the radiance [h, w, 3] of the outer wall towards the camera.

    `ground` is the background's albedo [3], `at` the wall's coordinates (x, y), `level` its height,
    0 at the bottom to 1 at the rim.
    """
    x, y = at
    long = 1 / np.maximum(cv2.magnitude(x, y), 1e-3)
    nx, ny = x * long, y * long
    facing = np.maximum(nx * light.direction[0] + ny * light.direction[1], 0)
    sky = 0.25 + 0.35 * level
    below = ground * np.float32(0.25)
    falling = tinted(sky, diffuse(light, nx * 0.9, ny * 0.9)) + tinted(facing * 0.8, light.key)
    return dish.outside * (falling + below) + grey(0.3 * dish.reflectance * sky)


def _shifted(values: Floats, move: Floats, outside: float) -> Floats:
    """Return values [n, n] shifted by `move` (x, y) pixels."""
    matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, values.shape[::-1], flags=flags, borderValue=outside)


def _wall_shadow(dish: Dish, light: Light) -> Floats:
    """Return the visibility [n, n] of the key light over the dish's own walls, 0 to 1."""
    n = len(dish.chart.r)
    small = n // 3
    r = cv2.resize(dish.chart.r, (small, small))
    height = look_up(dish.chart.shape.heights, r)
    flat = np.hypot(*light.direction[:2])
    slope, way = light.direction[2] / flat, light.direction[:2] / flat
    blocked = np.full_like(height, -1)
    for distance in np.linspace(0.06, 1.3, 12, dtype=np.float32):
        if distance * slope > dish.chart.shape.height:
            break
        ahead = _shifted(height, way * distance * small / (2 * EDGE), -1.0)
        np.maximum(blocked, (ahead - height) / distance - slope, out=blocked)
    edge = 0.04 + light.softness * 0.5
    return cv2.resize(step(edge, -edge, blocked), (n, n))
