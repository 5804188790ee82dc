"""The model on the device, in Chromium: it predicts what the service predicts."""

import base64
import gzip
import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from page_fixtures.dishes import blurred, darker, dish, jpeg, rack
from page_fixtures.service import Service
from page_fixtures.visits import encode
from PIL import Image, ImageCms
from playwright.sync_api import Browser, Error, Page, Route

from platecheck import Classifier
from platecheck.classifier import BUNDLED_MODELS, find_model
from platecheck.detector import Detector
from platecheck.heatmap import heatmap_png
from platecheck.inspector import Inspector
from platecheck.photo import open_photo
from platecheck.quality import ADVICE, CROWDED, HIDDEN, measure
from platecheck.serving.static import WEB
from tests.conftest import WriteModel
from tests.support.writing import write_detector

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.jpg"))
KEY = "a key"
# Base64, since Playwright takes long for large arrays.
TEXT = "const text = (bytes) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));"
BYTES = "const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));"
LOAD = """async (key) => {
  const model = await (await fetch("/v1/model")).json();
  const { loadLocalModels } = await import("/page/local-model.js");
  window.local = await loadLocalModels(model, { Authorization: key });
}"""
INSPECT = f"""async ([photos, options]) => {{
  {BYTES}
  return Promise.all(photos.map(([name, text]) => {{
    const blob = name === null ? new Blob([bytes(text)]) : new File([bytes(text)], name);
    return window.local.inspect(blob, options).catch((error) => ({{ failed: error.message }}));
  }}));
}}"""
OPEN = f"""async ([content, size]) => {{
  {BYTES}
  const {{ decodePhoto }} = await import("/page/open-photo.js");
  const {{ resize }} = await import("/page/resize.js");
  {TEXT}
  const photo = await decodePhoto(new Blob([bytes(content)]));
  return text(resize(photo.reduced(size), size));
}}"""
IMPORT = """() => Promise.all([import("/page/open-photo.js"), import("/page/resize.js")])"""
RESIZE = f"""async ([content, width, height, size, factor]) => {{
  {BYTES}
  const {{ resize, shrink }} = await import("/page/resize.js");
  {TEXT}
  const pixels = bytes(content);
  let most = 0;
  const rows = (top, count) => {{
    most = Math.max(most, count);
    return pixels.subarray(top * width * 4, (top + count) * width * 4);
  }};
  const photo = {{ width, height, rows }};
  const small = resize(factor > 1 ? shrink(photo, factor) : photo, size);
  return [text(small), most];
}}"""


class Files:
    """A blank page of the service, with another model than the service's, and perhaps a detector.

    Attributes:
        page: the page.
        model: the response to /v1/model.
        file: the response to /v1/model/file.
        asked: the requests, as path and API key.
    """

    def __init__(self, page: Page, model: Path, detector: Path | None = None) -> None:
        info = Classifier.load(model).info
        self.file = model.read_bytes()
        fields = info.model_dump(include={"classes", "size", "thresholds", "quality_check"})
        own = {"id": f"{info.recipe}-{self.digest}", "oddness_limit": info.ood_threshold}
        self.model = {**fields, **own, "detector": None}
        if detector:
            found = Detector.load(detector)
            about = found.info.model_dump(include={"size", "threshold", "nms_iou"})
            self.model["detector"] = {"id": found.id, **about}
            page.route("**/v1/model/dishes", lambda route: route.fulfill(path=detector))
        self.page = page
        self.asked: list[tuple[str, str | None]] = []
        page.context.on(
            "request", lambda r: self.asked.append((r.url, r.headers.get("authorization")))
        )
        page.route("**/v1/model", lambda route: route.fulfill(json=self.model))
        page.route("**/v1/model/file", lambda route: route.fulfill(body=self.file))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.file).hexdigest()[:12]

    def load(self) -> None:
        self.page.evaluate(LOAD, KEY)


@contextmanager
def opened(
    browser: Browser, service: Service, model: Path, detector: Path | None = None
) -> Iterator[Files]:
    """Open a blank page of the service, with its policy; at the end no script has failed."""
    complaints: list[str] = []
    with browser.new_context(service_workers="block") as context:
        page = context.new_page()
        body = "<!doctype html><title>blank</title>"
        page.route(
            f"{service.url}/", lambda route: route.fulfill(response=route.fetch(), body=body)
        )
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(service.url)
        yield Files(page, model, detector)
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@contextmanager
def loaded(
    browser: Browser, service: Service, model: Path, detector: Path | None = None
) -> Iterator[Page]:
    """Open a page that has loaded a model, and has lost its network since."""
    with opened(browser, service, model, detector) as files:
        files.load()
        files.page.evaluate(IMPORT)
        files.page.context.set_offline(True)
        before = list(files.asked)
        yield files.page
        assert files.asked == before


