"""A classifier takes whatever holds a photo, and works in threads and other processes."""

import copy
import io
import itertools
import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from platecheck.classifier import Classifier, Prediction, predict_batch
from platecheck.errors import ModelError, PhotoError
from platecheck.photo import open_photo
from platecheck.stream import stream
from tests.support.photos import SAMPLES, dirty, encode
from tests.support.writing import write_model

HEIC = Path(__file__).parent / "heif_fixtures" / "plain.heic"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    return Classifier.load(write_model(path, evidence=4, oddness=True, oddness_limit=0.99))


def flat(level: int) -> NDArray[np.uint8]:
    return np.full((20, 30, 3), level, np.uint8)


# --- one photo


@pytest.mark.parametrize("level", [40, 100, 140, 255])
def test_predict_returns_the_most_probable_class(classifier: Classifier, level: int) -> None:
    prediction = classifier.predict(flat(level))
    expected = {"clean": 1 - dirty(level), "dirty": dirty(level)}
    assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
    assert prediction.label == ("dirty" if level > 127 else "clean")
    assert prediction.probability == max(prediction.probabilities.values())
    assert prediction.error is None


def test_predict_of_every_kind_of_source_is_the_same(
    classifier: Classifier, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 57, 3), np.uint8)
    path, data = tmp_path / "dish.png", encode(pixels, "PNG")
    path.write_bytes(data)
    sources: list[Any] = [
        *(path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)),
        *(Image.open(path), Image.fromarray(pixels), pixels, np.asfortranarray(pixels)),
    ]
    (row,) = classifier.probabilities(open_photo(path, size=16)[None])
    one_by_one = [classifier.predict(source) for source in sources]
    together = list(classifier.predict_many(sources, batch_size=3))
    assert {prediction.probability for prediction in one_by_one} == {row.max()}
    assert [p.probability for p in together] == pytest.approx([row.max()] * len(sources))
    assert [p.source for p in one_by_one] == [p.source for p in together]
    assert [p.source for p in together][1:6] == [str(path), *["<bytes>"] * 3, "<stream>"]
    assert classifier.predict(HEIC).label in classifier.classes


def test_predict_with_color_bgr_takes_opencv_arrays() -> None:
    classifier = Classifier.load("tiny")
    rgb = np.asarray(Image.open(min(SAMPLES.glob("*.jpg"))))
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    right = classifier.predict(rgb)
    assert classifier.predict(bgr, color="bgr") == right
    (again,) = classifier.predict_many([bgr], color="bgr")
    assert again.probability == pytest.approx(right.probability, abs=1e-4)
    assert classifier.predict(bgr).probability != right.probability


def test_predict_with_max_pixels_raises_the_limit(classifier: Classifier) -> None:
    assert classifier.predict(flat(255), max_pixels=600).label == "dirty"
    with pytest.raises(PhotoError, match="more than the limit of 599"):
        classifier.predict(flat(255), max_pixels=599)
    (few,) = classifier.predict_many([flat(255)], max_pixels=1)  # fewer than the model's input
    assert "limit of 1" in str(few.error)
    large = encode(Image.new("L", (12_000, 12_000), 255), "JPEG", quality=10)  # 144 megapixels
    with pytest.raises(PhotoError, match="limit"):
        classifier.predict(large)
    assert classifier.predict(large, max_pixels=200_000_000).label == "dirty"


def test_probabilities_of_pixels_of_another_size_is_an_error(classifier: Classifier) -> None:
    with pytest.raises(ModelError, match="the model cannot be run"):
        classifier.probabilities(np.zeros((1, 8, 8, 3), np.uint8))


# --- many photos


