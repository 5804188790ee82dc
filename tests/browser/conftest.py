"""A real service and a real Chromium for the tests of the page."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.service import Service
from page_fixtures.visits import Launch, Screenshot
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """``platecheck serve`` with the shipped model."""
    with Service() as running:
        yield running


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Start Chromium with flags of one's own."""
    with sync_playwright() as playwright:
        path = chromium(playwright.chromium)
        started = []

        def start(*flags: str) -> Browser:
            started.append(playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags]))
            return started[-1]

        yield start
        for each in started:
            each.close()


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    """Chromium."""
    return launch()


@pytest.fixture
def screenshot() -> Screenshot:
    """Keep a picture of the page in $PLATECHECK_SCREENSHOTS, if that is set."""
    folder = os.environ.get("PLATECHECK_SCREENSHOTS")

    def keep(page: Page, name: str, **options: bool) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", **options)

    return keep


def chromium(kind: BrowserType) -> str:
    """Where Chromium is; `make test` brings one."""
    found = next(filter(None, map(shutil.which, NAMES)), kind.executable_path)
    assert Path(found).exists(), (
        "no Chromium for the tests of the page: sh tests/chromium.sh python"
    )
    return found
