"""Small pictures for decoration: clip art and colour fonts where installed, else symbols."""

import contextlib
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
from PIL import Image, ImageDraw, ImageFont

SIDE, DRAWING_SIDE = 96, 144  # pixels of a picture, of a drawing
# Google's Noto Color Emoji (SIL Open Font License); Debian's package fonts-noto-color-emoji.
COLOR_FONT, COLOR_SIZE = "NotoColorEmoji", 109  # its bitmaps have this size only
# Without food: on a dish, it is dirt.
COLOR_RANGES = (
    *((0x1F300, 0x1F32D), (0x1F330, 0x1F354), (0x1F380, 0x1F450), (0x1F451, 0x1F480)),
    *((0x1F980, 0x1F9C0), (0x1F9CC, 0x1FA00), (0x1FA70, 0x1FAD0)),
)
# The Open Clip Art Library (public domain); Debian's package openclipart-png.
CLIP_ART = Path("/usr/share/openclipart/png")
SUBJECTS = {
    **{"plants": 0.3, "animals": 0.36, "people": 0.08, "buildings": 0.08, "decorations": 0.08},
    **{"recreation/holiday": 0.05, "recreation/music": 0.02, "recreation/toys": 0.03},
}
UNLIKE_DECORATION = {"bodypart", "pantyhose", "smilies", "furniture"}
# Geometric shapes, dingbats; Greek, Cyrillic, Georgian, Arabic: calligraphy to most eyes.
SYMBOL_RANGES = ((0x25A0, 0x26A0), (0x2701, 0x2776))
LETTER_RANGES = ((0x41, 0x7B), (0x391, 0x3CA), (0x410, 0x450), (0x10D0, 0x10F1), (0x621, 0x64B))


@cache
def color_pictures() -> tuple[Image.Image, ...]:
    """Return some 500 pictures of plants, animals and things; none without their font."""
    font = color_font()
    return _draw(font, COLOR_RANGES) if font else ()


@cache
def clip_art() -> tuple[tuple[Path, ...], ...]:
    """Return some 1,000 files of drawings, by `SUBJECTS`; none without their package."""
    found = []
    for subject in SUBJECTS:
        files = sorted((CLIP_ART / subject).rglob("*.png"))
        found.append(tuple(each for each in files if not UNLIKE_DECORATION & {*each.parts}))
    return tuple(found) if all(found) else ()


@lru_cache(maxsize=1500)
def open_drawing(path: Path) -> Image.Image:
    """Return a drawing, cropped and as a square, RGBA; maybe an empty one."""
    with Image.open(path) as opened:
        drawing = opened.convert("RGBA")
    return _square(drawing.crop(drawing.getbbox()), DRAWING_SIDE)


@cache
def color_font() -> ImageFont.FreeTypeFont | None:
    """Return the colour font; None if none is installed, or one without bitmaps."""
    for path in sorted(path for path in findSystemFonts() if COLOR_FONT in Path(path).name):
        with contextlib.suppress(OSError):
            return ImageFont.truetype(path, COLOR_SIZE)
    return None


@cache
def symbols() -> tuple[Image.Image, ...]:
    """Return black flowers, stars and shapes of DejaVu Sans, which matplotlib brings along."""
    return _draw(_dejavu(), SYMBOL_RANGES)


@cache
def letters() -> tuple[Image.Image, ...]:
    """Return black letters of five alphabets."""
    return _draw(_dejavu(), LETTER_RANGES)


def _dejavu() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 90)


def _draw(
    font: ImageFont.FreeTypeFont, ranges: tuple[tuple[int, int], ...]
) -> tuple[Image.Image, ...]:
    """Draw the font's characters, cropped and as squares, RGBA; without those it lacks."""
    missing = font.getmask("\U0010ffff").getbbox()
    found = []
    for code in chain.from_iterable(range(*each) for each in ranges):
        large = Image.new("RGBA", (180, 180))
        ImageDraw.Draw(large).text((20, 20), chr(code), "black", font, embedded_color=True)
        box = large.getbbox()
        if box is None or font.getmask(chr(code)).getbbox() in (None, missing):
            continue
        found.append(_square(large.crop(box), SIDE))
    return tuple(found)


def _square(picture: Image.Image, side: int) -> Image.Image:
    square = Image.new("RGBA", (max(picture.size),) * 2)
    square.paste(picture, tuple((np.array(square.size) - picture.size) // 2))
    return square.resize((side, side), Image.Resampling.LANCZOS)
