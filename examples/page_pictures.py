"""Take the screenshots of the page in docs/images: ``python examples/page_pictures.py``.

Every dish in them is rendered.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/browser"), str(ROOT)]

from conftest import FLAGS, chromium  # noqa: E402
from page_fixtures.camera import CAMERA  # noqa: E402
from page_fixtures.dishes import (  # noqa: E402
    NO_DISH_FROM_AFAR,
    UNSURE_FROM_AFAR,
    dish,
    far_dish,
    jpeg,
    rack,
)
from page_fixtures.service import Service  # noqa: E402
from page_fixtures.visits import PHONE, answered, choose, encode, photo, visit  # noqa: E402

from tests.support.writing import write_detector  # noqa: E402

IMAGES = ROOT / "docs/images"
DESKTOP = {"width": 1280, "height": 800}


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = chromium(playwright.chromium)
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        options = (f"--feedback=sqlite:///{folder}/f.db",)
        with (
            Service("--detector", "dishes") as service,
            Service(*options, "--detector", "dishes") as keeping,
        ):
            for take in (answer, unsure, batch, dark, phone, racks, shift):
                take(browser, service.url)
            feedback(browser, keeping.url)
        # Finds dishes in the places of rack(), of whatever size.
        cells = write_detector(Path(folder) / "cells.onnx", size=128, grid=4)
        with Service("--detector", str(cells)) as service:
            watch(browser, service.url)


@contextmanager
def picture(browser: Browser, url: str, name: str, **options: object) -> Iterator[Page]:
    """Open the page, and save docs/images/NAME.jpg at the end."""
    with visit(browser, url, **{"viewport": DESKTOP, **options}) as page:
        yield page
        taken = page.screenshot(animations="disabled")
    with Image.open(io.BytesIO(taken)) as image:
        image.convert("RGB").save(IMAGES / f"{name}.jpg", quality=90, subsampling="4:4:4")


def classify_sample(page: Page, name: str) -> None:
    """Choose a rendered dish of samples/."""
    choose(page, photo(f"{name}.jpg", (ROOT / f"samples/{name}.jpg").read_bytes()))
    answered(page)


def answer(browser: Browser, url: str) -> None:
    """Show a dirty dish on a desktop."""
    with picture(browser, url, "page-answer") as page:
        classify_sample(page, "dirty-sauce-on-wood")


def unsure(browser: Browser, url: str) -> None:
    """Show a dish that the model is not sure of, and advice."""
    viewport = {"width": 1280, "height": 860}
    with picture(browser, url, "page-unsure", viewport=viewport) as page:
        choose(page, photo("white-plate.jpg", jpeg(dish(16))))
        answered(page)


def batch(browser: Browser, url: str) -> None:
    """Show 200 photos."""
    with picture(browser, url, "page-batch") as page:
        files = [jpeg(dish(number)) for number in range(24)] * 9
        files[3], files[5] = jpeg(far_dish(UNSURE_FROM_AFAR)), jpeg(far_dish(NO_DISH_FROM_AFAR))
        files[6] = files[6][:900]
        choose(page, *(photo(f"IMG_{2041 + i}.jpg", file) for i, file in enumerate(files[:200])))
        expect(page.locator("#progress-text")).to_contain_text("checked", timeout=90_000)


def dark(browser: Browser, url: str) -> None:
    """Show a dirty dish in dark mode."""
    with picture(browser, url, "page-dark", color_scheme="dark") as page:
        classify_sample(page, "dirty-mustard-on-cloth")


def phone(browser: Browser, url: str) -> None:
    """Show a clean dish on a phone."""
    with picture(browser, url, "page-phone", viewport=PHONE, device_scale_factor=1.5) as page:
        classify_sample(page, "clean-patterned-rim-on-cloth")


def feedback(browser: Browser, url: str) -> None:
    """Show what can be said of a result."""
    with picture(browser, url, "page-feedback", viewport={**PHONE, "height": 1560}) as page:
        classify_sample(page, "dirty-crumbs-on-stone")
        page.locator("#feedback").scroll_into_view_if_needed()


def racks(browser: Browser, url: str) -> None:
    """Show a rack with its answers."""
    with picture(browser, url, "page-rack") as page:
        choose(page, photo("rack.jpg", jpeg(rack(0, 2, 1, 4, 6, 8, 10, 3, 12, 5, None, 16))))
        answered(page)


def watch(browser: Browser, url: str) -> None:
    """Show a camera that has seen two racks."""
    with picture(browser, url, "page-watch", script=CAMERA) as page:
        page.get_by_role("link", name="Watch").click()
        for dishes in ((0, 2, 1, 4), (6, 3, None, 10)):
            page.evaluate("(text) => camera.show(text)", encode(jpeg(rack(*dishes, *[None] * 8))))
            if not page.locator("#stage.on").count():
                page.get_by_role("button", name="Start watching").click()
            counted = page.locator("#log-lines li").nth(3 if 0 in dishes else 5)
            expect(counted).to_be_attached(timeout=60_000)
        expect(page.locator("#watch-boxes li")).to_have_count(3)


def shift(browser: Browser, url: str) -> None:
    """Show the record of a shift."""
    with picture(browser, url, "page-shift") as page:
        page.get_by_role("link", name="Shift").click()
        page.get_by_label("Station").fill("Pot wash")
        for numbers in ((0, 2, 1, 4), (6, 8, 10, 3), (12, 5, 16, 18)):
            page.get_by_role("link", name="Photos").click()
            choose(page, photo(f"rack-{numbers[0]}.jpg", jpeg(rack(*numbers))))
            expect(page.locator("#photo-name")).to_have_text(f"rack-{numbers[0]}.jpg")
            answered(page)
        page.get_by_role("link", name="Shift").click()
        expect(page.locator("#shift-lines li").nth(10)).to_be_attached(timeout=20_000)


if __name__ == "__main__":
    main()
