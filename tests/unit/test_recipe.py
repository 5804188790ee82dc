"""Recipes: the shipped ones say what the reference did, and every mistake has one clear answer."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from platecheck.errors import RecipeError
from platecheck.training.recipe import (
    RENAMED_KEYS,
    Augmentation,
    ColorJitter,
    Normalization,
    Optimizer,
    Recipe,
    Schedule,
    bundled_recipes,
    load_recipe,
    parse_recipe,
)

AUGMENTATION = Augmentation(
    horizontal_flip=True,
    vertical_flip=True,
    rotation=10,
    color_jitter=ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05),
    trivial_augment_bins=31,
)
PLATEAU = Schedule(name="reduce_on_plateau", factor=0.9, patience=0)


def refusal(name: str | Path, *overrides: str) -> str:
    """What is said instead of loading a recipe, in one line."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides)
    said = str(caught.value)
    assert "\n" not in said
    return said


# --- the shipped ones


def test_every_shipped_recipe_loads_under_its_name() -> None:
    assert {"tiny_vgg", "efficientnet_b2", "efficientnet_lite2"} <= set(bundled_recipes())
    for name, path in bundled_recipes().items():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.summary
        assert recipe == load_recipe(path)


def test_tiny_vgg_to_the_letter() -> None:
    recipe = load_recipe("tiny_vgg")
    assert recipe.network.name == "tiny_vgg"
    assert recipe.network.dropout == 0.3
    assert (recipe.network.head, recipe.network.head_dropout) == (128, 0.5)
    assert recipe.network.weights is None
    assert not recipe.network.frozen
    assert recipe.input.size == 128
    assert recipe.input.normalize == "training_photos"
    assert recipe.augmentation == AUGMENTATION
    assert recipe.optimizer == Optimizer(name="radam", lr=0.01, weight_decay=0)
    assert recipe.schedule == PLATEAU
    assert (recipe.epochs, recipe.batch_size) == (50, 32)
    assert not recipe.calibrate


