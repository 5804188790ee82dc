"""Settings of the service and its API keys."""

import json
import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from platecheck.errors import SettingsError
from platecheck.serving.keys import add_key, find_key, read_keys
from platecheck.serving.server import serve
from platecheck.serving.settings import DEPRECATED, FLAGS, Settings, flag_name, load_settings
from tests.conftest import Cli


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Record settings instead of serving."""
    seen: list[Settings] = []
    monkeypatch.setattr("platecheck.serving.feedback_service.open_feedback", lambda _: None)
    monkeypatch.setattr("platecheck.serving.server.serve", lambda s, on_ready: seen.append(s))
    return seen


def test_settings_flags_override_environment_overrides_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, served: list[Settings]
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("port: 1\nqueue: 100\nhost: '::1'\n")
    monkeypatch.setenv("PLATECHECK_PORT", "2")
    monkeypatch.setenv("PLATECHECK_QUEUE", "200")
    assert cli("serve", "--config", file, "--port", "3").err == ""
    (found,) = served
    assert (found.port, found.queue, found.host) == (3, 200, "::1")
    assert found.threads >= 1
    assert pickle.loads(pickle.dumps(found)) == found  # it is sent to the workers
    assert (
        cli("serve", "--settings", file).err
        == "note: --settings is now --config; the old name will be removed in platecheck 0.3\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("prot: 1", "prot: unknown setting; did you mean port?"),
        ("no_such_thing: {}", "no_such_thing: unknown setting"),
        ("port: 99999", "port"),
        ("max_photos: 257", "must not exceed queue (256)"),
        ("certificate: a.pem", "must be set together"),
        ("max_photo_bytes: 999999999", "must not exceed max_request_bytes"),
        ("max_request_bytes: 999999999", "must not exceed max_upload_bytes"),
        ("port: [", "serve.yaml"),
        ("- port", "serve.yaml"),
        ("request_timeout: .inf", "request_timeout"),
        ("idle_timeout: 1.0e+300", "idle_timeout"),
        ("max_queue_delay: .nan", "max_queue_delay"),
        ("max_queue_delay: 0", "max_queue_delay"),
        ("1: 2", "not a mapping of settings"),
        ("port", "not a mapping of settings"),
        ("port: " + "[" * 600, "nested too deeply"),
        (None, "no such settings file"),
    ],
)
def test_settings_file_that_is_invalid_is_refused_in_one_line(
    tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "serve.yaml"
    if content:
        file.write_text(content)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is set as Linux does")
def test_settings_threads_default_to_usable_cores() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert Settings().threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HTTPS://App.Example/", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_settings_origin_is_normalized_as_browsers_do(given: str, meant: str) -> None:
    assert Settings(cors_origins=(given,)).cors_origins == (meant,)


@pytest.mark.parametrize(
    "wrong",
    ["*", "null", "", "app.example", "https://", "https://app.example/page", "https://*.example",
     "https://a@app.example", "https://app.example:port", "https://app.example\n"],
)  # fmt: skip
def test_settings_origin_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not an origin, such as https://"):
        Settings(cors_origins=(wrong,))


def test_settings_list_in_the_environment_must_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATECHECK_CORS_ORIGINS", "https://app.example")
    with pytest.raises(SettingsError, match=r"^PLATECHECK_CORS_ORIGINS: not a JSON list, such as"):
        load_settings()
    monkeypatch.setenv("PLATECHECK_CORS_ORIGINS", '["https://app.example"]')
    assert load_settings().cors_origins == ("https://app.example",)


VALUES: dict[str, Any] = {
    "wait": 3, "photos": 3, "photo_bytes": 1000, "request_bytes": 30_000_000,
    "upload_bytes": 90_000_000, "pixels": 3, "seconds": 3, "idle_seconds": 3, "without_key": True,
    "origins": ["https://a.example"], "names": ["a.example"],
    "threads": 3, "log_level": "error", "offline": False, "cors_origins": ["https://a.example"],
}  # fmt: skip
ADVICE = {"no_auth": "--no-auth"}


@pytest.mark.parametrize("name", VALUES)
def test_deprecated_flag_is_hidden_and_works_with_one_note(
    name: str, cli: Cli, served: list[Settings]
) -> None:
    value = VALUES[name]
    (written,) = value if isinstance(value, list) else [value]
    flag = "--no-offline" if name == "offline" else flag_name(name)
    done = cli("serve", flag, *([] if isinstance(value, bool) else [str(written)]))
    new = DEPRECATED.get(name, name)
    advice = ADVICE.get(new, f"PLATECHECK_{new.upper()} or {new} in --config FILE")
    assert done.err == f"{flag_name(name)} is deprecated; use {advice}\n"
    (found,) = served
    assert getattr(found, new) == (tuple(value) if isinstance(value, list) else value)


def test_serve_help_shows_the_daily_flags_only(cli: Cli) -> None:
    shown = re.findall(r"--[a-z-]+(?= )", cli("serve", "--help").out)
    assert set(shown) == {*map(flag_name, FLAGS), "--config", "--help"}


@pytest.mark.parametrize("name", DEPRECATED)
@pytest.mark.parametrize("where", ["variable", "file"])
def test_deprecated_setting_works_with_one_note(
    where: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    value, file, written = VALUES[name], None, name
    if where == "variable":
        written = f"PLATECHECK_{name.upper()}"
        monkeypatch.setenv(written, json.dumps(value))
    else:
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump({name: value}))
    found = getattr(load_settings(file), DEPRECATED[name])
    assert found == (tuple(value) if isinstance(value, list) else value)
    assert capsys.readouterr().err.startswith(f"{written} is deprecated; use ")


def test_deprecated_flag_overrides_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATECHECK_REQUEST_TIMEOUT", "5")
    assert load_settings(seconds=7).request_timeout == 7


@pytest.mark.parametrize("missing", ["certificate", "private_key"])
def test_serve_with_missing_certificate_or_key_names_it(tmp_path: Path, missing: str) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "private_key")}
    for name, file in files.items():
        if name != missing:
            file.write_text("PEM")
    with pytest.raises(SettingsError) as caught:
        serve(Settings(**files))
    what = f"the {missing.replace('_', ' ')} {files[missing]}"
    assert str(caught.value) == f"{what} cannot be read: No such file or directory"


def test_apikey_create_prints_a_key_and_stores_its_hash(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "keys.txt"
    created = cli("apikey", "create", "cook", "--file", file)
    aliased = cli("key", "phone", "--file", file)
    assert created.err == ""
    assert aliased.err == "platecheck key is deprecated; use platecheck apikey create\n"
    file.write_text(f"# who may ask\n\n{file.read_text()}")  # comments may be added by hand
    keys = read_keys(file)
    for name, key in (("cook", created.out.strip()), ("phone", aliased.out.strip())):
        assert key.startswith("pck_")
        assert find_key(key, keys) == name
        assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", ["", "pck_", "kitchen", "\udcff", "é" * 1000])
def test_find_key_of_unknown_key_is_none(tmp_path: Path, wrong: str) -> None:
    add_key(tmp_path / "keys.txt", "kitchen")
    keys = read_keys(tmp_path / "keys.txt")
    assert find_key(wrong, keys) is None
    assert find_key(keys["kitchen"], keys) is None  # the hash is no key


def test_add_key_with_taken_or_invalid_name_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    add_key(file, "kitchen")
    before = file.read_bytes()
    for name in ("kitchen", "two words", "", "x" * 65, "a\nb"):
        with pytest.raises(SettingsError):
            add_key(file, name)
    assert file.read_bytes() == before


def test_read_keys_of_unusable_file_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("# fine\nkitchen secret\n")
    with pytest.raises(SettingsError, match="line 2"):
        read_keys(file)
    with pytest.raises(SettingsError, match="no such key file"):
        read_keys(tmp_path / "none.txt")

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(SettingsError, match=r"keys\.txt: cannot be read: Permission denied"):
        read_keys(file)
