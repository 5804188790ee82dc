"""Command-line interface; one module per command or command group."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

import platecheck
from platecheck.cli import (
    audit,
    batch,
    compare,
    data,
    evaluate,
    inspect,
    model,
    predict,
    recipes,
    review,
    serve,
    train,
)
from platecheck.cli.terminal import console, escape
from platecheck.errors import PlatecheckError, RenamedWarning

app = typer.Typer(
    name="platecheck",
    help="Classify photos of dishes as clean or dirty; train, evaluate and serve models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"platecheck {platecheck.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if debug:
        os.environ["PLATECHECK_DEBUG"] = "1"


app.command("predict")(predict.predict)
app.command("inspect")(inspect.inspect)
app.command("batch")(batch.batch)
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipes")
app.command("audit")(audit.audit)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(evaluate.report)
app.command("compare")(compare.compare)
app.command("export")(model.export)
app.command("model")(model.model)
app.command("serve")(serve.serve)
app.add_typer(serve.apikey, name="apikey")
app.command("key", hidden=True)(serve.key)  # until 0.3
app.command("review")(review.review)


def main() -> None:
    """Run a command; print expected errors as one line on stderr with exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may not be valid text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RenamedWarning)
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            try:
                app()
            finally:
                # Report a full disk or closed pipe here, not during interpreter shutdown.
                if sys.stdout:
                    sys.stdout.flush()
    except (PlatecheckError, OSError) as error:
        if sys.stdout:
            # Discard unwritten output: shutdown would try to write it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # The reader closed the pipe, as in `platecheck predict … | head`.
            sys.exit(1)
        if os.environ.get("PLATECHECK_DEBUG"):
            raise
        message = str(error)
        if not isinstance(error, PlatecheckError) and error.strerror:
            message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        console(stderr=True).print(f"[bold red]error:[/] {escape(message)}")
        sys.exit(2)


def _show_warning(
    show: Callable[..., None], message: Warning | str, category: type[Warning], *more: Any
) -> None:
    if not issubclass(category, RenamedWarning):
        show(message, category, *more)
    elif os.environ.get("LOCAL_RANK", "0") == "0":  # once in a distributed training
        console(stderr=True).print(f"[yellow]note:[/] {escape(str(message))}")
