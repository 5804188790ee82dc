"""Train a recipe with several seeds and write a table of what each is worth.

    python -m experiments.reference tiny_vgg --data ../shared/dishes

Runs that are already in the folder are used as they are; a stopped one goes on.
"""

import argparse
from pathlib import Path

import numpy as np

from platecheck import train
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.evaluation.metrics import EvaluationResult
from platecheck.training.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reference", description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        run = trained(options.recipe, options.data, options.runs, seed)
        rows.append((run, judged(run, options.data, "val"), judged(run, options.data, "test")))
    print("\n".join(table(rows)))


def trained(recipe: str, data: Path, runs: Path, seed: int) -> Run:
    """The finished run of a seed, trained now if it is not there."""
    folder = runs / f"{recipe}-seed{seed}"
    if Run.is_run(folder) and (run := Run.load(folder)).finished:
        return run
    resume = folder.exists()
    return train(recipe, data, folder, seed=seed, resume=resume, accelerator="cpu", devices=1)


def judged(run: Run, data: Path, split: str) -> Evaluation:
    """The figures of the run's best epoch."""
    model, split_info = load_model(run.folder)
    return evaluate(model, data, split=split, split_info=split_info)


def table(rows: list[tuple[Run, Evaluation, Evaluation]]) -> list[str]:
    """Markdown: a row a seed, then mean and spread, then the seeds that never left chance."""
    lines = [
        "| seed | best epoch | train loss below 0.65 from epoch | validation | test"
        " | precision | recall | F1 | ECE | mean confidence |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run, val, test in rows:
        below = [int(row["epoch"]) for row in run.history if row["train_loss"] < 0.65]
        figures = test.result
        cells = (
            str(run.facts.seed),
            str(run.best_epoch),
            str(below[0]) if below else "never",
            share(val.result),
            share(figures, interval=True),
            f"{figures.precision:.4f}",
            f"{figures.recall:.4f}",
            f"{figures.f1:.4f}",
            f"{figures.ece:.3f}",
            f"{figures.mean_confidence:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    accuracy = np.array([test.result.accuracy for _, _, test in rows])
    low, high = accuracy.min(), accuracy.max()
    lines += [
        "",
        f"Test accuracy over {len(rows)} seeds: mean {accuracy.mean():.2%},"
        f" lowest {low:.2%}, highest {high:.2%}.",
        f"Seeds that never left chance: {sum(at_chance(val.result) for _, val, _ in rows)}"
        f" of {len(rows)} (validation accuracy of the best epoch not above the share of the larger"
        " class, 95 % interval).",
    ]
    return lines


def share(result: EvaluationResult, *, interval: bool = False) -> str:
    """Correct of all, in per cent, with the interval if wanted."""
    text = f"{result.correct}/{result.photos} = {result.accuracy:.2%}"
    low, high = result.accuracy_ci95
    return f"{text} ({low:.1%}–{high:.1%})" if interval else text


def at_chance(result: EvaluationResult) -> bool:
    """Whether always naming the larger class would not be told apart from this."""
    majority = max(sum(row) for row in result.confusion_matrix) / result.photos
    return result.accuracy_ci95[0] <= majority


if __name__ == "__main__":
    main()
