"""Rendered scenes: boxes, masks, labels and shares agree with what can be seen."""

import numpy as np
import pytest

from platecheck.data.render import SCENE_KINDS, RenderedScene, render_scene
from platecheck.data.render.camera import look_at
from platecheck.data.render.crockery import SORTS, draw_design, make_dish, turned
from platecheck.data.render.frame import Frame, Scene, render
from platecheck.data.render.light import draw_light
from platecheck.data.render.rooms import draw_texture
from platecheck.data.render.scenes import DISH_KINDS, EMPTY_KINDS
from platecheck.data.render.solids import FAR, Basin, Solid
from platecheck.errors import DataError

SIDE = 160


@pytest.fixture(scope="module")
def scenes() -> list[RenderedScene]:
    return [
        render_scene(np.random.default_rng(seed), size=SIDE, kind=kind, dirty=0.5)
        for kind in DISH_KINDS
        for seed in range(3)
    ]


def plate(rng: np.random.Generator, sort: str = "plate", *, dirty: bool = False) -> Solid:
    return make_dish(rng, draw_design(rng, sort, 4), dirty=dirty)


def scene_of(*solids: Solid) -> Scene:
    rng = np.random.default_rng(0)
    ground, wall = draw_texture(rng, "ground"), draw_texture(rng, "wall")
    light = draw_light(rng, np.full(3, 0.3, np.float32))
    return Scene(light, ground, wall, ground, 300.0, [], list(solids), [])


def above(height: float = 60.0) -> Frame:
    camera = look_at(np.array([0, -0.01, height]), np.zeros(3), 1.5, 0.0)
    return Frame(camera, SIDE)


def test_scene_boxes_are_the_extents_of_the_visible_masks(scenes: list[RenderedScene]) -> None:
    assert sum(len(scene.boxes) for scene in scenes) > 20
    for scene in scenes:
        height, width = scene.photo.shape[:2]
        assert scene.photo.dtype == np.uint8
        assert max(height, width) == SIDE
        assert scene.masks.shape == scene.dirt_masks.shape == (len(scene.boxes), height, width)
        assert len(scene.labels) == len(scene.visible) == len(scene.boxes)
        assert (scene.masks.sum(0) <= 1).all()  # a pixel shows one dish
        for box, mask in zip(scene.boxes, scene.masks, strict=True):
            rows, columns = np.nonzero(mask)
            extent = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_array_equal(box, extent)


def test_scene_labels_are_dirty_exactly_where_dirt_is_seen(scenes: list[RenderedScene]) -> None:
    labels = [label for scene in scenes for label in scene.labels]
    assert {"clean", "dirty"} == set(labels)
    for scene in scenes:
        for label, mask, dirt in zip(scene.labels, scene.masks, scene.dirt_masks, strict=True):
            assert (label == "dirty") == dirt.any()
            assert not (dirt & ~mask).any()


def test_scene_labels_follow_the_probability_of_dirt() -> None:
    for dirty, label in ((0.0, "clean"), (1.0, "dirty")):
        made = [
            render_scene(
                np.random.default_rng(seed), size=SIDE, kind="table", dishes=2, dirty=dirty
            )
            for seed in range(4)
        ]
        labels = [label for scene in made for label in scene.labels]
        assert labels.count(label) >= 0.7 * len(labels) > 2  # dirt may be hidden, but not appear
        assert dirty == 1.0 or set(labels) == {"clean"}


@pytest.mark.parametrize("kind", EMPTY_KINDS)
def test_scenes_without_dishes_have_no_boxes(kind: str) -> None:
    scene = render_scene(np.random.default_rng(1), size=SIDE, kind=kind)
    assert scene.kind == kind
    assert scene.boxes.shape == (0, 4)
    assert scene.labels == ()
    assert scene.masks.shape == (0, *scene.photo.shape[:2])
    assert scene.photo.std() > 3


@pytest.mark.parametrize("kind", [*DISH_KINDS, "empty-sink"])
def test_scene_repeats_with_its_seed(kind: str) -> None:
    one, other = (render_scene(np.random.default_rng(8), size=SIDE, kind=kind) for _ in range(2))
    np.testing.assert_array_equal(one.photo, other.photo)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.visible, other.visible)
    another = render_scene(np.random.default_rng(9), size=SIDE, kind=kind)
    assert one.photo.shape != another.photo.shape or (one.photo != another.photo).any()


def test_visible_share_falls_when_another_dish_covers_it() -> None:
    rng = np.random.default_rng(3)
    low = plate(rng)
    cover = plate(rng)
    cover.place = np.array([0.6 * low.scale, 0, 5], np.float32)
    shares = []
    for solids in ([low], [low, cover]):
        frame = above()
        frame.draw(scene_of(*solids))
        shares.append((frame.thing == 3).sum() / frame.whole(low))
    assert shares[0] == pytest.approx(1, abs=0.04)
    assert 0.1 < shares[1] < 0.8


