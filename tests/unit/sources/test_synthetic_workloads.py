from __future__ import annotations

import itertools
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import Invalid
from pylon.ontology.calendar import floor, half_hours
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus, OperatorType, WorkloadStatus, WorkloadType, WorkloadUrgency
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.regions import REGIONS
from pylon.sources import synthetic_fleet
from pylon.sources.synthetic_workloads import MISSING_STRESS, arrivals, rate_per_half_hour

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
REGION_NUMBER = {region.id: region.region_id for region in REGIONS}
HOME = Operator(
    id=UUID(int=1), name="Home", operator_type=OperatorType.COMPUTE_OPERATOR, created_at=MONDAY, updated_at=MONDAY
)
SITES = [
    site
    for site in synthetic_fleet.generate(
        seed=1, at=MONDAY, home_operator=HOME, region_ids={number: id_ for id_, number in REGION_NUMBER.items()}
    ).data_centres
    if site.operator_id == HOME.id
]


def draw(
    since: datetime = MONDAY, until: datetime = MONDAY + WEEK, *, stress: float | None = 0.0, **more: Any
) -> list[ComputeWorkload]:
    known = {} if stress is None else dict.fromkeys(half_hours(since, until), stress)
    arguments: dict[str, Any] = {
        "seed": 3,
        "operator_id": HOME.id,
        "data_centres": SITES,
        "regions": REGION_NUMBER,
        "stress": known,
        **more,
    }
    return arrivals(since=since, until=until, **arguments)


@pytest.fixture(scope="module")
def jobs() -> list[ComputeWorkload]:
    return draw(until=MONDAY + 2 * WEEK)


def test_the_same_draw_gives_the_same_jobs(jobs):
    day = MONDAY + 24 * HOUR
    first = [job for job in jobs if job.created_at < day]
    assert draw(until=day) == draw(until=day, data_centres=SITES[::-1]) == first
    ids = {job.id for job in first}
    assert not ids & {job.id for job in draw(until=day, seed=4)}
    assert not ids & {job.id for job in draw(until=day, operator_id=UUID(int=2))}


def test_windows_join_without_a_gap_or_a_double(jobs):
    cuts = [MONDAY, MONDAY + timedelta(hours=7, minutes=11), MONDAY + 30 * HOUR, MONDAY + 48 * HOUR]
    joined = [job for since, until in itertools.pairwise(cuts) for job in draw(since, until)]
    assert joined == [job for job in jobs if job.created_at < cuts[-1]]
    assert joined


def test_jobs_arrive_in_order_within_the_window(jobs):
    times = [job.created_at for job in jobs]
    assert times == sorted(times)
    assert times[0] >= MONDAY
    assert times[-1] < MONDAY + 2 * WEEK
    assert len({job.id for job in jobs}) == len({job.job_id for job in jobs}) == len(jobs)
    assert all(f"{floor(job.created_at):%Y%m%dT%H%MZ}" in job.job_id for job in jobs)


def test_the_mean_rate_of_a_week_is_per_hour():
    starts = list(half_hours(MONDAY, MONDAY + WEEK))
    assert sum(rate_per_half_hour(at, 4.0, 0.0) for at in starts) == pytest.approx(4 * 24 * 7)
    assert rate_per_half_hour(MONDAY + 10 * HOUR, 4, 0) > rate_per_half_hour(MONDAY + 3 * HOUR, 4, 0)


@pytest.mark.parametrize(("stress", "factor"), [(0.0, 1.0), (1.0, 0.4), (None, 0.82)])
def test_counts_are_poisson_with_the_stated_mean(stress, factor):
    mean = 8.0 * 24 * 7 * factor
    count = len(draw(stress=stress, per_hour=8.0))
    assert abs(count - mean) < 4 * math.sqrt(mean)


def test_counts_of_half_hours_vary_as_poisson_counts_do():
    # The variance of a Poisson count is its mean: compare them at one time of day over many days.
    days = [MONDAY + n * timedelta(days=1) + 10 * HOUR for n in range(280) if n % 7 < 5]
    counts = [len(draw(at, at + HOUR / 2, per_hour=8.0)) for at in days]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert 0.7 < variance / mean < 1.35


def test_more_stress_only_takes_jobs_away():
    until = MONDAY + 72 * HOUR
    seen = [{job.id: job for job in draw(until=until, stress=stress)} for stress in (0.0, 0.5, 1.0)]
    for more, fewer in itertools.pairwise(seen):
        assert fewer.keys() < more.keys()
        assert all(more[id_] == job for id_, job in fewer.items())


