import base64
import io
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image
from training_fixtures import Cli, gentle, train

from platecheck.evaluation.evaluate import evaluate, load_model
from platecheck.training.run import Run, write_history

pytest_plugins = ["training_fixtures.fixtures"]


class Page(HTMLParser):
    """Images and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.photos: list[str] = []
        self.plots: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            source = dict(attrs)["src"] or ""
            assert source.startswith("data:image/")
            (self.photos if "jpeg" in source else self.plots).append(source)

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def photo_sizes(self) -> set[tuple[int, int]]:
        decoded = (base64.b64decode(source.partition(",")[2]) for source in self.photos)
        return {Image.open(io.BytesIO(content)).size for content in decoded}


def page_of(cli: Cli, run: Path, *options: str | Path) -> Page:
    answer = cli("report", run, *options)
    assert answer.code == 0, answer.err
    return Page(run / "report.html")


def test_report_has_all_images_and_the_metrics_of_evaluate(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    answer = cli("report", trained.folder, "--out", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    assert str(tmp_path / "page.html") in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    page = Page(tmp_path / "page.html")
    assert len(page.photos) >= 24  # all test photos, and mistakes again
    assert max(max(size) for size in page.photo_sizes) <= 288
    assert len(page.plots) == 5  # curves, matrices, reliability diagrams

    model, split_info = load_model(trained.folder)
    for split in ("test", "val"):
        result = evaluate(model, dishes, split=split, split_info=split_info).result
        assert f"{result.correct}/{result.photos}" in page.text.replace(" ", "")
    for text in ("tiny_vgg", trained.facts.fingerprint[:12], trained.facts.versions["torch"]):
        assert text in page.text
    assert "There were no validation photos: 'test' was split" in page.text


def test_report_of_moved_photos_needs_their_location(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    facts = (folder / "run.json").read_text()
    (folder / "run.json").write_text(facts.replace(str(dishes), str(tmp_path / "old place")))
    new = Path(shutil.copytree(dishes, tmp_path / "new place"))

    answer = cli("report", folder)
    assert answer.code == 2
    assert str(tmp_path / "old place") in answer.err
    assert not (folder / "report.html").exists()

    page = page_of(cli, folder, "--data", new)
    assert len(page.photos) >= 24
    commands = [shlex.split(line) for line in page.text.splitlines() if "platecheck " in line]
    again = [words[1:] for words in commands if words[1:2] in (["evaluate"], ["report"])]
    assert len(again) == 2
    for command in again:  # they name the new location
        assert str(new) in command
        assert cli(*command).code == 0


def test_report_warns_of_copies(cli: Cli, dishes: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(dishes, tmp_path / "data"))
    shutil.copy(data / "train" / "clean" / "000.jpg", data / "test" / "clean" / "copy.jpg")
    shutil.copy(data / "train" / "clean" / "002.jpg", data / "train" / "dirty" / "wrong.jpg")
    run = train(gentle(epochs=1), data, tmp_path / "run")
    text = page_of(cli, run.folder).text
    assert "1 photo is in more than one split" in text
    assert "1 photo is in more than one class" in text


def test_report_without_a_finished_epoch_fails(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    (folder / "history.csv").unlink()
    answer = cli("report", folder)
    assert answer.code == 2
    assert "no finished epoch" in answer.err
    assert not (folder / "report.html").exists()


def test_photos_are_upright_and_not_distorted(cli: Cli, dishes: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(dishes, tmp_path / "data"))
    for number, path in enumerate(sorted((data / "test").glob("*/*.jpg"))):
        photo = Image.new("RGB", (400, 100), (number, 90, 90))
        exif = photo.getexif()
        exif[0x0112] = 6  # lies on its side
        photo.save(path, exif=exif)
    run = train(gentle(epochs=1), data, tmp_path / "run")
    assert page_of(cli, run.folder).photo_sizes == {(72, 288)}


def test_report_of_a_diverged_run_has_no_metrics(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    history = [row | {"val_loss": float("nan")} for row in trained.history]
    write_history(folder / "history.csv", history)
    text = page_of(cli, folder).text
    assert "Training diverged: the validation loss of epoch 1 is not a finite number" in text
    assert "of 24 correct" not in text
    assert "best: epoch" not in text


def test_report_of_later_divergence_uses_the_best_epoch(
    cli: Cli, trained: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    history = [*trained.history[:-1], trained.history[-1] | {"val_loss": float("inf")}]
    write_history(folder / "history.csv", history)
    text = page_of(cli, folder).text
    assert f"the validation loss of epoch {len(history)} is not a finite number" in text
    assert "/24" in text


def test_report_of_an_interrupted_run_says_so(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    write_history(folder / "history.csv", trained.history[:1])
    text = page_of(cli, folder).text
    assert f"1 of {trained.recipe.epochs} epochs trained; continue with --resume." in text
    assert f"1 of {trained.recipe.epochs}, best: epoch 1" in text


def test_report_without_test_photos_uses_validation(cli: Cli, dishes: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(dishes / "train", data / "train")
    shutil.copytree(dishes / "test", data / "val")
    run = train(gentle(epochs=1), data, tmp_path / "a run")
    text = page_of(cli, run.folder).text
    assert "There are no test photos: 'val' selected the epoch" in text
    commands = [shlex.split(line) for line in text.splitlines() if "platecheck " in line]
    again = [words[1:] for words in commands if words[1:2] in (["evaluate"], ["report"])]
    assert len(again) == 2
    for command in again:
        answer = cli(*command)
        assert answer.code == 0, answer.err


def test_report_warns_of_a_model_no_better_than_the_majority(
    cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    run = train(gentle("optimizer.lr=1e-9", epochs=1), dishes, tmp_path / "run")
    text = page_of(cli, run.folder).text
    shown = cli("evaluate", run.folder, "--data", dishes).out
    assert "etter than always predicting" in shown
    (sentence,) = [line for line in shown.splitlines() if "always predicting" in line]
    assert f"On test: {sentence}" in text