@pytest.mark.parametrize(
    ("name", "network", "normalize"),
    [
        ("efficientnet_b2", "efficientnet_b2", "imagenet"),
        # What the weights of the Lite models were trained with.
        (
            "efficientnet_lite2_fullaug",
            "efficientnet_lite2",
            Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
    ],
)
def test_transfer_learning_to_the_letter(name: str, network: str, normalize: object) -> None:
    recipe = load_recipe(name)
    assert recipe.network.name == network
    assert recipe.network.weights == "imagenet"
    assert recipe.network.frozen
    assert recipe.network.dropout == 0
    assert (recipe.network.head, recipe.network.head_dropout) == (256, 0.5)
    assert recipe.input.size == 288
    assert recipe.input.normalize == normalize
    assert recipe.augmentation == AUGMENTATION
    assert recipe.optimizer == Optimizer(name="radam", lr=0.001, weight_decay=0)
    assert recipe.schedule == PLATEAU
    assert (recipe.epochs, recipe.batch_size) == (30, 32)


def test_the_shipped_transfer_differs_from_the_letter_in_its_augmentation_alone() -> None:
    letter, shipped = load_recipe("efficientnet_lite2_fullaug"), load_recipe("efficientnet_lite2")
    flips = Augmentation(horizontal_flip=True, vertical_flip=True)
    named = {"name": shipped.name, "summary": shipped.summary, "augmentation": flips}
    assert letter.model_copy(update=named) == shipped


def test_the_reference_s_answers_are_left_as_they_are() -> None:
    assert not load_recipe("efficientnet_b2").calibrate


def test_flips_alone_are_few_enough_to_compute_all() -> None:
    flips = Augmentation(horizontal_flip=True, vertical_flip=True)
    assert flips.finite
    assert Augmentation().finite
    for change in ({"rotation": 1}, {"color_jitter": ColorJitter()}, {"trivial_augment_bins": 2}):
        assert not flips.model_copy(update=change).finite


# --- a recipe of one's own


def test_a_file_is_a_recipe_too_and_is_called_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(bundled_recipes()["tiny_vgg"].read_text())
    assert load_recipe(path) == load_recipe(str(path))
    assert load_recipe(path).name == "mine"
    path.write_text("\ufeffname: Grün\n" + path.read_text(), encoding="utf-8")  # Windows' Notepad
    assert load_recipe(path).name == "Grün"


def test_a_shipped_recipe_may_be_changed_only_by_asking() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("tiny_vgg").epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tiny_vg", "no recipe 'tiny_vg', neither shipped nor a file; did you mean 'tiny_vgg'?"),
        ("efficientnetb2", "did you mean 'efficientnet_b2'?"),
        ("zzz", "the shipped ones: efficientnet_b2, "),
        ("", "the shipped ones: "),
        ("no/such.yaml", "no recipe 'no/such.yaml'"),
        (".", "no recipe '.'"),
    ],
)
def test_a_recipe_that_is_not_there_is_answered_with_the_nearest(name: str, says: str) -> None:
    assert says in refusal(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a recipe: expected keys such as network: and input:"),
        ("- a\n- b", "is not a recipe"),
        ("a: b: c", "cannot be read as YAML: mapping values are not allowed here (line 1)"),
        ("name: a\nsummary: [", "expected the node content, but found '<stream end>' (line 2)"),
        ("name: a\nname: 2020-13-45", "cannot be read as YAML: month must be in 1..12"),
        ("name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("\0", "cannot be read as YAML: unacceptable character"),
        ("[" * 5000, "cannot be read as YAML: maximum recursion depth"),
        ("name: a", "'network': field required; 'input': field required"),
        ("1: 2", "'1': keys should be strings"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_place(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    said = refusal(path)
    assert said.startswith(str(path))
    assert says in said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: caf\xe9")
    assert "cannot be read as YAML: 'utf-8' codec can't decode" in refusal(path)


# --- unknown keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("optimiser", "optimizer"),
        ("network.drop_out", "network.dropout"),
        ("network.head_drop", "network.head_dropout"),
        ("input.sise", "input.size"),
        ("input.normalise", "input.normalize"),
        ("augmentation.color_jitter.contrst", "augmentation.color_jitter.contrast"),
        ("augmentation.colour_jitter", "augmentation.color_jitter"),
        ("schedule.patients", "schedule.patience"),
        # right, but not there
        ("lr", "optimizer.lr"),
        ("size", "input.size"),
        ("augmentation.hue", "augmentation.color_jitter.hue"),
        ("network.batch_size", "batch_size"),
    ],
)
def test_an_unknown_key_is_answered_with_the_right_one(key: str, meant: str) -> None:
    said = refusal("tiny_vgg", f"{key}=1")
    assert f"unknown key '{key}'; did you mean '{meant}'?" in said


def test_an_unknown_key_of_numbers_to_normalize_with() -> None:
    said = refusal("tiny_vgg", "input.normalize={mean: [0, 0, 0], sdt: [1, 1, 1]}")
    assert "unknown key 'input.normalize.sdt'; did you mean 'input.normalize.std'?" in said
    assert "'input.normalize.std': field required" in said


def test_where_nothing_is_near_all_keys_of_that_place_are_named() -> None:
    said = refusal("tiny_vgg", "optimizer.zzz=1")
    assert "unknown key 'optimizer.zzz'; known: name, lr, head_lr, weight_decay" in said


def test_every_mistake_is_named_at_once() -> None:
    said = refusal("tiny_vgg", "epochs=0", "optimizer.lr=-1", "network.nme=3")
    for key in ("'epochs'", "'optimizer.lr'", "'network.nme'"):
        assert key in said


# --- --set


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("epochs = 3", "epochs", 3),
        ("optimizer.lr=0.5", "optimizer.lr", 0.5),
        ("optimizer.lr=1e-3", "optimizer.lr", 0.001),
        ("optimizer.lr=1.5E-2", "optimizer.lr", 0.015),
        ("optimizer.weight_decay=0", "optimizer.weight_decay", 0.0),
        ("calibrate=true", "calibrate", True),
        ("network.weights=null", "network.weights", None),
        ("network.weights=a/b=c.pth", "network.weights", "a/b=c.pth"),
        ("network.weights='1e3'", "network.weights", "1e3"),
        ("network.weights=1e3", "network.weights", "1e3"),
        ('name="my: recipe"', "name", "my: recipe"),
        ("summary=two words", "summary", "two words"),
        ("augmentation.color_jitter=null", "augmentation.color_jitter", None),
        ("augmentation.color_jitter.hue=0.5", "augmentation.color_jitter.hue", 0.5),
        ("augmentation.color_jitter={hue: 0.2}", "augmentation.color_jitter", ColorJitter(hue=0.2)),
        ("input.normalize=imagenet", "input.normalize", "imagenet"),
        (
            "input.normalize={mean: [0, 1e-1, 0.5], std: [1, 1, 1]}",
            "input.normalize",
            Normalization(mean=(0, 0.1, 0.5), std=(1, 1, 1)),
        ),
    ],
)
def test_a_value_may_be_set(override: str, place: str, value: object) -> None:
    found: Any = load_recipe("tiny_vgg", [override])
    for key in place.split("."):
        found = getattr(found, key)
    assert found == value
    assert type(found) is type(value)


