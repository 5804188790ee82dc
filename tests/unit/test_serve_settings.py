"""Settings: flags before the environment before a file, and what makes no sense is refused."""

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from platecheck.cli import app
from platecheck.errors import SettingsError
from platecheck.serving.server import serve
from platecheck.serving.settings import DEPRECATED, MB, Settings, flag_name, load_settings


def test_a_flag_goes_before_the_environment_before_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("port: 1\nqueue: 100\nhost: '::1'\n")
    monkeypatch.setenv("PLATECHECK_PORT", "2")
    monkeypatch.setenv("PLATECHECK_QUEUE", "200")
    found = load_settings(file, port=3, queue=None)
    assert (found.port, found.queue, found.host) == (3, 200, "::1")
    assert found.threads >= 1
    assert pickle.loads(pickle.dumps(found)) == found  # it is sent to the workers


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
        ("request_timeout: 0", "request_timeout"),
        ("max_queue_delay: 0", "max_queue_delay"),
        ("request_timeout: .inf", "request_timeout"),
        ("idle_timeout: 1.0e+300", "idle_timeout"),
        ("max_queue_delay: .nan", "max_queue_delay"),
        ("1: 2", "not a mapping of settings"),
        ("port", "not a mapping of settings"),
        ("port: " + "[" * 3000, "nested too deeply"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is set as Linux does")
def test_there_are_as_many_threads_as_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert Settings().threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example/", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, meant: str) -> None:
    assert load_settings(cors_origins=[given]).cors_origins == (meant,)


@pytest.mark.parametrize(
    "wrong",
    ["*", "null", "", "app.example", "https://", "https://app.example/page", "https://*.example",
     "https://a@app.example", "https://app.example:port", "https://app.example\n"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="not an origin, such as https://"):
        load_settings(cors_origins=[wrong])


def test_a_list_in_the_environment_that_is_no_json_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLATECHECK_CORS_ORIGINS", "https://app.example")
    with pytest.raises(SettingsError, match=r"^PLATECHECK_CORS_ORIGINS: not a JSON list, such as"):
        load_settings()
    monkeypatch.setenv("PLATECHECK_CORS_ORIGINS", '["https://app.example"]')
    assert load_settings().cors_origins == ("https://app.example",)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        load_settings(tmp_path / "none.yaml")


VALUES: dict[str, Any] = {
    "wait": 3, "photos": 3, "photo_bytes": 1000, "request_bytes": 30_000_000,
    "upload_bytes": 90_000_000, "pixels": 3, "seconds": 3, "idle_seconds": 3, "without_key": True,
    "origins": ["https://a.example"], "names": ["a.example"],
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), DEPRECATED.items())
@pytest.mark.parametrize("where", ["flag", "variable", "file"])
def test_a_deprecated_setting_works_with_one_note_on_stderr(
    where: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    value, file, flags, style = VALUES[old], None, {}, str
    if where == "flag":
        flags, style = {old: value}, flag_name
    elif where == "variable":
        style = lambda name: f"PLATECHECK_{name.upper()}"  # noqa: E731
        monkeypatch.setenv(style(old), json.dumps(value))
    else:
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump({old: value}))
    found = getattr(load_settings(file, **flags), new)
    assert found == (tuple(value) if isinstance(value, list) else value)
    assert capsys.readouterr().err == f"{style(old)} is deprecated; use {style(new)}\n"


@pytest.mark.parametrize(("old", "new"), DEPRECATED.items())
def test_a_deprecated_flag_is_hidden_and_passed_on(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platecheck.serving.feedback_service.open_feedback", lambda _: None)
    seen: list[Settings] = []
    monkeypatch.setattr("platecheck.serving.server.serve", lambda s, on_ready: seen.append(s))
    (value,) = VALUES[old] if isinstance(VALUES[old], list) else [VALUES[old]]
    given = [flag_name(old), *([] if value is True else [str(value)])]
    done = CliRunner().invoke(app, ["serve", *given])
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    assert f"{flag_name(old)} is deprecated; use {flag_name(new)}" in done.stderr
    assert f"{flag_name(old)} " not in shown
    assert done.exit_code == 0
    assert len(seen) == 1


def test_an_old_flag_overrides_a_new_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATECHECK_REQUEST_TIMEOUT", "5")
    assert load_settings(seconds=7).request_timeout == 7


def test_the_key_command_is_a_deprecated_alias(tmp_path: Path) -> None:
    runner, file = CliRunner(), str(tmp_path / "keys.txt")
    created = runner.invoke(app, ["apikey", "create", "cook", "--file", file])
    aliased = runner.invoke(app, ["key", "phone", "--file", file])
    assert created.stdout.startswith("pck_")
    assert aliased.stdout.startswith("pck_")
    assert (created.stderr, aliased.stderr) == (
        "",
        "platecheck key is deprecated; use platecheck apikey create\n",
    )


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_a_flag_that_tells_its_default(name: str) -> None:
    (option,) = (
        each
        for each in get_command(app).commands["serve"].params  # type: ignore[attr-defined]
        if flag_name(name) in each.opts
    )
    default = Settings.model_fields[name].default
    if default and name not in {"threads"}:
        assert f"[{_written(name, default)}]" in option.help


def test_help_shows_the_defaults_and_takes_none_for_markup() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    assert all(f"[{default}]" in shown for default in ("one per core", "yes", "info", "256"))


def _written(name: str, default: Any) -> str:
    if default is True:
        return "yes"
    return f"{default // MB} MB" if name.endswith("_bytes") else str(default)


@pytest.mark.parametrize("missing", ["certificate", "private_key"])
def test_certificate_or_key_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "private_key")}
    for name, file in files.items():
        if name != missing:
            file.write_text("PEM")
    with pytest.raises(SettingsError) as caught:
        serve(Settings(**files))
    what = f"the {missing.replace('_', ' ')} {files[missing]}"
    assert str(caught.value) == f"{what} cannot be read: No such file or directory"


def test_keys_that_may_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.txt"
    file.touch()

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(SettingsError, match=r"keys\.txt: cannot be read: Permission denied"):
        serve(Settings(keys=file))
