"""What became of a decision, at prices and intensities as they turned out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import WorkloadStatus
from pylon.ontology.fleet import TariffRate
from pylon.services.execute import execute
from pylon.services.report import report
from pylon.sources.feed import SIMULATED
from pylon.store import objects
from tests.conftest import Superuser, Tenants
from tests.doubles.bench import MIDDAY, Bench

CHOSEN = {"chosen": {"energy_kwh": 1800.0, "carbon_gco2": 250_000.0, "terms": {"energy_gbp": 170.0}}}
OUTCOME = (
    "select decided_energy_kwh, decided_carbon_gco2, decided_cost_gbp, actual_energy_kwh, actual_carbon_gco2, "
    "actual_cost_gbp, baseline_carbon_gco2, baseline_cost_gbp, carbon_saved_gco2, cost_saved_gbp "
    "from decision_outcomes where decision_id = %s"
)


@pytest.fixture
def bench(tenants: Tenants, superuser: Superuser) -> Bench:
    return Bench(tenants.a, superuser, MIDDAY)


def end(bench: Bench, job: ComputeWorkload, begin: float, end: float, **values: Any) -> None:
    """Let a job have run, by its owner's word."""
    update = {
        "status": WorkloadStatus.COMPLETED,
        "started_at": bench.at(begin),
        "completed_at": bench.at(end),
        **values,
    }
    with bench.database.as_actor(bench.tenant.id) as transaction:
        assert objects.change(transaction, [job.model_copy(update=update)], list(update)) == 1


def reported(bench: Bench, minutes: float) -> tuple[Any, ...]:
    """Return what a report says of all that ended: how much is not settled, and five of its sums."""
    (total,) = report(bench.database, bench.tenant.id, bench.at(minutes)).totals
    saved = (total.carbon_saved_g, total.cost_saved_gbp)
    return total.unsettled, total.energy_kwh, total.carbon_g, total.cost_gbp, *saved


def settled(bench: Bench, minutes: float) -> int:
    return execute(bench.database, bench.views, bench.call(bench.at(minutes))).settled


def test_decided_happened_and_baseline_stand_side_by_side(bench: Bench) -> None:
    """1 MW of IT for 90 minutes: moved from a dirty, dear now to a clean, cheap later."""
    bench.signals(price={i: 200.0 if i < 3 else 50.0 for i in range(48)}, carbon={12: 300, 1: 100})
    dirty, clean = bench.centre("DIRTY", region=12, pue=1.5), bench.centre("CLEAN", region=1, pue=1.2)
    job = bench.job("j", dirty)
    decision = bench.place(job, clean, (240, 330), at=0, alternatives_considered=CHOSEN)
    end(bench, job, 240, 330)
    assert settled(bench, 331) == 1
    facility, baseline = 1.8, 2.25  # MWh
    assert bench.one(OUTCOME, decision) == (
        *map(Decimal, ("1800.00", "250000.00", "170.0000")),
        *(
            Decimal(f"{1000 * facility:.2f}"),
            Decimal(f"{1000 * facility * 100:.2f}"),
            Decimal(f"{facility * 50:.4f}"),
        ),
        *(Decimal(f"{1000 * baseline * 300:.2f}"), Decimal(f"{baseline * 200:.4f}")),
        *(Decimal(f"{1000 * (baseline * 300 - facility * 100):.2f}"), Decimal("360.0000")),
    )
    assert bench.one("select actual_energy_kwh, actual_carbon_gco2, actual_cost_gbp from compute_workloads") == (
        Decimal("1500.00"),  # the job's own, without the cooling
        Decimal("180000.00"),
        Decimal("90.0000"),
    )
    assert settled(bench, 400) == 0