def test_values_are_set_in_order_and_leave_the_others_alone() -> None:
    changed = load_recipe("tiny_vgg", ["epochs=1", "optimizer.lr=1", "epochs=2"])
    untouched = load_recipe("tiny_vgg").model_dump()
    untouched["epochs"], untouched["optimizer"]["lr"] = 2, 1.0
    assert changed.model_dump() == untouched


def test_what_was_null_may_get_keys() -> None:
    recipe = load_recipe(
        "tiny_vgg", ["augmentation.color_jitter=null", "augmentation.color_jitter.hue=0.1"]
    )
    assert recipe.augmentation.color_jitter == ColorJitter(hue=0.1)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epochs", "--set epochs: write it as key.subkey=value"),
        ("", "--set : write it as key.subkey=value"),
        ("=3", "--set =3: write it as key.subkey=value"),
        ("network..head=3", "write it as key.subkey=value"),
        ("network.=3", "write it as key.subkey=value"),
        ("epochs=[", "--set epochs=[: while parsing a flow node"),
        ("epochs=2020-13-45", "--set epochs=2020-13-45: month must be in 1..12"),
        ("epochs=!!int x", "--set epochs=!!int x: invalid literal"),
        ("epochs.x=3", "--set epochs.x=3: 'epochs' is a value, it has no keys"),
        ("input.normalize.mean=[1, 1, 1]", "'normalize' is a value, it has no keys"),
        ("epochs=", "'epochs': input should be a valid integer"),
        ("epochs=many", "'epochs': input should be a valid integer"),
        ("epochs=2.5", "'epochs': input should be a valid integer"),
        ("network=null", "'network': input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_set_is_refused(override: str, says: str) -> None:
    assert says in refusal("tiny_vgg", override)


@pytest.mark.parametrize(
    "override",
    [
        "network.name=resnet",
        "network.dropout=1",
        "network.dropout=-0.1",
        "network.head=-1",
        "network.head_dropout=1",
        "input.size=31",
        "input.size=1025",
        "input.normalize=imagent",
        "input.normalize={mean: [0, 0], std: [1, 1]}",
        "input.normalize={mean: [0, 0, 0], std: [1, 0, 1]}",
        "input.normalize={mean: [0, 0, .nan], std: [1, 1, 1]}",
        "augmentation.rotation=181",
        "augmentation.rotation=-1",
        "augmentation.color_jitter.hue=0.6",
        "augmentation.color_jitter.brightness=-1",
        "augmentation.trivial_augment_bins=1",
        "optimizer.name=adam",
        "optimizer.lr=0",
        "optimizer.lr=.nan",
        "optimizer.lr=.inf",
        "optimizer.weight_decay=-1",
        "schedule.name=cosine",
        "schedule.factor=1",
        "schedule.factor=0",
        "schedule.patience=-1",
        "epochs=0",
        "batch_size=0",
    ],
)
def test_values_out_of_range_are_refused_by_name(override: str) -> None:
    assert f"'{override.partition('=')[0]}" in refusal("tiny_vgg", override)


# --- any text at all

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


@given(text=st.text())
@example("? [a]\n: 3")
@example("&a [*a]")
@example("<<: 3")
@example("!!set {a}")
@example("epochs: !!bool x")
@example("epochs: 0b_")
@example("&a a: *a")
def test_any_text_is_a_recipe_or_refused(scratch: Path, text: str) -> None:
    loads_or_is_refused(scratch, text.encode("utf-8", "surrogatepass"))


@given(content=st.binary())
def test_any_bytes_are_a_recipe_or_refused(scratch: Path, content: bytes) -> None:
    loads_or_is_refused(scratch, content)


@given(content=st.dictionaries(KEYS, VALUES, max_size=8))
def test_anything_in_the_place_of_a_value_is_accepted_or_refused(
    scratch: Path, content: dict[str, Any]
) -> None:
    whole = yaml.safe_load(bundled_recipes()["tiny_vgg"].read_text()) | content
    loads_or_is_refused(scratch, yaml.dump(whole).encode("utf-8", "surrogatepass"))


@given(data=st.data())
def test_a_recipe_with_a_slip_is_a_recipe_or_refused(scratch: Path, data: st.DataObject) -> None:
    text = bundled_recipes()["efficientnet_lite2"].read_text()
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 4))
    slip = data.draw(st.text(alphabet=" :-{}[]*&!|>'\"%@\n\t#a0.", max_size=4))
    loads_or_is_refused(scratch, (text[:at] + slip + text[at + gone :]).encode())


