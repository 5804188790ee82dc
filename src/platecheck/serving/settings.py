"""What a service can be told: by flags, by the environment (``PLATECHECK_…``), by a file."""

import re
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from platecheck.cpus import cpu_count
from platecheck.errors import SettingsError

MB = 2**20
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
Seconds = Annotated[float, Field(gt=0, le=86400)]
Count = Annotated[int, Field(ge=1)]


def _origin(text: str) -> str:
    """An origin as browsers write it, in lower case and without its usual port."""
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text} is not an origin, such as https://app.example")
    usual = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0], "")
    return origin.removesuffix(usual)


def _field(panel: str, default: Any, description: str, **option: str) -> Any:
    """A field, and where and how the help of ``platecheck serve`` shows it."""
    return Field(
        default, description=description, json_schema_extra={"rich_help_panel": panel, **option}
    )


_limit = partial(_field, "Limits")
_access = partial(_field, "Who may ask")
_feedback = partial(_field, "Feedback")


class Settings(BaseModel):
    """Settings of ``platecheck serve``: its options, with _ instead of -, are made of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    model: Path | None = Field(
        None, description="An exported file, plate or tiny; plate when absent"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0: any free one")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer")
    threads: int = Field(
        default_factory=cpu_count,  # a container's limit counts, and affinity
        ge=1,
        le=1024,
        description="Photos answered at a time, a process",
    )
    batch: int = Field(1, ge=1, le=256, description="Most photos given to the model at once")
    providers: tuple[str, ...] = Field(
        (), description="Of ONNX Runtime, such as CUDAExecutionProvider"
    )
    offline: bool = Field(True, description="Let the page keep the model")

    wait: Seconds = _limit(1, "Most seconds a request waits for the photos before it")
    queue: Count = _limit(256, "Most photos waiting or under way, a process")
    photos: Count = _limit(32, "Most photos a request")
    photo_bytes: Count = _limit(20 * MB, "Most bytes a photo")
    request_bytes: Count = _limit(64 * MB, "Most bytes a request")
    upload_bytes: Count = _limit(256 * MB, "Most bytes of requests in memory, a process")
    pixels: Annotated[Count, Field(le=2**27)] = _limit(2**26, "Most pixels a photo")
    seconds: Seconds = _limit(30, "Most seconds a request, upload included")
    idle_seconds: Seconds = _limit(10, "Most seconds a client may be silent")

    keys: Path | None = _access(None, "File of API keys, by platecheck key")
    without_key: bool = _access(False, "Listen beyond this machine without one")
    certificate: Path | None = _access(None, "PEM file: serve by HTTPS")
    private_key: Path | None = _access(None, "PEM file of the certificate")
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = _access(
        (), "Web page elsewhere that may ask (CORS)"
    )
    names: tuple[str, ...] = _access((), "Host name that a proxy on this machine calls it by")

    feedback: str | None = _feedback(
        None, "Keep feedback: sqlite:///FILE or postgresql://…", metavar="URL"
    )
    feedback_photos: Path | None = _feedback(None, "Folder of its photos", metavar="DIR")
    feedback_days: Annotated[Count, Field(le=36500)] = _feedback(180, "Days until it is deleted")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.photos > self.queue:
            raise ValueError(
                f"a request of {self.photos} photos never fits a queue of {self.queue}"
            )
        if self.photo_bytes > self.request_bytes:
            raise ValueError("a photo may not have more bytes than a request")
        if self.request_bytes > self.upload_bytes:
            raise ValueError("a request may not have more bytes than all requests in memory")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if (self.feedback is None) != (self.feedback_photos is None):
            raise ValueError("feedback and feedback_photos go together")
        return self


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Settings from flags, the environment and a YAML file, in this order.

    Args:
        file: its keys are the fields of :class:`Settings`.
        flags: fields; None: not given.

    Raises:
        SettingsError: a value makes no sense, or the file cannot be read.
    """
    # The command line shows the options also where these are not installed.
    from pydantic_settings import BaseSettings, EnvSettingsSource
    from pydantic_settings import SettingsError as NotJsonError

    class Environment(BaseSettings, Settings):  # type: ignore[misc]
        pass

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = EnvSettingsSource(Environment, env_prefix="PLATECHECK_")()
        return Settings(**{**(_read(file) if file else {}), **environment, **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            close = get_close_matches(where, Settings.model_fields, 1)
            reason = f"unknown setting; {close[0]} is one" if close else "unknown setting"
        raise SettingsError(f"{where}: {reason}" if where else reason) from error
    except NotJsonError as error:  # the environment's lists; it says of which field
        names = [f"PLATECHECK_{n.upper()}" for n in Settings.model_fields if f'"{n}"' in str(error)]
        raise SettingsError(f'{names[0]}: not a JSON list, such as \'["one", "two"]\'') from error
    except RecursionError as error:
        raise SettingsError(f"{file or 'settings'}: too many brackets within brackets") from error
    except (yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{file or 'settings'}: {' '.join(str(error).split())}") from error


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SettingsError(f"{file}: there is no such file of settings")
    found = yaml.safe_load(file.read_bytes()) or {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError(f"{file}: not settings by their names, such as port: 8000")
    return found
