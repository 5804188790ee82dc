"""What is built and published: what is in it, and that it works where nothing else is installed."""

import csv
import hashlib
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging_fixtures import ROOT, SAMPLES, answers, right_answers, run, serving

import platecheck
from tests.support.wheel import Environment, build, copy_sources

pytestmark = pytest.mark.slow

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sources(tmp_path_factory.mktemp("build") / "sources")


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The wheel, beside the source distribution that it was built from."""
    return build(sources, sources.parent / "dist")


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    return read(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Environment]:
    """An environment that holds the wheel, what it needs, and nothing more."""
    made = Environment(wheel.parents[1] / "environment")
    made.install(str(wheel))
    yield made
    shutil.rmtree(made.folder)  # a quarter of a gigabyte


def read(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_distributions_pass_the_checks_of_the_index(wheel: Path) -> None:
    built = sorted(wheel.parent.iterdir())
    version = f"platecheck-{platecheck.__version__}"
    assert [path.name for path in built] == [f"{version}-py3-none-any.whl", f"{version}.tar.gz"]
    found = run([sys.executable, "-m", "twine", "check", "--strict", *built], wheel.parent)
    assert found.returncode == 0, found.stdout


def test_wheel_holds_the_package_and_nothing_else(
    sources: Path, contents: dict[str, bytes], tmp_path: Path
) -> None:
    assert contents == read(build(sources, tmp_path, "--wheel"))  # the sdist loses nothing
    package = sources / "src" / "platecheck"
    ours = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = f"platecheck-{platecheck.__version__}.dist-info"
    others = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    assert contents.keys() == ours | {f"{info}/{name}" for name in (*others, "licenses/LICENSE")}
    page = "platecheck/web/page"
    needed = {
        *("platecheck/py.typed", "platecheck/weights/plate.onnx", "platecheck/weights/tiny.onnx"),
        *("platecheck/recipes/plate.yaml", "platecheck/data/manifest.csv"),
        *(f"{page}/index.html", f"{page}/sw.js", f"{page}/vendor/LICENSE"),
        f"{page}/vendor/ort-wasm-simd-threaded.wasm.gz",
    }
    assert needed <= contents.keys()


def test_distributions_hold_no_photo_and_no_test(wheel: Path, contents: dict[str, bytes]) -> None:
    with (ROOT / "src/platecheck/data/manifest.csv").open(encoding="utf-8") as table:
        photos = {row["sha256"] for row in csv.DictReader(table)}
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        members = ((m.name.partition("/")[2], tar.extractfile(m)) for m in tar)
        distributed = {name: file.read() for name, file in members if file}
    assert len(photos) > 1000
    for name, content in [*contents.items(), *distributed.items()]:
        assert hashlib.sha256(content).hexdigest() not in photos, name
        if Path(name).suffix.lower() in PICTURES:
            assert "platecheck/web/page/icons/" in name, name
        assert not {"tests", "benchmarks", "experiments"} & set(Path(name).parts), name
        assert not Path(name).name.startswith(("test_", "conftest")), name


def test_installed_alone_predicts(installed: Environment, wheel: Path, tmp_path: Path) -> None:
    """Before the last test of this file adds the extra."""
    found = run([installed.command, "--version"], tmp_path)
    assert found.stdout.split() == ["platecheck", platecheck.__version__]

    found = run([installed.command, "predict", "--json", SAMPLES], tmp_path)
    assert found.returncode == 0, found.stderr
    photos = json.loads(found.stdout)
    assert {Path(photo["photo"]).name: photo["label"] for photo in photos} == right_answers()

    photo = SAMPLES / "dirty-sauce-on-wood.jpg"
    script = "from platecheck import Classifier\n"
    script += f"print(Classifier.load('tiny').predict({str(photo)!r}).label)"
    found = run([installed.python, "-c", script], tmp_path)
    assert found.stdout == "dirty\n", found.stderr

    there = {path.name for path in installed.packages().iterdir()}
    assert {"platecheck", "onnxruntime", "numpy"} <= there
    assert not {"torch", "torchvision", "cv2", "sklearn", "fastapi", "uvicorn"} & there

    found = run([installed.command, "serve"], tmp_path)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert f"pip install 'platecheck[serve] @ {wheel.as_uri()}'" in line


def test_installed_has_types_for_type_checkers(installed: Environment, tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    right = (
        "from pathlib import Path\n"
        "from platecheck import Classifier, Prediction\n"
        "def label(photo: Path) -> str:\n"
        "    answer: Prediction = Classifier.load().predict(photo)\n"
        "    return answer.label\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={installed.python}"]
    for content, code, said in (
        (right, 0, "Success"),
        (right.replace("-> str", "-> int"), 1, 'got "str", expected "int"'),
    ):
        script.write_text(content, encoding="utf-8")
        found = run([*mypy, script], tmp_path)
        assert found.returncode == code, found.stdout
        assert said in found.stdout


def test_installed_with_the_extra_serves(
    wheel: Path, installed: Environment, tmp_path: Path
) -> None:
    installed.install(f"{wheel}[serve]")
    with serving([installed.command, "serve", "--port", "0"], tmp_path) as client:
        assert answers(client) == right_answers()
        assert "<title>" in client.get("/").text
        script = client.get("/page/vendor/ort-wasm-simd-threaded.wasm")
        assert script.headers["content-type"] == "application/wasm"
        assert script.content.startswith(b"\0asm")
        assert client.get("/docs").status_code == 200
    assert run([installed.python, "-c", "import torch"], tmp_path).returncode == 1
