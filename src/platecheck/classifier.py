"""Load an exported model and classify photos with NumPy and ONNX Runtime only."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platecheck.errors import PhotoError, warn_renamed
from platecheck.model_file import BUNDLED_MODELS, DEFAULT, OnnxModel, find_model
from platecheck.model_info import CLEAN, UNSURE, ModelInfo, class_key, read_info
from platecheck.photo import MAX_PIXELS, Color, Source, open_reduced, photo_name, resize_photo
from platecheck.quality import OK, measure
from platecheck.stream import stream

__all__ = [
    "BUNDLED_MODELS", "DEFAULT", "Classifier", "Model", "ModelOutputs", "Prediction", "Source",
    "find_model", "predict_batch",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one photo; `heatmap` is ignored by comparison and hashing.

    Attributes:
        source: path or name of the photo.
        label: the predicted class, `UNSURE` or `NO_DISH`; "" if the photo could not be
            opened.
        probability: probability of `top_class`, in [0, 1], also where `label` is `UNSURE` or
            `NO_DISH`; 0 if the photo could not be opened.
        probabilities: by class, summing to 1; empty if the photo could not be opened.
        error: why the photo could not be opened.
        threshold: minimum probability at which `top_class` is predicted; below it: unsure.
        ood_score: out-of-distribution score; None if the model has no such output.
        heatmap: float32 [h, w] in [0, 1], how dirty each cell looks, from the upper left; None if
            the model has no such output.
        quality: "ok", or why the photo is not good enough to call a dish clean, a key of
            `platecheck.quality.ADVICE`; a dish that would be clean is then unsure.
    """

    source: str
    label: str = ""
    probability: float = 0.0
    probabilities: dict[str, float] = field(default_factory=dict, hash=False)
    error: PhotoError | None = None
    threshold: float = 0.0
    ood_score: float | None = None
    heatmap: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    quality: str = OK

    def with_quality(self, quality: str) -> "Prediction":
        """Return the prediction for a photo of this quality: unsure instead of clean if poor."""
        is_clean = class_key(self.label) == CLEAN
        label = UNSURE if is_clean and quality != OK else self.label
        return replace(self, label=label, quality=quality)

    @property
    def top_class(self) -> str:
        """The most probable class, whatever the label; "" if the photo could not be opened."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="")

    def as_dict(self) -> dict[str, Any]:
        """Return all but `heatmap`, for JSON; only ``photo`` and ``error`` if it was not opened."""
        if self.error:
            return {"photo": self.source, "error": self.error.reason}
        return {
            "photo": self.source,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "top_class": self.top_class,
            "needed": self.threshold,
            "oddness": self.ood_score,
            "quality": self.quality,
        }

    @property
    def needed(self) -> float:
        warn_renamed("Prediction.needed", "threshold")
        return self.threshold

    @property
    def oddness(self) -> float | None:
        warn_renamed("Prediction.oddness", "ood_score")
        return self.ood_score

    @property
    def evidence(self) -> NDArray[np.float32] | None:
        warn_renamed("Prediction.evidence", "heatmap")
        return self.heatmap


class Model(Protocol):
    """Interface of models: an exported model, or the network of a run."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def size(self) -> int:
        """Side of the square input, in pixels."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities [N, classes] for photos uint8 [N, size, size, 3]."""


@dataclass(frozen=True)
class ModelOutputs:
    """The raw outputs of a model for N photos; None where the model has no such output."""

    probabilities: NDArray[np.float32]  # [N, classes], rows sum to 1
    heatmap: NDArray[np.float32] | None = None  # [N, h, w] in [0, 1]
    ood_score: NDArray[np.float32] | None = None  # [N]


