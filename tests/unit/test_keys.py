"""API keys."""

from pathlib import Path

import pytest

from platecheck.errors import SettingsError
from platecheck.serving.keys import add_key, find_key, read_keys


def test_a_key_is_found_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    first, second = add_key(file, "kitchen"), add_key(file, "app")
    keys = read_keys(file)
    assert find_key(first, keys) == "kitchen"
    assert find_key(second, keys) == "app"
    assert first not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", ["", "pck_", "kitchen", "\udcff", "é" * 1000])
def test_no_other_key_is_found(tmp_path: Path, wrong: str) -> None:
    add_key(tmp_path / "keys.txt", "kitchen")
    keys = read_keys(tmp_path / "keys.txt")
    assert find_key(wrong, keys) is None
    assert find_key(keys["kitchen"], keys) is None  # the hash is no key


def test_a_taken_or_odd_name_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    add_key(file, "kitchen")
    before = file.read_bytes()
    for name in ("kitchen", "two words", "", "x" * 65, "a\nb"):
        with pytest.raises(SettingsError):
            add_key(file, name)
    assert file.read_bytes() == before


def test_comments_may_be_added_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key = add_key(file, "kitchen")
    file.write_text(f"# who may ask\n\n{file.read_text()}")
    assert find_key(key, read_keys(file)) == "kitchen"


def test_a_line_that_is_no_hash_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("# fine\nkitchen secret\n")
    with pytest.raises(SettingsError, match="line 2"):
        read_keys(file)
    with pytest.raises(SettingsError, match="no such key file"):
        read_keys(tmp_path / "none.txt")
