"""The names of the package, and what importing it costs."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

import platecheck
from platecheck import classifier, errors, photo


def test_package_has_its_public_names_and_no_others() -> None:
    assert platecheck.Classifier is classifier.Classifier
    assert platecheck.Prediction is classifier.Prediction
    assert platecheck.PhotoError is errors.PhotoError
    assert platecheck.PlatecheckError is errors.PlatecheckError
    assert platecheck.open_photo is photo.open_photo
    assert platecheck.__version__ == version("platecheck")
    assert set(dir(platecheck)) == set(platecheck.__all__)
    for name in platecheck.__all__:
        assert getattr(platecheck, name)
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        platecheck.predict  # noqa: B018


def python(code: str, **environment: str) -> str:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, env=kept | environment, text=True)


def test_importing_the_package_imports_nothing_else() -> None:
    loaded = python("import sys, platecheck; print(*sys.modules)").split()
    heavy = {"numpy", "onnxruntime", "platecheck.classifier", "platecheck.photo"}
    assert "platecheck" in loaded
    assert not heavy & set(loaded)


def test_importing_the_package_disables_telemetry_whatever_the_environment_says() -> None:
    code = "import os, platecheck; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert python(code) == python(code, ORT_DISABLE_TELEMETRY="0") == "1\n"
    imported_before = (
        "import sys, types\n"
        "sys.modules['onnxruntime'] = module = types.ModuleType('onnxruntime')\n"
        "module.disable_telemetry_events = lambda: print('off')\n"
        "import platecheck\n"
    )
    assert python(imported_before) == "off\n"
