"""A camera that sends no new frames: its answer is taken down, and watching goes on by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, video
from page_fixtures.service import Service
from page_fixtures.visits import Launch, visit
from playwright.sync_api import Browser, Locator, Page, Route, expect

STUCK = "The camera is not sending new images."
ENDED = "The camera was disconnected."
VIDEO = "document.getElementById('watch-video')"
TRACK = f"{VIDEO}.srcObject.getVideoTracks()[0]"

# What keeps a camera from delivering frames, and what is undone for it to go on; null: nothing.
FREEZES = {
    "paused, and it cannot play": (
        f"{VIDEO}.play = () => Promise.reject(new Error('in the background')); {VIDEO}.pause()",
        f"delete {VIDEO}.play",
    ),
    "muted": (
        f"Object.defineProperty({TRACK}, 'muted', {{ value: true, configurable: true }})",
        f"delete {TRACK}.muted",
    ),
    "switched off": (f"{TRACK}.enabled = false", f"{TRACK}.enabled = true"),
    "a canvas that is drawn once": (
        f"""window.real = {VIDEO}.srcObject;
        window.still = document.createElement("canvas");
        [still.width, still.height] = [640, 480];
        still.getContext("2d").drawImage({VIDEO}, 0, 0);
        {VIDEO}.srcObject = still.captureStream();
        {VIDEO}.play()""",
        f"{VIDEO}.srcObject = window.real; {VIDEO}.play()",
    ),
}
HIDE = """(hidden) => {
  Object.defineProperty(document, "visibilityState", {
    value: hidden ? "hidden" : "visible", configurable: true,
  });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def camera(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Chromium whose camera sees one dirty dish, and its sensor's noise."""
    return seeing_a_dish(launch, tmp_path_factory.mktemp("camera") / "dish.y4m", noise=2)


def seeing_a_dish(launch: Launch, file: Path, noise: float) -> Browser:
    file.write_bytes(video([(dish(1, size=480), 5)], noise=noise))
    return launch(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
        "--autoplay-policy=no-user-gesture-required",
    )


@pytest.fixture
def page(camera: Browser, service: Service) -> Iterator[Page]:
    with visit(camera, service.url) as page:
        yield page


@pytest.fixture
def watching(page: Page) -> Page:
    """The dirty dish has been seen."""
    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name="Start watching").click()
    expect(name(page)).to_have_text("Dirty", timeout=20_000)
    expect(lines(page)).to_have_count(1)
    return page


def name(page: Page) -> Locator:
    return page.locator("#watch-name")


def lines(page: Page) -> Locator:
    return page.locator("#log-lines li")


@pytest.mark.parametrize("how", FREEZES)
def test_frozen_picture_takes_the_answer_down_until_frames_advance(
    watching: Page, how: str
) -> None:
    freeze, resume = FREEZES[how]
    watching.evaluate(f"() => {{ {freeze} }}")
    expect(name(watching)).to_have_text(STUCK)
    expect(watching.locator("#announcer")).to_have_text(STUCK)
    expect(watching.locator("#watch-sure")).to_contain_text("Watching resumes")
    expect(watching.locator("#watch-map")).to_be_hidden()
    asked: list[str] = []
    watching.on("request", lambda request: asked.append(request.url))
    watching.wait_for_timeout(3000)
    expect(name(watching)).to_have_text(STUCK)
    assert not any("predict" in url for url in asked)
    expect(watching.get_by_role("button", name="Stop watching")).to_be_visible()
    watching.evaluate(f"() => {{ {resume} }}")
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)  # the same dish
    expect(watching.locator("#dishes-seen")).to_have_text("1 dish")


def test_camera_whose_frames_are_all_alike_is_not_stuck(
    launch: Launch, service: Service, tmp_path: Path
) -> None:
    camera = seeing_a_dish(launch, tmp_path / "still.y4m", noise=0)
    with visit(camera, service.url) as page:
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name="Start watching").click()
        expect(name(page)).to_have_text("Dirty", timeout=20_000)
        page.wait_for_timeout(5000)  # longer than a camera may send nothing
        expect(name(page)).to_have_text("Dirty")


def test_paused_video_plays_again_by_itself(watching: Page) -> None:
    watching.evaluate(f"{VIDEO}.pause()")
    watching.wait_for_function(f"() => !{VIDEO}.paused")
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)


def test_stuck_camera_is_opened_anew(watching: Page) -> None:
    watching.evaluate(f"() => {{ {FREEZES['a canvas that is drawn once'][0]} }}")
    expect(name(watching)).to_have_text(STUCK)
    expect(name(watching)).to_have_text("Dirty", timeout=30_000)
    assert watching.evaluate("window.still.captureStream && real !== " + VIDEO + ".srcObject")
    expect(lines(watching)).to_have_count(1)


