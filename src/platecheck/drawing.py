"""Draw the dishes that were found on a photo: a box, an icon, the label and its probability."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from platecheck.inspector import Dish, Inspection
from platecheck.model_info import CLEAN, UNSURE, class_key
from platecheck.photo import MAX_PIXELS, Color, Source, open_photo

# Photos are reduced or enlarged until the longer side is within these, so that text is readable.
LEAST_SIDE, MOST_SIDE = 640, 1600

# Okabe and Ito, Color Universal Design, 2008: told apart with any color vision. Each has its own
# icon as well: a check mark, a cross, a question mark.
CLEAN_COLOR, OTHER_COLOR, UNSURE_COLOR = (0, 114, 178), (213, 94, 0), (240, 228, 66)
DARK, LIGHT = (20, 20, 20), (255, 255, 255)

Rectangle = tuple[int, int, int, int]


def draw(
    photo: Source,
    inspection: Inspection,
    *,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Return the photo, upright, with the dishes drawn in.

    Args:
        photo: the photo that was inspected.
        inspection: of this photo, from `platecheck.Inspector`.
        color: see `platecheck.open_photo`.
        max_pixels: see `platecheck.open_photo`.

    Returns:
        RGB, with `LEAST_SIDE` to `MOST_SIDE` pixels on the longer side.

    Raises:
        PhotoError: the photo cannot be opened.
    """
    picture = Image.fromarray(open_photo(photo, color=color, max_pixels=max_pixels))
    longer = max(picture.size)
    if (scale := min(max(longer, LEAST_SIDE), MOST_SIDE) / longer) != 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    canvas = ImageDraw.Draw(picture)
    text = round(max(picture.size) / 40)  # 16 to 40 pixels
    boxes = [_scaled(dish, scale) for dish in inspection.dishes]
    for dish, box in zip(inspection.dishes, boxes, strict=True):
        _frame(canvas, box, _color(dish), max(2, text // 6))
    placed: list[Rectangle] = []
    for dish, box in zip(inspection.dishes, boxes, strict=True):
        _tag(canvas, dish, box, text, placed)
    return picture


def _scaled(dish: Dish, scale: float) -> Rectangle:
    x0, y0, x1, y1 = (round(side * scale) for side in dish.box)
    return x0, y0, x1, y1


def _color(dish: Dish) -> tuple[int, int, int]:
    known = {CLEAN: CLEAN_COLOR, UNSURE: UNSURE_COLOR}
    return known.get(class_key(dish.label), OTHER_COLOR)


def _frame(
    canvas: ImageDraw.ImageDraw, box: Rectangle, color: tuple[int, int, int], width: int
) -> None:
    """Draw a box with a dark edge, visible on any background."""
    x0, y0, x1, y1 = box
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    canvas.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=DARK, width=width + 2)
    canvas.rectangle((x0, y0, x1, y1), outline=color, width=width)


def _tag(
    canvas: ImageDraw.ImageDraw, dish: Dish, box: Rectangle, text: int, placed: list[Rectangle]
) -> None:
    """Draw icon and text at a box where they cover no other; only the icon where nothing fits."""
    font = ImageFont.load_default(text)
    written = dish.label
    if class_key(dish.label) != UNSURE:
        written += f" {dish.prediction.probability:.0%}"
    length = round(canvas.textlength(written, font=font))
    for width in (text + length + text // 2, text):
        for place in _places(canvas.im.size, box, (width + text // 2, text + text // 2)):
            if not any(_overlap(place, other) for other in placed):
                break
        else:
            continue
        break
    placed.append(place)
    x0, y0, x1, y1 = place
    color = _color(dish)
    canvas.rectangle(place, fill=color, outline=DARK)
    ink = DARK if color == UNSURE_COLOR else LIGHT
    middle = (y0 + y1) // 2
    _icon(canvas, dish, (x0 + text // 4, middle - text // 2, text), ink)
    if x1 - x0 > 2 * text:
        canvas.text((x0 + text * 5 // 4 + text // 4, middle), written, ink, font, anchor="lm")


def _places(size: Sequence[int], box: Rectangle, tag: tuple[int, int]) -> list[Rectangle]:
    """Return where a tag may stand, within the picture: above the box, in it, or below it."""
    width, height = min(tag[0], size[0]), min(tag[1], size[1])
    x0, y0, x1, y1 = box
    corners = [(x0, y0 - height), (x0, y0), (x1 - width, y0), (x0, y1 - height), (x0, y1)]
    places = []
    for left, top in corners:
        x = min(max(left, 0), size[0] - width)
        y = min(max(top, 0), size[1] - height)
        places.append((x, y, x + width - 1, y + height - 1))
    return places


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _icon(
    canvas: ImageDraw.ImageDraw,
    dish: Dish,
    place: tuple[int, int, int],
    ink: tuple[int, int, int],
) -> None:
    """Draw a check mark, a cross or a question mark; `place` is its left, top and side."""
    left, top, side = place

    def line(*points: tuple[float, float]) -> None:
        spots = [(left + x * side, top + y * side) for x, y in points]
        canvas.line(spots, ink, max(2, side // 7), joint="curve")

    name = class_key(dish.label)
    if name == CLEAN:
        line((0.15, 0.55), (0.4, 0.8), (0.85, 0.25))
    elif name == UNSURE:
        font = ImageFont.load_default(side)
        canvas.text((left + side / 2, top + side / 2), "?", ink, font, anchor="mm")
    else:
        line((0.2, 0.2), (0.8, 0.8))
        line((0.8, 0.2), (0.2, 0.8))
