"""Write the reference pages that are generated: ``python docs/generate.py``.

docs/cli.md comes from the commands themselves, docs/recipes.md from the recipes and their schema,
docs/settings.md from the settings of the service. A test compares them with the files.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from platecheck.cli import app
from platecheck.serving.settings import FLAGS, MB, Settings, flag_name, variable_name
from platecheck.training.recipe import Recipe, bundled_recipes, load_recipe

DOCS = Path(__file__).parent


def command_line() -> str:
    """Return the reference of all commands, in Markdown."""
    command = [sys.executable, "-m", "typer", "platecheck.cli", "utils", "docs"]
    made = subprocess.run(
        [*command, "--name", "platecheck", "--title", "Command line"],
        check=True,
        capture_output=True,
        text=True,
    )
    head, *sections = re.split(r"(?m)^(?=##+ `)", made.stdout)
    hidden = tuple(f"`{name}`" for name in _hidden("platecheck", typer.main.get_command(app)))
    shown = [text for text in sections if not text.lstrip("# ").startswith(hidden)]
    return "".join([head, *shown]).rstrip() + "\n"


def _hidden(name: str, command: typer.core.TyperCommand | typer.core.TyperGroup) -> Iterator[str]:
    if command.hidden:
        yield name
    for inner in getattr(command, "commands", {}).values():
        yield from _hidden(f"{name} {inner.name}", inner)


def recipes() -> str:
    """Return the bundled recipes and all keys of a recipe, in Markdown."""
    schema = Recipe.model_json_schema()
    lines = [
        "# Recipes",
        "",
        "A recipe is one YAML file that describes a whole experiment, apart from photos and seed.",
        "`platecheck recipes show NAME` prints one with every default written out.",
        "",
        "| recipe | what it trains |",
        "|---|---|",
        *(f"| `{name}` | {load_recipe(name).summary} |" for name in bundled_recipes()),
        "",
        *_section("Top-level keys", schema, schema["$defs"]),
    ]
    for name, part in schema["$defs"].items():
        lines += ["", *_section(name, part, schema["$defs"])]
    return "\n".join(lines) + "\n"


def _section(title: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    if title in parts:
        yield from [part["description"].replace("``", "`"), ""]
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for key, field in part["properties"].items():
        required = key in part.get("required", ())
        default = "required" if required else f"`{field.get('default')}`"
        yield f"| `{key}` | {_type(field)} | {default} | {field.get('description', '')} |"


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(kind) for kind in field["anyOf"] if kind.get("type") != "null")
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "items" in field:
        return f"list of {_type(field['items'])}"
    if field["type"] == "array":
        return ", ".join(_type(item) for item in field["prefixItems"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]}" for name, sign in signs.items() if name in field]
    return " ".join([field["type"], ", ".join(limits)]).strip()


def settings() -> str:
    """Return all settings of the service, in Markdown."""
    lines = [
        "# Settings of the service",
        "",
        "Set each by an environment variable or in a YAML file (`platecheck serve --config FILE`);",
        "the most common ones are also flags. Precedence: flags, then environment, then file. An",
        "invalid value, or an unknown key of the file, is one line on stderr and exit code 2. A",
        "misspelled variable is ignored: other programs also set variables that begin with",
        "`PLATECHECK_`.",
        "",
        "| file | environment | flag | default | |",
        "|---|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "one per core" if field.default_factory else field.default
        if name.endswith("_bytes"):
            default = f"{field.default // MB} MB"
        elif isinstance(default, bool):
            default = str(default).lower()
        lines.append(
            f"| `{name}` | `{variable_name(name)}` |"
            f" {f'`{flag_name(name)}`' if name in FLAGS else ''} |"
            f" {default or 'none'} | {field.description} |"
        )
    lines += [
        "",
        "In the environment, a list is JSON:",
        "`PLATECHECK_CORS_ORIGINS='[\"https://app.example\"]'`. The flags that the other settings",
        "had in version 0.1 are accepted with a warning until 0.3.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(settings(), encoding="utf-8")
    (DOCS / "cli.md").write_text(command_line(), encoding="utf-8")
    (DOCS / "recipes.md").write_text(recipes(), encoding="utf-8")
