"""Atomic writes: whatever happens, the old or the new file is there, and nothing else."""

import errno
import os
from pathlib import Path

import pytest

from platecheck.errors import DataError, OutputError
from platecheck.files import check_writable, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replacing_success_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old and longer")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old and longer"
        assert temporary.parent == tmp_path  # a rename within one disk is atomic
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize(
    "error",
    [
        *(KeyboardInterrupt("x"), SystemExit("x"), OSError("x"), ValueError("x")),
        *(RuntimeError("x"), FileNotFoundError(2, "No such file", "b")),
    ],
)
def test_replacing_error_is_raised_unchanged_and_keeps_the_old_file(
    tmp_path: Path, error: BaseException
) -> None:
    (tmp_path / "a.txt").write_text("old")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(type(error)) as caught:
            write_half(tmp_path / name, error)
        assert caught.value is error
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("how", ["OSError", "quoted", "behind another", "after another"])
def test_replacing_on_a_full_disk_raises_output_error_whatever_a_library_raises(
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


def test_replacing_refuses_a_pipe_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        write_text(tmp_path / "folder", "text")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a regular file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["folder", "pipe"]
    assert names(tmp_path / "folder") == ["inside"]


def test_write_text_creates_folders_and_keeps_undecodable_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    write_text(path, "naïve ✓" + os.fsdecode(b"caf\xe9"))
    assert path.read_bytes() == "naïve ✓".encode() + b"caf\xe9"


def test_write_text_respects_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(umask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_check_writable_tries_and_leaves_nothing_behind(tmp_path: Path) -> None:
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
