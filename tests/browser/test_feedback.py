"""Saying on the page what is right: with consent, kept as it was sent, deleted when asked."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import PHONE, Screenshot, answered, choose, photo, visit
from playwright.sync_api import Browser, Page, Route, expect

from platecheck import Classifier
from platecheck.feedback.entry import encode_photo
from platecheck.feedback.store import Store, open_store

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Service]:
    """A service that keeps feedback."""
    options = (f"--feedback=sqlite:///{tmp_path}/f.db",)
    with Service(*options, "--feedback-days", "30") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path, keeping: Service) -> Iterator[Store]:
    """What the service keeps, looked at from beside it."""
    opened = open_store(f"sqlite:///{tmp_path}/f.db")
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, keeping: Service) -> Iterator[Page]:
    with visit(browser, keeping.url) as page:
        yield page


def message(page: Page, text: str) -> None:
    expect(page.locator("#feedback-message")).to_have_text(text)


def refuse(status: int, route: Route) -> None:
    route.fulfill(status=status, json={"detail": "the disk is full"})


def say(page: Page, right: str) -> None:
    """Say what is right of the photo that is shown, and agree."""
    page.locator("#feedback-title").click()
    page.get_by_label(right, exact=True).check()
    page.get_by_label("I agree").check()
    page.get_by_role("button", name="Send").click()


def test_without_a_place_for_feedback_none_is_asked_for(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#feedback")).to_be_hidden()


def test_what_is_right_is_kept_and_deleted(page: Page, store: Store) -> None:
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    expect(page.locator("#feedback-title")).to_have_text("Is this right?")
    choices = page.locator("#feedback-choices label").all_text_contents()
    assert choices == ["Clean", "Dirty", "Not a dish"]
    say(page, "Clean")
    message(page, "Thank you.")
    expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Clean")
    (kept,) = store.all()
    assert page.locator("#feedback-id").inner_text() == kept.id
    assert (kept.true_label, kept.answer.label, kept.client) == ("clean", "dirty", None)
    assert store.photo(kept.photo) == encode_photo(DIRTY["buffer"])

    page.get_by_role("button", name="Delete").click()
    message(page, "Deleted: the photo and your feedback.")
    assert store.all() == []
    expect(page.locator("#feedback-form")).to_be_visible()  # and may be said anew


def test_another_language_keeps_what_was_chosen(page: Page) -> None:
    choose(page, DIRTY)
    answered(page)
    page.locator("#feedback-title").click()
    page.get_by_label("Clean", exact=True).check()
    page.get_by_label("I agree").check()
    page.evaluate("import('/page/language.js').then(({ setLanguage }) => setLanguage('uk'))")
    expect(page.locator("#feedback-title")).to_have_text("Це правильно?")
    expect(page.get_by_label("Чисто", exact=True)).to_be_checked()
    expect(page.get_by_label("Я погоджуюся")).to_be_checked()


def test_nothing_leaves_without_consent(page: Page, store: Store) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, DIRTY)
    answered(page)
    expect(page.locator("#feedback-terms")).to_contain_text("for 30 days")
    page.locator("#feedback-title").click()
    page.get_by_label("Clean", exact=True).check()
    page.get_by_role("button", name="Send").click()
    page.get_by_label("I agree").check()
    page.get_by_label("I agree").uncheck()
    page.get_by_role("button", name="Send").click()
    assert not [url for url in sent if "feedback" in url]
    assert store.all() == []


def test_each_photo_has_its_own(page: Page, store: Store) -> None:
    choose(page, CLEAN, DIRTY)
    for name, right in (("clean.jpg", "Dirty"), ("dirty.jpg", "Not a dish")):
        page.get_by_role("button", name=name).click()
        answered(page)
        say(page, right)
        message(page, "Thank you.")
    page.get_by_role("button", name="clean.jpg").click()
    expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Dirty")
    assert sorted(kept.true_label for kept in store.all()) == ["dirty", "not a dish"]


def test_what_could_not_be_kept_is_said(page: Page, store: Store) -> None:
    answers = [
        (503, "Not stored: the service cannot do that now; try again later."),
        (413, "Not stored: the photo is too large"),
    ]
    choose(page, DIRTY)
    answered(page)
    for status, text in answers:
        page.route("**/v1/feedback", partial(refuse, status))
        if page.locator("#feedback").get_attribute("open") is None:
            say(page, "Clean")
        else:  # what was filled in is still there
            page.get_by_role("button", name="Send").click()
        message(page, text)
        page.unroute("**/v1/feedback")
    page.route("**/v1/feedback", lambda route: route.abort())
    page.get_by_role("button", name="Send").click()
    message(
        page,
        "The service became unreachable, so it is unknown whether this worked."
        " Try again when it is back.",
    )
    page.unroute("**/v1/feedback")
    page.get_by_role("button", name="Send").click()
    message(page, "Thank you.")
    assert len(store.all()) == 1


def test_what_the_device_answered_is_kept_beside_the_services_answer(
    page: Page, keeping: Service, store: Store
) -> None:
    page.locator("#open-settings").click()
    expect(page.locator("#offline-state")).to_contain_text("Ready", timeout=60_000)
    page.keyboard.press("Escape")
    keeping.stop()
    choose(page, DIRTY)
    answered(page)
    expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
    expect(page.locator("#feedback")).to_be_hidden()  # there is nobody to give it to
    keeping.start()
    expect(page.locator("#feedback")).to_be_visible(timeout=30_000)
    say(page, "Clean")
    message(page, "Thank you.")
    (kept,) = store.all()
    assert kept.client
    assert kept.client.model == kept.answer.model == Classifier.load().id
    assert kept.client.label == "dirty"


def test_who_lets_no_photo_leave_the_device_is_not_asked_for_one(page: Page) -> None:
    page.locator("#open-settings").click()
    page.locator("#device-only").check()
    page.keyboard.press("Escape")
    choose(page, DIRTY)
    answered(page)
    expect(page.locator("#feedback")).to_be_hidden()


@pytest.mark.parametrize(
    ("scheme", "locale", "thanks"),
    [("light", "en-GB", "Thank you."), ("dark", "uk-UA", "Дякуємо.")],
)
def test_it_is_usable_by_everyone_and_on_a_phone(
    browser: Browser,
    keeping: Service,
    scheme: str,
    locale: str,
    thanks: str,
    screenshot: Screenshot,
) -> None:
    options = {"viewport": PHONE, "color_scheme": scheme, "locale": locale}
    with visit(browser, keeping.url, **options) as page:
        choose(page, DIRTY)
        answered(page)
        page.locator("#feedback-title").click()
        page.locator("#feedback-form").scroll_into_view_if_needed()
        screenshot(page, f"feedback-{scheme}", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert Axe().run(page).response["violations"] == []
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        message(page, thanks)
        expect(page.locator("#feedback-delete")).to_be_focused()
        assert Axe().run(page).response["violations"] == []
        screenshot(page, f"feedback-given-{scheme}", full_page=True)
