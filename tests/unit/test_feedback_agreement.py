"""Agreement of reviewers, against scikit-learn's."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from platecheck.feedback.agreement import Agreement, agreements, cohens_kappa, disagreed

LABELS = st.sampled_from(["clean", "dirty", "not a dish"])


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60))
def test_kappa_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    ones, others = zip(*pairs, strict=True)
    if len({*ones, *others}) == 1:
        assert cohens_kappa(pairs) is None  # scikit-learn: not a number, with a warning
    else:
        expected = cohen_kappa_score(ones, others)
        found = cohens_kappa(pairs)
        assert found is not None
        assert math.isclose(found, expected, abs_tol=1e-12)


def test_kappa_of_cohens_own_kind() -> None:
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)


def test_all_pairs_that_have_photos_in_common() -> None:
    decisions = {
        "1": {"Ann": "clean", "Bo": "clean", "Cy": "dirty"},
        "2": {"Bo": "dirty", "Ann": "clean"},
        "3": {"Ann": "dirty"},
        "4": {"Dee": "dirty"},
    }
    assert agreements(decisions) == [
        Agreement(("Ann", "Bo"), 2, 1, 0.0),
        Agreement(("Ann", "Cy"), 1, 0, 0.0),
        Agreement(("Bo", "Cy"), 1, 0, 0.0),
    ]
    assert disagreed(decisions) == ["1", "2"]
    assert agreements({}) == []
