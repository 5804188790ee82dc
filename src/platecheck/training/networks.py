"""The networks: a backbone that computes features and a head that computes logits."""

from typing import Any

import torch
from torch import Tensor, nn

from platecheck.cpus import cpu_count
from platecheck.training import torchvision_guard
from platecheck.training.recipe import Network

torchvision_guard.install()
# torch counts the CPUs of the machine, of which a container may be allowed fewer.
torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))

import timm  # noqa: E402
import torchvision  # noqa: E402
from timm.layers.conv2d_same import Conv2dSame  # noqa: E402
from timm.layers.padding import get_same_padding  # noqa: E402


class PlateNet(nn.Module):
    """A backbone and a head.

    Attributes:
        backbone: photos [N, 3, H, W], normalised, to features [N, F].
        head: features [N, F] to logits [N, classes].
        frozen: the backbone is not trained and stays in evaluation mode, so that BatchNorm keeps
            its ImageNet statistics.
        frozen_statistics: BatchNorm keeps its statistics while all weights are trained.
        evidence: the heatmap head, or None; the attribute's name is part of saved weights' keys.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        frozen: bool,
        frozen_statistics: bool = False,
        evidence: "HeatmapHead | None" = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        self.frozen_statistics = frozen_statistics
        self.evidence = evidence
        if frozen:
            self.backbone.requires_grad_(False)
        # Lightning does not call train() itself.
        self.train()

    def forward(self, photos: Tensor) -> Tensor:
        """Return logits [N, classes] of normalized photos [N, 3, H, W]."""
        features: Tensor = self.backbone(photos)
        logits: Tensor = self.head(features)
        return logits

    def with_heatmap(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [N, classes], heatmap logits [N, h, w] and pooled features [N, F].

        The pooled features are channel means of several blocks, for out-of-distribution detection.
        """
        assert self.evidence is not None
        features, maps = forward_intermediates(self.backbone, photos)
        pooled = torch.cat([maps[number].mean(dim=(2, 3)) for number in POOLED_BLOCKS], dim=1)
        return self.head(features), self.evidence(maps[FINE], maps[MIDDLE]), pooled

    def train(self, mode: bool = True) -> "PlateNet":
        """Set the mode, except for a frozen backbone and frozen statistics."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        if self.frozen_statistics:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class HeatmapHead(nn.Module):
    """Predicts where the dirt is from feature maps of stride 8 and 16."""

    def __init__(self, fine: int, middle: int, channels: int = 32) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, channels, 1)
        self.middle = nn.Conv2d(middle, channels, 1)
        self.join = nn.Conv2d(channels, channels, 3, padding=1)
        self.dirt = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.dirt.bias, -3.0)  # type: ignore[arg-type]  # dirt is rare

    def forward(self, fine: Tensor, middle: Tensor) -> Tensor:
        """Return logits [N, h, w] for features [N, fine, h, w] and [N, middle, h / 2, w / 2]."""
        enlarged = nn.functional.interpolate(self.middle(middle), scale_factor=2.0)
        joined = torch.relu(self.join(torch.relu(self.fine(fine) + enlarged)))
        logits: Tensor = self.dirt(joined)[:, 0]
        return logits


def forward_intermediates(backbone: nn.Module, photos: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return EfficientNet-Lite2's features [N, 1280] and the outputs of its seven stages."""
    lite: Any = backbone
    found = lite.bn1(lite.conv_stem(photos))
    maps = []
    for block in lite.blocks:
        found = block(found)
        maps.append(found)
    features: Tensor = lite.forward_head(lite.bn2(lite.conv_head(found)))
    return features, maps


# Stages of EfficientNet-Lite2 with stride 8 and 16, and their channels.
FINE, FINE_CHANNELS = 2, 48
MIDDLE, MIDDLE_CHANNELS = 4, 120
# Stages that are pooled for out-of-distribution detection (docs/experiments.md).
POOLED_BLOCKS = (2, 4, 5, 6)


def build_network(recipe: Network, *, classes: int, size: int) -> PlateNet:
    """Build a network with random weights; `platecheck.training.pretrained` fills them.

    Args:
        recipe: the network's part of a recipe.
        classes: number of classes.
        size: side of the input in pixels; TinyVGG's first linear layer depends on it.
    """
    builders = {
        "tiny_vgg": _tiny_vgg,
        "efficientnet_b2": _efficientnet_b2,
        "efficientnet_lite2": _efficientnet_lite2,
    }
    backbone, head = builders[recipe.name](recipe, classes, size)
    return PlateNet(
        backbone,
        head,
        frozen=recipe.frozen,
        frozen_statistics=recipe.frozen_statistics,
        evidence=HeatmapHead(FINE_CHANNELS, MIDDLE_CHANNELS) if recipe.heatmap else None,
    )