@given(override=st.text() | st.builds("{}={}".format, KEYS, st.text()))
def test_any_override_is_set_or_refused(scratch: Path, override: str) -> None:
    loads_or_is_refused(scratch, bundled_recipes()["tiny_vgg"].read_bytes(), override)


# --- there and back

SHARE = st.floats(0, 1, exclude_max=True)
# PyYAML folds the exotic line ends.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"))
NUMBERS = st.tuples(*[st.floats(0.01, 1e3)] * 3)
RECIPES = st.fixed_dictionaries(
    {
        "name": TEXT,
        "summary": TEXT,
        "network": st.fixed_dictionaries(
            {
                "name": st.sampled_from(["tiny_vgg", "efficientnet_b2", "efficientnet_lite2"]),
                "head": st.integers(1, 9999),
            },
            optional={"dropout": SHARE, "weights": st.none() | TEXT, "frozen": st.booleans()},
        ),
        "input": st.fixed_dictionaries(
            {
                "size": st.integers(32, 1024),
                "normalize": st.sampled_from(["training_photos", "imagenet"])
                | st.fixed_dictionaries({"mean": NUMBERS, "std": NUMBERS}),
            }
        ),
        "augmentation": st.fixed_dictionaries(
            {},
            optional={
                "rotation": st.floats(0, 180),
                "color_jitter": st.none() | st.fixed_dictionaries({}, optional={"hue": SHARE}),
                "trivial_augment_bins": st.none() | st.integers(2, 99),
            },
        ),
        "optimizer": st.fixed_dictionaries(
            {
                "name": st.sampled_from(["radam", "adamw", "sgd"]),
                "lr": st.floats(0, 1e300, exclude_min=True),
            }
        ),
        "schedule": st.fixed_dictionaries({"name": st.just("constant")}),
        "epochs": st.integers(1, 10**9),
        "batch_size": st.integers(1, 10**9),
    },
    optional={"calibrate": st.booleans()},
).filter(lambda r: (r["augmentation"].get("color_jitter") or {}).get("hue", 0) <= 0.5)


