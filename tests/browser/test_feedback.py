"""Feedback on the page: with consent, stored as it was sent, deleted on request."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_fixtures.dishes import dish, jpeg, rack
from page_fixtures.service import Service
from page_fixtures.visits import (
    PHONE,
    POLL,
    Screenshot,
    answered,
    check_accessibility,
    choose,
    photo,
    progress,
    requests,
    set_language,
    visit,
)
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from platecheck import Classifier
from platecheck.feedback.entry import encode_photo
from platecheck.feedback.store import Store, open_store

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def keeping(folder: Path) -> Iterator[Service]:
    """A service that stores feedback."""
    options = (f"--feedback=sqlite:///{folder}/f.db",)
    with Service(*options, "--feedback-days", "30") as running:
        yield running


@pytest.fixture
def store(folder: Path, keeping: Service) -> Iterator[Store]:
    """What the service has stored; empty at first."""
    opened = open_store(f"sqlite:///{folder}/f.db")
    for entry in opened.all():
        opened.delete(entry.id)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, keeping: Service) -> Iterator[Page]:
    with visit(browser, keeping.url) as page:
        yield page


@pytest.fixture
def classified(page: Page) -> Page:
    """The page, which has taken a dirty dish for one."""
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    return page


def message(page: Page, text: str) -> None:
    expect(page.locator("#feedback-message")).to_have_text(text)


def tap(page: Page, choice: str) -> None:
    """Tap "Right", "Wrong" or a label."""
    page.locator("#feedback-choices").get_by_role("button", name=choice, exact=True).click()


def agree(page: Page) -> None:
    dialog = page.get_by_role("dialog", name="Send corrections?")
    expect(dialog).to_contain_text("for 30 days")
    dialog.get_by_role("button", name="I agree").click()


def test_feedback_without_a_store_or_service_is_not_offered(
    browser: Browser, service: Service, keeping: Service
) -> None:
    with visit(browser, service.url) as page:
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#feedback")).to_be_hidden()
    with visit(browser, keeping.url) as page:
        page.locator("#open-settings").click()
        page.locator("#device-only").check()
        page.keyboard.press("Escape")
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#feedback")).to_be_hidden()


def test_feedback_is_one_tap_stored_and_taken_back(classified: Page, store: Store) -> None:
    expect(classified.locator("#feedback-title")).to_have_text("Is this right?")
    choices = classified.locator("#feedback-choices button")
    assert choices.all_inner_texts() == ["Right", "Wrong", "Not a dish"]
    set_language(classified, "uk")
    expect(classified.locator("#feedback-title")).to_have_text("Це правильно?")
    set_language(classified, "en")
    tap(classified, "Wrong")
    agree(classified)
    message(classified, "Thank you.")
    expect(classified.locator("#feedback-thanks")).to_contain_text("Correct result: Clean")
    (kept,) = store.all()
    assert classified.locator("#feedback-id").inner_text() == kept.id
    assert (kept.true_label, kept.answer.label, kept.client) == ("clean", "dirty", None)
    assert store.photo(kept.photo) == encode_photo(DIRTY["buffer"])

    classified.get_by_role("button", name="Undo").click()
    message(classified, "Deleted: the photo and your feedback.")
    assert store.all() == []
    tap(classified, "Right")  # consent is asked once
    message(classified, "Thank you.")
    assert [kept.true_label for kept in store.all()] == ["dirty"]


def test_feedback_without_consent_is_not_sent(classified: Page, store: Store) -> None:
    sent = requests(classified, "feedback")
    tap(classified, "Wrong")
    classified.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert sent == []
    assert store.all() == []
    tap(classified, "Wrong")
    agree(classified)
    message(classified, "Thank you.")
    classified.locator("#open-settings").click()
    classified.get_by_role("button", name="Stop sending corrections").click()
    classified.keyboard.press("Escape")
    classified.get_by_role("button", name="Undo").click()
    tap(classified, "Right")
    expect(classified.get_by_role("dialog", name="Send corrections?")).to_be_visible()


def test_feedback_belongs_to_its_photo(page: Page, store: Store) -> None:
    choose(page, CLEAN, DIRTY)
    for name, choice in (("clean.jpg", "Wrong"), ("dirty.jpg", "Not a dish")):
        page.get_by_role("button", name=name).click()
        answered(page)
        tap(page, choice)
        if choice == "Wrong":
            agree(page)
        message(page, "Thank you.")
    page.get_by_role("button", name="clean.jpg").click()
    expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Dirty")
    assert sorted(kept.true_label for kept in store.all()) == ["dirty", "not a dish"]


def test_feedback_survives_a_later_answer_to_the_same_photo(page: Page, store: Store) -> None:
    """A batch may answer a photo that was opened, and corrected, in the meantime."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(lambda url: url.endswith("/v1/inspect?heatmap=false"), hold)
    choose(page, CLEAN, DIRTY)
    page.get_by_role("button", name="clean.jpg").click()
    answered(page)
    tap(page, "Wrong")
    agree(page)
    message(page, "Thank you.")
    assert held
    for route in held:
        route.continue_()
    progress(page, "2 photos checked")
    page.get_by_role("button", name="dirty.jpg").click()
    answered(page)
    page.get_by_role("button", name="clean.jpg").click()
    expect(page.locator("#feedback-thanks")).to_be_visible()
    expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Dirty")
    assert [kept.true_label for kept in store.all()] == ["dirty"]


