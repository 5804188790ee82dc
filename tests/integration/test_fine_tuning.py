"""Fine-tuning: an exported file, int8 or not, is a start that answers as the file does."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
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
from tests.conftest import WriteModel
from tests.support.photos import SAMPLES, grey

pytest_plugins = ["training_fixtures.fixtures"]

CLASSES = ("clean", "dirty")
PHOTOS = sorted(SAMPLES.glob("*.jpg"))


class Loaded(NamedTuple):
    network: PlateNet
    normalization: Normalization
    temperature: float

    def inputs(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        normalized = (pixels / 255 - self.normalization.mean) / self.normalization.std
        return torch.from_numpy(normalized).float().permute(0, 3, 1, 2)

    @torch.no_grad()
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (self.network(self.inputs(pixels)) / self.temperature).softmax(dim=1).numpy()


def as_loaded(recipe: Recipe, model: Path, classes: tuple[str, ...] = CLASSES) -> Loaded:
    started = fine_tuning(recipe, str(model))
    network = build_network(started.network, classes=len(classes), size=started.input.size)
    load_onnx_weights(network, started.network.name, model, classes)
    temperature = Classifier.load(model).info.temperature
    return Loaded(network.eval(), started.input.normalize, temperature)


def open_all(photos: list[Path], size: int) -> NDArray[np.uint8]:
    return np.stack([open_photo(photo, size) for photo in photos])


def test_load_float32_file_predicts_as_the_file(
    trained: Run, rendered: Path, tmp_path: Path
) -> None:
    file = export(trained, tmp_path / "m.onnx").path
    pixels = open_all([photo.path for photo in list_photos(rendered).photos][:16], size=32)
    found = as_loaded(gentle(), file).probabilities(pixels)
    np.testing.assert_allclose(found, Classifier.load(file).probabilities(pixels), atol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "model", "classes", "columns"),
    [
        ("plate", "plate", CLASSES, [0, 1]),
        ("tiny_vgg_plate", "tiny", CLASSES, [0, 1]),
        ("tiny_vgg_plate", "tiny", ("dirty", "clean"), [1, 0]),
        ("tiny_vgg_plate", "tiny", ("Dirty", "clean"), [1, 0]),
        ("tiny_vgg_plate", "tiny", ("Clean", "DIRTY"), [0, 1]),
    ],
)
def test_load_int8_file_predicts_nearly_as_the_file(
    recipe: str, model: str, classes: tuple[str, ...], columns: list[int]
) -> None:
    classifier = Classifier.load(model)
    pixels = open_all(PHOTOS, classifier.size)
    found = as_loaded(load_recipe(recipe), find_model(model), classes).probabilities(pixels)
    theirs = classifier.probabilities(pixels)[:, columns]
    # One rounding of the weights: what making it int8 again costs.
    assert np.abs(found - theirs).max() < 0.05


def test_import_ood_scores_as_the_file() -> None:
    classifier, path = Classifier.load("plate"), find_model("plate")
    whole = as_loaded(load_recipe("plate"), path)
    inputs = whole.inputs(open_all(PHOTOS, classifier.size))
    with torch.no_grad():
        pooled = whole.network.forward_with_heatmap(inputs)[2].numpy()
    ood = import_ood(path)
    assert ood.limit == classifier.info.ood_threshold
    said = [answer.ood_score for answer in classifier.predict_many(PHOTOS)]
    np.testing.assert_allclose(ood.ood_score(pooled), np.array(said, float), rtol=0.05)
    assert import_ood(find_model("tiny")) is None


def test_load_int8_file_dithers_the_weights() -> None:
    """Else what is learnt would be rounded away in the next int8 file."""
    path = find_model("tiny")
    network = as_loaded(load_recipe("tiny_vgg_plate"), path).network
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
    ("recipe", "changes", "says"),
    [
        ("tiny_vgg", [], "has the network efficientnet_lite2, the recipe tiny_vgg"),
        ("plate", ["network.head=256"], "layers where"),
    ],
)
def test_load_file_of_another_network_is_refused(
    recipe: str, changes: list[str], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        as_loaded(load_recipe(recipe, changes), find_model("plate"))


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        (("dirty", "washed"), {0: 1}),
        (("bowl", "cup"), {}),
        (("chipped", "clean", "dirty"), {1: 0, 2: 1}),
    ],
)
def test_new_classes_start_at_zero(classes: tuple[str, ...], known: dict[int, int]) -> None:
    recipe = load_recipe("plate")
    before = as_loaded(recipe, find_model("plate")).network.head[-1].weight
    after = as_loaded(recipe, find_model("plate"), classes).network.head[-1].weight
    for row in range(len(classes)):
        wanted = before[known[row]] if row in known else torch.zeros_like(after[row])
        assert torch.equal(after[row], wanted)


SMALL = (
    "--epochs", "1", "--set", "augmentation.robust=null", "--set", "teacher=null", "--workers", "0",
)  # fmt: skip


@pytest.mark.slow
def test_fine_tuning_with_a_renamed_class_drops_thresholds(
    cli: Cli, rendered: Path, tmp_path: Path
) -> None:
    """The order of the names turns round, as of clean and dirty, to dirty and washed."""
    data = tmp_path / "data"
    shutil.copytree(rendered, data)
    for folder in data.glob("*/clean"):
        folder.rename(folder.with_name("washed"))
    out = tmp_path / "run"
    where = ("--data", data, "--from", "tiny", "--out", out)
    answer = cli("train", "tiny_vgg_plate", *where, *SMALL)
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
    losses = {}
    for name, start in (("tuned", ["--from", "tiny"]), ("new", [])):
        where = ("--data", rendered, *start, "--out", tmp_path / name)
        answer = cli("train", "tiny_vgg_plate", *where, *SMALL)
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
        if name == "tuned":  # too few for probabilities of its own, too
            assert found.temperature == pytest.approx(first.temperature, rel=0.4)
            assert np.abs(found.bias).max() < 0.2  # the first model's is in the weights
    assert first.thresholds
    assert cli("train", "tiny_vgg_plate", "--data", rendered, "--from", "none.onnx").code == 2


def test_compare_names_the_better_model(cli: Cli, write_model: WriteModel, tmp_path: Path) -> None:
    """Of models that take bright photos for dirty, and bright ones for clean."""
    right = write_model(tmp_path / "right.onnx")
    turned = numpy_helper.from_array(np.float32([[4, -4]]), "weights")
    wrong = write_model(tmp_path / "wrong.onnx", weights=turned)
    for number in range(4):
        grey(tmp_path / "photos" / "clean" / f"{number}.png", 20 + number)
        grey(tmp_path / "photos" / "dirty" / f"{number}.png", 230 + number)
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
