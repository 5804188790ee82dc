"""A classifier takes what developers hold and goes into other processes; answers are values."""

import copy
import io
import itertools
import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platecheck.classifier import Classifier, Prediction
from platecheck.errors import ModelError, PhotoError
from platecheck.heatmap import overlay

WriteModel = Callable[..., Path]
HEIC = Path(__file__).parent / "heif_fixtures" / "plain.heic"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Classifier:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    return Classifier.load(write_model(path, evidence=4, oddness=True, oddness_limit=0.9))


def flat(level: int) -> NDArray[np.uint8]:
    return np.full((20, 30, 3), level, np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


# --- sources


def test_predict_answers_alike_for_every_kind_of_source(
    classifier: Classifier, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "dish.png"
    path.write_bytes(png(pixels))
    data = path.read_bytes()
    lazily_opened = Image.open(path)
    sources: list[Any] = [
        *(path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)),
        *(lazily_opened, Image.fromarray(pixels), pixels, np.asfortranarray(pixels)),
    ]

    one_by_one = [classifier.predict(source) for source in sources]
    sources[5].seek(0)
    together = list(classifier.predict_many(sources, batch_size=3))

    assert {answer.probability for answer in one_by_one} == {one_by_one[0].probability}
    assert [a.probability for a in together] == pytest.approx([a.probability for a in one_by_one])
    assert classifier.predict(HEIC).label in classifier.classes


def test_predict_takes_the_channels_of_opencv(tmp_path: Path, write_model: WriteModel) -> None:
    classifier = Classifier.load("tiny")
    rgb = np.asarray(Image.open(sorted((Path(__file__).parents[2] / "samples").glob("*.jpg"))[0]))
    bgr = np.ascontiguousarray(rgb[..., ::-1])

    right = classifier.predict(rgb)

    assert classifier.predict(bgr, color="bgr") == right
    assert next(classifier.predict_many([bgr], color="bgr")).probability == pytest.approx(
        right.probability, abs=1e-4
    )
    assert classifier.predict(bgr).probability != right.probability


def test_predict_many_one_bad_item_never_ends_it(classifier: Classifier) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    closed_image = Image.open(io.BytesIO(png(flat(3))))
    closed_image.close()
    bad: list[Any] = [
        *(None, 7, 1.5, object(), [flat(9)], (), {}, Exception, lambda: None, iter([])),
        *(closed, closed_image, Image.new("RGB", (0, 4)), io.StringIO("text"), "", b"", "no\0name"),
        *(flat(9).astype(float), flat(9)[:0], flat(9)[None], np.array(None), np.array("x")),
        *(np.full((9, 9, 3), np.inf), np.zeros((3, 9, 9), np.uint8), np.zeros(5, "datetime64[s]")),
    ]
    photos = list(itertools.chain.from_iterable((item, flat(255)) for item in bad))

    answers = list(classifier.predict_many(photos, batch_size=3))

    assert len(answers) == len(photos)
    for item, answer in zip(bad, answers[::2], strict=True):
        assert isinstance(answer.error, PhotoError), item
        assert "\n" not in str(answer.error)
        assert (answer.label, answer.probability, answer.probabilities) == ("", 0.0, {})
        with pytest.raises(PhotoError):
            classifier.predict(item)
    assert {answer.label for answer in answers[1::2]} == {"dirty"}


def test_predict_many_answers_before_what_the_photos_raise(classifier: Classifier) -> None:
    def camera() -> Iterator[NDArray[np.uint8]]:
        for _ in range(11):
            yield flat(255)
        raise RuntimeError("unplugged")

    answers = classifier.predict_many(camera(), batch_size=4, workers=2)

    assert [next(answers).label for _ in range(11)] == ["dirty"] * 11
    with pytest.raises(RuntimeError, match="unplugged"):
        next(answers)


def test_predict_many_takes_an_array_of_photos_and_refuses_one(classifier: Classifier) -> None:
    batch = np.stack([flat(0), flat(255), flat(255)])
    assert [a.top_class for a in classifier.predict_many(batch)] == ["clean", "dirty", "dirty"]
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


def test_predict_takes_larger_photos_on_request(classifier: Classifier) -> None:
    assert classifier.predict(flat(255), max_pixels=600).label == "dirty"
    with pytest.raises(PhotoError, match="more than the limit of 599"):
        classifier.predict(flat(255), max_pixels=599)
    (few,) = classifier.predict_many([flat(255)], max_pixels=1)  # fewer than the model's input
    assert "limit of 1" in str(few.error)
    huge = Image.new("L", (12_000, 12_000), 255)  # 144 megapixels
    file = io.BytesIO()
    huge.save(file, "jpeg", quality=10)
    with pytest.raises(PhotoError, match="limit"):
        classifier.predict(file)
    assert classifier.predict(file, max_pixels=200_000_000).label == "dirty"


def test_overlay_takes_what_was_predicted_on(classifier: Classifier) -> None:
    pixels = flat(255)
    pixels[..., 0] = 10
    evidence = classifier.predict(pixels).heatmap
    assert evidence is not None
    drawn = overlay(png(pixels), evidence).tobytes()

    for source in (pixels, Image.fromarray(pixels), io.BytesIO(png(pixels))):
        assert overlay(source, evidence).tobytes() == drawn
    assert overlay(pixels[..., ::-1], evidence, color="bgr").tobytes() == drawn
    with pytest.raises(PhotoError, match="limit"):
        overlay(pixels, evidence, max_pixels=10)


# --- answers as values


def test_prediction_is_a_value(classifier: Classifier) -> None:
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


def test_prediction_as_dict_says_everything(classifier: Classifier) -> None:
    answer = classifier.predict(flat(0))
    told = json.loads(json.dumps(answer.as_dict(), allow_nan=False))

    assert list(told) == [
        *("photo", "label", "probability", "probabilities"),
        *("top_class", "needed", "oddness"),
    ]
    assert (told["label"], told["top_class"], told["oddness"]) == ("not a dish", "clean", 1.0)
    assert told["probability"] == told["probabilities"]["clean"]
    (failed,) = classifier.predict_many(["gone.jpg"])
    assert failed.as_dict() == {"photo": "gone.jpg", "error": "there is no such file"}
    assert (failed.probabilities, failed.top_class) == ({}, "")


# --- other processes


def predict_flat(classifier: Classifier, level: int) -> Prediction:
    return classifier.predict(flat(level))


def test_classifier_pickles_and_copies(classifier: Classifier) -> None:
    for other in (
        pickle.loads(pickle.dumps(classifier)),
        copy.copy(classifier),
        copy.deepcopy(classifier),
    ):
        assert other.fingerprint == classifier.fingerprint
        assert other.session.get_providers() == classifier.session.get_providers()
        assert other.predict(flat(99)) == classifier.predict(flat(99))
    assert pickle.loads(pickle.dumps(Classifier.load())).id == Classifier.load().id


def test_classifier_pickles_by_the_place_of_its_file(
    tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Classifier.load("m.onnx"))
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).classes == ("clean", "dirty")
    write_model(path, epoch=4)
    with pytest.raises(ModelError, match="has changed since"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ModelError, match="no model file at"):
        pickle.loads(pickled)


