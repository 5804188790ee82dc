"""The detector: a backbone, a feature pyramid and a head without anchor boxes (FCOS).

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, 2019. As in Generalized Focal
Loss (Li et al., 2020) the score of a box is its expected intersection over union.
"""

import math
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from platecheck.detector import Detector
from platecheck.errors import ModelError
from platecheck.model_file import BUNDLED_DETECTORS, find_model
from platecheck.training import torchvision_guard
from platecheck.training.networks import NETWORKS
from platecheck.training.onnx_import import Layer, fill, float_layers, freeze_statistics
from platecheck.training.plate_net import TrainedNet
from platecheck.training.pretrained import read_state
from platecheck.training.recipe import Recipe

torchvision_guard.install()

from timm.layers.norm_act import BatchNormAct2d  # noqa: E402

STRIDES = (8, 16, 32)
PRIOR = 0.01  # score of all positions before training


class DishDetector(TrainedNet):
    """Scores and boxes at every position of three feature maps.

    Attributes:
        backbone: the recipe's network, of which only `stages` are used.
        positions: centres (x, y) of the positions and their strides, in pixels [A, 3].
    """

    def __init__(self, backbone: nn.Module, recipe: Recipe) -> None:
        super().__init__(backbone, frozen_statistics=recipe.network.frozen_statistics)
        stages = NETWORKS[recipe.network.name].stages
        assert stages is not None
        assert recipe.detection is not None
        width, levels = recipe.detection.channels, (stages.fine, stages.middle, stages.coarse)
        for block in range(recipe.detection.frozen_blocks):
            backbone.get_submodule("conv_stem").requires_grad_(False)
            backbone.get_submodule(f"blocks.{block}").requires_grad_(False)
        self.stages = [name for name, _ in levels]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for _, channels in levels)
        self.stem, self.score_tower, self.box_tower = (_Shared(width) for _ in range(3))
        self.score = nn.Conv2d(width, 1, 1)
        self.distances = nn.Conv2d(width, 4, 1)
        nn.init.constant_(self.score.bias, math.log(PRIOR / (1 - PRIOR)))  # type: ignore[arg-type]
        nn.init.constant_(self.distances.bias, 2.0)  # type: ignore[arg-type]
        self.positions = nn.Buffer(_positions(recipe.input.size), persistent=False)
        self.train()

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Return score logits [N, A] and boxes [N, A, 4] in pixels of photos [N, 3, S, S]."""
        logits, distances = [], []
        for level, features in enumerate(self._pyramid(photos)):
            shared = self.stem(features, level)
            logits.append(self.score(self.score_tower(shared, level)).flatten(1))
            sides = self.distances(self.box_tower(shared, level))
            distances.append(sides.flatten(2).transpose(1, 2))
        reach = nn.functional.softplus(torch.cat(distances, dim=1).float())
        reach = reach * self.positions[:, 2:]
        centres = self.positions[:, :2]
        boxes = torch.cat((centres - reach[..., :2], centres + reach[..., 2:]), dim=-1)
        return torch.cat(logits, dim=1).float(), boxes

    def _pyramid(self, photos: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        features = self.backbone.bn1(self.backbone.conv_stem(photos))  # type: ignore[operator]
        for name, block in self.backbone.blocks.named_children():  # type: ignore[union-attr]
            features = block(features)
            if f"blocks.{name}" in self.stages:
                maps.append(features)
        joined: list[Tensor] = []
        for lateral, fine in zip(reversed(self.laterals), reversed(maps), strict=True):
            level = lateral(fine)
            if joined:
                level = level + nn.functional.interpolate(joined[0], scale_factor=2.0)
            joined.insert(0, level)
        return joined


class _Shared(nn.Module):
    """A convolution shared by the levels, with normalization of their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in STRIDES)

    def forward(self, features: Tensor, level: int) -> Tensor:
        return torch.relu(self.norms[level](self.convolution(features)))


