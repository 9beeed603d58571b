from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.agents import compute_orchestrator, jobs
from pylon.agents.compute_orchestrator import PROGRAM
from pylon.agents.contract import Proposal, View
from pylon.agents.jobs import Placing
from pylon.ontology import actions
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import AgentStatus, AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
AGENT = views.agent(AgentType.COMPUTE_ORCHESTRATOR)
CONFIG = Placing()
D, S = DecisionType, WorkloadStatus
NOW = views.NOW
SIX_HOURS = [1.0] * 12


def decide(view: View, config: Placing = CONFIG, **values) -> Proposal:
    return compute_orchestrator.decide(view, views.workload("j", **{"origin_dc_id": A.id, **values}), config)


def propose(view: View, config: Placing = CONFIG) -> list[Proposal]:
    """Return a round's proposals, each of which its action would take."""
    found = list(PROGRAM.propose(view, AGENT, config))
    for proposal in found:
        actions.action(proposal.action).parse(proposal.parameters)
    return found


def jobs_of(found: list[Proposal]) -> list[str]:
    return [proposal.parameters["job_id"] for proposal in found]


class TestDecide:
    def test_what_is_best_now_and_at_home_is_accepted(self):
        proposal = decide(views.view(A, B))
        assert proposal.action == "accept_workload"
        assert proposal.parameters == {"job_id": "j", "dc_id": "A", "starts_at": NOW}
        assert proposal.draft.decision_type is D.ACCEPT_WORKLOAD
        assert (proposal.draft.carbon_saved_gco2, proposal.draft.cost_saved_gbp) == (0, 0)
        assert (proposal.draft.source_dc_id, proposal.draft.target_dc_id) == (A.id, A.id)

    def test_another_site_is_a_shift(self):
        proposal = decide(views.view(A, B, carbon={"A": 200, "B": 50}))
        assert proposal.action == "shift_workload"
        assert proposal.parameters["dc_id"] == "B"
        assert proposal.draft.decision_type is D.SHIFT_REGION
        assert (proposal.draft.source_dc_id, proposal.draft.target_dc_id) == (A.id, B.id)
        assert proposal.draft.carbon_saved_gco2 == 2000 * 150

    @pytest.mark.parametrize(
        ("signals", "decision_type", "deferred_by"),
        [
            ({"carbon": [300.0] * 12 + [60.0]}, D.RENEWABLE_WINDOW, "CARBON"),
            ({"carbon": [300.0] * 12 + [120.0]}, D.CARBON_OPTIMIZATION, "CARBON"),
            ({"price": [200.0] * 12 + [20.0]}, D.PRICE_OPTIMIZATION, "PRICE"),
            ({"stress": [1.0] * 12 + [0.0]}, D.DEFER_WORKLOAD, "GRID_STRESS"),
        ],
    )
    def test_later_is_named_for_what_it_gains_most_by(self, signals, decision_type, deferred_by):
        proposal = decide(views.view(A, **signals))
        assert proposal.action == "defer_workload"
        assert proposal.parameters["deferred_by"] == deferred_by
        assert proposal.parameters["starts_at"] == views.view(A).half_hour(12)
        assert proposal.draft.decision_type is decision_type

    def test_the_index_that_makes_a_window_renewable_is_that_of_its_year(self):
        # 80 gCO2/kWh is "low" in 2026 and "moderate" in 2028.
        carbon = [300.0] * 12 + [80.0]
        assert decide(views.view(A, carbon=carbon)).draft.decision_type is D.RENEWABLE_WINDOW
        later = datetime(2028, 11, 22, 12, 10, tzinfo=NOW.tzinfo)
        proposal = decide(views.view(A, carbon=carbon, now=later), created_at=later)
        assert proposal.draft.decision_type is D.CARBON_OPTIMIZATION

    def test_later_only_for_want_of_room_is_accepted(self):
        view = views.view(A)
        view.field.room[0, :, :12] = 0
        proposal = decide(view)
        assert proposal.draft.decision_type is D.ACCEPT_WORKLOAD
        assert proposal.parameters["starts_at"] == view.half_hour(12)
        assert proposal.draft.constraints["baseline_infeasible"] == "power_mw"

    @pytest.mark.parametrize(
        ("limits", "signals", "decision_type"),
        [
            ({"carbon_cap_gco2": 100}, {"carbon": [300.0] * 12 + [99.0]}, D.CARBON_OPTIMIZATION),
            ({"max_price_gbp": 50}, {"price": [200.0] * 12 + [25.0]}, D.PRICE_OPTIMIZATION),
        ],
    )
    def test_later_because_a_cap_forbids_now_is_named_for_the_cap(self, limits, signals, decision_type):
        """Even where waiting gains nothing that the weights count."""
        config = Placing(carbon_price_gbp_t=0, delay_gbp_mwh_hour={"MEDIUM": 1000})
        proposal = decide(views.view(A, **signals), config, **limits, value_gbp=1_000_000)
        assert proposal.draft.decision_type is decision_type
        assert proposal.draft.constraints["baseline_infeasible"] is not None

    def test_an_interrupted_job_is_booked_in_its_pieces(self):
        carbon = [300.0, 50.0, 300.0, 300.0, 50.0, 50.0, 300.0, 50.0, 300.0]
        proposal = decide(views.view(A, carbon=carbon), interruptible=True)
        assert proposal.draft.decision_type is D.RENEWABLE_WINDOW
        spans = proposal.parameters["spans"]
        view = views.view(A)
        assert [(span["starts_at"], span["ends_at"]) for span in spans] == [
            (view.half_hour(1), view.half_hour(2)),
            (view.half_hour(4), view.half_hour(6)),
            (view.half_hour(7), view.half_hour(8)),
        ]

    def test_without_an_origin_there_is_no_baseline_and_no_saving(self):
        proposal = decide(views.view(A, B, carbon=[300.0] * 12 + [60.0]), origin_dc_id=None)
        assert proposal.draft.decision_type is D.RENEWABLE_WINDOW
        assert proposal.draft.alternatives["baseline"] is None
        assert (proposal.draft.carbon_saved_gco2, proposal.draft.cost_saved_gbp) == (None, None)

    @pytest.mark.parametrize(("limits", "price"), [({"max_price_gbp": 60}, 100.0), ({"value_gbp": 60}, 120.0)])
    def test_money_that_is_too_little_is_answered_with_what_would_do(self, limits, price):
        proposal = decide(views.view(A), **limits)  # 2 MWh at GBP 50, and GBP 20 for 200 kg CO2
        assert proposal.action == "negotiate_workload"
        assert proposal.parameters == {"job_id": "j", "price_gbp": price}
        assert proposal.doing is AgentStatus.NEGOTIATING
        assert proposal.draft.decision_type is D.NEGOTIATE
        enough = dict.fromkeys(limits, price)
        assert decide(views.view(A), **enough).draft.decision_type is D.ACCEPT_WORKLOAD

    def test_a_carbon_cap_that_nothing_keeps_waits_for_a_cleaner_forecast(self):
        proposal = decide(views.view(A), carbon_cap_gco2=80)
        assert proposal.action == "defer_workload"
        assert proposal.parameters == {"job_id": "j", "deferred_by": "CARBON"}
        assert proposal.draft.decision_type is D.DEFER_WORKLOAD
        assert proposal.draft.target_dc_id is None

    def test_want_of_room_waits_too(self):
        proposal = decide(views.with_room(views.view(A), 0.5))
        assert proposal.parameters == {"job_id": "j", "deferred_by": None}
        assert proposal.draft.decision_type is D.DEFER_WORKLOAD
        assert proposal.draft.constraints["binding"] == "power_mw"

    def test_sites_that_are_closed_may_open_again(self):
        closed = A.model_copy(update={"status": DataCentreStatus.MAINTENANCE})
        assert decide(views.view(closed)).draft.decision_type is D.DEFER_WORKLOAD

    @pytest.mark.parametrize(
        "values",
        [
            {"allowed_region_ids": [1]},
            {"power_kw": 11_000},
            {"deadline": NOW + timedelta(minutes=119)},
            {"carbon_cap_gco2": 80, "deferral_window_mins": 0},
            {"duration_mins": 60 * 49, "deferral_window_mins": None},
        ],
    )
    def test_what_can_never_run_is_rejected(self, values):
        proposal = decide(views.view(A, B), **values)
        assert proposal.action == "reject_workload"
        assert proposal.draft.decision_type is D.REJECT_WORKLOAD
        assert proposal.parameters["reason"]

    def test_where_there_is_no_site_nothing_can_run(self):
        proposal = decide(views.view(), origin_dc_id=None)
        assert proposal.draft.decision_type is D.REJECT_WORKLOAD

    def test_the_horizon_of_the_agent_ends_the_search(self):
        signals = {"carbon": [300.0] * 12 + [60.0]}
        soon = decide(views.view(A, **signals), Placing(horizon_hours=4))
        assert soon.draft.decision_type is D.ACCEPT_WORKLOAD

    def test_it_is_simulated_when_its_workload_or_one_of_its_sites_is(self):
        sites = [A, B.model_copy(update={"is_simulated": True})]
        assert not decide(views.view(*sites)).draft.is_simulated
        assert decide(views.view(*sites, carbon={"A": 200, "B": 50})).draft.is_simulated
        assert decide(views.view(A), is_simulated=True).draft.is_simulated


