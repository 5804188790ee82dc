"""Follow dishes through the frames of a video and report each once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Prediction
from platecheck.model_info import UNSURE

Box = tuple[float, float, float, float]
Boxes = NDArray[np.float64]  # [..., 4]: x0, y0, x1, y1 in pixels

MIN_SEEN = 0.5  # share of the frames from first to last in which a dish must be found
SAME_DISH = 0.6  # IoU above which two boxes in one frame are the same dish
AT_REST = 0.6  # IoU above which a dish has not moved
REACH = 0.35  # of the association, in mean sides of the two boxes, for a track of known speed
MAX_GROWTH = 2.5  # ratio of areas between frames; more for a dish that is just entering


class Seen(Protocol):
    """What a tracker reads of a dish in a frame: see `platecheck.inspector.Dish`."""

    @property
    def box(self) -> Box: ...
    @property
    def score(self) -> float: ...
    @property
    def prediction(self) -> Prediction: ...


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
    the dish off count only if there are no others. Frames that could not be judged (quality, partly
    hidden, not a dish) do not count. The label is the most probable class if its mean reaches the
    threshold, otherwise `UNSURE`, as it is if no frame counts.
    """
    counted = [each for each in sightings if _is_judged(each.prediction)]
    counted = [each for each in counted if not each.cut] or counted
    used = counted or sightings
    weights = np.array([each.score for each in used])
    classes = list(used[0].prediction.probabilities)
    rows = np.array([[each.prediction.probabilities[name] for name in classes] for each in used])
    mean = weights @ rows / weights.sum()
    top = int(mean.argmax())
    limits = [
        each.prediction.threshold for each in used if each.prediction.top_class == classes[top]
    ]
    sure = counted and mean[top] >= np.mean(limits or [1.0])
    return classes[top] if sure else UNSURE, float(mean[top])


def _is_judged(prediction: Prediction) -> bool:
    """Return whether the label follows from the probabilities alone."""
    sure = prediction.probability >= prediction.threshold
    return prediction.label == (prediction.top_class if sure else UNSURE)


class _Track:
    def __init__(self, seen: Sighting, frame: Any, velocity: Boxes | None) -> None:
        self.velocity = np.zeros(2) if velocity is None else velocity  # [2], pixels per second
        self.known = 1 if velocity is None else 4  # frames from which the velocity is known
        self.last = self.anchor = seen  # anchor: where and since when it rests
        self.first, self.frames, self.missed, self.unseen = seen.time, 1, 0, 0
        self.sightings: list[Sighting] = []
        self.best: dict[str, tuple[Sighting, Any]] = {}  # by label of the frame
        self.reported = False
        self._remember(seen, frame)

    def add(self, seen: Sighting, frame: Any) -> None:
        self.missed = 0
        self.frames, self.known = self.frames + 1, self.known + 1
        speed = _shift(self.last, seen) / max(seen.time - self.last.time, 1e-3)
        self.velocity = self.velocity + (speed - self.velocity) / min(self.known - 1, 4)
        if _iou(self.anchor.box, seen.box) < AT_REST:
            self.anchor = seen
        self.last = seen
        if not self.reported:
            self._remember(seen, frame)

    def predicted(self, time: float) -> Boxes:
        """Return the box [4] if the dish goes on as before."""
        return self.last.box + np.tile(self.velocity, 2) * (time - self.last.time)

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
        best, frame = self.best.get(label) or max(
            self.best.values(), key=lambda pair: _rank(pair[0])
        )
        x0, y0, x1, y1 = map(float, best.box)
        times = (self.first, self.last.time)
        self.reported, self.sightings, self.best = True, [], {}
        return TrackReport(
            number, label, probability, best.time, (x0, y0, x1, y1), self.frames, *times, frame
        )


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
        self._time: float | None = None
        self._interval = 0.0  # mean time between frames

    def update(
        self, time: float, dishes: Iterable[Seen], size: tuple[int, int], frame: Any = None
    ) -> list[TrackReport]:
        """Add a frame and return the reports that are due.

        Args:
            time: seconds since the start; must not decrease.
            dishes: those of the frame.
            size: height and width of the frame.
            frame: anything; each dish's best frame comes back with its report. At most one per
                label and dish is kept.
        """
        ended = self._lost(time)
        seen = [_sighting(time, dish, size) for dish in dishes]
        found = self._match(seen, frame)
        for track in [each for each in self._tracks if each not in found]:
            now = track.predicted(time)
            track.missed += 1
            track.unseen += not _is_cut(now, size)  # over the edge, it has left
            same = [other for other in found if _iou(now, other.last.box) > SAME_DISH]
            if same:  # two tracks of one dish: the one that was found more often stays
                keep, drop = sorted((track, same[0]), key=lambda each: -each.frames)
                keep.absorb(drop, frame)
                self._tracks.remove(drop)
        # A new dish probably moves like the others, as on a belt.
        known = [track.velocity for track in found if track.frames >= self.min_frames]
        velocity = np.median(known, axis=0) if known else None
        taken = {id(track.last) for track in found}
        self._tracks += [_Track(each, frame, velocity) for each in seen if id(each) not in taken]
        settled = [
            track
            for track in self._tracks
            if time - track.anchor.time >= self.settle
            and 2 * sum(each.cut for each in track.sightings) < len(track.sightings)
        ]
        return self._report(ended) + self._report(settled)

    def finish(self) -> list[TrackReport]:
        """Return the reports of the dishes that are still in the picture, and forget them."""
        ended, self._tracks = self._tracks, []
        return self._report(ended)

    def _lost(self, time: float) -> list[_Track]:
        """Remove and return the tracks that have not been found for too long."""
        patience = max(self.patience, 4 * self._interval)  # a slow computer sees few frames
        lost = [
            track
            for track in self._tracks
            if time - track.last.time > patience / (1 if track.frames >= self.min_frames else 2)
        ]
        self._tracks = [track for track in self._tracks if track not in lost]
        if self._time is not None:
            change = time - self._time - self._interval
            self._interval += change * (0.2 if self._interval else 1.0)
        self._time = time
        return lost

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


