"""The page in WebKit, the engine of Safari and so of every browser on an iPhone."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service as Driver
from selenium.webdriver.webkitgtk.webdriver import WebDriver

DRIVER, DISPLAY = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
# WebKitGTK's own small browser, which is not on the path.
BROWSERS = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4*/MiniBrowser"))

pytestmark = pytest.mark.skipif(
    not (DRIVER and DISPLAY and BROWSERS), reason="no WebKit: sh tests/webkit.sh brings it"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    assert DISPLAY
    read, write = os.pipe()
    with subprocess.Popen(
        [DISPLAY, "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    ) as screen:
        os.close(write)
        with os.fdopen(read) as ready:
            yield f":{ready.readline().strip()}"
        screen.terminate()


@pytest.fixture
def browser(display: str) -> Iterator[WebDriver]:
    options = Options()
    options.binary_location = str(BROWSERS[-1])
    options.add_argument("--automation")
    driver = Driver(DRIVER, env={**os.environ, "DISPLAY": display})
    with webdriver.WebKitGTK(options=options, service=driver) as started:
        started.set_window_size(430, 932)
        started.set_script_timeout(30)
        yield started


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(dish(number)))
    return paths


def until(browser: WebDriver, holds: Callable[[], bool]) -> None:
    WebDriverWait(browser, 60).until(lambda _: holds())


def text(browser: WebDriver, selector: str) -> str:
    """In one step, since what is there may be replaced at any time."""
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return str(browser.execute_script(script, selector))


def open_page(browser: WebDriver, url: str, where: str) -> None:
    browser.get(url)
    until(browser, lambda: text(browser, "#status") == where)


def choose(browser: WebDriver, photos: list[Path]) -> None:
    browser.find_element(By.ID, "files").send_keys("\n".join(map(str, photos)))


def rows(browser: WebDriver) -> list[str]:
    script = "return [...document.querySelectorAll('#session-rows .badge')].map((e) => e.innerText)"
    return [str(each) for each in browser.execute_script(script)]


def test_a_photo_and_its_map(browser: WebDriver, service: Service, photos: list[Path]) -> None:
    open_page(browser, service.url, "Connected")
    choose(browser, photos[1:2])
    until(browser, lambda: text(browser, "#predicted-by") == "Checked by the service")
    assert text(browser, "#verdict-name") == "Dirty"
    boxes = browser.execute_script(
        """return ["#photo", "#boxes img", ".answer .stack"].map((each) => {
          const { x, y, width, height } = document.querySelector(each).getBoundingClientRect();
          return [x, y, width, height];
        });"""
    )
    assert boxes[0] == boxes[1] == boxes[2]
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_without_the_service_the_device_answers(browser: WebDriver, photos: list[Path]) -> None:
    with Service() as passing:
        open_page(browser, passing.url, "Connected")
        choose(browser, photos)
        until(browser, lambda: rows(browser) == ["Dirty"] * 2 + ["Clean"] * 2)
        kept = """const done = arguments[0];
            (async () => {
              for (const name of await caches.keys()) {
                if (await (await caches.open(name)).match("/v1/model/file")) return done(true);
              }
              done(false);
            })();"""
        until(browser, lambda: bool(browser.execute_async_script(kept)))
        passing.stop()
        open_page(browser, passing.url, "On this device")
        choose(browser, photos)
        until(browser, lambda: rows(browser) == ["Dirty"] * 2 + ["Clean"] * 2)
        assert "failed" not in text(browser, "#progress-text")
