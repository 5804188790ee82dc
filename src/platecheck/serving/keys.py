"""API keys: only their hashes are kept, and compared in constant time.

A key has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from platecheck.errors import SettingsError
from platecheck.files import replacing

PREFIX = "pck_"
_LINE = re.compile(r"(?P<name>[\w.-]{1,64}) +(?P<hash>[0-9a-f]{64})")


def add_key(file: Path, name: str) -> str:
    """Make a key, keep its hash in a file, and return it: it cannot be read again.

    Raises:
        SettingsError: the name is taken or odd, or the file is not one of keys.
    """
    known = read_keys(file) if file.exists() else {}
    if name in known:
        raise SettingsError(f"{file} already has a key called {name}; choose another name")
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {_hash(key)}"
    if not _LINE.fullmatch(line):
        raise SettingsError("a key's name has letters, digits, _, - and ., and at most 64 of them")
    kept = [f"{old} {digest}" for old, digest in known.items()]
    with replacing(file) as temporary:
        temporary.write_text("".join(f"{each}\n" for each in [*kept, line]), encoding="utf-8")
    file.chmod(0o600)
    return key


def read_keys(file: Path) -> dict[str, str]:
    """Hashes by name; empty lines and those that begin with # are left out.

    Raises:
        SettingsError: there is no such file, it cannot be read, or a line is not a name and a hash.
    """
    if not file.is_file():
        raise SettingsError(f"{file}: there is no such file of keys; platecheck key makes one")
    found: dict[str, str] = {}
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if not match:
            raise SettingsError(f"{file}, line {number}: not a name and a hash of platecheck key")
        found[match["name"]] = match["hash"]
    return found


def find_key(key: str, hashes: Mapping[str, str]) -> str | None:
    """The name of a key; None when there is no such key.

    Every hash is compared, each in constant time, so that the time tells nothing.
    """
    digest = _hash(key)
    names = [name for name, known in hashes.items() if hmac.compare_digest(digest, known)]
    return names[0] if names else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
