"""Cameras, streams and webhooks that misbehave, as HTTP servers on this machine."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.conveyor import Conveyor, FakeDish, predicted


@dataclass
class Inspected:
    dishes: list[FakeDish]


class BlobInspector:
    """Finds bright blobs: the drawn dishes of a `Conveyor`, clean if green and dirty if red."""

    def inspect(self, photo: NDArray[np.uint8]) -> Inspected:
        mask = (photo.max(2) > 150).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
        count, regions, stats, _ = cv2.connectedComponentsWithStats(mask)
        found = []
        for k in range(1, count):
            x, y, width, height, area = map(int, stats[k])
            if area > 400:
                red, green, _ = photo[regions == k].mean(0)
                label = "clean" if green > red else "dirty"
                box = (float(x), float(y), float(x + width), float(y + height))
                found.append(FakeDish(box, 0.9, predicted(label)))
        return Inspected(found)


def write_frames(frames: Sequence[NDArray[np.uint8]], path: Path, fps: float) -> Path:
    """Write frames [H, W, 3] RGB to a video file: MJPEG if it ends with .avi, else MPEG-4."""
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, fps, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_belt(conveyor: Conveyor, path: Path, every: int = 1) -> Path:
    """Write every so many frames of a belt to a video file."""
    frames = [conveyor.render(number) for number in range(0, len(conveyor), every)]
    return write_frames(frames, path, conveyor.fps / every)


@contextmanager
def http_server(handle: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Answer every request with `handle`; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                handle(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@dataclass
class MjpegCamera:
    """A camera that sends frames as MJPEG over HTTP.

    Attributes:
        frames: those it sends, over and over, each with its number.
        drop_after: number of frames after which it closes a connection; 0 for never.
        refuse: number of connections it refuses after the first drop.
        rate: frames per second.
    """

    frames: list[NDArray[np.uint8]]
    drop_after: int = 0
    refuse: int = 0
    rate: float = 50
    connections: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.connections += 1
        if 1 < self.connections <= 1 + self.refuse:
            request.send_error(503)
            return
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        number = 0
        while not self.closed.is_set() and (number < self.drop_after or not self.drop_after):
            frame = self.frames[number % len(self.frames)]
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            request.wfile.write(head.encode() + jpeg + b"\r\n")
            number += 1
            time.sleep(1 / self.rate)
