"""The page's own model, in Chromium: it answers what the service answers, without the service."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from playwright.sync_api import Browser, Error, Page, sync_playwright

from platecheck import Classifier
from platecheck.classifier import find_model
from platecheck.heatmap import heatmap_png
from platecheck.photo import open_photo

PAGE = Path(__file__).parents[2] / "src" / "platecheck" / "web" / "page"
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.jpg"))
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
BLANK = b'<!doctype html><title>blank</title><link rel="icon" href="data:,">'
KEY = "a key"

Pixels = NDArray[np.uint8]
WriteModel = Callable[..., Path]

LOAD = """async (key) => {
  const model = await (await fetch("/v1/model")).json();
  const { loadLocalModel } = await import("/page/local-model.js");
  window.local = await loadLocalModel(model, { Authorization: key });
}"""
ANSWER = """async ([photos, options]) => {
  const { bytes } = await import("/bytes.js");
  const answers = photos.map(([name, text]) => {
    const blob = name === null ? new Blob([bytes(text)]) : new File([bytes(text)], name);
    return window.local.predict(blob, options).catch((error) => ({ failed: error.message }));
  });
  return Promise.all(answers);
}"""
ORDER = """async ([large, small]) => {
  const { bytes } = await import("/bytes.js");
  const order = [];
  const answer = async (name, text) => {
    await window.local.predict(new Blob([bytes(text)]));
    order.push(name);
  };
  await Promise.all([answer("large", large), answer("small", small)]);
  return order;
}"""
OPEN = """async ([text, size]) => {
  const { bytes } = await import("/bytes.js");
  const { openPhoto } = await import("/page/open-photo.js");
  return Array.from(await openPhoto(new Blob([bytes(text)]), size));
}"""
RESIZE = """async ([text, width, height, size, factor]) => {
  const { bytes } = await import("/bytes.js");
  const { resize, shrink } = await import("/page/resize.js");
  const pixels = bytes(text);
  let most = 0;
  const rows = (top, count) => {
    most = Math.max(most, count);
    return pixels.subarray(top * width * 4, (top + count) * width * 4);
  };
  const photo = { width, height, rows };
  const small = resize(factor > 1 ? shrink(photo, factor) : photo, size);
  return [Array.from(small), most];
}"""
BYTES = b"""export const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"""


class Service:
    """A stand-in for the service: the page's files and one model.

    Attributes:
        address: where it listens.
        model: the file that /v1/model/file gives; None for the answer of a service that keeps it.
        described: what /v1/model gives.
        headers: more of them for every answer.
        asked: the paths asked for.
        keys: what requests for the model file had as their key.
    """

    def __init__(self, address: str, model: Path) -> None:
        self.address = address
        self.model: Path | None = model
        self.described = describe(model)
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.keys: list[str | None] = []

    def answer(self, path: str, key: str | None) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(path)
        if path == "/":
            return 200, {"Content-Type": "text/html"}, BLANK
        if path == "/bytes.js":
            return 200, {"Content-Type": "text/javascript"}, BYTES
        if path == "/v1/model":
            return 200, {"Content-Type": "application/json"}, json.dumps(self.described).encode()
        if path == "/v1/model/file":
            self.keys.append(key)
            if self.model is None:
                problem = {"status": 404, "detail": "this service keeps its model to itself"}
                kind = {"Content-Type": "application/problem+json"}
                return 404, kind, json.dumps(problem).encode()
            return 200, {"Content-Type": "application/octet-stream"}, self.model.read_bytes()
        file = PAGE / path.removeprefix("/page/")
        headers = {"Content-Type": TYPES[file.suffix]}
        if file.suffix == ".wasm":
            file = file.with_name(f"{file.name}.gz")
            headers["Content-Encoding"] = "gzip"
        return 200, headers, file.read_bytes()


def describe(model: Path) -> dict[str, Any]:
    """What /v1/model says of a file, as far as the page's own model looks at it."""
    info = Classifier.load(model).info
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    fields = info.model_dump(include={"classes", "size", "thresholds", "ood_threshold"})
    return {**fields, "id": f"{info.recipe}-{digest[:12]}"}