def test_work_that_was_moved_is_reported_once_by_the_decision_that_placed_it_last(bench: Bench) -> None:
    """What the first decision would have saved is in no sum."""
    bench.signals(price={i: 200.0 if i < 3 else 50.0 for i in range(48)}, carbon={12: 300, 1: 100})
    dirty, clean = bench.centre("DIRTY", region=12, pue=1.5), bench.centre("CLEAN", region=1, pue=1.5)
    job = bench.job("j", dirty)
    booked = {"decision_type": "SHIFT_REGION", "workload_id": job.id, "target_dc_id": clean.id}
    bench.decide(at=0, **booked, cost_saved_gbp=900, carbon_saved_gco2=9_000_000, alternatives_considered=CHOSEN)
    last = bench.place(job, clean, (240, 330), at=30, alternatives_considered=CHOSEN)
    end(bench, job, 240, 330)
    assert settled(bench, 331) == 1
    assert bench.select("select decision_id from decision_outcomes") == [(last,)]
    # 2.25 MWh at 50 instead of, from minute 30 on, an hour at 200 and half an hour at 50; 100 instead of 300 g/kWh.
    assert reported(bench, 331)[-2:] == (Decimal("450000.00"), Decimal("225.0000"))


def test_a_loss_is_a_negative_saving(bench: Bench) -> None:
    bench.signals(price={i: 50.0 if i < 3 else 200.0 for i in range(48)})
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre)
    decision = bench.place(job, centre, (240, 330))
    end(bench, job, 240, 330)
    settled(bench, 400)
    assert bench.one(OUTCOME, decision)[-2:] == (Decimal("0.00"), Decimal("-225.0000"))


def test_exact_to_the_minute_and_pauses_draw_nothing(bench: Bench) -> None:
    bench.signals(price={0: 10.0, 1: 20.0, 2: 40.0, 3: 80.0, 4: 160.0, 5: 320.0})
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre, minutes=50)
    decision = bench.place(job, centre, (10, 40), (90, 110))
    end(bench, job, 10, 110)
    settled(bench, 200)
    expected = 20 / 60 * 10 + 10 / 60 * 20 + 20 / 60 * 80
    assert bench.one(OUTCOME, decision)[5] == Decimal(f"{expected:.4f}")
    # The baseline has no pause: 50 minutes from when it was decided.
    assert bench.one(OUTCOME, decision)[7] == Decimal(f"{0.5 * 10 + 20 / 60 * 20:.4f}")


def test_a_site_on_a_tariff_pays_that(bench: Bench) -> None:
    bench.signals(price=500.0)
    for minutes, price in ((-600, "70"), (60, "30")):
        bench.tenant.make(TariffRate, tariff="FLAT", starts_at=bench.at(minutes), price_gbp_mwh=price)
    centre = bench.centre("A", pue=1.0, tariff="FLAT")
    job = bench.job("j", centre)
    decision = bench.place(job, centre, (0, 90))
    end(bench, job, 0, 90)
    settled(bench, 200)
    assert bench.one(OUTCOME, decision)[5] == Decimal("85.0000")


def test_what_the_owner_reports_is_what_it_used(bench: Bench) -> None:
    """The baseline is the same work, so it would have used as much."""
    bench.signals(price=100.0, carbon=200)
    dear, here = bench.centre("DEAR", pue=2.0), bench.centre("HERE", pue=1.0, is_simulated=False)
    job = bench.job("j", dear, is_simulated=False)
    decision = bench.place(job, here, (0, 90), is_simulated=False)
    end(bench, job, 0, 60, actual_energy_kwh=Decimal(600))
    settled(bench, 200)
    *_, actual_kwh, carbon, cost, _, base_cost, _, saved = bench.one(OUTCOME, decision)
    assert (actual_kwh, carbon, cost, base_cost, saved) == tuple(
        map(Decimal, ("600.00", "120000.00", "60.0000", "120.0000", "60.0000"))
    )
    assert bench.one("select is_simulated, detail -> 'simulated' from decision_outcomes") == (False, [])


def test_it_waits_until_a_run_has_asked_after_the_end(bench: Bench) -> None:
    """A stand-in for a price that is published later must not be taken for it."""
    bench.signals(price=100.0, run_until=bench.at(75))
    centre = bench.centre("A")
    job = bench.job("j", centre)
    bench.place(job, centre, (0, 80))
    end(bench, job, 0, 80)
    assert settled(bench, 95) == 0
    assert reported(bench, 95) == (1, None, None, None, None, None), "what is not known yet is not 0"
    bench.ran(bench.at(90))
    assert settled(bench, 95) == 1
    unsettled, *figures = reported(bench, 95)
    assert unsettled == 0
    assert all(figure is not None for figure in figures)


