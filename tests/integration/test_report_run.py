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

# Attributes by which a page loads something.
LOADING = {"src", "srcset", "href", "data", "poster", "action", "background"}


class Page(HTMLParser):
    """Elements, styles and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.style = ""
        self.text = ""
        self._in_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.text += data

    @property
    def pictures(self) -> list[str]:
        return [attributes["src"] for tag, attributes in self.elements if tag == "img"]


def test_the_page_tells_the_run_and_asks_for_nothing_from_outside(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    answer = cli("report", trained.folder, "--out", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    assert str(tmp_path / "page.html") in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    page = Page(tmp_path / "page.html")

    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object", "embed"}
    for tag, attributes in page.elements:
        for name in LOADING & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name, attributes[name][:60])
        page.style += attributes.get("style", "")
    assert "@import" not in page.style
    assert page.style.count("url(") == page.style.count("url(data:")

    model, division = load_model(trained.folder)
    for split in ("test", "val"):
        result = evaluate(model, dishes, split=split, division=division).result
        assert f"{result.correct}/{result.photos}" in page.text.replace(" ", "")
    for text in ("tiny_vgg", trained.facts.fingerprint[:12], trained.facts.versions["torch"]):
        assert text in page.text
    assert "There were no validation photos: 'test' was split" in page.text


def test_pictures_are_in_the_page(cli: Cli, trained: Run, tmp_path: Path) -> None:
    assert cli("report", trained.folder, "--out", tmp_path / "page.html").code == 0
    pictures = Page(tmp_path / "page.html").pictures
    photos = [address for address in pictures if address.startswith("data:image/jpeg")]
    # The grid shows all of the 24 test photos, mistakes are shown again.
    assert len(photos) >= 24
    for address in photos:
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as photo:
            assert max(photo.size) <= 288
    assert len(pictures) > len(photos)  # curves, matrices, reliability


def test_after_the_photos_moved_it_says_so_and_takes_their_new_place(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    facts = (folder / "run.json").read_text()
    (folder / "run.json").write_text(facts.replace(str(dishes), str(tmp_path / "old place")))
    new = Path(shutil.copytree(dishes, tmp_path / "new place"))
    page = folder / "report.html"

    answer = cli("report", folder)
    assert answer.code == 2
    assert str(tmp_path / "old place") in answer.err
    assert not page.exists()

    answer = cli("report", folder, "--data", new)
    assert answer.code == 0, answer.err
    found = Page(page)
    assert len([src for src in found.pictures if src.startswith("data:image/jpeg")]) >= 24
    cli("report", trained.folder, "--out", tmp_path / "page.html")
    theirs = Page(tmp_path / "page.html")
    assert [src for src in found.pictures if "jpeg" in src] == [
        src for src in theirs.pictures if "jpeg" in src
    ]
    # The commands to repeat it name the place where the photos are.
    assert f"platecheck evaluate {folder} --data" in found.text.replace("=", " ")
    assert str(new) in found.text


def test_copies_that_make_the_figures_look_better_are_named(
    cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(dishes, tmp_path / "data"))
    shutil.copy(data / "train" / "clean" / "000.jpg", data / "test" / "clean" / "copy.jpg")
    shutil.copy(data / "train" / "clean" / "002.jpg", data / "train" / "dirty" / "wrong.jpg")
    run = train(gentle(epochs=1), data, tmp_path / "run")
    assert cli("report", run.folder).code == 0
    text = Page(run.folder / "report.html").text
    assert "1 photo is in more than one split" in text
    assert "1 photo is in more than one class" in text


def test_a_run_without_a_finished_epoch(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    (folder / "history.csv").unlink()
    answer = cli("report", folder)
    assert answer.code == 2
    assert "no finished epoch" in answer.err
    assert not (folder / "report.html").exists()


def _page_of(cli: Cli, run: Path, *options: str | Path) -> Page:
    answer = cli("report", run, *options)
    assert answer.code == 0, answer.err
    return Page(run / "report.html")


def test_photos_keep_their_shape_and_stand_upright(cli: Cli, dishes: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(dishes, tmp_path / "data"))
    for number, path in enumerate(sorted((data / "test").glob("*/*.jpg"))):
        photo = Image.new("RGB", (400, 100), (number, 90, 90))
        exif = photo.getexif()
        exif[0x0112] = 6  # lies on its side
        photo.save(path, exif=exif)
    run = train(gentle(epochs=1), data, tmp_path / "run")
    page = _page_of(cli, run.folder)
    for address in page.pictures:
        if address.startswith("data:image/jpeg"):
            with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as photo:
                assert photo.size == (72, 288)


def test_a_diverged_run_is_reported_without_figures(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    history = [row | {"val_loss": float("nan")} for row in trained.history]
    write_history(folder / "history.csv", history)
    text = _page_of(cli, folder).text
    assert "Training diverged: the validation loss of epoch 1 is not a finite number" in text
    assert "of 24 correct" not in text
    assert "best: epoch" not in text


def test_a_run_that_diverged_later_is_judged_by_its_best_epoch(
    cli: Cli, trained: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    history = [*trained.history[:-1], trained.history[-1] | {"val_loss": float("inf")}]
    write_history(folder / "history.csv", history)
    text = _page_of(cli, folder).text
    assert f"the validation loss of epoch {len(history)} is not a finite number" in text
    assert "/24" in text


def test_an_interrupted_run_of_one_epoch_says_so(cli: Cli, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    write_history(folder / "history.csv", trained.history[:1])
    text = _page_of(cli, folder).text
    assert f"1 of {trained.recipe.epochs} epochs trained; continue with --resume." in text
    assert f"1 of {trained.recipe.epochs}, best: epoch 1" in text


def test_without_test_photos_the_commands_name_the_split_that_is_there(
    cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(dishes / "train", data / "train")
    shutil.copytree(dishes / "test", data / "val")
    run = train(gentle(epochs=1), data, tmp_path / "a run")
    text = _page_of(cli, run.folder).text
    assert "There are no test photos: 'val' selected the epoch" in text
    commands = [shlex.split(line) for line in text.splitlines() if "platecheck " in line]
    again = [words[1:] for words in commands if words[1:2] in (["evaluate"], ["report"])]
    assert len(again) == 2
    for command in again:
        answer = cli(*command)
        assert answer.code == 0, answer.err


def test_commands_of_a_run_whose_photos_moved_work(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    facts = (folder / "run.json").read_text()
    (folder / "run.json").write_text(facts.replace(str(dishes), str(tmp_path / "gone")))
    moved = Path(shutil.copytree(dishes, tmp_path / "new place"))
    text = _page_of(cli, folder, "--data", moved).text
    (command,) = [line for line in text.splitlines() if "platecheck report" in line]
    assert cli(*shlex.split(command)[1:]).code == 0


def test_a_model_that_learned_nothing_is_said_to_be_no_better_than_the_majority(
    cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    run = train(gentle("optimizer.lr=1e-9", epochs=1), dishes, tmp_path / "run")
    text = _page_of(cli, run.folder).text
    shown = cli("evaluate", run.folder, "--data", dishes).out
    assert "etter than always predicting" in shown
    (sentence,) = [line for line in shown.splitlines() if "always predicting" in line]
    assert f"On test: {sentence}" in text
