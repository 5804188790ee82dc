"""What tests share: a cache of their own, rendered dishes, the real photos, tiny models."""

import contextlib
import os
import sys
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, settings
from onnx import TensorProto, helper
from PIL import Image

from platecheck.cli import main
from platecheck.model_info import METADATA_KEY, ModelInfo

# No test measures time, so a slow machine must not fail one either.
settings.register_profile("platecheck", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("platecheck")

# Set by commands that run inside this process; a test must not hand them to the next one.
SET_BY_COMMANDS = ("PLATECHECK_DEBUG", "PLATECHECK_RUN_FOLDER")

WritePhotos = Callable[[Path, Mapping[str, int]], Path]
WriteModel = Callable[..., Path]


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of fixtures that live longer than a test."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATECHECK_CACHE", str(folder / "session"))
        yield folder


@pytest.fixture(autouse=True)
def environment(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty cache, and take back what commands leave in the environment."""
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / uuid.uuid4().hex))
    for name in SET_BY_COMMANDS:
        monkeypatch.setenv(name, "")  # remembers what was there
        monkeypatch.delenv(name)
    # Commands must write in blocks, as in a shell: only then can writing fail at their very end.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """``platecheck`` in this process, which spares the seconds that its imports take."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path_factory.mktemp("terminal")

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["platecheck", *map(str, arguments)])
        code = 0
        with (
            (folder / "out").open("w") as out,
            (folder / "err").open("w") as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Answer(code, (folder / "out").read_text(), (folder / "err").read_text())

    return run


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 rendered dishes of 64 × 64 pixels: train 28, val 6, test 6. Not to be changed."""
    from platecheck.data.render import write_dataset

    folder = tmp_path_factory.mktemp("rendered") / "dishes"
    write_dataset(folder, photos=40, size=64, seed=0, workers=1)
    return folder


@pytest.fixture(scope="session")
def real_photos(pytestconfig: pytest.Config) -> Path:
    """The folder of real photos; the test is skipped where there is none."""
    if told := os.environ.get("PLATECHECK_DATA"):
        assert Path(told).is_dir(), f"PLATECHECK_DATA names {told}, which is not a folder"
        return Path(told)
    folder = pytestconfig.rootpath.parent / "shared" / "dishes"
    if not folder.is_dir():
        pytest.skip("no real photos: neither PLATECHECK_DATA nor ../shared/dishes")
    return folder


@pytest.fixture(scope="session")
def write_photos() -> WritePhotos:
    """Write small photos of noise, each different: ``write_photos(folder, {"train/clean": 3})``."""

    def write(folder: Path, counts: Mapping[str, int]) -> Path:
        for place, count in counts.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                name = f"{place}/{number:03}.png"
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / name)
        return folder

    return write


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Write a tiny exported model: the brighter a photo, the likelier its last class."""
    return _write_model


def _write_model(
    path: Path,
    *,
    classes: tuple[str, ...] = ("clean", "dirty"),
    size: int = 16,
    graph: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    weights: onnx.TensorProto | None = None,
    evidence: int | None = None,
    oddness: bool = False,
    **info: Any,
) -> Path:
    """Write an ONNX file that takes the mean of a photo, scales it and gives a softmax.

    Args:
        path: the file to write.
        classes: class names.
        size: side of the input.
        graph: what differs from `differs` below.
        metadata: replaces those of `ModelInfo`.
        weights: tensor "weights" [1, classes]; default: numbers from -4 to 4.
        evidence: pixels per cell of the heatmap; default: none. The brighter, the more.
        oddness: whether to output an OOD score: the darker a photo, the odder, in [0, 1].
        info: fields of `ModelInfo`.
    """
    differs = {
        "input_type": TensorProto.UINT8,
        "input_shape": ["batch", size, size, 3],
        "output": "probabilities",
        "output_shape": ["batch", len(classes)],
        "last": "Softmax",
        **(graph or {}),
    }
    value_info, node = helper.make_tensor_value_info, helper.make_node
    numbers = np.linspace(-4, 4, len(classes), dtype=np.float32)[None]
    constants = [
        weights or onnx.numpy_helper.from_array(numbers, "weights"),
        onnx.numpy_helper.from_array(np.float32([1 / 255]), "scale"),
        onnx.numpy_helper.from_array(np.float32([0.5]), "middle"),
    ]
    nodes = [
        node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float"], ["mean4"], axes=[1, 2, 3], keepdims=1),
        node("Flatten", ["mean4"], ["mean"]),
        node("Mul", ["mean", "scale"], ["scaled"]),
        node("Sub", ["scaled", "middle"], ["centred"]),
        node("MatMul", ["centred", "weights"], ["logits"]),
        node(differs["last"], ["logits"], [differs["output"]]),
    ]
    outputs = [value_info(differs["output"], TensorProto.FLOAT, differs["output_shape"])]
    if evidence:
        cells = {"kernel_shape": [evidence] * 2, "strides": [evidence] * 2}
        nodes += [
            node("Transpose", ["float"], ["channels"], perm=[0, 3, 1, 2]),
            node("AveragePool", ["channels"], ["cells"], **cells),
            node("ReduceMean", ["cells"], ["grey cells"], axes=[1], keepdims=0),
            node("Mul", ["grey cells", "scale"], ["evidence"]),
        ]
        shape = ["batch", size // evidence, size // evidence]
        outputs.append(value_info("evidence", TensorProto.FLOAT, shape))
    if oddness:
        constants.append(onnx.numpy_helper.from_array(np.float32([1]), "one"))
        nodes += [
            node("ReduceMean", ["scaled"], ["brightness"], axes=[1], keepdims=0),
            node("Sub", ["one", "brightness"], ["oddness"]),
        ]
        outputs.append(value_info("oddness", TensorProto.FLOAT, ["batch"]))
    inputs = [value_info("pixels", differs["input_type"], differs["input_shape"])]
    made = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is None:
        metadata = {METADATA_KEY: model_info(classes=classes, size=size, **info).model_dump_json()}
    helper.set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())
    return path


def model_info(**changes: Any) -> ModelInfo:
    """What a tiny model says of itself."""
    fields: dict[str, Any] = {
        "platecheck": "0.1.0",
        "recipe": "tiny",
        "network": "mean",
        "classes": ("clean", "dirty"),
        "size": 16,
        "precision": "float32",
        "temperature": 1.25,
        "epoch": 3,
        "seed": 7,
        "data_fingerprint": "0" * 64,
        "division": None,
        "metrics": {},
    }
    return ModelInfo(**{**fields, **changes})
