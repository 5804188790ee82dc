"""Find the dishes in a photo, with NumPy and ONNX Runtime only."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.errors import ModelError, PhotoError
from platecheck.model_file import BUNDLED_DETECTORS, OnnxModel, open_session, read_model
from platecheck.model_info import DetectorInfo, read_detector_info
from platecheck.photo import photo_name, resize_photo

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

PADDING = 114  # grey level beside and below the photo
MAX_CANDIDATES = 1000  # boxes that non-maximum suppression looks at, best first
MAX_DISHES = 100
_NO_PIXELS = "is not a uint8 array [height, width, 3]; open_photo makes one of a file"


@dataclass(frozen=True, slots=True)
class Detection:
    """One dish, in pixels of the photo; `score` is in [0, 1]."""

    box: Box
    score: float


class Detector(OnnxModel[DetectorInfo]):
    """An exported model that finds dishes."""

    BUNDLED = BUNDLED_DETECTORS

    @staticmethod
    def _read_info(metadata: dict[str, str], name: str) -> DetectorInfo:
        return read_detector_info(metadata, name)

    def _fits_metadata(self) -> bool:
        types = {each.name: each.type for each in self.session.get_outputs()}
        if not (
            self._takes_photos() and types.get("boxes") == types.get("scores") == "tensor(float)"
        ):
            return False
        found = self._run(self._two_photos(), ["boxes", "scores"])
        shape = found["scores"].shape
        return len(shape) == 2 and shape[0] == 2 and found["boxes"].shape == (*shape, 4)

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
            PhotoError: it is no such array.
            ModelError: ONNX Runtime cannot run the model, or an output is not finite.
        """
        is_photo = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.size
        if not is_photo or pixels.ndim != 3 or pixels.shape[-1] != 3:
            raise PhotoError(photo_name(pixels), _NO_PIXELS)
        height, width = pixels.shape[:2]
        square, scale = letterbox(pixels, self.info.size)
        boxes, scores = self._run(square[None], ["boxes", "scores"]).values()
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


def is_detector(path: Path) -> bool:
    """Return whether a file is an ONNX model with the metadata of a detector."""
    try:
        content, name, _ = read_model(path)
        metadata = open_session(content, name, None).get_modelmeta().custom_metadata_map
        read_detector_info(metadata, name)
    except ModelError:
        return False
    return True


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