class TestRound:
    def test_whoever_waits_is_placed_the_most_urgent_and_then_the_soonest_first(self):
        waiting = [
            views.workload("low", urgency="LOW"),
            views.workload("late", deadline=NOW + timedelta(hours=20)),
            views.workload("soon", deadline=NOW + timedelta(hours=10)),
            views.workload("critical", urgency="CRITICAL"),
            views.workload("deferred", status=S.DEFERRED_CARBON, urgency="HIGH"),
        ]
        found = propose(views.view(A, workloads=waiting))
        assert jobs_of(found) == ["critical", "deferred", "soon", "late", "low"]

    def test_room_is_taken_up_as_it_goes(self):
        view = views.view(A, workloads=[views.workload(f"j{number}", power_kw=4000) for number in range(5)])
        starts = sorted(proposal.parameters["starts_at"] for proposal in propose(view))
        assert starts == [NOW, NOW, view.half_hour(5), view.half_hour(5), view.half_hour(9)]
        assert view.field.room[0].min() == 10, "the view itself is not touched"

    def test_what_runs_or_is_booked_is_left_alone(self):
        held = [views.workload("booked", status=S.QUEUED), views.workload("runs", status=S.RUNNING)]
        bookings = {"booked": views.booking(A, NOW + HALF_HOUR, 120), "runs": views.booking(A, NOW, 120)}
        assert propose(views.view(A, carbon=300, workloads=held, bookings=bookings)) == []

    @pytest.mark.parametrize(
        ("status", "limits"),
        [
            (S.PENDING, {"power_kw": 9000}),
            (S.DEFERRED_CARBON, {"carbon_cap_gco2": 80}),
            (S.DEFERRED_PRICE, {"max_price_gbp": 60}),
        ],
    )
    def test_an_outcome_that_stands_is_not_said_again(self, status, limits):
        waiting = [views.workload("j", status=status, **limits)]
        assert propose(views.with_room(views.view(A, workloads=waiting), 5)) == []

    def test_an_outcome_that_differs_is_said(self):
        waiting = [views.workload("j", status=S.DEFERRED_CARBON, max_price_gbp=60)]
        (proposal,) = propose(views.view(A, workloads=waiting))
        assert proposal.draft.decision_type is D.NEGOTIATE

    def test_what_fits_at_last_is_booked(self):
        waiting = [views.workload("j", status=S.DEFERRED_CARBON, carbon_cap_gco2=80)]
        (proposal,) = propose(views.view(A, carbon=[100.0] * 12 + [70.0], workloads=waiting))
        assert proposal.draft.decision_type is D.RENEWABLE_WINDOW or proposal.action == "accept_workload"
        assert proposal.parameters["dc_id"] == "A"

    def test_whose_time_is_over_is_rejected(self):
        arrived = NOW - timedelta(hours=30)
        waiting = [views.workload("j", status=S.DEFERRED_PRICE, max_price_gbp=1, created_at=arrived)]
        (proposal,) = propose(views.view(A, workloads=waiting))
        assert proposal.draft.decision_type is D.REJECT_WORKLOAD
        assert proposal.draft.constraints["binding"] == "latest_end"

    @pytest.mark.parametrize("status", [DataCentreStatus.OFFLINE, DataCentreStatus.MAINTENANCE])
    def test_work_booked_at_a_site_that_closes_is_placed_anew(self, status):
        closed = A.model_copy(update={"status": status})
        held = [views.workload("j", status=S.QUEUED, origin_dc_id=A.id)]
        bookings = {"j": views.booking(A, NOW + HALF_HOUR, 120)}
        (proposal,) = propose(views.view(closed, B, workloads=held, bookings=bookings))
        assert proposal.parameters["dc_id"] == "B"
        assert proposal.draft.inputs["standing"]["data_centre_id"] == str(A.id)
        assert "no longer possible" in proposal.draft.reasoning

    def test_work_booked_at_a_constrained_site_stays(self):
        constrained = A.model_copy(update={"status": DataCentreStatus.CONSTRAINED})
        held = [views.workload("j", status=S.QUEUED)]
        bookings = {"j": views.booking(A, NOW + HALF_HOUR, 120)}
        assert propose(views.view(constrained, B, workloads=held, bookings=bookings)) == []

    def test_a_cap_moves_the_least_urgent_and_no_more_than_it_must(self):
        held = [
            views.workload("high", status=S.QUEUED, urgency="HIGH", power_kw=4000),
            views.workload("low", status=S.QUEUED, urgency="LOW", power_kw=4000),
        ]
        begins = views.view(A).half_hour(1)
        bookings = {job.job_id: views.booking(A, begins, 120) for job in held}
        cap = views.limit(A, 4, NOW, NOW + timedelta(hours=4))
        found = propose(views.view(A, B, workloads=held, bookings=bookings, limits=[cap]))
        assert jobs_of(found) == ["low"]
        assert found[0].parameters["dc_id"] == "B"

    def test_what_a_client_has_chosen_gives_way_last(self):
        held = [views.workload(name, status=S.QUEUED, power_kw=4000) for name in ("agents", "clients")]
        begins = views.view(A).half_hour(1)
        cap = views.limit(A, 4, NOW, NOW + timedelta(hours=4))
        for chosen, moved in (("agents", "clients"), ("clients", "agents")):
            bookings = {
                job.job_id: replace(views.booking(A, begins, 120), is_by_hand=job.job_id == chosen) for job in held
            }
            assert jobs_of(propose(views.view(A, B, workloads=held, bookings=bookings, limits=[cap]))) == [moved]

    def test_a_place_that_a_client_has_chosen_is_given_up_in_so_many_words(self):
        closed = A.model_copy(update={"status": DataCentreStatus.OFFLINE})
        held = [views.workload("j", status=S.QUEUED, origin_dc_id=A.id, created_at=NOW - timedelta(hours=3))]
        for begins, said in (
            (NOW + HALF_HOUR, "at A (region 12), chosen by hand, which is no longer possible"),
            (
                NOW - timedelta(minutes=61),
                "It replaces a booking that was chosen by hand and whose start was missed.",
            ),
        ):
            bookings = {"j": replace(views.booking(A, begins, 120), is_by_hand=True)}
            (proposal,) = propose(views.view(closed, B, workloads=held, bookings=bookings))
            assert said in proposal.draft.reasoning

    def test_work_that_lost_its_place_and_finds_no_other_waits_unbooked(self):
        held = [views.workload("j", status=S.QUEUED)]
        bookings = {"j": views.booking(A, NOW + HALF_HOUR, 120)}
        cap = views.limit(A, 0, NOW, None)
        (proposal,) = propose(views.view(A, workloads=held, bookings=bookings, limits=[cap]))
        assert proposal.parameters == {"job_id": "j", "deferred_by": None}
        assert proposal.draft.decision_type is D.DEFER_WORKLOAD

    def test_a_start_that_was_missed_is_booked_again(self):
        held = [views.workload("j", status=S.QUEUED, created_at=NOW - timedelta(hours=3))]
        late = {"j": views.booking(A, NOW - timedelta(minutes=61), 120)}
        soon = {"j": views.booking(A, NOW - timedelta(minutes=59), 120)}
        assert propose(views.view(A, workloads=held, bookings=soon)) == []
        (proposal,) = propose(views.view(A, workloads=held, bookings=late))
        assert proposal.parameters["starts_at"] >= NOW


