"""An exported file is loaded, or refused in one line."""

import io
import json
import re
import subprocess
import sys
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

from platecheck.classifier import BUNDLED_MODELS, Classifier, find_model
from platecheck.errors import ModelError
from platecheck.model_info import METADATA_KEY, ModelInfo, read_info
from tests.support.writing import model_info, write_model

SAMPLES = Path(__file__).parents[2] / "samples"
WHITE = np.full((20, 30, 3), 255, np.uint8)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Classifier.load(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path)) or said.endswith(str(path))
    return said


def test_load_of_a_file_reads_its_metadata(tmp_path: Path) -> None:
    classes = ("clean", "dirty", "greasy")
    path = write_model(tmp_path / "m.onnx", classes=classes, size=24, thresholds={"unsure": 0.7})
    loaded = Classifier.load(str(path))
    assert (loaded.classes, loaded.size) == (classes, 24)
    assert loaded.info.thresholds == {"unsure": 0.7}
    assert (loaded.info.temperature, loaded.info.seed) == (1.25, 7)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_load_of_bytes_or_a_file_object_equals_the_path(tmp_path: Path, kind: Any) -> None:
    path = write_model(tmp_path / "m.onnx")
    expected = Classifier.load(path)
    found = Classifier.load(kind(path.read_bytes()))
    assert (found.id, found.info) == (expected.id, expected.info)
    assert found.predict(WHITE) == expected.predict(WHITE)


def test_load_of_bad_bytes_or_a_bad_file_object_names_it(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    path = tmp_path / "text.onnx"
    path.write_text("text")
    with path.open() as text, path.open("rb") as file:
        for source, said in (
            (b"", "<bytes> is not an ONNX model"),
            (io.BytesIO(b"text"), "<stream> is not an ONNX model"),
            (file, f"{path} is not an ONNX model"),
            (text, f"{path} does not return bytes; open it in binary mode"),
            (Broken(), "cannot be read: Input/output error"),
        ):
            with pytest.raises(ModelError, match=re.escape(said)) as caught:
                Classifier.load(source)  # type: ignore[arg-type]
            assert "\n" not in str(caught.value)


def test_load_of_a_file_of_a_later_version_ignores_what_it_adds(tmp_path: Path) -> None:
    path, content = tmp_path / "m.onnx", model_info().model_dump(mode="json") | {"new": [1]}
    write_model(path, metadata={METADATA_KEY: json.dumps(content), "other": "x"})
    assert Classifier.load(path).info.recipe == "tiny"
    write_model(path, metadata={METADATA_KEY: '{"format": 2, "new": 1}'})
    assert "needs a newer platecheck: upgrade to read it" in refusal(path)


def test_load_of_what_is_no_model_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.onnx") == f"no model file at {tmp_path / 'gone.onnx'}"
    assert "is a folder; export a run as a model file: platecheck export" in refusal(tmp_path)
    path = write_model(tmp_path / "m.onnx")
    content = path.read_bytes()
    for damaged in (b"", b"not a model", b"PK\x03\x04", bytes(1000), content[:-40]):
        path.write_bytes(damaged)
        assert "is not an ONNX model" in refusal(path)
    write_model(path, metadata={"author": "someone"})
    assert "an ONNX model, but not one written by platecheck export" in refusal(path)


@pytest.mark.parametrize(
    "metadata",
    [
        *("", "{", "null", "[1]", '"text"', "{}", '{"format": 1}', '{"classes": ["clean"]}', "NaN"),
        *({"classes": ["clean"]}, {"size": 0}, {"size": 10**9}, {"temperature": 0}),
        *({"precision": "int4"}, {"division": {"split": "test"}}, {"metrics": []}),
    ],
)
def test_load_of_damaged_metadata_is_refused(tmp_path: Path, metadata: Any) -> None:
    if isinstance(metadata, dict):
        metadata = json.dumps(model_info().model_dump(mode="json") | metadata)
    path = write_model(tmp_path / "m.onnx", metadata={METADATA_KEY: metadata})
    assert "has corrupt metadata" in refusal(path)


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
        {"weights": [1, 2, 3], "output_shape": ["batch", "n"]},  # three classes
    ],
)
def test_load_of_a_graph_that_does_not_match_is_refused(
    tmp_path: Path, graph: dict[str, Any]
) -> None:
    numbers = graph.get("weights")
    weights = onnx.numpy_helper.from_array(np.float32([numbers]), "weights") if numbers else None
    refusal(write_model(tmp_path / "m.onnx", graph=dict(graph), weights=weights))


