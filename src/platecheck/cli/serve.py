"""``platecheck serve`` and ``platecheck key``."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer
from pydantic.fields import FieldInfo

from platecheck.cli.models import complete_model
from platecheck.cli.terminal import console, escape
from platecheck.errors import MissingExtraError
from platecheck.serving.settings import MB, Settings, load_settings


def serve(
    *,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of these options, with _ instead of -.")
    ] = None,
    **flags: Any,
) -> None:
    """Open the page at / and the service at /v1 (see /docs).

    Each option can also be set in the environment, as PLATECHECK_PORT for --port, or in a file.

    A flag goes before the environment, and the environment before the file.
    """
    try:
        from platecheck.serving.feedback_service import open_feedback
        from platecheck.serving.server import serve as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("The service", "serve") from error

    stdout = console()

    def say(url: str) -> None:
        stdout.print(f"platecheck answers at [bold]{escape(url)}[/]")
        stdout.print("Open it in a browser. For machines: /docs. Ctrl+C stops it.")

    given = {name: flags[_flag(name)] for name in Settings.model_fields}
    chosen = load_settings(settings, **{n: value for n, value in given.items() if value != []})
    if store := open_feedback(chosen):  # what is wrong with it must show before it is served
        store.close()
    run(chosen, on_ready=say)


def _flag(name: str) -> str:
    """What a setting is called where it can be given several times: each time for one."""
    several = get_origin(Settings.model_fields[name].annotation) is tuple
    return name.removesuffix("s") if several else name


def _options() -> Iterator[inspect.Parameter]:
    for name, field in Settings.model_fields.items():
        kind: Any = {tuple: list[str], Literal: str}.get(
            get_origin(field.annotation), field.annotation
        )
        extra: Any = field.json_schema_extra or {}
        option = typer.Option(
            *(["--without-key"] if field.default is False else []),
            help=f"{field.description}{_default(name, field)}.".replace("….", "…"),
            autocompletion=complete_model if name == "model" else None,
            **extra,
        )
        yield inspect.Parameter(
            _flag(name),
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )


def _default(name: str, field: FieldInfo) -> str:
    default: Any = "one a core" if field.default_factory else field.default
    if not default:
        return ""
    if name.endswith("_bytes"):
        default = f"{default // MB} MB"
    return escape(f" [{'yes' if default is True else default}]")


# What typer makes the command line of.
_own = inspect.signature(serve).parameters["settings"]
serve.__signature__ = inspect.Signature([*_options(), _own])  # type: ignore[attr-defined]


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    file: Annotated[Path, typer.Option(help="File that keeps its hash.")] = Path("keys.txt"),
) -> None:
    """Make an API key for platecheck serve --keys FILE.

    It is printed once; only its hash is kept.
    """
    from platecheck.serving.keys import add_key

    print(add_key(file, name))
