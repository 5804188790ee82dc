"""``platecheck serve`` and ``platecheck key``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from platecheck.cli.models import complete_model
from platecheck.cli.terminal import shown, terminal
from platecheck.errors import MissingExtraError

LIMITS, ACCESS, FEEDBACK = "Limits", "Who may ask", "Feedback"


def serve(
    model: Annotated[
        Path | None,
        typer.Option(
            help="An exported file, plate or tiny; plate when absent.",
            autocompletion=complete_model,
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any free one [8000].")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer [1].")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Photos answered at a time, a process \\[one a core].")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Most photos given to the model at once [1].")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Of ONNX Runtime, such as CUDAExecutionProvider.")
    ] = None,
    offline: Annotated[
        bool | None,
        typer.Option("--offline/--no-offline", help="Let the page keep the model \\[yes]."),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            help="Most seconds a request waits for the photos before it [1].",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    queue: Annotated[
        int | None,
        typer.Option(
            help="Most photos waiting or under way, a process [256].", rich_help_panel=LIMITS
        ),
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="Most photos a request [32].", rich_help_panel=LIMITS)
    ] = None,
    photo_bytes: Annotated[
        int | None, typer.Option(help="Most bytes a photo [20 MB].", rich_help_panel=LIMITS)
    ] = None,
    request_bytes: Annotated[
        int | None, typer.Option(help="Most bytes a request [64 MB].", rich_help_panel=LIMITS)
    ] = None,
    upload_bytes: Annotated[
        int | None,
        typer.Option(
            help="Most bytes of requests in memory, a process [256 MB].", rich_help_panel=LIMITS
        ),
    ] = None,
    pixels: Annotated[
        int | None, typer.Option(help="Most pixels a photo [67108864].", rich_help_panel=LIMITS)
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Most seconds a request, upload included [30].", rich_help_panel=LIMITS),
    ] = None,
    idle_seconds: Annotated[
        float | None,
        typer.Option(help="Most seconds a client may be silent [10].", rich_help_panel=LIMITS),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys, by platecheck key.", rich_help_panel=ACCESS),
    ] = None,
    without_key: Annotated[
        bool | None,
        typer.Option(
            "--without-key", help="Listen beyond this machine without one.", rich_help_panel=ACCESS
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM file: serve by HTTPS.", rich_help_panel=ACCESS),
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate.", rich_help_panel=ACCESS)
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Web page elsewhere that may ask (CORS).", rich_help_panel=ACCESS),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that a proxy on this machine calls it by.", rich_help_panel=ACCESS
        ),
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep feedback: sqlite:///FILE or postgresql://…",
            rich_help_panel=FEEDBACK,
        ),
    ] = None,
    feedback_photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of its photos.", rich_help_panel=FEEDBACK),
    ] = None,
    feedback_days: Annotated[
        int | None, typer.Option(help="Days until it is deleted [180].", rich_help_panel=FEEDBACK)
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error \\[info].")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of these options, with _ instead of -.")
    ] = None,
) -> None:
    """Open the page at / and the service at /v1 (see /docs).

    Each option can also be set in the environment, as PLATECHECK_PORT for --port, or in a file.

    A flag goes before the environment, and the environment before the file.
    """
    try:
        from platecheck.serving.keeper import open_feedback
        from platecheck.serving.server import serve as run
        from platecheck.serving.settings import load_settings
    except ModuleNotFoundError as error:
        raise MissingExtraError("The service", "serve") from error

    flags: dict[str, Any] = {
        "model": model,
        "providers": provider or None,
        "host": host,
        "port": port,
        "workers": workers,
        "threads": threads,
        "batch": batch,
        "wait": wait,
        "queue": queue,
        "photos": photos,
        "photo_bytes": photo_bytes,
        "request_bytes": request_bytes,
        "upload_bytes": upload_bytes,
        "pixels": pixels,
        "seconds": seconds,
        "idle_seconds": idle_seconds,
        "keys": keys,
        "without_key": without_key,
        "certificate": certificate,
        "private_key": private_key,
        "origins": origin or None,
        "names": name or None,
        "offline": offline,
        "feedback": feedback,
        "feedback_photos": feedback_photos,
        "feedback_days": feedback_days,
        "log_level": log_level,
    }
    console = terminal()

    def say(url: str) -> None:
        console.print(f"platecheck answers at [bold]{shown(url)}[/]")
        console.print("Open it in a browser. For machines: /docs. Ctrl+C stops it.")

    chosen = load_settings(settings, **flags)
    if store := open_feedback(chosen):  # what is wrong with it must show before it is served
        store.close()
    run(chosen, on_ready=say)


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    file: Annotated[Path, typer.Option(help="File that keeps its hash.")] = Path("keys.txt"),
) -> None:
    """Make an API key for platecheck serve --keys FILE.

    It is printed once; only its hash is kept.
    """
    from platecheck.serving.keys import add_key

    print(add_key(file, name))
