"""Without the service: the page starts, classifies on the device, and goes back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.proxy import under_path
from page_fixtures.service import Service
from page_fixtures.visits import (
    OTHER_HOST,
    POLL,
    Launch,
    answered,
    cached,
    choose,
    keep_model,
    photo,
    progress,
    requests,
    rows,
    verdict,
    visit,
)
from playwright.sync_api import Browser, Page, expect

from platecheck.serving.static import WEB

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))
AWAY = "The service is unreachable. This device checks the photos until it is back."


@pytest.fixture
def saved(browser: Browser, service: Service) -> Iterator[Page]:
    """The page, which has saved the model."""
    with visit(browser, service.url, offline=True) as page:
        yield page


def status(page: Page, text: str) -> None:
    expect(page.locator("#status")).to_have_text(text, timeout=20_000)


def predicted_by(page: Page, text: str) -> None:
    expect(page.locator("#predicted-by")).to_have_text(f"Checked {text}")


def reconnect(page: Page) -> None:
    page.context.set_offline(False)
    page.clock.fast_forward(POLL)
    status(page, "Connected")


@pytest.mark.slow
def test_offline_stopped_service_is_replaced_until_it_is_back(browser: Browser) -> None:
    with Service() as passing, visit(browser, passing.url, offline=True) as page:
        choose(page, DIRTY)
        answered(page)
        by_service = page.locator("#confidence").inner_text()
        passing.stop()
        page.reload()
        status(page, "On this device")
        expect(page.locator("#notice")).to_have_text(AWAY)
        choose(page, DIRTY)
        assert answered(page) == "Dirty"
        predicted_by(page, "on this device")
        assert page.locator("#confidence").inner_text() == by_service
        expect(page.locator("#boxes img")).to_be_visible()
        choose(page, CLEAN, photo("no.jpg", b"no photo"))
        progress(page, "1 photo checked, 1 failed")
        reason = "No result not a photo in a supported format"
        assert [result for _, result, _ in rows(page)] == ["Dirty", reason, "Clean"]

        passing.start()
        reconnect(page)
        expect(page.locator("#notice")).to_have_text("The service is back.")
        choose(page, *([CLEAN, DIRTY] * 8))
        expect(page.locator("#progress-text")).to_contain_text(" of 16")
        passing.stop()  # in the middle of a batch
        progress(page, "16 photos checked")
        results = [result for _, result, _ in rows(page)]
        assert results == ["Dirty"] * 9 + [reason] + ["Clean"] * 9


def test_offline_lost_network_is_noticed_and_stays_in_the_notice(saved: Page) -> None:
    saved.context.set_offline(True)
    saved.reload()
    for each in (CLEAN, DIRTY):
        choose(saved, each)
        expect(saved.locator("#photo-name")).to_have_text(each["name"])
        answered(saved)
        predicted_by(saved, "on this device")
        expect(saved.locator("#notice")).to_have_text(AWAY)
    saved.evaluate(  # as where a folder without photos is dropped
        "import('/page/announce.js').then(({ notify }) => notify('photos', () => 'No photo.'))"
    )
    expect(saved.locator("#notice")).to_have_text("No photo.")
    choose(saved, CLEAN)
    expect(saved.locator("#notice")).to_have_text(AWAY)
    reconnect(saved)
    choose(saved, DIRTY)
    predicted_by(saved, "by the service")


def test_offline_proxy_without_upstream_counts_as_unreachable(page: Page) -> None:
    for path in ("**/v1/inspect*", "**/readyz"):
        page.route(path, lambda route: route.fulfill(status=502, body="bad gateway"))
    choose(page, CLEAN)
    assert answered(page) == "Clean"
    predicted_by(page, "on this device")


def test_offline_without_the_model_explains_and_resumes(saved: Page) -> None:
    saved.evaluate(
        """async () => {
          for (const name of await caches.keys()) {
            const cache = await caches.open(name);
            await cache.delete("/v1/model");
            await cache.delete("/v1/model/file");
          }
        }"""
    )
    saved.context.set_offline(True)
    saved.reload()
    message = "The service is unreachable and the model is not on this device yet."
    status(saved, "Not connected")
    expect(saved.locator("#notice")).to_contain_text(message)
    choose(saved, CLEAN)
    expect(saved.locator("#confidence")).to_contain_text(message)
    choose(saved, CLEAN, DIRTY)
    progress(saved, "Stopped. 3 photos are not checked yet.")
    expect(saved.get_by_role("button", name="Resume")).to_be_visible()
    reconnect(saved)
    progress(saved, "3 photos checked")
    assert [result for _, result, _ in rows(saved)] == ["Dirty", "Clean", "Clean"]
    expect(saved.locator("#notice")).to_have_text("The service is back.")


def test_offline_without_service_worker_resumes_the_photo(page: Page) -> None:
    page.context.set_offline(True)
    choose(page, DIRTY)
    expect(verdict(page)).to_have_text("No result")
    status(page, "Not connected")
    expect(page.locator("#notice")).to_contain_text("the model is not on this device yet")
    reconnect(page)
    assert answered(page) == "Dirty"


def test_offline_always_on_this_device_sends_no_photo(page: Page) -> None:
    option = page.get_by_label("Always check photos on this device")
    page.get_by_role("button", name="Settings").click()
    option.check()
    page.keyboard.press("Escape")
    status(page, "On this device")
    asked = requests(page)
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    predicted_by(page, "on this device")
    choose(page, photo("IMG_1.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ""))
    expect(page.locator("#confidence")).to_contain_text(
        "this browser cannot read HEIC photos without the service", timeout=30_000
    )
    assert asked == []
    page.reload()  # the choice is remembered
    status(page, "On this device")
    page.get_by_role("button", name="Settings").click()
    option.uncheck()
    status(page, "Connected")


def test_offline_service_that_keeps_its_model(page: Page) -> None:
    model = page.evaluate("fetch('/v1/model').then((response) => response.json())")
    page.route("**/v1/model", lambda route: route.fulfill(json={**model, "offline": False}))
    page.reload()
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#offline-state")).to_have_text(
        "This service does not allow devices to store the model."
    )
    expect(page.get_by_label("Always check photos on this device")).to_be_disabled()
    page.keyboard.press("Escape")
    page.context.set_offline(True)
    choose(page, CLEAN)
    expect(page.locator("#confidence")).to_contain_text("does not allow devices to store")


def test_plain_http_has_neither_camera_nor_service_worker_but_works(
    launch: Launch, service: Service
) -> None:
    kitchen = launch(f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1")
    with visit(kitchen, service.url.replace("127.0.0.1", OTHER_HOST)) as page:
        assert not page.evaluate("isSecureContext")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Take a photo").click()
        assert chooser.value.element.get_attribute("capture") == "environment"
        chooser.value.set_files([DIRTY])  # type: ignore[list-item]
        assert answered(page) == "Dirty"
        page.get_by_role("button", name="Settings").click()
        expect(page.locator("#offline-state")).to_contain_text("Available only over HTTPS")
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name="Start watching").click()
        expect(page.locator("#watch-name")).to_contain_text("only over HTTPS")


def test_service_worker_caches_every_file_and_nothing_of_the_user(saved: Page) -> None:
    choose(saved, CLEAN, DIRTY)
    progress(saved, "2 photos checked")
    served = {
        f"/page/{path.relative_to(folder).as_posix().removesuffix('.gz')}"
        for folder in (WEB / "page", WEB / "shared")
        for path in folder.rglob("*")
        if path.suffix in (".js", ".mjs", ".css", ".svg", ".webmanifest", ".gz")
        and path.name not in ("sw.js", "ThirdPartyNotices.txt.gz")
    }
    models = {"/v1/model", "/v1/model/file", "/v1/model/dishes"}
    others = {"/", "/page/icons/icon-192.png", *models}
    assert set(cached(saved)) == served | others
    stored = "[localStorage.length, sessionStorage.length]"
    assert saved.evaluate(stored) == [0, 0]
    databases = saved.evaluate("indexedDB.databases()")
    assert [each["name"] for each in databases] == ["platecheck"]  # the record of the shift


def test_page_works_under_a_path_also_offline(browser: Browser, service: Service) -> None:
    with (
        under_path(service.url, "/dishes") as url,
        visit(browser, url, offline=True) as page,
    ):
        choose(page, DIRTY)
        assert answered(page) == "Dirty"
        assert {path.split("/")[1] for path in cached(page)} == {"dishes"}
        page.context.set_offline(True)
        page.reload()
        status(page, "On this device")
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        assert page.evaluate("document.querySelector('use').getBoundingClientRect().width") > 0


# Serves a copy of the pages, which the test changes.
COPY = """
import sys
from pathlib import Path
import platecheck.serving.static as static
static.WEB = Path(sys.argv.pop(1))
from platecheck.cli import main
main()
"""


@pytest.mark.slow
def test_service_worker_new_version_replaces_all_files(browser: Browser, tmp_path: Path) -> None:
    files = tmp_path / "web"
    shutil.copytree(WEB, files)

    def change(name: str, old: str, new: str) -> None:
        text = (files / "page" / name).read_text(encoding="utf-8")
        assert old in text
        (files / "page" / name).write_text(text.replace(old, new), encoding="utf-8")

    with (
        Service(program=("-c", COPY, str(files))) as copied,
        visit(browser, copied.url, offline=True) as page,
    ):
        before = page.evaluate("caches.keys()")
        change("index.html", "<title>platecheck</title>", "<title>x</title><i id='new'></i>")
        change("texts.js", "Are the dishes clean?", "Is it clean now?")
        copied.stop()
        copied.start()
        page.reload()  # the browser finds the new version, and the page reloads by itself
        expect(page.locator("#new")).to_be_attached(timeout=20_000)
        expect(page.locator("h1").first).to_have_text("Is it clean now?")
        after = page.evaluate("caches.keys()")
        assert len(after) == 1
        assert after != before

        # With results on the page it asks first.
        change("texts.js", "Is it clean now?", "Clean or not?")
        keep_model(page)
        copied.stop()
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        copied.start()
        page.clock.fast_forward(POLL)
        expect(page.locator("#notice")).to_contain_text("A new version", timeout=30_000)
        expect(page.locator("#answer")).to_be_visible()
        page.get_by_role("button", name="Reload").click()
        expect(page.locator("h1").first).to_have_text("Clean or not?")
