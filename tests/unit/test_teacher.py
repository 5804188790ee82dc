"""Who may teach whom, and what is learnt from it."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from platecheck.classifier import Classifier
from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.model_info import SplitInfo
from platecheck.training.module import PlateModule
from platecheck.training.plate_net import build_network
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.teacher import TeacherModel

CLASSES = ("clean", "dirty")


def test_it_answers_as_its_file_does_in_another_process_too() -> None:
    teacher = TeacherModel("plate", CLASSES)
    pixels = np.random.default_rng(0).integers(0, 256, (teacher.size,) * 2 + (3,), np.uint8)
    wanted = Classifier.load("plate").probabilities(pixels[None])[0]
    np.testing.assert_allclose(teacher.probabilities(pixels), wanted, rtol=1e-5)
    sent = pickle.dumps(teacher)
    assert len(sent) < 1000
    np.testing.assert_array_equal(
        pickle.loads(sent).probabilities(pixels), teacher.probabilities(pixels)
    )


def test_it_looks_at_all_mirrored_versions() -> None:
    teacher = TeacherModel("plate", CLASSES, tta_flips=True)
    pixels = np.random.default_rng(1).integers(0, 256, (teacher.size,) * 2 + (3,), np.uint8)
    classifier = Classifier.load("plate")
    logits = [
        np.log(classifier.probabilities(np.ascontiguousarray(view)[None])[0])
        for view in (pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1])
    ]
    wanted = np.exp(np.mean(logits, axis=0))
    np.testing.assert_allclose(teacher.probabilities(pixels), wanted / wanted.sum(), rtol=1e-4)
    sent = pickle.loads(pickle.dumps(teacher))
    np.testing.assert_array_equal(sent.probabilities(pixels), teacher.probabilities(pixels))


@pytest.mark.parametrize("classes", [("dirty", "clean"), ("Dirty", "clean")])
def test_its_answers_go_by_the_names_of_the_classes(classes: tuple[str, ...]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (288, 288, 3), np.uint8)
    other = TeacherModel("plate", classes)
    other.check(None)
    other = pickle.loads(pickle.dumps(other))
    usual = TeacherModel("plate", CLASSES).probabilities(pixels)
    np.testing.assert_array_equal(other.probabilities(pixels), usual[::-1])


def test_it_knows_other_classes() -> None:
    with pytest.raises(ModelError, match=r"tells clean, dirty, but the photos are a, b"):
        TeacherModel("plate", ("a", "b")).check(None)


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        TeacherModel(str(tmp_path / "nothing.onnx"), CLASSES).check(None)


def test_it_may_not_have_learnt_from_what_judges_its_student() -> None:
    theirs = Classifier.load("plate").info.split_info
    assert theirs is not None
    teacher = TeacherModel("plate", CLASSES)
    teacher.check(theirs)
    teacher.check(None)
    # Other photos, however they were divided.
    teacher.check(SplitInfo(split="test", seed=7, fingerprint="another"))
    for other in ({"seed": theirs.seed + 1}, {"val_to_train": 0.25}):
        divided = theirs.model_copy(update=other)
        with pytest.raises(DataError, match=f"--split-seed={theirs.seed}"):
            teacher.check(divided)


def recipe(weight: float) -> Recipe:
    return load_recipe(
        "tiny_vgg_plate",
        ["input.size=32", "network.head=8", f"teacher={{model: plate, weight: {weight}}}"],
    )


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_its_answers_are_learnt_beside_the_labels(weight: float) -> None:
    wanted = recipe(weight)
    network = build_network(wanted.network, classes=2, size=32)
    module = PlateModule(network, wanted, classes=2, seed=0)
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


def test_a_teacher_needs_photos_that_are_changed_by_us() -> None:
    with pytest.raises(RecipeError, match=r"a teacher needs augmentation\.robust"):
        load_recipe("tiny_vgg", ["teacher={model: plate}"])


def test_a_copy_of_its_file_teaches_the_same(tmp_path: Path) -> None:
    import platecheck

    source = Path(platecheck.__file__).parent / "weights" / "plate.onnx"
    copy = Path(shutil.copy(source, tmp_path / "mine.onnx"))
    assert TeacherModel(str(copy), CLASSES).size == TeacherModel("plate", CLASSES).size
