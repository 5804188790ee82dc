"""``python -m experiments.sources DISHES OTHERS OUT``: the photos that the models were trained on.

DISHES is the public set, split as for every model. OTHERS holds ``SET/{clean,dirty}/…`` of the sets
in `SETS`, whose licence allows training. Half of each is left for measuring; whole scenes and
near-copies stay together. Writes OUT, a list for ``platecheck train --data OUT``; ``--leave-out
SET…`` without these sets, to see what a model does on a source it has not seen. After training,
``--run RUN`` notes in that run how DISHES was split, so that models exported from it are evaluated
on DISHES without the photos of training and selection.
"""

import argparse
import csv
import json
import random
import re
from pathlib import Path

from scipy.cluster.hierarchy import DisjointSet

from platecheck.data.folders import read_photos, sha256_of
from platecheck.data.near_duplicates import fingerprint, group_near_duplicates
from platecheck.data.splits import describe_split, with_validation
from platecheck.files import write_text
from platecheck.photo import open_photo
from platecheck.training.run import Run

Item = tuple[str, str, Path]  # set, class, photo

# One user of a camera, one video, or one photo that several dishes were cut from, is one scene; of
# the fixed camera of "canteen", one minute.
USER = re.compile(r"_\d{8}_\d\d_\d\d_\d\d_\d+_\d+_([A-Za-z0-9]+)_")
MINUTE = len("20220427T1741")
SETS = ("dishwasher_crops", "glasses", "canteen")
VALIDATION = 0.18  # of the training half
VAL_TO_TRAIN = 0.5  # as in the recipes
SEED = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.sources", description=__doc__)
    parser.add_argument("dishes", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--leave-out", choices=SETS, nargs="+", default=[])
    options = parser.parse_args()
    public = read_photos(options.dishes)
    if options.run:
        split = describe_split(public, seed=0, val_to_train=VAL_TO_TRAIN)
        run = Run.load(options.run)
        facts = run.facts.model_copy(update={"split_info": split})
        write_text(run.folder / "run.json", json.dumps(facts.model_dump(), indent=2) + "\n")
        return
    home = with_validation(public, seed=0, val_to_train=VAL_TO_TRAIN)
    rows = [(photo.path, home.classes[photo.label], photo.split) for photo in home.photos]
    items = [
        (name, label, path)
        for name in SETS
        for label in ("clean", "dirty")
        for path in sorted((options.others / name / label).glob("*"))
    ]
    rng = random.Random(SEED)
    groups = grouped(items)
    chosen = [group for name in SETS for group in half([g for g in groups if g[0][0] == name], rng)]
    chosen.sort(key=lambda group: str(group[0][2]))
    rng.shuffle(chosen)
    left = VALIDATION * sum(map(len, chosen))
    for group in chosen:
        split = "val" if left > 0 and len(group) < 8 else "train"
        left -= len(group) if split == "val" else 0
        rows += [(p, label, split) for name, label, p in group if name not in options.leave_out]
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows((path.absolute(), label, split) for path, label, split in rows)


def grouped(items: list[Item]) -> list[list[Item]]:
    """Group photos that share a scene or are near-copies."""
    copies = group_near_duplicates(
        [(sha256_of(path), fingerprint(open_photo(path))) for *_, path in items]
    )
    sets = DisjointSet([*map(scene, items), *map(str, copies)])
    for item, copy in zip(items, copies, strict=True):
        sets.merge(scene(item), str(copy))
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(sets[scene(item)], []).append(item)
    return list(found.values())


def scene(item: Item) -> str:
    name, _, path = item
    if name == "canteen":
        return f"{name} {path.name[:MINUTE]}"
    if is_video(path):
        return f"{name} video"
    if found := USER.search(path.name):
        return f"{name} {found[1]}"
    return f"{name} {re.sub(r'(_jpg)?_[0-9][.]jpg$', '', path.name)}"


def is_video(path: Path) -> bool:
    """Return whether a photo is a frame of the one video of *dishwashe2.0*."""
    return "WhatsApp" in path.name


def half(groups: list[list[Item]], rng: random.Random) -> list[list[Item]]:
    """Choose about half of the photos of a set, by whole groups, the largest first."""
    rng.shuffle(groups)
    train: list[list[Item]] = []
    left = 0
    for group in sorted(groups, key=len, reverse=True):
        if sum(map(len, train)) <= left:
            train.append(group)
        else:
            left += len(group)
    return train


if __name__ == "__main__":
    main()
