"""Use with ``pytest_plugins = ["feedback_fixtures.fixtures"]``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_fixtures.places import Place
from feedback_fixtures.postgres import Postgres, programs
from platecheck.feedback.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: sh tests/postgres.sh brings it")
    with Postgres(found) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty database; once in SQLite, once in PostgreSQL."""
    if request.param == "postgresql":
        return Place(request.getfixturevalue("postgres").new_database())
    return Place(f"sqlite:///{tmp_path}/feedback.db")


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with place.store() as opened:
        yield opened