@given(content=RECIPES)
def test_a_recipe_written_out_is_the_same_recipe(scratch: Path, content: dict[str, Any]) -> None:
    recipe = parse_recipe(content, where="here")
    scratch.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(scratch) == recipe


def test_a_recipe_is_written_with_every_default() -> None:
    written = yaml.safe_load(load_recipe("tiny_vgg").to_yaml())
    assert list(written) == list(Recipe.model_fields)
    assert written["network"]["frozen"] is False
    assert written["optimizer"]["weight_decay"] == 0


@pytest.mark.parametrize(
    ("recipe", "change", "said"),
    [
        ("tiny_vgg", "network.heatmap=true", "only efficientnet_lite2 can predict a heatmap"),
        ("plate", "input.size=100", "input.size must be a multiple of 16"),
        ("plate", "network.frozen=true", "a frozen network cannot learn to predict a heatmap"),
    ],
)
def test_evidence_that_cannot_be_given_is_refused(recipe: str, change: str, said: str) -> None:
    assert said in refusal(recipe, change)


OLD_SPELLINGS = {
    "learn_from_val": 0.25, "averaging": 0.9, "schedule.warm_up": 0.3, "teacher.flips": False,
    "network.evidence": True, "augmentation.robust.tables": 0.6,
    "augmentation.robust.tables_ramp": 0.1,
}  # fmt: skip


def value_of(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def in_old_spelling(recipe: Recipe) -> dict[str, Any]:
    """The content of the recipe.yaml of an earlier version."""
    content = recipe.model_dump(mode="json")
    for old, new in RENAMED_KEYS.items():
        *parents, key = old.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        part[key] = part.pop(new.rpartition(".")[2])
    return content


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_deprecated_key_in_set_warns_and_sets_the_renamed_one(old: str) -> None:
    value = OLD_SPELLINGS[old]
    with pytest.warns(DeprecationWarning, match=f"recipe key {old} is now {RENAMED_KEYS[old]};"):
        recipe = load_recipe("plate", [f"{old}={value}"])
    assert value_of(recipe, RENAMED_KEYS[old]) == value


def test_deprecated_keys_in_a_file_warn_once_each(tmp_path: Path) -> None:
    plate = load_recipe("plate")
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump(in_old_spelling(plate)))
    with pytest.warns(DeprecationWarning, match="^recipe key") as caught:
        assert load_recipe(path, ["averaging=0.99", "epochs=15"]) == plate
    assert len(caught) == len(RENAMED_KEYS)


def test_deprecated_keys_in_a_value_of_set_warn() -> None:
    with pytest.warns(DeprecationWarning, match="teacher.flips is now teacher.tta_flips"):
        recipe = load_recipe("plate", ["teacher={model: plate, flips: true}"])
    assert recipe.teacher is not None
    assert recipe.teacher.tta_flips


def test_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    content = load_recipe("plate").model_dump(mode="json") | {"averaging": 0.5}
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump(content))
    assert "unknown key 'averaging'" in refusal(path)


def test_recipe_of_an_earlier_run_is_read_without_a_warning() -> None:
    plate = load_recipe("plate")
    content = in_old_spelling(plate)
    before = yaml.safe_dump(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_recipe(content, where="recipe.yaml") == plate
        renamed = parse_recipe(
            load_recipe("tiny_vgg").model_dump() | {"name": "efficientnet_lite2_letter"}, where=""
        )
    assert yaml.safe_dump(content) == before
    assert renamed.name == "efficientnet_lite2_fullaug"


def test_deprecated_recipe_name_warns_and_loads_the_renamed_one() -> None:
    with pytest.warns(DeprecationWarning, match="efficientnet_lite2_letter is now"):
        recipe = load_recipe("efficientnet_lite2_letter")
    assert recipe == load_recipe("efficientnet_lite2_fullaug")
