"""Settings of the service, read from flags, ``PLATECHECK_…`` variables and a YAML file."""

import ipaddress
import re
import socket
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from platecheck.cpus import cpu_count
from platecheck.errors import SettingsError

MB = 2**20
ENV_PREFIX = "PLATECHECK_"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
Seconds = Annotated[float, Field(gt=0, le=86400)]
Count = Annotated[int, Field(ge=1)]

# Settings with a flag; the flags of all others are deprecated and accepted until 0.3.
FLAGS = ("model", "detector", "host", "port", "keys", "no_auth", "workers", "feedback")

# Old name -> new name; accepted with a note on stderr until 0.3.
DEPRECATED = {
    "wait": "max_queue_delay",
    "photos": "max_photos",
    "photo_bytes": "max_photo_bytes",
    "request_bytes": "max_request_bytes",
    "upload_bytes": "max_upload_bytes",
    "pixels": "max_pixels",
    "seconds": "request_timeout",
    "idle_seconds": "idle_timeout",
    "without_key": "no_auth",
    "origins": "cors_origins",
    "names": "allowed_hosts",
}


def _origin(text: str) -> str:
    """Normalize an origin as browsers do: lower case, without the default port."""
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text} is not an origin, such as https://app.example")
    default_port = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0], "")
    return origin.removesuffix(default_port)


class Settings(BaseModel):
    """Settings of the service.

    The options of ``platecheck serve`` and docs/settings.md are generated from them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    model: Path | None = Field(
        None, description="Exported model file, or a bundled model: plate (default), mobile, tiny"
    )
    detector: Path | None = Field(
        None, description="Detector file for /v1/inspect, or the bundled one: dishes (default)"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, description="Port to listen on; 0 picks a free one", ge=0, le=65535)
    workers: int = Field(1, description="Worker processes", ge=1, le=256)
    threads: int = Field(  # by default as many as CPU affinity and container limits allow
        default_factory=cpu_count, ge=1, le=1024, description="Inference threads per worker"
    )
    batch: int = Field(1, description="Maximum batch size", ge=1, le=256)
    providers: tuple[str, ...] = Field(
        (), description="ONNX Runtime execution providers, such as CUDAExecutionProvider"
    )
    offline: bool = Field(True, description="Let browsers download the model to predict offline")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Log level: debug, info, warning or error"
    )

    max_queue_delay: Seconds = Field(1, description="Maximum seconds a request waits in the queue")
    queue: Count = Field(256, description="Maximum photos queued or in flight per worker")
    max_photos: Count = Field(32, description="Maximum photos per request")
    max_photo_bytes: Count = Field(20 * MB, description="Maximum bytes per photo")
    max_request_bytes: Count = Field(64 * MB, description="Maximum bytes per request")
    max_upload_bytes: Count = Field(
        256 * MB, description="Maximum bytes of uploads in memory per worker"
    )
    max_pixels: Annotated[Count, Field(le=2**27)] = Field(
        2**26, description="Maximum pixels per photo"
    )
    request_timeout: Seconds = Field(
        30, description="Seconds until a request times out, upload included"
    )
    idle_timeout: Seconds = Field(
        10, description="Seconds until a stalled upload or reader, or an idle connection, is closed"
    )

    keys: Path | None = Field(None, description="File of API keys; see platecheck apikey create")
    no_auth: bool = Field(False, description="Allow a public address without API keys")
    certificate: Path | None = Field(None, description="TLS certificate (PEM file)")
    private_key: Path | None = Field(None, description="TLS private key (PEM file)")
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="Origins that may call the API from a browser (CORS)"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names accepted from a proxy on this machine"
    )

    feedback: str | None = Field(
        None, description="Database for feedback: sqlite:///FILE or postgresql://…"
    )
    feedback_photos: Path | None = Field(
        None, description="Photo folder of a feedback database of version 0.1, to import"
    )
    feedback_days: Annotated[Count, Field(le=36500)] = Field(
        180, description="Days to retain feedback"
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.max_photos > self.queue:
            raise ValueError(f"max_photos ({self.max_photos}) must not exceed queue ({self.queue})")
        if self.max_photo_bytes > self.max_request_bytes:
            raise ValueError("max_photo_bytes must not exceed max_request_bytes")
        if self.max_request_bytes > self.max_upload_bytes:
            raise ValueError("max_request_bytes must not exceed max_upload_bytes")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key must be set together")
        if self.feedback_photos and not self.feedback:
            raise ValueError("feedback_photos requires feedback, its database")
        return self


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Load settings; flags (unless None) override the environment, which overrides the YAML file.

    Raises:
        SettingsError: A value is invalid, or the file cannot be read.
    """
    # Imported here so that `platecheck --help` works without the serve extra.
    from pydantic_settings import BaseSettings, EnvSettingsSource
    from pydantic_settings import SettingsError as NotJsonError

    class Environment(BaseSettings, Settings):  # type: ignore[misc]
        pass

    given = {name: value for name, value in flags.items() if value is not None}
    for name in given.keys() - DEPRECATED.keys() - set(FLAGS):
        _warn(flag_name(name), name)
    given = _rename_deprecated(given, flag_name)
    try:
        source = EnvSettingsSource(Environment, env_prefix=ENV_PREFIX)
        source.env_vars = _rename_deprecated(source.env_vars, variable_name, ENV_PREFIX.lower())
        content = _rename_deprecated(_read(file), str) if file else {}
        return Settings(**{**content, **source(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            close = get_close_matches(where, Settings.model_fields, 1)
            reason = f"unknown setting; did you mean {close[0]}?" if close else "unknown setting"
        raise SettingsError(f"{where}: {reason}" if where else reason) from error
    except NotJsonError as error:  # raised for lists in the environment; names the field only
        names = [variable_name(name) for name in Settings.model_fields if f'"{name}"' in str(error)]
        raise SettingsError(f'{names[0]}: not a JSON list, such as \'["one", "two"]\'') from error
    except RecursionError as error:
        raise SettingsError(f"{file or 'settings'}: nested too deeply") from error
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{file or 'settings'}: {' '.join(str(error).split())}") from error


def flag_name(name: str) -> str:
    """Return the flag of a setting; repeatable flags are in the singular."""
    several = get_origin(Settings.model_fields[DEPRECATED.get(name, name)].annotation) is tuple
    return f"--{name.removesuffix('s') if several else name}".replace("_", "-")


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENV_PREFIX}{name.upper()}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    return all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        for *_, address in resolve(host, 0)
    )


def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return the addresses to listen on, as `socket.getaddrinfo` does."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{host}: no such address to listen on") from error


def _rename_deprecated(
    values: Mapping[str, Any], display: Callable[[str], str], prefix: str = ""
) -> dict[str, Any]:
    """Give deprecated settings their new names, with a note on stderr for each.

    Keys of `values` have `prefix`; `display` formats a setting name as the user wrote it.
    """
    renamed = dict(values)
    for old, new in DEPRECATED.items():
        if prefix + old in renamed:
            value = renamed.pop(prefix + old)
            renamed.setdefault(prefix + new, value)
            _warn(display(old), new)
    return renamed


def _warn(written: str, name: str) -> None:
    new = flag_name(name) if name in FLAGS else f"{variable_name(name)} or {name} in --config FILE"
    print(f"{written} is deprecated; use {new}", file=sys.stderr)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SettingsError(f"{file}: no such settings file")
    import yaml  # only where a command reads settings

    try:
        found = yaml.safe_load(file.read_bytes()) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError(f"{file}: not a mapping of settings, such as port: 8000")
    return found
