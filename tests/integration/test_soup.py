"""Several runs from the same first weights, averaged into one network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_fixtures import ONE_PROCESS, Cli, same_weights, train, without_seconds

from platecheck.errors import RecipeError
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run
from platecheck.training.soup import average
from platecheck.training.train import fit, prepare
from platecheck.training.trained import TrainedModel
from platecheck.training.views import views

pytest_plugins = ["training_fixtures.fixtures"]

EPOCHS = 2
# Only statistics that do not learn can be averaged.
STILL = "network.frozen_statistics=true"


def recipe(*changes: str) -> Recipe:
    small = (
        "input.size=64", "batch_size=8", "network.head=16", "optimizer.lr=0.003", STILL,
        "augmentation.robust={tables: 0.7, dirt: 0.3, rendered: 2, pairs: 4}", f"epochs={EPOCHS}",
    )  # fmt: skip
    return load_recipe("tiny_vgg_plate", [*small, "teacher=null", "soup=2", *changes])


@pytest.fixture(scope="module", autouse=True)
def one_cache(session_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))
        yield


@pytest.fixture(autouse=True)
def kept_cache(environment: None, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))


@pytest.fixture(scope="module")
def soup(one_cache: None, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe(), rendered, tmp_path_factory.mktemp("soup") / "run")


def members(run: Run) -> list[Run]:
    return [Run.load(run.member(number)) for number in (1, 2)]


def test_the_weights_are_the_mean_of_the_members(soup: Run) -> None:
    for epoch in range(1, EPOCHS + 1):
        first, second = (load_file(member.weights(epoch)) for member in members(soup))
        mean = load_file(soup.weights(epoch))
        assert mean.keys() == first.keys()
        apart = [key for key in mean if not torch.equal(first[key], second[key])]
        assert any(key.startswith("backbone.") for key in apart)
        for key, tensor in mean.items():
            if tensor.is_floating_point():
                torch.testing.assert_close(tensor, (first[key] + second[key]) / 2)


def test_the_first_member_is_the_run_without_a_soup(
    soup: Run, rendered: Path, tmp_path: Path
) -> None:
    alone = train(recipe("soup=1"), rendered, tmp_path / "run")
    assert same_weights(alone, members(soup)[0])


def test_members_begin_with_the_same_weights(rendered: Path, tmp_path: Path) -> None:
    """A step too small to be seen leaves them where they began."""
    still = recipe("optimizer.lr=1e-12", "averaging=0", "epochs=1")
    run = train(still, rendered, tmp_path / "run")
    first, second = (load_file(member.weights(1)) for member in members(run))
    for key, tensor in first.items():
        torch.testing.assert_close(tensor, second[key], msg=key)


def test_its_history_tells_of_the_average(soup: Run) -> None:
    pixels, labels, _ = views(soup, "val")
    model = TrainedModel(soup, EPOCHS)
    logits = torch.cat([torch.from_numpy(model.logits(photo[None])) for photo in pixels])
    truth = torch.from_numpy(labels)
    row = soup.history[EPOCHS - 1]
    assert [row["epoch"] for row in soup.history] == [1, 2]
    loss = float(torch.nn.functional.cross_entropy(logits, truth))
    assert row["val_loss"] == pytest.approx(loss, abs=1e-4)
    assert row["val_accuracy"] == pytest.approx(float((logits.argmax(1) == truth).float().mean()))
    rows = [member.history[EPOCHS - 1] for member in members(soup)]
    assert row["train_loss"] == pytest.approx((rows[0]["train_loss"] + rows[1]["train_loss"]) / 2)


def test_calibrated_once(soup: Run) -> None:
    assert soup.calibration.is_file()
    assert not any(member.calibration.is_file() for member in members(soup))


def test_stopped_between_members_it_goes_on(soup: Run, rendered: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop_at_the_second(member: Run) -> None:
        if member.folder.name == "2":
            raise StopError

    out = tmp_path / "run"
    begun = prepare(recipe(), rendered, out, seed=0, settings=ONE_PROCESS)
    with pytest.raises(StopError):
        fit(begun, on_member=stop_at_the_second)
    again = fit(prepare(recipe(), rendered, out, seed=0, resume=True, settings=ONE_PROCESS))
    assert same_weights(again, soup)
    assert without_seconds(again.history) == without_seconds(soup.history)


def test_the_command_names_its_members(cli: Cli, rendered: Path, tmp_path: Path) -> None:
    sets = [f"--set={key}" for key in ("input.size=32", "network.head=8", STILL, "soup=2")]
    robust = "--set=augmentation.robust={tables: 0.5}"
    answer = cli(
        "train", "tiny_vgg_plate", "--data", rendered, "--out", tmp_path / "run", *sets, robust,
        "--epochs", "1", "--workers", "0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    said = answer.out.splitlines()
    assert said.index("member 1 of 2") < said.index("member 2 of 2")
    assert (tmp_path / "run" / "members" / "2" / "curves.png").is_file()
    assert (tmp_path / "run" / "curves.png").is_file()


@pytest.mark.parametrize("changes", [["network.frozen_statistics=false"], ["network.frozen=true"]])
def test_statistics_that_learn_cannot_be_averaged(changes: list[str]) -> None:
    with pytest.raises(RecipeError, match="a soup needs"):
        recipe(*changes)


def test_counters_are_not_averaged() -> None:
    one, three = ({"n": torch.tensor(n), "w": torch.tensor([float(n)])} for n in (1, 3))
    mean = average([one, three])
    assert int(mean["n"]) == 1
    assert float(mean["w"]) == 2


def test_statistics_that_are_frozen_do_not_learn(soup: Run) -> None:
    state = load_file(members(soup)[0].weights(EPOCHS))
    means = [tensor for key, tensor in state.items() if key.endswith("running_mean")]
    variances = [tensor for key, tensor in state.items() if key.endswith("running_var")]
    assert len(means) == len(variances) == 6
    assert all((mean == 0).all() for mean in means)
    assert all((variance == 1).all() for variance in variances)