def test_classifier_without_a_file_does_not_pickle(classifier: Classifier) -> None:
    bare = Classifier(classifier.session, classifier.info, classifier.fingerprint)
    with pytest.raises(TypeError, match=r"Classifier\.load"):
        pickle.dumps(bare)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_classifier_works_in_processes(classifier: Classifier, method: Any) -> None:
    context = multiprocessing.get_context(method)
    expected = [classifier.predict(flat(level)) for level in (0, 120, 255)]

    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = list(pool.map(predict_flat, [classifier] * 3, (0, 120, 255)))

    assert found == expected


def test_classifier_works_with_joblib_and_threads(classifier: Classifier) -> None:
    levels = (0, 120, 255)
    expected = [classifier.predict(flat(level)) for level in levels]

    for backend in ("loky", "threading"):
        jobs = (joblib.delayed(predict_flat)(classifier, level) for level in levels)
        assert joblib.Parallel(2, backend=backend)(jobs) == expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predict_flat, [classifier] * 3, levels)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_classifier_goes_on_in_a_forked_process_that_inherited_it(classifier: Classifier) -> None:
    expected = classifier.predict(flat(77))
    inherited = threading.local()
    inherited.classifier = classifier
    child = os.fork()
    if child == 0:
        os._exit(0 if inherited.classifier.predict(flat(77)) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
