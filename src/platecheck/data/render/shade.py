"""Shading of the background, the dish's inner surface with its dirt, and its outer wall.

Diffuse light, mirror reflection of the room (Schlick's Fresnel term), shadows, and light that
bounces between the walls of a deep dish.
"""

import cv2
import numpy as np

from platecheck.data.render.camera import Camera
from platecheck.data.render.dishes import Dish
from platecheck.data.render.light import Light, diffuse, reflected
from platecheck.data.render.pixels import Floats, grey, step, tinted
from platecheck.data.render.shapes import EDGE, look_up
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import Background


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
