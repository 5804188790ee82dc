import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from platecheck.data.folders import list_photos
from platecheck.data.segmentation import NO_MASK, DishMask
from platecheck.errors import DataError, PhotoError
from platecheck.evaluation.background_evaluation import (
    MAX_GROUPS,
    BackgroundEvaluation,
    background_groups,
    border_features,
    evaluate_backgrounds,
)
from platecheck.evaluation.background_metrics import AccuracyGap, BackgroundMetrics
from platecheck.evaluation.background_swap import BackgroundSwap, background_strip
from platecheck.evaluation.evaluate import evaluate
from platecheck.evaluation.metrics import wilson_interval
from platecheck.photo import open_photo

SIZE = 64
CLASSES = ("clean", "dirty")
BLUE, RED, GREEN = (50, 60, 140), (140, 60, 50), (50, 140, 60)


@dataclass(frozen=True)
class Fake:
    """Gives the probabilities that `look` makes of photos [N, size, size, 3]."""

    look: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...] = CLASSES
    size: int = SIZE

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (self.size, self.size, 3)
        return self.look(pixels).astype(np.float32)


def two(second: np.ndarray) -> np.ndarray:
    return np.stack([1 - second, second], axis=1)


def border(pixels: np.ndarray) -> np.ndarray:
    """Mean colour of the outermost pixels [N, 3]."""
    band = np.ones(pixels.shape[1:3], bool)
    band[3:-3, 3:-3] = False
    return pixels[:, band].mean(axis=1)


def middle(pixels: np.ndarray) -> np.ndarray:
    """Mean of the pixels in the very middle [N]."""
    half = pixels.shape[1] // 2
    return pixels[:, half - 3 : half + 3, half - 3 : half + 3].mean(axis=(1, 2, 3))


# Clean dishes are white in the middle, dirty ones are not; blue tables are called clean.
DISH = Fake(lambda pixels: two(np.where(middle(pixels) > 175, 0.1, 0.9)))
TABLE = Fake(lambda pixels: two(np.where(border(pixels)[:, 2] > border(pixels)[:, 0], 0.2, 0.8)))


def draw(path: Path, table: tuple[int, int, int], *, dirty: bool, dish: bool = True) -> None:
    """A photo of a round dish, the same one whatever the folder it is in."""
    rng = np.random.default_rng(list(f"{path.parent.name}/{path.name}".encode()))
    pixels = np.array(table) + rng.integers(-12, 12, (SIZE, SIZE, 1))
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    distance = np.hypot(x, y)
    if dish:
        pixels[distance < 21 + rng.integers(0, 3)] = 225
        pixels[distance < (6 if dirty else 0)] = 130
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def draw_all(folder: Path, counts: Mapping[tuple[str, tuple[int, int, int]], int]) -> Path:
    for (place, table), count in counts.items():
        label = place.rpartition("/")[2]
        for number in range(count):
            draw(folder / place / f"{table[0]}-{number:02}.png", table, dirty=label != "clean")
    return folder


