"""Every dish in a photo is found and judged from its own pixels; the verdict follows the labels."""

import io
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from platecheck import Classifier, Inspection, Inspector, PhotoError
from platecheck import inspector as module
from platecheck.classifier import Prediction
from platecheck.detector import Detection, Detector
from platecheck.errors import ModelError
from platecheck.inspector import Dish
from platecheck.photo import open_photo
from tests.support.photos import SAMPLES, encode
from tests.support.writing import write_detector, write_model


@dataclass
class Fixed:
    """A detector that reports the same boxes, as shares of the photo, whatever it shows."""

    boxes: list[tuple[float, float, float, float]]
    scores: Sequence[float] = tuple(0.9 - number / 100 for number in range(100))
    info = SimpleNamespace(threshold=0.5)

    def detect(self, pixels: NDArray[np.uint8], *, threshold: float) -> list[Detection]:
        height, width = pixels.shape[:2]
        return [
            Detection((x0 * width, y0 * height, x1 * width, y1 * height), score)
            for (x0, y0, x1, y1), score in zip(self.boxes, self.scores, strict=False)
            if score >= threshold
        ]


def fixed(classifier: Classifier, *boxes: tuple[float, float, float, float]) -> Inspector:
    return Inspector(classifier, cast(Detector, Fixed(list(boxes))))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return (
        write_model(folder / "m.onnx", evidence=4, thresholds={"clean": 0.55}),
        write_detector(folder / "d.onnx"),
    )


@pytest.fixture(scope="module")
def inspector(models: tuple[Path, Path]) -> Inspector:
    return Inspector.load(*models)


@pytest.fixture(scope="module")
def classifier(models: tuple[Path, Path]) -> Classifier:
    return Classifier.load(models[0])


@pytest.fixture(scope="module")
def plate() -> Classifier:
    return Classifier.load("plate")


