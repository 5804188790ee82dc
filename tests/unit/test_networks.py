from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from platecheck.training.networks import NETWORKS, find_network
from platecheck.training.plate_net import PlateNet, build_network
from platecheck.training.recipe import load_recipe

torch.set_num_threads(1)  # the tensors are small: threads would wait for each other
NAMES = ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2"]


def build(name: str, *changes: str, classes: int = 2, size: int = 64) -> PlateNet:
    torch.manual_seed(0)
    network = load_recipe(name, [f"network.{change}" for change in changes]).network
    return build_network(network, classes=classes, size=size)


def assert_layers(network: nn.Module, *wanted: nn.Module) -> None:
    """Compare layers, with all their settings, in the order of the forward pass."""
    layers = [m for m in network.modules() if not isinstance(m, nn.Sequential | PlateNet)]
    assert list(map(repr, layers)) == list(map(repr, wanted))


def test_tiny_vgg_has_the_references_layers() -> None:
    network = build("tiny_vgg", size=load_recipe("tiny_vgg").input.size)
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_170_066
    blocks: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        for channels in (before, after):
            convolution = nn.Conv2d(channels, after, kernel_size=3, padding=1)
            blocks += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        blocks += [nn.MaxPool2d(2), nn.Dropout(0.3)]
    head = [nn.Linear(16384, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 2)]
    assert_layers(network, *blocks, nn.Flatten(), *head)
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "features"), [("efficientnet_b2", 1408), ("efficientnet_lite2", 1280)]
)
def test_transfer_head_has_the_references_layers(name: str, features: int) -> None:
    network = build(name)
    hidden = [nn.Dropout(0.5), nn.Linear(features, 256), nn.ReLU()]
    assert_layers(network.head, *hidden, nn.Dropout(0.5), nn.Linear(256, 2))
    assert network.eval().backbone(torch.zeros(1, 3, 64, 64)).shape == (1, features)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_network_trains_only_the_head(name: str) -> None:
    network = build(name, "frozen=true").train()
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())
    assert all(parameter.requires_grad for parameter in network.head.parameters())
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.head.parameters(), lr=1.0, weight_decay=0.1)
    logits = network(torch.randn(4, 3, 64, 64))
    nn.functional.cross_entropy(logits, torch.arange(4) % 2).backward()
    optimizer.step()
    after = network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    # BatchNorm's running statistics are among the backbone's tensors.
    assert any(key.endswith("running_mean") for key in before)
    assert changed == {key for key in before if key.startswith("head.")}


def test_frozen_network_in_training_mode_drops_only_in_the_head() -> None:
    network = build("efficientnet_b2", "frozen=true").train()
    photos = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.backbone(photos), network.backbone(photos))
    assert not torch.equal(network(photos), network(photos))
    assert not any(module.training for module in network.eval().modules())


@pytest.mark.parametrize("size", [50, 97, 128])
def test_lite2_with_fixed_padding_equals_timms(size: int) -> None:
    ours = build("efficientnet_lite2", "frozen=false", size=size).backbone.eval()
    import timm  # after platecheck, which prepares torchvision

    timms = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    timms.load_state_dict(ours.state_dict())
    photos = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(ours(photos), timms(photos))


@pytest.mark.parametrize("size", [50, 64])
@pytest.mark.parametrize("name", NAMES)
def test_network_for_any_size_returns_a_logit_per_class(name: str, size: int) -> None:
    network = build(name, classes=3, size=size).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize("name", ["tiny_vgg", "efficientnet_lite2"])
def test_head_without_hidden_units_is_one_linear_layer(name: str) -> None:
    network = build(name, "head=0", classes=3).eval()
    assert [type(layer) for layer in network.head] == [nn.Dropout, nn.Linear]
    logits = network(torch.randn(4, 3, 64, 64))
    assert logits.shape == (4, 3)
    assert not torch.allclose(logits[0], logits[1])  # it depends on the photo


@torch.no_grad()
def test_forward_with_heatmap_returns_logits_heatmap_and_stage_means() -> None:
    net = build("efficientnet_lite2", "head=0", "frozen=false", "heatmap=true", size=96).eval()
    photos = torch.randn(2, 3, 96, 96)
    seen: list[Tensor] = []
    for stage in (2, 4, 5, 6):
        net.backbone.blocks[stage].register_forward_hook(
            lambda _module, _inputs, output: seen.append(output.mean(dim=(2, 3)))
        )
    logits, dirt, pooled = net.forward_with_heatmap(photos)
    torch.testing.assert_close(pooled, torch.cat(seen, dim=1))
    assert torch.allclose(logits, net(photos), atol=1e-5)
    assert dirt.shape == (2, 96 // 8, 96 // 8)


def test_frozen_statistics_stay_while_all_weights_train() -> None:
    network = build("efficientnet_lite2", "head=0", "frozen=false", "frozen_statistics=true")
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.training


def test_network_of_an_installed_package_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_networks.py").write_text(
        "from platecheck.training.networks import register_network\n"
        "@register_network('theirs')\n"
        "def theirs(recipe, classes, size): ...\n"
    )
    installed = tmp_path / "their_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[platecheck.networks]\ntheirs = their_networks\n")
    assert find_network("theirs") is None
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert load_recipe("tiny_vgg", ["network.name=theirs"]).network.name == "theirs"
    finally:
        NETWORKS.pop("theirs", None)