@pytest.fixture(autouse=True)
def one_cache(environment: None, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut-outs are kept by content, so these tests may share them."""
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / "exchange"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean dishes on blue tables and dirty ones on red, with few exceptions."""
    counts = {("clean", BLUE): 15, ("clean", RED): 3, ("dirty", RED): 12, ("dirty", BLUE): 4}
    return draw_all(tmp_path_factory.mktemp("drawn") / "set", counts)


def measure(model: Any, folder: Path, seed: int = 0) -> BackgroundEvaluation:
    return evaluate_backgrounds(model, evaluate(model, folder), seed=seed)


@pytest.fixture(scope="module")
def by_dish(drawn: Path) -> BackgroundEvaluation:
    return measure(DISH, drawn)


@pytest.fixture(scope="module")
def by_table(drawn: Path) -> BackgroundEvaluation:
    return measure(TABLE, drawn)


def test_model_that_looks_at_the_dish_loses_nothing(by_dish: BackgroundEvaluation) -> None:
    for name in ("mixed_same", "mixed_rand", "mixed_next"):
        np.testing.assert_array_equal(
            by_dish.probabilities[name], by_dish.probabilities["original"]
        )
    result = by_dish.result
    assert result.original_same_dishes.value == result.mixed_same.value
    assert result.worst_table.value == result.mixed_same.value
    for gap in (result.bg_gap, result.next_gap):
        assert (gap.gap, gap.gap_ci95) == (0, (0, 0))
    assert "loses nothing: no sign that it depends on the background" in result.verdict(2)


def test_metrics_of_a_model_that_sees_only_the_background_are_known(
    drawn: Path, by_table: BackgroundEvaluation
) -> None:
    result, swap = by_table.result, by_table.swap
    assert (result.original.count, result.original.total) == (27, 34)
    assert (result.left_out.dishes, result.left_out.tables) == (0, 0)
    red = {i for i, f in enumerate(swap.photos) if f.photo.name.split("/")[1].startswith("140")}
    labels = [swap.photos[dish].photo.label for dish in swap.dishes]
    accuracies = []
    for name in ("mixed_same", "mixed_rand", "mixed_next"):
        backgrounds = zip(by_table.backgrounds[name], labels, strict=True)
        correct = sum((background in red) == label for background, label in backgrounds)
        proportion = getattr(result, name)
        assert (proportion.count, proportion.total) == (correct, 34)
        assert proportion.interval == wilson_interval(correct, 34)
        accuracies.append(correct / 34)
    same, rand, next_ = accuracies
    assert same > 0.7 > rand > next_
    assert result.bg_gap.gap == pytest.approx(same - rand)
    assert result.next_gap.gap == pytest.approx(same - next_)
    # Without its dish a photo still tells this model as much as with it.
    assert (result.only_bg.count, result.only_bg.total) == (27, 34)
    assert result.only_bg.majority_rate == 18 / 34
    assert (result.worst_table.count, result.worst_table.tables) == (0, 16)
    # It says 0.8 always, and is right less often.
    both = (result.original_same_dishes.count + result.mixed_rand.count) / 68
    assert result.ece_original_and_mixed_rand == pytest.approx(abs(0.8 - both), abs=1e-6)
    assert "it depends on the background." in result.verdict(2)
    assert measure(TABLE, drawn).result == result
    assert measure(TABLE, drawn, seed=1).result != result


def test_backgrounds_are_of_the_right_class_and_never_the_dishs_own(
    by_dish: BackgroundEvaluation,
) -> None:
    for at, dish in enumerate(by_dish.swap.dishes):
        own = by_dish.swap.photos[dish].photo
        chosen = {
            name: by_dish.swap.photos[tables[at]].photo
            for name, tables in by_dish.backgrounds.items()
        }
        assert chosen["mixed_same"].label == own.label
        assert chosen["mixed_next"].label != own.label
        assert own.sha256 not in {photo.sha256 for photo in chosen.values()}
    rand = [by_dish.swap.photos[table].photo.label for table in by_dish.backgrounds["mixed_rand"]]
    assert 0 < sum(rand) < len(rand)


def test_sampled_backgrounds_are_balanced_over_the_classes(drawn: Path) -> None:
    swap = BackgroundSwap(list_photos(drawn).photos, SIZE, seed=0)
    lots = [swap.sample_backgrounds(dish) for dish in swap.dishes]
    for dish, lot in zip(swap.dishes, lots, strict=True):
        assert len(set(lot)) == len(lot) == 16
        assert dish not in lot
        assert sum(swap.photos[table].photo.label for table in lot) == 8
    assert len(set.union(*map(set, lots))) <= 18  # the same ones, but for the own
    other = BackgroundSwap(list_photos(drawn).photos, SIZE, seed=1)
    assert set(other.sample_backgrounds(0)) != set(lots[0])


def test_worst_background_needs_every_background_correct(drawn: Path) -> None:
    def look(pixels: np.ndarray) -> np.ndarray:
        dirty = middle(pixels) <= 175
        # One picture in many, which it calls clean.
        fooled = (pixels == fooling).all(axis=(1, 2, 3))
        return two(np.where(dirty & ~fooled, 0.9, 0.1))

    swap = BackgroundSwap(list_photos(drawn).photos, SIZE, seed=0)
    dirty = [dish for dish in swap.dishes if swap.photos[dish].photo.label == 1]
    fooling = swap.mixed(dirty[0], swap.sample_backgrounds(dirty[0])[5])
    result = measure(Fake(look), drawn).result
    assert result.original.value == 1
    assert (result.worst_table.count, result.worst_table.total) == (33, 34)


def test_worst_group_is_of_class_and_background(by_table: BackgroundEvaluation) -> None:
    groups = by_table.result.worst_group
    assert [(kind.kind, kind.photos) for kind in groups.kinds] == [(1, 19), (2, 15)]
    colours = [[int(kind.colour[k : k + 2], 16) for k in (1, 3, 5)] for kind in groups.kinds]
    np.testing.assert_allclose(colours, [BLUE, RED], atol=4)
    assert {(g.label, g.kind): (g.count, g.total) for g in groups.groups} == {
        ("clean", 1): (15, 15),
        ("clean", 2): (0, 3),
        ("dirty", 1): (0, 4),
        ("dirty", 2): (12, 12),
    }
    # Groups of three and four photos are listed, but not called the worst.
    assert groups.worst is not None
    assert groups.worst.total >= 10
    assert groups.accuracy == groups.worst.value == 1


def test_worst_group_without_a_large_group_is_none(tmp_path: Path) -> None:
    counts = {("clean", BLUE): 5, ("dirty", RED): 5}
    groups = measure(DISH, draw_all(tmp_path, counts)).result.worst_group
    assert (groups.accuracy, groups.worst) == (None, None)
    assert len(groups.groups) == 2


def test_image_depends_on_seed_dish_and_background_only(drawn: Path, tmp_path: Path) -> None:
    photos = list_photos(drawn).photos
    whole = BackgroundSwap(photos, SIZE, seed=0)
    for label in CLASSES:
        (tmp_path / label).mkdir()
    for photo in photos[10:]:
        shutil.copy(photo.path, tmp_path / CLASSES[photo.label] / f"renamed {photo.path.name}")
    part = BackgroundSwap(list_photos(tmp_path).photos, SIZE, seed=0)
    ours = {found.photo.sha256: i for i, found in enumerate(whole.photos)}
    keys = [found.photo.sha256 for found in part.photos]
    for dish in range(0, len(keys), 5):
        table = dish - 1
        np.testing.assert_array_equal(
            part.mixed(dish, table), whole.mixed(ours[keys[dish]], ours[keys[table]])
        )
        np.testing.assert_array_equal(
            part.only_background(dish), whole.only_background(ours[keys[dish]])
        )
    pictures = [BackgroundSwap(photos, SIZE, seed=seed).mixed(0, 20) for seed in (0, 1)]
    assert (pictures[0] != pictures[1]).any()


def test_copies_of_a_photo_do_not_exchange_backgrounds(tmp_path: Path) -> None:
    folder = draw_all(tmp_path, {("clean", BLUE): 5, ("dirty", RED): 5})
    shutil.copy(folder / "dirty/140-00.png", folder / "dirty/copy.png")
    shutil.copy(folder / "dirty/140-01.png", folder / "clean/wrong.png")
    swap = BackgroundSwap(list_photos(folder).photos, SIZE, seed=0)
    assert len(swap.photos) == 12
    assert len(swap.backgrounds) == 10
    for dish in swap.dishes:
        own = swap.photos[dish].photo.sha256
        for tables in (swap.same_class(dish), swap.next_class(dish), swap.sample_backgrounds(dish)):
            assert own not in {swap.photos[table].photo.sha256 for table in tables}
        assert len(swap.sample_backgrounds(dish)) == 9


# --- sets of other sorts


def test_three_classes_take_backgrounds_of_the_next(tmp_path: Path) -> None:
    counts = {("clean", BLUE): 4, ("dirty", RED): 4, ("soapy", GREEN): 4}
    folder = draw_all(tmp_path, counts)
    classes = ("clean", "dirty", "soapy")
    colours = np.array([2, 0, 1])  # the classes' channels

    model = Fake(lambda pixels: np.eye(3)[border(pixels)[:, colours].argmax(axis=1)], classes)
    found = measure(model, folder)
    answered = found.probabilities["mixed_next"].argmax(axis=1)
    labels = [found.swap.photos[dish].photo.label for dish in found.swap.dishes]
    assert answered.tolist() == [(label + 1) % 3 for label in labels]
    assert found.result.mixed_same.value == 1
    assert found.result.mixed_next.value == 0
    assert found.result.verdict(3).startswith("On the next class's backgrounds it loses 100 points")
    sampled = [found.swap.photos[i].photo.label for i in found.swap.sample_backgrounds(0)]
    assert [sampled.count(label) for label in range(3)] == [3, 4, 4]  # all but its own


def test_photos_without_a_dish_are_left_out(tmp_path: Path) -> None:
    folder = draw_all(tmp_path, {("clean", BLUE): 6, ("dirty", RED): 6})
    for number in range(3):
        draw(folder / "clean" / f"empty-{number}.png", BLUE, dirty=False, dish=False)
    result = measure(DISH, folder).result
    assert result.original.total == 15
    assert result.original_same_dishes.total == result.mixed_next.total == 12
    assert (result.left_out.dishes, result.left_out.tables) == (3, 3)


def test_dish_that_fills_its_photo_lends_no_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_all(tmp_path, {("clean", BLUE): 6, ("dirty", RED): 6})
    full = open_photo(folder / "dirty/140-00.png", size=SIZE)

    def narrow(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
        return None if (pixels == full).all() else background_strip(pixels, mask)

    monkeypatch.setattr("platecheck.evaluation.background_swap.background_strip", narrow)
    result = measure(DISH, folder).result
    assert (result.left_out.dishes, result.left_out.tables) == (0, 1)
    assert (result.mixed_same.total, result.only_bg.total) == (12, 11)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({("clean", BLUE): 3, ("dirty", RED): 3}, "6 of 6 photos have a good dish mask"),
        ({("clean", BLUE): 9}, "needs photos of two classes"),
        (
            {("clean", BLUE): 7, ("dirty", RED): 1},
            "7 dishes have another background of",
        ),
    ],
)
def test_too_few_dishes_raise_one_line(
    counts: dict[tuple[str, tuple[int, int, int]], int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        measure(DISH, draw_all(tmp_path, counts))


def test_deleted_photo_is_named(drawn: Path) -> None:
    evaluation = evaluate(DISH, drawn)
    gone = replace(evaluation.photos[0], path=Path("gone.png"), sha256="")
    changed = replace(evaluation, photos=(gone, *evaluation.photos[1:]))
    with pytest.raises(PhotoError, match=r"gone\.png"):
        evaluate_backgrounds(DISH, changed)


def test_progress_counts_segmented_then_classified_photos(drawn: Path) -> None:
    done: list[list[int]] = []
    evaluate_backgrounds(
        DISH,
        evaluate(DISH, drawn),
        on_start=lambda steps: done.append([steps, 0]),
        on_photo=lambda: done[-1].__setitem__(1, done[-1][1] + 1),
    )
    assert done == [[34, 34], [34 * (3 + 16) + 34] * 2]


# --- intervals and verdicts


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        ((0.21, 0.15, 0.27), "other class's backgrounds it loses 21 points: it depends on the"),
        ((0.03, 0.01, 0.05), "loses 3 points: it slightly depends on the background."),
        ((0.004, -0.01, 0.02), "loses 0.4 points: no sign that it depends on the background."),
        ((0.01, -0.01, 0.03), "loses 1 point: no sign"),
        ((0.0, 0.0, 0.0), "loses nothing: no sign"),
        ((-0.02, -0.05, 0.01), "gains 2 points: no sign"),
        ((0.1, -0.05, 0.25), "loses 10 points, not statistically significant: too few dishes."),
    ],
)
def test_verdict(gap: tuple[float, float, float], sentence: str) -> None:
    found = AccuracyGap(photos=200, gap=gap[0], gap_ci95=gap[1:])
    assert sentence in BackgroundMetrics.model_construct(next_gap=found).verdict(2)


