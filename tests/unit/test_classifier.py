"""An exported file is loaded or refused in one line, and answers alike whatever way it is asked."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from PIL import Image

from platecheck.classifier import (
    BUNDLED_MODELS,
    Classifier,
    Prediction,
    find_model,
    stream_probabilities,
)
from platecheck.errors import ModelError, PhotoError
from platecheck.model_info import METADATA_KEY, ModelInfo, read_info
from platecheck.photo import open_photo

WriteModel = Callable[..., Path]

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Classifier:
    return Classifier.load(write_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


def grey(level: int) -> bytes:
    """A photo of one brightness, 0 to 255."""
    file = BytesIO()
    Image.new("RGB", (20, 30), (level, level, level)).save(file, "png")
    return file.getvalue()


def dirty(level: int) -> float:
    """What the tiny model has to say of :func:`grey`: softmax of -4 and 4 times the brightness."""
    return float(1 / (1 + np.exp(-8 * (level / 255 - 0.5))))


# --- loading


def test_what_a_file_says_of_itself(tmp_path: Path, write_model: WriteModel) -> None:
    classes = ("clean", "dirty", "greasy")
    path = write_model(tmp_path / "m.onnx", classes=classes, size=24, thresholds={"unsure": 0.7})
    for loaded in (Classifier.load(path), Classifier.load(str(path))):
        assert loaded.classes == classes
        assert loaded.size == 24
        assert loaded.info.thresholds == {"unsure": 0.7}
        assert loaded.info.temperature == 1.25
        assert loaded.info.seed == 7


def test_what_a_later_version_may_add_is_ignored(tmp_path: Path, write_model: WriteModel) -> None:
    path = write_model(tmp_path / "m.onnx")
    content = json.loads(Classifier.load(path).info.model_dump_json()) | {"new": [1]}
    write_model(path, metadata={METADATA_KEY: json.dumps(content), "other": "x"})
    assert Classifier.load(path).info.recipe == "tiny"


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Classifier.load(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path)) or said.endswith(str(path))
    return said


def test_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.onnx") == f"no model file at {tmp_path / 'gone.onnx'}"


def test_a_folder_such_as_a_run(tmp_path: Path) -> None:
    assert "is a folder; export a run as a model file: platecheck export" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04", bytes(1000)])
def test_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refusal(path)


def test_a_model_cut_short(tmp_path: Path, write_model: WriteModel) -> None:
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    assert "is not an ONNX model" in refusal(path)


def test_someone_else_s_model(tmp_path: Path, write_model: WriteModel) -> None:
    path = write_model(tmp_path / "m.onnx", metadata={"author": "someone"})
    assert "an ONNX model, but not one written by platecheck export" in refusal(path)


@pytest.mark.parametrize(
    "metadata",
    ["", "{", "null", "[1]", '"text"', "{}", '{"format": 1}', '{"classes": ["clean"]}', "NaN"],
)
def test_damaged_metadata(tmp_path: Path, write_model: WriteModel, metadata: str) -> None:
    path = write_model(tmp_path / "m.onnx", metadata={METADATA_KEY: metadata})
    assert "has damaged metadata" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["clean"]},
        {"size": 0},
        {"size": 10**9},
        {"temperature": 0},
        {"precision": "int4"},
        {"division": {"split": "test"}},
        {"metrics": []},
    ],
)
def test_metadata_out_of_range(
    tmp_path: Path, write_model: WriteModel, change: dict[str, Any]
) -> None:
    path = write_model(tmp_path / "m.onnx")
    content = json.loads(Classifier.load(path).info.model_dump_json()) | change
    write_model(path, metadata={METADATA_KEY: json.dumps(content)})
    assert "has damaged metadata" in refusal(path)


def test_a_later_format(tmp_path: Path, write_model: WriteModel) -> None:
    path = write_model(tmp_path / "m.onnx", metadata={METADATA_KEY: '{"format": 2, "new": 1}'})
    assert "was written by a later platecheck: upgrade to read it" in refusal(path)


@pytest.mark.parametrize(
    "graph",
    [
        {"input_shape": ["batch", 17, 17, 3]},
        {"input_shape": ["batch", 3, 16, 16]},
        {"input_shape": ["batch", "height", "width", 3]},
        {"input_shape": ["batch", 16, 16]},
        {"input_shape": []},
        {"input_shape": [1, 16, 16, 3], "output_shape": [1, 2]},  # one photo at a time only
        {"input_type": TensorProto.FLOAT},
        {"output": "logits_or_so"},
        {"last": "Identity"},  # logits
        {"last": "Log"},  # not a number
    ],
)
def test_a_graph_that_does_not_fit_its_metadata(
    tmp_path: Path, write_model: WriteModel, graph: dict[str, Any]
) -> None:
    refusal(write_model(tmp_path / "m.onnx", graph=graph))


def test_a_graph_whose_names_are_no_text_or_that_gives_nothing(
    tmp_path: Path, write_model: WriteModel
) -> None:
    path = write_model(tmp_path / "m.onnx")
    content = path.read_bytes()
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    for damaged in (
        content.replace(b"batch", b"b\xaftch"),
        content.replace(b"pixels", b"p\xffxels"),
        model.SerializeToString(),
    ):
        path.write_bytes(damaged)
        refusal(path)


def test_loading_prints_nothing(
    tmp_path: Path, write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path / "m.onnx")
    Classifier.load(path).predict(grey(0))
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"M\xff\xffMul"))
    refusal(path)
    with pytest.raises(ModelError):
        Classifier.load(write_model(path)).probabilities(np.zeros((1, 2, 2, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_is_not_there_is_refused(
    tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"NoSuchProvider.*CPUExecutionProvider"):
        Classifier.load(path, providers=["CPUExecutionProvider", "NoSuchProvider"])
    # It was built for one, but there is no such device: the CPU does not take its place.
    built_for = [*onnxruntime.get_available_providers(), "NoSuchProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_for)
    with (
        pytest.warns(UserWarning, match="NoSuchProvider"),
        pytest.raises(ModelError, match="NoSuchProvider cannot be used"),
    ):
        Classifier.load(path, providers=["NoSuchProvider"])


def test_a_graph_with_another_number_of_classes(tmp_path: Path, write_model: WriteModel) -> None:
    three = onnx.numpy_helper.from_array(np.float32([[1, 2, 3]]), "weights")
    path = write_model(tmp_path / "m.onnx", weights=three, graph={"output_shape": ["batch", "n"]})
    assert "has inputs or outputs that do not match its metadata" in refusal(path)


def test_weights_in_another_file_are_not_read(
    tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    # So many that ONNX Runtime does not look at them before it runs the model.
    classes = tuple(f"class {i}" for i in range(256))
    secret = np.linspace(-4, 4, len(classes), dtype=np.float32).tobytes()
    places = [tmp_path / "weights.bin", tmp_path / "here" / "weights.bin"]
    for place in places:
        place.write_bytes(secret)
    monkeypatch.chdir(tmp_path / "here")
    for location in ("weights.bin", "./weights.bin", "../weights.bin", str(places[0])):
        tensor = TensorProto(
            name="weights",
            data_type=TensorProto.FLOAT,
            dims=[1, len(classes)],
            data_location=TensorProto.EXTERNAL,
        )
        tensor.external_data.add(key="location", value=location)
        # Beside the file as well as in the working folder.
        refusal(write_model(tmp_path / "here" / "m.onnx", classes=classes, weights=tensor))


# --- damaged files

MUTATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=60)
@given(mutations=MUTATIONS, rechunk=st.none() | st.integers(1, 200))
def test_a_damaged_file_is_refused_or_answers(
    tmp_path_factory: pytest.TempPathFactory,
    write_model: WriteModel,
    mutations: list[tuple[int, int]],
    rechunk: int | None,
) -> None:
    path = write_model(tmp_path_factory.mktemp("damaged") / "m.onnx")
    content = bytearray(path.read_bytes())
    for place, value in mutations:
        content[place % len(content)] = value
    path.write_bytes(content[:-rechunk] if rechunk else content)
    try:
        loaded = Classifier.load(path)
        answer = loaded.predict(grey(200))
    except ModelError:
        return
    assert answer.label in loaded.classes
    assert answer.probabilities is not None
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*ModelInfo.model_fields, "other"])


@given(changes=st.dictionaries(FIELDS, JSON, min_size=1), text=st.none() | st.text())
def test_any_metadata_are_read_or_refused(
    classifier: Classifier, changes: dict[str, Any], text: str | None
) -> None:
    content = classifier.info.model_dump(mode="json") | changes
    try:
        info = read_info({METADATA_KEY: json.dumps(content) if text is None else text}, Path("m"))
    except ModelError as error:
        assert str(error).startswith("m ")  # noqa: PT017
    else:
        assert len(info.classes) >= 2


# --- one photo


@pytest.mark.parametrize("level", [0, 100, 140, 255])
def test_an_answer_is_the_most_probable_class(classifier: Classifier, level: int) -> None:
    answer = classifier.predict(grey(level))
    expected = {"clean": 1 - dirty(level), "dirty": dirty(level)}
    assert answer.probabilities == pytest.approx(expected, abs=1e-5)
    assert answer.label == ("dirty" if level > 127 else "clean")
    assert answer.probability == max(answer.probabilities.values())
    assert answer.error is None


def test_a_photo_may_be_a_path_bytes_or_a_file(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "plate.png"
    path.write_bytes(grey(200))
    expected = classifier.predict(path)
    with path.open("rb") as file:
        file.read(10)  # wherever it stands
        answers = {
            str(path): classifier.predict(str(path)),
            "<bytes>": classifier.predict(path.read_bytes()),
            "<stream>": classifier.predict(BytesIO(path.read_bytes())),
        }
        answers_of_file = classifier.predict(file)
    assert expected.source == answers_of_file.source == str(path)
    for name, answer in answers.items():
        assert answer.source == name
        assert answer.probabilities == expected.probabilities


def test_a_photo_that_cannot_be_opened_is_raised(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.png: there is no such file"):
        classifier.predict(tmp_path / "gone.png")
    with pytest.raises(PhotoError, match="<bytes>: the file is empty"):
        classifier.predict(b"")


def test_the_model_sees_the_pixels_of_open_photo(classifier: Classifier, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.png"
    Image.fromarray(rng.integers(0, 256, (33, 57, 3), np.uint8)).save(path)
    pixels = open_photo(path, size=16)
    (row,) = classifier.probabilities(pixels[None])
    assert list(classifier.predict(path).probabilities.values()) == row.tolist()
    assert row[1] == pytest.approx(dirty(pixels.mean()), abs=1e-5)


def test_pixels_of_another_size_are_refused(classifier: Classifier) -> None:
    with pytest.raises(ModelError, match="the model cannot be run"):
        classifier.probabilities(np.zeros((1, 8, 8, 3), np.uint8))


def test_an_answer_as_json(classifier: Classifier, tmp_path: Path) -> None:
    good, bad = classifier.predict_many([grey(255), tmp_path / "gone.png"])
    assert json.loads(json.dumps(good.as_dict())) == {
        "photo": "<bytes>",
        "label": "dirty",
        "probability": good.probability,
        "probabilities": good.probabilities,
        "top_class": "dirty",
        "needed": 0.0,
        "oddness": None,
    }
    assert bad.as_dict() == {
        "photo": str(tmp_path / "gone.png"),
        "error": "there is no such file",
    }


# --- many photos


def test_answers_come_in_order_and_a_bad_photo_stops_nothing(
    classifier: Classifier, tmp_path: Path
) -> None:
    levels = [(37 * i) % 256 for i in range(40)]
    photos: list[Any] = [grey(level) for level in levels]
    bad = {0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 39}  # a whole batch among them
    for i in bad:
        photos[i] = tmp_path / f"{i}.jpg"
        photos[i].write_bytes(b"not a photo")
    answers = list(classifier.predict_many(photos, batch_size=4))
    assert len(answers) == 40
    for i, (level, answer) in enumerate(zip(levels, answers, strict=True)):
        if i in bad:
            assert answer.source == str(photos[i])
            assert isinstance(answer.error, PhotoError)
            assert (answer.label, answer.probability, answer.probabilities) == ("", 0.0, {})
        else:
            assert answer.probabilities is not None
            assert answer.probabilities["dirty"] == pytest.approx(dirty(level), abs=1e-5)


@settings(max_examples=30)
@given(
    levels=st.lists(st.none() | st.integers(0, 255), max_size=12),
    batch_size=st.integers(1, 14),
    workers=st.integers(1, 3),
)
def test_batches_and_workers_change_no_answer(
    classifier: Classifier, levels: list[int | None], batch_size: int, workers: int
) -> None:
    photos = [b"bad" if level is None else grey(level) for level in levels]
    stream = stream_probabilities(classifier, photos, batch_size=batch_size, workers=workers)
    for level, (_, row) in zip(levels, stream, strict=True):
        if level is None:
            assert isinstance(row, PhotoError)
        else:
            assert isinstance(row, np.ndarray)
            assert row[1] == pytest.approx(dirty(level), abs=1e-5)


def test_no_photos_give_no_answers(classifier: Classifier) -> None:
    assert list(classifier.predict_many([])) == []


class Counted:
    """More photos than anyone asks for here, counted as they are taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        photo = grey(200)
        for self.taken in range(1, 2000):
            yield photo
        raise AssertionError("all photos were taken")


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 1), (2, 2), (5, 3)])
def test_photos_are_taken_only_as_answers_are(
    classifier: Classifier, batch_size: int, workers: int
) -> None:
    photos = Counted()
    stream = stream_probabilities(classifier, photos, batch_size=batch_size, workers=workers)
    assert photos.taken == 0
    for answered in range(1, 50):
        next(stream)
        # At most one batch a worker, one more waiting, and the one being handed out.
        assert answered <= photos.taken <= answered + batch_size * (workers + 2)
    stream.close()


