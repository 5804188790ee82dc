"""A photo that cannot prove a dish clean is recognized; a sharp, well-lit one is not refused."""

import io
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from platecheck.classifier import Classifier, Prediction
from platecheck.photo import open_photo
from platecheck.quality import ADVICE, CROWDED, HIDDEN, MAX_GLARE, OK, Quality, explain, measure
from tests.support.photos import SAMPLES
from tests.support.writing import write_model

PATHS = sorted(SAMPLES.glob("*.jpg"))


def sample(number: int = 3, side: int = 384) -> Image.Image:
    photo = Image.fromarray(open_photo(PATHS[number]))
    photo.thumbnail((side, side))
    return photo


def blurred(photo: Image.Image, share: float) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(photo.width / share))


def darkened(photo: Image.Image, factor: float) -> Image.Image:
    return photo.point(lambda level: level * factor)


def compressed(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def noisy(photo: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(photo) + np.random.default_rng(0).normal(0, sigma, (*photo.size[::-1], 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def judged(photo: Image.Image) -> Quality:
    return measure(np.asarray(photo))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_sample_is_good_enough(path: Path) -> None:
    photo = open_photo(path)
    assert measure(photo).reason == OK
    for size in (256, 512):
        assert measure(open_photo(path, size)).reason == OK


@pytest.mark.parametrize("number", range(len(PATHS)))
def test_poor_photo_has_its_reason(number: int) -> None:
    photo = sample(number)
    for share in (20, 40, 60, 80):
        assert judged(blurred(photo, share)).reason == "too blurred"
    assert judged(darkened(photo, 0.12)).reason == "too dark"
    assert judged(darkened(blurred(photo, 60), 0.12)).reason == "too dark"
    assert judged(compressed(photo, 8)).reason == "low JPEG quality"
    assert judged(noisy(photo, 40)).reason == "too noisy"
    assert judged(photo.point(lambda level: min(255, level * 20))).reason == "too bright"
    assert judged(photo.resize((24, 24))).reason == "too small"


def test_measures_grow_with_what_they_measure() -> None:
    photo = sample()
    for worse, name in (
        ([photo, blurred(photo, 200), blurred(photo, 150), blurred(photo, 100)], "blur"),
        ([photo, noisy(photo, 10), noisy(photo, 20), noisy(photo, 40)], "noise"),
        ([photo, compressed(photo, 30), compressed(photo, 10), compressed(photo, 5)], "blocks"),
        ([darkened(photo, factor) for factor in (0.1, 0.3, 0.6, 1)], "light"),
    ):
        values = [getattr(judged(each), name) for each in worse]
        assert values == sorted(set(values)), name


@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (7, 1)])
def test_blocks_are_seen_wherever_a_crop_starts(offset: tuple[int, int]) -> None:
    pixels = np.asarray(compressed(sample(), 8))[offset[1] :, offset[0] :]
    assert measure(pixels).reason == "low JPEG quality"


def test_noise_of_a_large_photo_vanishes_when_it_is_reduced() -> None:
    photo = sample().resize((2400, 1800), Image.Resampling.BICUBIC)
    assert judged(noisy(photo, 25)).reason == OK


@settings(max_examples=80)
@given(
    height=st.integers(1, 60) | st.integers(300, 500),
    width=st.integers(1, 60) | st.integers(300, 500),
    low=st.integers(0, 255),
    spread=st.integers(1, 256),
)
def test_measure_of_any_photo_is_finite(height: int, width: int, low: int, spread: int) -> None:
    rng = np.random.default_rng(height * width)
    levels = (low + rng.integers(0, spread, (height, width, 3))).clip(0, 255)
    found = measure(levels.astype(np.uint8))
    assert all(math.isfinite(value) for value in astuple(found))
    assert found.side == min(height, width)
    assert 0 <= found.light <= 255
    assert 0 <= found.glare <= 1
    assert found.blur <= 1
    assert found.reason in {OK, *ADVICE} - {CROWDED, HIDDEN}


@given(level=st.integers(0, 255))
def test_light_and_glare_of_one_level(level: int) -> None:
    found = measure(np.full((50, 60, 3), level, np.uint8))
    assert found.light == level
    assert found.glare == (level >= 250)


@pytest.mark.parametrize(("margin", "bright"), [(0.16, False), (0.26, True)])
def test_white_counts_as_glare_only_in_the_middle(margin: float, bright: bool) -> None:
    pixels = np.full((300, 400, 3), 255, np.uint8)
    rows, columns = (slice(int(side * margin), side - int(side * margin)) for side in (300, 400))
    pixels[rows, columns] = np.random.default_rng(0).integers(80, 180, (300, 400, 1))[rows, columns]
    assert (measure(pixels).glare > MAX_GLARE) == bright


def test_explain_says_what_to_do() -> None:
    assert explain("too blurred") == "too blurred: hold the camera still"
    assert explain(OK) == OK


# --- the classifier's check


@pytest.fixture(scope="module")
def checking(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    return Classifier.load(write_model(path, quality_check=True))


def flat(level: int, side: int = 90) -> NDArray[np.uint8]:
    return np.full((side, side, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("photo", "label", "quality"),
    [
        (flat(20), "unsure", "too dark"),
        (flat(110), "clean", OK),
        (flat(110, 30), "unsure", "too small"),
        (flat(255), "dirty", "too bright"),  # dirt that is seen in a poor photo is dirt
        (flat(200, 30), "dirty", "too small"),
        (flat(200), "dirty", OK),
    ],
)
def test_predict_in_a_poor_photo_is_unsure_instead_of_clean(
    checking: Classifier, photo: NDArray[np.uint8], label: str, quality: str
) -> None:
    one, (of_many,) = checking.predict(photo), checking.predict_many([photo])
    assert one == of_many
    assert (one.label, one.quality) == (label, quality)
    assert one.as_dict()["quality"] == quality
    assert one.top_class == max(one.probabilities, key=one.probabilities.__getitem__)


def test_predict_without_the_check_reports_no_quality(tmp_path: Path) -> None:
    classifier = Classifier.load(write_model(tmp_path / "m.onnx", quality_check=False))
    assert (classifier.predict(flat(0)).label, classifier.predict(flat(0)).quality) == ("clean", OK)


def test_predict_many_keeps_the_quality_of_each_photo_around_errors(checking: Classifier) -> None:
    photos = [flat(20), "gone.jpg", flat(110), flat(110, 30), "gone.jpg", flat(200)]
    found = list(checking.predict_many(photos, batch_size=4))
    assert [each.quality for each in found if not each.error] == ["too dark", OK, "too small", OK]
    assert [each.label for each in found] == ["unsure", "", "clean", "unsure", "", "dirty"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [("clean", "unsure"), ("Clean ", "unsure"), ("dirty", "dirty"), ("not a dish", "not a dish")],
)
def test_with_quality_changes_clean_only(label: str, expected: str) -> None:
    prediction = Prediction("p", label, 0.9, {"clean": 0.9, "dirty": 0.1})
    assert prediction.with_quality("too dark").label == expected
    assert prediction.with_quality(OK) == prediction
