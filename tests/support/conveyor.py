"""Conveyor belts under a fixed camera whose dishes, boxes and labels are known."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Prediction
from platecheck.data.render import render_dish
from platecheck.data.render.tabletops import BACKGROUNDS
from platecheck.detector import Box
from platecheck.model_info import UNSURE
from platecheck.tracking import TrackReport, iou

HEIGHT, WIDTH = 360, 640
SKIN = (196, 148, 120)
COARSE = 4  # the truth is computed at a fraction of the size
LEAST_FOUND = 0.3  # share of a dish that must be visible for a detector to find it

# By name: arguments of `Conveyor`.
SCENARIOS: dict[str, dict[str, Any]] = {
    "steady": {},
    "slow": {"speeds": (40, 80), "dishes": 8},
    "fast": {"speeds": (450, 700)},
    "changing": {"speeds": (60, 500)},
    "queue": {"gaps": (0.0, 0.05)},
    "overlaps": {"gaps": (-0.22, 0.0)},
    "pauses": {"pauses": 0.5},
    "hands": {"hands": 3.0},
    "two lanes": {"lanes": 2, "speeds": (100, 300)},
    "everything": {
        "lanes": 2, "speeds": (60, 400), "gaps": (-0.1, 0.8), "pauses": 0.3, "hands": 5.0,
        "flicker": 0.25,
    },
}  # fmt: skip


@dataclass(frozen=True)
class BeltDish:
    """A dish on a belt: `at` is its centre, x along the belt and y in the picture, in pixels."""

    label: str
    at: tuple[float, float]
    mask: NDArray[np.uint8]  # [h, w], 255 on the dish
    pixels: NDArray[np.uint8] = field(repr=False)  # [h, w, 3]


@dataclass(frozen=True)
class TrueDish:
    """A dish in a frame: the box of what is visible, and the visible share of the whole dish."""

    dish: int
    label: str
    box: Box
    visible: float


class Conveyor:
    """A belt that carries dishes from left to right.

    Args:
        seed: of everything drawn.
        dishes: their number.
        lanes: 1 or 2.
        speeds: lowest and highest speed in pixels per second; changes every few seconds.
        gaps: between dishes, in widths of a dish; negative ones overlap.
        pauses: probability that the belt stands still for the next few seconds.
        hands: seconds between hands that cross the picture; 0 for none.
        flicker: amplitude of the light's flicker, 0 to 1.
        rendered: whether the dishes are rendered; otherwise they are bright ellipses, green if
            clean and red if dirty.
        fps: frames per second.
    """

    def __init__(
        self,
        seed: int,
        *,
        dishes: int = 12,
        lanes: int = 1,
        speeds: tuple[float, float] = (150, 250),
        gaps: tuple[float, float] = (0.1, 1.5),
        pauses: float = 0.0,
        hands: float = 0.0,
        flicker: float = 0.05,
        rendered: bool = False,
        fps: float = 30,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.fps, self.flicker = fps, flicker
        self.dishes: list[BeltDish] = []
        ends = [0.0] * lanes
        for number in range(dishes):
            lane = number % lanes
            high = HEIGHT / lanes * rng.uniform(0.5, 0.75 if lanes == 1 else 0.9)
            mask, pixels, label = (_rendered_dish if rendered else _drawn_dish)(rng, int(high))
            width = mask.shape[1]
            if number >= lanes:
                ends[lane] -= rng.uniform(*gaps) * width
            y = (lane + 0.5 + rng.uniform(-0.03, 0.03)) * HEIGHT / lanes
            self.dishes.append(BeltDish(label, (ends[lane] - width / 2, y), mask, pixels))
            ends[lane] -= width
        self._travel = self._drive(rng, WIDTH - min(ends), speeds, pauses)
        seconds = len(self._travel) / fps
        count = int(seconds / hands) if hands else 0
        # (start, x at the belt, side it comes from)
        self._hands = [
            ((k + rng.uniform(0.1, 0.8)) * hands, rng.uniform(80, WIDTH - 80), rng.integers(2))
            for k in range(count)
        ]
        self._rng_seed, self.rendered = seed, rendered

    def _drive(
        self, rng: np.random.Generator, length: float, speeds: tuple[float, float], pauses: float
    ) -> NDArray[np.float64]:
        """Return how far the belt has moved in each frame, until all dishes have passed."""
        steps: list[float] = []
        while sum(steps) < length:
            speed = 0.0 if rng.random() < pauses else rng.uniform(*speeds)
            steps += [speed / self.fps] * int(rng.uniform(1.5, 4) * self.fps)
        ramp = np.full(int(0.4 * self.fps), 1 / int(0.4 * self.fps))  # a belt starts gently
        return np.convolve(steps, ramp).cumsum()

    def __len__(self) -> int:
        return len(self._travel)

    def time(self, number: int) -> float:
        return number / self.fps

    def _hand(self, number: int, step: int = 1) -> NDArray[np.uint8]:
        """Return the mask of the hands in a frame, at 1 / step of its size."""
        mask = np.zeros((HEIGHT // step, WIDTH // step), np.uint8)
        for start, x, side in self._hands:
            share = (self.time(number) - start) / 0.9
            if 0 < share < 1:
                reach = 0.85 * np.sin(np.pi * share) * HEIGHT
                tip = (int(x + 60 * share) // step, int(reach if side else HEIGHT - reach) // step)
                root = (int(x - 40) // step, 0 if side else HEIGHT // step)
                cv2.line(mask, root, tip, 255, 44 // step)
                cv2.circle(mask, tip, 38 // step, 255, -1)
        return mask

    def _placed(self, number: int, step: int = 1) -> Iterator[tuple[int, Any, Any]]:
        """Yield the dishes in a frame: number, where in the frame, and which part of the dish."""
        for k, dish in enumerate(self.dishes):
            height, width = (-(-side // step) for side in dish.mask.shape)
            left = round((dish.at[0] + self._travel[number]) / step - width / 2)
            top = round(dish.at[1] / step - height / 2)
            x0, x1 = max(left, 0), min(left + width, WIDTH // step)
            y0, y1 = max(top, 0), min(top + height, HEIGHT // step)
            if x0 < x1 and y0 < y1:
                part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
                yield k, (slice(y0, y1), slice(x0, x1)), part

    def truth(self, number: int) -> list[TrueDish]:
        """Return the dishes of a frame of which anything can be seen, to `COARSE` pixels."""
        shown = np.full((HEIGHT // COARSE, WIDTH // COARSE), -1, np.int16)  # number of the dish
        masks = {}
        for k, target, part in self._placed(number, COARSE):
            masks[k] = self.dishes[k].mask[::COARSE, ::COARSE] > 127
            shown[target][masks[k][part]] = k
        shown[self._hand(number, COARSE) > 0] = -1
        found = []
        for k, mask in masks.items():
            rows, columns = (shown == k).nonzero()
            if len(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                scaled = tuple(float(COARSE * side) for side in box)
                found.append(TrueDish(k, self.dishes[k].label, scaled, len(rows) / mask.sum()))
        return found

    @cached_property
    def _belt(self) -> NDArray[np.uint8]:
        """A strip of the belt, [H, 2 W, 3], that continues into itself."""
        rng = np.random.default_rng([self._rng_seed, 1])
        if not self.rendered:
            half = rng.integers(40, 60, (HEIGHT, WIDTH, 3), np.uint8)
        else:
            background = BACKGROUNDS[rng.integers(2, len(BACKGROUNDS))]
            photo = render_dish(rng, size=512, background=background)
            # What lies under the dish is not known: the upper left corner shows none of it.
            free = photo.photo[:, :] if not photo.dish_mask.any() else _free_corner(photo)
            half = cv2.resize(free, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        return np.concatenate([half, half[:, ::-1]], 1)

    def render(self, number: int) -> NDArray[np.uint8]:
        """Return a frame, uint8 [H, W, 3] RGB."""
        shift = round(self._travel[number]) % (2 * WIDTH)
        frame = np.roll(self._belt, shift, 1)[:, :WIDTH].copy()
        for k, target, part in self._placed(number):
            dish = self.dishes[k]
            shade = cv2.GaussianBlur(np.roll(dish.mask, 5, 0), (0, 0), 6)[part][..., None]
            frame[target] = frame[target] * (1 - 0.4 * shade / np.float32(255))
            alpha = cv2.GaussianBlur(dish.mask, (0, 0), 1)[part][..., None] / np.float32(255)
            frame[target] = frame[target] + alpha * (dish.pixels[part] - frame[target].astype("f4"))
        hand = cv2.GaussianBlur(self._hand(number), (0, 0), 1.5)[..., None] / np.float32(255)
        light = 1 - self.flicker * (0.5 + 0.5 * np.sin(number * 2.1))
        lit = (frame + hand * (np.float32(SKIN) - frame)) * np.float32(light)
        return np.asarray(lit.clip(0, 255), np.uint8)


def _free_corner(photo: Any) -> NDArray[np.uint8]:
    """Return the largest strip of a photo above or below its dish, at least 8 pixels high."""
    rows = photo.dish_mask.any(1).nonzero()[0]
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    above, below = photo.photo[: max(top - 12, 8)], photo.photo[min(bottom + 12, 504) :]
    return above if len(above) >= len(below) else below


def _drawn_dish(
    rng: np.random.Generator, high: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Draw an ellipse, green if clean and red if dirty."""
    label = ("clean", "dirty")[rng.integers(2)]
    width = int(high * rng.uniform(0.8, 1.3))
    mask = np.zeros((high, width), np.uint8)
    cv2.ellipse(mask, (width // 2, high // 2), (width // 2 - 1, high // 2 - 1), 0, 0, 360, 255, -1)
    color = (140, 240, 140) if label == "clean" else (240, 140, 140)
    return mask, np.full((high, width, 3), color, np.uint8), label


def _rendered_dish(
    rng: np.random.Generator, high: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    label = ("clean", "dirty")[rng.integers(2)]
    dish = render_dish(rng, size=256, label=label)
    rows, columns = dish.dish_mask.any(1).nonzero()[0], dish.dish_mask.any(0).nonzero()[0]
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    mask, pixels = dish.dish_mask[part].astype(np.uint8) * 255, dish.photo[part]
    shape = (max(1, round(mask.shape[1] * high / mask.shape[0])), high)
    scale = cv2.INTER_AREA if high < mask.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(mask, shape), cv2.resize(pixels, shape, interpolation=scale), label


@dataclass(frozen=True)
class FakeDish:
    """What an oracle finds."""

    box: Box
    score: float
    prediction: Prediction


def predicted(
    label: str, probability: float = 0.95, threshold: float = 0.7, top: str = "clean"
) -> Prediction:
    """A prediction with this label; `top` is the most probable class where it is unsure."""
    top = top if label == UNSURE else label
    other = "clean" if top == "dirty" else "dirty"
    probabilities = {top: probability, other: 1 - probability}
    return Prediction("", label, probability, probabilities, threshold=threshold)


@dataclass
class Oracle:
    """A detector and classifier that know the truth but err as real ones do.

    Attributes:
        rng: of the errors.
        miss: probability of missing a dish that is wholly visible.
        jitter: standard deviation of the edges of boxes, in sides.
        wrong, unsure: probabilities of a wrong and an unsure label.
        alarms: false boxes per frame.
        doubles: probability of a second, smaller box on the same dish.
    """

    rng: np.random.Generator
    miss: float = 0.1
    jitter: float = 0.03
    wrong: float = 0.03
    unsure: float = 0.06
    alarms: float = 0.1
    doubles: float = 0.02

    def look(self, truth: Iterable[TrueDish]) -> list[FakeDish]:
        """Return what is found in a frame."""
        found = []
        for dish in truth:
            seen = dish.visible > LEAST_FOUND
            if not seen or self.rng.random() < self.miss + 0.5 * (1 - dish.visible):
                continue
            found.append(FakeDish(self._box(dish.box), self._score(), self._predict(dish)))
            if self.rng.random() < self.doubles:
                x0, y0, x1, y1 = dish.box
                dx, dy = (x1 - x0) / 5, (y1 - y0) / 5
                inner = self._box((x0 + dx, y0 + dy, x1 - dx, y1 - dy))
                found.append(FakeDish(inner, 0.4, self._predict(dish)))
        for _ in range(self.rng.poisson(self.alarms)):
            x, y, side = self.rng.uniform((0, 0, 40), (WIDTH - 40, HEIGHT - 40, 160))
            box = (x, y, min(x + side, WIDTH), min(y + side, HEIGHT))
            label = str(self.rng.choice(["clean", "dirty"]))
            found.append(FakeDish(box, self.rng.uniform(0.3, 0.6), predicted(label, 0.85)))
        return found

    def _score(self) -> float:
        return float(self.rng.uniform(0.5, 0.95))

    def _box(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        sides = np.array([x1 - x0, y1 - y0] * 2)
        moved = np.array(box) + self.rng.normal(0, self.jitter, 4) * sides
        x0, y0, x1, y1 = moved.clip(0, (WIDTH, HEIGHT) * 2).tolist()
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)

    def _predict(self, dish: TrueDish) -> Prediction:
        if dish.visible < 0.7:  # as an inspector caps what is partly hidden
            return predicted(UNSURE, 0.9, top=dish.label)
        other = "dirty" if dish.label == "clean" else "clean"
        roll = self.rng.random()
        if roll < self.wrong:
            return predicted(other, 0.95)
        if roll < self.wrong + self.unsure:
            top = str(self.rng.choice([dish.label, other]))
            return predicted(UNSURE, 0.6, top=top)
        return predicted(dish.label, float(self.rng.uniform(0.85, 0.99)))


@dataclass(frozen=True)
class Score:
    """How well the dishes of a belt were reported.

    Attributes:
        dishes: number of dishes.
        right, unsure, wrong: dishes reported once, by their label.
        missed, twice: dishes never reported, and reported more than once.
        none: reports where there is no dish.
    """

    dishes: int = 0
    right: int = 0
    unsure: int = 0
    wrong: int = 0
    missed: int = 0
    twice: int = 0
    none: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def judge(conveyor: Conveyor, reports: Iterable[TrackReport]) -> Score:
    """Compare reports with the truth at the time of their best frames."""
    by_dish: dict[int, list[str]] = {k: [] for k in range(len(conveyor.dishes))}
    score = Score(dishes=len(by_dish))
    for report in reports:
        truth = conveyor.truth(round(report.time * conveyor.fps))
        boxes = np.array([dish.box for dish in truth]).reshape(-1, 4)
        alike = iou(np.array(report.box), boxes)
        if not alike.size or alike.max() < 0.3:
            score += Score(none=1)
        else:
            by_dish[truth[int(alike.argmax())].dish].append(report.label)
    for k, labels in by_dish.items():
        if len(labels) != 1:
            score += Score(twice=1) if labels else Score(missed=1)
        elif labels[0] == UNSURE:
            score += Score(unsure=1)
        else:
            right = labels[0] == conveyor.dishes[k].label
            score += Score(right=1) if right else Score(wrong=1)
    return score