@given(
    rooms=st.lists(st.integers(0, 6), min_size=2, max_size=2),
    powers=st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    carbon=st.lists(st.sampled_from([50.0, 150.0, 300.0]), min_size=1, max_size=20),
    waits=st.lists(st.integers(0, 600), min_size=12, max_size=12),
    interruptible=st.booleans(),
    cap=st.none() | st.integers(40, 320),
)
@settings(max_examples=60, deadline=None)
def test_whatever_a_round_books_keeps_every_limit(rooms, powers, carbon, waits, interruptible, cap):
    sites = [
        A.model_copy(update={"total_capacity_mw": rooms[0]}),
        B.model_copy(update={"total_capacity_mw": rooms[1]}),
    ]
    workloads = [
        views.workload(
            f"j{number}",
            power_kw=power,
            deferral_window_mins=wait,
            interruptible=interruptible,
            carbon_cap_gco2=cap,
            origin_dc_id=A.id,
            allowed_region_ids=[12] if number % 3 == 0 else None,
        )
        for number, (power, wait) in enumerate(zip(powers, waits, strict=False))
    ]
    view = views.view(*sites, carbon={"A": carbon, "B": carbon[::-1]}, workloads=workloads)
    field = view.field
    for proposal in propose(view):
        if "dc_id" not in proposal.parameters:
            continue
        workload = next(one for one in workloads if one.job_id == proposal.parameters["job_id"])
        chosen = proposal.draft.alternatives["chosen"]
        spans = [(jobs.moment(span["starts_at"]), jobs.moment(span["ends_at"])) for span in chosen["spans"]]
        assert spans[0][0] >= NOW
        assert spans[-1][1] <= jobs.latest_end(workload)
        assert sum((ends - begins for begins, ends in spans), timedelta()) == timedelta(minutes=120)
        assert workload.allowed_region_ids is None or chosen["region_id"] in workload.allowed_region_ids
        assert cap is None or chosen["carbon_gco2"] / chosen["energy_kwh"] <= cap + 1e-6
        job = jobs.job_of(view, workload, CONFIG)
        site = next(row for row, one in enumerate(view.sites) if one.dc_id == proposal.parameters["dc_id"])
        minutes = [(view.minutes(begins), view.minutes(ends)) for begins, ends in spans]
        field = jobs.with_room(field, job, site, minutes, taken=True)
    assert field.room.min() >= -1e-6


def test_a_round_on_the_same_view_is_the_same():
    workloads = [views.workload(f"j{number}", power_kw=700 * number + 1) for number in range(8)]
    view = views.view(A, B, carbon={"A": [200.0] * 6 + [90.0], "B": [180.0] * 9 + [40.0]}, workloads=workloads)
    shuffled = replace(view, workloads=tuple(reversed(view.workloads)))
    assert propose(view) == propose(view) == propose(shuffled)
