"""Load an exported model and predict: NumPy and ONNX Runtime, nothing else."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platecheck.errors import ModelError, PhotoError
from platecheck.photo import open_photo, photo_name

Source = str | os.PathLike[str] | bytes | BinaryIO

# The metadata property that holds ModelInfo as JSON, and the version of its layout.
METADATA_KEY = "platecheck"
FORMAT: Literal[1] = 1
DEFAULT_MODEL = "default.onnx"


class Division(BaseModel):
    """How a split was divided, so that photos that a model was chosen on are told from others."""

    model_config = ConfigDict(frozen=True)

    split: str
    seed: int
    fingerprint: str = Field(description="of the photos of the split before it was divided")


class ModelInfo(BaseModel):
    """What an exported file says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    platecheck: str = Field(description="the version that wrote the file")
    recipe: str
    network: str
    classes: tuple[str, ...] = Field(min_length=2)
    size: int = Field(ge=1, le=4096, description="pixels of the square input")
    precision: Literal["float32", "int8"]
    temperature: float = Field(gt=0, description="the logits were divided by it")
    thresholds: dict[str, float] = Field(default_factory=dict)
    epoch: int
    seed: int
    data_fingerprint: str
    division: Division | None
    metrics: dict[str, dict[str, Any]] = Field(description="by split: photos, correct, …")


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one photo.

    Attributes:
        source: the photo's path, or what it was called.
        label: the most probable class; "" when the photo could not be opened.
        probability: of that class, in [0, 1]; 0 when the photo could not be opened.
        probabilities: of every class, summing to 1; empty when the photo could not be opened.
        error: why the photo could not be opened.
    """

    source: str
    label: str = ""
    probability: float = 0.0
    probabilities: dict[str, float] | None = None
    error: PhotoError | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``photo`` and ``error``, or ``photo, label, probability, probabilities``."""
        if self.error:
            return {"photo": self.source, "error": self.error.reason}
        return {
            "photo": self.source,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


class Model(Protocol):
    """Anything that gives probabilities: an exported file, or the network of a run."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def size(self) -> int:
        """Pixels of the square input."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities [N, classes] of photos [N, size, size, 3], uint8."""


class Classifier:
    """An exported model.

    >>> classifier = Classifier.load()
    >>> classifier.predict("plate.jpg").label
    'dirty'
    """

    def __init__(self, session: onnxruntime.InferenceSession, info: ModelInfo) -> None:
        """Wrap a session; :meth:`load` makes one."""
        self.session = session
        self.info = info

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, providers: Sequence[str] | None = None
    ) -> "Classifier":
        """Load an exported model.

        A photo is answered on one core; :meth:`predict_many` answers as many photos at a time as
        there are cores.

        Args:
            path: an ONNX file written by ``platecheck export``; the shipped model when absent.
            providers: of ONNX Runtime, such as ``["CUDAExecutionProvider"]``; the CPU when absent.

        Raises:
            ModelError: no such file, or not an exported model.
        """
        where = Path(path) if path is not None else default_model()
        content = _read_model(where)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised, no need to print it too
        # A model can refer to weights in other files; below this one there are none to be read.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", os.devnull
        )
        try:
            session = onnxruntime.InferenceSession(
                content,
                options,
                providers=list(providers or ["CPUExecutionProvider"]),
                enable_fallback=providers is not None,  # it prints, and the CPU is the last resort
            )
            metadata = session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise ModelError(f"{where} is not an ONNX model: {_first_line(error)}") from error
        classifier = cls(session, read_info(metadata, where))
        classifier._check_graph(where)
        return classifier

    def _check_graph(self, where: Path) -> None:
        try:
            right = self._fits_metadata()
        except (ModelError, UnicodeDecodeError):  # the latter is a damaged name
            right = False
        if not right:
            raise ModelError(f"{where} does not take and give what its metadata says")

    def _fits_metadata(self) -> bool:
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        size, classes = self.info.size, len(self.info.classes)
        declared = (
            len(inputs) == 1
            and inputs[0].type == "tensor(uint8)"
            and inputs[0].shape[1:] == [size, size, 3]
            and len(outputs) >= 1
            and outputs[0].name == "probabilities"
            and outputs[0].type == "tensor(float)"
        )
        if not declared:
            return False
        # Only a try tells whether what comes out is what it should be, for two photos at a time.
        pixels = np.stack([np.full((size, size, 3), level, np.uint8) for level in (0, 255)])
        found = self.probabilities(pixels)
        return found.shape == (2, classes) and np.allclose(found.sum(axis=1), 1, atol=1e-3)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.info.classes

    @property
    def size(self) -> int:
        """Pixels of the square input."""
        return self.info.size

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of photos that already have the right size.

        Args:
            pixels: uint8 [N, size, size, 3], RGB.

        Returns:
            float32 [N, classes], rows sum to 1.

        Raises:
            ModelError: ONNX Runtime cannot run the model on them, or numbers in it overflow.
        """
        try:
            found: NDArray[np.float32] = self.session.run(
                ["probabilities"], {self._input_name: pixels}
            )[0]
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise ModelError(f"the model cannot be run: {_first_line(error)}") from error
        if not np.isfinite(found).all():
            raise ModelError("the model gives answers that are not numbers: its file is damaged")
        return found

    @cached_property
    def _input_name(self) -> str:
        name: str = self.session.get_inputs()[0].name
        return name

    def predict(self, photo: Source) -> Prediction:
        """Answer for one photo: a path, the bytes of a file, or an open file.

        Raises:
            PhotoError: it cannot be opened.
        """
        pixels = open_photo(photo, size=self.size)
        return _prediction(photo_name(photo), self.probabilities(pixels[None])[0], self.classes)

    def predict_many(self, photos: Iterable[Source], batch_size: int = 8) -> Iterator[Prediction]:
        """Answer for many photos, in their order, as many at a time as there are cores.

        A photo that cannot be opened gives a :class:`Prediction` with an `error`; the rest goes
        on. Memory stays bounded however many photos there are: a few batches are under way.
        """
        for source, row in stream_probabilities(self, photos, batch_size=batch_size):
            if isinstance(row, PhotoError):
                yield Prediction(source, error=row)
            else:
                yield _prediction(source, row, self.classes)


Row = NDArray[np.float32] | PhotoError


def stream_probabilities(
    model: Model,
    photos: Iterable[Source],
    *,
    batch_size: int = 8,
    workers: int | None = None,
) -> Iterator[tuple[str, Row]]:
    """Name and probabilities [classes] of each photo, or its error, in order.

    Each worker decodes a batch and then runs it, so while one decodes another infers, without a
    queue between the two.

    Args:
        model: its `probabilities` must be safe to call from several threads.
        photos: any number; read as needed.
        batch_size: photos given to the model at once, at least 1.
        workers: threads; by default one a core.

    Raises:
        ValueError: `batch_size` or `workers` is below 1.
        TypeError: `photos` is a single photo.
    """
    if isinstance(photos, str | bytes):  # whose characters would each be taken for a photo
        raise TypeError("photos must be a list, or anything else that gives one photo at a time")
    workers = workers if workers is not None else os.cpu_count() or 1
    if batch_size < 1 or workers < 1:
        raise ValueError("batch_size and workers must be at least 1")

    def answer(batch: list[Source]) -> list[tuple[str, Row]]:
        opened = [_open(source, model.size) for source in batch]
        good = [pixels for pixels in opened if not isinstance(pixels, PhotoError)]
        found = iter(model.probabilities(np.stack(good)) if good else ())
        return [
            (photo_name(source), pixels if isinstance(pixels, PhotoError) else next(found))
            for source, pixels in zip(batch, opened, strict=True)
        ]

    remaining = iter(photos)
    under_way: deque[Future[list[tuple[str, Row]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(under_way) <= workers and (batch := list(islice(remaining, batch_size))):
                    under_way.append(pool.submit(answer, batch))
                if not under_way:
                    return
                yield from under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def default_model() -> Path:
    """File of the shipped model."""
    return Path(str(files("platecheck") / "weights" / DEFAULT_MODEL))


def read_info(metadata: dict[str, str], where: Path) -> ModelInfo:
    """What an ONNX file's metadata say.

    Raises:
        ModelError: they are not platecheck's, or of a later layout.
    """
    if METADATA_KEY not in metadata:
        raise ModelError(f"{where} is an ONNX model, but not one written by platecheck export")
    try:
        content = json.loads(metadata[METADATA_KEY])
        if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
            raise ModelError(f"{where} was written by a later platecheck: upgrade to read it")
        return ModelInfo.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise ModelError(f"{where} has damaged metadata: {_first_line(error)}") from error


def _read_model(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder; a run becomes a model file with: platecheck export")
    if not path.is_file():
        raise ModelError(f"no model file at {path}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _open(source: Source, size: int) -> NDArray[np.uint8] | PhotoError:
    try:
        return open_photo(source, size=size)
    except PhotoError as error:
        return error


def _prediction(source: str, row: NDArray[np.float32], classes: Sequence[str]) -> Prediction:
    best = int(row.argmax())
    probabilities = {name: float(value) for name, value in zip(classes, row, strict=True)}
    return Prediction(source, classes[best], float(row[best]), probabilities)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
