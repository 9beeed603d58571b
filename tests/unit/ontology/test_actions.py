"""Tests of the actions' declaration: what each is given, what is refused, and what every declaration must say."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import chain, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid, NotFound
from pylon.ontology import actions, columns
from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.enums import DecisionType

JOB: dict[str, Any] = {"job_id": "j", "workload_type": "OTHER", "duration_mins": 60, "power_kw": 10}
NINE, TEN, ELEVEN = "2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"
ALL = tuple(actions.ACTIONS.values())
VALID: dict[str, dict[str, Any]] = {
    "submit_workload": JOB,
    "submit_workloads": {"workloads": [JOB]},
    "accept_workload": {"job_id": "j", "dc_id": "d", "starts_at": NINE},
    "shift_workload": {"job_id": "j", "dc_id": "d", "spans": [{"starts_at": NINE, "ends_at": TEN}]},
    "defer_workload": {"job_id": "j", "deferred_by": "CARBON"},
    "reject_workload": {"job_id": "j", "reason": "no"},
    "negotiate_workload": {"job_id": "j", "price_gbp": 5},
    "amend_workload": {"job_id": "j", "max_price_gbp": None},
    "start_workload": {"job_id": "j"},
    "complete_workload": {"job_id": "j", "at": NINE, "energy_kwh": 3},
    "fail_workload": {"job_id": "j", "reason": "disk"},
    "cancel_workload": {"job_id": "j"},
    "dispatch_storage": {"asset_id": "a", "schedule": [{"starts_at": NINE, "power_mw": -1.5}]},
    "report_charge": {"asset_id": "a", "charge_mwh": 1.5},
    "scale_data_centre": {"dc_id": "d", "max_power_mw": None, "reason": "calm"},
    "set_data_centre_status": {"dc_id": "d", "status": "OFFLINE", "reason": "fire"},
    "add_blackout_window": {"dc_id": "d", "starts_at": NINE, "ends_at": TEN, "reason": "works"},
    "remove_blackout_window": {"limit_id": "01890a5d-ac96-774b-bcce-b302099a8057"},
    "offer_flexibility": {
        "mw": 1,
        "starts_at": NINE,
        "ends_at": TEN,
        "price_gbp_mwh": 80,
        "dc_ids": ["d"],
        "reason": "peak",
    },
    "register_operator": {"name": "O", "operator_type": "AGGREGATOR"},
    "update_operator": {"email": None},
    "register_agent": {"agent_id": "a", "name": "A", "agent_type": "GRID_OPERATOR"},
    "update_agent": {"agent_id": "a", "status": "OFFLINE"},
    "register_data_centre": {"dc_id": "d", "name": "D", "region": 13, "pue": 1.2, "total_capacity_mw": 20},
    "update_data_centre": {"dc_id": "d", "gpu_count": None},
    "register_storage_asset": {
        "asset_id": "s",
        "name": "S",
        "region": 5,
        "capacity_mwh": 10,
        "max_charge_rate_mw": 5,
        "max_discharge_rate_mw": 5,
    },
    "update_storage_asset": {"asset_id": "s", "status": "MAINTENANCE"},
}


def refusal(action: str, /, **given: Any) -> str:
    with pytest.raises(Invalid) as caught:
        actions.action(action).parse(given)
    assert caught.value.extra.get("faults")
    return caught.value.detail


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_an_action_says_all_there_is_to_know_of_it(one: actions.ActionType) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", one.name)
    assert re.match(r"[A-Z].*\.", one.doc)
    assert one.object_type in OBJECT_TYPES
    codes = [criterion.code for criterion in one.criteria]
    assert len(set(codes)) == len(codes)
    assert all(criterion.doc for criterion in one.criteria)


def test_every_decision_type_can_be_reached() -> None:
    assert set(chain.from_iterable(one.decisions for one in ALL)) == set(DecisionType)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_what_is_valid_is_read_and_a_word_more_or_less_is_not(one: actions.ActionType) -> None:
    parameters = one.parse(VALID[one.name])
    assert isinstance(parameters, one.parameters)
    assert one.parse(parameters) is parameters
    assert one.parse(parameters.plain() if not isinstance(parameters, actions.Change) else VALID[one.name])
    assert "surplus: is no parameter" in refusal(one.name, **VALID[one.name], surplus=1)
    for name, info in one.parameters.model_fields.items():
        if info.is_required():
            assert f"{name}: is required" in refusal(
                one.name, **{k: v for k, v in VALID[one.name].items() if k != name}
            )


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_schema_describes_every_parameter_with_its_unit(one: actions.ActionType) -> None:
    described = one.schema()["properties"]
    assert list(described) == list(one.parameters.model_fields)
    for name, facts in described.items():
        assert facts.get("description"), f"{one.name}: {name} has no description"
        flat = [facts, *facts.get("anyOf", ())]
        assert {"type": "string"} not in flat, f"{one.name}: {name} is text without a bound"
        if numbers := [part for part in flat if part.get("type") in ("number", "integer") and "enum" not in part]:
            assert all({"minimum", "exclusiveMinimum"} & set(part) and "maximum" in part for part in numbers)


def test_a_parameter_has_the_unit_of_the_column_of_its_name() -> None:
    units = {spec.name: spec.unit for row in OBJECT_TYPES.values() for spec in columns.of(row) if spec.unit}
    compared = 0
    for one in ALL:
        for name, facts in one.schema()["properties"].items():
            said = {part.get("unit", "") for part in (facts, *facts.get("anyOf", ()))} - {""}
            if name in units and said:
                assert said == {units[name]}, f"{one.name}: {name}"
                compared += 1
    assert compared > 40


WRONG: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", "x" * 2000, [], ["x"], [None], {}, {"x": 1})


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_no_refusal_is_in_the_words_of_a_library(one: actions.ActionType) -> None:
    for name, value in product(one.parameters.model_fields, WRONG):
        for why in faults_of(one, {**VALID[one.name], name: value}):
            assert re.search(r"[Ii]nput should|[Vv]alue[_ ]error|should (be|have|match)", why) is None
            assert re.match(r"must |is |give |nothing |.* (cannot|must) |.* is |.* says ", why), why


def faults_of(one: actions.ActionType, given: dict[str, Any]) -> list[str]:
    try:
        one.parse(given)
    except Invalid as refused:
        return [fault["why"] for fault in refused.extra["faults"]]
    return []


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
@settings(max_examples=20)
@given(
    given=st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
)
def test_whatever_is_sent_is_read_or_refused(one: actions.ActionType, given: dict[str, Any]) -> None:
    try:
        one.parse({**VALID[one.name], **given})
    except Invalid as invalid:
        assert invalid.detail.startswith(one.name)  # noqa: PT017  either is right


@pytest.mark.parametrize("given", [None, [], "text", 5])
def test_parameters_are_an_object(given: object) -> None:
    with pytest.raises(Invalid, match="The parameters of cancel_workload are an object"):
        actions.action("cancel_workload").parse(given)


def test_an_unknown_action_names_the_closest() -> None:
    with pytest.raises(
        NotFound, match=r"no action 'submit_job'\. Did you mean submit_workload\? Valid: submit_work"
    ):
        actions.action("submit_job")


def test_a_slip_names_the_parameter_that_was_meant() -> None:
    assert "Did you mean duration_mins?" in refusal("submit_workload", **JOB, duration_min=5)


def test_of_many_faults_the_first_are_said_and_the_rest_counted() -> None:
    jobs = [{**JOB, "job_id": str(n), "duration_mins": 0} for n in range(50)]
    said = refusal("submit_workloads", workloads=jobs)
    assert "workloads.19.duration_mins: must be from 1 to 10,080 min; and 30 more." in said
    assert "workloads.20" not in said


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"power_kw": None}, "give power_kw or estimated_energy_kwh"),
        (
            {"estimated_energy_kwh": 10.2},
            "power_kw x duration_mins is 10.00 kWh, but estimated_energy_kwh says 10.20",
        ),
        ({"power_kw": None, "estimated_energy_kwh": 10**8, "duration_mins": 1}, "At most 1,000,000"),
        ({"allowed_region_ids": []}, "at least 1 item"),
        ({"allowed_region_ids": [3, 3]}, "must name each region once"),
        ({"allowed_region_ids": [3, 15]}, "allowed_region_ids.1: must be the number of a region, 1 to 14"),
        ({"deadline": "2026-11-22T09:00:00"}, "must be a time with its zone"),
        ({"interruptible": "yes"}, "must be true or false"),
        ({"urgency": "URGENT"}, "must be LOW, MEDIUM, HIGH or CRITICAL"),
        ({"duration_mins": 10_081}, "must be from 1 to 10,080 min"),
        ({"max_price_gbp": -1}, "must be from 0 to 1,000,000,000 GBP"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(given: dict[str, Any], why: str) -> None:
    assert why in refusal("submit_workload", **{**JOB, **given})


@given(st.decimals("0.001", 1_000_000, places=3), st.integers(1, 10_080))
def test_power_and_energy_follow_from_each_other(power: Decimal, minutes: int) -> None:
    from_power = actions.SubmitWorkload.model_validate({**JOB, "duration_mins": minutes, "power_kw": power})
    energy = from_power.it_energy_kwh
    both = actions.SubmitWorkload.model_validate(
        {**JOB, "duration_mins": minutes, "power_kw": power, "estimated_energy_kwh": energy}
    )
    assert (both.it_power_kw, both.it_energy_kwh) == (power, energy)
    if energy * 60 / minutes <= 1_000_000:
        alone = {**JOB, "duration_mins": minutes, "power_kw": None, "estimated_energy_kwh": energy}
        assert abs(actions.SubmitWorkload.model_validate(alone).it_energy_kwh - energy) == 0
        assert (
            abs(actions.SubmitWorkload.model_validate(alone).it_power_kw - power) <= Decimal("0.6") * 60 / minutes
        )


def test_at_most_a_thousand_jobs_each_with_an_id_of_its_own() -> None:
    jobs = [{**JOB, "job_id": str(n)} for n in range(1001)]
    assert actions.action("submit_workloads").parse({"workloads": jobs[:1000]})
    assert "must have at most 1,000 items" in refusal("submit_workloads", workloads=jobs)
    assert "must name each job_id once" in refusal("submit_workloads", workloads=[JOB, JOB])
    assert "at least 1 item" in refusal("submit_workloads", workloads=[])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"starts_at": NINE, "spans": [{"starts_at": NINE, "ends_at": TEN}]},
        {"spans": []},
        {"spans": [{"starts_at": TEN, "ends_at": NINE}]},
        {"spans": [{"starts_at": NINE, "ends_at": TEN}, {"starts_at": TEN, "ends_at": ELEVEN}]},
        {"spans": [{"starts_at": TEN, "ends_at": ELEVEN}, {"starts_at": NINE, "ends_at": TEN}]},
    ],
)  # fmt: skip
def test_a_booking_says_once_and_in_order_when_it_is(given: dict[str, Any]) -> None:
    for name in ("accept_workload", "shift_workload"):
        assert refusal(name, job_id="j", dc_id="d", **given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"deferred_by": "CARBON", "dc_id": "d"}, "give dc_id with either starts_at or spans"),
        ({"deferred_by": "CARBON", "starts_at": NINE}, "give dc_id with either starts_at or spans"),
        ({"deferred_by": None, "dc_id": "d", "starts_at": NINE}, "Give deferred_by"),
        ({"deferred_by": "MOOD"}, "must be GRID_STRESS, CARBON or PRICE"),
    ],
)
def test_a_deferral_books_wholly_or_not_at_all(given: dict[str, Any], why: str) -> None:
    assert why in refusal("defer_workload", job_id="j", **given)


def test_a_change_says_what_changes_and_null_clears_only_what_may_be_empty() -> None:
    assert "nothing is to change. Give at least one of urgency, deadline" in refusal("amend_workload", job_id="j")
    assert "urgency cannot be null" in refusal("amend_workload", job_id="j", urgency=None)
    assert "pue, published cannot be null" in refusal("update_data_centre", dc_id="d", pue=None, published=None)
    given = {"dc_id": "d", "gpu_count": None, "name": "New"}
    parameters = actions.action("update_data_centre").parse(given)
    assert isinstance(parameters, actions.UpdateDataCentre)
    assert parameters.changed() == {"name": "New", "gpu_count": None}


def test_the_schema_of_a_change_has_null_only_where_it_is_valid() -> None:
    described = actions.action("update_data_centre").schema()
    assert described["minProperties"] == 2
    assert {"type": "null"} not in described["properties"]["pue"].get("anyOf", [])
    assert {"type": "null"} in described["properties"]["gpu_count"]["anyOf"]


@pytest.mark.parametrize(
    "schedule",
    [
        [],
        [{"starts_at": "2026-11-22T09:01Z", "power_mw": 1}],
        [{"starts_at": NINE, "power_mw": 1}, {"starts_at": NINE, "power_mw": 2}],
        [{"starts_at": TEN, "power_mw": 1}, {"starts_at": NINE, "power_mw": 1}],
        [{"starts_at": NINE, "power_mw": "1"}],
        [
            {"starts_at": f"2026-11-{1 + n // 48:02}T{n // 2 % 24:02}:{n % 2 * 30:02}Z", "power_mw": 1}
            for n in range(97)
        ],
    ],
)
def test_a_schedule_is_of_half_hours_in_order(schedule: list[dict[str, Any]]) -> None:
    assert refusal("dispatch_storage", asset_id="a", schedule=schedule)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("scale_data_centre", {"max_power_mw": None, "ends_at": TEN}, "leave out starts_at and ends_at"),
        ("scale_data_centre", {"max_power_mw": 1, "starts_at": TEN, "ends_at": NINE}, "ends_at must lie after"),
        ("add_blackout_window", {"starts_at": NINE, "ends_at": NINE}, "at most 31 days"),
        ("add_blackout_window", {"starts_at": NINE, "ends_at": "2026-12-24T09:00Z"}, "at most 31 days"),
    ],
)
def test_a_while_ends_after_it_begins(name: str, given: dict[str, Any], why: str) -> None:
    assert why in refusal(name, dc_id="d", reason="r", **given)


def test_parameters_are_plain_json_when_asked() -> None:
    assert actions.action("dispatch_storage").parse(VALID["dispatch_storage"]).plain() == {
        "asset_id": "a",
        "schedule": [{"starts_at": NINE, "power_mw": -1.5}],
        "reason": None,
    }


@pytest.mark.parametrize("name", ["submit_workload", "submit_workloads"])
def test_who_counts_gpus_is_told_how_they_are_asked_for(name: str) -> None:
    job = {**VALID["submit_workload"], "gpu_count": 8}
    said = refusal(name, **(job if name == "submit_workload" else {"workloads": [job]}))
    assert "Give required_gpu_mins: how many GPUs, times duration_mins" in str(said)
