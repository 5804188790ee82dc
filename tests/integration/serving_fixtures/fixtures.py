"""A test module takes these with ``pytest_plugins = ["serving_fixtures.fixtures"]``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import WriteModel
from tests.support.server import Server


@pytest.fixture(scope="session")
def bright_is_dirty(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    """A tiny model that answers at once."""
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", evidence=4, promise=None)


@pytest.fixture(scope="session")
def server(bright_is_dirty: Path) -> Iterator[Server]:
    """A service without keys that is impatient."""
    with Server("--model", bright_is_dirty, idle_timeout=2) as server:
        yield server
