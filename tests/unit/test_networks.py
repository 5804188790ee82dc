from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from platecheck.training.networks import NETWORKS, find_network
from platecheck.training.plate_net import PlateNet, build_network
from platecheck.training.recipe import Network, load_recipe

torch.set_num_threads(1)  # the tensors are small: threads would wait for each other


def shipped(name: str) -> PlateNet:
    recipe = load_recipe(name)
    return build_network(recipe.network, classes=2, size=recipe.input.size)


def small(name: str, *, frozen: bool, size: int = 64) -> PlateNet:
    torch.manual_seed(0)
    network = load_recipe(name, [f"network.frozen={frozen}"]).network
    return build_network(network, classes=2, size=size)


def layers(network: nn.Module) -> list[str]:
    """Layers in the order of the forward pass, as the reference lists them."""
    return [
        describe(module)
        for module in network.modules()
        if not isinstance(module, nn.Sequential | PlateNet)
    ]


def describe(layer: nn.Module) -> str:
    match layer:
        case nn.Conv2d():
            assert (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
            assert layer.bias is not None
            size, padding = layer.kernel_size, layer.padding
            return f"conv {layer.in_channels}→{layer.out_channels}, {size}, pad {padding}"
        case nn.BatchNorm2d():
            assert layer.affine
            assert layer.track_running_stats
            return f"batch norm {layer.num_features}"
        case nn.MaxPool2d():
            assert (layer.padding, layer.dilation, layer.ceil_mode) == (0, 1, False)
            return f"max pool {layer.kernel_size} by {layer.stride}"
        case nn.Linear():
            assert layer.bias is not None
            return f"linear {layer.in_features}→{layer.out_features}"
        case nn.Dropout():
            return f"dropout {layer.p}"
    return type(layer).__name__


def block(channels_in: int, channels_out: int) -> list[str]:
    return [
        f"conv {channels_in}→{channels_out}, (3, 3), pad (1, 1)",
        f"batch norm {channels_out}",
        "ReLU",
        f"conv {channels_out}→{channels_out}, (3, 3), pad (1, 1)",
        f"batch norm {channels_out}",
        "ReLU",
        "max pool 2 by 2",
        "dropout 0.3",
    ]


def test_tiny_vgg_has_the_references_layers() -> None:
    network = shipped("tiny_vgg")
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_170_066
    assert layers(network) == [
        *block(3, 16),
        *block(16, 32),
        *block(32, 64),
        "Flatten",
        "linear 16384→128",
        "ReLU",
        "dropout 0.5",
        "linear 128→2",
    ]
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "features"), [("efficientnet_b2", 1408), ("efficientnet_lite2", 1280)]
)
def test_transfer_head_has_the_references_layers(name: str, features: int) -> None:
    network = shipped(name)
    assert layers(network.head) == [
        "dropout 0.5",
        f"linear {features}→256",
        "ReLU",
        "dropout 0.5",
        "linear 256→2",
    ]
    assert network.eval().backbone(torch.zeros(1, 3, 64, 64)).shape == (1, features)


@pytest.mark.parametrize("size", [50, 64])
@pytest.mark.parametrize("name", ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2"])
def test_network_for_any_size_returns_a_logit_per_class(name: str, size: int) -> None:
    network = build_network(load_recipe(name).network, classes=3, size=size).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 3)


