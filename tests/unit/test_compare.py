import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.evaluation.compare import Comparison, compare


def test_compare_counts_photos_by_who_is_correct() -> None:
    a = np.array([1, 1, 1, 0, 0, 0], bool)
    b = np.array([1, 1, 0, 1, 1, 0], bool)
    assert compare(a, b) == Comparison(both=2, only_a=1, only_b=2, neither=1)


def test_interval_equals_newcombes_published_example() -> None:
    # Newcombe 1998, table II, example (36, 12, 2, 0), method 10
    found = Comparison(both=36, only_a=2, only_b=12, neither=0).interval
    assert found == pytest.approx((0.0569, 0.3404), abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "p_value", "verdict"),
    [
        ((50, 1, 9, 0), 22 / 1024, "better"),
        ((50, 5, 5, 0), 1, "not told apart"),
        ((50, 0, 0, 3), 1, "not told apart"),
        ((90, 0, 5, 5), 2 / 32, "not told apart"),
        ((90, 0, 6, 4), 2 / 64, "better"),
        ((90, 6, 0, 4), 2 / 64, "worse"),
    ],
)
def test_p_value_is_mcnemars_exact_test_and_decides_the_verdict(
    counts: tuple[int, int, int, int], p_value: float, verdict: str
) -> None:
    found = Comparison(*counts)
    assert found.p_value == pytest.approx(p_value)
    assert found.verdict == verdict


def test_not_worse_needs_the_whole_interval_above_the_margin() -> None:
    found = Comparison(both=190, only_a=3, only_b=2, neither=5)
    low, high = found.interval
    assert low < 0 < high
    assert found.not_worse(-low + 1e-6)
    assert not found.not_worse(-low - 1e-6)
    assert not Comparison(19, 0, 0, 1).not_worse(0.01)  # too few photos


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
def test_interval_contains_the_difference_and_is_antisymmetric(
    counts: tuple[int, int, int, int],
) -> None:
    found = Comparison(*counts)
    low, high = found.interval
    assert -1.0001 <= low <= found.difference + 1e-9
    assert found.difference - 1e-9 <= high <= 1.0001
    both, only_a, only_b, neither = counts
    swapped = Comparison(both, only_b, only_a, neither)
    assert swapped.interval == pytest.approx((-high, -low))
    assert swapped.p_value == pytest.approx(found.p_value)


@pytest.mark.parametrize("b", [[True, False], []])
def test_compare_of_arrays_that_do_not_pair_raises(b: list[bool]) -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        compare(np.array(b[:1], bool), np.array(b, bool))
