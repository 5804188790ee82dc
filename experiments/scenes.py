"""``python -m experiments.scenes DISHES OTHERS RENDERED OUT``: the photos of the bundled detector.

DISHES is the public set. OTHERS holds ``dishwasher_scenes`` (YOLO format, not every dish has a box)
and ``sinks/no_dishes``. RENDERED holds what was made with::

    platecheck data render --scenes RENDERED/scenes -n 3600 --size 416 --seed 21
    platecheck data render --scenes RENDERED/sinks -n 400 --size 416 --seed 22 --kind empty-sink
    python -m experiments.clutter RENDERED/clutter

Writes links to photos and labels, and files for ``platecheck train dishes --data``: ``first.yaml``
without OTHERS, ``second.yaml`` with them, and ``fold-1.yaml`` to ``fold-3.yaml``, each with a third
of OTHERS as its test split. Photos of one scene and near-copies stay together.
"""

import argparse
import random
from pathlib import Path

import yaml

from experiments.sources import VAL_TO_TRAIN, grouped, is_video
from platecheck.data.folders import read_photos
from platecheck.data.splits import with_validation

FOLDS = 3
FRAMES = 4  # of a video, every fourth frame is taken
REPEATED = 8  # how often an empty sink of OTHERS is listed, among hundreds of rendered ones
VALIDATED = {"scenes": 60, "sinks": 30, "clutter": 10, "dishes": 50}  # at most
SHARE = 0.07  # of the photos of OTHERS that are not tested, for validation
SEED = 5

Listed = list[tuple[Path, str]]  # photos and their splits


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.scenes", description=__doc__)
    for name in ("dishes", "others", "rendered", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    out: Path = options.out
    for name in ("scenes", "sinks", "clutter"):
        source = options.rendered / name
        parts = [(path, path.relative_to(source).parts) for path in photos(source)]
        found = [(path, "val" if "val" in p else "train") for path, p in parts if "test" not in p]
        if name == "clutter":
            found = [(p, "train" if place % 6 else "val") for place, (p, _) in enumerate(found)]
        link(some(found, name), source, out / name)
    public = with_validation(read_photos(options.dishes), seed=0, val_to_train=VAL_TO_TRAIN)
    home = [(photo.path, photo.split) for photo in public.photos if photo.split != "test"]
    for path, split in some(home, "dishes"):
        folder = out / "dishes" / split / path.parent.name
        make_link(folder / f"{path.parent.parent.name}-{path.name}", path)
    rendered = {"boxes": ["scenes"], "dishes": ["dishes"], "empty": ["sinks/images", "clutter"]}
    write(out / "first.yaml", rendered)
    everything = groups(options.others)
    for fold in range(FOLDS + 1):  # 0: nothing is tested
        name = f"fold-{fold}" if fold else "second"
        splits = divide(everything, fold)
        scenes = [each for each in splits if "dishwasher_scenes" in each[0].parts]
        link(scenes, options.others / "dishwasher_scenes", out / name / "scenes")
        for path, split in splits:
            if "sinks" in path.parts:
                for copy in range(REPEATED if split == "train" else 1):
                    make_link(out / name / "sinks" / split / f"{copy}-{path.name}", path)
        empty = [*rendered["empty"], f"{name}/sinks"]
        write(out / f"{name}.yaml", {**rendered, "partly": [f"{name}/scenes"], "empty": empty})


def photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))


def some(listed: Listed, name: str) -> Listed:
    """Return the training photos and some of those for validation."""
    validation = [each for each in listed if each[1] == "val"]
    chosen = random.Random(SEED).sample(validation, min(len(validation), VALIDATED[name]))
    return [each for each in listed if each[1] == "train"] + chosen


def groups(others: Path) -> list[list[Path]]:
    """Return the photos of OTHERS by scene, the largest scenes first."""
    paths = photos(others / "dishwasher_scenes") + photos(others / "sinks" / "no_dishes")
    found = [[path for *_, path in group] for group in grouped([("", "", p) for p in paths])]
    frames = [[*group[::FRAMES]] if is_video(group[0]) else group for group in found]
    random.Random(SEED).shuffle(frames)
    return sorted(frames, key=len, reverse=True)


def divide(everything: list[list[Path]], fold: int) -> Listed:
    """Return every third scene as the test split, small ones for validation, the others."""
    splits: Listed = []
    tested = [place % FOLDS + 1 == fold for place in range(len(everything))]
    rest = [group for group, test in zip(everything, tested, strict=True) if not test]
    left = SHARE * sum(map(len, rest))
    for group, test in zip(reversed(everything), reversed(tested), strict=True):
        split = "test" if test else "val" if left > 0 else "train"
        left -= len(group) if split == "val" else 0
        splits += [(path, split) for path in group]
    return splits


def link(listed: Listed, source: Path, target: Path) -> None:
    """Link photos and their labels, if there are any, into folders by split."""
    for path, split in listed:
        labels = source / "labels"
        if labels.is_dir():
            label = labels / path.relative_to(source / "images").with_suffix(".txt")
            make_link(target / "images" / split / path.name, path)
            make_link(target / "labels" / split / label.name, label)
        else:
            make_link(target / split / path.name, path)


def make_link(link: Path, file: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(file.resolve())


def write(path: Path, listed: dict[str, list[str]]) -> None:
    path.write_text(yaml.safe_dump(listed, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