def train_a_step(network: PlateNet, size: int = 64) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors before and after one step with a high learning rate."""
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    network.train()
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1.0, weight_decay=0.1)
    nn.functional.cross_entropy(
        network(torch.randn(4, 3, size, size)), torch.arange(4) % 2
    ).backward()
    optimizer.step()
    return before, network.state_dict()


@pytest.mark.parametrize("name", ["tiny_vgg", "efficientnet_b2", "efficientnet_lite2"])
def test_frozen_network_trains_only_the_head(name: str) -> None:
    network = small(name, frozen=True)
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())
    assert all(parameter.requires_grad for parameter in network.head.parameters())
    before, after = train_a_step(network)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    # BatchNorm's running statistics are among the backbone's tensors.
    assert any(key.endswith("running_mean") for key in before)
    assert changed == {key for key in before if key.startswith("head.")}


def test_frozen_network_in_training_mode_drops_only_in_the_head() -> None:
    network = small("efficientnet_b2", frozen=True).train()
    assert not any(module.training for module in network.backbone.modules())
    assert all(module.training for module in network.head.modules())
    photos = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.backbone(photos), network.backbone(photos))
    assert not torch.equal(network(photos), network(photos))
    assert not any(module.training for module in network.eval().modules())


@pytest.mark.parametrize("size", [50, 97, 128])
def test_lite2_with_fixed_padding_equals_timms(size: int) -> None:
    ours = small("efficientnet_lite2", frozen=False, size=size).backbone.eval()
    import timm  # after platecheck, which prepares torchvision

    timms = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    timms.load_state_dict(ours.state_dict())
    photos = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(ours(photos), timms(photos))


def test_learned_state_is_the_network_or_the_head_if_frozen() -> None:
    whole, frozen = small("tiny_vgg", frozen=False), small("tiny_vgg", frozen=True)
    assert list(whole.learned_state()) == list(whole.state_dict())
    assert list(frozen.learned_state()) == [
        key for key in frozen.state_dict() if key.startswith("head.")
    ]
    for network in (whole, frozen):
        tensors = network.state_dict()
        for key, tensor in network.learned_state().items():
            assert torch.equal(tensor, tensors[key])
            assert tensor.is_contiguous()
            # A later step must not change what was kept.
            assert tensor.data_ptr() != tensors[key].data_ptr()


@pytest.mark.parametrize("name", ["tiny_vgg", "efficientnet_lite2"])
def test_head_without_hidden_units_is_one_linear_layer(name: str) -> None:
    recipe = Network(name=name, head=0, head_dropout=0.2)
    network = build_network(recipe, classes=3, size=64).eval()
    assert [type(layer) for layer in network.head] == [nn.Dropout, nn.Linear]
    logits = network(torch.randn(4, 3, 64, 64))
    assert logits.shape == (4, 3)
    assert not torch.allclose(logits[0], logits[1])  # it depends on the photo


class TestHeatmap:
    @pytest.fixture(scope="class", params=[96])
    @staticmethod
    def network(request: pytest.FixtureRequest) -> tuple[PlateNet, int]:
        torch.manual_seed(0)
        recipe = Network(name="efficientnet_lite2", head=0, heatmap=True)
        return build_network(recipe, classes=2, size=request.param).eval(), request.param

    @torch.no_grad()
    def test_forward_with_heatmap_returns_logits_heatmap_and_stage_means(
        self, network: tuple[PlateNet, int]
    ) -> None:
        net, size = network
        photos = torch.randn(2, 3, size, size)
        seen: list[Tensor] = []
        hooks = [
            net.backbone.blocks[stage].register_forward_hook(
                lambda _module, _inputs, output: seen.append(output.mean(dim=(2, 3)))
            )
            for stage in (2, 4, 5, 6)
        ]
        logits, dirt, pooled = net.forward_with_heatmap(photos)
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(pooled, torch.cat(seen, dim=1))
        assert torch.allclose(logits, net(photos), atol=1e-5)
        assert dirt.shape == (2, size // 8, size // 8)


def test_frozen_statistics_stay_while_all_weights_train() -> None:
    recipe = Network(name="efficientnet_lite2", head=0, frozen_statistics=True)
    network = build_network(recipe, classes=2, size=64).train()
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
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text("[platecheck.networks]\ntheirs = their_networks\n")
    assert find_network("theirs") is None
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert load_recipe("tiny_vgg", ["network.name=theirs"]).network.name == "theirs"
    finally:
        NETWORKS.pop("theirs", None)