def test_some_answers_need_only_some_photos(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATECHECK_THREADS", "2")
    photos = Counted()
    answers = list(itertools.islice(classifier.predict_many(photos), 20))
    assert [answer.label for answer in answers] == ["dirty"] * 20
    assert photos.taken <= 20 + 8 * (2 + 2)


def test_who_stops_asking_leaves_no_thread_and_takes_no_more_photos(
    classifier: Classifier,
) -> None:
    before = set(threading.enumerate())
    photos = Counted()
    answers = classifier.predict_many(photos, batch_size=2)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    taken = photos.taken
    assert set(threading.enumerate()) == before
    assert photos.taken == taken


def test_what_goes_wrong_with_the_photos_reaches_the_caller(classifier: Classifier) -> None:
    def photos() -> Iterator[bytes]:
        yield grey(0)
        raise KeyError("the list ends here")

    before = set(threading.enumerate())
    with pytest.raises(KeyError, match="the list ends here"):
        list(classifier.predict_many(photos(), batch_size=1))
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -1}, {"workers": 0}])
def test_numbers_below_one_are_refused(classifier: Classifier, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(stream_probabilities(classifier, [grey(0)], **options))


@pytest.mark.parametrize("photo", ["plate.jpg", b"bytes"])
def test_one_photo_is_not_taken_for_many(classifier: Classifier, photo: Any) -> None:
    with pytest.raises(TypeError, match="photos must be a list"):
        list(classifier.predict_many(photo))


def test_several_threads_may_share_a_classifier(classifier: Classifier) -> None:
    found: dict[int, list[Prediction]] = {}

    def ask(level: int) -> None:
        found[level] = list(classifier.predict_many([grey(level)] * 20, batch_size=3))

    threads = [threading.Thread(target=ask, args=(level,)) for level in (20, 120, 220)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for level, answers in found.items():
        assert len(answers) == 20
        for answer in answers:
            assert answer.probabilities["dirty"] == pytest.approx(dirty(level), abs=1e-5)


# --- what comes with the package


@pytest.mark.parametrize(("name", "mistakes", "megabytes"), [("plate", 0, 6), ("tiny", 2, 2.5)])
def test_the_shipped_models(name: str, mistakes: int, megabytes: float) -> None:
    shipped = Classifier.load(name)
    assert name in BUNDLED_MODELS
    assert shipped.info.precision == "int8"
    assert shipped.classes == ("clean", "dirty")
    photos = sorted(SAMPLES.glob("*.jpg"))
    assert len(photos) == 8
    wrong = 0
    for path, answer in zip(photos, shipped.predict_many(photos), strict=True):
        assert answer.source == str(path)
        assert answer.probabilities is not None
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
        wrong += answer.label != path.name.partition("-")[0]
    assert wrong <= mistakes
    assert find_model(name).stat().st_size <= megabytes * 1e6
    assert find_model(name).with_suffix(".md").is_file()  # its card


def test_the_default_is_the_first_of_them() -> None:
    assert BUNDLED_MODELS == ("plate", "tiny")
    assert Classifier.load().info == Classifier.load("plate").info


PREDICT = """
import sys
from platecheck.classifier import Classifier
print(Classifier.load(sys.argv[1]).predict(sys.argv[2]).label)
print(*sorted(name for name in sys.modules if "." not in name))
"""
HEAVY = {"torch", "torchvision", "lightning", "timm", "torchmetrics", "sklearn", "scipy"}
HEAVY |= {"matplotlib", "cv2", "pooch", "requests", "jinja2", "onnx", "tensorboard"}


def test_predicting_imports_nothing_heavy(tmp_path: Path, write_model: WriteModel) -> None:
    photo = tmp_path / "plate.png"
    photo.write_bytes(grey(255))
    command = [sys.executable, "-c", PREDICT, str(write_model(tmp_path / "m.onnx")), str(photo)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    label, modules = output.splitlines()
    assert label == "dirty"
    assert "onnxruntime" in modules.split()
    assert not HEAVY & set(modules.split())