def test_a_late_value_is_waited_for_and_then_used(bench: Bench) -> None:
    bench.signals(price={0: 10.0, 1: 10.0}, run_until=bench.at(600))
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre)
    decision = bench.place(job, centre, (0, 90))
    end(bench, job, 0, 90)
    assert settled(bench, 600) == 0
    bench.signals(start=bench.at(60), hours=0.5, price=40.0, run_until=bench.at(601))
    assert settled(bench, 601) == 1
    assert bench.one(OUTCOME, decision)[5] == Decimal("30.0000")


def test_after_two_days_it_is_settled_without_and_says_so(bench: Bench) -> None:
    bench.signals(price={0: 10.0, 1: 10.0})
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre)
    decision = bench.place(job, centre, (0, 90))
    end(bench, job, 0, 90)
    assert settled(bench, 90 + 48 * 60 - 1) == 0
    assert settled(bench, 90 + 48 * 60) == 1
    outcome = bench.one(OUTCOME, decision)
    assert outcome[3:6] == (Decimal("1500.00"), Decimal("300000.00"), None)
    assert outcome[-1] is None
    assert bench.one("select detail -> 'half_hours_missing' from decision_outcomes") == (
        {"actual_price": 1, "baseline_price": 1},
    )
    assert bench.one("select actual_cost_gbp from compute_workloads") == (None,)


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda bench, job: end(bench, job, 0, 60, status=WorkloadStatus.FAILED), "The workload did not complete."),
        (lambda bench, job: end(bench, job, 0, 60, origin_dc_id=None), "The workload names no origin."),
    ],
)
def test_without_a_baseline_nothing_is_said_to_be_saved(
    bench: Bench, prepare: Callable[[Bench, ComputeWorkload], None], why: str
) -> None:
    bench.signals()
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre)
    decision = bench.place(job, centre, (0, 90))
    prepare(bench, job)
    assert settled(bench, 200) == 1
    outcome = bench.one(OUTCOME, decision)
    assert outcome[3:6] == (Decimal("1000.00"), Decimal("200000.00"), Decimal("100.0000"))
    assert outcome[6:] == (None, None, None, None)
    assert bench.one("select detail ->> 'no_baseline' from decision_outcomes") == (why,)


def test_a_broken_baseline_is_carried_over_and_simulated_inputs_are_named(bench: Bench) -> None:
    bench.signals(label=SIMULATED)
    centre = bench.centre("A")
    job = bench.job("j", centre)
    bench.place(job, centre, (0, 90), constraints_evaluated={"baseline_infeasible": "power_mw"})
    end(bench, job, 0, 90)
    settled(bench, 200)
    assert bench.one("select baseline_infeasible, is_simulated, detail -> 'simulated' from decision_outcomes") == (
        "power_mw",
        True,
        ["carbon", "price"],
    )


def test_work_that_nobody_decided_about_has_its_figures_and_no_outcome(bench: Bench) -> None:
    bench.signals()
    centre = bench.centre("A", pue=1.0)
    job = bench.job("j", centre)
    end(bench, job, 0, 60, host_dc_id=centre.id)
    assert settled(bench, 200) == 1
    assert bench.one("select actual_energy_kwh, actual_cost_gbp from compute_workloads") == (
        Decimal("1000.00"),
        Decimal("100.0000"),
    )
    assert bench.select("select 1 from decision_outcomes") == []


def test_work_that_nobody_decided_about_is_settled_once(bench: Bench) -> None:
    """Ten minutes of 1 MW are 166.67 kWh, rounded: what was written must not be taken for a report of its owner."""
    bench.signals()
    centre = bench.centre("A")
    job = bench.job("j", centre, minutes=10)
    end(bench, job, 0, 10, host_dc_id=centre.id)
    assert [settled(bench, minutes) for minutes in (200, 201, 202, 700)] == [1, 0, 0, 0]