def _vgg_block(channels_in: int, channels_out: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for seen in (channels_in, channels_out):
        convolution = nn.Conv2d(seen, channels_out, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout(dropout))


def _tiny_vgg(recipe: Network, classes: int, size: int) -> tuple[nn.Module, nn.Module]:
    backbone = nn.Sequential(
        _vgg_block(3, 16, recipe.dropout),
        _vgg_block(16, 32, recipe.dropout),
        _vgg_block(32, 64, recipe.dropout),
        nn.Flatten(),
    )
    return backbone, _head(64 * (size // 8) ** 2, recipe, classes, dropped=not recipe.head)


def _head(features: int, recipe: Network, classes: int, *, dropped: bool = True) -> nn.Module:
    """The classifier; it replaces ImageNet's. `dropped`: dropout of the features, too."""
    layers: list[nn.Module] = [nn.Dropout(recipe.head_dropout)] if dropped else []
    if recipe.head:
        layers += [nn.Linear(features, recipe.head), nn.ReLU(), nn.Dropout(recipe.head_dropout)]
        features = recipe.head
    return nn.Sequential(*layers, nn.Linear(features, classes))


def _efficientnet_b2(recipe: Network, classes: int, _size: int) -> tuple[nn.Module, nn.Module]:
    network = torchvision.models.efficientnet_b2(weights=None)
    backbone = nn.Sequential(network.features, network.avgpool, nn.Flatten())
    return backbone, _head(1408, recipe, classes)


def _efficientnet_lite2(recipe: Network, classes: int, size: int) -> tuple[nn.Module, nn.Module]:
    backbone = timm.create_model("tf_efficientnet_lite2", pretrained=False, num_classes=0)
    _pad_for(backbone, size)
    return backbone, _head(1280, recipe, classes)


class _PaddedConv2d(nn.Conv2d):
    """A convolution with TensorFlow's asymmetric padding, computed once."""

    same_padding: tuple[int, int]

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            exported: Tensor = _PaddedConvolution.apply(  # type: ignore[no-untyped-call]
                inputs, self.weight, self.stride, self.same_padding, self.groups
            )
            return exported
        return super().forward(nn.functional.pad(inputs, 2 * self.same_padding))


class _PaddedConvolution(torch.autograd.Function):
    """Export as one ONNX node: Conv takes asymmetric padding, unlike PyTorch's convolution."""

    @staticmethod
    def forward(
        _ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int,
    ) -> Tensor:
        padded = nn.functional.pad(inputs, 2 * padding)
        return nn.functional.conv2d(padded, weight, stride=stride, groups=groups)

    @staticmethod
    def symbolic(
        graph: Any,
        inputs: Any,
        weight: Any,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int,
    ) -> Any:
        before, after = padding
        pads = [before, before, after, after]
        return graph.op("Conv", inputs, weight, strides_i=stride, pads_i=pads, group_i=groups)


@torch.no_grad()
def _pad_for(backbone: nn.Module, size: int) -> None:
    """Fix the padding that timm computes in every forward pass.

    The exported graph then has no shape arithmetic, which is slow and prevents fusion in
    quantization. The convolutions keep their weights and names.
    """
    padded = [module for module in backbone.modules() if isinstance(module, Conv2dSame)]
    sides: dict[nn.Module, int] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, inputs: sides.update({module: inputs[0].shape[-1]})
        )
        for module in padded
    ]
    backbone.eval()(torch.zeros(1, 3, size, size))
    backbone.train()
    for module, hook in zip(padded, hooks, strict=True):
        hook.remove()
        total = get_same_padding(sides[module], module.kernel_size[0], module.stride[0], 1)
        module.__class__ = _PaddedConv2d  # type: ignore[assignment]
        vars(module)["same_padding"] = (total // 2, total - total // 2)


def learned_state(network: PlateNet) -> dict[str, Tensor]:
    """Return the trained tensors: all, or only the head's if the backbone is frozen."""
    return {
        key: tensor.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for key, tensor in network.state_dict().items()
        if not (network.frozen and key.startswith("backbone."))
    }
