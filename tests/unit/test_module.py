"""What the training module adds up: the loss of the dirt map, and the average of weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from platecheck.training.module import PlateModule, ema_average, heatmap_loss
from platecheck.training.plate_net import build_network
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.robust import CLEAN, DIRT, UNKNOWN

torch.set_num_threads(1)

SIDE = 20  # cells; a hundredth of them are 4


def maps(count: int = 2, level: float = 0.0) -> Tensor:
    return torch.full((count, SIDE, SIDE), float(level), requires_grad=True)


def truth(count: int = 2, value: int = CLEAN) -> Tensor:
    return torch.full((count, SIDE, SIDE), value)


def value(loss: Tensor) -> float:
    return float(loss.detach())


def flags(*values: bool) -> Tensor:
    return torch.tensor(values)


class TestWhereTheTruthIsKnown:
    def test_it_is_the_cross_entropy_dirt_weighing_as_much_as_all_that_is_clean(self) -> None:
        torch.manual_seed(0)
        dirt, target = torch.randn(2, SIDE, SIDE), truth()
        target[0, :2, :3] = DIRT
        found = heatmap_loss(dirt, target, flags(True, False))
        chance = torch.sigmoid(dirt)
        clean = -torch.log(1 - chance[target == CLEAN]).mean()
        dirty = -torch.log(chance[target == DIRT]).mean()
        assert value(found) == pytest.approx(float(clean + dirty) / 2, rel=1e-5)

    def test_clean_alone_and_dirt_alone(self) -> None:
        assert value(heatmap_loss(maps(), truth(), flags(False, False))) == pytest.approx(
            math.log(2)
        )
        dirty = truth(value=DIRT)
        assert value(heatmap_loss(maps(level=9), dirty, flags(True, True))) < 1e-3
        assert value(heatmap_loss(maps(level=-9), dirty, flags(True, True))) > 8

    def test_the_gradient_raises_dirt_and_lowers_the_rest(self) -> None:
        dirt, target = maps(), truth()
        target[1, 4:7, 4:7] = DIRT
        heatmap_loss(dirt, target, flags(False, True)).backward()
        assert dirt.grad is not None
        assert (dirt.grad[target == DIRT] < 0).all()
        assert (dirt.grad[target == CLEAN] > 0).all()


class TestWhereItIsNot:
    def test_the_dirtiest_places_of_the_unknown_part_must_be_dirt(self) -> None:
        dirt, target = maps(1), truth(1)
        target[0, 5:15, 5:15] = UNKNOWN
        with torch.no_grad():
            dirt[0, 7, 7:11] = 2.0  # the four that are likeliest
            dirt[0, 0, 0] = 5.0  # likelier still, but known to be clean
        loss = heatmap_loss(dirt, target, flags(True))
        loss.backward()
        assert dirt.grad is not None
        raised = (dirt.grad < 0).nonzero().tolist()
        assert raised == [[0, 7, column] for column in range(7, 11)]
        known = nn.functional.softplus(dirt[target == CLEAN]).mean()
        assert value(loss) == pytest.approx((math.log1p(math.exp(-2)) + value(known)) / 2, rel=1e-5)

    def test_of_a_clean_dish_nothing_unknown_counts(self) -> None:
        dirt, target = maps(1, level=3), truth(1, UNKNOWN)
        loss = heatmap_loss(dirt, target, flags(False))
        loss.backward()
        assert value(loss) == 0
        assert dirt.grad is not None
        assert not dirt.grad.any()

    def test_each_dirty_photo_is_searched_by_itself(self) -> None:
        dirt, target = maps(3), truth(3, UNKNOWN)
        with torch.no_grad():
            dirt[0] += 5  # a dish with plenty of dirt does not make up for another's
        heatmap_loss(dirt, target, flags(True, True, False)).backward()
        assert dirt.grad is not None
        assert [int((grad < 0).sum()) for grad in dirt.grad] == [4, 4, 0]
        assert dirt.grad[1].min() < dirt.grad[0].min() < 0

    @pytest.mark.parametrize("unknown", [1, 2, 3])
    def test_a_dish_with_fewer_places_than_are_looked_for(self, unknown: int) -> None:
        """What lies outside of it must not be counted in their stead."""
        dirt, target = maps(1), truth(1)
        target[0, 0, :unknown] = UNKNOWN
        loss = heatmap_loss(dirt, target, flags(True))
        loss.backward()
        assert value(loss) == pytest.approx(math.log(2), rel=1e-5)
        assert dirt.grad is not None
        assert (dirt.grad < 0).sum() == unknown


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_added_up_in_full(dtype: torch.dtype) -> None:
    dirt = torch.zeros(2, SIDE, SIDE, dtype=dtype)
    loss = heatmap_loss(dirt, truth(), flags(True, False))
    assert loss.dtype == torch.float32
    assert value(loss) == pytest.approx(math.log(2), rel=1e-6)


@given(st.lists(st.tuples(st.sampled_from([CLEAN, DIRT, UNKNOWN]), st.booleans()), min_size=1))
def test_it_is_finite_and_differentiable_whatever_is_known(photos: list[tuple[int, bool]]) -> None:
    dirt = torch.randn(len(photos), 4, 4, requires_grad=True)
    target = torch.stack([torch.full((4, 4), value) for value, _ in photos])
    loss = heatmap_loss(dirt, target, flags(*(dirty for _, dirty in photos)))
    loss.backward()
    assert loss.isfinite()
    assert loss >= 0
    assert dirt.grad is not None
    assert dirt.grad.isfinite().all()


class TestTheAverageOfWeights:
    def test_it_starts_with_a_short_memory_and_grows_into_the_decay(self) -> None:
        average = ema_average(0.9)
        zero, one = torch.zeros(1), torch.ones(1)
        kept = [float(average(one, zero, steps)) for steps in range(300)]
        assert kept[0] == pytest.approx(0.1)
        assert kept == sorted(kept)
        assert kept[-1] == pytest.approx(0.9)
        assert max(kept) <= 0.9 + 1e-6
        assert float(average(zero, one, torch.tensor(1))) == pytest.approx(1 - 2 / 11)

    def test_a_constant_stays_what_it_is(self) -> None:
        value = torch.tensor([1.5, -2.0])
        for steps in (1, 5, 1000):
            assert torch.allclose(ema_average(0.99)(value, value, steps), value)

    def test_counters_are_copied(self) -> None:
        found = ema_average(0.9)(torch.tensor(3), torch.tensor(17), 5)
        assert (found.dtype, int(found)) == (torch.int64, 17)

    def test_of_a_network_weights_and_statistics(self) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        averaged = AveragedModel(network, avg_fn=ema_average(0.5), use_buffers=True)
        by_hand: dict[str, Tensor] = {}
        for step in range(6):
            with torch.no_grad():
                network[0].weight += torch.randn(4, 3)
            network(torch.randn(8, 3) + step)
            averaged.update_parameters(network)
            for key, now in network.state_dict().items():
                kept = min(0.5, (1 + step) / (10 + step))
                copied = step == 0 or not now.is_floating_point()
                by_hand[key] = now.clone() if copied else kept * by_hand[key] + (1 - kept) * now
        for key, value in averaged.module.state_dict().items():
            assert torch.allclose(value, by_hand[key], atol=1e-6), key
        assert int(averaged.module[1].num_batches_tracked) == 6
        assert not torch.allclose(averaged.module[0].weight, network[0].weight)


def recipe(*changes: str) -> Recipe:
    gentle = ("input.size=32", "network.head=8", "augmentation={}", "schedule={name: constant}")
    return load_recipe("tiny_vgg", [*gentle, *changes])


def module(*changes: str, classes: int = 2) -> PlateModule:
    torch.manual_seed(0)
    made = recipe(*changes)
    network = build_network(made.network, classes=classes, size=32)
    return PlateModule(network, made, classes=classes, seed=0)


class TestWhichNetworkAnswers:
    def test_without_averaging_the_one_that_learns(self) -> None:
        plain = module()
        assert plain.ema_network is plain.network

    @pytest.mark.parametrize("frozen", [False, True])
    def test_with_averaging_the_averaged_one(self, frozen: bool) -> None:
        averaging = module("ema_decay=0.9", f"network.frozen={frozen}")
        if frozen:
            averaging.frozen = averaging.network.backbone  # type: ignore[assignment]
        assert averaging.ema_network is not averaging.network
        assert not any(p.requires_grad for p in averaging.ema_network.parameters())
        averaging.eval()
        photos = torch.randn(2, 3, 32, 32)
        before = averaging(photos)
        with torch.no_grad():
            averaging.network.head[-1].bias += torch.tensor([5.0, -5.0])
        # Learning alone does not change its answers; being averaged in does.
        assert torch.equal(averaging(photos), before)
        assert torch.allclose(averaging.ema_network(photos), before, atol=1e-5)
        assert averaging.averaged is not None
        averaging.averaged.update_parameters(averaging.network)
        assert not torch.allclose(averaging(photos), before)

    def test_while_it_trains_the_one_that_learns(self) -> None:
        averaging = module("ema_decay=0.9", "network.dropout=0", "network.head_dropout=0")
        averaging.train()
        photos = torch.randn(4, 3, 32, 32)
        averaging(photos).sum().backward()
        assert all(p.grad is not None for p in averaging.network.parameters())
        assert all(p.grad is None for p in averaging.ema_network.parameters())
