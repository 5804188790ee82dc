"""Each command once, as a user gives it, by whatever is installed beside this interpreter.

For environments other than the pinned one (`make test-latest`, `make test-lowest`), so it needs
pytest and platecheck and nothing else that tests need.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"
COMMAND = [sys.executable, "-W", "ignore", "-m", "platecheck"]
TINY = ["--epochs=1", "--set=input.size=32", "--workers=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke")


def environment(folder: Path) -> dict[str, str]:
    """A home of its own, and nothing that leads Python to this repository."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PLATECHECK", "XDG"))
    }
    return {**kept, "HOME": str(folder / "home"), "COLUMNS": "200"}


def platecheck(folder: Path, *arguments: str | Path) -> str:
    found = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Traceback" not in found.stderr
    return found.stdout


def test_predict_classifies_the_samples(folder: Path) -> None:
    photos = json.loads(platecheck(folder, "predict", "--json", SAMPLES))
    assert len(photos) == 8
    for photo in photos:
        assert Path(photo["photo"]).name.startswith(photo["label"])


def test_serve_predicts_and_stops(folder: Path) -> None:
    photo = (SAMPLES / "dirty-sauce-on-wood.jpg").read_bytes()
    head = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n'
    with subprocess.Popen(
        [*COMMAND, "serve", "--port=0"], env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout
        try:
            address = re.search(r"http://\S+?:\d+", service.stdout.readline())
            assert address
            request = urllib.request.Request(
                f"{address[0]}/v1/predict",
                head + photo + b"\r\n--x--\r\n",
                {"Content-Type": "multipart/form-data; boundary=x"},
            )
            with urllib.request.urlopen(request, timeout=60) as response:
                (answer,) = json.load(response)["photos"]
        finally:
            service.terminate()
    assert answer["label"] == "dirty"
    assert service.returncode == 0


def test_batch_writes_predictions(folder: Path) -> None:
    platecheck(folder, "batch", SAMPLES, "answers.csv")
    assert len((folder / "answers.csv").read_text(encoding="utf-8").splitlines()) == 9


def test_audit_writes_a_report(folder: Path) -> None:
    platecheck(folder, "data", "render", "audited", "-n40", "--size=96")
    platecheck(folder, "audit", "audited", "--report=audit.html")
    assert (folder / "audit.html").stat().st_size > 0


def test_train_to_predict(folder: Path) -> None:
    platecheck(folder, "data", "render", "dishes", "-n40", "--size=64")
    platecheck(folder, "train", "tiny_vgg", "--data=dishes", "--out=run", *TINY)
    platecheck(
        folder, "train", "tiny_vgg", "--data=dishes", "--out=run", "--resume", *TINY, "--epochs=2"
    )
    platecheck(folder, "report", "run")
    assert (folder / "run" / "report.html").is_file()
    platecheck(folder, "export", "run", "-o", "model.onnx")
    platecheck(folder, "export", "run", "--int8", "-o", "small.onnx")
    platecheck(folder, "evaluate", "run", "--data=dishes")
    for model in ("model.onnx", "small.onnx"):
        platecheck(folder, "evaluate", model, "--data=dishes")
        platecheck(folder, "predict", SAMPLES, f"--model={model}")
