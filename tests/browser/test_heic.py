"""HEIC photos, which this browser cannot read: the service does."""

from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.visits import answered, choose, encode, give, photo, rows, uploads
from playwright.sync_api import Page, expect

# A small picture of no dish.
HEIC = (Path(__file__).parents[1] / "unit" / "heif_fixtures" / "plain.heic").read_bytes()
# The start of a HEIC file, as far as its content tells it from others.
BROKEN = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.mark.parametrize("kind", ["image/heic", "", "application/octet-stream"])
def test_heic_is_sent_unchanged_without_a_preview(page: Page, kind: str) -> None:
    accepted = (page.locator("#files").get_attribute("accept") or "").split(",")
    assert {"image/*", ".heic", ".heif", ".hif"} <= set(accepted)
    sent = uploads(page)
    for number, way in enumerate(("choose", "drop", "paste")):
        file = photo(f"IMG_{number}.HEIC", BROKEN, kind)
        if way == "choose":
            choose(page, file)
        else:
            give(page, way, file)
        expect(page.locator("#photo-name")).to_have_text(f"IMG_{number}.HEIC")
        expect(page.locator("#verdict-name")).to_have_text("No result")
        assert sent() == [BROKEN] * (number + 1)
        expect(page.locator("#no-preview")).to_be_visible()
        expect(page.locator("#photo")).to_be_hidden()


def test_heic_is_classified_alone_and_in_a_batch(page: Page) -> None:
    choose(page, photo("IMG_1.HEIC", HEIC, ""))
    assert answered(page) in ("Clean", "Dirty", "Unsure", "No dish found")
    choose(page, photo("IMG_2.HEIC", HEIC, ""), photo("b.jpg", jpeg(dish(0))))
    expect(page.locator("#progress-text")).to_have_text("2 photos checked")


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


def test_dropped_folder_names_files_that_are_not_photos(page: Page) -> None:
    files = {
        "plate.jpg": jpeg(dish(0)),
        "IMG_0001": BROKEN,  # neither type nor suffix
        "notes.txt": b"text",
        "film.mov": b"film",
        ".DS_Store": b"x",
        "Thumbs.db": b"x",
    }
    page.evaluate(FOLDER, [[name, "", encode(file)] for name, file in files.items()])
    expect(page.locator("#session-rows tr")).to_have_count(2)
    # Answers move their rows.
    assert {row[0] for row in rows(page)} == {"plate.jpg", "IMG_0001"}
    expect(page.locator("#notice-text")).to_have_text(
        "Skipped 2 files that are not photos: notes.txt, film.mov"
    )
