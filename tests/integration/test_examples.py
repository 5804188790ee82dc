"""The examples run as they are, and give the answers of the library."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
from fastapi.testclient import TestClient

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLES = Path(__file__).parents[2] / "samples"
CLEAN, DIRTY = SAMPLES / "clean-white-plate-on-concrete.jpg", SAMPLES / "dirty-crumbs-on-stone.jpg"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_arrays_two_photos_one_line_each() -> None:
    clean, dirty = run("arrays.py", CLEAN, DIRTY).splitlines()
    assert clean.startswith(f"{CLEAN}: clean ")
    assert dirty.startswith(f"{DIRTY}: dirty ")


def test_fastapi_app_photo_and_no_photo() -> None:
    client = TestClient(load("fastapi_app").app)
    assert client.post("/dish", files={"photo": DIRTY.read_bytes()}).json()["label"] == "dirty"
    refused = client.post("/dish", files={"photo": b"no photo"})
    assert refused.status_code == 422
    assert "photo" in refused.json()["detail"]


def test_camera_video_reports_each_change_once(tmp_path: Path) -> None:
    video = tmp_path / "dishes.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 5, (320, 320))
    for photo in (CLEAN, DIRTY):
        for _ in range(8):
            writer.write(cv2.resize(cv2.imread(str(photo)), (320, 320)))
    writer.release()
    assert [line.split(": ")[1] for line in run("camera.py", video).splitlines()] == [
        "clean",
        "dirty",
    ]
    assert "cannot be opened" in run("camera.py", tmp_path / "missing.avi")
