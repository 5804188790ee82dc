"""Without the service: the page starts, answers on the device, and goes back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import (
    Launch,
    answered,
    choose,
    photo,
    rows,
    verdict,
    visit,
    watch,
)
from playwright.sync_api import Browser, Page, expect

from platecheck.serving.static import PAGE

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))
AWAY = "The service is unreachable. This device checks the photos until it is back."


@pytest.fixture(scope="module")
def stoppable() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def passing(stoppable: Service) -> Service:
    """A service that may be stopped."""
    stoppable.start()
    return stoppable


def keep_model(page: Page) -> None:
    """Wait until the model is on the device."""
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#offline-state")).to_have_text(
        "Ready: this page also works when the service is unreachable.", timeout=30_000
    )
    page.keyboard.press("Escape")


def test_an_installed_page_starts_and_answers_without_the_service(
    browser: Browser, passing: Service
) -> None:
    with visit(browser, passing.url) as page:
        keep_model(page)
        choose(page, DIRTY)
        answered(page)
        by_service = page.locator("#confidence").inner_text()
        passing.stop()
        page.reload()
        expect(page.locator("#status")).to_have_text("On this device")
        expect(page.locator("#notice")).to_have_text(AWAY)
        choose(page, DIRTY)
        assert answered(page) == "Dirty"
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
        assert page.locator("#confidence").inner_text() == by_service
        expect(page.locator("#photo-map")).to_be_visible()

        choose(page, CLEAN, DIRTY, photo("no.jpg", b"no photo"))
        expect(page.locator("#progress-text")).to_have_text(
            "2 photos checked, 1 failed", timeout=20_000
        )
        assert [answer for _, answer, _ in rows(page)] == [
            "Dirty", "Clean", "Dirty",
            "No result not a photo in a supported format",
        ]  # fmt: skip

        passing.start()
        expect(page.locator("#status")).to_have_text("Connected", timeout=20_000)
        expect(page.locator("#notice")).to_have_text("The service is back.")
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        expect(page.locator("#predicted-by")).to_have_text("Checked by the service")


def test_a_network_that_is_gone_for_the_browser_too(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        keep_model(page)
        page.context.set_offline(True)
        page.reload()
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
        page.context.set_offline(False)
        expect(page.locator("#status")).to_have_text("Connected", timeout=20_000)


def test_a_photo_is_answered_though_the_service_goes_away_in_the_middle(
    browser: Browser, passing: Service
) -> None:
    with visit(browser, passing.url) as page:
        keep_model(page)
        choose(page, *([CLEAN, DIRTY] * 15))
        expect(page.locator("#progress-text")).to_contain_text(" of 30")
        passing.stop()
        expect(page.locator("#progress-text")).to_have_text("30 photos checked", timeout=120_000)
        assert [answer for _, answer, _ in rows(page)] == ["Clean", "Dirty"] * 15


def test_a_service_that_is_stopping_is_left_for_the_device(
    browser: Browser, service: Service
) -> None:
    with visit(browser, service.url) as page:
        keep_model(page)
        page.route("**/v1/predict*", lambda route: route.fulfill(status=502, body="bad gateway"))
        page.route("**/readyz", lambda route: route.fulfill(status=502, body="bad gateway"))
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")


def test_before_the_model_is_kept_the_page_says_what_is_missing(
    browser: Browser, passing: Service
) -> None:
    with visit(browser, passing.url) as page:
        keep_model(page)
        passing.stop()
        page.evaluate(
            """async () => {
              for (const name of await caches.keys()) {
                const cache = await caches.open(name);
                await cache.delete("/v1/model");
                await cache.delete("/v1/model/file");
              }
            }"""
        )
        page.reload()
        message = "The service is unreachable and the model is not on this device yet."
        expect(page.locator("#status")).to_have_text("Not connected")
        expect(page.locator("#notice")).to_contain_text(message)
        choose(page, CLEAN)
        expect(page.locator("#confidence")).to_contain_text(message)
        choose(page, CLEAN, DIRTY)
        progress = page.locator("#progress-text")
        expect(progress).to_have_text("Stopped. 3 photos are not checked yet.")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        passing.start()  # and nobody needs to say "go on"
        expect(page.locator("#progress-text")).to_have_text("3 photos checked", timeout=20_000)
        assert [answer for _, answer, _ in rows(page)] == ["Clean", "Clean", "Dirty"]
        expect(page.locator("#notice")).to_have_text("The service is back.")


def test_a_device_without_the_model_does_not_claim_to_answer(
    browser: Browser, passing: Service
) -> None:
    with visit(browser, passing.url, service_workers="block") as page:
        passing.stop()
        choose(page, DIRTY)
        expect(verdict(page)).to_have_text("No result")
        expect(page.locator("#status")).to_have_text("Not connected")
        expect(page.locator("#notice")).to_contain_text("the model is not on this device yet")
        passing.start()
        assert answered(page) == "Dirty"  # asked again by itself
        expect(page.locator("#status")).to_have_text("Connected")


def test_what_still_holds_is_still_said_after_the_next_photo(
    browser: Browser, passing: Service
) -> None:
    with visit(browser, passing.url) as page:
        keep_model(page)
        passing.stop()
        for each in (CLEAN, DIRTY):
            choose(page, each)
            expect(page.locator("#photo-name")).to_have_text(each["name"])
            answered(page)
            expect(page.locator("#notice")).to_have_text(AWAY)
        page.evaluate(  # as where a folder without photos is dropped
            "import('/page/announce.js').then(({ notify }) => notify('photos', () => 'No photo.'))"
        )
        expect(page.locator("#notice")).to_have_text("No photo.")
        choose(page, CLEAN)
        expect(page.locator("#notice")).to_have_text(AWAY)


def test_always_on_this_device(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Always check photos on this device").check()
        page.keyboard.press("Escape")
        expect(page.locator("#status")).to_have_text("On this device")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.method))
        choose(page, DIRTY)
        assert answered(page) == "Dirty"
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
        assert "POST" not in asked
        page.reload()  # the choice is remembered
        expect(page.locator("#status")).to_have_text("On this device")
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Always check photos on this device").uncheck()
        expect(page.locator("#status")).to_have_text("Connected")


def test_a_service_that_keeps_its_model_to_itself(browser: Browser) -> None:
    with Service("--no-offline") as strict, visit(browser, strict.url) as page:
        page.get_by_role("button", name="Settings").click()
        expect(page.locator("#offline-state")).to_have_text(
            "This service does not allow devices to store the model."
        )
        expect(page.get_by_label("Always check photos on this device")).to_be_disabled()
        page.keyboard.press("Escape")
        strict.stop()
        choose(page, CLEAN)
        expect(page.locator("#confidence")).to_contain_text("does not allow devices to store")


def test_a_page_that_cannot_have_a_service_worker(browser: Browser, service: Service) -> None:
    with visit(browser, service.url, service_workers="block") as page:
        choose(page, CLEAN)
        assert answered(page) == "Clean"


def test_plain_http_in_a_kitchens_network(launch: Launch) -> None:
    """Browsers then give neither the camera nor a service worker; photos are answered."""
    kitchen = launch("--host-resolver-rules=MAP kitchen.test 127.0.0.1")
    with (
        Service("--allowed-host", "kitchen.test") as named,
        visit(kitchen, named.url.replace("127.0.0.1", "kitchen.test")) as page,
    ):
        assert not page.evaluate("isSecureContext")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Take a photo").click()
        chooser.value.set_files([DIRTY])  # type: ignore[list-item]
        assert answered(page) == "Dirty"
        page.get_by_role("button", name="Settings").click()
        expect(page.locator("#offline-state")).to_contain_text("Available only over HTTPS")
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name="Start watching").click()
        expect(page.locator("#watch-name")).to_contain_text("only over HTTPS")


def test_answers_and_photos_are_never_kept(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        keep_model(page)
        choose(page, CLEAN, DIRTY)
        expect(page.locator("#progress-text")).to_have_text("2 photos checked")
        kept = page.evaluate(
            """async () => {
              const paths = [];
              for (const name of await caches.keys()) {
                const cache = await caches.open(name);
                paths.push(...(await cache.keys()).map(({ url }) => new URL(url).pathname));
              }
              return { paths, storage: Object.keys(localStorage), session: sessionStorage.length };
            }"""
        )
        assert "/v1/model/file" in kept["paths"]
        assert not [path for path in kept["paths"] if path.endswith("/predict")]
        assert kept["storage"] == []
        assert kept["session"] == 0
        databases = page.evaluate("indexedDB.databases()")
        assert databases == []


# A service of the same files at another place, so that the page can be changed there.
MOVED = """
import sys
from pathlib import Path
import platecheck.serving.static as static
static.PAGE = Path(sys.argv.pop(1))
import platecheck.serving.app as app
app.PAGE = static.PAGE
from platecheck.cli import main
main()
"""


def test_a_new_version_replaces_the_old_one_as_a_whole(browser: Browser, tmp_path: Path) -> None:
    files = tmp_path / "page"
    shutil.copytree(PAGE, files)
    program = ("-c", MOVED, str(files))
    with Service(program=program) as first, browser.new_context(locale="en-GB") as context:
        complaints = watch(context, first.url)
        page = context.new_page()
        page.goto(first.url)
        keep_model(page)
        before = page.evaluate("caches.keys()")
        for name, old, new in (
            ("index.html", "<title>platecheck</title>", "<title>x</title><i id='new'></i>"),
            ("texts.js", "Is this dish clean?", "Is it clean now?"),
        ):
            text = (files / name).read_text(encoding="utf-8")
            assert old in text
            (files / name).write_text(text.replace(old, new), encoding="utf-8")
        first.stop()
        first.start()

        page.reload()  # the browser finds the new version, and the page loads it by itself
        expect(page.locator("#new")).to_be_attached(timeout=20_000)
        expect(page.locator("h1").first).to_have_text("Is it clean now?")
        after = page.evaluate("caches.keys()")
        assert len(after) == 1
        assert after != before

        # With answers on the page it asks first.
        text = (files / "texts.js").read_text(encoding="utf-8")
        changed = text.replace("Is it clean now?", "Clean or not?")
        (files / "texts.js").write_text(changed, encoding="utf-8")
        keep_model(page)
        first.stop()
        choose(page, CLEAN)
        assert answered(page) == "Clean"
        first.start()
        expect(page.locator("#notice")).to_contain_text("A new version", timeout=30_000)
        expect(page.locator("#answer")).to_be_visible()
        page.get_by_role("button", name="Reload").click()
        expect(page.locator("h1").first).to_have_text("Clean or not?")
        assert complaints == []


def test_every_file_of_the_page_is_kept_and_no_other(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        keep_model(page)
        kept = page.evaluate(
            """async () => {
              const cache = await caches.open((await caches.keys())[0]);
              return (await cache.keys()).map(({ url }) => new URL(url).pathname);
            }"""
        )
    served = {
        f"/page/{path.relative_to(PAGE).as_posix().removesuffix('.gz')}"
        for path in PAGE.rglob("*")
        if path.suffix in (".js", ".mjs", ".css", ".svg", ".webmanifest", ".gz")
        and path.name not in ("sw.js", "ThirdPartyNotices.txt.gz")
    }
    assert set(kept) == served | {"/", "/page/icons/icon-192.png", "/v1/model", "/v1/model/file"}
