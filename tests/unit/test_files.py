"""Whatever happens while a file is written, the old one or the new one is there, and no third."""

import os
from pathlib import Path

import pytest

from platecheck.errors import DataError
from platecheck.files import replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error("in between")


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old and longer")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old and longer"
        assert temporary.parent == tmp_path  # a rename within one disk is done at once
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in between"):
        write_half(tmp_path / "a.txt", ValueError)
    assert names(tmp_path) == []


def test_what_cannot_be_replaced_stays_and_no_temporary_file_does(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        write_text(folder, "text")
    assert names(tmp_path) == ["folder"]
    assert names(folder) == ["inside"]


def test_missing_folders_are_made_and_text_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    write_text(path, "naïve ✓")
    assert path.read_bytes() == "naïve ✓".encode()


def test_a_name_in_a_text_keeps_its_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", os.fsdecode(b"caf\xe9\n"))
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9\n"


def test_the_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
        assert os.umask(0o027) == 0o027  # asking for it must not change it
    finally:
        os.umask(umask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["pipe"]