def build_detector(recipe: Recipe) -> DishDetector:
    """Build a detector with random or ImageNet's weights, or those of a run or an exported file.

    Raises:
        ModelError: there are no such weights, or they do not fit.
    """
    spec = NETWORKS[recipe.network.name]
    backbone: Any = spec.build(recipe.network, 1, recipe.input.size)[0]
    weights = recipe.network.weights
    if weights == "imagenet":
        if spec.imagenet is None:
            raise ModelError(f"there are no ImageNet weights for {recipe.network.name}")
        backbone.load_state_dict(dict(spec.imagenet(backbone)))
    backbone.conv_head, backbone.bn2 = nn.Identity(), nn.Identity()
    fold_normalization(backbone)
    detector = DishDetector(backbone, recipe)
    if not weights or weights == "imagenet":
        return detector
    path = find_model(weights, BUNDLED_DETECTORS)
    try:
        if path.suffix == ".onnx":
            _load_exported(detector, path, recipe.network.name)
        else:
            detector.load_state_dict(read_state(path))
    except (AttributeError, KeyError, RuntimeError) as error:  # names or shapes differ
        raise ModelError(f"weights {weights} do not fit {recipe.name}: {error}") from error
    return detector


def _load_exported(detector: DishDetector, path: Path, name: str) -> None:
    """Fill a detector, whose BatchNorm keeps its statistics, with the weights of an exported file.

    Each level of the file has convolutions of its own, into which that level's BatchNorm is folded:
    the finest level's are taken, and the others' BatchNorm scales them.
    """
    info = Detector.load(path).info
    if info.network != name:
        raise ModelError(f"{path} has the network {info.network}, the recipe {name}")
    unfilled = {name for name, part in detector.named_modules() if isinstance(part, nn.Conv2d)}
    shared: dict[str, dict[int, Layer]] = defaultdict(dict)
    for layer in float_layers(onnx.load(path).graph, "Conv"):
        if folded := re.fullmatch(r"/network/(\w+)/convolution(?:_(\d))?/Conv", layer[0]):
            shared[folded[1]][int(folded[2] or 0)] = layer
        else:
            name = layer[0].removeprefix("network.").removesuffix(".weight")
            fill(detector.get_submodule(name), layer, path)
            unfilled.discard(name)
    for tower, levels in shared.items():
        module = cast(_Shared, detector.get_submodule(tower))
        fill(module.convolution, levels[0], path)
        unfilled.discard(f"{tower}.convolution")
        finest = levels[0][1]
        square = np.maximum((finest**2).sum(axis=(1, 2, 3)), 1e-12)
        for level, (_, weight, bias) in levels.items():
            scale = (weight * finest).sum(axis=(1, 2, 3)) / square
            freeze_statistics(cast(nn.BatchNorm2d, module.norms[level]), scale, bias)
    if unfilled:
        raise ModelError(f"{path} lacks {min(unfilled)}, which the recipe's network has")


def fold_normalization(backbone: nn.Module) -> None:
    """Replace timm's BatchNorm layers by their activations, and scale the convolutions before them.

    Their statistics are those of ImageNet, too good to be estimated from a few photos. As part of
    the convolutions they cost nothing.
    """
    for block in [backbone, *backbone.modules()]:
        children = list(block.named_children())
        for (_, convolution), (name, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                fused: Any = fuse_conv_bn_weights(
                    convolution.weight,
                    convolution.bias,
                    cast(Tensor, norm.running_mean),
                    cast(Tensor, norm.running_var),
                    norm.eps,
                    norm.weight,
                    norm.bias,
                )
                convolution.weight, convolution.bias = (each.requires_grad_() for each in fused)
                setattr(block, name, norm.act)


def _positions(size: int) -> Tensor:
    rows = []
    for stride in STRIDES:
        steps = (torch.arange(size // stride) + 0.5) * stride
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        rows.append(torch.stack((x, y, torch.full_like(x, stride)), dim=-1).reshape(-1, 3))
    return torch.cat(rows)