@pytest.fixture
def tiny(browser: Browser, service: Service) -> Iterator[Files]:
    with opened(browser, service, find_model("tiny")) as files:
        yield files


@pytest.fixture(scope="module")
def blank(browser: Browser, service: Service) -> Iterator[Page]:
    """A page without a model, to try single modules on."""
    with opened(browser, service, find_model("tiny")) as files:
        yield files.page


@pytest.fixture(scope="module", params=BUNDLED_MODELS)
def bundled(
    request: pytest.FixtureRequest, browser: Browser, service: Service
) -> Iterator[tuple[Page, Classifier]]:
    """A page with a bundled model, and the same model in Python."""
    model = find_model(request.param)
    with loaded(browser, service, model) as page:
        yield page, Classifier.load(model)


def inspect(
    page: Page, photos: list[tuple[str | None, bytes]], **options: bool
) -> list[dict[str, Any]]:
    """Return the inspections of photos of these names, all requested at once."""
    sent = [(name, encode(photo)) for name, photo in photos]
    found: list[dict[str, Any]] = page.evaluate(INSPECT, [sent, options])
    return found


def predict(
    page: Page, photos: list[tuple[str | None, bytes]], **options: bool
) -> list[dict[str, Any]]:
    """Return the predictions for photos that are one dish each, without a detector."""
    found = inspect(page, photos, **options)
    return [{**each.pop("dishes", [{}])[0], **each} for each in found]


def rgba(png: bytes | str) -> NDArray[np.int_]:
    """Decode a heatmap's image, also as a data: URL."""
    if isinstance(png, str):
        head, _, content = png.partition(",")
        assert head == "data:image/png;base64"
        png = base64.b64decode(content)
    with Image.open(BytesIO(png)) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture, int)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(width: int = 90, height: int = 60) -> Image.Image:
    """Draw smooth colors that differ in every corner, and a few hard edges."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 / width, y * 255 / height, 128 + 100 * np.sin(x / 9)], axis=-1)
    picture[height // 4 : height // 2, width // 8 : width // 3] = (250, 240, 20)
    return Image.fromarray(picture.astype(np.uint8))


def decoded(text: str, size: int) -> NDArray[np.uint8]:
    """Return the pixels that a script has sent, [size, size, 3]."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size, size, 3)


def difference(page: Page, photo: bytes, size: int) -> NDArray[np.int_]:
    """Return how far, in levels, the page's pixels are from those of the service."""
    found = decoded(page.evaluate(OPEN, [encode(photo), size]), size)
    return np.abs(found.astype(int) - open_photo(photo, size=size))


def test_local_model_predicts_as_in_python(bundled: tuple[Page, Classifier]) -> None:
    page, classifier = bundled
    photos = [(path.name, path.read_bytes()) for path in SAMPLES]
    with Image.open(SAMPLES[4]) as sample:
        large = sample.resize((4032, 3024), Image.Resampling.BICUBIC)
    photos.append(("phone.jpg", encoded(large)))
    for (name, photo), found in zip(photos, predict(page, photos, heatmap=True), strict=True):
        expected = classifier.predict(photo)
        assert (found["name"], found["label"]) == (name, expected.label)
        assert found["probability"] == max(found["probabilities"].values())
        assert list(found["probabilities"]) == list(classifier.classes)
        assert found["probabilities"] == pytest.approx(expected.probabilities, abs=0.1)
        # A browser decodes JPEG a level or two otherwise, so compare on the same pixels.
        pixels = decoded(page.evaluate(OPEN, [encode(photo), classifier.size]), classifier.size)
        same = classifier.predict(pixels)
        assert found["probabilities"] == pytest.approx(same.probabilities, abs=0.04)
        assert found["needed"] == expected.threshold
        assert ("heatmap" in found) == classifier.has_heatmap
        if same.heatmap is not None:
            there, here = rgba(found["heatmap"]), rgba(heatmap_png(same.heatmap))
            assert there.shape == here.shape
            assert np.abs(there - here)[..., 3].mean() < 2
            if here[..., 3].max() > 60:
                likeness = np.corrcoef(there[..., 3].ravel(), here[..., 3].ravel())[0, 1]
                assert likeness > (0.9 if classifier.info.recipe == "plate" else 0.85)
            # Browsers keep colors multiplied with their opacity, and so round faint ones.
            strong = there[..., 3] > 60
            assert np.abs(there[strong][:, :3] - (255, 0, 90)).max(initial=0) <= 3
    (found,) = predict(page, [(None, photos[0][1])])
    assert (found["name"], found["box"]) == ("photo", None)


