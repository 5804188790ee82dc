"""Who may teach whom, and what is learnt from it."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from platecheck.classifier import Classifier
from platecheck.errors import DataError, ModelError
from platecheck.model_info import SplitInfo
from platecheck.training.module import PlateModule
from platecheck.training.plate_net import build_network
from platecheck.training.recipe import load_recipe
from platecheck.training.teacher import TeacherModel

CLASSES = ("clean", "dirty")


@pytest.mark.parametrize("flips", [False, True])
def test_teacher_predicts_as_its_file_or_averages_logits_of_flips(flips: bool) -> None:
    teacher = TeacherModel(("plate",), CLASSES, tta_flips=flips)
    pixels = np.random.default_rng(0).integers(0, 256, (288, 288, 3), np.uint8)
    views = [pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]][: 4 if flips else 1]
    classifier = Classifier.load("plate")
    found = [classifier.probabilities(np.ascontiguousarray(view)[None])[0] for view in views]
    wanted = np.exp(np.log(found).mean(axis=0))
    rtol = 1e-4 if flips else 1e-5
    np.testing.assert_allclose(teacher.probabilities(pixels), wanted / wanted.sum(), rtol=rtol)
    sent = pickle.dumps(teacher)
    assert len(sent) < 1000
    again = pickle.loads(sent).probabilities(pixels)
    np.testing.assert_array_equal(again, teacher.probabilities(pixels))


def test_ensemble_averages_logits_of_classes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second teacher with its classes the other way round."""
    known = Classifier.load("plate").info
    fixed = {
        "a": (known, [0.9, 0.1]),
        "b": (known.model_copy(update={"classes": ("dirty", "clean")}), [0.8, 0.2]),
    }

    def load(name: str) -> SimpleNamespace:
        info, row = fixed[name]
        return SimpleNamespace(info=info, probabilities=lambda views: np.array([row] * len(views)))

    monkeypatch.setattr(Classifier, "load", load)
    teacher = TeacherModel(("a", "b"), CLASSES, tta_flips=True)
    teacher.check(None)
    clean, dirty = teacher.probabilities(np.zeros((288, 288, 3), np.uint8))
    assert clean / dirty == pytest.approx(np.sqrt(9 / 4))
    assert clean + dirty == pytest.approx(1)


def test_ensemble_of_several_sizes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"one size: plate takes 288 px, tiny takes 128 px"):
        TeacherModel(("plate", "tiny"), CLASSES).check(None)


@pytest.mark.parametrize("classes", [("dirty", "clean"), ("Dirty", "clean")])
def test_teacher_matches_classes_by_name(classes: tuple[str, ...]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (288, 288, 3), np.uint8)
    other = TeacherModel(("plate",), classes)
    other.check(None)
    other = pickle.loads(pickle.dumps(other))
    usual = TeacherModel(("plate",), CLASSES).probabilities(pixels)
    np.testing.assert_array_equal(other.probabilities(pixels), usual[::-1])


def test_teacher_with_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has the classes clean, dirty, but the photos have a, b"):
        TeacherModel(("plate",), ("a", "b")).check(None)


def test_teacher_with_another_split_is_refused() -> None:
    theirs = Classifier.load("plate").info.split_info
    assert theirs is not None
    teacher = TeacherModel(("plate",), CLASSES)
    teacher.check(theirs)
    teacher.check(None)
    # Other photos, however they were divided.
    teacher.check(SplitInfo(split="test", seed=7, fingerprint="another"))
    for other in ({"seed": theirs.seed + 1}, {"val_to_train": 0.25}):
        divided = theirs.model_copy(update=other)
        with pytest.raises(DataError, match=f"--split-seed={theirs.seed}"):
            teacher.check(divided)


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_distillation_loss_weighs_teacher_and_labels(weight: float) -> None:
    teacher = f"teacher={{model: plate, weight: {weight}}}"
    recipe = load_recipe("tiny_vgg_plate", ["input.size=32", "network.head=8", teacher])
    network = build_network(recipe.network, classes=2, size=32)
    module = PlateModule(network, recipe, classes=2, seed=0)
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    network.eval()
    photos, labels = torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 1])
    taught = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    batch = (photos, labels, torch.zeros(3, 4, 4), taught)
    scores = torch.log_softmax(network(photos), dim=1)
    of_labels = -scores[torch.arange(3), labels].mean()
    of_teacher = -(taught * scores).sum(dim=1).mean()
    loss = module.training_step(batch, 0)["loss"]
    torch.testing.assert_close(loss, weight * of_teacher + (1 - weight) * of_labels)