@contextmanager
def serving(model: Path) -> Iterator[Service]:
    """Serve the page and a model on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = service.answer(self.path, self.headers["Authorization"])
            self.send_response(status)
            for name, value in {**headers, **service.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_address[1]}", model)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium or Google Chrome"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, service: Service) -> Iterator[Page]:
    """A blank page of the service, on which the policy forbids nothing and no script fails."""
    complaints = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(service.address)
        yield page
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@contextmanager
def loaded(browser: Browser, model: Path) -> Iterator[Page]:
    """A page with a model, which has lost its network since."""
    with serving(model) as service, opened(browser, service) as page:
        page.evaluate(LOAD, KEY)
        page.evaluate("import('/bytes.js')")
        page.context.set_offline(True)
        before = list(service.asked)
        yield page
        assert service.asked == before


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    """A page without a model, to try single modules on."""
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        yield page


@pytest.fixture(scope="module", params=["plate", "tiny"])
def shipped(request: pytest.FixtureRequest, browser: Browser) -> Iterator[tuple[Page, Classifier]]:
    """A page with a shipped model, and the same model in Python."""
    model = find_model(request.param)
    with loaded(browser, model) as page:
        yield page, Classifier.load(model)


def answers(
    page: Page, photos: list[tuple[str | None, bytes]], **options: bool
) -> list[dict[str, Any]]:
    """What the page's model answers for photos of these names, all asked for at once."""
    sent = [(name, base64.b64encode(photo).decode()) for name, photo in photos]
    found: list[dict[str, Any]] = page.evaluate(ANSWER, [sent, options])
    return found


def overlay_of(entry: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The evidence of an answer, RGBA."""
    head, _, content = entry["evidence"].partition(",")
    assert head == "data:image/png;base64"
    return read(base64.b64decode(content))


def read(png: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(png)) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(width: int = 90, height: int = 60) -> Image.Image:
    """Smooth colours that are different in every corner, and a few hard edges."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 / width, y * 255 / height, 128 + 100 * np.sin(x / 9)], axis=-1)
    picture[height // 4 : height // 2, width // 8 : width // 3] = (250, 240, 20)
    return Image.fromarray(picture.astype(np.uint8))


def difference(page: Page, photo: bytes, size: int) -> NDArray[np.int_]:
    """How far, in levels, the page's pixels are from those of the service."""
    found = page.evaluate(OPEN, [base64.b64encode(photo).decode(), size])
    there = np.asarray(found).reshape(size, size, 3)
    return np.abs(there - open_photo(photo, size=size))


def test_a_shipped_model_answers_as_in_python(shipped: tuple[Page, Classifier]) -> None:
    page, classifier = shipped
    found = answers(page, [(path.name, path.read_bytes()) for path in SAMPLES], evidence=True)
    assert len(found) == 8
    for path, entry in zip(SAMPLES, found, strict=True):
        expected = classifier.predict(path)
        assert entry["name"] == path.name
        assert entry["label"] == expected.label
        assert entry["probability"] == max(entry["probabilities"].values())
        assert list(entry["probabilities"]) == list(classifier.classes)
        assert entry["probabilities"] == pytest.approx(expected.probabilities, abs=0.02)
        likeliest = max(entry["probabilities"], key=entry["probabilities"].__getitem__)
        assert entry["needed"] == classifier.info.thresholds[likeliest]
        assert ("evidence" in entry) == classifier.has_heatmap
        if expected.heatmap is not None:
            there, here = overlay_of(entry), read(heatmap_png(expected.heatmap))
            assert there.shape == here.shape
            strength = here[..., 3].astype(int)
            assert np.abs(there[..., 3] - strength).mean() < 2
            if strength.max() > 25:
                assert np.corrcoef(there[..., 3].ravel(), strength.ravel())[0, 1] > 0.98
            # Browsers keep colours multiplied with their opacity, and so round faint ones.
            strong = there[..., 3] > 60
            assert np.abs(there[strong][:, :3] - np.array([255, 0, 90])).max(initial=0) <= 3


def test_the_evidence_is_left_out_unless_it_is_asked_for(
    shipped: tuple[Page, Classifier],
) -> None:
    page, _ = shipped
    (entry,) = answers(page, [(None, SAMPLES[0].read_bytes())])
    assert sorted(entry) == ["label", "name", "needed", "probabilities", "probability"]
    assert entry["name"] == "photo"


def test_a_photo_of_twelve_megapixels(shipped: tuple[Page, Classifier]) -> None:
    page, classifier = shipped
    with Image.open(SAMPLES[4]) as sample:
        photo = encoded(sample.resize((4032, 3024), Image.Resampling.BICUBIC))
    (entry,) = answers(page, [("phone.jpg", photo)])
    expected = classifier.predict(photo)
    assert entry["label"] == expected.label
    assert entry["probabilities"] == pytest.approx(expected.probabilities, abs=0.02)


def test_photos_are_answered_one_after_the_other(shipped: tuple[Page, Classifier]) -> None:
    page, _ = shipped
    with Image.open(SAMPLES[0]) as sample:
        large = encoded(sample.resize((3000, 3000)))
    photos = [base64.b64encode(photo).decode() for photo in (large, SAMPLES[1].read_bytes())]
    assert page.evaluate(ORDER, photos) == ["large", "small"]


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"", "the file is empty"),
        (b"This is a shopping list.", "it is not a photo in a format that can be read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "this browser cannot read HEIC photos without the service"),
        (SAMPLES[0].read_bytes()[:9000], "the file is damaged or cut short"),
        (encoded(scene(), "PNG")[:300], "the file is damaged or cut short"),
        (encoded(scene(), "WEBP")[:300], "the file is damaged or cut short"),
    ],
    ids=["empty", "text", "HEIC", "half a JPEG", "half a PNG", "half a WebP"],
)
def test_what_is_no_photo_is_told_in_plain_words(
    shipped: tuple[Page, Classifier], photo: bytes, reason: str
) -> None:
    page, _ = shipped
    good = ("good.jpg", SAMPLES[0].read_bytes())
    before, failed, after = answers(page, [good, ("bad.jpg", photo), good])
    assert failed == {"failed": reason}
    assert before == after
    assert before["label"] == "clean"