def test_local_model_classifies_one_photo_after_the_other(bundled: tuple[Page, Classifier]) -> None:
    script = f"""async (photos) => {{
      {BYTES}
      const order = [];
      await Promise.all(photos.map((text, index) =>
        window.local.inspect(new Blob([bytes(text)])).then(() => order.push(index))));
      return order;
    }}"""
    with Image.open(SAMPLES[0]) as sample:
        large = encoded(sample.resize((3000, 3000)))
    photos = [encode(large), encode(SAMPLES[1].read_bytes())]
    assert bundled[0].evaluate(script, photos) == [0, 1]


DAMAGED = "the file is damaged or cut short"


def test_local_model_explains_files_that_are_no_photos(bundled: tuple[Page, Classifier]) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0"
    reasons = {
        b"": "the file is empty",
        b"This is a shopping list.": "it is not a photo in a format that can be read",
        heic: "this browser cannot read HEIC photos without the service",
        SAMPLES[0].read_bytes()[:9000]: DAMAGED,
        encoded(scene(), "PNG")[:300]: DAMAGED,
        encoded(scene(), "WEBP")[:300]: DAMAGED,
    }
    good = ("good.jpg", SAMPLES[0].read_bytes())
    bad = [("bad.jpg", photo) for photo in reasons]
    before, *failed, after = predict(bundled[0], [good, *bad, good])
    assert failed == [{"failed": reason} for reason in reasons.values()]
    assert before == after
    assert before["label"] == "clean"