def test_load_of_a_graph_with_damaged_names_or_no_output_is_refused(tmp_path: Path) -> None:
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


def test_load_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path / "m.onnx")
    Classifier.load(path).predict(WHITE)
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"M\xff\xffMul"))
    refusal(path)
    with pytest.raises(ModelError):
        Classifier.load(write_model(path)).probabilities(np.zeros((1, 2, 2, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_load_with_an_unavailable_provider_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_load_of_weights_in_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1, len(classes)])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        # Beside the file as well as in the working folder.
        refusal(write_model(tmp_path / "here" / "m.onnx", classes=classes, weights=tensor))


MUTATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=60)
@given(mutations=MUTATIONS, rechunk=st.none() | st.integers(1, 200))
def test_load_of_a_damaged_file_is_refused_or_predicts(
    tmp_path_factory: pytest.TempPathFactory,
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
        answer = loaded.predict(WHITE)
    except ModelError:
        return
    assert answer.label in loaded.classes
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*ModelInfo.model_fields, "other"])


@settings(max_examples=60)
@given(changes=st.dictionaries(FIELDS, JSON, min_size=1), text=st.none() | st.text())
def test_read_info_of_any_metadata_reads_or_refuses(
    changes: dict[str, Any], text: str | None
) -> None:
    content = model_info().model_dump(mode="json") | changes
    try:
        info = read_info({METADATA_KEY: json.dumps(content) if text is None else text}, "m")
    except ModelError as error:
        assert str(error).startswith("m ")  # noqa: PT017
    else:
        assert len(info.classes) >= 2


@pytest.mark.parametrize(
    ("name", "mistakes", "megabytes"), [("plate", 0, 6), ("mobile", 1, 5), ("tiny", 2, 2.5)]
)
def test_bundled_model_classifies_the_samples(name: str, mistakes: int, megabytes: float) -> None:
    shipped = Classifier.load(name)
    assert BUNDLED_MODELS == ("plate", "mobile", "tiny")
    assert Classifier.load().id == Classifier.load("plate").id
    assert shipped.info.precision == "int8"
    assert shipped.classes == ("clean", "dirty")
    photos = sorted(SAMPLES.glob("*.jpg"))
    assert len(photos) == 8
    wrong = 0
    for path, answer in zip(photos, shipped.predict_many(photos), strict=True):
        assert answer.source == str(path)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
        wrong += answer.label != path.name.partition("-")[0]
    assert wrong <= mistakes
    assert find_model(name).stat().st_size <= megabytes * 1e6
    assert find_model(name).with_suffix(".md").is_file()  # its card


PREDICT = """
import sys
from platecheck.classifier import Classifier
print(Classifier.load(sys.argv[1]).predict(sys.argv[2]).label)
print(*sorted(name for name in sys.modules if "." not in name))
"""
HEAVY = {"torch", "torchvision", "lightning", "timm", "torchmetrics", "sklearn", "scipy"}
HEAVY |= {"matplotlib", "cv2", "pooch", "requests", "jinja2", "onnx", "tensorboard"}


def test_predict_imports_nothing_heavy(tmp_path: Path) -> None:
    photo = tmp_path / "plate.png"
    Image.fromarray(WHITE).save(photo)
    command = [sys.executable, "-c", PREDICT, str(write_model(tmp_path / "m.onnx")), str(photo)]
    label, modules = subprocess.check_output(command, text=True).splitlines()
    assert label == "dirty"
    assert "onnxruntime" in modules.split()
    assert not HEAVY & set(modules.split())
