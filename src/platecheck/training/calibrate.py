"""What belongs to a run's best epoch but is not learnt by gradient."""

import json

import numpy as np

from platecheck.files import write_text
from platecheck.training.exported import exported_familiarity, started_from
from platecheck.training.familiar import fit_familiarity
from platecheck.training.run import Run
from platecheck.training.trained import TrainedModel
from platecheck.training.views import batches, changed_views, rendered_views, views


def calibrate(run: Run) -> None:
    """Fit the temperature; where the network gives evidence, what tells dishes from anything else.

    Both files are written into the run folder.

    Args:
        run: with at least one finished epoch.
    """
    for stale in (run.familiarity, run.calibration):
        stale.unlink(missing_ok=True)
    model = TrainedModel(run)
    pixels = views(run, "val").pixels
    temperature = model.fit_temperature()
    content = {"temperature": temperature, "epoch": model.epoch, "photos": len(pixels)}
    if model.module.network.evidence is not None:
        learnt = [*views(run, "train").pixels, *rendered_views(run)]
        # A dim or blurred dish is a dish: half of what is shown is changed so.
        train, val = (
            np.concatenate([model.look(batch) for batch in batches([*some, *changed_views(some)])])
            for some in (learnt, pixels)
        )
        start = started_from(run.recipe.network)
        before = exported_familiarity(start) if start else None
        fit_familiarity(train, val, before).save(run.familiarity)
    write_text(run.calibration, json.dumps(content, indent=2) + "\n")
