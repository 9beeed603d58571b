"""The one error tree."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from pylon import errors
from pylon.errors import Invalid, NotFound, PylonError, StoreUnavailable
from pylon.ontology.enums import DecisionType

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


class Asked(BaseModel):
    """One value of each kind that a request or a setting may have."""

    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1, lt=10)] = 1
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1
    money: Decimal = Decimal(1)
    is_open: bool = True
    word: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    day: Literal["MON", "TUE"] = "MON"
    kind: DecisionType = DecisionType.NEGOTIATE
    id: UUID = UUID(int=1)
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    address: HttpUrl | None = None
    rest: dict[str, int] = {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"count": "x"}, "must be a whole number"),
        ({"count": 1.5}, "must be a whole number"),
        ({"count": 0}, "must be 1 or more"),
        ({"count": 10}, "must be less than 10"),
        ({"share": "x"}, "must be a number"),
        ({"share": 0}, "must be more than 0"),
        ({"share": 2}, "must be 1.0 or less"),
        ({"share": "nan"}, "must be a finite number"),
        ({"money": "x"}, "must be a number"),
        ({"is_open": "perhaps"}, "must be true or false"),
        ({"word": 1}, "must be text"),
        ({"word": "a"}, "must have at least 2 characters"),
        ({"word": "abcd"}, "must have at most 3 characters"),
        ({"day": "SUN"}, "must be MON or TUE"),
        ({"kind": "x"}, "CARBON_OPTIMIZATION"),
        ({"id": "x"}, "must be an id (a UUID)"),
        ({"names": "x"}, "must be a list"),
        ({"names": []}, "must have at least 1 item"),
        ({"names": ["a", "b", "c"]}, "must have at most 2 items"),
        ({"address": "x"}, "must be an address, such as https://example.org"),
        ({"address": "ftp://x"}, "must begin with http or https"),
        ({"rest": 1}, "must be an object"),
        ({"more": 1}, "is not known here"),
    ],
)
def test_what_is_not_valid_is_told_what_it_must_be(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Asked.model_validate(given)
    (fault,) = caught.value.errors()
    assert why in errors.why_invalid(fault)
    assert errors.why_invalid(fault).startswith(("must ", "is "))
