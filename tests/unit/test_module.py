import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from platecheck.training.module import PlateModule, heatmap_loss
from platecheck.training.plate_net import build_network
from platecheck.training.recipe import load_recipe
from platecheck.training.robust import CLEAN, DIRT, UNKNOWN

torch.set_num_threads(1)

SIDE = 20  # cells; a hundredth of them are 4


def maps(count: int = 1, level: float = 0.0) -> Tensor:
    return torch.full((count, SIDE, SIDE), float(level), requires_grad=True)


def truth(count: int = 1, value: int = CLEAN) -> Tensor:
    return torch.full((count, SIDE, SIDE), value)


def flags(*values: bool) -> Tensor:
    return torch.tensor(values)


class TestHeatmapLoss:
    def test_heatmap_loss_is_the_balanced_cross_entropy(self) -> None:
        torch.manual_seed(0)
        dirt, target = torch.randn(2, SIDE, SIDE), truth(2)
        target[0, :2, :3] = DIRT
        found = heatmap_loss(dirt, target, flags(True, False))
        chance = torch.sigmoid(dirt)
        clean = -torch.log(1 - chance[target == CLEAN]).mean()
        dirty = -torch.log(chance[target == DIRT]).mean()
        assert found.item() == pytest.approx(float(clean + dirty) / 2, rel=1e-5)

    def test_heatmap_loss_raises_the_highest_unknown_places(self) -> None:
        dirt, target = maps(), truth()
        target[0, 5:15, 5:15] = UNKNOWN
        with torch.no_grad():
            dirt[0, 7, 7:11] = 2.0  # the four that are likeliest
            dirt[0, 0, 0] = 5.0  # likelier still, but known to be clean
        loss = heatmap_loss(dirt, target, flags(True))
        loss.backward()
        raised = (dirt.grad < 0).nonzero().tolist()
        assert raised == [[0, 7, column] for column in range(7, 11)]
        known = nn.functional.softplus(dirt[target == CLEAN]).mean()
        assert loss.item() == pytest.approx((math.log1p(math.exp(-2)) + known.item()) / 2, rel=1e-5)

    def test_heatmap_loss_of_a_clean_dish_ignores_unknown_places(self) -> None:
        dirt, target = maps(1, level=3), truth(1, UNKNOWN)
        loss = heatmap_loss(dirt, target, flags(False))
        loss.backward()
        assert loss.item() == 0
        assert not dirt.grad.any()

    def test_heatmap_loss_searches_each_dirty_photo(self) -> None:
        dirt, target = maps(3), truth(3, UNKNOWN)
        with torch.no_grad():
            dirt[0] += 5  # a dish with plenty of dirt does not make up for another's
        heatmap_loss(dirt, target, flags(True, True, False)).backward()
        assert [int((grad < 0).sum()) for grad in dirt.grad] == [4, 4, 0]
        assert dirt.grad[1].min() < dirt.grad[0].min() < 0

    @pytest.mark.parametrize("unknown", [1, 2, 3])
    def test_heatmap_loss_with_few_unknown_places_counts_only_those(self, unknown: int) -> None:
        """What lies outside of it must not be counted in their stead."""
        dirt, target = maps(), truth()
        target[0, 0, :unknown] = UNKNOWN
        loss = heatmap_loss(dirt, target, flags(True))
        loss.backward()
        assert loss.item() == pytest.approx(math.log(2), rel=1e-5)
        assert (dirt.grad < 0).sum() == unknown


@given(st.lists(st.tuples(st.sampled_from([CLEAN, DIRT, UNKNOWN]), st.booleans()), min_size=1))
def test_heatmap_loss_is_finite_for_any_target(photos: list[tuple[int, bool]]) -> None:
    dirt = torch.randn(len(photos), 4, 4, requires_grad=True)
    target = torch.stack([torch.full((4, 4), value) for value, _ in photos])
    loss = heatmap_loss(dirt, target, flags(*(dirty for _, dirty in photos)))
    loss.backward()
    assert loss.isfinite()
    assert loss >= 0
    assert dirt.grad.isfinite().all()


@pytest.mark.parametrize("frozen", [False, True])
def test_module_with_ema_predicts_with_the_average(frozen: bool) -> None:
    torch.manual_seed(0)
    changes = ["input.size=32", "network.head=8", "ema_decay=0.9", f"network.frozen={frozen}"]
    recipe = load_recipe("tiny_vgg", changes)
    network = build_network(recipe.network, classes=2, size=32)
    averaging = PlateModule(network, recipe, classes=2, seed=0)
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
    averaging.averaged.update(averaging.network)
    assert not torch.allclose(averaging(photos), before)
