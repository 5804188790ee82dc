"""Load the weights of an exported file into a network, for fine-tuning.

An export folds each BatchNorm into the convolution before it. So a convolution gets the folded
weights, and its BatchNorm only adds a bias, as long as it keeps its statistics
(`frozen_statistics`).
"""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from platecheck.classifier import Classifier, find_model
from platecheck.detector import Detector
from platecheck.errors import ModelError
from platecheck.model_file import BUNDLED_DETECTORS
from platecheck.model_info import ModelInfo, match_classes
from platecheck.training.plate_net import PlateNet
from platecheck.training.recipe import Network, Normalization, Recipe

# Prefix of the heatmap head's tensors in the file.
EVIDENCE = "network.evidence."

Array = NDArray[np.float32]
# A layer's name, weight and bias.
Layer = tuple[str, Array, Array]
Ours = TypeVar("Ours")


def load_onnx_weights(network: PlateNet, name: str, path: Path, classes: Sequence[str]) -> None:
    """Fill a network, whose BatchNorm keeps its statistics, with the weights of an exported file.

    Of the network's classes, those that the file has keep its weights; others start from zero. The
    bias that calibrates the file's logits is added to that of the last layer: it corrects the
    shares of the classes in its training, which are other ones now.

    Raises:
        ModelError: it is no exported file, or one of another network.
    """
    info = Classifier.load(path).info
    if info.network != name:
        raise ModelError(f"{path} has the network {info.network}, the recipe {name}")
    graph = onnx.load(path).graph
    convolutions = list(float_layers(graph, "Conv"))
    plain = [layer for layer in convolutions if not layer[0].startswith(EVIDENCE)]
    modules = [m for m in network.backbone.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    pairs = list(zip(modules[::2], modules[1::2], strict=False))
    if len(modules) != 2 * len(pairs) or not all(isinstance(n, nn.BatchNorm2d) for _, n in pairs):
        raise ModelError(f"{name} cannot start from {path}: not every convolution has a BatchNorm")
    for (convolution, norm), (key, weight, bias) in _paired(pairs, plain, path):
        fill(convolution, (key, weight, np.zeros_like(bias)), path)
        assert isinstance(norm, nn.BatchNorm2d)
        freeze_statistics(norm, 1, bias)
    linear = [module for module in network.head.modules() if isinstance(module, nn.Linear)]
    layers = list(float_layers(graph, "Gemm"))
    if layers:
        key, weight, bias = layers[-1]
        calibrated = bias + np.float32(info.temperature) * np.array(info.bias, np.float32)
        rows, biases = (
            rows_by_name(torch.from_numpy(each.copy()), classes, info.classes)
            for each in (weight, calibrated)
        )
        layers[-1] = (key, rows.numpy(), biases.numpy())
    for each, layer in _paired(linear, layers, path):
        fill(each, layer, path)
    if network.evidence is not None:
        dirt = {layer[0]: layer for layer in convolutions if layer[0].startswith(EVIDENCE)}
        for part, module in network.evidence.named_children():
            if f"{EVIDENCE}{part}.weight" not in dirt:
                raise ModelError(f"{path} has no heatmap, which the recipe needs")
            fill(module, dirt[f"{EVIDENCE}{part}.weight"], path)


def rows_by_name(rows: Tensor, classes: Sequence[str], known: Sequence[str]) -> Tensor:
    """Match a last layer's rows [len(known), …] by class name; rows of new classes are 0."""
    found = rows.new_zeros((len(classes), *rows.shape[1:]))
    for row, index in enumerate(match_classes(classes, known)):
        if index is not None:
            found[row] = rows[index]
    return found


def new_classes(classes: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the classes that a model does not have."""
    found = match_classes(classes, known)
    return [name for name, index in zip(classes, found, strict=True) if index is None]


def explain_classes(start: str, classes: Sequence[str], known: Sequence[str]) -> str:
    """Describe in one line how a model's classes change; "" if they do not."""
    said = [
        f"{name} is its {known[index]}"
        for name, index in zip(classes, match_classes(classes, known), strict=True)
        if index is not None and known[index] != name
    ]
    if new := new_classes(classes, known):
        said.append(f"{', '.join(new)} {'is' if len(new) == 1 else 'are'} new")
    if gone := new_classes(known, classes):
        said.append(f"its {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} dropped")
    return f"{start} has the classes {', '.join(known)}; {'; '.join(said)}" if said else ""


def started_from(network: Network) -> Path | None:
    """Return the exported file that a network starts from, if any."""
    path = find_model(network.weights) if network.weights else None
    return path if path and path.suffix == ".onnx" else None


def initial_info(network: Network, classes: Sequence[str]) -> tuple[ModelInfo, list[int]] | None:
    """Return the metadata of the file that a network starts from, and where our classes are in it.

    None if it starts from no file, or from one with other classes: probabilities among these are
    not comparable.
    """
    start = started_from(network)
    if start is None:
        return None
    info = Classifier.load(start).info
    found = [index for index in match_classes(classes, info.classes) if index is not None]
    return (info, found) if len(found) == len(classes) == len(info.classes) else None


def fine_tuning(recipe: Recipe, model: str, classes: Sequence[str] = ()) -> Recipe:
    """Change a recipe to fine-tune an exported model.

    A quarter of the epochs, at a tenth of the learning rate, for detectors a third; BatchNorm
    statistics and normalization are the model's; no teacher, since it may misclassify these photos.
    If a class is new, the heads train at the recipe's full learning rate.

    Raises:
        ModelError: there is no such model, it is not of the recipe's kind, or not from a run.
    """
    usual = recipe.optimizer
    if recipe.detection:
        path = find_model(model, BUNDLED_DETECTORS)
        Detector.load(path)
        optimizer = {"lr": usual.lr / 3, "head_lr": usual.head_lr and usual.head_lr / 3}
    else:
        path = find_model(model)
        head_lr = usual.head_lr or usual.lr
        has_new = new_classes(classes, Classifier.load(path).classes)
        optimizer = {"lr": usual.lr / 10, "head_lr": head_lr if has_new else None}
    changes = {"weights": model, "frozen_statistics": True}
    update = {
        "network": recipe.network.model_copy(update=changes),
        "input": recipe.input.model_copy(update={"normalize": _normalization(path)}),
        "optimizer": usual.model_copy(update=optimizer),
        "epochs": ceil(recipe.epochs / 4),
        "teacher": None,
    }
    return recipe.model_copy(update=update)


def _normalization(path: Path) -> Normalization:
    constants = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    if not {"scale", "shift"} <= constants.keys():
        raise ModelError(f"{path} cannot be fine-tuned: it was not exported from a run")
    scale, shift = (numpy_helper.to_array(constants[name]).ravel() for name in ("scale", "shift"))
    mean, std = -shift / scale / 255, 1 / scale / 255
    return Normalization(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def float_layers(graph: onnx.GraphProto, kind: str) -> Iterator[Layer]:
    """Yield layers of a kind in the order of computation, with float weights.

    Each is named after its weight in the network, or after its node if the export folded a
    BatchNorm into it.

    An int8 weight is dithered: a value that rounds to it is drawn at random. Otherwise small
    changes by fine-tuning would be rounded away when the result is quantized again.
    """
    dither = np.random.default_rng(0)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}

    def value(name: str) -> tuple[str, NDArray[np.float32]]:
        if name in constants:
            return name, numpy_helper.to_array(constants[name]).astype(np.float32)
        node = made_by[name]
        if node.op_type != "DequantizeLinear":
            raise KeyError(name)
        key, numbers = value(node.input[0])
        scale, zero = (value(each)[1] for each in node.input[1:3])
        axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
        axis = axes[0] if axes else 1
        if scale.ndim == 1 and scale.size > 1:
            shape = [1] * numbers.ndim
            shape[axis] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        if constants[key].data_type == onnx.TensorProto.INT8:
            numbers += dither.uniform(-0.5, 0.5, numbers.shape).astype(np.float32)
        return key.removesuffix("_quantized"), (numbers - zero) * scale

    for node in graph.node:
        if node.op_type == kind:
            try:
                (key, weight), (_, bias) = value(node.input[1]), value(node.input[2])
            except (KeyError, IndexError):  # computed from the photo, or without a bias
                continue
            transposed = [a.i for a in node.attribute if a.name == "transB"] == [1]
            key = key if key.startswith("network.") else node.name
            yield key, weight.T if kind == "Gemm" and not transposed else weight, bias


def _paired(
    ours: Sequence[Ours], layers: Sequence[Layer], path: Path
) -> Iterator[tuple[Ours, Layer]]:
    if len(ours) != len(layers):
        raise ModelError(
            f"{path} has {len(layers)} layers where the recipe's network has {len(ours)}"
        )
    return zip(ours, layers, strict=True)


@torch.no_grad()
def fill(module: nn.Module, layer: Layer, path: Path) -> None:
    """Give a convolution or linear layer the weights and, if it has one, the bias of a layer.

    Raises:
        ModelError: the shapes differ.
    """
    assert isinstance(module, nn.Conv2d | nn.Linear)
    key, weight, bias = layer
    if module.weight.shape != weight.shape:
        raise ModelError(
            f"{path}: {key} is {'×'.join(map(str, weight.shape))}, the recipe's network needs"
            f" {'×'.join(map(str, module.weight.shape))}"
        )
    module.weight.copy_(torch.from_numpy(weight.copy()))
    if module.bias is not None:
        module.bias.copy_(torch.from_numpy(bias.copy()))


@torch.no_grad()
def freeze_statistics(norm: nn.BatchNorm2d, scale: Array | float, bias: Array) -> None:
    """Make a BatchNorm with frozen statistics scale by a factor, add a bias and do nothing else."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.copy_(torch.as_tensor(scale).float())
    norm.bias.copy_(torch.from_numpy(bias.copy()))