def test_gap_interval_is_a_paired_bootstrap(by_table: BackgroundEvaluation) -> None:
    labels = np.array([by_table.swap.photos[dish].photo.label for dish in by_table.swap.dishes])
    right = {name: rows.argmax(axis=1) == labels for name, rows in by_table.probabilities.items()}
    change = right["mixed_same"].astype(int) - right["mixed_next"]
    drawn_anew = np.random.default_rng(5).choice(change, (4000, len(change))).mean(axis=1)
    wanted = np.percentile(drawn_anew, (2.5, 97.5))
    np.testing.assert_allclose(by_table.result.next_gap.gap_ci95, wanted, atol=1.01 / 34)


# --- groups of backgrounds


def plain(color: tuple[int, int, int], seed: int, *, stripes: int = 0) -> np.ndarray:
    pixels = np.array(color) + np.random.default_rng(seed).integers(-8, 8, (96, 96, 3))
    pixels[:, ::8] += stripes
    pixels[:, 1::8] += stripes
    return pixels.clip(0, 255).astype(np.uint8)


def test_groups_separate_textures_of_one_color() -> None:
    borders = [
        border_features(plain((100 - 15 * (i % 2), 100, 100), i, stripes=60 * (i % 2)), NO_MASK)
        for i in range(16)
    ]
    group, _ = background_groups(borders, seed=0)
    assert len(set(group[::2])) == len(set(group[1::2])) == 1
    assert group[0] != group[1]