def test_visible_share_falls_at_the_edge_of_the_photo() -> None:
    dish = plate(np.random.default_rng(4))
    frame = above(70)
    edge = 70 / 1.5
    dish.place = np.array([edge, 0, 0], np.float32)
    frame.draw(scene_of(dish))
    assert (frame.thing == 3).sum() / frame.whole(dish) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("sort", SORTS)
def test_a_dish_has_no_holes_and_stands_on_the_ground(sort: str) -> None:
    dish = plate(np.random.default_rng(6), sort)
    rim = dish.scale * 0.9 * dish.body.shape.outline[::6]
    for points in (rim * q for q in (0.0, 0.3, 0.6, 0.9)):
        target = np.c_[points, np.full(len(points), 0.2 * dish.scale)]
        rays = target - (0, 0, 80)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        far, met = dish.cast(np.array([0, 0, 80], np.float32), rays.astype(np.float32))
        assert (far < FAR).all()
        assert (met[:, 2] >= -0.02).all()


def test_a_dish_hides_its_dirt_from_behind_and_is_then_clean() -> None:
    rng = np.random.default_rng(2)
    dish = plate(rng, "bowl", dirty=True)
    camera = above().camera
    _, _, upright = render(scene_of(dish), camera, SIDE)
    dish.turn, dish.place = turned(0, np.pi), np.array([0, 0, dish.scale], np.float32)
    _, _, turned_over = render(scene_of(dish), camera, SIDE)
    assert upright.soiled == [True]
    assert turned_over.soiled == [False]
    assert turned_over.dirt.max() == 0


def test_glass_shows_what_stands_behind_it() -> None:
    rng = np.random.default_rng(7)
    glass, camera = plate(rng, "glass"), look_at(np.array([0, -40, 25]), np.zeros(3), 2.0, 0.0)
    image, frame, _ = render(scene_of(glass), camera, SIDE)
    bare, *_ = render(scene_of(), camera, SIDE)
    seen = frame.thing == 3
    assert seen.sum() > 100
    changed = np.abs(image - bare)[seen].mean(-1)
    assert changed.max() > 0.05
    assert np.median(changed) < 0.25 * bare[seen].mean() + 0.1


def test_glass_may_fill_a_large_photo() -> None:
    glass = plate(np.random.default_rng(7), "glass")
    camera = look_at(np.array([0, -16, 12]), np.array([0, 0, 4]), 1.0, 0.0)
    _, frame, _ = render(scene_of(glass), camera, 640)
    assert (frame.thing == 3).sum() > 2**15  # OpenCV's images have fewer rows


def test_basin_is_as_deep_as_given_and_lit_from_above() -> None:
    basin = Basin((0, 0), (20, 15), 12, 4, 3)
    start = np.array([[0, 0, 0], [19.5, 0, 0]], np.float32)
    far, normal = basin.cast(start, np.tile(np.array([0, 0, -1], np.float32), (2, 1)))
    assert far[0] == pytest.approx(12, abs=0.1)
    assert normal[0] == pytest.approx((0, 0, 1), abs=0.02)
    assert far[1] < 11  # the fillet
    assert normal[1, 0] < -0.3


def test_dishes_lie_on_each_other_not_in_each_other() -> None:
    for seed in range(3):
        scene = render_scene(np.random.default_rng(seed), size=SIDE, kind="sink", dishes=12)
        assert len(scene.boxes) >= 3
        assert (scene.visible < 0.9).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "garage"}, "no such kind of scene: 'garage'; choose one of rack, tray, sink"),
        ({"size": 100}, "size 100 is out of range; choose 160 to 1280 pixels"),
        ({"dishes": 0}, "0 dishes are out of range; choose 1 to 12"),
        ({"dirty": 1.5}, "dirty 1.5 is out of range; choose 0 to 1"),
    ],
)
def test_render_scene_rejects_invalid_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_scene(np.random.default_rng(0), **arguments)


def test_render_scene_draws_all_kinds_and_numbers_of_dishes() -> None:
    scenes = [render_scene(np.random.default_rng(seed), size=SIDE) for seed in range(16)]
    kinds = {scene.kind for scene in scenes}
    assert kinds <= set(SCENE_KINDS)
    assert len(kinds) >= 5
    full = [scene for scene in scenes if scene.kind in DISH_KINDS]
    assert 6 <= len(full) <= 15
    assert len({len(scene.boxes) for scene in full}) >= 3
