"""``platecheck inspect`` of videos and cameras, with an inspector that knows the drawn dishes."""

import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platecheck import webhook
from platecheck.cli.inspect_video import inspect_video, only_video
from platecheck.errors import DataError
from platecheck.files import is_output
from platecheck.photo import open_photo
from tests.conftest import Cli, WriteModel
from tests.support.cameras import BlobInspector, MjpegCamera, http_server, write_belt
from tests.support.conveyor import Conveyor
from tests.support.writing import write_detector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def belt() -> Conveyor:
    return Conveyor(0, dishes=4, speeds=(200, 300), fps=20)


@pytest.fixture(scope="module")
def film(belt: Conveyor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_belt(belt, tmp_path_factory.mktemp("film") / "belt.mp4")


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        (["belt.mp4", "photo.jpg"], {}, "one video"),
        (["0", "rtsp://camera"], {}, "one video"),
        (["belt.mp4"], {"as_csv": True}, "--csv"),
        (["photo.jpg"], {"webhook": "http://host"}, "--webhook"),
    ],
)
def test_only_video_refuses_what_does_not_fit(
    arguments: list[str], options: dict[str, Any], reason: str
) -> None:
    options = {"webhook": None, "as_csv": False, "allow_private": False} | options
    with pytest.raises(DataError, match=reason):
        only_video(arguments, **options)


def test_only_video_finds_it() -> None:
    assert only_video(["0"], webhook="http://host", as_csv=False, allow_private=False) == "0"
    assert (
        only_video(["photo.jpg", "photos"], webhook=None, as_csv=True, allow_private=False) is None
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_inspect_video_prints_each_dish_once(
    belt: Conveyor, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_video(str(film), BlobInspector(), save=tmp_path / "best")
    printed = capsys.readouterr()
    found = lines(printed.out)
    assert list(found[0]) == [
        "source", "time", "received", "track", "label", "probability", "box", "frames", "first",
        "last", "photo",
    ]  # fmt: skip
    assert [line["label"] for line in found] == [dish.label for dish in belt.dishes]
    assert [line["track"] for line in found] == [1, 2, 3, 4]
    for line in found:
        assert line["first"] <= line["time"] <= line["last"]
        assert line["source"] == str(film)
        assert line["received"] is None
        x0, y0, x1, y1 = map(round, line["box"])
        red, green, _ = open_photo(line["photo"])[y0:y1, x0:x1].reshape(-1, 3).mean(0)
        assert (green > red) == (line["label"] == "clean")
    assert is_output(tmp_path / "best")
    assert Path(found[0]["photo"]).name == f"belt-0001-{found[0]['label']}.jpg"
    clean = sum(dish.label == "clean" for dish in belt.dishes)
    assert f"4 dishes: {clean} clean, {4 - clean} dirty, 0 unsure; " in printed.err


def test_inspect_video_posts_each_dish(
    film: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "RETRIES", (0.01,) * 3)
    posted: list[dict[str, Any]] = []
    failures = iter([500, 503])

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        status = next(failures, 200)
        if status == 200:
            posted.append(json.loads(body))
        request.send_response(status)
        request.end_headers()

    with http_server(answer) as url:
        inspect_video(str(film), BlobInspector(), webhook=url)
    printed = capsys.readouterr()
    assert posted == lines(printed.out)
    assert len(posted) == 4
    assert "; webhook: 4 delivered, 0 dropped" in printed.err


def test_inspect_video_dead_webhook_does_not_stop_it(
    film: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "FILE_TIMEOUT", 0.1)
    ended = threading.Event()
    with http_server(lambda _: ended.wait(30)) as url:
        inspect_video(str(film), BlobInspector(), webhook=url)
        ended.set()
    printed = capsys.readouterr()
    assert len(lines(printed.out)) == 4
    assert "; webhook: 0 delivered, 4 dropped" in printed.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_inspect_video_signal_ends_with_a_summary(number: signal.Signals, tmp_path: Path) -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[30:90, 50:110] = (140, 240, 140)
    script = (
        "import sys; from tests.support.cameras import BlobInspector;"
        "from platecheck.cli.inspect_video import inspect_video;"
        "from pathlib import Path;"
        "inspect_video(sys.argv[1], BlobInspector(), save=Path(sys.argv[2]))"
    )
    camera = MjpegCamera([frame])
    with http_server(camera) as url:
        process = subprocess.Popen(
            [sys.executable, "-c", script, f"{url}/video?password=1", str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        first = json.loads(process.stdout.readline())  # it settles while it is in the picture
        time.sleep(0.5)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
        camera.closed.set()
    assert (process.returncode, rest) == (0, "")
    assert (first["label"], first["source"]) == ("clean", f"{url}/video")
    assert Path(first["photo"]).name.endswith("Z-0001-clean.jpg")
    assert first["received"].endswith("+00:00")
    assert "1 dish: 1 clean, 0 dirty, 0 unsure; " in errors
    assert "Traceback" not in errors


def test_inspect_video_lost_camera_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from platecheck import video

    monkeypatch.setattr(video, "FIRST_RETRY", 0.05)
    frame = np.zeros((120, 160, 3), np.uint8)
    camera = MjpegCamera([frame], drop_after=10)

    def kill() -> None:
        while camera.connections < 3:
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=kill, daemon=True).start()
    with http_server(camera) as url:
        inspect_video(f"{url}/video", BlobInspector())
        camera.closed.set()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"note: {url}/video was lost; trying to open it again\n" in printed.err
    assert f"note: {url}/video is back\n" in printed.err
    assert "0 dishes: 0 clean, 0 dirty, 0 unsure; " in printed.err


def test_command_inspects_a_video(
    cli: Cli, film: Path, belt: Conveyor, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "model.onnx")
    detector = write_detector(tmp_path / "detector.onnx", size=64, grid=1)
    shown = cli("inspect", film, "--model", model, "--detector", detector, "--fps", 5)
    assert shown.code == 0
    found = lines(shown.out)
    assert found
    assert {line["source"] for line in found} == {str(film)}
    assert "frames inspected" in shown.err
    refused = cli("inspect", film, "photo.jpg", "--model", model, "--detector", detector)
    assert (refused.code, refused.out) == (2, "")
    assert "one video" in refused.err
