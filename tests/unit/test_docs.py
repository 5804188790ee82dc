"""The generated pages of the documentation are those of the code."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "name"),
    [("cli.md", "command_line"), ("recipes.md", "recipes"), ("settings.md", "settings")],
)
def test_generated_page_is_up_to_date(page: str, name: str) -> None:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == getattr(generate, name)(), f"run: python docs/generate.py ({page})"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [page.name for page in DOCS.glob("*.md") if f": {page.name}\n" not in navigation]
