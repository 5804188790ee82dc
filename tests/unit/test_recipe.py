import contextlib
import functools
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from platecheck.errors import RecipeError
from platecheck.training.recipe import (
    RENAMED_KEYS,
    Augmentation,
    ColorJitter,
    Input,
    Network,
    Normalization,
    Optimizer,
    Recipe,
    Schedule,
    bundled_recipes,
    load_recipe,
    parse_recipe,
)

FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True)


def refusal(name: str | Path, *overrides: str) -> str:
    """What is said instead of loading a recipe, in one line."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides)
    said = str(caught.value)
    assert "\n" not in said
    return said


def value_of(recipe: Recipe, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), recipe)


def test_shipped_recipes_load_under_their_names() -> None:
    assert {"tiny_vgg", "efficientnet_b2", "efficientnet_lite2"} <= set(bundled_recipes())
    for name, path in bundled_recipes().items():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.summary
        assert recipe == load_recipe(path)


@pytest.mark.parametrize(
    ("name", "normalize", "calibrate"),
    [
        ("tiny_vgg", "training_photos", False),
        ("efficientnet_b2", "imagenet", False),
        # What the weights of the Lite models were trained with.
        ("efficientnet_lite2_fullaug", Normalization(mean=(0.5,) * 3, std=(0.5,) * 3), True),
    ],
)
def test_recipes_are_the_references(name: str, normalize: Any, calibrate: bool) -> None:
    transfer = name != "tiny_vgg"
    network = Network(name=name.removesuffix("_fullaug"), head=256, weights="imagenet", frozen=True)
    jitter = ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)
    changes = {"rotation": 10.0, "color_jitter": jitter, "trivial_augment_bins": 31}
    recipe = load_recipe(name)
    assert recipe == Recipe(
        name=name,
        summary=recipe.summary,
        network=network if transfer else Network(name=name, head=128, dropout=0.3),
        input=Input(size=288 if transfer else 128, normalize=normalize),
        augmentation=FLIPS.model_copy(update=changes),
        optimizer=Optimizer(name="radam", lr=0.001 if transfer else 0.01),
        schedule=Schedule(name="reduce_on_plateau", factor=0.9, patience=0),
        epochs=30 if transfer else 50,
        batch_size=32,
        calibrate=calibrate,
    )
    assert recipe.network.head_dropout == 0.5


def test_lite2_differs_from_fullaug_only_in_augmentation() -> None:
    fullaug, shipped = load_recipe("efficientnet_lite2_fullaug"), load_recipe("efficientnet_lite2")
    named = {"name": shipped.name, "summary": shipped.summary, "augmentation": FLIPS}
    assert fullaug.model_copy(update=named) == shipped


def test_augmentation_of_flips_is_finite() -> None:
    assert FLIPS.finite
    assert Augmentation().finite
    for change in ({"rotation": 1}, {"color_jitter": ColorJitter()}, {"trivial_augment_bins": 2}):
        assert not FLIPS.model_copy(update=change).finite


def test_recipe_file_without_name_is_named_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(bundled_recipes()["tiny_vgg"].read_text())
    assert load_recipe(path) == load_recipe(str(path))
    assert load_recipe(path).name == "mine"
    path.write_text("\ufeffname: Grün\n" + path.read_text(), encoding="utf-8")  # Windows' Notepad
    assert load_recipe(path).name == "Grün"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tiny_vg", "no bundled recipe or file 'tiny_vg'; did you mean 'tiny_vgg'?"),
        ("efficientnetb2", "did you mean 'efficientnet_b2'?"),
        ("zzz", "bundled recipes: dishes, efficientnet_b2, "),
        ("", "bundled recipes: "),
        ("no/such.yaml", "no bundled recipe or file 'no/such.yaml'"),
        (".", "no bundled recipe or file '.'"),
    ],
)
def test_unknown_recipe_suggests_the_nearest(name: str, says: str) -> None:
    assert says in refusal(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a recipe: expected keys such as network: and input:"),
        ("a: b: c", "cannot be read as YAML: mapping values are not allowed here (line 1)"),
        ("name: a\nname: 2020-13-45", "cannot be read as YAML: month must be in 1..12"),
        ("name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("[" * 600, "cannot be read as YAML: maximum recursion depth"),
        ("name: a", "'network': field required; 'input': field required"),
        ("1: 2", "'1': keys should be strings"),
    ],
)
def test_invalid_file_is_refused_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    said = refusal(path)
    assert said.startswith(str(path))
    assert says in said


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("optimiser", "optimizer"),
        ("network.drop_out", "network.dropout"),
        ("augmentation.color_jitter.contrst", "augmentation.color_jitter.contrast"),
        ("lr", "optimizer.lr"),
    ],
)
def test_unknown_key_suggests_the_right_one(key: str, meant: str) -> None:
    said = refusal("tiny_vgg", f"{key}=1")
    assert f"unknown key '{key}'; did you mean '{meant}'?" in said


def test_several_mistakes_are_all_named() -> None:
    said = refusal("tiny_vgg", "epochs=0", "optimizer.lr=-1", "network.nme=3")
    for key in ("'epochs'", "'optimizer.lr'", "'network.nme'"):
        assert key in said


@pytest.mark.parametrize(
    ("place", "text", "value"),
    [
        ("epochs", "3", 3),
        ("optimizer.lr", "0.5", 0.5),
        ("optimizer.lr", "1e-3", 0.001),
        ("calibrate", "true", True),
        ("network.weights", "null", None),
        ("network.weights", "a/b=c.pth", "a/b=c.pth"),
        ("network.weights", "'1e3'", "1e3"),
        ("augmentation.color_jitter", "null", None),
        ("augmentation.color_jitter.hue", "0.5", 0.5),
        ("augmentation.color_jitter", "{hue: 0.2}", ColorJitter(hue=0.2)),
        ("input.normalize", "imagenet", "imagenet"),
        (
            "input.normalize",
            "{mean: [0, 1e-1, 0.5], std: [1, 1, 1]}",
            Normalization(mean=(0, 0.1, 0.5), std=(1, 1, 1)),
        ),
    ],
)
def test_override_sets_the_value(place: str, text: str, value: object) -> None:
    found = value_of(load_recipe("tiny_vgg", [f"{place}={text}"]), place)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epochs", "--set epochs: write it as key.subkey=value"),
        ("network..head=3", "write it as key.subkey=value"),
        ("epochs=[", "--set epochs=[: while parsing a flow node"),
        ("epochs=2020-13-45", "--set epochs=2020-13-45: month must be in 1..12"),
        ("epochs.x=3", "--set epochs.x=3: 'epochs' is not a mapping"),
        ("input.normalize.mean=[1, 1, 1]", "'normalize' is not a mapping"),
        ("epochs=2.5", "'epochs': input should be a valid integer"),
        ("network=null", "'network': input should be a valid dictionary"),
        ("network.name=resnet", "unknown network 'resnet'; choose one of tiny_vgg, "),
    ],
)
def test_invalid_override_is_refused(override: str, says: str) -> None:
    assert says in refusal("tiny_vgg", override)


@pytest.mark.parametrize(
    "override",
    [
        "network.dropout=1",
        "input.size=31",
        "input.size=1025",
        "input.normalize=imagent",
        "input.normalize={mean: [0, 0], std: [1, 1]}",
        "input.normalize={mean: [0, 0, 0], std: [1, 0, 1]}",
        "input.normalize={mean: [0, 0, .nan], std: [1, 1, 1]}",
        "augmentation.rotation=181",
        "augmentation.color_jitter.hue=0.6",
        "optimizer.name=adam",
        "optimizer.lr=0",
        "optimizer.lr=.inf",
        "schedule.name=cosine",
        "schedule.factor=1",
        "epochs=0",
        "batch_size=0",
    ],
)
def test_value_out_of_range_is_refused_by_name(override: str) -> None:
    assert f"'{override.partition('=')[0]}" in refusal("tiny_vgg", override)


KEYS = st.sampled_from(
    [*Recipe.model_fields, "size", "lr", "normalize", "mean", "std", "color_jitter", "hue", "x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes") / "any.yaml"


def loads_or_is_refused(path: Path, content: bytes, *overrides: str) -> None:
    path.write_bytes(content)
    with contextlib.suppress(RecipeError):
        assert isinstance(load_recipe(path, overrides), Recipe)


@given(content=st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_value_is_accepted_or_refused(scratch: Path, content: dict[str, Any]) -> None:
    whole = yaml.safe_load(bundled_recipes()["tiny_vgg"].read_text()) | content
    loads_or_is_refused(scratch, yaml.dump(whole).encode("utf-8", "surrogatepass"))


@given(override=st.text() | st.builds("{}={}".format, KEYS, st.text()))
def test_any_override_is_accepted_or_refused(scratch: Path, override: str) -> None:
    loads_or_is_refused(scratch, bundled_recipes()["tiny_vgg"].read_bytes(), override)


# PyYAML folds the exotic line ends.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"))


@given(
    recipe=st.sampled_from([load_recipe(name) for name in bundled_recipes()]),
    texts=st.tuples(TEXT, TEXT, TEXT),
    lr=st.floats(0, 1e300, exclude_min=True),
    numbers=st.lists(st.floats(0.01, 1e3), min_size=6, max_size=6),
)
def test_recipe_written_as_yaml_loads_equal(
    scratch: Path, recipe: Recipe, texts: tuple[str, str, str], lr: float, numbers: list[float]
) -> None:
    content = recipe.model_dump()
    content["name"], content["summary"], content["network"]["weights"] = texts
    content["optimizer"]["lr"] = lr
    content["input"]["normalize"] = {"mean": numbers[:3], "std": numbers[3:]}
    wanted = parse_recipe(content, where="here")
    scratch.write_text(wanted.to_yaml(), encoding="utf-8")
    assert load_recipe(scratch) == wanted


@pytest.mark.parametrize(
    ("recipe", "change", "said"),
    [
        (
            "tiny_vgg",
            "network.heatmap=true",
            "only efficientnet_lite0, efficientnet_lite2 can predict a heatmap",
        ),
        ("plate", "input.size=100", "input.size must be a multiple of 16"),
        ("plate", "network.frozen=true", "a frozen network cannot learn to predict a heatmap"),
        ("tiny_vgg", "teacher={model: plate}", "a teacher needs augmentation.robust"),
        ("plate", "teacher={weight: 0.5}", "'teacher.model': field required"),
        ("plate", "teacher={model: []}", "teacher.model"),
        ("plate", "teacher={model: plate, recipe: plate}", "recipe"),
    ],
)
def test_impossible_heatmap_or_teacher_is_refused(recipe: str, change: str, said: str) -> None:
    assert said in refusal(recipe, change)


OLD_SPELLINGS = {
    "learn_from_val": 0.25, "averaging": 0.9, "schedule.warm_up": 0.3, "teacher.flips": False,
    "network.evidence": True, "augmentation.robust.tables": 0.6,
    "augmentation.robust.tables_ramp": 0.1,
}  # fmt: skip


def plate_with_teacher() -> Recipe:
    return load_recipe("plate", ["teacher={model: tiny}"])


def in_old_spelling(recipe: Recipe) -> dict[str, Any]:
    content = recipe.model_dump(mode="json")
    for old, new in RENAMED_KEYS.items():
        *parents, key = old.split(".")
        part = functools.reduce(dict.__getitem__, parents, content)
        part[key] = part.pop(new.rpartition(".")[2])
    return content


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_deprecated_key_in_set_warns_and_sets_the_renamed_one(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"recipe key {old} is now {RENAMED_KEYS[old]};"):
        recipe = load_recipe("plate", ["teacher={model: tiny}", f"{old}={OLD_SPELLINGS[old]}"])
    assert value_of(recipe, RENAMED_KEYS[old]) == OLD_SPELLINGS[old]


def test_deprecated_keys_in_a_file_warn_once_each(tmp_path: Path) -> None:
    plate = plate_with_teacher()
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump(in_old_spelling(plate)))
    with pytest.warns(DeprecationWarning, match="^recipe key") as caught:
        assert load_recipe(path, ["averaging=0.99", "epochs=24"]) == plate
    assert len(caught) == len(RENAMED_KEYS)


def test_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    content = load_recipe("plate").model_dump(mode="json") | {"averaging": 0.5}
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump(content))
    assert "unknown key 'averaging'" in refusal(path)


def test_recipe_of_an_earlier_run_is_read_without_a_warning() -> None:
    plate = plate_with_teacher()
    content = in_old_spelling(plate)
    before = yaml.safe_dump(content)
    fullaug = load_recipe("efficientnet_lite2_fullaug")
    named_before = fullaug.model_dump() | {"name": "efficientnet_lite2_letter"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_recipe(content, where="recipe.yaml") == plate
        assert parse_recipe(named_before, where="") == fullaug
    assert yaml.safe_dump(content) == before


def test_teacher_as_version_0_2_wrote_it_is_read() -> None:
    content = plate_with_teacher().model_dump(mode="json")
    content["teacher"]["recipe"] = None
    assert parse_recipe(content, where="") == plate_with_teacher()


def test_deprecated_recipe_name_warns_and_loads_the_renamed_one() -> None:
    with pytest.warns(DeprecationWarning, match="efficientnet_lite2_letter is now"):
        recipe = load_recipe("efficientnet_lite2_letter")
    assert recipe == load_recipe("efficientnet_lite2_fullaug")
