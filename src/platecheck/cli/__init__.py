"""The command line: parses, calls, prints. One file per group of commands."""

import io
import os
import sys
from typing import Annotated

import typer

import platecheck
from platecheck.cli import (
    audit,
    batch,
    compare,
    data,
    evaluate,
    model,
    predict,
    recipes,
    review,
    serve,
    train,
)
from platecheck.cli.terminal import shown, terminal
from platecheck.errors import PlatecheckError

app = typer.Typer(
    name="platecheck",
    help="Tells clean dishes from dirty ones, and looks at the dish, not at the table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"platecheck {platecheck.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    if debug:
        os.environ["PLATECHECK_DEBUG"] = "1"


app.command("predict")(predict.predict)
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
    """Run a command; a user's mistake becomes one line on stderr and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text at all
    try:
        try:
            app()
        finally:
            # Here, not as Python ends, is where a full disk or a closed pipe must show.
            if sys.stdout:
                sys.stdout.flush()
    except (PlatecheckError, OSError) as error:
        if sys.stdout:
            # What cannot be written is not to be tried again as Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has seen enough: `platecheck predict … | head`.
            sys.exit(1)
        if os.environ.get("PLATECHECK_DEBUG"):
            raise
        message = str(error)
        if not isinstance(error, PlatecheckError) and error.strerror:
            message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        terminal(stderr=True).print(f"[bold red]error:[/] {shown(message)}")
        sys.exit(2)
