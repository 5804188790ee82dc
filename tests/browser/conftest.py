"""A real service and a real Chromium for the tests of the pages."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.service import Service
from page_fixtures.visits import OTHER_HOST, Launch, Screenshot, visit
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

from tests.support.writing import write_detector

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """``platecheck serve`` with the bundled model, also under another name."""
    with Service("--allowed-host", OTHER_HOST) as running:
        yield running


@pytest.fixture(scope="session")
def racks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that finds the dishes of page_fixtures.dishes.rack: one in each of 4 × 4 cells."""
    path = write_detector(tmp_path_factory.mktemp("racks") / "cells.onnx", size=128, grid=4)
    with Service("--detector", str(path)) as running:
        yield running


# Not of the session: Playwright's event loop would forbid asyncio.run to all later tests.
@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Start Chromium with additional flags."""
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
    return launch()


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The page of the service."""
    with visit(browser, service.url) as page:
        yield page


@pytest.fixture
def screenshot() -> Screenshot:
    """Save a screenshot in $PLATECHECK_SCREENSHOTS, if that is set."""
    folder = os.environ.get("PLATECHECK_SCREENSHOTS")

    def save(page: Page, name: str, **options: bool) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", **options)

    return save


def chromium(kind: BrowserType) -> str:
    """Return the path of Chromium, which `make test` installs."""
    found = next(filter(None, map(shutil.which, NAMES)), kind.executable_path)
    assert Path(found).exists(), "Chromium is missing: sh tests/chromium.sh python"
    return found