def test_predict_many_with_bad_photos_yields_their_errors(classifier: Classifier) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    closed_image = Image.open(io.BytesIO(encode(flat(3), "PNG")))
    closed_image.close()
    bad: list[Any] = [
        *(None, 7, 1.5, object(), [flat(9)], (), {}, Exception, lambda: None, iter([])),
        *(closed, closed_image, Image.new("RGB", (0, 4)), io.StringIO("text"), "", b"", "no\0name"),
        *(flat(9).astype(float), flat(9)[:0], flat(9)[None], np.array(None), np.array("x")),
        *(np.full((9, 9, 3), np.inf), np.zeros((3, 9, 9), np.uint8), np.zeros(5, "datetime64[s]")),
    ]
    photos = list(itertools.chain.from_iterable((item, flat(255)) for item in bad))
    predictions = list(classifier.predict_many(photos, batch_size=3))
    assert len(predictions) == len(photos)
    for item, prediction in zip(bad, predictions[::2], strict=True):
        assert isinstance(prediction.error, PhotoError), item
        assert "\n" not in str(prediction.error)
        assert (prediction.label, prediction.probability, prediction.probabilities) == ("", 0.0, {})
        with pytest.raises(PhotoError):
            classifier.predict(item)
    assert {prediction.label for prediction in predictions[1::2]} == {"dirty"}


@settings(max_examples=30)
@given(
    levels=st.lists(st.none() | st.integers(20, 255), max_size=12),
    batch_size=st.integers(1, 14),
    workers=st.integers(1, 3),
    plain=st.booleans(),
)
def test_predict_many_with_any_batches_and_model_keeps_the_order(
    classifier: Classifier, levels: list[int | None], batch_size: int, workers: int, plain: bool
) -> None:
    model: Any = classifier
    if plain:  # without thresholds, as the network of a run is
        kept = ("classes", "size", "probabilities")
        model = SimpleNamespace(**{name: getattr(classifier, name) for name in kept})
    photos = [b"bad" if level is None else flat(level) for level in levels]
    predictions = list(stream(partial(predict_batch, model), photos, batch_size, workers))
    for level, prediction in zip(levels, predictions, strict=True):
        if level is None:
            assert isinstance(prediction.error, PhotoError)
        else:
            assert prediction.probabilities["dirty"] == pytest.approx(dirty(level), abs=1e-5)
            assert prediction.label == ("dirty" if level > 127 else "clean")


def test_predict_many_of_endless_photos_reads_a_few_batches_ahead(classifier: Classifier) -> None:
    taken: list[int] = []

    def endless() -> Iterator[NDArray[np.uint8]]:
        for number in itertools.count():
            taken.append(number)
            yield flat(255)

    before = set(threading.enumerate())
    predictions = classifier.predict_many(endless(), batch_size=8, workers=2)
    assert not taken
    assert [p.label for p in itertools.islice(predictions, 20)] == ["dirty"] * 20
    assert len(taken) <= 20 + 8 * (2 + 2)
    predictions.close()  # type: ignore[attr-defined]
    closed_after = len(taken)
    assert set(threading.enumerate()) == before
    assert len(taken) == closed_after


def test_predict_many_of_photos_that_raise_yields_the_earlier_ones(classifier: Classifier) -> None:
    def camera() -> Iterator[NDArray[np.uint8]]:
        for _ in range(11):
            yield flat(255)
        raise RuntimeError("unplugged")

    before = set(threading.enumerate())
    predictions = classifier.predict_many(camera(), batch_size=4, workers=2)
    assert [next(predictions).label for _ in range(11)] == ["dirty"] * 11
    with pytest.raises(RuntimeError, match="unplugged"):
        next(predictions)
    assert set(threading.enumerate()) == before


