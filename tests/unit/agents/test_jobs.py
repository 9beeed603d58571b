from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.agents import jobs
from pylon.agents.jobs import Placing
from pylon.errors import Invalid
from pylon.ontology.enums import WorkloadUrgency
from tests.doubles import views

A, B = views.site("A", 12, pue=1.5), views.site("B", 5)
CONFIG = Placing()


def job_of(**values):
    return jobs.job_of(views.view(A, B), views.workload("j", **values), CONFIG)


def test_a_job_is_its_workload_in_numbers():
    job = job_of(
        power_kw=1500,
        required_gpu_mins=480,
        required_cpu_cores=8,
        required_memory_gb=64,
        carbon_cap_gco2=120,
        max_price_gbp=75,
        value_gbp=900,
        migration_cost_gbp=4,
        interruptible=True,
        origin_dc_id=A.id,
        created_at=views.NOW - timedelta(minutes=30),
    )
    assert (job.it_power_mw, job.duration_mins, job.interruptible) == (1.5, 120, True)
    assert (job.gpus, job.cpu_cores, job.memory_gb) == (4, 8, 64)
    assert (job.carbon_cap_gco2_kwh, job.max_price_gbp, job.value_gbp, job.migration_gbp) == (120, 75, 900, 4)
    assert (job.arrived_mins, job.earliest_mins) == (-20, 10)
    assert job.origin == views.view(A, B).site(A.id)
    assert job.allowed.all()


def test_what_a_workload_does_not_limit_is_no_limit():
    job = job_of()
    assert math.isnan(job.carbon_cap_gco2_kwh)
    assert math.isnan(job.max_price_gbp)
    assert job.origin == -1


def test_a_workload_allows_the_regions_it_names():
    view = views.view(A, B)
    job = jobs.job_of(view, views.workload("j", allowed_region_ids=[5, 9]), CONFIG)
    assert [view.regions[row] for row in np.flatnonzero(job.allowed)] == [5]


def test_compute_is_worth_what_the_workload_says_or_else_what_the_agent_takes():
    assert job_of(value_gbp=10).value_gbp == 10
    assert job_of().value_gbp == 2 * 600  # 2 MWh of IT energy
    never = Placing(lost_compute_gbp_mwh=None)
    assert math.isnan(jobs.job_of(views.view(A), views.workload("j"), never).value_gbp)
    seen = [
        jobs.describe(views.view(A), views.workload("j", **values), config)["value_by"]
        for values, config in (({"value_gbp": 10}, CONFIG), ({}, CONFIG), ({}, never))
    ]
    assert seen == ["value_gbp", "lost_compute_gbp_mwh", None]


@pytest.mark.parametrize(
    ("values", "may_wait"),
    [
        ({"urgency": "CRITICAL"}, False),
        ({"urgency": "CRITICAL", "deadline": views.NOW + timedelta(hours=3)}, True),
        ({"urgency": "CRITICAL", "deferral_window_mins": 60}, True),
        ({"urgency": "HIGH"}, True),
    ],
)
def test_only_a_critical_job_that_does_not_say_how_long_may_not_wait(values, may_wait):
    workload = views.workload("j", **{"deferral_window_mins": None, **values})
    assert jobs.may_wait(workload) is may_wait
    assert jobs.describe(views.view(A), workload, CONFIG)["may_wait"] is may_wait


@pytest.mark.parametrize(("urgency", "gbp"), [("LOW", 0), ("MEDIUM", 0.2), ("HIGH", 1.2), ("CRITICAL", 4)])
def test_an_hour_of_waiting_costs_by_urgency_and_energy(urgency, gbp):
    assert job_of(urgency=urgency).wait_gbp_per_hour == pytest.approx(gbp)


def test_an_urgency_that_the_config_leaves_out_keeps_its_default():
    given = Placing.model_validate({"delay_gbp_mwh_hour": {"LOW": 0.5}})
    assert given.delay_gbp_mwh_hour[WorkloadUrgency.LOW] == 0.5
    assert given.delay_gbp_mwh_hour[WorkloadUrgency.CRITICAL] == 2


