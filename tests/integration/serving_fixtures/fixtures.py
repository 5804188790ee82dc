"""A test module takes these with ``pytest_plugins = ["serving_fixtures.fixtures"]``."""

from pathlib import Path

import pytest

from tests.conftest import WriteModel


@pytest.fixture(scope="session")
def bright_is_dirty(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    """A tiny model that answers at once."""
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", evidence=4, promise=None)
