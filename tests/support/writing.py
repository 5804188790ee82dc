"""What tests write: small photos, and tiny models."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from platecheck.model_info import METADATA_KEY, ModelInfo


def write_photos(folder: Path, counts: Mapping[str, int]) -> Path:
    """Write small photos of noise, each different: ``write_photos(folder, {"train/clean": 3})``."""
    for place, count in counts.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"{place}/{number:03}.png"
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(folder / name)
    return folder


def write_model(
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
    """Write a tiny exported model: the brighter a photo, the likelier its last class.

    It takes the mean of a photo, scales it and gives a softmax.

    Args:
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
        "quality_check": False,  # its photos are plain, tiny and as dark as a test needs
        "epoch": 3,
        "seed": 7,
        "data_fingerprint": "0" * 64,
        "division": None,
        "metrics": {},
    }
    return ModelInfo(**{**fields, **changes})
