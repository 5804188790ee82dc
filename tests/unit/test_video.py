"""Videos and cameras: what is read from them, and what happens when they are lost."""

import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck import video
from platecheck.errors import DataError, MissingExtraError
from platecheck.video import Video, is_video, without_secrets
from tests.support.cameras import MjpegCamera, http_server, write_frames


def levels(count: int) -> list[NDArray[np.uint8]]:
    """Frames whose red tells their number, with a blue upper half."""
    frames = np.zeros((count, 48, 64, 3), np.uint8)
    frames[..., 0] = np.arange(count)[:, None, None] * 5
    frames[:, :24, :, 2] = 200
    return list(frames)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two seconds, 20 frames a second."""
    return write_frames(levels(40), tmp_path / "film.avi", 20)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", True), ("12", True), ("/dev/video0", True), ("belt.mp4", True), ("a/belt.MOV", True),
        ("rtsp://camera/1", True), ("rtsp://user:secret@camera:554/1?x=1.jpg", True),
        ("http://camera/video.mjpg", True), ("https://host/belt.mp4?token=1", True),
        ("http://user:secret@camera/stream", True),
        ("photo.jpg", False), ("photos", False), ("-", False), ("", False), ("list.txt", False),
        ("*.mp4", False),
        ("https://host/photo.jpg?size=2", False), ("s3://bucket/belt.mp4", False),
    ],
)  # fmt: skip
def test_is_video_by_name(source: str, expected: bool) -> None:
    assert is_video(source) is expected


def test_is_video_file_named_like_a_device_is_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7").write_bytes(b"")
    assert not is_video("7")
    for folder in ("2026", "clips.mp4"):
        Path(folder).mkdir()
        assert not is_video(folder)


@pytest.mark.parametrize("url", ["http://[abc", "http://[abc.jpg", "http://127.0.0.1:1/a b"])
def test_is_video_malformed_url_is_a_photo_that_cannot_be_read(url: str) -> None:
    assert not is_video(url, ask=True)


@pytest.mark.parametrize("source", ["\udcff.mp4", "99999999999999999999"])
def test_video_impossible_source_is_an_error(source: str) -> None:
    with pytest.raises(DataError, match=r"not UTF-8|cannot be opened"):
        Video(source)


def test_is_video_asks_for_the_type_of_a_url_without_ending() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        kinds = {"/video": "multipart/x-mixed-replace; boundary=x", "/film": "video/mp4"}
        request.send_response(200 if request.path != "/gone" else 404)
        request.send_header("Content-Type", kinds.get(request.path, "image/jpeg"))
        request.end_headers()

    with http_server(answer) as url:
        paths = ("/video", "/film", "/photo", "/gone")
        found = [is_video(url + path, ask=True) for path in paths]
        assert not is_video(f"{url}/video")  # private addresses are not asked without permission
    assert found == [True, True, False, False]


def test_without_secrets_removes_user_and_query() -> None:
    assert without_secrets("rtsp://u:p@camera:554/1?pwd=x#y") == "rtsp://camera:554/1"
    assert without_secrets("a@b.mp4") == "a@b.mp4"


@pytest.mark.parametrize(("fps", "count"), [(10, 20), (20, 40), (100, 40), (3, 6)])
def test_video_file_gives_at_most_fps(film: Path, fps: float, count: int) -> None:
    with Video(str(film), fps=fps) as frames:
        assert (frames.live, frames.frames) == (False, 40)
        found = list(frames)
    assert len(found) == count
    times = np.array([frame.time for frame in found])
    assert times == pytest.approx(np.array([frame.number for frame in found]) / 20)
    assert (np.floor(times * fps + 0.01) >= np.arange(count) * (fps <= 20)).all()


def test_video_file_is_rgb_and_not_skipped_by_a_slow_reader(film: Path) -> None:
    with Video(str(film), fps=20) as frames:
        for number, frame in enumerate(frames):
            assert frame.pixels.shape == (48, 64, 3)
            assert frame.received is None
            assert abs(float(frame.pixels[30:, :, 0].mean()) - 5 * number) < 12
            assert frame.pixels[:20, :, 2].mean() > 150 > frame.pixels[30:, :, 2].mean()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), (b"", "not a video"), (b"text", "not a video")]
)
def test_video_cannot_be_opened_is_an_error(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        Video(str(path))


def test_video_without_frames_per_second_is_an_error(film: Path) -> None:
    with pytest.raises(DataError, match="fps must be above 0"):
        Video(str(film), fps=0)


def test_video_error_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "TIMEOUT", 0.5)
    with pytest.raises(DataError, match=r"^rtsp://127.0.0.1:9/1 cannot be opened") as caught:
        Video("rtsp://user:secret@127.0.0.1:9/1?token=secret")
    assert "secret" not in str(caught.value)


def test_video_cut_short_is_noted(film: Path) -> None:
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    notes: list[str] = []
    with Video(str(film), fps=20, on_note=notes.append) as frames:
        found = len(list(frames))
    assert 5 < found < 35
    assert "damaged" in notes[0]


def test_video_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"\[video\]"):
        Video("film.mp4")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(video, "FIRST_RETRY", 0.05)
    return


def test_camera_slow_reader_gets_the_latest_frame() -> None:
    camera = MjpegCamera(levels(50), rate=50)
    with http_server(camera) as url, Video(f"{url}/video", fps=100) as frames:
        assert (frames.live, frames.frames) == (True, None)
        found = []
        for frame in frames:
            found.append(frame)
            time.sleep(0.2)
            if len(found) == 5:
                break
        skipped = frames.skipped
        camera.closed.set()
    numbers = [frame.number for frame in found]
    assert numbers == sorted(set(numbers))
    assert skipped >= 4
    assert numbers[-1] >= len(numbers) + 3
    assert 0 <= found[0].time < found[1].time
    assert found[0].received
    assert found[0].received.tzinfo


def test_camera_lost_comes_back(quick_retries: None) -> None:
    camera = MjpegCamera(levels(50), drop_after=20, refuse=2)
    notes: list[str] = []
    with http_server(camera) as url, Video(f"{url}/video", on_note=notes.append, fps=99) as frames:
        for frame in frames:
            if frame.number >= 30:  # 20 of the first connection
                break
        camera.closed.set()
    name = f"{url}/video"
    assert notes[:2] == [f"{name} was lost; trying to open it again", f"{name} is back"]
    assert camera.connections >= 4


def test_camera_closed_ends_the_iteration() -> None:
    camera = MjpegCamera(levels(50))
    with http_server(camera) as url, Video(f"{url}/video") as frames:
        for count, _ in enumerate(frames, 1):
            if count == 3:
                frames.close()
        camera.closed.set()
    assert count == 3
