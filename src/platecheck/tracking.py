"""Follow dishes through the frames of a video and report each once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Prediction
from platecheck.detector import Box
from platecheck.inspector import Dish
from platecheck.model_info import UNSURE

Boxes = NDArray[np.float64]  # [..., 4]: x0, y0, x1, y1 in pixels

MIN_SEEN = 0.5  # share of the frames from first to last in which a dish must be found
MIN_JUDGED = 0.25  # share of a dish's frames that must be good enough to judge it
SAME_DISH = 0.6  # IoU above which two tracks follow the same dish
AT_REST = 0.6  # IoU above which a dish has not moved
# A dish is the same if it is within reach (in mean sides of the two boxes), further while its
# speed is not known well, and if the areas of the boxes are similar.
REACH, REACH_IF_NEW = 0.35, 0.6
MAX_GROWTH = 2.5


@dataclass(frozen=True, slots=True)
class TrackReport:
    """A dish that was followed through a video.

    Attributes:
        track: 1 for the first dish reported, then 2, ….
        label: decided from all frames, see `decide`.
        probability: mean probability of the most probable class, in [0, 1].
        time: of the best frame, in seconds since the start.
        box: in the best frame, pixels.
        frames: number of frames in which the dish was found.
        first, last: when it was first and last seen, in seconds since the start.
        frame: what was passed to `Tracker.update` with the best frame.
    """

    track: int
    label: str
    probability: float
    time: float
    box: Box
    frames: int
    first: float
    last: float
    frame: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A dish in one frame; `cut`: by the edge of the picture."""

    time: float
    box: Boxes
    score: float
    prediction: Prediction
    cut: bool


def decide(sightings: Sequence[Sighting]) -> tuple[str, float]:
    """Return the label of a dish, and the probability of its most probable class.

    The probabilities of the frames are averaged, weighted by the detection score. Frames that cut
    the dish off count only if there are no others; frames that could not be judged (quality, partly
    hidden, not a dish) do not count. The label is the most probable class if its mean reaches the
    threshold and at least `MIN_JUDGED` of the frames count, otherwise `UNSURE`.
    """
    usable = [each for each in sightings if not each.cut] or sightings
    judged = [each for each in usable if _is_judged(each.prediction)]
    used = judged or usable
    classes = list(used[0].prediction.probabilities)
    rows = np.array([[each.prediction.probabilities[name] for name in classes] for each in used])
    mean = np.average(rows, axis=0, weights=[each.score for each in used])
    top = classes[mean.argmax()]
    limits = [each.prediction.threshold for each in used if each.prediction.top_class == top]
    sure = len(judged) >= MIN_JUDGED * len(usable) and mean.max() >= np.mean(limits or [1.0])
    return top if sure else UNSURE, float(mean.max())


def _is_judged(prediction: Prediction) -> bool:
    """Return whether the label follows from the probabilities alone."""
    sure = prediction.probability >= prediction.threshold
    return prediction.label == (prediction.top_class if sure else UNSURE)


class _Track:
    def __init__(self, seen: Sighting, frame: Any, velocity: Boxes | None) -> None:
        self.velocity = np.zeros(2) if velocity is None else velocity  # pixels per second
        self.known = 1 if velocity is None else 4  # frames that the velocity comes from
        self.last = self.anchor = seen  # anchor: where and since when the dish rests
        self.first, self.frames = seen.time, 1
        self.missed = 0  # frames since the last
        self.unseen = 0  # frames in which it should have been in the picture
        self.sightings: list[Sighting] = []
        self.best: dict[str, tuple[Sighting, Any]] = {}  # by the label of the frame
        self.reported = False
        self._remember(seen, frame)

    def predict(self, time: float) -> Boxes:
        """Return the box [4] if the dish goes on as before."""
        return self.last.box + np.tile(self.velocity, 2) * (time - self.last.time)

    def add(self, seen: Sighting, frame: Any) -> None:
        shift = _centre(seen.box) - _centre(self.last.box)
        speed = shift / max(seen.time - self.last.time, 1e-3)
        self.velocity = self.velocity + (speed - self.velocity) / min(self.known, 4)
        if iou(self.anchor.box, seen.box) < AT_REST:
            self.anchor = seen
        self.last, self.missed = seen, 0
        self.frames, self.known = self.frames + 1, self.known + 1
        if not self.reported:
            self._remember(seen, frame)

    def absorb(self, other: "_Track", frame: Any) -> None:
        """Go on where another track of the same dish is."""
        if other.last.time > self.last.time:
            self.add(other.last, frame)
        self.reported |= other.reported

    def _remember(self, seen: Sighting, frame: Any) -> None:
        self.sightings.append(seen)
        best = self.best.get(seen.prediction.label)
        if best is None or _rank(seen) > _rank(best[0]):
            self.best[seen.prediction.label] = (seen, frame)

    def report(self, number: int) -> TrackReport:
        label, probability = decide(self.sightings)
        others = max(self.best.values(), key=lambda best: _rank(best[0]))
        best, frame = self.best.get(label, others)
        x0, y0, x1, y1 = best.box.tolist()
        self.reported, self.sightings, self.best = True, [], {}
        return TrackReport(
            number, label, probability, best.time, (x0, y0, x1, y1), self.frames, self.first,
            self.last.time, frame,
        )  # fmt: skip


