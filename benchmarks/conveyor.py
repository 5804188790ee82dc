"""``python -m benchmarks.conveyor``: is each dish of a rendered belt reported once?

Follows belts of rendered dishes that training has never seen through `Inspector` and `Tracker`, at
ten frames a second. With ``--oracle``, a detector and classifier that know the truth but err
replace the models, which measures tracking by itself.
"""

import argparse
from dataclasses import astuple, fields

import numpy as np

from platecheck.tracking import Tracker
from tests.support.conveyor import HEIGHT, SCENARIOS, WIDTH, Conveyor, Oracle, Score, judge

FPS = 10
FIRST_SEED = 1_000_000  # apart from the seeds of training data


def follow(scenario: str, seed: int, inspector: object | None) -> Score:
    """Follow one belt; without an inspector, with an oracle."""
    conveyor = Conveyor(seed, **SCENARIOS[scenario], fps=FPS, rendered=inspector is not None)
    oracle, tracker, reports = Oracle(np.random.default_rng(seed)), Tracker(), []
    for number in range(len(conveyor)):
        if inspector is None:
            dishes = oracle.look(conveyor.truth(number))
        else:
            dishes = inspector.inspect(conveyor.render(number)).dishes
        reports += tracker.update(conveyor.time(number), dishes, (HEIGHT, WIDTH))
    return judge(conveyor, [*reports, *tracker.finish()])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conveyor", description=__doc__)
    parser.add_argument("--belts", type=int, default=3, help="belts per scenario")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only these")
    parser.add_argument("--oracle", action="store_true", help="without the models")
    given = parser.parse_args()
    inspector = None
    if not given.oracle:
        from platecheck.inspector import Inspector

        inspector = Inspector.load()
    names = [field.name for field in fields(Score)]
    print(f"{'scenario':12}" + "".join(f"{name:>8}" for name in names), flush=True)
    total = Score()
    for scenario in given.scenario or SCENARIOS:
        belts = range(FIRST_SEED, FIRST_SEED + given.belts)
        score = sum((follow(scenario, seed, inspector) for seed in belts), Score())
        print(f"{scenario:12}" + "".join(f"{n:8}" for n in astuple(score)), flush=True)
        total += score
    print(f"reported once with the right label: {total.right} / {total.dishes}")
    print(f"reports where there is no dish: {total.none}")


if __name__ == "__main__":
    main()