def test_predict_many_of_one_photo_or_no_workers_is_refused(classifier: Classifier) -> None:
    batch = np.stack([flat(20), flat(255), flat(255)])
    assert [p.top_class for p in classifier.predict_many(batch)] == ["clean", "dirty", "dirty"]
    singles: list[Any] = [
        *(flat(0), flat(0)[..., 0], "dish.jpg", b"x", bytearray(b"x"), memoryview(b"x")),
        *(Path("dish.jpg"), Image.new("RGB", (3, 3)), io.BytesIO(b"x")),
        np.frombuffer(b"x", np.uint8),
    ]
    for single in singles:
        with pytest.raises(TypeError, match="not a single photo"):
            classifier.predict_many(single)
    for paths in (np.array(["a.jpg", "b.jpg"]), np.array([None, flat(0)], object), ("a",), {"a"}):
        assert len(list(classifier.predict_many(paths))) == len(paths)
    for options in ({"batch_size": 0}, {"batch_size": -1}, {"workers": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            classifier.predict_many([flat(0)], **options)


# --- predictions as values


def test_prediction_compares_hashes_and_pickles(classifier: Classifier) -> None:
    first, second = classifier.predict(flat(200)), classifier.predict(flat(200))
    other = classifier.predict(flat(20))
    assert first.heatmap is not None
    assert first == second != other
    assert len({first, second, other}) == 2
    back = pickle.loads(pickle.dumps(first))
    assert back == first
    np.testing.assert_array_equal(back.heatmap, first.heatmap)
    failed, again = classifier.predict_many(["gone.jpg", "gone.jpg"])
    assert failed == again == pickle.loads(pickle.dumps(failed))
    assert len({failed, again, Prediction("x")}) == 2


def test_prediction_as_dict_has_all_but_the_heatmap(classifier: Classifier) -> None:
    prediction, failed = classifier.predict_many([flat(0), "gone.jpg"])
    assert json.loads(json.dumps(prediction.as_dict(), allow_nan=False)) == {
        "photo": "<array>",
        "label": "not a dish",
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "top_class": "clean",
        "needed": 0.0,
        "oddness": 1.0,
        "quality": "ok",
    }
    assert failed.as_dict() == {"photo": "gone.jpg", "error": "there is no such file"}
    assert (failed.probabilities, failed.top_class) == ({}, "")


# --- threads and other processes


def predict_flat(classifier: Classifier, level: int) -> Prediction:
    return classifier.predict(flat(level))


def test_classifier_pickles_and_copies(classifier: Classifier) -> None:
    pickled = pickle.loads(pickle.dumps(classifier))
    for other in (pickled, copy.copy(classifier), copy.deepcopy(classifier)):
        assert other.fingerprint == classifier.fingerprint
        assert other.session.get_providers() == classifier.session.get_providers()
        assert other.predict(flat(99)) == classifier.predict(flat(99))
    assert pickle.loads(pickle.dumps(Classifier.load())).id == Classifier.load().id
    bare = Classifier(classifier.session, classifier.info, classifier.fingerprint)
    with pytest.raises(TypeError, match=r"Classifier\.load"):
        pickle.dumps(bare)


def test_classifier_of_a_path_pickles_the_path_and_of_bytes_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Classifier.load("m.onnx"))
    of_bytes = [Classifier.load(path.read_bytes()), Classifier.load(io.BytesIO(path.read_bytes()))]
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).classes == ("clean", "dirty")
    write_model(path, epoch=4)
    with pytest.raises(ModelError, match="has changed since"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ModelError, match="no model file at"):
        pickle.loads(pickled)
    for loaded in of_bytes:
        assert pickle.loads(pickle.dumps(loaded)).fingerprint == loaded.fingerprint


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_classifier_in_a_process_pool_predicts(classifier: Classifier, method: Any) -> None:
    expected = [classifier.predict(flat(level)) for level in (0, 120, 255)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        found = list(pool.map(predict_flat, [classifier] * 3, (0, 120, 255)))
    assert found == expected


def test_classifier_in_joblib_and_threads_predicts(classifier: Classifier) -> None:
    levels = (0, 120, 255)
    expected = [classifier.predict(flat(level)) for level in levels]
    jobs = (joblib.delayed(predict_flat)(classifier, level) for level in levels)
    assert joblib.Parallel(2, backend="loky")(jobs) == expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predict_flat, [classifier] * 3, levels)) == expected
        many = pool.map(lambda level: list(classifier.predict_many([flat(level)] * 9)), levels)
        for level, predictions in zip(levels, many, strict=True):
            label = predict_flat(classifier, level).label
            assert [prediction.label for prediction in predictions] == [label] * 9


def test_classifier_inherited_by_a_forked_process_predicts(classifier: Classifier) -> None:
    expected = classifier.predict(flat(77))
    child = os.fork()
    if child == 0:
        os._exit(0 if classifier.predict(flat(77)) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
