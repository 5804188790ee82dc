"""The names of the package, and what importing it costs."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

import platecheck
from platecheck import classifier, errors, photo


def test_the_few_names() -> None:
    assert platecheck.Classifier is classifier.Classifier
    assert platecheck.Prediction is classifier.Prediction
    assert platecheck.PhotoError is errors.PhotoError
    assert platecheck.PlatecheckError is errors.PlatecheckError
    assert platecheck.open_photo is photo.open_photo
    assert platecheck.__version__ == version("platecheck")
    assert set(dir(platecheck)) == set(platecheck.__all__)
    for name in platecheck.__all__:
        assert getattr(platecheck, name)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        platecheck.predict  # noqa: B018
    with pytest.raises(ImportError, match="predict"):
        from platecheck import predict  # noqa: F401


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys, platecheck; print(*(m for m in sys.modules if 'platecheck' in m), sep=',')"
    code += "; print('numpy' in sys.modules, 'onnxruntime' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules, heavy = output.stdout.splitlines()
    assert heavy == "False False"
    assert "platecheck" in modules.split(",")
    assert not {"platecheck.classifier", "platecheck.photo"} & set(modules.split(","))


@pytest.mark.parametrize("value", [None, "0", ""])
def test_telemetry_is_off_whatever_the_environment_says(value: str | None) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ORT_")}
    environment |= {} if value is None else {"ORT_DISABLE_TELEMETRY": value}
    code = "import os, platecheck; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert found == "1\n"


def test_telemetry_is_switched_off_where_onnx_runtime_was_imported_before() -> None:
    code = (
        "import sys, types\n"
        "sys.modules['onnxruntime'] = module = types.ModuleType('onnxruntime')\n"
        "module.disable_telemetry_events = lambda: print('off')\n"
        "import platecheck\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "off\n"
