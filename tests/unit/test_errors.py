import json
import pickle
import shlex
import shutil
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


def test_errors_have_one_base_class() -> None:
    for error in (PhotoError, DataError, RecipeError, ModelError, MissingExtraError):
        assert issubclass(error, PlatecheckError)


def test_photo_error_pickles_and_names_photo_and_reason() -> None:
    error = pickle.loads(pickle.dumps(PhotoError("a.jpg", "the file is empty")))
    assert (error.source, error.reason) == ("a.jpg", "the file is empty")
    assert str(error) == "a.jpg: the file is empty"


def test_missing_extra_error_says_what_to_install() -> None:
    sources = Path(platecheck.__file__).parents[2]
    said = f"Training needs more packages: pip install -e '{sources}[train]'"
    assert str(MissingExtraError("Training", "train")) == said


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
    def test_how_to_install_from_a_clone_names_it(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").touch()
        told = self.told("train", url=(tmp_path / name).as_uri(), dir_info={})
        assert told == ["pip", "install", f"{tmp_path / name}[train]"]

    def test_how_to_install_from_an_archive_or_repository_names_it(self, tmp_path: Path) -> None:
        archive = tmp_path / "platecheck-1-py3-none-any.whl"
        archive.touch()
        for url in (archive.as_uri(), "https://a.example/platecheck-1.tar.gz"):
            told = self.told("serve", url=url, archive_info={})
            assert told == ["pip", "install", f"platecheck[serve] @ {url}"]
        vcs = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
        told = self.told("serve", url="https://a.example/p.git", vcs_info=vcs, subdirectory="p")
        assert told[2] == "platecheck[serve] @ git+https://a.example/p.git@abc#subdirectory=p"

    def test_how_to_install_from_what_is_gone_or_an_index_names_the_packages(
        self, tmp_path: Path
    ) -> None:
        url = (tmp_path / "gone").as_uri()
        for kind in ("dir_info", "archive_info"):
            told = self.told("train", url=url, **{kind: {}})
            assert told == ["pip", "install", "pooch>=1.8", "torch<3,>=2.5"]
        (self.information / "direct_url.json").unlink()
        assert self.told("train,serve")[2:] == ["pooch>=1.8", "torch<3,>=2.5", "uvloop>=0.19"]

    def test_how_to_install_of_an_unknown_origin_names_the_extra(self) -> None:
        shutil.rmtree(self.information)
        assert how_to_install("train") == "install platecheck with its extra train"
