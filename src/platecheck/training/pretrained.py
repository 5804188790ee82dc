"""Load initial weights: ImageNet's or a file's, never an unsafe pickle."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from platecheck.classifier import Classifier
from platecheck.errors import ModelError
from platecheck.model_info import first_line
from platecheck.training.networks import NETWORKS
from platecheck.training.onnx_import import (
    explain_classes,
    load_onnx_weights,
    rows_by_name,
    started_from,
)
from platecheck.training.plate_net import PlateNet
from platecheck.training.recipe import Network

State = dict[str, Tensor]


def load_pretrained(network: PlateNet, recipe: Network, classes: Sequence[str]) -> str:
    """Fill a network with the weights that its recipe names.

    A file is an exported model, or a state dict of the published network (without its classifier)
    or of platecheck's own, as a run saves it. The rows of an exported or saved last layer are
    matched by class name.

    Returns:
        How classes were matched, in one line; "" if they are the same.

    Raises:
        ModelError: there are no such weights, or they do not fit.
    """
    if recipe.weights is None:
        return ""
    if exported := started_from(recipe):
        load_onnx_weights(network, recipe.name, exported, classes)
        return explain_classes(recipe.weights, classes, Classifier.load(exported).classes)
    if recipe.weights != "imagenet":
        return _load_file(network, recipe.name, Path(recipe.weights), classes)
    imagenet = NETWORKS[recipe.name].imagenet
    if imagenet is None:
        raise ModelError(f"there are no ImageNet weights for {recipe.name}")
    network.backbone.load_state_dict(dict(imagenet(network.backbone)))
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
            f"{path} contains more than tensors (weights_only): {first_line(error)}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} is not a state dict: expected a mapping of names to tensors")
    return dict(state)


def _load_file(network: PlateNet, name: str, path: Path, classes: Sequence[str]) -> str:
    state, known = read_state(path), _classes_of(path)
    last = [f"head.{key}" for key in list(network.head.state_dict())[-2:]]
    saved_by_us = [key for key in last if key in state]
    for key in saved_by_us:
        state[key] = rows_by_name(state[key], classes, known or ())
    if set(state) != set(network.state_dict()):
        state = {_our_key(name, k): v for k, v in state.items() if not k.startswith("classifier.")}
    _load_state(network, name, state, path)
    if not saved_by_us:
        return ""
    if known is None:
        return f"{path} does not name its classes, so they are trained from scratch"
    return explain_classes(str(path), classes, known)


def _classes_of(path: Path) -> list[str] | None:
    """Return the classes that a run's weights name, or, before 0.2, its run folder."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                if names := (file.metadata() or {}).get("classes"):
                    return list(json.loads(names))
        facts = (path.absolute().parent.parent / "run.json").read_text(encoding="utf-8")
        return list(json.loads(facts)["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _our_key(name: str, key: str) -> str:
    """Return our name of a published network's tensor."""
    for theirs, ours in NETWORKS[name].prefixes.items():
        if key.startswith(theirs):
            return f"backbone.{ours}{key.removeprefix(theirs)}"
    return f"backbone.{key}"


def _load_state(network: PlateNet, name: str, state: State, path: Path) -> None:
    """Load a whole backbone and what there is of the head, which otherwise stays random."""
    ours = network.state_dict()
    problems = {
        "lack": [key for key in ours if key.startswith("backbone.") and key not in state],
        "have an unknown": [key for key in state if key not in ours],
        "misshape": [k for k, v in state.items() if k in ours and ours[k].shape != v.shape],
    }
    for problem, keys in problems.items():
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"weights {path} do not fit {name}: they {problem} {min(keys)}{more}")
    network.load_state_dict(state, strict=False)
