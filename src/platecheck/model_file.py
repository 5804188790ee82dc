"""Find, read and open model files."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO

import onnxruntime

from platecheck.errors import ModelError
from platecheck.model_info import first_line

# Names of the models shipped with platecheck; the first is the default.
BUNDLED_MODELS = ("plate", "tiny")
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