def _iou(a: Boxes, b: Boxes) -> float:
    return float(iou(a[None], b[None])[0, 0])


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union [N, M] of boxes [N, 4] and [M, 4]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    whole = _area(a)[:, None] + _area(b)[None] - common
    return np.asarray(common / np.maximum(whole, 1e-9))


def _area(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).clip(0).prod(-1))


def _affinity(tracks: list[_Track], seen: list[Sighting]) -> NDArray[np.float64]:
    """Return how alike tracks and sightings are, [T, D]; 0 where they cannot be the same dish.

    It is the IoU with the predicted box, plus the closeness (1 at the same place, 0 out of reach)
    to the way from the last to the predicted place: a hidden dish may have stopped anywhere on it.
    """
    if not tracks or not seen:
        return np.zeros((len(tracks), len(seen)))
    last, boxes = (np.array([each.box for each in s]) for s in ([t.last for t in tracks], seen))
    elapsed = np.array([[seen[0].time - track.last.time] for track in tracks])
    way = np.array([track.velocity for track in tracks]) * elapsed
    start, centres = _centre(last)[:, None], _centre(boxes)[None]
    along = ((centres - start) * way[:, None]).sum(-1) / np.maximum((way**2).sum(-1), 1e-9)[:, None]
    nearest = start + along.clip(0, 1)[..., None] * way[:, None]
    side = (np.sqrt(_area(last))[:, None] + np.sqrt(_area(boxes))[None]) / 2
    reach = np.array([[REACH + 0.6 / t.known + 0.03 * t.missed] for t in tracks])
    far = np.linalg.norm(centres - nearest, axis=-1) / np.maximum(side * reach, 1e-9)
    growth = np.abs(np.log(np.maximum(_area(boxes), 1)[None] / np.maximum(_area(last), 1)[:, None]))
    most = np.array([[MAX_GROWTH if t.frames > 2 else 2.5 * MAX_GROWTH] for t in tracks])
    possible = (far < 1) & (growth < np.log(most))
    missed = np.array([[track.missed] for track in tracks])
    alike = iou(last + np.tile(way, 2), boxes) + 1 - far
    return np.asarray(np.where(possible, alike, 0) / (1 + missed))


def _centre(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)


def _sighting(time: float, dish: Seen, size: tuple[int, int]) -> Sighting:
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


def _shift(before: Sighting, after: Sighting) -> Boxes:
    """Return the movement [2] between two frames; of a cut box, of the edges that moved most."""
    moved = (after.box - before.box).reshape(2, 2)  # upper left, lower right
    if before.cut or after.cut:
        return np.asarray(np.take_along_axis(moved, np.abs(moved).argmax(0)[None], 0)[0])
    return np.asarray(moved.mean(0))