def test_groups_of_identical_borders_are_one() -> None:
    border = border_features(plain((100, 100, 100), 0), NO_MASK)
    for photos in (1, 9):
        group, colors = background_groups([border] * photos, seed=0)
        assert (group.tolist(), len(colors)) == ([0] * photos, 1)


@pytest.mark.parametrize(("photos", "count"), [(2, 2), (119, 2), (120, 3), (999, MAX_GROUPS)])
def test_number_of_groups_grows_with_the_photos(photos: int, count: int) -> None:
    borders = list(np.random.default_rng(3).normal(size=(photos, 11)) * 20 + 100)
    group, colors = background_groups(borders, seed=4)
    assert len(colors) == count
    assert (np.diff(np.bincount(group, minlength=count)) <= 0).all()
    np.testing.assert_array_equal(group, background_groups(borders, seed=4)[0])


def test_border_features_ignore_the_dish_and_the_middle() -> None:
    side_to_side = DishMask(((0.0, 0.2), (1.0, 0.2), (1.0, 0.8), (0.0, 0.8)), 1.0)
    pixels = plain((90, 95, 100), 0)
    white, black, middle = pixels.copy(), pixels.copy(), pixels.copy()
    white[24:72], black[24:72], middle[16:80, 16:80] = 255, 0, 255
    features = [border_features(photo, side_to_side)[:6] for photo in (white, black)]
    np.testing.assert_array_equal(*features)
    np.testing.assert_allclose(features[0][:3], (90, 95, 100), atol=3)
    assert (border_features(white, NO_MASK)[:3] > 110).all()
    np.testing.assert_array_equal(
        border_features(pixels, NO_MASK), border_features(middle, NO_MASK)
    )
    whole = DishMask(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), 1.0)
    assert np.isfinite(border_features(pixels, whole)).all()
