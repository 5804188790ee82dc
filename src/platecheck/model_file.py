"""Find, read and open model files."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from platecheck.errors import ModelError
from platecheck.model_info import DetectorInfo, ModelInfo, first_line

# Names of the models shipped with platecheck; the first is the default.
BUNDLED_MODELS = ("plate", "mobile", "tiny")
BUNDLED_DETECTORS = ("dishes",)
DEFAULT = "default"
_WEIGHTS = Path(str(files("platecheck") / "weights"))

ModelSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""An exported model: its path, the name of a bundled one, its content, or an open file."""


def find_model(
    path: str | os.PathLike[str] | None, bundled: Sequence[str] = BUNDLED_MODELS
) -> Path:
    """Return the file of a model: a path, the name of a shipped model, ``default`` or None.

    An existing file takes precedence over a shipped model of the same name.
    """
    name = DEFAULT if path is None else os.fspath(path)
    if path is not None and Path(name).exists():
        return Path(name)
    shipped = bundled[0] if name == DEFAULT else name
    return _WEIGHTS / f"{shipped}.onnx" if shipped in bundled else Path(name)


def read_model(
    source: ModelSource | None, bundled: Sequence[str] = BUNDLED_MODELS
) -> tuple[bytes, str, Path | str | bytes]:
    """Return the content of a model, its name for messages, and what to pickle."""
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return content, "<bytes>", content
    if source is None or isinstance(source, str | os.PathLike):
        path = find_model(source, bundled)
        if path.is_dir():
            raise ModelError(f"{path} is a folder; export a run as a model file: platecheck export")
        if not path.is_file():
            is_name = not path.suffix and len(path.parts) == 1
            raise ModelError(
                f"no model file at {path}" + f"; shipped: {', '.join(bundled)}" * is_name
            )
        # The path of a bundled model may differ on another machine.
        origin = path.stem if path.parent == _WEIGHTS else path.absolute()
        read, name = path.read_bytes, str(path)
    else:
        origin, read, name = None, source.read, str(getattr(source, "name", "<stream>"))
    try:
        content = read()
    except (OSError, ValueError) as error:  # the latter for a closed file
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ModelError(f"{name} cannot be read: {reason}") from error
    if not isinstance(content, bytes):
        raise ModelError(f"{name} does not return bytes; open it in binary mode")
    return content, name, origin or content


def open_session(
    content: bytes, name: str, providers: Sequence[str] | None
) -> onnxruntime.InferenceSession:
    """Open a model with ONNX Runtime on one thread."""
    wanted = list(providers or ["CPUExecutionProvider"])
    available = onnxruntime.get_available_providers()
    if missing := [provider for provider in wanted if provider not in available]:
        known = ", ".join(available)
        raise ModelError(f"ONNX Runtime has no provider {missing[0]} here; it has {known}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, do not print them as well
    # Never read weights from other files that an untrusted model refers to.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    try:
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=wanted,
            enable_fallback=False,  # it prints, and would run on the CPU silently
        )
        session.get_modelmeta().custom_metadata_map  # noqa: B018 - raises if it is damaged
    except Exception as error:  # ONNX Runtime's errors have no common base class
        use = f", or {', '.join(wanted)} cannot be used" if providers else ""
        raise ModelError(f"{name} is not an ONNX model{use}: {first_line(error)}") from error
    if unusable := [provider for provider in wanted if provider not in session.get_providers()]:
        raise ModelError(f"{unusable[0]} cannot be used: its driver or its libraries are missing")
    return session


Info = TypeVar("Info", bound=ModelInfo | DetectorInfo)


class OnnxModel(ABC, Generic[Info]):
    """An exported model, opened with ONNX Runtime.

    Thread-safe. Pickling stores the path, and unpickling loads the file again; of a model that was
    loaded from bytes or an open file, it stores the bytes.

    Attributes:
        session: of ONNX Runtime, with one thread.
        info: the file's metadata.
        fingerprint: the SHA-256 of the file.
    """

    BUNDLED: ClassVar[Sequence[str]]

    def __init__(self, session: onnxruntime.InferenceSession, info: Info, fingerprint: str) -> None:
        """Wrap an existing session. See `load`."""
        self.session = session
        self.info = info
        self.fingerprint = fingerprint
        self._origin: Path | str | bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the model came from, as ONNX Runtime sessions cannot be pickled."""
        if self._origin is None:
            raise TypeError(f"only one that came from {type(self).__name__}.load can be pickled")
        providers = self.session.get_providers()
        return _load_again, (type(self), self._origin, providers, self.fingerprint)

    @classmethod
    def load(
        cls, path: ModelSource | None = None, *, providers: Sequence[str] | None = None
    ) -> Self:
        """Load an exported model.

        Args:
            path: an ONNX file written by ``platecheck export``, its bytes, an open binary file, or
                a name of `BUNDLED` [default: the first of these].
            providers: ONNX Runtime execution providers, such as ``["CUDAExecutionProvider"]``
                [default: the CPU].

        Raises:
            ModelError: the file is missing, or not an exported model of this kind, or a provider is
                unavailable.
        """
        content, name, origin = read_model(path, cls.BUNDLED)
        session = open_session(content, name, providers)
        info = cls._read_info(session.get_modelmeta().custom_metadata_map, name)
        model = cls(session, info, hashlib.sha256(content).hexdigest())
        try:
            fits = model._fits_metadata()
        except (ModelError, UnicodeDecodeError):  # the latter for a corrupt tensor name
            fits = False
        if not fits:
            raise ModelError(f"{name} has inputs or outputs that do not match its metadata")
        model._origin = origin
        return model

    @staticmethod
    @abstractmethod
    def _read_info(metadata: dict[str, str], name: str) -> Info: ...

    @abstractmethod
    def _fits_metadata(self) -> bool:
        """Return whether inputs and outputs are those that the metadata promise."""

    def _takes_photos(self) -> bool:
        """Return whether the only input is photos uint8 [N, size, size, 3]."""
        inputs = self.session.get_inputs()
        shape = [self.size, self.size, 3]
        return (
            len(inputs) == 1 and inputs[0].type == "tensor(uint8)" and inputs[0].shape[1:] == shape
        )

    def _two_photos(self) -> NDArray[np.uint8]:
        """Return two photos: shapes of outputs, with their batch, are only known after a run."""
        return np.stack([np.full((self.size, self.size, 3), level, np.uint8) for level in (0, 255)])

    @property
    def size(self) -> int:
        """Side of the square input, in pixels."""
        return self.info.size

    @property
    def id(self) -> str:
        """Recipe and the first 12 digits of the file's SHA-256."""
        return f"{self.info.recipe}-{self.fingerprint[:12]}"

    def _run(self, pixels: NDArray[np.uint8], outputs: list[str]) -> dict[str, NDArray[np.float32]]:
        try:
            found = self.session.run(outputs, {self.session.get_inputs()[0].name: pixels})
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise ModelError(f"the model cannot be run: {first_line(error)}") from error
        if not all(np.isfinite(output).all() for output in found):
            raise ModelError("the model's outputs are not finite numbers: its file is damaged")
        return dict(zip(outputs, found, strict=True))


def _load_again(
    kind: type[OnnxModel[Any]],
    origin: Path | str | bytes,
    providers: Sequence[str],
    fingerprint: str,
) -> OnnxModel[Any]:
    """Load a pickled model; raise ModelError if its file is gone or has changed."""
    model = kind.load(origin, providers=providers)
    if model.fingerprint != fingerprint:
        raise ModelError(f"{origin!s} has changed since the model was pickled")
    return model