@pytest.mark.parametrize(
    ("level", "label"), [(2, "not a dish"), (70, "clean"), (128, "unsure"), (240, "dirty")]
)
def test_the_answers_beside_the_classes(
    browser: Browser, tmp_path: Path, write_model: WriteModel, level: int, label: str
) -> None:
    model = write_model(
        tmp_path / "model.onnx",
        evidence=4,
        oddness=True,
        oddness_limit=0.9,
        thresholds={"clean": 0.7, "dirty": 0.95},
    )
    photo = encoded(Image.new("RGB", (20, 30), (level, level, level)), "PNG")
    with loaded(browser, model) as page:
        (entry,) = answers(page, [("grey.png", photo)], evidence=True)
    expected = Classifier.load(model).predict(photo)
    assert entry["label"] == expected.label == label
    assert entry["needed"] == expected.threshold
    assert entry["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert overlay_of(entry).shape == read(heatmap_png(expected.heatmap)).shape


def test_a_model_without_thresholds_and_of_three_classes(
    browser: Browser, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "model.onnx", classes=("clean", "dirty", "broken"))
    photo = encoded(Image.new("RGB", (8, 8), "white"), "PNG")
    with loaded(browser, model) as page:
        (entry,) = answers(page, [("white.png", photo)], evidence=True)
    assert entry["label"] == "broken"
    assert entry["needed"] == 0
    assert "evidence" not in entry


def test_only_the_service_is_asked_and_with_the_key(browser: Browser) -> None:
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        asked: list[str] = []
        page.context.on("request", lambda request: asked.append(request.url))
        page.evaluate(LOAD, KEY)
        assert [worker.url for worker in page.workers] == [
            f"{service.address}/page/local-worker.js"
        ]
    assert all(url.startswith(f"{service.address}/") for url in asked)
    assert service.keys == [KEY]
    assert service.asked.count("/page/vendor/ort-wasm-simd-threaded.wasm") == 1


def test_one_thread_even_where_more_could_be_had(browser: Browser) -> None:
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        service.headers = {
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
        }
        page.reload()
        assert page.evaluate("crossOriginIsolated")
        page.evaluate(LOAD, KEY)
    # Every further thread would be a worker that fetches this again.
    assert service.asked.count("/page/vendor/ort.wasm.bundle.min.mjs") == 1


def test_a_model_that_the_service_keeps(browser: Browser) -> None:
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        service.model = None
        with pytest.raises(Error, match="this service keeps its model to itself"):
            page.evaluate(LOAD, KEY)
        for _ in range(200):  # a worker's end is told a little later
            if page.workers:
                page.wait_for_timeout(10)
        assert page.workers == []


def test_a_file_of_another_model_is_refused(browser: Browser) -> None:
    with serving(find_model("plate")) as service, opened(browser, service) as page:
        service.model = find_model("tiny")
        with pytest.raises(Error, match="the model has changed; reload the page"):
            page.evaluate(LOAD, KEY)


def test_a_damaged_model_is_told(browser: Browser, tmp_path: Path) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(find_model("tiny").read_bytes()[:500_000])
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        service.model = damaged
        digest = hashlib.sha256(damaged.read_bytes()).hexdigest()
        service.described["id"] = f"tiny-{digest[:12]}"
        with pytest.raises(Error, match="the model cannot be loaded in this browser"):
            page.evaluate(LOAD, KEY)


def test_a_service_that_cannot_be_reached(browser: Browser) -> None:
    with serving(find_model("tiny")) as service, opened(browser, service) as page:
        page.route("**/v1/model/file", lambda route: route.abort())
        with pytest.raises(Error, match="not on this device yet, and the service cannot be"):
            page.evaluate(LOAD, KEY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(blank: Page, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = encoded(scene(), exif=exif, quality=95, subsampling=0)
    assert difference(blank, photo, 32).max() <= 1


@pytest.mark.parametrize("size", [128, 288])
def test_the_pixels_of_a_sample_are_those_of_the_service(blank: Page, size: int) -> None:
    for path in SAMPLES:
        apart = difference(blank, path.read_bytes(), size)
        # 512 pixels are drafted for 128, and there libjpeg's own halving is only near a mean.
        assert apart.mean() < (0.01 if size == 288 else 0.3)


def test_a_large_jpeg_is_drafted_as_the_service_does_it(blank: Page) -> None:
    noise = np.random.default_rng(0).normal(0, 30, (700, 1000, 3))
    picture = np.clip(np.asarray(scene(1000, 700)) + noise, 0, 255).astype(np.uint8)
    photo = encoded(Image.fromarray(picture), quality=95, subsampling=0)
    assert difference(blank, photo, 40).mean() < 0.5


def test_transparency_lies_on_white(blank: Page) -> None:
    photo = scene()
    photo.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 90).astype(np.uint8), (60, 1))))
    assert difference(blank, encoded(photo, "PNG"), 32).max() <= 1
    invisible = encoded(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), "PNG")
    assert difference(blank, invisible, 4).max() == 0


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("I;16", "PNG")],
)
def test_other_kinds_of_pixels(blank: Page, mode: str, kind: str) -> None:
    if mode == "I;16":
        deep = np.asarray(scene().convert("L"), np.uint16) * 257
        photo = encoded(Image.fromarray(deep), kind)
    else:
        photo = encoded(scene().convert(mode), kind)
    assert difference(blank, photo, 24).max() <= 1