class Tracker:
    """Follows dishes and reports each once, when it has left or has come to rest.

    Args:
        min_frames: frames in which a dish must have been found; fewer are taken for false alarms.
        patience: seconds for which a dish may be hidden; after that it has left.
        settle: seconds at rest after which a dish is reported while it is still in the picture.
    """

    def __init__(self, *, min_frames: int = 3, patience: float = 1.0, settle: float = 2.0) -> None:
        self.min_frames, self.patience, self.settle = min_frames, patience, settle
        self.reported = 0
        self._tracks: list[_Track] = []
        self._time, self._gap = 0.0, 0.0  # of the last frame, and between the last two

    def update(
        self, time: float, dishes: Iterable[Dish], size: tuple[int, int], frame: Any = None
    ) -> list[TrackReport]:
        """Add a frame and return the reports that are due.

        Args:
            time: seconds since the start; must not decrease.
            dishes: those of the frame.
            size: height and width of the frame.
            frame: anything; each dish's best frame comes back with its report. At most one per
                label and dish is kept.
        """
        patience = max(self.patience, 4 * self._gap)  # a slow computer sees few frames
        ended = [track for track in self._tracks if time - track.last.time > patience]
        self._tracks = [track for track in self._tracks if track not in ended]
        self._time, self._gap = time, time - self._time
        seen = [_sighting(time, dish, size) for dish in dishes]
        found = self._match(seen, frame)
        for track in [each for each in self._tracks if each not in found]:
            box = track.predict(time)
            track.missed += 1
            track.unseen += not _is_cut(box, size)  # over the edge, it has left
            same = [other for other in found if iou(box, other.last.box) > SAME_DISH]
            if same:  # two tracks of one dish: the one that was found more often stays
                keep, drop = sorted((track, same[0]), key=lambda each: -each.frames)
                keep.absorb(drop, frame)
                self._tracks.remove(drop)
        # A new dish probably moves like the others, as on a belt.
        known = [track.velocity for track in found if track.frames >= self.min_frames]
        velocity = np.median(known, axis=0) if known else None
        taken = [id(track.last) for track in found]
        self._tracks += [_Track(each, frame, velocity) for each in seen if id(each) not in taken]
        settled = [
            track
            for track in self._tracks
            if time - track.anchor.time >= self.settle
            and 2 * sum(each.cut for each in track.sightings) < len(track.sightings)
        ]
        return self._report(ended + settled)

    def finish(self) -> list[TrackReport]:
        """Return the reports of the dishes that are still in the picture, and forget them."""
        ended, self._tracks = self._tracks, []
        return self._report(ended)

    def _match(self, seen: list[Sighting], frame: Any) -> list[_Track]:
        """Add sightings to tracks, the most alike first; return the tracks found."""
        affinity = _affinity(self._tracks, seen)
        found: dict[int, int] = {}  # column of each row
        for flat in np.argsort(-affinity, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(seen))
            if affinity[row, column] <= 0:
                break
            if row not in found and column not in found.values():
                found[row] = column
                self._tracks[row].add(seen[column], frame)
        return [self._tracks[row] for row in found]

    def _report(self, tracks: list[_Track]) -> list[TrackReport]:
        reports = []
        for track in tracks:
            often = track.frames >= max(self.min_frames, MIN_SEEN * (track.frames + track.unseen))
            if often and not track.reported:
                self.reported += 1
                reports.append(track.report(self.reported))
        return reports


def iou(a: Boxes, b: Boxes) -> Boxes:
    """Return the intersection over union of boxes [..., 4] and [..., 4]."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clip(0).prod(-1)
    return np.asarray(common / np.maximum(_area(a) + _area(b) - common, 1e-9))


def _area(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).clip(0).prod(-1))


def _centre(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)


def _affinity(tracks: list[_Track], seen: list[Sighting]) -> Boxes:
    """Return how alike tracks and sightings are, [T, D]; 0 where they cannot be the same dish.

    It is the IoU with the predicted box, plus the closeness (1 at the same place, 0 out of reach)
    to the way from the last to the predicted place: a hidden dish may have stopped anywhere on it.
    """
    if not tracks or not seen:
        return np.zeros((len(tracks), len(seen)))
    boxes = np.array([each.box for each in seen])
    last = np.array([track.last.box for track in tracks])[:, None]
    ahead = np.array([track.predict(seen[0].time) for track in tracks])[:, None]
    start, way = _centre(last), _centre(ahead) - _centre(last)
    along = ((_centre(boxes) - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-9)
    nearest = start + along.clip(0, 1)[..., None] * way
    side = (np.sqrt(_area(last)) + np.sqrt(_area(boxes))) / 2
    reach = np.array([[REACH + REACH_IF_NEW / track.known] for track in tracks])
    far = np.linalg.norm(_centre(boxes) - nearest, axis=-1) / np.maximum(side * reach, 1e-9)
    growth = np.maximum(_area(boxes), 1) / np.maximum(_area(last), 1)
    possible = (far < 1) & (growth < MAX_GROWTH) & (growth > 1 / MAX_GROWTH)
    missed = np.array([[track.missed] for track in tracks])
    return np.asarray(np.where(possible, iou(ahead, boxes) + 1 - far, 0) / (1 + missed))


def _sighting(time: float, dish: Dish, size: tuple[int, int]) -> Sighting:
    box = np.array(dish.box, np.float64)
    return Sighting(time, box, dish.score, dish.prediction, _is_cut(box, size))


def _is_cut(box: Boxes, size: tuple[int, int]) -> bool:
    """Return whether the edge of the picture cuts a box [4] off; not if it fills the picture."""
    height, width = size
    at_edge = min(box[0], box[1], width - box[2], height - box[3]) < max(size) / 100
    return bool(at_edge and _area(box) < height * width / 2)


def _rank(seen: Sighting) -> tuple[bool, float]:
    """Order the frames of a dish; of those that cut it off, the largest part is best."""
    sure = seen.score * seen.prediction.probability
    return not seen.cut, float(_area(seen.box)) if seen.cut else sure
