"""A test module takes these with ``pytest_plugins = ["feedback_fixtures.fixtures"]``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_fixtures.places import MakePlace, Place
from feedback_fixtures.postgres import Postgres, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: sh tests/postgres.sh brings it")
    with Postgres(found) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def make_place(request: pytest.FixtureRequest, tmp_path: Path) -> MakePlace:
    """Make a new, empty database with a folder for photos; once in SQLite, once in PostgreSQL."""
    made = []

    def make() -> Place:
        number = len(made)
        url = f"sqlite:///{tmp_path}/{number}.db"
        if request.param == "postgresql":
            url = request.getfixturevalue("postgres").new_database()
        made.append(Place(url, tmp_path / f"photos{number}"))
        return made[-1]

    return make


@pytest.fixture
def place(make_place: MakePlace) -> Place:
    """A new, empty database with a folder for photos."""
    return make_place()
