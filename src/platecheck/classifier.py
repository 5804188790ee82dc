"""Load an exported model and predict: NumPy and ONNX Runtime, nothing else."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from platecheck.errors import ModelError, PhotoError
from platecheck.model_info import ModelInfo, first_line, read_info
from platecheck.photo import MAX_PIXELS, Color, Source, open_photo, photo_name
from platecheck.stream import Opened, predict_opened, stream, try_to_open

# Names that stand for models that come with platecheck; the first one is the default.
BUNDLED_MODELS = ("plate", "tiny")
DEFAULT = "default"
_WEIGHTS = Path(str(files("platecheck") / "weights"))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one photo. Answers compare and hash by all but `evidence`.

    Attributes:
        source: the photo's path, or what it was called.
        label: the most probable class; :data:`UNSURE` or :data:`NO_DISH` where the model says so;
            "" when the photo could not be opened.
        probability: of the most probable class, in [0, 1], also where `label` is
            :data:`UNSURE` or :data:`NO_DISH`: it is that of `top_class`, never that of being
            unsure; 0 when the photo could not be opened.
        probabilities: of every class, summing to 1; empty when the photo could not be opened.
        error: why the photo could not be opened.
        needed: the least probability that the likeliest class is answered with; below: unsure.
        oddness: how unlike the photos that the model learned from; None where it does not say.
        evidence: float32 [h, w] in [0, 1], how dirty every place looks, from the upper left;
            None where the model does not say.
    """

    source: str
    label: str = ""
    probability: float = 0.0
    probabilities: dict[str, float] = field(default_factory=dict, hash=False)
    error: PhotoError | None = None
    needed: float = 0.0
    oddness: float | None = None
    evidence: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @property
    def top_class(self) -> str:
        """The most probable class, whatever the label; "" when the photo could not be opened."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything but `evidence`; ``photo`` and ``error`` when it was not opened."""
        if self.error:
            return {"photo": self.source, "error": self.error.reason}
        told = ("label", "probability", "probabilities", "top_class", "needed", "oddness")
        return {"photo": self.source, **{name: getattr(self, name) for name in told}}


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


@dataclass(frozen=True)
class Answers:
    """What a model gives for N photos.

    Attributes:
        probabilities: float32 [N, classes], rows sum to 1.
        evidence: float32 [N, h, w] in [0, 1], or None where the model has no such output.
        oddness: float32 [N], how unlike the photos that it learned from; or None.
    """

    probabilities: NDArray[np.float32]
    evidence: NDArray[np.float32] | None = None
    oddness: NDArray[np.float32] | None = None