def test_feedback_on_one_of_several_dishes_sends_that_dish(
    browser: Browser, racks: Service, keeping: Service, store: Store
) -> None:
    with visit(browser, keeping.url) as page:
        page.route("**/v1/inspect*", lambda route: forward(route, racks))
        choose(page, photo("rack.jpg", jpeg(rack(8, 2, 1, 4))))
        assert answered(page) == "Dirty: 1 of 4"
        tap(page, "Right")
        agree(page)
        message(page, "Thank you.")
        page.get_by_role("button", name="Dish 2 of 4").click()
        tap(page, "Right")
        expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Clean")
    assert sorted(kept.true_label for kept in store.all()) == ["clean", "dirty"]
    for kept in store.all():
        with Image.open(BytesIO(store.photo(kept.photo) or b"")) as image:
            assert max(image.size) < 400


def forward(route: Route, service: Service) -> None:
    """Let another service answer."""
    address = urlsplit(route.request.url)
    url = f"{service.url}{address.path}?{address.query}"
    headers = {**route.request.headers, "origin": service.url, "host": urlsplit(service.url).netloc}
    route.fulfill(response=route.fetch(url=url, headers=headers))


def test_feedback_that_is_not_stored_says_why_and_can_be_sent_again(
    classified: Page, store: Store
) -> None:
    unavailable = "Not stored: the service cannot do that now; try again later."

    def refuse(status: int, route: Route) -> None:
        route.fulfill(status=status, json={"detail": "the disk is full"})

    for status, text in ((503, unavailable), (413, "Not stored: the photo is too large")):
        classified.route("**/v1/feedback", partial(refuse, status), times=1)
        tap(classified, "Wrong")
        if status == 503:
            agree(classified)
        message(classified, text)
    classified.route("**/v1/feedback", lambda route: route.abort(), times=1)
    tap(classified, "Wrong")
    message(
        classified,
        "The service became unreachable, so it is unknown whether this worked."
        " Try again when it is back.",
    )
    tap(classified, "Wrong")
    message(classified, "Thank you.")
    assert len(store.all()) == 1


def test_feedback_on_a_prediction_of_the_device_stores_both(
    browser: Browser, keeping: Service, store: Store
) -> None:
    with visit(browser, keeping.url, offline=True) as page:
        page.context.set_offline(True)
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
        expect(page.locator("#feedback")).to_be_hidden()
        page.context.set_offline(False)
        page.clock.fast_forward(POLL)
        expect(page.locator("#feedback")).to_be_visible()
        tap(page, "Wrong")
        agree(page)
        message(page, "Thank you.")
    (kept,) = store.all()
    assert kept.client
    assert kept.client.model == kept.answer.model == Classifier.load().id
    assert kept.client.label == "dirty"


@pytest.mark.parametrize(
    ("scheme", "locale", "thanks"),
    [("light", "en-GB", "Thank you."), ("dark", "uk-UA", "Дякуємо.")],
)
def test_feedback_is_accessible_and_fits_a_phone(
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
        page.locator("#feedback").scroll_into_view_if_needed()
        screenshot(page, f"feedback-{scheme}", full_page=True)
        check_accessibility(page)
        page.locator("#feedback-choices button").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#confirm-dialog")).to_be_visible()
        check_accessibility(page)
        page.locator("#confirm-yes").focus()
        page.keyboard.press("Enter")
        message(page, thanks)
        expect(page.locator("#feedback-delete")).to_be_focused()
        check_accessibility(page)
        screenshot(page, f"feedback-given-{scheme}", full_page=True)
