"""Make the pictures of the documentation: ``python examples/pictures.py`` after ``make demo``.

The two pages are drawn by Chromium; ``sh tests/chromium.sh`` brings it.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

from platecheck import Classifier, Inspector
from platecheck.auditing.audit import audit
from platecheck.data.backgrounds import extract_background
from platecheck.data.clutter import lay_cutlery, watermark, wet
from platecheck.data.composite import composite, remove_foreground
from platecheck.data.decoration import decorate
from platecheck.data.glass import Glass
from platecheck.data.glazes import glaze_dish
from platecheck.data.render import BACKGROUNDS, KINDS, render_dish, render_scene, write_dataset
from platecheck.data.segmentation import segment_dish
from platecheck.drawing import draw
from platecheck.evaluation import plots
from platecheck.evaluation.evaluate import evaluate, load_model
from platecheck.heatmap import overlay
from platecheck.photo import open_photo
from platecheck.report.audit import write_page
from platecheck.training.run import Run

sys.path.insert(0, "tests/browser")
from conftest import FLAGS, chromium

IMAGES = Path("docs/images")
DEMO = Path("demo")
COLUMNS, SIDE = 7, 224
Pixels = NDArray[np.uint8]
INSPECTED = (("rack", 117, 10), ("table", 111, 6))  # kind, seed and number of dishes


def contact_sheet() -> None:
    """Two rows of clean dishes above two rows of dirty ones: every kind, on tables in turn."""
    sheet = Image.new("RGB", (COLUMNS * SIDE, 4 * SIDE))
    for row in range(4):
        for column, kind in enumerate(KINDS[:COLUMNS]):
            rng = np.random.default_rng([2, row % 2, column])
            dish = render_dish(
                rng,
                size=SIDE,
                label="clean" if row < 2 else "dirty",
                background=BACKGROUNDS[(row + 2 * column) % len(BACKGROUNDS)],
                kind=kind,
            )
            sheet.paste(Image.fromarray(dish.photo), (column * SIDE, row * SIDE))
    sheet.save(IMAGES / "synth.jpg", quality=88)


def scenes() -> None:
    """Racks, trays, sinks and tables, and below them places without any dish."""
    sheet = Image.new("RGB", (7 * SIDE, 4 * SIDE))
    rows = (
        ("rack", "sink", "tray", "table", "rack", "sink", "table"),
        ("table", "rack", "sink", "tray", "sink", "table", "rack"),
        ("rack", "sink", "tray", "table", "rack", "sink", "table"),
        ("empty-sink", "empty-rack", "hob", "hands", "kitchen", "face", "empty-sink"),
    )
    for row, kinds in enumerate(rows):
        for column, kind in enumerate(kinds):
            rng = np.random.default_rng([5, row, column])
            photo = Image.fromarray(render_scene(rng, size=2 * SIDE, kind=kind).photo)
            photo = ImageOps.fit(photo, (SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(photo, (column * SIDE, row * SIDE))
    sheet.save(IMAGES / "scenes.jpg", quality=86)


def inspected() -> None:
    """A rack and a table with the answers of the shipped models, as `inspect --save` draws them."""
    inspector, shown = Inspector.load(), []
    for kind, seed, dishes in INSPECTED:
        rng = np.random.default_rng(seed)
        scene = render_scene(rng, size=1280, kind=kind, dishes=dishes)
        photo = ImageOps.fit(Image.fromarray(scene.photo), (1200, 900), Image.Resampling.LANCZOS)
        shown.append(draw(photo, inspector.inspect(photo)))
    sheet = Image.new("RGB", (2 * 800, 600))
    for column, picture in enumerate(shown):
        sheet.paste(picture.resize((800, 600), Image.Resampling.LANCZOS), (column * 800, 0))
    sheet.save(IMAGES / "rack.jpg", quality=86)


def demo_run() -> None:
    """Curves, confusion matrix and answers of the run that ``make demo`` trains."""
    run = Run.load(DEMO / "run")
    plots.save(plots.curves(run.history), IMAGES / "curves.png")
    model, split_info = load_model(run.folder)
    found = evaluate(model, DEMO / "dishes", split_info=split_info)
    matrix = plots.confusion_matrix(found.result.confusion_matrix, found.result.classes)
    plots.save(matrix, IMAGES / "confusion.png")
    predicted = [
        plots.PredictedPhoto(
            pixels=open_photo(photo.path),
            predicted=found.result.classes[int(row.argmax())],
            probability=float(row.max()),
            truth=found.result.classes[photo.label],
        )
        for photo, row in zip(found.photos, found.probabilities, strict=True)
    ]
    plots.save(plots.prediction_grid(predicted[::5], columns=6), IMAGES / "grid.png")


def other_backgrounds() -> None:
    """A rendered dish, its mask, the dish on four other backgrounds, and the photo without it."""
    rows = []
    for label, kind, index in (("clean", KINDS[0], 5), ("dirty", KINDS[1], 8)):
        dish = render_dish(np.random.default_rng([3, index]), size=SIDE, label=label, kind=kind)
        mask = segment_dish(dish.photo).mask(SIDE, SIDE)
        shown = [dish.photo, np.where(mask[..., None] > 0, dish.photo, 255).astype(np.uint8)]
        rng = np.random.default_rng(index)
        for table in BACKGROUNDS * 3:
            other = render_dish(rng, size=SIDE, background=table)
            top = extract_background(
                other.photo, np.where(other.dish_mask, 255, 0).astype(np.uint8), rng
            )
            if top is not None and len(shown) < 6:
                shown.append(composite(top, dish.photo, mask)[0])
        own = extract_background(dish.photo, mask, rng)
        shown.append(remove_foreground(dish.photo, mask, own if own is not None else dish.photo))
        rows.append(np.concatenate(shown, axis=1))
    Image.fromarray(np.concatenate(rows)).save(IMAGES / "tables.jpg", quality=88)


def decorated() -> None:
    """Decorations and glazes; glass, water, cutlery and a watermark; decorated dirty dishes."""
    rows = [[], [], []]
    for column in range(COLUMNS):
        for row, label in enumerate(("clean", "clean", "dirty")):
            rng = np.random.default_rng([5, row, column])
            dish = render_dish(rng, size=SIDE, label=label, kind=KINDS[column % 3])
            mask = np.where(dish.dish_mask, 255, 0).astype(np.uint8)
            rows[row].append(_changed(rng, dish.photo, mask, row, column))
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray(sheet).save(IMAGES / "decorated.jpg", quality=88)


def _changed(
    rng: np.random.Generator, photo: Pixels, mask: Pixels, row: int, column: int
) -> Pixels:
    if row != 1:
        return glaze_dish(rng, photo, mask) if column % 3 == 2 else decorate(rng, photo, mask)
    if column >= 5:
        return lay_cutlery(rng, photo) if column == 5 else watermark(rng, photo)
    if column >= 3:
        return wet(rng, photo, mask)
    background = None
    while background is None:  # some dishes leave too little of their table
        other = render_dish(rng, size=SIDE)
        its_mask = np.where(other.dish_mask, 255, 0).astype(np.uint8)
        background = extract_background(other.photo, its_mask, rng)
    return composite(background, photo, mask, glass=Glass.draw(rng, photo, mask))[0]


def heatmaps() -> None:
    """Rendered dirty dishes above, where the shipped model sees dirt below."""
    classifier = Classifier.load()
    above, below = [], []
    for index in range(COLUMNS):
        dish = render_dish(np.random.default_rng([4, index]), size=SIDE, label="dirty")
        file = io.BytesIO()
        Image.fromarray(dish.photo).save(file, "PNG")
        found = classifier.predict(file.getvalue())
        assert found.heatmap is not None
        above.append(dish.photo)
        below.append(np.asarray(overlay(file.getvalue(), found.heatmap)))
    sheet = np.concatenate([np.concatenate(above, axis=1), np.concatenate(below, axis=1)])
    Image.fromarray(sheet).save(IMAGES / "evidence.jpg", quality=88)


def pages() -> None:
    """The top of the report that ``make demo`` writes, and of an audit of confounded dishes."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        dishes = Path(name, "dishes")
        write_dataset(dishes, photos=400, size=128, confound=0.9, seed=1)
        shutil.copy(dishes / "test/clean/0001.jpg", dishes / "train/clean/copy.jpg")
        shutil.copy(dishes / "train/dirty/0005.jpg", dishes / "train/clean/odd.jpg")
        write_page(audit(dishes), Path(name, "audit.html"))
        browser = playwright.chromium.launch(
            executable_path=chromium(playwright.chromium), args=[*FLAGS]
        )
        for page, picture in (
            (DEMO / "run/report.html", "report"),
            (Path(name, "audit.html"), "audit"),
        ):
            view = browser.new_page(viewport={"width": 1000, "height": 1250})
            view.set_content(page.read_text("utf-8").replace(f"{Path.cwd()}/", ""))
            view.screenshot(path=IMAGES / f"{picture}.png")
        browser.close()


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    contact_sheet()
    scenes()
    inspected()
    demo_run()
    other_backgrounds()
    decorated()
    heatmaps()
    pages()
