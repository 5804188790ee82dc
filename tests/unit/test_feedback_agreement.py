"""Agreement of reviewers, against scikit-learn's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from platecheck.feedback.reviews import Agreement, agreements, cohens_kappa

LABELS = st.sampled_from(["clean", "dirty", "not a dish"])


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60))
def test_cohens_kappa_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    ones, others = zip(*pairs, strict=True)
    if len({*ones, *others}) == 1:
        assert cohens_kappa(pairs) is None  # scikit-learn: not a number, with a warning
    else:
        assert cohens_kappa(pairs) == pytest.approx(cohen_kappa_score(ones, others))


def test_agreements_cover_pairs_with_photos_in_common() -> None:
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
    assert agreements({}) == []
