"""Taking one photo with the camera."""

from collections.abc import Iterator

import pytest
from page_fixtures.camera import CAMERA, show, wait_for_end
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import Launch, Screenshot, answered, choose, photo, verdict, visit
from playwright.sync_api import Browser, Locator, Page, expect

TRACK = "document.getElementById('camera-video').srcObject.getVideoTracks()[0]"
STUCK = "The camera is not sending new images."


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The page, with a dirty dish in front of the camera."""
    with visit(browser, service.url, script=CAMERA) as page:
        show(page, 1)
        yield page


@pytest.fixture
def shutter(page: Page) -> Locator:
    """The button that takes the photo, in the open dialog."""
    page.get_by_role("button", name="Take a photo").click()
    button = page.get_by_role("dialog").get_by_role("button", name="Take photo")
    expect(button).to_be_enabled()
    return button


def test_capture_classifies_one_photo_and_closes_the_camera(page: Page, shutter: Locator) -> None:
    expect(shutter).to_be_focused()
    track = page.evaluate_handle(TRACK)
    shutter.evaluate("(button) => { button.click(); button.click(); }")  # a double tap
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert answered(page) == "Dirty"
    expect(page.locator("#photo-name")).to_contain_text("photo-")
    wait_for_end(page, track)
    expect(page.get_by_role("button", name="Take a photo")).to_be_focused()
    page.clock.run_for(1000)
    expect(page.locator("#session-rows tr")).to_have_count(1)


def test_capture_closed_dialog_closes_the_camera(page: Page, shutter: Locator) -> None:
    track = page.evaluate_handle(TRACK)
    assert track.evaluate("(track) => track.readyState") == "live"
    page.keyboard.press("Escape")
    expect(shutter).to_be_hidden()
    wait_for_end(page, track)
    expect(page.locator("#answer")).to_be_hidden()


def test_capture_frozen_picture_is_not_taken(page: Page, shutter: Locator) -> None:
    page.evaluate("camera.frozen = true")
    shutter.evaluate("(button) => button.click()")  # at once, before the page has noticed
    page.clock.run_for(4000)
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(STUCK)
    expect(shutter).to_be_disabled()
    expect(page.locator("#without-camera")).to_be_visible()
    page.evaluate("camera.frozen = false")
    expect(shutter).to_be_enabled()
    expect(page.locator("#camera-message")).to_be_empty()
    shutter.click()
    assert answered(page) == "Dirty"


def test_capture_paused_video_takes_a_new_frame(page: Page, shutter: Locator) -> None:
    page.evaluate("document.getElementById('camera-video').pause()")
    shutter.click()
    assert answered(page) == "Dirty"


def test_capture_ended_camera_is_opened_again(page: Page, shutter: Locator) -> None:
    page.evaluate(f"{TRACK}.stop()")
    expect(page.locator("#camera-message")).to_have_text("The camera was disconnected.")
    expect(shutter).to_be_disabled()
    page.clock.run_for(4000)
    expect(shutter).to_be_enabled()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("NotAllowedError", "This page is not allowed to use the camera."),
        ("NotFoundError", "No camera found."),
        ("NotReadableError", "The camera did not start."),
    ],
)
def test_camera_that_cannot_be_used_is_explained(page: Page, error: str, message: str) -> None:
    page.evaluate("(error) => { camera.error = error; }", error)
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    expect(dialog.get_by_role("status")).to_contain_text(message)
    expect(dialog.get_by_role("button", name="Take photo")).to_be_hidden()
    instead = dialog.get_by_role("button", name="Choose a photo instead")
    expect(instead).to_be_focused()
    with page.expect_file_chooser():
        instead.click()
    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name="Start watching").click()
    expect(page.locator("#watch-name")).to_contain_text(message)
    expect(page.locator("#announcer")).to_contain_text(message)
    expect(page.get_by_role("button", name="Start watching")).to_be_visible()


def test_camera_real_devices_are_listed_and_the_choice_is_remembered(
    launch: Launch, service: Service, screenshot: Screenshot
) -> None:
    several = launch(
        "--use-fake-device-for-media-stream=device-count=3", "--use-fake-ui-for-media-stream"
    )
    with visit(several, service.url) as page:
        page.get_by_role("button", name="Take a photo").click()
        choice = page.get_by_role("dialog").get_by_label("Camera")
        expect(choice).to_be_visible()
        ids = choice.locator("option").evaluate_all("(options) => options.map((o) => o.value)")
        assert len(ids) == 3
        choice.select_option(ids[1])
        expect(page.get_by_role("button", name="Take photo")).to_be_enabled()
        assert page.evaluate(f"{TRACK}.getSettings().deviceId") == ids[1]
        screenshot(page, "camera")
        page.get_by_role("button", name="Take photo").click()
        answered(page)
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name="Start watching").click()
        expect(page.locator("#watch-camera")).to_have_value(ids[1])

        page.evaluate("localStorage.setItem('platecheck.camera', 'one that is gone')")
        page.get_by_role("button", name="Stop watching").click()
        page.get_by_role("button", name="Start watching").click()
        expect(page.locator("#watch-camera")).to_have_value(ids[0])


def test_sound_each_kind_has_its_tones_if_switched_on(page: Page) -> None:
    page.evaluate(
        """() => {
          window.tones = [];
          const Real = OscillatorNode;
          window.OscillatorNode = class extends Real {
            constructor(context, options) {
              super(context, options);
              window.tones.push(options.frequency);
            }
          };
        }"""
    )

    def classify_both() -> list[int]:
        for number, label in enumerate(("Clean", "Dirty")):
            choose(page, photo(f"{number}.jpg", jpeg(dish(number))))
            expect(verdict(page)).to_have_text(label)
        return list(page.evaluate("window.tones.splice(0)"))

    assert classify_both() == []
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Sound for each result").check()
    page.keyboard.press("Escape")
    assert page.evaluate("window.tones.splice(0)") == [660, 990]
    assert classify_both() == [660, 990, 220, 220]
