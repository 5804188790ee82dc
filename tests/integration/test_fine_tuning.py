"""Fine-tuning: an exported file, int8 or not, is a start that answers as the file does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from training_fixtures import Cli, gentle

from platecheck.classifier import Classifier, find_model
from platecheck.data.folders import list_photos
from platecheck.errors import ModelError
from platecheck.export.onnx import export
from platecheck.export.ood import import_ood
from platecheck.photo import open_photo
from platecheck.training.onnx_import import fine_tuning, load_onnx_weights
from platecheck.training.plate_net import PlateNet, build_network
from platecheck.training.recipe import Normalization, Recipe, load_recipe
from platecheck.training.run import Run

WriteModel = Callable[..., Path]

pytest_plugins = ["training_fixtures.fixtures"]


CLASSES = ("clean", "dirty")


@dataclass
class Loaded:
    """A network with the weights of a file."""

    network: PlateNet
    normalization: Normalization
    temperature: float

    def inputs(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        normalized = (pixels / 255 - self.normalization.mean) / self.normalization.std
        return torch.from_numpy(normalized).float().permute(0, 3, 1, 2)

    @torch.no_grad()
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = self.network(self.inputs(pixels)) / self.temperature
        probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return probabilities


def as_loaded(recipe: Recipe, model: Path, classes: tuple[str, ...] = CLASSES) -> Loaded:
    started = fine_tuning(recipe, str(model))
    network = build_network(started.network, classes=len(classes), size=started.input.size)
    load_onnx_weights(network, started.network.name, model, classes)
    normalization = started.input.normalize
    assert not isinstance(normalization, str)
    temperature = Classifier.load(model).info.temperature
    return Loaded(network.eval(), normalization, temperature)


def difference(loaded: Loaded, model: Classifier, photos: list[Path]) -> float:
    """Return the largest difference of a probability."""
    pixels = np.stack([open_photo(photo, model.size) for photo in photos])
    return float(np.abs(loaded.probabilities(pixels) - model.probabilities(pixels)).max())


@pytest.fixture(scope="module")
def photos(rendered: Path) -> list[Path]:
    return [photo.path for photo in list_photos(rendered).photos][:16]


def test_load_float32_file_predicts_as_the_file(
    trained: Run, photos: list[Path], tmp_path: Path
) -> None:
    file = export(trained, tmp_path / "m.onnx").path
    whole = as_loaded(gentle(), file)
    assert difference(whole, Classifier.load(file), photos) < 1e-4


@pytest.mark.parametrize(("recipe", "model"), [("plate", "plate"), ("tiny_vgg_plate", "tiny")])
def test_load_int8_file_predicts_nearly_as_the_file(recipe: str, model: str) -> None:
    classifier = Classifier.load(model)
    samples = sorted(Path("samples").glob("*.jpg"))
    whole = as_loaded(load_recipe(recipe), find_model(model))
    # One rounding of the weights: what making it int8 again costs.
    assert difference(whole, classifier, samples) < 0.05


def test_import_ood_scores_as_the_file() -> None:
    classifier, path = Classifier.load("plate"), find_model("plate")
    whole = as_loaded(load_recipe("plate"), path)
    samples = sorted(Path("samples").glob("*.jpg"))
    pixels = np.stack([open_photo(photo, classifier.size) for photo in samples])
    with torch.no_grad():
        look = whole.network.forward_with_heatmap(whole.inputs(pixels))[2].numpy()
    ood = import_ood(path)
    assert ood is not None
    assert ood.limit == classifier.info.ood_threshold
    said = [answer.ood_score for answer in classifier.predict_many(samples)]
    np.testing.assert_allclose(ood.ood_score(look), np.array(said, float), rtol=0.05)
    assert import_ood(find_model("tiny")) is None


def test_load_int8_file_dithers_the_weights() -> None:
    """Else what is learnt would be rounded away in the next int8 file."""
    path = find_model("tiny")
    recipe = load_recipe("tiny_vgg_plate")
    network = build_network(recipe.network, classes=2, size=recipe.input.size)
    load_onnx_weights(network, "tiny_vgg", path, ("clean", "dirty"))
    constants = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    (name,) = [n for n, t in constants.items() if n.endswith("_quantized") and len(t.dims) == 2]
    rounded = numpy_helper.to_array(constants[name]).astype(np.float32)
    scale = numpy_helper.to_array(constants[name.replace("_quantized", "_scale")])
    weight = next(m for m in network.head.modules() if isinstance(m, torch.nn.Linear)).weight
    loaded = weight.detach().numpy()
    rounded = rounded if rounded.shape == loaded.shape else rounded.T
    off = loaded / scale.reshape(-1, 1) - rounded
    assert np.abs(off).max() <= 0.5 + 1e-4
    assert off.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)  # uniform


@pytest.mark.parametrize(
    ("recipe", "says"),
    [("tiny_vgg", "is a efficientnet_lite2"), ("plate_wide", "layers where")],
)
def test_load_file_of_another_network_is_refused(recipe: str, says: str) -> None:
    wide = ["network.head=256"] if recipe == "plate_wide" else []
    wanted = load_recipe(recipe.removesuffix("_wide"), wide)
    with pytest.raises(ModelError, match=says):
        as_loaded(wanted, find_model("plate"))


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (("dirty", "clean"), [1, 0]),
        (("Dirty", "clean"), [1, 0]),
        (("Clean", "DIRTY"), [0, 1]),
    ],
)
def test_head_is_matched_by_class_names(classes: tuple[str, ...], columns: list[int]) -> None:
    whole = as_loaded(load_recipe("tiny_vgg_plate"), find_model("tiny"), classes)
    classifier = Classifier.load("tiny")
    paths = sorted(Path("samples").glob("*.jpg"))
    pixels = np.stack([open_photo(path, classifier.size) for path in paths])
    ours = whole.probabilities(pixels)
    theirs = classifier.probabilities(pixels)[:, columns]
    assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        (("dirty", "washed"), {0: 1}),
        (("bowl", "cup"), {}),
        (("chipped", "clean", "dirty"), {1: 0, 2: 1}),
    ],
)
def test_new_classes_start_at_zero(classes: tuple[str, ...], known: dict[int, int]) -> None:
    before = as_loaded(load_recipe("plate"), find_model("plate")).network.head[-1]
    after = as_loaded(load_recipe("plate"), find_model("plate"), classes).network.head[-1]
    for row in range(len(classes)):
        wanted = before.weight[known[row]] if row in known else torch.zeros_like(after.weight[row])
        assert torch.equal(after.weight[row], wanted)
    rate = fine_tuning(load_recipe("plate"), "plate", classes).optimizer.head_lr
    assert rate == load_recipe("plate").optimizer.head_lr or load_recipe("plate").optimizer.lr


@pytest.mark.slow
def test_fine_tuning_with_a_renamed_class_drops_thresholds(
    cli: Cli, rendered: Path, tmp_path: Path
) -> None:
    """The order of the names turns round, as of clean and dirty, to dirty and washed."""
    data = tmp_path / "data"
    for folder in sorted(rendered.glob("*/*")):
        name = {"clean": "washed"}.get(folder.name, folder.name)
        shutil.copytree(folder, data / folder.parent.name / name)
    out = tmp_path / "run"
    answer = cli(
        "train", "tiny_vgg_plate", "--data", data, "--from", "tiny", "--out", out, "--epochs", "1",
        "--set", "augmentation.robust=null", "--set", "teacher=null", "--workers", "0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "tiny has the classes clean, dirty; washed is new" in answer.out
    run = Run.load(out)
    assert run.history[0]["val_accuracy"] > 0.7
    assert cli("export", out, "-o", tmp_path / "m.onnx").code == 0
    # What the first model promised was of other classes.
    assert Classifier.load(tmp_path / "m.onnx").info.thresholds == {}


@pytest.mark.slow
def test_fine_tuning_starts_with_the_models_knowledge_and_thresholds(
    cli: Cli, rendered: Path, tmp_path: Path
) -> None:
    small = ("--epochs", "1", "--set", "augmentation.robust=null", "--set", "teacher=null")
    losses = {}
    for name, start in (("tuned", ["--from", "tiny"]), ("new", [])):
        answer = cli(
            "train", "tiny_vgg_plate", "--data", rendered, *start, "--out", tmp_path / name, *small
        )
        assert answer.code == 0, answer.err
        losses[name] = Run.load(tmp_path / name).history[0]["val_loss"]
    recipe = Run.load(tmp_path / "tuned").recipe
    assert (recipe.teacher, recipe.network.frozen_statistics) == (None, True)
    assert recipe.network.weights == "tiny"
    assert losses["tuned"] < 0.5 * losses["new"]
    # Too few photos for a promise of its own: it says unsure where the first model did.
    first = Classifier.load("tiny").info
    for name, thresholds in (("tuned", first.thresholds), ("new", {})):
        assert cli("export", tmp_path / name, "-o", tmp_path / f"{name}.onnx").code == 0
        found = Classifier.load(tmp_path / f"{name}.onnx").info
        assert (found.thresholds, found.error_guarantee) == (thresholds, None)
    assert first.thresholds
    assert cli("train", "tiny_vgg_plate", "--data", rendered, "--from", "none.onnx").code == 2


def test_compare_names_the_better_model(cli: Cli, write_model: WriteModel, tmp_path: Path) -> None:
    """Of models that take bright photos for dirty, and bright ones for clean."""
    right = write_model(tmp_path / "right.onnx")
    turned = numpy_helper.from_array(np.float32([[4, -4]]), "weights")
    wrong = write_model(tmp_path / "wrong.onnx", weights=turned)
    for label, level in (("clean", 20), ("dirty", 230)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            picture = Image.new("RGB", (20, 20), (level, level, level + number))
            picture.save(tmp_path / "photos" / label / f"{number}.png")
    data = ("--data", tmp_path / "photos")
    better = cli("compare", wrong, right, *data)
    assert (better.code, "B is better than A" in better.out) == (0, True)
    assert "0/8" in better.out
    worse = cli("compare", right, wrong, *data)
    assert (worse.code, "B is worse than A" in worse.out) == (1, True)
    same = cli("compare", right, right, *data, "--json")
    assert same.code == 1
    found = json.loads(same.out)
    assert (found["verdict"], found["both"], found["p_value"]) == ("not told apart", 8, 1)
    enough = cli("compare", right, right, *data, "--margin", "0.5")
    assert (enough.code, "B is not worse than A by 50.0% or more" in enough.out) == (0, True)
    few = cli("compare", right, right, *data, "--margin", "0.1", "--json")
    assert (few.code, json.loads(few.out)["not_worse"]) == (1, False)
    assert cli("compare", right, tmp_path / "none.onnx", *data).code == 2