def rack(height: int = 300, width: int = 400, levels: tuple[int, ...] = (250, 135)) -> Any:
    """A photo with up to four dishes, one in each quarter; bright ones are dirty."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for number, level in enumerate(levels):
        y, x = (number // 2) * height // 2, (number % 2) * width // 2
        pixels[y + height // 10 : y + height * 4 // 10, x + width // 10 : x + width * 4 // 10] = (
            level
        )
    return pixels


# --- boxes


def test_inspect_finds_each_dish_in_pixels_of_the_photo(inspector: Inspector) -> None:
    found = inspector.inspect(rack(600, 800))
    assert (found.source, found.width, found.height) == ("<array>", 800, 600)
    assert [dish.label for dish in found.dishes] == ["dirty", "clean"]
    for dish, box in zip(found.dishes, [(80, 60, 320, 240), (480, 60, 720, 240)], strict=True):
        np.testing.assert_allclose(dish.box, box, atol=2 * 800 / 64)
        x0, y0, x1, y1 = dish.crop
        assert x0 < dish.box[0] < dish.box[2] < x1
        assert y0 < dish.box[1] < dish.box[3] < y1
        assert dish.prediction.heatmap is not None
    assert found.dishes[0].score == pytest.approx(250 / 255, abs=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_photo(inspector: Inspector, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encode(rack(400, 400), "JPEG", quality=95, exif=exif)
    upright = open_photo(file)
    found, expected = inspector.inspect(file), inspector.inspect(upright)
    assert (found.height, found.width) == upright.shape[:2]
    for dish, other in zip(found.dishes, expected.dishes, strict=True):
        np.testing.assert_allclose(dish.box, other.box, atol=8)
        probabilities = [each.prediction.probabilities["dirty"] for each in (dish, other)]
        assert probabilities[0] == pytest.approx(probabilities[1], abs=0.1)


def test_large_jpeg_is_decoded_whole_only_for_small_dishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Classifier.load(write_model(tmp_path / "m.onnx", size=288))
    file, shapes, judged = encode(rack(2400, 3200), "JPEG"), [], []
    opened, cut = module.open_reduced, module._cut
    monkeypatch.setattr(
        module,
        "open_reduced",
        lambda *a, **k: shapes.append((p := opened(*a, **k)).pixels.shape) or p,
    )
    monkeypatch.setattr(module, "_cut", lambda *a: judged.append((c := cut(*a)).shape) or c)
    whole, reduced = (2400, 3200, 3), (600, 800, 3)
    for boxes, decoded in (
        ([(0.1, 0.1, 0.9, 0.9)], [reduced]),
        ([(0, 0, 0.5, 0.9), (0.5, 0, 1, 0.9)], [reduced]),  # 300 pixels and more as reduced
        ([(0, 0, 0.5, 0.9), (0.5, 0, 0.8, 0.3)], [reduced, (1200, 1600, 3)]),
        ([(0, 0, 0.5, 0.9), (0.5, 0, 0.6, 0.1)], [reduced, whole]),
        ([(0, 0, 0.01, 0.01)], [reduced, whole]),
        ([], [reduced]),
    ):
        shapes.clear()
        judged.clear()
        found = fixed(large, *boxes).inspect(file)
        assert shapes == decoded
        assert len(found.dishes) == len(boxes)
        for dish, shape in zip(found.dishes, judged, strict=True):
            least = min(large.size, *(np.subtract(dish.crop[2:], dish.crop[:2]).astype(int)))
            assert min(shape[:2]) >= least
        assert (found.width, found.height) == (3200, 2400)


def test_dish_is_judged_from_its_own_pixels(plate: Classifier) -> None:
    """Two samples side by side, and each alone, have the same labels."""
    paths = sorted(SAMPLES.glob("*.jpg"))
    for first, second in zip(paths[:4], paths[4:], strict=True):
        one, two = (open_photo(path, (600, 600)) for path in (first, second))
        edge = module.MARGIN / (1 + 2 * module.MARGIN)
        left = (edge / 2, edge, 0.5 - edge / 2, 1 - edge)
        right = (0.5 + edge / 2, edge, 1 - edge / 2, 1 - edge)
        found = fixed(plate, left, right).inspect(np.hstack([one, two]))
        assert [dish.label for dish in found.dishes] == ["clean", "dirty"], (first, second)
        assert (found.verdict, found.quality) == ("dirty", "ok")


# --- one dish


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_one_dish_that_fills_the_photo_is_judged_as_by_the_classifier(
    plate: Classifier, path: Path
) -> None:
    expected = plate.predict(path)
    found = fixed(plate, (0.1, 0.12, 0.85, 0.9)).inspect(path)
    (dish,) = found.dishes
    assert dish.prediction == expected
    np.testing.assert_array_equal(dish.prediction.heatmap, expected.heatmap)
    assert dish.crop == (0, 0, found.width, found.height)
    assert (found.verdict, found.quality) == (expected.label, expected.quality)


def test_dishes_of_a_photo_are_classified_in_one_batch(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def counted(self: Classifier, pixels: NDArray[np.uint8], names: list[str]) -> list[Prediction]:
        sizes.append(len(pixels))
        return original(self, pixels, names)

    original = Classifier.predict_pixels
    monkeypatch.setattr(Classifier, "predict_pixels", counted)
    boxes = [(n / 8, 0.1, (n + 1) / 8, 0.9) for n in range(8)]
    assert len(fixed(classifier, *boxes).inspect(rack()).dishes) == 8
    assert sizes == [8]
    fixed(classifier).inspect(rack())
    assert sizes == [8]


# --- verdicts


def inspection(*labels: str, quality: str = "ok") -> Inspection:
    dishes = [
        Dish(
            (0, 0, 9, 9),
            0.9,
            Prediction("p", label, 0.8, {"clean": 0.2, "dirty": 0.8}),
            (0, 0, 9, 9),
        )
        for label in labels
    ]
    return Inspection("p", 10, 20, tuple(dishes), quality)


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ((), "no dish"),
        (("clean",), "clean"),
        (("clean", "clean"), "clean"),
        (("clean", "unsure"), "unsure"),
        (("unsure", "dirty", "clean"), "dirty"),
        (("dirty",), "dirty"),
        (("clean", "greasy"), "dirty"),
        (("Clean",), "clean"),
    ],
)
def test_verdict_is_that_of_the_worst_dish(labels: tuple[str, ...], verdict: str) -> None:
    assert inspection(*labels).verdict == verdict


def test_counts_are_by_known_label_however_it_is_spelt() -> None:
    assert inspection("Clean", "clean", "unsure").counts == {"clean": 2, "dirty": 0, "unsure": 1}


def test_as_dict_is_the_json_that_programs_rely_on() -> None:
    assert inspection("dirty", "unsure", quality="too dark").as_dict() == {
        "photo": "p",
        "width": 10,
        "height": 20,
        "verdict": "dirty",
        "counts": {"clean": 0, "dirty": 1, "unsure": 1},
        "dishes": [
            {
                "box": [0, 0, 9, 9],
                "score": 0.9,
                "label": label,
                "probability": 0.8,
                "probabilities": {"clean": 0.2, "dirty": 0.8},
            }
            for label in ("dirty", "unsure")
        ],
        "quality": "too dark",
        "error": None,
    }
    failed = Inspection("gone.jpg", error=PhotoError("gone.jpg", "there is no such file"))
    assert failed.as_dict() == {
        "photo": "gone.jpg",
        "width": 0,
        "height": 0,
        "verdict": None,
        "counts": {"clean": 0, "dirty": 0, "unsure": 0},
        "dishes": [],
        "quality": None,
        "error": "there is no such file",
    }


def test_poor_quality_of_one_dish_makes_it_unsure(tmp_path: Path) -> None:
    checking = Classifier.load(write_model(tmp_path / "m.onnx", quality_check=True))
    pixels = np.full((400, 800, 3), 110, np.uint8)
    pixels[:, 400:] = 20
    left, right = (0.05, 0.1, 0.44, 0.9), (0.56, 0.1, 0.95, 0.9)
    found = fixed(checking, left, right).inspect(pixels)
    assert [(dish.label, dish.quality) for dish in found.dishes] == [
        ("clean", "ok"), ("unsure", "too dark"),
    ]  # fmt: skip
    assert (found.verdict, found.quality) == ("unsure", "too dark")
    assert fixed(checking, left).inspect(pixels).verdict == "clean"
    nothing = fixed(checking).inspect(np.full((90, 90, 3), 9, np.uint8))
    assert (nothing.verdict, nothing.quality) == ("no dish", "too dark")


# --- many photos


def test_inspect_many_keeps_the_order_around_errors(inspector: Inspector) -> None:
    photos = [rack(levels=(250,) * (n % 5)) if n % 4 else "gone.jpg" for n in range(20)]
    found = list(inspector.inspect_many(photos))
    for number, each in enumerate(found):
        assert (each.error is None) == bool(number % 4)
        assert len(each.dishes) == (number % 5 if number % 4 else 0)
    assert found[1] == inspector.inspect(photos[1])
    assert found[0].verdict == ""


def test_inspect_many_reads_photos_as_needed(inspector: Inspector) -> None:
    taken = 0

    def photos() -> Iterator[Any]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield rack(60, 80)

    found = inspector.inspect_many(photos(), 2)
    assert taken == 0
    next(found)
    assert taken <= 4
    with pytest.raises(TypeError):
        inspector.inspect_many("rack.jpg")
    with pytest.raises(ValueError, match="at least 1"):
        inspector.inspect_many([], 0)


def test_inspect_of_any_source_gives_the_same(inspector: Inspector, tmp_path: Path) -> None:
    pixels = rack()
    file = encode(pixels, "PNG")
    (tmp_path / "rack.png").write_bytes(file)

    class Pipe(io.RawIOBase):
        """A file that can be read only once."""

        rest = file

        def seekable(self) -> bool:
            return False

        def read(self, size: int = -1) -> bytes:
            given, self.rest = self.rest, b""
            return given

    expected = inspector.inspect(pixels)
    sources: list[Any] = [file, tmp_path / "rack.png", io.BytesIO(file), Pipe()]
    for source in (*sources, Image.fromarray(pixels)):
        found = inspector.inspect(source, name="<array>")
        assert [dish.box for dish in found.dishes] == [dish.box for dish in expected.dishes]
        assert found.as_dict() == expected.as_dict()
    swapped = inspector.inspect(pixels[..., ::-1], color="bgr")
    assert swapped.as_dict() == expected.as_dict()
    for source in ("gone.jpg", b"text", 7, np.zeros((2, 2))):
        with pytest.raises(PhotoError):
            inspector.inspect(source)  # type: ignore[arg-type]
    with pytest.raises(PhotoError, match="more than the limit"):
        inspector.inspect(file, max_pixels=100)


def test_inspector_in_threads_and_pickled_gives_the_same(inspector: Inspector) -> None:
    photos = [rack(levels=(250,) * (n % 5)) for n in range(12)]
    expected = [inspector.inspect(photo) for photo in photos]
    again = pickle.loads(pickle.dumps(inspector))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(again.inspect, photos)) == expected
    assert pickle.loads(pickle.dumps(expected)) == expected


def test_load_of_a_model_without_a_clean_class_is_refused(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    other = write_model(tmp_path / "m.onnx", classes=("a", "b"))
    with pytest.raises(ModelError, match=r"needs the class clean; its classes: a, b"):
        Inspector.load(other, models[1])
    with pytest.raises(ModelError, match="inspect takes it as --detector"):
        Inspector.load(models[1], models[0])


# --- odd boxes

EDGE = st.floats(0, 1, width=32)
BOX = st.tuples(EDGE, EDGE, EDGE, EDGE).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@settings(max_examples=150)
@given(
    boxes=st.lists(BOX, max_size=6),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    factor=st.sampled_from([1, 17]),
)
def test_inspect_with_any_boxes_and_sizes_judges_every_dish(
    classifier: Classifier,
    boxes: list[tuple[float, float, float, float]],
    height: int,
    width: int,
    factor: int,
) -> None:
    height, width = height * factor, width * factor
    found = fixed(classifier, *boxes).inspect(np.full((height, width, 3), 120, np.uint8))
    assert len(found.dishes) == len(boxes)
    assert sum(found.counts.values()) == len(boxes)
    for dish in found.dishes:
        x0, y0, x1, y1 = dish.crop
        assert 0 <= x0 <= x1 <= width
        assert 0 <= y0 <= y1 <= height
        assert dish.prediction.probability == pytest.approx(
            max(dish.prediction.probabilities.values())
        )
        # A photo of one level: however it is cut, the answer is the same.
        assert dish.prediction.probabilities["dirty"] == pytest.approx(0.441, abs=0.01)


def test_inspections_compare_and_copy(inspector: Inspector) -> None:
    found = inspector.inspect(rack())
    assert replace(found, source="x") != found
    assert replace(found) == found
    assert len({found, replace(found)}) == 1


# --- parts of dishes, and what may be none


@pytest.mark.parametrize(
    ("box", "label"),
    [
        ((0.3, 0.3, 0.6, 0.6), "clean"),
        ((0.3, 0.3, 0.6, 0.4), "clean"),  # seen from the side
        ((0.3, 0.3, 0.9, 0.4), "unsure"),  # a rim of a stack
        ((0.0, 0.3, 0.3, 0.6), "clean"),  # touches the edge
        ((0.0, 0.3, 0.15, 0.6), "unsure"),  # cut by it
        ((0.85, 0.3, 1.0, 0.6), "unsure"),
        ((0.3, 0.0, 0.6, 0.15), "unsure"),
        ((0.3, 0.85, 0.6, 1.0), "unsure"),
    ],
)
def test_clean_dish_that_is_mostly_out_of_sight_is_unsure(
    tmp_path: Path, box: tuple[float, float, float, float], label: str
) -> None:
    checking = Classifier.load(write_model(tmp_path / "m.onnx", quality_check=True))
    for level, expected in ((110, label), (200, "dirty")):
        found = fixed(checking, box, (0.4, 0.65, 0.6, 0.8)).inspect(
            np.full((900, 900, 3), level, np.uint8)
        )
        assert found.dishes[0].label == expected
        assert found.dishes[0].quality == ("ok" if label == "clean" else "partly hidden")


@pytest.mark.parametrize(
    ("scores", "level", "verdict", "quality"),
    [
        ((0.9, 0.6), 110, "clean", "ok"),
        ((0.9, 0.6, 0.49, 0.34, 0.34), 110, "clean", "ok"),
        ((0.9, 0.49, 0.36), 110, "unsure", "crowded"),
        ((0.9, 0.6, 0.4, 0.4, 0.4), 110, "unsure", "crowded"),
        ((0.9, 0.6, 0.4, 0.4, 0.4), 200, "dirty", "crowded"),
        ((0.49, 0.49), 110, "no dish", "ok"),
    ],
)
def test_photo_with_more_possible_dishes_is_not_clean(
    tmp_path: Path, scores: tuple[float, ...], level: int, verdict: str, quality: str
) -> None:
    boxes = [(0.05 + 0.2 * n, 0.4, 0.2 + 0.2 * n, 0.55) for n in range(len(scores))]
    photo = np.full((900, 900, 3), level, np.uint8)
    for checks in (True, False):
        classifier = Classifier.load(write_model(tmp_path / "m.onnx", quality_check=checks))
        inspector = Inspector(classifier, cast(Detector, Fixed(boxes, scores)))
        found = inspector.inspect(photo)
        assert found.verdict == (verdict if checks or quality == "ok" or level > 110 else "clean")
        assert found.quality == (quality if checks else "ok")
        assert found.counts["unsure"] == 0


def test_part_of_a_photo_is_never_not_a_dish(tmp_path: Path) -> None:
    odd = Classifier.load(write_model(tmp_path / "m.onnx", oddness=True, oddness_limit=0.5))
    photo = np.full((200, 200, 3), 90, np.uint8)
    assert odd.predict(photo).label == "not a dish"
    one = fixed(odd, (0.1, 0.1, 0.9, 0.9)).inspect(photo)
    assert (one.verdict, one.dishes) == ("no dish", ())
    for boxes in ([(0.4, 0.4, 0.6, 0.6)], [(0.1, 0.1, 0.4, 0.4), (0.6, 0.1, 0.9, 0.4)]):
        found = fixed(odd, *boxes).inspect(photo)
        assert [dish.label for dish in found.dishes] == ["unsure"] * len(boxes)
