"""The detector finds dishes in photos of any size; a file that is none is refused in one line."""

import io
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.classifier import Classifier
from platecheck.detector import MAX_DISHES, PADDING, Detector, iou, letterbox, suppress
from platecheck.errors import ModelError, PhotoError
from platecheck.model_info import METADATA_KEY, DetectorInfo, read_detector_info
from tests.support.writing import detector_info, write_detector, write_model

SIZE = 64


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("model") / "blobs.onnx", grid=4)


@pytest.fixture(scope="module")
def detector(path: Path) -> Detector:
    return Detector.load(path)


def blobs(
    height: int, width: int, *rectangles: tuple[int, int, int, int, int]
) -> NDArray[np.uint8]:
    """Draw rectangles (x0, y0, x1, y1, level) on black."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1, level in rectangles:
        pixels[y0:y1, x0:x1] = level
    return pixels


@pytest.mark.parametrize("factor", [0.25, 1, 7])
@pytest.mark.parametrize(("height", "width"), [(160, 320), (320, 160), (320, 320)])
def test_detect_finds_blobs_in_pixels_of_the_photo_best_first(
    detector: Detector, factor: float, height: int, width: int
) -> None:
    drawn = [(20, 10, 60, 70, 200), (90, 90, 150, 150, 250)]
    scaled = [tuple(round(side * factor) for side in each[:4]) for each in drawn]
    photo = blobs(
        round(height * factor),
        round(width * factor),
        *((*box, level) for box, (*_, level) in zip(scaled, drawn, strict=True)),  # type: ignore[arg-type]
    )
    found = detector.detect(photo)
    assert [each.score for each in found] == pytest.approx([250 / 255, 200 / 255], abs=0.03)
    step = max(photo.shape) / SIZE  # a pixel of the detector
    for each, box in zip(found, reversed(scaled), strict=True):
        np.testing.assert_allclose(each.box, box, atol=2 * step)


def test_detect_takes_what_reaches_the_threshold(detector: Detector) -> None:
    photo = blobs(64, 64, (2, 2, 12, 12, 150), (20, 20, 30, 30, 250))
    assert len(detector.detect(photo)) == 2
    assert [len(detector.detect(photo, threshold=limit)) for limit in (0, 0.7, 1)] == [2, 1, 0]
    assert detector.detect(blobs(64, 64)) == []


@settings(max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
    threshold=st.floats(0, 1),
)
def test_detect_in_any_photo_stays_inside_it(
    detector: Detector, height: int, width: int, seed: int, threshold: float
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    found = detector.detect(pixels, threshold=threshold)
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    for each in found:
        x0, y0, x1, y1 = each.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert each.score >= threshold


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (3000, 2), (37, 91)])
def test_letterbox_keeps_the_photo_at_the_upper_left(height: int, width: int) -> None:
    square, scale = letterbox(np.full((height, width, 3), 7, np.uint8), SIZE)
    assert scale == SIZE / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    assert (square[:rows, :columns] == 7).all()
    assert (square[rows:] == PADDING).all()
    assert (square[:, columns:] == PADDING).all()


BOXES = st.lists(
    st.tuples(*[st.floats(0, 50, width=32)] * 2, *[st.floats(0.5, 30, width=32)] * 2),
    max_size=20,
).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)
)


@given(boxes=BOXES, limit=st.floats(0.1, 1))
def test_suppress_keeps_what_overlaps_no_better_box(
    boxes: NDArray[np.float32], limit: float
) -> None:
    kept: list[int] = []
    for number, box in enumerate(boxes):
        if all(iou(boxes[better], box[None])[0] <= limit for better in kept):
            kept.append(number)
    assert suppress(boxes, limit).tolist() == kept


def test_iou_of_boxes() -> None:
    box = np.float32([0, 0, 10, 10])
    others = np.float32([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 3]])
    np.testing.assert_allclose(iou(box, others), [1, 1 / 3, 0, 0])


@pytest.mark.parametrize(
    "wrong",
    ["a.jpg", np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))],
    ids=["path", "grey", "RGBA", "float"],
)
def test_detect_of_what_is_no_photo_is_refused(detector: Detector, wrong: Any) -> None:
    with pytest.raises(PhotoError, match=r"is not a uint8 array \[height, width, 3\]; open_photo"):
        detector.detect(wrong)


def test_detect_returns_a_limited_number(tmp_path: Path) -> None:
    many = Detector.load(write_detector(tmp_path / "many.onnx", size=64, grid=16))
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[::4, ::4] = 255
    assert len(many.detect(photo)) == MAX_DISHES


def test_detector_in_threads_and_pickled_gives_the_same(detector: Detector) -> None:
    photos = [blobs(50, 70, (5, 5, 5 + n, 20, 200 + n)) for n in range(5, 30)]
    expected = [detector.detect(photo) for photo in photos]
    again = pickle.loads(pickle.dumps(detector))
    assert again.id == detector.id == f"blobs-{detector.fingerprint[:12]}"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(again.detect, photos)) == expected


def test_load_of_bytes_equals_the_path(path: Path, detector: Detector) -> None:
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes()), str(path)):
        loaded = Detector.load(source)
        assert loaded.id == detector.id
        assert pickle.loads(pickle.dumps(loaded)).info == detector.info


def test_unpickling_a_detector_whose_file_changed_is_refused(tmp_path: Path) -> None:
    kept = pickle.dumps(Detector.load(write_detector(tmp_path / "d.onnx")))
    write_detector(tmp_path / "d.onnx", seed=8)
    with pytest.raises(ModelError, match="has changed since the model was pickled"):
        pickle.loads(kept)


def test_load_of_what_is_no_detector_is_refused(tmp_path: Path, path: Path) -> None:
    content = path.read_bytes()
    model = onnx.load_from_string(content)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 65
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    plain = write_detector(tmp_path / "plain.onnx", metadata={"author": "someone"})
    corrupt = {METADATA_KEY: '{"kind": "detector", "size": "x"}'}
    renamed = write_detector(tmp_path / "renamed.onnx", boxes="frames")
    for source, said in (
        (tmp_path / "gone.onnx", f"no model file at {tmp_path / 'gone.onnx'}"),
        ("Dishes", "no model file at Dishes; shipped: dishes"),
        (content[:-40], "<bytes> is not an ONNX model"),
        (plain, "not one written by platecheck export"),
        (write_detector(tmp_path / "corrupt.onnx", metadata=corrupt), "has corrupt metadata"),
        (tmp_path / "other.onnx", "do not match its metadata"),
        (renamed, "inputs or outputs that do not match its metadata"),
        (write_model(tmp_path / "m.onnx"), "is a classifier, not a detector: pass it with --model"),
    ):
        with pytest.raises(ModelError, match=re.escape(said)) as caught:
            Detector.load(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(
        ModelError, match="is a detector, not a classifier: inspect takes it as --detector"
    ):
        Classifier.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*DetectorInfo.model_fields, "other"])


@settings(max_examples=60)
@given(changes=st.dictionaries(FIELDS, JSON, min_size=1), text=st.none() | st.text())
def test_read_detector_info_of_any_metadata_reads_or_refuses(
    changes: dict[str, Any], text: str | None
) -> None:
    content = detector_info().model_dump(mode="json") | changes
    try:
        info = read_detector_info(
            {METADATA_KEY: json.dumps(content) if text is None else text}, "d"
        )
    except ModelError as error:
        assert str(error).startswith("d ")  # noqa: PT017
    else:
        assert 0 <= info.threshold <= 1
