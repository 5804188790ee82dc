"""HEIC photos, which this browser cannot read: the service does."""

import base64
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import Screenshot, answered, choose, give, photo, rows, uploads, visit
from playwright.sync_api import Browser, expect

# A small picture of no dish.
HEIC = (Path(__file__).parents[1] / "unit" / "heif_fixtures" / "plain.heic").read_bytes()
# The start of a HEIC file, as far as anyone tells it from others by its content.
BROKEN = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_file_dialog_offers_heic_where_the_system_knows_no_type(
    browser: Browser, service: Service
) -> None:
    with visit(browser, service.url) as page:
        accepted = (page.locator("#files").get_attribute("accept") or "").split(",")
        assert {"image/*", ".heic", ".heif", ".hif"} <= set(accepted)


@pytest.mark.parametrize("kind", ["image/heic", "", "application/octet-stream"])
@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_heic_is_sent_as_it_is_and_shown_by_its_name(
    browser: Browser, service: Service, way: str, kind: str
) -> None:
    with visit(browser, service.url) as page:
        sent = uploads(page)
        file = photo("IMG_0042.HEIC", BROKEN, kind)
        if way == "choose":
            choose(page, file)
        else:
            give(page, way, file)
        expect(page.locator("#photo-name")).to_have_text("IMG_0042.HEIC")
        expect(page.locator("#verdict-name")).to_have_text("No result")  # it is none, after all
        assert sent() == [BROKEN]
        expect(page.locator("#no-preview")).to_be_visible()
        expect(page.locator("#photo")).to_be_hidden()


def test_heic_is_answered_alone_and_among_others(
    browser: Browser, service: Service, screenshot: Screenshot
) -> None:
    with visit(browser, service.url) as page:
        choose(page, photo("IMG_1.HEIC", HEIC, ""))
        assert answered(page) in ("Clean", "Dirty", "Unsure", "Not a dish")
        screenshot(page, "heic")
        choose(page, photo("IMG_2.HEIC", HEIC, ""), photo("b.jpg", jpeg(dish(0))))
        expect(page.locator("#progress-text")).to_have_text("2 photos checked")


def test_heic_without_the_service_says_that_it_needs_it(browser: Browser, service: Service) -> None:
    with visit(browser, service.url) as page:
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Always check photos on this device").check()
        page.keyboard.press("Escape")
        choose(page, photo("IMG_1.HEIC", BROKEN, ""))
        expect(page.locator("#confidence")).to_contain_text(
            "this browser cannot read HEIC photos without the service", timeout=30_000
        )


# A folder as the browser hands it over; Playwright cannot drop one.
FOLDER = """async (files) => {
  const entry = ([name, type, text]) => ({
    isDirectory: false,
    file: (done) => done(new File(
      [Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name, { type })),
  });
  let left = [files.map(entry), []];
  const folder = {
    isDirectory: true,
    createReader: () => ({ readEntries: (done) => done(left.shift()) }),
  };
  const transfer = new DataTransfer();
  transfer.items.add(new File(["x"], "x"));
  const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
  DataTransferItem.prototype.webkitGetAsEntry = () => folder;
  document.body.dispatchEvent(event);
}"""


def test_dropped_folder_names_what_is_no_photo(browser: Browser, service: Service) -> None:
    files = {
        "plate.jpg": jpeg(dish(0)),
        "IMG_0001": BROKEN,  # neither type nor ending
        "notes.txt": b"text",
        "film.mov": b"film",
        ".DS_Store": b"x",
        "Thumbs.db": b"x",
    }
    with visit(browser, service.url) as page:
        given = [[name, "", base64.b64encode(file).decode()] for name, file in files.items()]
        page.evaluate(FOLDER, given)
        expect(page.locator("#session-rows tr")).to_have_count(2)
        assert [row[0] for row in rows(page)] == ["plate.jpg", "IMG_0001"]
        expect(page.locator("#notice-text")).to_have_text(
            "Skipped 2 files that are not photos: notes.txt, film.mov"
        )