def test_local_model_says_unsure_and_not_a_dish_as_in_python(
    browser: Browser, service: Service, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(
        tmp_path / "model.onnx",
        evidence=4,
        oddness=True,
        oddness_limit=0.9,
        thresholds={"clean": 0.7, "dirty": 0.95},
    )
    labels = {2: "not a dish", 70: "clean", 128: "unsure", 240: "dirty"}
    photos = [encoded(Image.new("RGB", (20, 30), (level,) * 3), "PNG") for level in labels]
    with loaded(browser, service, model) as page:
        found = predict(page, [("grey.png", photo) for photo in photos], heatmap=True)
    for label, photo, each in zip(labels.values(), photos, found, strict=True):
        expected = Classifier.load(model).predict(photo)
        assert each["label"] == expected.label == label
        assert each["needed"] == expected.threshold
        assert each["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
        assert rgba(each["heatmap"]).shape == rgba(heatmap_png(expected.heatmap)).shape


PHOTOS = {
    "rack": rack(8, 2, 1, 4, 6, None, 10, 3, 12, 18, 5, 20),
    "one small dish": rack(None, None, None, 1),
    "one large dish": dish(1, size=512),
    "blurred": blurred(rack(8, 1, 2, 4), 4),
    "dark": darker(rack(8, 1, 2, 4), 0.2),
    "cut off": rack(8, 1, 2, 4)[:, 200:1200],
    "nothing": np.full((300, 400, 3), 40, np.uint8),
}


def test_local_models_inspect_as_in_python(
    browser: Browser, service: Service, tmp_path: Path
) -> None:
    cells = write_detector(tmp_path / "cells.onnx", size=128, grid=4)
    whole = write_detector(tmp_path / "whole.onnx", grid=1)
    strict = write_detector(tmp_path / "strict.onnx", size=128, grid=4, threshold=0.96)
    reasons = set()
    for detector in (cells, whole, strict):
        inspector = Inspector.load(find_model("plate"), detector)
        photos = [(name, jpeg(pixels)) for name, pixels in PHOTOS.items()]
        with loaded(browser, service, find_model("plate"), detector) as page:
            inspections = inspect(page, photos)
        for (name, photo), found in zip(photos, inspections, strict=True):
            expected = inspector.inspect(photo, name=name)
            assert (found["width"], found["height"]) == (expected.width, expected.height)
            assert (name, found["quality"]) == (name, expected.quality)
            reasons.add(found["quality"])
            dishes = [dish for dish in found["dishes"] if dish["label"] != "not a dish"]
            assert len(dishes) == len(expected.dishes)
            for there, here in zip(dishes, expected.dishes, strict=True):
                assert there["box"] == pytest.approx(here.box, abs=0.02 * expected.width)
                assert there["crop"] == pytest.approx(here.crop, abs=0.02 * expected.width)
                assert there["score"] == pytest.approx(here.score, abs=0.02)
                assert there["quality"] == here.quality
                # int8 kernels of browsers differ a little from those of Python.
                if abs(here.prediction.probability - here.prediction.threshold) > 0.05:
                    assert there["label"] == here.label
                probability = there["probabilities"]["dirty"]
                assert probability == pytest.approx(here.prediction.probabilities["dirty"], abs=0.2)
    assert {"ok", "crowded"} < reasons


def test_quality_is_measured_as_in_python(blank: Page) -> None:
    """Every reason, near its limit."""
    script = f"""async (photos) => {{
      {BYTES}
      const {{ findFault }} = await import("/page/quality.js");
      return photos.map(([text, width, height]) => {{
        const pixels = bytes(text);
        const rows = (top, count) => pixels.subarray(top * width * 4, (top + count) * width * 4);
        return findFault({{ width, height, rows }});
      }});
    }}"""
    good = dish(0, size=380)
    noise = np.random.default_rng(0)
    worse = [
        good[:, :300],
        good[::9, ::9],
        good[:40],
        *(darker(good, light) for light in (0.02, 2, 3, 9)),
    ]
    worse += [
        np.pad(good, ((edge, edge), (edge, 40), (0, 0)), constant_values=255)
        for edge in (60, 120, 160, 200)
    ]
    worse += [blurred(good, each / 4) for each in range(2, 14)]
    worse += [np.asarray(Image.open(BytesIO(jpeg(good, quality)))) for quality in (2, 5, 10, 20)]
    worse += [
        np.clip(good + noise.normal(0, level, good.shape), 0, 255).astype(np.uint8)
        for level in range(8, 40, 4)
    ]
    expected = [measure(np.ascontiguousarray(pixels)).reason for pixels in worse]
    assert set(expected) == {"ok", *ADVICE} - {HIDDEN, CROWDED}
    sent = [
        [encode(np.dstack([pixels, pixels[..., :1]]).tobytes()), pixels.shape[1], pixels.shape[0]]
        for pixels in worse
    ]
    assert blank.evaluate(script, sent) == expected


def test_local_model_without_thresholds_and_with_three_classes(
    browser: Browser, service: Service, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "model.onnx", classes=("clean", "dirty", "broken"))
    photo = encoded(Image.new("RGB", (8, 8), "white"), "PNG")
    with loaded(browser, service, model) as page:
        (found,) = predict(page, [("white.png", photo)], heatmap=True)
    assert (found["label"], found["needed"]) == ("broken", 0)
    assert "heatmap" not in found


def test_load_asks_only_the_service_and_with_the_key(tiny: Files, service: Service) -> None:
    tiny.load()
    assert [worker.url for worker in tiny.page.workers] == [f"{service.url}/page/local-worker.js"]
    assert all(url.startswith(f"{service.url}/") for url, _ in tiny.asked)
    assert (f"{service.url}/v1/model/file", KEY) in tiny.asked
    runtime = f"{service.url}/page/vendor/ort-wasm-simd-threaded.wasm"
    assert [url for url, _ in tiny.asked].count(runtime) == 1


def refuse(route: Route) -> None:
    problem = {"status": 404, "detail": "this service keeps its model to itself"}
    route.fulfill(status=404, json=problem, content_type="application/problem+json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda files: files.page.route("**/v1/model/file", refuse),
            "this service keeps its model to itself",
        ),
        (
            lambda files: files.page.route("**/v1/model/file", lambda route: route.abort()),
            "not on this device yet, and the service cannot be",
        ),
        (
            lambda files: setattr(files, "file", find_model("plate").read_bytes()),
            "the model has changed; reload the page",
        ),
        (
            lambda files: (
                setattr(files, "file", files.file[:500_000]),
                files.model.update(id=f"tiny-{files.digest}"),
            ),
            "the model cannot be loaded in this browser",
        ),
    ],
    ids=["kept", "unreachable", "another", "damaged"],
)
def test_load_failure_is_explained_and_ends_the_worker(
    tiny: Files, change: Callable[[Files], object], message: str
) -> None:
    change(tiny)
    with pytest.raises(Error, match=message):
        tiny.load()
    for _ in range(200):  # a worker's end is reported a little later
        if tiny.page.workers:
            tiny.page.wait_for_timeout(10)
    assert tiny.page.workers == []


