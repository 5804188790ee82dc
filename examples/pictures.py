"""Make the pictures of the documentation: ``python examples/pictures.py`` after ``make demo``."""

from pathlib import Path

import numpy as np
from PIL import Image

from platecheck.data.synth import KINDS, TABLES, render_dish
from platecheck.evaluation import plots
from platecheck.evaluation.evaluate import evaluate, load_model
from platecheck.photo import open_photo
from platecheck.training.run import Run

IMAGES = Path("docs/images")
DEMO = Path("demo")
COLUMNS, SIDE = 7, 224


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
                table=TABLES[(row + 2 * column) % len(TABLES)],
                kind=kind,
            )
            sheet.paste(Image.fromarray(dish.photo), (column * SIDE, row * SIDE))
    sheet.save(IMAGES / "synth.jpg", quality=88)


def demo_run() -> None:
    """Curves, confusion matrix and answers of the run that ``make demo`` trains."""
    run = Run.load(DEMO / "run")
    plots.save(plots.curves(run.history), IMAGES / "curves.png")
    model, division = load_model(run.folder)
    found = evaluate(model, DEMO / "dishes", division=division)
    matrix = plots.confusion_matrix(found.result.confusion_matrix, found.result.classes)
    plots.save(matrix, IMAGES / "confusion.png")
    answered = [
        plots.AnsweredPhoto(
            pixels=open_photo(photo.path),
            predicted=found.result.classes[int(row.argmax())],
            probability=float(row.max()),
            truth=found.result.classes[photo.label],
        )
        for photo, row in zip(found.photos, found.probabilities, strict=True)
    ]
    plots.save(plots.prediction_grid(answered[::5], columns=6), IMAGES / "grid.png")


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    contact_sheet()
    demo_run()
