"""From wrong answers to another model in the place of the first, all of it as people do it."""

from collections import Counter
from pathlib import Path

import pytest

from experiments.feedback_loop import Plan, labelled, run, table
from platecheck import Classifier
from platecheck.feedback.store import open_store


@pytest.mark.slow
def test_the_loop(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "loop"
    short = ("--epochs", "1", "--set", "augmentation.robust=null", "--set", "teacher=null")
    plan = Plan(folder, "tiny_vgg_plate", "tiny", 16, 12, short, exporting=())
    found = run(plan)
    said = dict(labelled(folder / "dishes"))

    # What was said on the page is stored with the answer of the old model.
    store = open_store(f"sqlite:///{folder}/feedback.db")
    old = Classifier.load("tiny")
    kept = store.all()
    assert len(kept) == 16
    assert Counter(each.true_label for each in kept) == Counter(said.values())
    assert {each.answer.model for each in kept} == {old.id}
    assert {each.answer.label for each in kept} <= {"clean", "dirty", "unsure", "not a dish"}
    # Every photo was decided on the review page, and rightly.
    right = {each.photo: each.true_label for each in kept}
    assert {photo: by["Ann"] for photo, by in store.decisions().items()} == right
    store.close()
    # All of them are in the folder to train with, and the new model was made of it.
    counts = found.collected["counts"]
    assert sum(sum(row.values()) for row in counts.values()) == 16
    assert found.collected["left_out"] == {}
    new = Classifier.load(folder / "ours.onnx")
    assert new.id != old.id
    # Both were asked about the same dishes, and the new one answers in the old one's place.
    assert found.kind["photos"] == 12
    assert [each["photos"] for each in found.before.values()] == [12]
    tests = labelled(folder / "tests")
    for model, answers in zip((old, new), found.answers, strict=True):
        assert answers == Counter((label, model.predict(path).label) for path, label in tests)
    # Every command that was run is shown.
    commands = [line.split()[2] for line in capfd.readouterr().out.splitlines() if line[:1] == "$"]
    wanted = ["serve", "review", "data", "train", "export", "compare", "compare", "serve"]
    assert commands == wanted
    assert f"| other splashed dishes | {found.kind['both'] + found.kind['only_a']}/12 |" in table(
        found
    )