class Classifier:
    """An exported model.

    It can be shared by threads, and pickled for other processes, which load its file again.

    >>> classifier = Classifier.load()
    >>> classifier.predict("plate.jpg").label
    'dirty'
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, info: ModelInfo, fingerprint: str
    ) -> None:
        """Wrap a session; :meth:`load` makes one.

        Args:
            session: of the file.
            info: what the file says of itself.
            fingerprint: SHA-256 of the file.
        """
        self.session = session
        self.info = info
        self.fingerprint = fingerprint
        self._path: Path | str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the model came from: a session of ONNX Runtime is of this process only."""
        if self._path is None:
            raise TypeError("only a model that came from Classifier.load can be pickled")
        return _load_again, (type(self), self._path, self.session.get_providers(), self.fingerprint)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, providers: Sequence[str] | None = None
    ) -> "Classifier":
        """Load an exported model.

        A photo is answered on one core; :meth:`predict_many` answers as many photos at a time as
        there are cores.

        Args:
            path: an ONNX file written by ``platecheck export``, or one of :data:`BUNDLED_MODELS`;
                the first of these when absent.
            providers: of ONNX Runtime, such as ``["CUDAExecutionProvider"]``; the CPU when absent.

        Raises:
            ModelError: no such file, or not an exported model; or a provider cannot be used.
        """
        where = find_model(path)
        wanted = list(providers or ["CPUExecutionProvider"])
        available = onnxruntime.get_available_providers()
        for name in wanted:
            if name not in available:
                known = ", ".join(available)
                raise ModelError(f"ONNX Runtime has no provider {name} here; it has {known}")
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
                providers=wanted,
                enable_fallback=False,  # it prints, and the CPU is not what was asked for
            )
            metadata = session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors have no common type
            use = f", or {', '.join(wanted)} cannot be used" if providers else ""
            raise ModelError(f"{where} is not an ONNX model{use}: {first_line(error)}") from error
        for name in wanted:
            if name not in session.get_providers():
                raise ModelError(f"{name} cannot be used: its driver or its libraries are missing")
        fingerprint = hashlib.sha256(content).hexdigest()
        classifier = cls(session, read_info(metadata, where), fingerprint)
        try:
            fits = classifier._fits_metadata()
        except (ModelError, UnicodeDecodeError):  # the latter is a damaged name
            fits = False
        if not fits:
            raise ModelError(f"{where} does not take and give what its metadata says")
        shipped = where.parent == _WEIGHTS  # which another computer has elsewhere
        classifier._path = where.stem if shipped else where.absolute()
        return classifier

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
        return self._run(pixels, ["probabilities"])["probabilities"]

    def answers(self, pixels: NDArray[np.uint8]) -> Answers:
        """Everything that the model says of photos that already have the right size.

        Raises:
            ModelError: as :meth:`probabilities`.
        """
        found = self._run(pixels, self._outputs)
        return Answers(found["probabilities"], found.get("evidence"), found.get("oddness"))

    def _run(self, pixels: NDArray[np.uint8], outputs: list[str]) -> dict[str, NDArray[np.float32]]:
        try:
            found = self.session.run(outputs, {self.session.get_inputs()[0].name: pixels})
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise ModelError(f"the model cannot be run: {first_line(error)}") from error
        if not all(np.isfinite(output).all() for output in found):
            raise ModelError("the model gives answers that are not numbers: its file is damaged")
        return dict(zip(outputs, found, strict=True))

    @property
    def id(self) -> str:
        """What tells this model from others: its recipe and the start of its file's SHA-256."""
        return f"{self.info.recipe}-{self.fingerprint[:12]}"

    @property
    def gives_evidence(self) -> bool:
        """Whether the model says where the dirt is."""
        return "evidence" in self._outputs

    @cached_property
    def _outputs(self) -> list[str]:
        known = ("probabilities", "evidence", "oddness")
        return [output.name for output in self.session.get_outputs() if output.name in known]

    def predict(
        self, photo: Source, *, color: Color = "rgb", max_pixels: int = MAX_PIXELS
    ) -> Prediction:
        """Answer for one photo.

        An image of OpenCV (``cv2.imread``, ``VideoCapture.read``) has its channels in the order
        blue, green, red: give it with ``color="bgr"``. Read as RGB, 19 of 200 photos got another,
        wrong answer; 11 of these were dirty dishes called clean.

        Args:
            photo: a path, the bytes of a file, an open file, a PIL image, or an array, uint8
                [H, W, 3], [H, W, 4] or [H, W].
            color: the order of an array's channels, ``"rgb"`` or ``"bgr"``.
            max_pixels: the largest height × width accepted.

        Raises:
            PhotoError: it cannot be opened, or is not of these types.
        """
        pixels = open_photo(photo, size=self.size, color=color, max_pixels=max_pixels)
        return self.predict_pixels(pixels[None], [photo_name(photo)])[0]

    def predict_many(
        self,
        photos: Iterable[Source],
        batch_size: int = 8,
        workers: int | None = None,
        *,
        color: Color = "rgb",
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Prediction]:
        """Answer for many photos, in their order; `workers` at a time, by default one a core.

        A photo that cannot be opened, whatever it is, gives a :class:`Prediction` with an `error`;
        the rest goes on. What `photos` itself raises comes after the answers for those before it.
        Memory stays bounded however many there are: a few batches are under way, and an array or
        image must not change until it is answered.

        Args:
            photos: any number of what :meth:`predict` takes, or an array [N, H, W, 3].
            batch_size: photos given to the model at once, at least 1.
            workers: threads, at least 1.
            color: as in :meth:`predict`.
            max_pixels: as in :meth:`predict`.

        Raises:
            TypeError: `photos` is a single photo.
        """

        def work(batch: list[Source]) -> list[Prediction]:
            opened = [
                try_to_open(photo, self.size, color=color, max_pixels=max_pixels) for photo in batch
            ]
            return self.predict_pixels(opened, [photo_name(photo) for photo in batch])

        return stream(work, photos, batch_size, workers)

    def predict_pixels(self, pixels: Iterable[Opened], names: Iterable[str]) -> list[Prediction]:
        """Answer for photos that already have the right size; for an error, with that error.

        Args:
            pixels: N of uint8 [size, size, 3], RGB, or why one could not be opened.
            names: N, what the photos are called.

        Raises:
            ModelError: as :meth:`probabilities`.
        """
        found = predict_opened(self._predictions, pixels)
        return [
            Prediction(name, error=each)
            if isinstance(each, PhotoError)
            else replace(each, source=name)
            for each, name in zip(found, names, strict=True)
        ]

    def _predictions(self, pixels: NDArray[np.uint8]) -> Iterator[Prediction]:
        answers = self.answers(pixels)
        for index, row in enumerate(answers.probabilities):
            oddness = None if answers.oddness is None else float(answers.oddness[index])
            yield Prediction(
                "",
                self.info.label(row, oddness),
                float(row.max()),
                {name: float(value) for name, value in zip(self.classes, row, strict=True)},
                needed=self.info.needed(row),
                oddness=oddness,
                evidence=None if answers.evidence is None else answers.evidence[index],
            )


