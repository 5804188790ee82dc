import json
import pickle
import shlex
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import platecheck
from platecheck.errors import (
    DataError,
    MissingExtraError,
    ModelError,
    PhotoError,
    PlatecheckError,
    RecipeError,
    how_to_install,
)


def test_one_base_catches_every_error_that_a_user_can_cause() -> None:
    for error in (PhotoError, DataError, RecipeError, ModelError, MissingExtraError):
        assert issubclass(error, PlatecheckError)


def test_a_photo_error_names_photo_and_reason_and_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(PhotoError("a.jpg", "the file is empty")))
    assert (error.source, error.reason) == ("a.jpg", "the file is empty")
    assert str(error) == "a.jpg: the file is empty"


def test_a_missing_extra_says_what_to_install() -> None:
    sources = Path(platecheck.__file__).parents[2]
    assert str(MissingExtraError("Training", "train")) == (
        f"Training needs more packages: pip install -e '{sources}[train]'"
    )


class TestHowToInstall:
    """Where platecheck lies among other packages, as pip installed it from somewhere."""

    REQUIRES = (
        "numpy>=1.26",
        'pooch>=1.8; extra == "data"',
        'platecheck[data]; extra == "train"',
        'torch<3,>=2.5; extra == "train"',
        'uvloop>=0.19; sys_platform != "win32" and extra == "serve"',
    )

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        packages = tmp_path / "lib" / "python3" / "site-packages"
        information = packages / "platecheck-1.dist-info"
        information.mkdir(parents=True)
        needed = "".join(f"Requires-Dist: {line}\n" for line in self.REQUIRES)
        (information / "METADATA").write_text(f"Name: platecheck\nVersion: 1\n{needed}")
        monkeypatch.setattr("platecheck.errors.__file__", str(packages / "platecheck/errors.py"))
        monkeypatch.setattr("sys.path", [str(packages)])
        self.information = information

    def told(self, extra: str, **origin: Any) -> list[str]:
        if origin:
            (self.information / "direct_url.json").write_text(json.dumps(origin))
        return shlex.split(how_to_install(extra))

    @pytest.mark.parametrize("name", ["clone", "a clone [of mine]", "gr\u00fcn"])
    def test_a_clone_is_named(self, tmp_path: Path, name: str) -> None:
        clone = tmp_path / name
        clone.mkdir()
        (clone / "pyproject.toml").touch()
        origin: dict[str, Any] = {"url": clone.as_uri(), "dir_info": {}}
        assert self.told("train", **origin) == ["pip", "install", f"{clone}[train]"]

    @pytest.mark.parametrize("name", ["platecheck-1-py3-none-any.whl", "platecheck-1.tar.gz"])
    def test_a_wheel_or_source_distribution_is_named(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        url = (tmp_path / name).as_uri()
        wanted = f"platecheck[serve] @ {url}"
        assert self.told("serve", url=url, archive_info={}) == ["pip", "install", wanted]

    def test_a_repository_is_named(self) -> None:
        vcs = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
        told = self.told("serve", url="https://a.example/p.git", vcs_info=vcs, subdirectory="p")
        wanted = "platecheck[serve] @ git+https://a.example/p.git@abc#subdirectory=p"
        assert told == ["pip", "install", wanted]

    def test_an_archive_elsewhere_is_named(self) -> None:
        url = "https://a.example/platecheck-1.whl"
        assert self.told("data", url=url, archive_info={})[-1] == f"platecheck[data] @ {url}"

    @pytest.mark.parametrize("kind", ["dir_info", "archive_info"])
    def test_what_has_gone_is_not_named(self, tmp_path: Path, kind: str) -> None:
        origin: dict[str, Any] = {"url": (tmp_path / "gone").as_uri(), kind: {}}
        assert self.told("train", **origin) == ["pip", "install", "pooch>=1.8", "torch<3,>=2.5"]

    def test_where_it_came_from_an_index_the_packages_are_named(self) -> None:
        assert self.told("train,serve")[2:] == ["pooch>=1.8", "torch<3,>=2.5", "uvloop>=0.19"]

    def test_where_nothing_is_known_the_extra_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(name: str) -> None:
            raise PackageNotFoundError(name)

        monkeypatch.setattr("platecheck.errors.distribution", unknown)
        assert how_to_install("train") == "install platecheck with its extra train"
