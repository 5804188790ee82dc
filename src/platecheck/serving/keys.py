"""API keys, stored as hashes and compared in constant time.

Keys have 256 random bits, so one round of SHA-256 suffices: there is no password to guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from platecheck.errors import SettingsError
from platecheck.files import write_text

PREFIX = "pck_"
_LINE = re.compile(r"(?P<name>[\w.-]{1,64}) +(?P<hash>[0-9a-f]{64})")


def add_key(file: Path, name: str) -> str:
    """Create a key, add its hash to a file, and return the key.

    Raises:
        SettingsError: The name is taken or invalid, or the file is not a key file.
    """
    known = read_keys(file) if file.exists() else {}
    if name in known:
        raise SettingsError(f"{file} already has a key named {name}; choose another name")
    key = PREFIX + secrets.token_urlsafe(32)
    known[name] = _hash(key)
    if not _LINE.fullmatch(f"{name} {known[name]}"):
        raise SettingsError("a key name may have up to 64 letters, digits, _, - and .")
    write_text(file, "".join(f"{each} {digest}\n" for each, digest in known.items()))
    file.chmod(0o600)
    return key


def read_keys(file: Path) -> dict[str, str]:
    """Read hashes by name, skipping empty lines and comments (#).

    Raises:
        SettingsError: The file is missing, unreadable or malformed.
    """
    if not file.is_file():
        raise SettingsError(f"{file}: no such key file; create one with platecheck apikey create")
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
            raise SettingsError(f"{file}, line {number}: expected a name and a hash")
        found[match["name"]] = match["hash"]
    return found


def find_key(key: str, hashes: Mapping[str, str]) -> str | None:
    """Return the name of a key, or None if it is unknown.

    Compare with every hash, so that the time taken reveals nothing.
    """
    digest = _hash(key)
    names = [name for name, known in hashes.items() if hmac.compare_digest(digest, known)]
    return names[0] if names else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
