from __future__ import annotations

from typing import Any

import pytest

from pylon.agents._plan_words import planned

BY_PLAN = {"plan_id": "P-000007", "gap": 0.00123}


def option(
    worth: float | None, *, dc_id: str = "A", begins: str = "1", energy_kwh: float = 500.0
) -> dict[str, Any]:
    gbp = None if worth is None else worth * energy_kwh / 1000
    return {"dc_id": dc_id, "spans": [begins], "energy_kwh": energy_kwh, "terms": {"scarcity_gbp": gbp}}


def said(inputs: dict[str, Any], **options: Any) -> list[str]:
    return list(planned(inputs, {"chosen": None, "standing": None, "baseline": None, **options}))


def test_without_a_plan_nothing_is_said():
    assert said({}, chosen=option(12.0)) == []


@pytest.mark.parametrize(
    ("gap", "share"),
    [(0.00123, ", within 0.12 % of the best possible,"), (0.0, ", within 0 % of the best possible,"), (None, "")],
)
def test_a_plan_that_chose_says_how_good_it_is(gap, share):
    told = said({"by_plan": {**BY_PLAN, "gap": gap}}, chosen=option(0.0))
    assert told == [f"Plan P-000007 of the whole fleet{share} puts it there."]


def test_what_room_is_worth_is_said_where_the_options_differ():
    plan = {"plan": {"plan_id": "P-000007", "gap": 0.1}}
    told = said(plan, chosen=option(2.5), standing=option(12.0, begins="2"), baseline=option(0.0, dc_id="B"))
    assert told == [
        "By plan P-000007 room is worth GBP 2.50/MWh there then, GBP 12.00/MWh where it was booked"
        " and GBP 0.00/MWh at its origin now."
    ]
    assert said(plan, chosen=option(2.5), baseline=option(2.5)) == [
        "By plan P-000007 room is worth GBP 2.50/MWh there then."
    ]


def test_room_that_is_worth_nothing_or_is_not_known_is_not_spoken_of():
    plan = {"plan": {"plan_id": "P-000007", "gap": 0.1}}
    assert said(plan, chosen=option(0.0), baseline=option(0.0, begins="2")) == []
    assert said(plan, chosen=option(None), baseline=option(1.0, energy_kwh=0.0)) == []
