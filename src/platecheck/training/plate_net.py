"""A backbone that computes features, a head that computes logits, and a heatmap head."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from platecheck.cpus import cpu_count
from platecheck.training import torchvision_guard
from platecheck.training.networks import NETWORKS, Stages
from platecheck.training.recipe import Network

torchvision_guard.install()
# torch uses all CPUs of the machine; a container may be limited to fewer.
torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))

from timm.layers.conv2d_same import Conv2dSame  # noqa: E402
from timm.layers.padding import get_same_padding  # noqa: E402

Pair = tuple[int, int]


class TrainedNet(nn.Module):
    """A network with a backbone, parts of which may be frozen.

    Attributes:
        backbone: a registered network without its head.
        frozen: the backbone is not trained and stays in evaluation mode.
        frozen_statistics: BatchNorm keeps its statistics while all weights are trained.
    """

    def __init__(
        self, backbone: nn.Module, *, frozen: bool = False, frozen_statistics: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.frozen = frozen
        self.frozen_statistics = frozen_statistics
        if frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, except for a frozen backbone and frozen statistics."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def learned_state(self) -> dict[str, Tensor]:
        """Return the state dict of the trained parts: without the backbone if it is frozen."""
        return {
            key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, tensor in self.state_dict().items()
            if not (self.frozen and key.startswith("backbone."))
        }


class PlateNet(TrainedNet):
    """A backbone and a head.

    Attributes:
        backbone: normalized photos [N, 3, H, W] to features [N, F].
        head: features to logits [N, classes].
        evidence: the heatmap head, or None; the attribute's name is part of saved weights' keys.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        frozen: bool,
        frozen_statistics: bool = False,
        stages: Stages | None = None,
    ) -> None:
        super().__init__(backbone, frozen=frozen, frozen_statistics=frozen_statistics)
        self.head = head
        self.stages = stages
        self.evidence = HeatmapHead(stages.fine[1], stages.middle[1]) if stages else None
        # Lightning does not call train() itself.
        self.train()

    def forward(self, photos: Tensor) -> Tensor:
        """Return logits [N, classes] of normalized photos [N, 3, H, W]."""
        logits: Tensor = self.head(self.backbone(photos))
        return logits

    def forward_with_heatmap(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [N, classes], heatmap logits [N, h, w] and pooled features [N, F].

        The pooled features are channel means of several stages, for out-of-distribution detection.
        """
        assert self.stages is not None
        assert self.evidence is not None
        maps: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            return lambda _module, _inputs, output: maps.update({name: output})

        fine, middle = self.stages.fine[0], self.stages.middle[0]
        hooks = [
            self.backbone.get_submodule(name).register_forward_hook(keep(name))
            for name in {fine, middle, *self.stages.pooled}
        ]
        try:
            logits = self(photos)
        finally:
            for hook in hooks:
                hook.remove()
        pooled = torch.cat([maps[name].mean(dim=(2, 3)) for name in self.stages.pooled], dim=1)
        return logits, self.evidence(maps[fine], maps[middle]), pooled


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


def build_network(recipe: Network, *, classes: int, size: int) -> PlateNet:
    """Build a network with random weights, for photos of size × size pixels.

    `platecheck.training.pretrained` fills them.
    """
    spec = NETWORKS[recipe.name]
    backbone, head = spec.build(recipe, classes, size)
    return PlateNet(
        backbone,
        head,
        frozen=recipe.frozen,
        frozen_statistics=recipe.frozen_statistics,
        stages=spec.stages if recipe.heatmap else None,
    )


def classifier_head(
    features: int, recipe: Network, classes: int, *, dropout: bool = True
) -> nn.Module:
    """Build the head of a recipe; `dropout`: also apply dropout to the features."""
    layers: list[nn.Module] = [nn.Dropout(recipe.head_dropout)] if dropout else []
    if recipe.head:
        layers += [nn.Linear(features, recipe.head), nn.ReLU(), nn.Dropout(recipe.head_dropout)]
        features = recipe.head
    return nn.Sequential(*layers, nn.Linear(features, classes))


class _PaddedConv2d(nn.Conv2d):
    """A convolution with TensorFlow's asymmetric padding, computed once."""

    same_padding: Pair

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            exported: Tensor = _PaddedConvolution.apply(  # type: ignore[no-untyped-call]
                inputs, self.weight, self.bias, self.stride, self.same_padding, self.groups
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
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        groups: int,
    ) -> Tensor:
        padded = nn.functional.pad(inputs, 2 * padding)
        return nn.functional.conv2d(padded, weight, bias, stride=stride, groups=groups)

    @staticmethod
    def symbolic(
        graph: Any,
        inputs: Any,
        weight: Any,
        bias: Any,
        stride: Pair,
        padding: Pair,
        groups: int,
    ) -> Any:
        before, after = padding
        pads = [before, before, after, after]
        given = (
            [inputs, weight] if bias is None or bias.node().mustBeNone() else [inputs, weight, bias]
        )
        return graph.op("Conv", *given, strides_i=stride, pads_i=pads, group_i=groups)


@torch.no_grad()
def fix_padding(backbone: nn.Module, size: int) -> None:
    """Fix the padding that timm computes in every forward pass, for photos of one size.

    The exported graph then has no shape arithmetic, which is slow and prevents fusion in
    quantization. The convolutions keep their weights and names.
    """
    padded = [module for module in backbone.modules() if isinstance(module, Conv2dSame)]
    sides: dict[nn.Module, int] = {}

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        sides[module] = inputs[0].shape[-1]

    hooks = [module.register_forward_pre_hook(note) for module in padded]
    backbone.eval()(torch.zeros(1, 3, size, size))
    backbone.train()
    for module, hook in zip(padded, hooks, strict=True):
        hook.remove()
        total = get_same_padding(sides[module], module.kernel_size[0], module.stride[0], 1)
        module.__class__ = _PaddedConv2d  # type: ignore[assignment]
        vars(module)["same_padding"] = (total // 2, total - total // 2)
