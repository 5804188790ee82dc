"""Several runs from the same first weights, their weights averaged into one network.

Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time, 2022: the uniform soup. Here the members differ in the order of
the photos, in every random change of them, and in the rendered dishes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.special import log_softmax
from torch import Tensor

from platecheck.files import replacing
from platecheck.training.calibration import fit_temperature
from platecheck.training.pretrained import read_state
from platecheck.training.run import Run, write_history
from platecheck.training.trained import TrainedModel
from platecheck.training.views import batches, views


def cook(run: Run, members: Sequence[Run]) -> None:
    """Average the members' weights epoch by epoch, and judge every average on validation photos.

    Args:
        run: gets weights and history.
        members: finished runs from the same first weights; none of their BatchNorm statistics
            learns, as those of an average would be wrong.

    Raises:
        ModelError: weights of a member are damaged.
    """
    pixels, labels, _ = views(run, "val")
    history = []
    for epoch, rows in enumerate(zip(*(member.history for member in members), strict=True), 1):
        state = average([read_state(member.weights(epoch)) for member in members])
        with replacing(run.weights(epoch)) as temporary:
            save_file(state, temporary)
        model = TrainedModel(run, epoch)
        logits = np.concatenate([model.logits(batch) for batch in batches(pixels)])
        # As the module judges its epochs: smoothed answers by their calibrated loss.
        scale = fit_temperature(logits, labels) if run.recipe.label_smoothing else 1.0
        scores = log_softmax(logits / scale, axis=1)
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        history.append(
            mean
            | {
                "val_loss": -float(scores[np.arange(len(labels)), labels].mean()),
                "val_accuracy": float((logits.argmax(axis=1) == labels).mean()),
                "seconds": sum(row["seconds"] for row in rows),
            }
        )
    write_history(run.folder / "history.csv", history)


def average(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every tensor; of counters, which are no weights, the first one's."""
    return {
        key: torch.stack([state[key] for state in states]).mean(dim=0)
        if first.is_floating_point()
        else first
        for key, first in states[0].items()
    }