class TestLatestEnd:
    def test_it_is_the_deadline_or_the_end_of_the_deferral_window(self):
        soon, late = views.NOW + timedelta(hours=3), views.NOW + timedelta(hours=30)
        assert jobs.latest_end(views.workload("j", deadline=soon)) == soon
        assert jobs.latest_end(views.workload("j", deadline=late)) == views.NOW + timedelta(hours=26)
        assert jobs.latest_end(views.workload("j", deferral_window_mins=None, deadline=late)) == late
        assert jobs.latest_end(views.workload("j", deferral_window_mins=None)) is None

    def test_the_document_says_which_it_was(self):
        view = views.view(A)
        seen = [
            jobs.describe(view, views.workload("j", **values), CONFIG)
            for values in (
                {"deadline": views.NOW + timedelta(hours=3)},
                {},
                {"deferral_window_mins": None},
            )
        ]
        assert [one["latest_end_by"] for one in seen] == ["deadline", "deferral_window_mins", "horizon_hours"]
        assert seen[2]["latest_end"] == jobs.instant(views.NOW + timedelta(hours=48))
        assert seen[0]["ends"] == {
            "deadline": "2026-11-22T15:10:00Z",
            "deferral_window_mins": "2026-11-23T14:10:00Z",
            "horizon_hours": "2026-11-24T12:10:00Z",
        }
        assert list(seen[2]["ends"]) == ["horizon_hours"]

    def test_a_job_that_may_not_wait_can_start_when_it_arrives_between_two_seconds(self):
        now = views.NOW + timedelta(microseconds=250_000)
        job = jobs.job_of(
            views.view(A, now=now), views.workload("j", created_at=now, deferral_window_mins=0), CONFIG
        )
        assert job.earliest_mins + job.duration_mins == job.latest_end_mins
        assert job.earliest_mins >= views.view(A, now=now).minutes(now)


@given(
    age=st.timedeltas(timedelta(0), timedelta(days=3)),
    time_left=st.none() | st.timedeltas(timedelta(0), timedelta(days=30)),
    window=st.none() | st.integers(0, 10_000),
    power=st.decimals(0, 10_000, places=3),
    mins=st.integers(1, 10_000),
    gpu_mins=st.none() | st.integers(0, 10**7),
)
def test_a_document_that_was_stored_gives_the_same_job(age, time_left, window, power, mins, gpu_mins):
    view = views.view(A, B)
    workload = views.workload(
        "j",
        created_at=views.NOW - age,
        deadline=None if time_left is None else views.NOW + time_left,
        deferral_window_mins=window,
        power_kw=power,
        duration_mins=mins,
        required_gpu_mins=gpu_mins,
        origin_dc_id=B.id,
    )
    seen = jobs.describe(view, workload, CONFIG)
    stored = jobs.read(view, json.loads(json.dumps(seen)))
    job = jobs.job_of(view, workload, CONFIG)
    assert repr(stored) == repr(job)
    end = jobs.latest_end(workload)
    assert end is None or view.at(job.latest_end_mins) <= end


def test_room_is_taken_in_every_half_hour_that_is_touched_and_given_back():
    view = views.view(A, B)
    job = job_of(required_gpu_mins=240)
    row = view.site(A.id)
    taken = jobs.with_room(view.field, job, row, [(10, 70), (95, 155)], taken=True)
    used = view.field.room[0] - taken.room[0]
    assert used[row].tolist()[:7] == [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 0]
    assert used[1 - row].sum() == 0
    back = jobs.with_room(taken, job, row, [(10, 70), (95, 155)], taken=False)
    assert np.array_equal(back.room, view.field.room)


def test_what_lies_outside_the_field_takes_no_room_in_it():
    assert jobs.columns([(-90, -30), (-10, 5)], 4) == [0]
    assert jobs.columns([(100, 1000)], 4) == [3]
    assert jobs.columns([(30, 60)], 4) == [1]


def test_a_time_is_written_in_utc_and_read_back():
    summer = datetime(2026, 7, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert jobs.instant(summer) == "2026-07-01T00:00:00Z"
    assert jobs.moment(jobs.instant(summer)) == summer


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "much"])
def test_a_weight_is_a_number_that_is_not_negative(value):
    from pylon.agents.compute_orchestrator import PROGRAM

    with pytest.raises(Invalid, match="carbon_price_gbp_t"):
        PROGRAM.settings({"carbon_price_gbp_t": value})


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({}, True),
        ({"power_kw": 6000}, True),  # 9 MW at A
        ({"power_kw": 12_000}, False),
        ({"power_kw": 8000, "allowed_region_ids": [12]}, False),  # 12 MW at A, which has 10
        ({"required_gpu_mins": 120 * 65}, True),  # B has no limit
        ({"required_gpu_mins": 120 * 65, "allowed_region_ids": [12]}, False),
    ],
)
def test_it_is_seen_whether_any_site_could_hold_a_workload(values, fits):
    view = views.view(A.model_copy(update={"gpu_count": 64}), B)
    assert jobs.describe(view, views.workload("j", **values), CONFIG)["fits_some_site"] is fits


def test_of_what_no_site_has_enough_the_need_and_the_most_there_is_are_seen():
    view = views.view(A.model_copy(update={"gpu_count": 64}), B.model_copy(update={"gpu_count": 8}))
    seen = jobs.describe(view, views.workload("j", power_kw=12_000, required_gpu_mins=120 * 65), CONFIG)
    assert seen["short_of"] == [
        {"limit": "power_mw", "needs": 12.0, "most": 10.0, "dc_id": "B", "region_id": 5},
        {"limit": "gpus", "needs": 65.0, "most": 64.0, "dc_id": "A", "region_id": 12},
    ]
    assert jobs.describe(view, views.workload("j"), CONFIG)["short_of"] == []