def test_moving_away_from_the_origin_is_paid_for(bench: Bench) -> None:
    bench.signals(price=100.0)
    origin, other = bench.centre("HOME", pue=1.0), bench.centre("AWAY", pue=1.0, region=1)
    job = bench.job("j", origin, minutes=60, migration_cost_gbp=20)
    terms = {"chosen": {"terms": {"energy_gbp": 100.0, "migration_gbp": 20.0}}}
    decision = bench.place(job, other, (0, 60), alternatives_considered=terms)
    end(bench, job, 0, 60)
    settled(bench, 200)
    _, _, decided, _, _, actual, _, base, _, saved = bench.one(OUTCOME, decision)
    assert (decided, actual, base, saved) == tuple(map(Decimal, ("120.0000", "120.0000", "100.0000", "-20.0000")))
    assert bench.one("select actual_cost_gbp from compute_workloads") == (Decimal("100.0000"),)  # energy alone


def test_a_plan_that_was_cut_short_is_set_beside_what_it_expected_till_then(bench: Bench) -> None:
    """Four hours were planned; after the first half hour another decision takes over."""
    bench.signals(price=120.0, carbon={12: 100})
    asset = bench.battery("B", charge_mwh=10.0)
    starts = [(bench.at(30 * number)).isoformat() for number in range(8)]
    plan = [{"starts_at": at, "power_mw": 2.0} for at in starts]
    seen = {"starts_at": starts[0], "price_gbp_mwh": [100.0] * 8, "carbon_gco2_kwh": [150.0] * 8}
    whole = {"cost_saved_gbp": 760, "carbon_saved_gco2": 1_200_000}
    cut = bench.schedule(asset, [2.0], effect={"schedule": plan}, inputs=seen, **whole)
    bare = bench.schedule(asset, [0.0], at=30, effect={"schedule": plan[1:]}, **whole)
    settled(bench, 200)
    outcome = bench.one(OUTCOME, cut)
    assert outcome[1:3] == (Decimal("-150000.00"), Decimal("-95.0000"))  # 1 MWh sold at 100, less 5 of wear
    assert outcome[4:6] == (Decimal("-100000.00"), Decimal("-115.0000"))
    assert bench.one(OUTCOME, bare)[1:3] == (None, None), "it does not say what it expected of its half hours"


def test_a_dispatch_is_settled_against_idling_when_its_last_half_hour_is_done(bench: Bench) -> None:
    bench.signals(price={0: 20.0, 1: 20.0, 2: 150.0}, carbon={12: 100})
    asset = bench.battery("B")
    expected = {"chosen": {"carbon_gco2": 50, "cost_gbp": -150}}  # of which 40 more than a plan that stood
    decision = bench.schedule(asset, [-4, 0, 3], cost_saved_gbp=40, alternatives_considered=expected)
    assert settled(bench, 89) == 0
    assert settled(bench, 90) == 1
    cost = 2 * 20 - 1.5 * 150 + 1.5 * 5
    assert bench.one(OUTCOME, decision) == (
        None,
        *(Decimal("50.00"), Decimal("-150.0000"), Decimal("2000.00"), Decimal("50000.00"), Decimal(f"{cost:.4f}")),
        *(Decimal("0.00"), Decimal("0.0000"), Decimal("-50000.00"), Decimal(f"{-cost:.4f}")),
    )
    detail = bench.one("select detail from decision_outcomes")[0]
    assert (detail["baseline_is"], detail["discharged_kwh"], detail["wear_gbp"]) == ("idle", 1500.0, 7.5)
    assert settled(bench, 300) == 0


def test_the_last_half_hour_of_a_job_must_have_ended(bench: Bench) -> None:
    bench.signals(run_until=bench.at(100))
    centre = bench.centre("A")
    job = bench.job("j", centre)
    bench.place(job, centre, (0, 95))
    end(bench, job, 0, 95)
    assert settled(bench, 100) == 0  # 13:35 lies in a half hour that ends at 14:00
    bench.ran(bench.t0 + 4 * HALF_HOUR + timedelta(seconds=1))
    assert settled(bench, 125) == 1
