import base64
import io
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from training_fixtures import Cli, gentle, train

from platecheck.evaluation.evaluate import evaluate, load_model
from platecheck.training.run import Run, write_history
from tests.support.html import Page

pytest_plugins = ["training_fixtures.fixtures"]


def page_of(cli: Cli, run: Path, *options: str | Path) -> Page:
    answer = cli("report", run, *options)
    assert answer.code == 0, answer.err
    return Page((run / "report.html").read_text(encoding="utf-8"))


def images(page: Page, kind: str) -> list[bytes]:
    start = f"data:image/{kind};base64,"
    sources = [image["src"] for image in page.all("img")]
    assert all(source.startswith("data:image/") for source in sources)
    return [base64.b64decode(each.removeprefix(start)) for each in sources if start in each]


def photo_sizes(page: Page) -> set[tuple[int, int]]:
    return {Image.open(io.BytesIO(content)).size for content in images(page, "jpeg")}


def run_again(cli: Cli, text: str) -> list[list[str]]:
    """Run the commands that evaluate and report, as a report names them."""
    commands = [shlex.split(line)[1:] for line in text.splitlines() if "platecheck " in line]
    again = [words for words in commands if words[:1] in (["evaluate"], ["report"])]
    assert len(again) == 2
    for command in again:
        answer = cli(*command)
        assert answer.code == 0, answer.err
    return again


@pytest.fixture
def copy(trained: Run, tmp_path: Path) -> Path:
    """A copy of the run that may be changed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


@pytest.fixture
def data(dishes: Path, tmp_path: Path) -> Path:
    """A copy of the photos that may be changed."""
    return Path(shutil.copytree(dishes, tmp_path / "data"))


def test_report_has_all_images_and_the_metrics_of_evaluate(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    answer = cli("report", trained.folder, "--out", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    assert str(tmp_path / "page.html") in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(images(page, "jpeg")) >= 24  # all test photos, and mistakes again
    assert max(max(size) for size in photo_sizes(page)) <= 288
    assert len(images(page, "svg+xml")) == 5  # curves, matrices, reliability diagrams

    model, split_info = load_model(trained.folder)
    for split in ("test", "val"):
        result = evaluate(model, dishes, split=split, split_info=split_info).result
        assert f"{result.correct}/{result.photos}" in page.text.replace(" ", "")
    for text in ("tiny_vgg", trained.facts.fingerprint[:12], trained.facts.versions["torch"]):
        assert text in page.text
    assert "There were no validation photos: 'test' was split" in page.text


def test_report_of_moved_photos_needs_their_location(
    cli: Cli, copy: Path, data: Path, dishes: Path
) -> None:
    facts = (copy / "run.json").read_text()
    (copy / "run.json").write_text(facts.replace(str(dishes), "/old place"))
    answer = cli("report", copy)
    assert answer.code == 2
    assert "/old place" in answer.err
    assert not (copy / "report.html").exists()

    page = page_of(cli, copy, "--data", data)
    assert len(images(page, "jpeg")) >= 24
    assert all(str(data) in command for command in run_again(cli, page.text))


def test_report_warns_of_copies(cli: Cli, data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "train" / "clean" / "000.jpg", data / "test" / "clean" / "copy.jpg")
    shutil.copy(data / "train" / "clean" / "002.jpg", data / "train" / "dirty" / "wrong.jpg")
    run = train(gentle(epochs=1), data, tmp_path / "run")
    text = page_of(cli, run.folder).text
    assert "1 photo is in more than one split" in text
    assert "1 photo is in more than one class" in text


def test_photos_are_upright_and_not_distorted(cli: Cli, data: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((data / "test").glob("*/*.jpg"))):
        photo = Image.new("RGB", (400, 100), (number, 90, 90))
        exif = photo.getexif()
        exif[0x0112] = 6  # lies on its side
        photo.save(path, exif=exif)
    run = train(gentle(epochs=1), data, tmp_path / "run")
    assert photo_sizes(page_of(cli, run.folder)) == {(72, 288)}


def test_report_of_a_diverged_run_says_so(cli: Cli, trained: Run, copy: Path) -> None:
    history = [row | {"val_loss": float("nan")} for row in trained.history]
    write_history(copy / "history.csv", history)
    text = page_of(cli, copy).text
    assert "Training diverged: the validation loss of epoch 1 is not a finite number" in text
    assert "of 24 correct" not in text
    assert "best: epoch" not in text
    history = [*trained.history[:-1], trained.history[-1] | {"val_loss": float("inf")}]
    write_history(copy / "history.csv", history)
    text = page_of(cli, copy).text
    assert f"the validation loss of epoch {len(history)} is not a finite number" in text
    assert "/24" in text


def test_report_of_an_interrupted_run_says_so(cli: Cli, trained: Run, copy: Path) -> None:
    write_history(copy / "history.csv", trained.history[:1])
    text = page_of(cli, copy).text
    assert f"1 of {trained.recipe.epochs} epochs trained; continue with --resume." in text
    assert f"1 of {trained.recipe.epochs}, best: epoch 1" in text


def test_report_without_test_photos_uses_validation(cli: Cli, data: Path, tmp_path: Path) -> None:
    (data / "test").rename(data / "val")
    run = train(gentle(epochs=1), data, tmp_path / "a run")
    text = page_of(cli, run.folder).text
    assert "There are no test photos: 'val' selected the epoch" in text
    run_again(cli, text)


def test_report_warns_of_a_model_no_better_than_the_majority(
    cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    run = train(gentle("optimizer.lr=1e-9", epochs=1), dishes, tmp_path / "run")
    text = page_of(cli, run.folder).text
    shown = cli("evaluate", run.folder, "--data", dishes).out
    assert "etter than always predicting" in shown
    (sentence,) = [line for line in shown.splitlines() if "always predicting" in line]
    assert f"On test: {sentence}" in text