def test_missing_stress_is_a_middling_one():
    day = MONDAY + 24 * HOUR
    middling = draw(until=day, stress=MISSING_STRESS)
    assert draw(until=day, stress=None) == draw(until=day, stress=math.nan) == middling
    assert rate_per_half_hour(MONDAY, 4, None) == rate_per_half_hour(MONDAY, 4, MISSING_STRESS)
    assert rate_per_half_hour(MONDAY, 4, 7.0) == rate_per_half_hour(MONDAY, 4, 1.0)


def test_every_kind_and_urgency_comes(jobs):
    assert set(Counter(job.workload_type for job in jobs)) == set(WorkloadType)
    assert set(Counter(job.urgency for job in jobs)) == set(WorkloadUrgency)


def test_every_job_is_labelled_pending_and_valid(jobs):
    for job in jobs:
        assert job.is_simulated
        assert job.status is WorkloadStatus.PENDING
        assert job.operator_id == HOME.id
        assert job.host_dc_id is None
        assert ComputeWorkload.model_validate(job.model_dump()) == job


def test_every_job_is_feasible_in_itself(jobs):
    for job in jobs:
        assert job.deadline is not None
        assert job.deferral_window_mins is not None
        waiting = timedelta(minutes=job.deferral_window_mins)
        assert job.created_at + waiting + timedelta(minutes=job.duration_mins) <= job.deadline
        assert job.estimated_energy_kwh is not None
        assert float(job.estimated_energy_kwh) == pytest.approx(
            float(job.power_kw) * job.duration_mins / 60, abs=0.0051
        )
        assert job.power_kw > 0
        assert job.required_cpu_cores


def test_every_job_fits_where_it_comes_from(jobs):
    sites = {site.id: site for site in SITES}
    for job in jobs:
        assert job.origin_dc_id is not None
        origin = sites[job.origin_dc_id]
        assert origin.gpu_count is not None
        spare_mw = origin.total_capacity_mw - origin.base_load_mw
        assert job.power_kw * origin.pue / 1000 <= spare_mw / 4
        assert job.required_gpu_mins is not None
        assert job.required_gpu_mins / job.duration_mins <= max(origin.gpu_count / 4, 1)
        if job.allowed_region_ids is not None:
            assert REGION_NUMBER[origin.region_id] in job.allowed_region_ids
            assert set(job.allowed_region_ids) <= {REGION_NUMBER[site.region_id] for site in SITES}


def test_limits_come_on_some_jobs_only(jobs):
    def share(has: Any) -> float:
        return sum(map(bool, map(has, jobs))) / len(jobs)

    assert 0.10 < share(lambda job: job.carbon_cap_gco2 is not None) < 0.35
    assert 0.10 < share(lambda job: job.max_price_gbp is not None) < 0.30
    assert 0.25 < share(lambda job: job.allowed_region_ids is not None) < 0.45
    training = [job for job in jobs if job.workload_type is WorkloadType.TRAINING_RUN]
    assert sum(job.interruptible for job in training) / len(training) > 0.8
    assert not any(job.interruptible for job in jobs if job.workload_type is WorkloadType.RAG_QUERY)
    assert all(job.value_gbp and job.migration_cost_gbp for job in jobs)


def test_urgent_jobs_wait_less(jobs):
    def wait(urgency: WorkloadUrgency) -> float:
        waits = [
            job.deferral_window_mins
            for job in jobs
            if job.urgency is urgency and job.workload_type is WorkloadType.INFERENCE_BATCH
        ]
        return sum(mins or 0 for mins in waits) / len(waits)

    assert wait(WorkloadUrgency.LOW) > wait(WorkloadUrgency.HIGH) > wait(WorkloadUrgency.CRITICAL)


def test_no_job_comes_from_a_site_that_is_offline():
    offline = [site.model_copy(update={"status": DataCentreStatus.OFFLINE}) for site in SITES[1:]]
    assert {job.origin_dc_id for job in draw(until=MONDAY + 24 * HOUR, data_centres=[SITES[0], *offline])} == {
        SITES[0].id
    }
    with pytest.raises(Invalid, match="OFFLINE"):
        draw(data_centres=offline)


def test_a_site_that_tells_nothing_of_its_computers_will_do():
    bare = DataCentre(
        id=UUID(int=7),
        dc_id="BARE",
        name="Bare",
        operator_id=HOME.id,
        region_id=SITES[0].region_id,
        pue="1.2",
        total_capacity_mw=0,
        created_at=MONDAY,
        updated_at=MONDAY,
    )
    assert {job.workload_type for job in draw(until=MONDAY + 48 * HOUR, data_centres=[bare])} == set(WorkloadType)


def test_an_unknown_region_is_refused():
    with pytest.raises(Invalid, match="regions does not name"):
        draw(regions={})


def test_no_rate_brings_no_jobs():
    assert draw(per_hour=0) == []
    assert draw(until=MONDAY) == []