def test_open_photo_applies_the_orientation(blank: Page) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo = encoded(scene(), exif=exif, quality=95, subsampling=0)
        assert difference(blank, photo, 32).max() <= 1, orientation


def test_open_photo_has_the_pixels_of_the_service(blank: Page) -> None:
    for path in SAMPLES:
        photo = path.read_bytes()
        assert difference(blank, photo, 288).mean() < 0.01
        # 512 pixels are drafted for 128, and there libjpeg's own halving is only near a mean.
        assert difference(blank, photo, 128).mean() < 0.3
    noise = np.random.default_rng(0).normal(0, 30, (700, 1000, 3))
    picture = np.clip(np.asarray(scene(1000, 700)) + noise, 0, 255).astype(np.uint8)
    photo = encoded(Image.fromarray(picture), quality=95, subsampling=0)
    assert difference(blank, photo, 40).mean() < 0.5  # drafted


def test_open_photo_puts_transparency_on_white(blank: Page) -> None:
    photo = scene()
    photo.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 90).astype(np.uint8), (60, 1))))
    assert difference(blank, encoded(photo, "PNG"), 32).max() <= 1
    invisible = encoded(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), "PNG")
    assert difference(blank, invisible, 4).max() == 0


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("I;16", "PNG")],
)
def test_open_photo_converts_other_modes(blank: Page, mode: str, kind: str) -> None:
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(scene().convert("L"), np.uint16) * 257)
    else:
        photo = scene().convert(mode)
    assert difference(blank, encoded(photo, kind), 24).max() <= 1


def test_open_photo_ignores_color_profiles(blank: Page) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    # Red is now called blue, as nobody could overlook.
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    photo = encoded(scene(), "PNG", icc_profile=bytes(profile))
    assert difference(blank, photo, 24).max() == 0


SIZES = [
    (512, 512, 288), (341, 256, 288), (256, 341, 128), (1000, 37, 33), (64, 33, 32), (65, 31, 64),
    (7, 5, 40), (3, 2, 7), (24, 24, 24), (25, 24, 24), (1, 1, 16), (1, 50, 16), (50, 1, 16),
    (90, 60, 1), (2000, 1500, 3),
]  # fmt: skip


@pytest.mark.parametrize(("width", "height", "size"), SIZES)
def test_resize_is_identical_to_pillow(blank: Page, width: int, height: int, size: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 4), np.uint8)
    pixels[: height // 3] = np.where(pixels[: height // 3] > 127, 255, 0)  # hard edges
    found, most = blank.evaluate(RESIZE, [encode(pixels.tobytes()), width, height, size, 1])
    assert np.array_equal(decoded(found, size), resized(pixels[..., :3], size))
    assert most <= 32  # rows in memory at once


@pytest.mark.parametrize(("width", "height", "factor"), [(16, 16, 2), (37, 29, 4), (530, 401, 8)])
def test_shrink_takes_means(blank: Page, width: int, height: int, factor: int) -> None:
    pixels = np.random.default_rng(factor).integers(0, 256, (height, width, 4), np.uint8)
    starts = product(range(0, height, factor), range(0, width, factor))
    means = [pixels[y : y + factor, x : x + factor, :3].mean(axis=(0, 1)) for y, x in starts]
    means = np.reshape(means, (-(-height // factor), -(-width // factor), 3))
    size = min(means.shape[:2])
    found, _ = blank.evaluate(RESIZE, [encode(pixels.tobytes()), width, height, size, factor])
    expected = resized(np.rint(means).astype(np.uint8), size)
    assert np.array_equal(decoded(found, size), expected)


def resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def test_vendored_runtime_matches_its_readme() -> None:
    folder = WEB / "page" / "vendor"
    sums = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.MULTILINE)
    for digest, name in sums:
        packed = folder / f"{name}.gz"
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else None
        content = content or (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
    kept = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    assert kept == {name for _, name in sums} | {"README.md"}
    for path in folder.glob("*.gz"):  # packed the same each time
        flags, time = struct.unpack("<xxxBI", path.read_bytes()[:8])
        assert (flags, time) == (0, 0), f"{path.name} holds its name or the time of day"
