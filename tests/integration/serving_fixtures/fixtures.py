"""A test module takes these with ``pytest_plugins = ["serving_fixtures.fixtures"]``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.serving.server import Server
from tests.conftest import WriteModel


@pytest.fixture(scope="session")
def bright_is_dirty(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    """A tiny model that answers at once."""
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", evidence=4, promise=None)


@pytest.fixture(scope="module")
def server(bright_is_dirty: Path) -> Iterator[Server]:
    """A service with default settings, less patient."""
    options = ("--model", bright_is_dirty, "--seconds", "2", "--idle-seconds", "1")
    with Server(*options) as running:
        yield running