class Classifier(OnnxModel[ModelInfo]):
    """An exported model that classifies photos. One photo uses one core.

    Examples:
        >>> classifier = Classifier.load()
        >>> classifier.predict("plate.jpg").label
        'dirty'
    """

    BUNDLED = BUNDLED_MODELS

    @staticmethod
    def _read_info(metadata: dict[str, str], name: str) -> ModelInfo:
        return read_info(metadata, name)

    def _fits_metadata(self) -> bool:
        outputs = self.session.get_outputs()
        declared = (
            self._takes_photos()
            and len(outputs) >= 1
            and outputs[0].name == "probabilities"
            and outputs[0].type == "tensor(float)"
        )
        if not declared:
            return False
        found = self.probabilities(self._two_photos())
        shape = (2, len(self.info.classes))
        return found.shape == shape and np.allclose(found.sum(axis=1), 1, atol=1e-3)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.info.classes

    @property
    def has_heatmap(self) -> bool:
        """Whether the model also predicts where the dirt is."""
        return "evidence" in self._output_names

    @property
    def gives_evidence(self) -> bool:
        warn_renamed("Classifier.gives_evidence", "has_heatmap")
        return self.has_heatmap

    @cached_property
    def _output_names(self) -> list[str]:
        known = ("probabilities", "evidence", "oddness")
        return [output.name for output in self.session.get_outputs() if output.name in known]

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities for photos that are already resized.

        Args:
            pixels: uint8 [N, size, size, 3], RGB.

        Returns:
            float32 [N, classes], rows sum to 1.

        Raises:
            ModelError: ONNX Runtime cannot run the model, or an output is not finite.
        """
        return self._run(pixels, ["probabilities"])["probabilities"]

    def outputs(self, pixels: NDArray[np.uint8]) -> ModelOutputs:
        """Return all outputs of the model; see `probabilities` for arguments and errors."""
        found = self._run(pixels, self._output_names)
        return ModelOutputs(found["probabilities"], found.get("evidence"), found.get("oddness"))

    def answers(self, pixels: NDArray[np.uint8]) -> ModelOutputs:
        warn_renamed("Classifier.answers", "outputs")
        return self.outputs(pixels)

    def predict(
        self, photo: Source, *, color: Color = "rgb", max_pixels: int = MAX_PIXELS
    ) -> Prediction:
        """Classify one photo.

        OpenCV images (``cv2.imread``, ``VideoCapture.read``) have the channel order blue, green,
        red: pass ``color="bgr"``. Read as RGB, 19 of 200 photos were misclassified, 11 of them
        dirty dishes predicted clean.

        Args:
            photo: a path, the bytes of a file, an open file, a PIL image, or a uint8 array
                [H, W, 3], [H, W, 4] or [H, W].
            color: channel order of an array, ``"rgb"`` or ``"bgr"``.
            max_pixels: largest height × width accepted.

        Raises:
            PhotoError: the photo cannot be opened, or has another type.
        """
        (prediction,) = predict_batch(self, [photo], color=color, max_pixels=max_pixels)
        if prediction.error:
            raise prediction.error
        return prediction

    def predict_many(
        self,
        photos: Iterable[Source],
        batch_size: int = 8,
        workers: int | None = None,
        *,
        color: Color = "rgb",
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Prediction]:
        """Classify many photos in parallel and yield the predictions in order.

        A photo that cannot be opened yields a `Prediction` with an `error`. An exception
        raised by iterating `photos` propagates after the predictions for the photos before it.
        `photos` is consumed lazily, a few batches ahead, so memory is bounded; do not modify an
        array or image before its prediction is yielded.

        Args:
            photos: an iterable of anything `predict` accepts, or an array [N, H, W, 3].
            batch_size: photos per batch, at least 1.
            workers: threads, at least 1 [default: one per core].
            color: see `predict`.
            max_pixels: see `predict`.

        Raises:
            TypeError: `photos` is a single photo.
            ValueError: `batch_size` or `workers` is below 1.
        """
        work = partial(predict_batch, self, color=color, max_pixels=max_pixels)
        return stream(work, photos, batch_size, workers)

    def predict_pixels(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> list[Prediction]:
        """Classify photos that are already resized, as in `probabilities`, with N names."""
        outputs = self.outputs(pixels)
        scores = [None] * len(names) if outputs.ood_score is None else outputs.ood_score.tolist()
        heatmaps = [None] * len(names) if outputs.heatmap is None else outputs.heatmap
        return [
            Prediction(
                name,
                self.info.label(row, score),
                float(row.max()),
                dict(zip(self.classes, row.tolist(), strict=True)),
                threshold=self.info.threshold(row),
                ood_score=score,
                heatmap=heatmap,
            )
            for name, row, score, heatmap in zip(
                names, outputs.probabilities, scores, heatmaps, strict=True
            )
        ]


def predict_batch(
    model: Model,
    photos: Sequence[Source],
    names: Sequence[str] | None = None,
    *,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
) -> list[Prediction]:
    """Classify one batch on the calling thread; see `Classifier.predict_many`.

    `names` are the sources of the predictions [default: paths, file names or types]. Without
    thresholds, the label is the most probable class.
    """
    checked = isinstance(model, Classifier) and model.info.quality_check
    found: list[Prediction | None] = []
    pixels, sources, qualities = [], [], []
    for photo, name in zip(photos, names or map(photo_name, photos), strict=True):
        try:
            opened = open_reduced(
                photo, model.size, color=color, max_pixels=max_pixels, name=name
            ).pixels
        except PhotoError as error:
            found.append(Prediction(name, error=error))
        else:
            pixels.append(resize_photo(opened, model.size))
            sources.append(name)
            qualities.append(measure(opened).reason if checked else OK)
            found.append(None)
    if not pixels:
        succeeded = []
    elif isinstance(model, Classifier):
        succeeded = model.predict_pixels(np.stack(pixels), sources)
    else:
        succeeded = [
            Prediction(
                name,
                model.classes[int(row.argmax())],
                float(row.max()),
                dict(zip(model.classes, row.tolist(), strict=True)),
            )
            for name, row in zip(sources, model.probabilities(np.stack(pixels)), strict=True)
        ]
    remaining = map(Prediction.with_quality, succeeded, qualities)
    return [each or next(remaining) for each in found]