def test_a_colour_profile_changes_nothing(blank: Page) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    # Red is now called blue, as nobody could overlook.
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    photo = encoded(scene(), "PNG", icc_profile=bytes(profile))
    assert difference(blank, photo, 24).max() == 0


SIZES = [
    (512, 512, 288),
    (341, 256, 288),
    (256, 341, 128),
    (1000, 37, 33),
    (64, 33, 32),
    (65, 31, 64),
    (7, 5, 40),
    (3, 2, 7),
    (24, 24, 24),
    (25, 24, 24),
    (1, 1, 16),
    (1, 50, 16),
    (50, 1, 16),
    (90, 60, 1),
    (2000, 1500, 3),
]


@pytest.mark.parametrize(("width", "height", "size"), SIZES)
def test_resizing_is_pillows(blank: Page, width: int, height: int, size: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 4), np.uint8)
    pixels[: height // 3] = np.where(pixels[: height // 3] > 127, 255, 0)  # hard edges
    sent = base64.b64encode(pixels.tobytes()).decode()
    found, most = blank.evaluate(RESIZE, [sent, width, height, size, 1])
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    expected = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    assert np.array_equal(np.reshape(found, expected.shape), expected)
    assert most <= 32  # rows in memory at once


@pytest.mark.parametrize(("width", "height", "factor"), [(16, 16, 2), (37, 29, 4), (530, 401, 8)])
def test_shrinking_takes_means(blank: Page, width: int, height: int, factor: int) -> None:
    pixels = np.random.default_rng(factor).integers(0, 256, (height, width, 4), np.uint8)
    columns, rows = -(-width // factor), -(-height // factor)
    means = np.zeros((rows, columns, 3))
    for y in range(rows):
        for x in range(columns):
            block = pixels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor, :3]
            means[y, x] = block.mean(axis=(0, 1))
    size = min(columns, rows)
    picture = Image.fromarray(np.rint(means).astype(np.uint8))
    expected = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    sent = base64.b64encode(pixels.tobytes()).decode()
    found, _ = blank.evaluate(RESIZE, [sent, width, height, size, factor])
    assert np.array_equal(np.reshape(found, expected.shape), expected)


def test_the_vendored_runtime_is_what_its_readme_says() -> None:
    folder = PAGE / "vendor"
    sums = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.MULTILINE)
    for digest, name in sums:
        packed = folder / f"{name}.gz"
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else None
        content = content or (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
    kept = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    assert kept == {name for _, name in sums} | {"README.md"}


def test_the_vendored_files_are_packed_the_same_each_time() -> None:
    for path in (PAGE / "vendor").glob("*.gz"):
        flags, time = struct.unpack("<xxxBI", path.read_bytes()[:8])
        assert (flags, time) == (0, 0), f"{path.name} holds its name or the time of day"
