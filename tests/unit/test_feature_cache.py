import pytest
import torch
from torch import nn

from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.plate_net import PlateNet, build_network
from platecheck.training.pretrained import load_pretrained
from platecheck.training.recipe import Network

torch.set_num_threads(1)  # the tensors are small: threads would wait for each other

SIZE = 64
CPU = torch.device("cpu")


def network(name: str) -> PlateNet:
    """Frozen; with ImageNet weights where they are at hand, else with statistics of noise."""
    torch.manual_seed(0)
    weights = "imagenet" if name == "efficientnet_lite2" else None
    recipe = Network(name=name, head=16, frozen=True, weights=weights)
    built = build_network(recipe, classes=2, size=SIZE)
    load_pretrained(built, recipe, ("clean", "dirty"))
    if weights is None:
        for module in built.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        built.backbone.train()(torch.randn(8, 3, SIZE, SIZE))
        built.backbone.eval()
    return built


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("efficientnet_lite2", 1e-4),
        ("tiny_vgg", 1e-4),
        # Random weights in so many layers blow up what is rounded, by a factor of a hundred.
        ("efficientnet_b2", 1e-2),
    ],
)
def test_features_of_onnx_runtime_equal_pytorchs(name: str, tolerance: float) -> None:
    plate_net = network(name).train()
    frozen = FrozenBackbone(plate_net.backbone, size=SIZE, device=CPU)
    assert frozen.session is not None
    for count in (1, 3):
        photos = torch.randn(count, 3, SIZE, SIZE)
        with torch.no_grad():
            theirs = plate_net.backbone(photos)
        assert theirs.abs().max() > 0.5
        torch.testing.assert_close(frozen(photos), theirs, atol=tolerance, rtol=0)


def test_frozen_backbone_leaves_the_network_unchanged() -> None:
    plate_net = network("tiny_vgg").train()
    modes = [module.training for module in plate_net.modules()]
    before = {key: tensor.clone() for key, tensor in plate_net.state_dict().items()}
    FrozenBackbone(plate_net.backbone, size=SIZE, device=CPU)
    assert [module.training for module in plate_net.modules()] == modes
    assert all(torch.equal(before[k], tensor) for k, tensor in plate_net.state_dict().items())
