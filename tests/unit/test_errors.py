import pickle

import pytest

from platecheck.errors import (
    DataError,
    MissingExtraError,
    ModelError,
    PhotoError,
    PlatecheckError,
    RecipeError,
)


def test_one_base_catches_every_error_that_a_user_can_cause() -> None:
    for error in (PhotoError, DataError, RecipeError, ModelError, MissingExtraError):
        assert issubclass(error, PlatecheckError)


def test_a_photo_error_names_photo_and_reason_and_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(PhotoError("a.jpg", "the file is empty")))
    assert (error.source, error.reason) == ("a.jpg", "the file is empty")
    assert str(error) == "a.jpg: the file is empty"


def test_a_missing_extra_says_what_to_install() -> None:
    with pytest.raises(
        PlatecheckError, match=r"Training needs .*pip install 'platecheck\[train\]'"
    ):
        raise MissingExtraError("Training", "train")
