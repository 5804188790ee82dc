"""What tests write: small photos, tiny models, and tiny detectors."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from platecheck.model_info import METADATA_KEY, DetectorInfo, ModelInfo


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


def write_detector(
    path: Path,
    *,
    size: int = 64,
    grid: int = 2,
    metadata: Mapping[str, str] | None = None,
    boxes: str = "boxes",
    **info: Any,
) -> Path:
    """Write a tiny exported detector: a box around what is bright in each cell of a grid.

    A score is the brightness of the brightest pixel; what is darker than the padding is no dish.

    Args:
        grid: cells a side; `size` is a multiple of it.
        metadata: replaces those of `DetectorInfo`.
        boxes: name of the first output.
        info: fields of `DetectorInfo`.
    """
    node, cell = helper.make_node, size // grid
    corner = np.array([[x, y] for y in range(grid) for x in range(grid)], np.float32) * cell
    constants = {
        "bright": np.float32(120),
        "white": np.float32(255),
        "none": np.float32(0),
        "far": np.float32(size),
        "start": np.arange(cell, dtype=np.float32),
        "end": np.arange(1, cell + 1, dtype=np.float32),
        "corner": np.concatenate([corner, corner], axis=1),  # [A, 4]
        "cells": np.int64([0, grid, cell, grid, cell]),
        "slots": np.int64([0, grid * grid, cell, cell]),
    }
    nodes = [
        node("Cast", ["photos"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float"], ["grey"], axes=[3], keepdims=0),
        node("Reshape", ["grey", "cells"], ["rows of cells"]),
        node("Transpose", ["rows of cells"], ["cells of rows"], perm=[0, 1, 3, 2, 4]),
        node("Reshape", ["cells of rows", "slots"], ["slot"]),  # [N, A, rows, columns]
        node("ReduceMax", ["slot"], ["peak"], axes=[2, 3], keepdims=0),
        node("Greater", ["peak", "bright"], ["found"]),
        node("Div", ["peak", "white"], ["level"]),
        node("Where", ["found", "level", "none"], ["scores"]),
    ]
    for name, axis in (("x", 2), ("y", 3)):
        nodes += [
            node("ReduceMax", ["slot"], [f"{name} peaks"], axes=[axis], keepdims=0),
            node("Greater", [f"{name} peaks", "bright"], [f"{name} is bright"]),
            node("Where", [f"{name} is bright", "start", "far"], [f"{name} starts"]),
            node("Where", [f"{name} is bright", "end", "none"], [f"{name} ends"]),
            node("ReduceMin", [f"{name} starts"], [f"{name}0"], axes=[2], keepdims=1),
            node("ReduceMax", [f"{name} ends"], [f"{name}1"], axes=[2], keepdims=1),
        ]
    nodes += [
        node("Concat", ["x0", "y0", "x1", "y1"], ["within"], axis=2),
        node("Add", ["within", "corner"], [boxes]),
    ]
    value_info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "blobs",
        [value_info("photos", TensorProto.UINT8, ["batch", size, size, 3])],
        [
            value_info(boxes, TensorProto.FLOAT, ["batch", grid * grid, 4]),
            value_info("scores", TensorProto.FLOAT, ["batch", grid * grid]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is None:
        metadata = {METADATA_KEY: detector_info(size=size, **info).model_dump_json()}
    helper.set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())
    return path


def detector_info(**changes: Any) -> DetectorInfo:
    """What a tiny detector says of itself."""
    fields: dict[str, Any] = {
        "platecheck": "0.3.0",
        "recipe": "blobs",
        "network": "grid",
        "size": 64,
        "precision": "float32",
        "threshold": 0.5,
        "nms_iou": 0.5,
        "epoch": 3,
        "seed": 7,
        "data_fingerprint": "0" * 64,
        "metrics": {},
    }
    return DetectorInfo(**{**fields, **changes})
