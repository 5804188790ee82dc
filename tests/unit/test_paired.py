"""Comparing two models on the same photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.evaluation.paired import Comparison, compare


def test_photos_are_counted_by_who_is_right() -> None:
    a = np.array([1, 1, 1, 0, 0, 0], bool)
    b = np.array([1, 1, 0, 1, 1, 0], bool)
    assert compare(a, b) == Comparison(both=2, only_a=1, only_b=2, neither=1)


def test_the_interval_is_the_papers() -> None:
    # Newcombe 1998, table II, example (36, 12, 2, 0), method 10
    found = Comparison(both=36, only_a=2, only_b=12, neither=0).interval
    assert found == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_mcnemars_test_is_exact() -> None:
    assert Comparison(50, 1, 9, 0).p_value == pytest.approx(22 / 1024)
    assert Comparison(50, 5, 5, 0).p_value == 1
    assert Comparison(50, 0, 0, 3).p_value == 1


def test_a_verdict_needs_enough_changed_answers() -> None:
    assert Comparison(90, 0, 5, 5).verdict == "not told apart"
    assert Comparison(90, 0, 6, 4).verdict == "better"
    assert Comparison(90, 6, 0, 4).verdict == "worse"


def test_not_worse_needs_the_whole_interval_above_the_margin() -> None:
    found = Comparison(both=190, only_a=3, only_b=2, neither=5)
    low, high = found.interval
    assert low < 0 < high
    assert found.not_worse(-low + 1e-6)
    assert not found.not_worse(-low - 1e-6)
    assert not Comparison(19, 0, 0, 1).not_worse(0.01)  # too few photos to say so


@given(*[st.integers(0, 60)] * 4)
def test_the_interval_holds_the_difference_and_turns_with_it(
    both: int, only_a: int, only_b: int, neither: int
) -> None:
    if both + only_a + only_b + neither == 0:
        return
    found = Comparison(both, only_a, only_b, neither)
    low, high = found.interval
    assert -1.0001 <= low <= found.difference + 1e-9
    assert found.difference - 1e-9 <= high <= 1.0001
    turned = Comparison(both, only_b, only_a, neither)
    assert turned.interval == pytest.approx((-high, -low))
    assert turned.p_value == pytest.approx(found.p_value)


def test_answers_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        compare(np.array([True]), np.array([True, False]))
    with pytest.raises(ValueError, match="cannot pair"):
        compare(np.array([], bool), np.array([], bool))
