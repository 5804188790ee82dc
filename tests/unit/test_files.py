"""Whatever happens while a file is written, the old one or the new one is there, and no third."""

import errno
import os
from pathlib import Path

import pytest

from platecheck.errors import DataError, OutputError
from platecheck.files import check_writable, replacing, write_text


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("how", ["OSError", "quoted", "behind another", "after another"])
def test_a_full_disk_is_told_from_whatever_a_library_makes_of_it(
    number: int, how: str, tmp_path: Path
) -> None:
    path, reason = tmp_path / "a.bin", OSError(number, os.strerror(number))

    def fail() -> None:
        if how == "OSError":
            raise reason
        if how == "quoted":
            raise RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})")
        try:
            raise reason
        except OSError as error:
            if how == "after another":
                raise RuntimeError("PytorchStreamWriter failed") from None
            raise RuntimeError("PytorchStreamWriter failed") from error

    with pytest.raises(OutputError) as caught, replacing(path):
        fail()
    assert str(caught.value) == f"{path} cannot be written: {os.strerror(number)}"
    assert caught.value.errno == number
    assert names(tmp_path) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (ValueError("x"), RuntimeError("x"), FileNotFoundError(2, "No such file", "b")):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "a.bin"):
            raise error
        assert caught.value is error


def test_an_output_is_tried_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "a" / "b" / "c.onnx")
    check_writable(tmp_path / "a", folder=True)
    with pytest.raises(OutputError, match="Not a directory; choose another location"):
        check_writable(tmp_path / "file" / "c.onnx")
    for path, folder in ((tmp_path, False), (tmp_path / "file", True), (Path("/dev/full"), False)):
        with pytest.raises(DataError, match=r"is not a (regular file|folder)"):
            check_writable(path, folder=folder)
    assert names(tmp_path) == ["file"]


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
    with pytest.raises(DataError, match="is not a regular file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["pipe"]
