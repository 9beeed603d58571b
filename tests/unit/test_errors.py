"""The one error tree."""

from __future__ import annotations

import json

import pytest

from pylon import errors
from pylon.errors import Invalid, NotFound, PylonError, StoreUnavailable

TREE = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, PylonError)]


@pytest.mark.parametrize("error", TREE)
def test_every_error_can_be_raised_without_a_word(error: type[PylonError]) -> None:
    with pytest.raises(PylonError) as caught:
        raise error
    assert str(caught.value) == caught.value.detail == caught.value.title == error.__doc__


def test_a_detail_takes_the_docstrings_place_and_the_title_stays() -> None:
    error = NotFound("There is no region 18. Valid: 1 to 17.")
    assert str(error) == "There is no region 18. Valid: 1 to 17."
    assert error.title == "There is no such thing here."


def test_a_problem_has_the_one_shape_and_the_facts_of_the_case() -> None:
    problem = Invalid("hours: 49 is too many", faults=[{"where": "hours"}]).problem()
    assert problem == {
        "type": "urn:pylon:error:invalid",
        "title": "The request is not valid.",
        "status": 422,
        "detail": "hours: 49 is too many",
        "code": "invalid",
        "faults": [{"where": "hours"}],
    }
    assert json.loads(json.dumps(problem)) == problem


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    text = errors.__doc__ or ""
    assert [error.__name__ for error in TREE if error.__name__ not in text] == []


def test_a_kind_of_error_is_caught_with_its_kin() -> None:
    assert issubclass(StoreUnavailable, errors.StoreError)
    assert issubclass(errors.ServerUnavailable, StoreUnavailable)
    assert not issubclass(StoreUnavailable, errors.RequestError)
