"""Find the dishes in a photo, with NumPy and ONNX Runtime only."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from platecheck.errors import ModelError
from platecheck.model_file import BUNDLED_DETECTORS, ModelSource, open_session, read_model
from platecheck.model_info import DetectorInfo, first_line, read_detector_info
from platecheck.photo import resize_photo

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

PADDING = 114  # grey level beside and below the photo
MAX_CANDIDATES = 1000  # boxes that non-maximum suppression looks at, best first
MAX_DISHES = 100


@dataclass(frozen=True, slots=True)
class Detection:
    """One dish, in pixels of the photo; `score` is in [0, 1]."""

    box: Box
    score: float


class Detector:
    """An exported detector.

    Thread-safe. Pickling stores the path, and unpickling loads the file again; of a detector that
    was loaded from bytes or an open file, it stores the bytes.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, info: DetectorInfo, fingerprint: str
    ) -> None:
        """Wrap an existing session; `fingerprint` is the SHA-256 of the file. See `load`."""
        self.session = session
        self.info = info
        self.fingerprint = fingerprint
        self._origin: Path | str | bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is None:
            raise TypeError("only a detector that came from Detector.load can be pickled")
        return _load_again, (self._origin, self.session.get_providers(), self.fingerprint)

    @classmethod
    def load(
        cls, path: ModelSource | None = None, *, providers: Sequence[str] | None = None
    ) -> "Detector":
        """Load an exported detector.

        Args:
            path: an ONNX file, its bytes, an open binary file, or one of `BUNDLED_DETECTORS`
                [default: the first of these].
            providers: ONNX Runtime execution providers [default: the CPU].

        Raises:
            ModelError: the file is missing or not a detector, or a provider is unavailable.
        """
        content, name, origin = read_model(path, BUNDLED_DETECTORS)
        session = open_session(content, name, providers)
        info = read_detector_info(session.get_modelmeta().custom_metadata_map, name)
        detector = cls(session, info, hashlib.sha256(content).hexdigest())
        try:
            fits = detector._fits_metadata()
        except (ModelError, UnicodeDecodeError):  # the latter for a corrupt tensor name
            fits = False
        if not fits:
            raise ModelError(f"{name} has inputs or outputs that do not match its metadata")
        detector._origin = origin
        return detector

    def _fits_metadata(self) -> bool:
        inputs, size = self.session.get_inputs(), self.info.size
        outputs = {each.name: each.type for each in self.session.get_outputs()}
        declared = (
            len(inputs) == 1
            and inputs[0].type == "tensor(uint8)"
            and inputs[0].shape[1:] == [size, size, 3]
            and outputs.get("boxes") == outputs.get("scores") == "tensor(float)"
        )
        if not declared:
            return False
        # Output shapes are only known after a run; two photos check the batch dimension.
        pixels = np.stack([np.full((size, size, 3), level, np.uint8) for level in (0, 255)])
        boxes, scores = self._run(pixels)
        return (
            boxes.ndim == 3
            and boxes.shape == (2, boxes.shape[1], 4)
            and scores.shape == boxes.shape[:2]
        )

    @property
    def id(self) -> str:
        """Recipe and the first 12 digits of the file's SHA-256."""
        return f"{self.info.recipe}-{self.fingerprint[:12]}"

    def detect(
        self, pixels: NDArray[np.uint8], *, threshold: float | None = None
    ) -> list[Detection]:
        """Find the dishes in a photo.

        Args:
            pixels: uint8 [H, W, 3], RGB, of any size.
            threshold: minimum score [default: the one in the file].

        Returns:
            at most `MAX_DISHES`, within the photo, best first.

        Raises:
            ModelError: ONNX Runtime cannot run the model, or an output is not finite.
        """
        height, width = pixels.shape[:2]
        square, scale = letterbox(pixels, self.info.size)
        boxes, scores = self._run(square[None])
        least = self.info.threshold if threshold is None else threshold
        found = boxes[0] / scale
        found[:, 0::2] = found[:, 0::2].clip(0, width)
        found[:, 1::2] = found[:, 1::2].clip(0, height)
        sides = found[:, 2:] - found[:, :2]
        usable = np.flatnonzero((scores[0] >= least) & (sides.min(axis=1) > 0))
        usable = usable[np.argsort(-scores[0][usable], kind="stable")][:MAX_CANDIDATES]
        kept = usable[suppress(found[usable], self.info.nms_iou)][:MAX_DISHES]
        return [
            Detection((x0, y0, x1, y1), score)
            for (x0, y0, x1, y1), score in zip(
                found[kept].tolist(), scores[0][kept].tolist(), strict=True
            )
        ]

    def _run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes [N, A, 4] and scores [N, A] of letterboxed photos."""
        try:
            name = self.session.get_inputs()[0].name
            boxes, scores = self.session.run(["boxes", "scores"], {name: pixels})
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise ModelError(f"the detector cannot be run: {first_line(error)}") from error
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelError("the detector's outputs are not finite numbers: its file is damaged")
        return boxes, scores


def letterbox(pixels: NDArray[np.uint8], size: int) -> tuple[NDArray[np.uint8], float]:
    """Scale a photo to fit a square, at the upper left; return it and the scale."""
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    resized = (max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.full((size, size, 3), PADDING, np.uint8)
    square[: resized[0], : resized[1]] = resize_photo(pixels, resized)
    return square, scale


def suppress(boxes: NDArray[np.float32], limit: float) -> NDArray[np.intp]:
    """Return which boxes [N, 4], best first, overlap no better one by an IoU above `limit`."""
    kept = []
    left = np.arange(len(boxes))
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(best)
        left = rest[iou(boxes[best], boxes[rest]) <= limit]
    return np.array(kept, np.intp)


def iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of a box [4] with others [N, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - shared
    ratio: NDArray[np.float32] = shared / np.maximum(union, np.finfo(np.float32).tiny)
    return ratio


def _load_again(origin: Path | str | bytes, providers: Sequence[str], fingerprint: str) -> Detector:
    """Load a pickled detector; raise ModelError if its file is gone or has changed."""
    detector = Detector.load(origin, providers=providers)
    if detector.fingerprint != fingerprint:
        raise ModelError(f"{origin!s} has changed since the detector was pickled")
    return detector
