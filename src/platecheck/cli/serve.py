"""``platecheck serve`` and ``platecheck apikey``."""

import inspect
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer

from platecheck.cli.options import complete_detector, complete_model
from platecheck.cli.terminal import escape, print_url
from platecheck.errors import MissingExtraError, warn_renamed
from platecheck.serving.settings import DEPRECATED, FLAGS, Settings, flag_name, load_settings

COMPLETIONS = {"model": complete_model, "detector": complete_detector}

apikey = typer.Typer(help="Manage API keys.", no_args_is_help=True)


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings.", metavar="FILE")
    ] = None,
    settings: Annotated[Path | None, typer.Option(hidden=True)] = None,
    **flags: Any,
) -> None:
    """Serve predictions over HTTP, with a web page.

    All settings can also be set by an environment variable (PLATECHECK_PORT for --port) or in the
    configuration file (port: 8000). Flags override the environment, which overrides the file. More
    settings: docs/settings.md.
    """
    try:
        from platecheck.serving.feedback_service import open_feedback
        from platecheck.serving.server import serve as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("The service", "serve") from error

    if settings:
        warn_renamed("--settings", "--config")
    given = {name: flags[_parameter(name)] for name in (*Settings.model_fields, *DEPRECATED)}
    given = {name: value for name, value in given.items() if value != []}
    chosen = load_settings(config or settings, **given)
    if store := open_feedback(chosen):  # fail before listening if the store cannot be used
        store.close()
    run(chosen, on_ready=partial(print_url, hint="API documentation: /docs."))


def _parameter(name: str) -> str:
    return flag_name(name).removeprefix("--").replace("-", "_")


def _options() -> Iterator[inspect.Parameter]:
    names = {name: name for name in Settings.model_fields} | DEPRECATED
    for name, current in names.items():
        field = Settings.model_fields[current]
        kind: Any = {tuple: list[str], Literal: str}.get(
            get_origin(field.annotation), field.annotation
        )
        default = f" [{field.default}]" if field.default else ""
        option = typer.Option(
            *([flag_name(name)] if field.default is False else []),
            help=f"{field.description}{escape(default)}.".replace("….", "…"),
            autocompletion=COMPLETIONS.get(name),
            hidden=name not in FLAGS,
        )
        yield inspect.Parameter(
            _parameter(name),
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )


# Typer builds the options from the signature.
_own = inspect.signature(serve).parameters
serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [*_options(), _own["config"], _own["settings"]]
)

Name = Annotated[str, typer.Argument(help="Name of the key, as it appears in logs.")]
File = Annotated[Path, typer.Option(help="File that stores the hashes of keys.")]


@apikey.command("create")
def create_key(name: Name, file: File = Path("keys.txt")) -> None:
    """Create an API key for platecheck serve --keys FILE.

    The key is printed once; the file stores only its hash.
    """
    from platecheck.serving.keys import add_key

    print(add_key(file, name))


def key(name: Name, file: File = Path("keys.txt")) -> None:
    """Create an API key (deprecated: use platecheck apikey create)."""
    print("platecheck key is deprecated; use platecheck apikey create", file=sys.stderr)
    create_key(name, file)