Row = NDArray[np.float32] | PhotoError


def stream_probabilities(
    model: Model,
    photos: Iterable[Source],
    *,
    batch_size: int = 8,
    workers: int | None = None,
) -> Iterator[tuple[str, Row]]:
    """Name and probabilities [classes] of each photo, or its error, in order.

    Args:
        model: its `probabilities` must be safe to call from several threads.
        photos: any number; read as needed.
        batch_size: photos given to the model at once, at least 1.
        workers: threads; by default one a core.

    Raises:
        ValueError: `batch_size` or `workers` is below 1.
        TypeError: `photos` is a single photo.
    """

    def work(batch: list[Source]) -> list[tuple[str, Row]]:
        opened = [try_to_open(photo, model.size) for photo in batch]
        names = (photo_name(photo) for photo in batch)
        return list(zip(names, predict_opened(model.probabilities, opened), strict=True))

    return stream(work, photos, batch_size, workers)


def find_model(path: str | os.PathLike[str] | None) -> Path:
    """The file that is meant: a path, the name of a shipped model, ``default``, or nothing.

    A file of that name goes before the name.
    """
    name = DEFAULT if path is None else os.fspath(path)
    if path is not None and Path(name).exists():
        return Path(name)
    shipped = BUNDLED_MODELS[0] if name == DEFAULT else name
    return _WEIGHTS / f"{shipped}.onnx" if shipped in BUNDLED_MODELS else Path(name)


def _read_model(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder; a run becomes a model file with: platecheck export")
    if not path.is_file():
        is_name = not path.suffix and len(path.parts) == 1
        raise ModelError(f"no model file at {path}" + "; shipped: plate, tiny" * is_name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _load_again(
    kind: type[Classifier], path: Path | str, providers: Sequence[str], fingerprint: str
) -> Classifier:
    """Load a pickled model; raises ModelError where its file has gone or is another by now."""
    classifier = kind.load(path, providers=providers)
    if classifier.fingerprint != fingerprint:
        raise ModelError(f"{path} is not the model that was pickled: it has changed since")
    return classifier
