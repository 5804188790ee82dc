"""What a service can be told: by flags, by the environment (``PLATECHECK_…``), by a file."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings import SettingsError as NotJsonError

from platecheck.cpus import cpu_count
from platecheck.errors import SettingsError

MB = 2**20
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
Seconds = Annotated[float, Field(gt=0, le=86400)]


def _origin(text: str) -> str:
    """An origin as browsers write it, in lower case and without its usual port."""
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text} is not an origin, such as https://app.example")
    usual = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0], "")
    return origin.removesuffix(usual)


class Settings(BaseSettings):
    """Settings of ``platecheck serve``; a flag goes before the environment, that before a file."""

    model_config = SettingsConfigDict(env_prefix="PLATECHECK_", extra="forbid", frozen=True)

    model: Path | None = Field(None, description="an exported file, plate or tiny")
    providers: tuple[str, ...] = Field((), description="of ONNX Runtime, instead of the CPU")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    workers: int = Field(1, ge=1, le=256, description="processes that answer")
    threads: int = Field(
        default_factory=cpu_count,  # a container's limit counts, and affinity
        ge=1,
        le=1024,
        description="of each process: photos decoded and answered at a time; one a core",
    )
    batch: int = Field(
        1,
        ge=1,
        le=256,
        description="most photos given to the model at once; on a CPU one by one is fastest",
    )
    wait: Seconds = Field(1, description="most seconds that a request waits for those before it")
    queue: int = Field(256, ge=1, description="most photos waiting or under way, a process")

    photos: int = Field(32, ge=1, description="most photos a request")
    photo_bytes: int = Field(20 * MB, ge=1, description="most bytes a photo")
    request_bytes: int = Field(64 * MB, ge=1, description="most bytes a request")
    upload_bytes: int = Field(
        256 * MB, ge=1, description="most bytes of requests in memory, a process"
    )
    pixels: int = Field(2**26, ge=1, le=2**27, description="most pixels a photo")
    seconds: Seconds = Field(30, description="most seconds a request, upload included")
    idle_seconds: Seconds = Field(10, description="most seconds that a client may say nothing")

    keys: Path | None = Field(None, description="file of API keys, by platecheck key")
    without_key: bool = Field(False, description="listen beyond this machine without a key")
    certificate: Path | None = Field(None, description="PEM file: serve by HTTPS")
    private_key: Path | None = Field(None, description="PEM file that goes with the certificate")
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="web pages elsewhere that may ask (CORS)"
    )
    names: tuple[str, ...] = Field(
        (), description="more names that it goes by, as behind a proxy, on a loopback address"
    )
    offline: bool = Field(True, description="let the page keep the model, to answer offline")

    feedback: str | None = Field(None, description="keep feedback: URL of a database")
    feedback_photos: Path | None = Field(None, description="folder of the feedback's photos")
    feedback_days: int = Field(
        180, ge=1, le=36500, description="days after which feedback is deleted"
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file that the configuration names."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Settings from flags, the environment and a YAML file, in this order.

    Args:
        file: its keys are the fields of :class:`Settings`.
        flags: fields; None: not given.

    Raises:
        SettingsError: a value makes no sense, or the file cannot be read.
    """

    class _FromFile(Settings):
        model_config = SettingsConfigDict(yaml_file=file)

    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: there is no such file of settings")
    try:
        if file is not None:
            _check_mapping(file)
        return _as_settings(
            _FromFile(**{name: value for name, value in flags.items() if value is not None})
        )
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


def _check_mapping(file: Path) -> None:
    found = yaml.safe_load(file.read_bytes()) or {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError(f"{file}: not settings by their names, such as port: 8000")


def _as_settings(found: Settings) -> Settings:
    """The same of the public class, which other processes can be given."""
    fields = {name: getattr(found, name) for name in Settings.model_fields}
    return Settings.model_construct(**fields)