def test_ended_camera_is_opened_again_once_it_is_back(watching: Page) -> None:
    watching.evaluate(
        """() => {
          window.real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException("gone", "NotFoundError"));
        }"""
    )
    watching.evaluate(f"{TRACK}.stop()")
    expect(name(watching)).to_have_text(ENDED)
    watching.wait_for_timeout(7000)  # in which it is tried in vain
    expect(name(watching)).to_have_text(ENDED)
    watching.evaluate("() => { navigator.mediaDevices.getUserMedia = real; }")
    expect(name(watching)).to_have_text("Dirty", timeout=20_000)
    expect(lines(watching)).to_have_count(1)


def test_camera_that_is_forbidden_meanwhile_is_not_asked_for_again(watching: Page) -> None:
    watching.evaluate(
        """() => {
          window.asked = 0;
          navigator.mediaDevices.getUserMedia = () => {
            window.asked += 1;
            return Promise.reject(new DOMException("no", "NotAllowedError"));
          };
        }"""
    )
    watching.evaluate(f"{TRACK}.stop()")
    expect(name(watching)).to_contain_text("not allowed", timeout=10_000)
    expect(watching.get_by_role("button", name="Start watching")).to_be_visible()
    watching.wait_for_timeout(4000)
    assert watching.evaluate("asked") == 1


def test_hidden_page_shows_no_old_answer_when_it_is_seen_again(watching: Page) -> None:
    watching.evaluate(HIDE, True)
    expect(name(watching)).to_have_text("Checking …")
    watching.evaluate(HIDE, False)
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)


def test_laptop_that_slept_shows_no_old_answer(watching: Page) -> None:
    """All that was shown is an hour old, and no new frame has been answered yet."""
    watching.evaluate("() => { window.fetch = () => new Promise(() => 0); }")
    watching.wait_for_timeout(600)
    watching.evaluate("() => { const now = Date.now; Date.now = () => now() + 3_600_000; }")
    expect(name(watching)).not_to_have_text("Dirty", timeout=2_000)


def test_service_that_does_not_answer_takes_the_answer_down(watching: Page) -> None:
    held: list[Route] = []
    watching.route("**/v1/predict*", lambda route: held.append(route))  # noqa: PLW0108
    expect(name(watching)).to_have_text(
        "This is taking longer than usual. Is the network slow?", timeout=10_000
    )
    expect(lines(watching)).to_have_count(1)
    watching.unroute("**/v1/predict*")
    expect(name(watching)).to_have_text("Dirty", timeout=30_000)


def test_answer_is_taken_down_while_the_service_is_busy(watching: Page) -> None:
    headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
    watching.route(
        "**/v1/predict*",
        lambda route: route.fulfill(status=503, headers=headers, body='{"detail": "busy"}'),
    )
    expect(name(watching)).to_contain_text("is busy")
    watching.locator("#open-settings").click()
    watching.get_by_label("Language").select_option("uk")
    watching.keyboard.press("Escape")
    expect(name(watching)).not_to_contain_text("Брудно")


@pytest.mark.parametrize("how", ["muted", "a canvas that is drawn once"])
def test_no_photo_is_taken_of_a_frozen_picture(page: Page, how: str) -> None:
    freeze, resume = (text.replace("watch-video", "camera-video") for text in FREEZES[how])
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    shoot = page.locator("#capture")
    expect(shoot).to_be_enabled()
    page.evaluate(f"() => {{ {freeze} }}")
    shoot.evaluate("(button) => button.click()")  # at once, before the page has noticed
    expect(dialog.get_by_role("status")).to_have_text(STUCK)
    expect(shoot).to_be_disabled()
    expect(page.locator("#without-camera")).to_be_visible()
    page.wait_for_timeout(3500)  # in which a new picture would still be taken
    expect(dialog).to_be_visible()
    page.evaluate(f"() => {{ {resume} }}")
    expect(shoot).to_be_enabled()
    expect(page.locator("#camera-message")).to_be_empty()
    shoot.click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#verdict-name")).to_have_text("Dirty", timeout=20_000)


def test_photo_of_a_camera_that_was_paused_is_a_new_frame(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    expect(page.locator("#capture")).to_be_enabled()
    page.evaluate("document.getElementById('camera-video').pause()")
    page.locator("#capture").click()
    expect(page.locator("#verdict-name")).to_have_text("Dirty", timeout=20_000)


def test_viewfinder_of_a_camera_that_ended_opens_it_again(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    expect(page.locator("#capture")).to_be_enabled()
    page.evaluate(f"{TRACK}.stop()".replace("watch-video", "camera-video"))
    expect(page.locator("#camera-message")).to_have_text(ENDED)
    expect(page.locator("#capture")).to_be_disabled()
    expect(page.locator("#capture")).to_be_enabled(timeout=10_000)
