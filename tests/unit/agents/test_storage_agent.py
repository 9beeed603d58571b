from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import numpy as np
import pytest

from pylon.agents import contract
from pylon.agents.contract import Proposal, Scheduled, View
from pylon.agents.storage_agent import PROGRAM, StorageConfig, decide, describe
from pylon.errors import Invalid
from pylon.ontology.actions import ACTIONS
from pylon.ontology.agency import Agent
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import AgentType, DecisionType, StorageStatus
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.planning.field import Field

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW = START + timedelta(minutes=12)
HALF_HOUR = timedelta(minutes=30)
OPERATOR, REGION_ROW, SITE = UUID(int=1), UUID(int=2), UUID(int=3)
REGION = 13
COLUMNS = 96

DAY = 80 - 40 * np.cos(np.arange(COLUMNS) / 48 * 2 * np.pi)
"""Cheap at noon, dear at midnight, twice."""


def an_asset(**changes) -> StorageAsset:
    usual = {
        "id": UUID(int=10),
        "asset_id": "BESS-1",
        "name": "Battery",
        "operator_id": OPERATOR,
        "region_id": REGION_ROW,
        "capacity_mwh": Decimal(100),
        "max_charge_rate_mw": Decimal(50),
        "max_discharge_rate_mw": Decimal(50),
        "efficiency_percentage": Decimal(86),
        "current_charge_mwh": Decimal(50),
        "wear_gbp_mwh": Decimal(3),
        "created_at": START,
        "updated_at": START,
    }
    return StorageAsset(**{**usual, **changes})


def a_site() -> DataCentre:
    return DataCentre(
        id=SITE,
        dc_id="DC-1",
        name="Site",
        operator_id=OPERATOR,
        region_id=REGION_ROW,
        total_capacity_mw=Decimal(40),
        pue=Decimal("1.2"),
        created_at=START,
        updated_at=START,
    )


def a_view(
    *assets: StorageAsset, price=DAY, carbon=200.0, stress=0.0, schedules=None, now=NOW, tariff=None
) -> View:
    def row(values) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, float), COLUMNS).copy()

    def known(values) -> tuple:
        return tuple(None if math.isnan(value) else value for value in row(values).tolist())

    return View(
        now=now,
        starts_at=START,
        run_id=None,
        grid_signal_id=None,
        carbon_gco2_kwh=None,
        stress=None,
        price_gbp_mwh=None,
        field=Field(
            price_gbp_mwh=row(price if tariff is None else tariff)[None],
            carbon_gco2_kwh=row(carbon)[None],
            stress=row(stress),
            scarcity_gbp_mwh=np.zeros((1, COLUMNS)),
            room=np.full((4, 1, COLUMNS), np.inf),
            is_open=np.array([True]),
            pue=np.array([1.2]),
        ),
        region_carbon={REGION: known(carbon)},
        wholesale_gbp_mwh=known(price),
        sites=(a_site(),),
        regions=(REGION,),
        workloads=(),
        bookings={},
        assets=assets,
        asset_regions=(REGION,) * len(assets),
        schedules=schedules or {},
        limits=(),
        simulated=("price",),
        digest="0" * 64,
        after_seq=7,
    )


def an_agent(**config) -> Agent:
    return Agent(
        id=uuid4(),
        agent_id="STORAGE",
        name="Storage",
        agent_type=AgentType.STORAGE_AGENT,
        operator_id=OPERATOR,
        config=config,
        created_at=START,
        updated_at=START,
    )


def proposals(view: View, **config) -> list[Proposal]:
    return list(PROGRAM.run(view, an_agent(**config)))


def the_proposal(view: View, **config) -> Proposal:
    (proposal,) = proposals(view, **config)
    return proposal


def as_schedule(proposal: Proposal, later: timedelta = timedelta()) -> tuple[Scheduled, ...]:
    return tuple(
        Scheduled(starts_at=datetime.fromisoformat(one["starts_at"]), power_mw=one["power_mw"])
        for one in proposal.parameters["schedule"]
        if datetime.fromisoformat(one["starts_at"]) >= START + later
    )


def power(proposal: Proposal) -> np.ndarray:
    return np.array([one["power_mw"] for one in proposal.parameters["schedule"]])


def test_it_is_found_and_its_proposal_is_an_action_that_exists():
    assert contract.program(AgentType.STORAGE_AGENT) is PROGRAM
    proposal = the_proposal(a_view(an_asset()))
    read = next(one for one in ACTIONS.values() if one.name == proposal.action).parse(proposal.parameters)
    assert read.asset_id == "BESS-1"
    assert [float(one.power_mw) for one in read.schedule] == power(proposal).tolist()
    assert proposal.draft.decision_type is DecisionType.SCHEDULE_DISCHARGE
    assert proposal.draft.storage_asset_id == UUID(int=10)


def test_an_empty_config_is_the_defaults_and_a_wrong_one_is_refused_by_name():
    assert PROGRAM.settings({}) == StorageConfig()
    with pytest.raises(Invalid, match="min_charge_percentage must not be above"):
        PROGRAM.settings({"min_charge_percentage": 96})
    with pytest.raises(Invalid, match="churn"):
        PROGRAM.settings({"churn": 3})


def test_it_charges_when_cheap_and_discharges_when_dear_from_the_next_half_hour_on():
    proposal = the_proposal(a_view(an_asset()))
    assert proposal.parameters["schedule"][0] == {"starts_at": "2026-11-22T12:00:00Z", "power_mw": 0.0}
    assert len(proposal.parameters["schedule"]) == COLUMNS
    moved = power(proposal)
    assert moved[DAY > 110].max() == 50
    assert moved[DAY < 50].min() == -50
    assert (moved[DAY > 110] >= 0).all()
    assert (moved[DAY < 50] <= 0).all()


def test_at_the_first_moment_of_a_half_hour_that_one_is_planned_too():
    proposal = the_proposal(a_view(an_asset(), now=START))
    assert proposal.draft.inputs["present"] is None
    assert proposal.parameters["schedule"][0]["power_mw"] < 0
    assert len(proposal.parameters["schedule"]) == COLUMNS


def test_all_that_is_said_recomputes_by_hand_from_the_inputs():
    stress = np.linspace(0, 1, COLUMNS)
    draft = the_proposal(a_view(an_asset(), carbon=DAY * 2, stress=stress)).draft
    seen, schedule = draft.inputs, power(the_proposal(a_view(an_asset(), carbon=DAY * 2, stress=stress)))[1:]
    assert seen["price_gbp_mwh"] == DAY[1:].tolist()
    given, discharged = schedule / 2, np.maximum(schedule, 0) / 2
    money = given @ DAY[1:] - 3 * discharged.sum()
    grams = given @ (DAY[1:] * 2) * 1000
    weighed = money + 100 * grams / 1e6 + 20 * given @ stress[1:]
    chosen, baseline = draft.alternatives["chosen"], draft.alternatives["baseline"]
    assert draft.cost_saved_gbp == pytest.approx(money, abs=1e-4)
    assert draft.carbon_saved_gco2 == pytest.approx(grams, abs=0.01)
    assert chosen["total_gbp"] == pytest.approx(-weighed, abs=1e-4)
    assert chosen["terms"]["stress_gbp"] == pytest.approx(-20 * given @ stress[1:], abs=1e-5)
    assert chosen["terms"]["wear_gbp"] == pytest.approx(3 * discharged.sum(), abs=1e-5)
    assert set(baseline["terms"].values()) == {0.0}
    assert draft.flexibility_contribution_mw == round(schedule.max(), 2)
    assert f"saves GBP {money:,.2f} after wear" in draft.reasoning
    assert f"charges {-np.minimum(given, 0).sum():,.1f} MWh" in draft.reasoning
    assert f"worth GBP {weighed:,.2f}" in draft.reasoning


def test_the_document_alone_makes_the_same_proposal_and_has_canonical_bytes():
    asset = an_asset(efficiency_percentage=Decimal("87.3"), current_charge_mwh=Decimal("33.33"))
    standing = as_schedule(the_proposal(a_view(asset)))
    view = a_view(asset, price=DAY[::-1], schedules={asset.id: standing})
    proposal = the_proposal(view)
    again = decide(json.loads(json.dumps(proposal.draft.inputs)))
    assert again == proposal
    kept = (proposal.draft.inputs, proposal.draft.constraints, proposal.draft.alternatives)
    assert all(canonical_bytes(document) for document in kept)


def test_the_present_half_hour_keeps_its_power_and_the_plan_starts_from_what_it_leaves():
    asset = an_asset()
    schedules = {asset.id: (Scheduled(starts_at=START, power_mw=40.0),)}
    proposal = the_proposal(a_view(asset, schedules=schedules))
    assert power(proposal)[0] == 40
    end = next(limit for limit in proposal.draft.constraints["limits"] if limit["limit"] == "end_mwh")
    assert end["value"] == pytest.approx(50 - 20 / 0.86**0.5, abs=1e-3)
    assert end["reached"] >= end["value"] - 0.01


@pytest.mark.parametrize("status", [StorageStatus.MAINTENANCE, StorageStatus.OFFLINE])
def test_one_that_is_out_of_use_is_left_alone(status):
    assert proposals(a_view(an_asset(status=status))) == []


def test_one_whose_charge_is_unknown_is_left_alone():
    assert proposals(a_view(an_asset(current_charge_mwh=None))) == []


def test_each_asset_is_decided_about_in_order():
    other = an_asset(id=UUID(int=11), asset_id="BESS-2", is_simulated=True)
    first, second = proposals(a_view(an_asset(), other))
    assert [first.parameters["asset_id"], second.parameters["asset_id"]] == ["BESS-1", "BESS-2"]
    assert [first.draft.is_simulated, second.draft.is_simulated] == [False, True]


def test_a_standing_schedule_stands_until_it_is_about_to_end():
    asset = an_asset()
    standing = as_schedule(the_proposal(a_view(asset)))
    assert proposals(a_view(asset, schedules={asset.id: standing})) == []
    assert proposals(a_view(asset, schedules={asset.id: standing[:50]})) == []
    proposal = the_proposal(a_view(asset, schedules={asset.id: standing[:48]}))
    assert proposal.draft.reasoning.startswith("Its schedule ends on Mon 23 Nov 12:00 UTC:")
    assert proposals(a_view(asset, schedules={asset.id: standing[:48]}), renew_within_hours=12) == []
    assert proposals(a_view(asset, schedules={asset.id: standing[:14]}), horizon_hours=12) == []
    assert proposals(a_view(asset, schedules={asset.id: standing[:12]}), horizon_hours=12) != []


def test_a_schedule_that_has_run_out_is_none():
    asset = an_asset()
    past = (Scheduled(starts_at=START - HALF_HOUR, power_mw=5.0), Scheduled(starts_at=START, power_mw=5.0))
    proposal = the_proposal(a_view(asset, schedules={asset.id: past}))
    assert proposal.draft.inputs["standing"] is None
    assert proposal.draft.reasoning.startswith("It had no schedule.")


def test_a_better_plan_replaces_a_standing_one_only_beyond_the_churn():
    asset = an_asset()
    standing = {asset.id: as_schedule(the_proposal(a_view(asset)))}
    changed = DAY.copy()
    changed[20] += 100
    proposal = the_proposal(a_view(asset, price=changed, schedules=standing))
    kept, chosen = proposal.draft.alternatives["standing"], proposal.draft.alternatives["chosen"]
    gain = kept["total_gbp"] - chosen["total_gbp"]
    assert gain > 5
    assert f"worth GBP {gain:,.2f} less" in proposal.draft.reasoning
    assert proposals(a_view(asset, price=changed, schedules=standing), churn_gbp=gain) == []
    assert len(proposals(a_view(asset, price=changed, schedules=standing), churn_gbp=gain - 0.01)) == 1


def test_the_savings_of_plans_that_replace_each_other_add_up_to_what_the_last_saves():
    asset = an_asset()
    first = the_proposal(a_view(asset))
    changed = DAY.copy()
    changed[20] += 100
    again = the_proposal(a_view(asset, price=changed, schedules={asset.id: as_schedule(first)}))
    afresh = the_proposal(a_view(asset, price=changed)).draft
    held, options = first.draft.alternatives["chosen"], again.draft.alternatives
    assert options["baseline_is"] == "the schedule that stands, and idle after it"
    assert options["baseline"]["cost_gbp"] == pytest.approx(held["cost_gbp"] - 100 * power(first)[20] / 2, abs=1e-5)
    worth_now = -options["baseline"]["cost_gbp"]
    assert again.draft.cost_saved_gbp + worth_now == pytest.approx(afresh.cost_saved_gbp, abs=1e-4)
    assert again.draft.cost_saved_gbp < afresh.cost_saved_gbp / 2
    assert afresh.alternatives["baseline_is"] == "idle"


def test_what_a_renewed_plan_adds_is_counted_from_the_end_of_the_schedule_that_stood():
    asset = an_asset()
    standing = as_schedule(the_proposal(a_view(asset)))[:48]
    draft = the_proposal(a_view(asset, schedules={asset.id: standing})).draft
    asked = np.array([one.power_mw for one in standing[1:]])
    assert draft.alternatives["baseline"]["cost_gbp"] == pytest.approx(
        -(asked @ DAY[1:48] - 3 * np.maximum(asked, 0).sum()) / 2, abs=1e-4
    )


def by_hand(*powers: float, first: int = 0) -> tuple[Scheduled, ...]:
    return tuple(
        Scheduled(starts_at=START + (first + number) * HALF_HOUR, power_mw=mw, is_by_hand=True)
        for number, mw in enumerate(powers)
    )


def test_what_was_scheduled_by_hand_stands_and_the_plan_begins_after_it():
    asset = an_asset()
    proposal = the_proposal(a_view(asset, schedules={asset.id: by_hand(0.0, 20.0, 20.0, -10.0)}))
    assert proposal.parameters["schedule"][0]["starts_at"] == "2026-11-22T14:00:00Z"
    assert len(proposal.parameters["schedule"]) == COLUMNS - 4
    end = next(limit for limit in proposal.draft.constraints["limits"] if limit["limit"] == "end_mwh")
    assert end["value"] == pytest.approx(50 - 20 / 0.86**0.5 + 5 * 0.86**0.5, abs=0.01)
    assert "It keeps to the schedule set by hand until Sun 22 Nov 14:00 UTC." in proposal.draft.reasoning
    assert decide(json.loads(json.dumps(proposal.draft.inputs))) == proposal


def test_what_comes_before_a_schedule_by_hand_is_kept_too():
    asset = an_asset()
    standing = as_schedule(the_proposal(a_view(asset)))
    ahead = (*standing[:40], *by_hand(5.0, first=40), *standing[41:])
    assert proposals(a_view(asset, schedules={asset.id: ahead}), churn_gbp=10_000) == []
    proposal = the_proposal(a_view(asset, schedules={asset.id: ahead[:41]}))
    assert proposal.parameters["schedule"][0]["starts_at"] == "2026-11-23T08:30:00Z"
    assert proposal.draft.inputs["by_hand"]["power_mw"] == [one.power_mw for one in ahead[:41]]


def test_one_scheduled_by_hand_as_far_as_is_planned_is_left_alone():
    asset = an_asset()
    assert proposals(a_view(asset, schedules={asset.id: by_hand(5.0, first=COLUMNS - 1)})) == []


def test_a_standing_schedule_that_ends_first_is_weighed_with_the_best_that_it_leaves():
    asset = an_asset()
    standing = as_schedule(the_proposal(a_view(asset)))[:40]
    options = the_proposal(a_view(asset, schedules={asset.id: standing})).draft.alternatives
    assert options["standing"]["total_gbp"] == pytest.approx(options["chosen"]["total_gbp"], abs=0.05)


def test_a_co_located_battery_pays_its_sites_tariff_and_any_other_the_wholesale_price():
    beside, alone = an_asset(co_located_dc_id=SITE), an_asset()
    tariff = np.roll(DAY, 24)
    view = a_view(beside, tariff=tariff)
    assert the_proposal(view).draft.inputs["price_of"] == "DC-1"
    assert the_proposal(view).draft.inputs["price_gbp_mwh"] == tariff[1:].tolist()
    assert the_proposal(replace(view, assets=(alone,))).draft.inputs["price_of"] == "wholesale"
    elsewhere = an_asset(co_located_dc_id=UUID(int=99))
    assert the_proposal(replace(view, assets=(elsewhere,))).draft.inputs["price_of"] == "wholesale"


def test_half_hours_without_price_or_carbon_are_idle_and_counted():
    price, carbon = DAY.copy(), np.full(COLUMNS, 200.0)
    price[24:28], carbon[50:60] = np.nan, np.nan
    proposal = the_proposal(a_view(an_asset(), price=price, carbon=carbon))
    assert not power(proposal)[24:28].any()
    assert not power(proposal)[50:60].any()
    assert proposal.draft.inputs["missing"]["half_hours_not_used"] == 14
    assert proposal.draft.inputs["price_gbp_mwh"][23] is None


def test_what_is_known_nowhere_is_left_out_and_said_and_never_zero():
    no_carbon = the_proposal(a_view(an_asset(), carbon=np.nan)).draft
    assert no_carbon.carbon_saved_gco2 is None
    assert no_carbon.alternatives["chosen"]["terms"]["carbon_gbp"] is None
    assert "Known nowhere and so in no sum: carbon." in no_carbon.reasoning
    no_price = the_proposal(a_view(an_asset(), price=np.nan, carbon=DAY * 5)).draft
    assert no_price.cost_saved_gbp is None
    assert no_price.carbon_saved_gco2 > 0
    assert "GBP nan" not in no_price.reasoning
    assert proposals(a_view(an_asset(), price=np.nan, carbon=np.nan)) == []


def test_unknown_stress_adds_no_term_and_is_counted():
    stress = np.zeros(COLUMNS)
    stress[10:20] = np.nan
    draft = the_proposal(a_view(an_asset(), stress=stress)).draft
    assert draft.inputs["missing"]["half_hours_without_stress"] == 10
    assert draft.cost_saved_gbp == the_proposal(a_view(an_asset())).draft.cost_saved_gbp
    assert (
        the_proposal(a_view(an_asset(), stress=np.nan)).draft.alternatives["chosen"]["terms"]["stress_gbp"] is None
    )


def test_stress_moves_a_discharge_to_where_the_grid_is_short():
    stress = np.zeros(COLUMNS)
    stress[36] = 1.0
    plain, stressed = (
        power(the_proposal(a_view(an_asset(), stress=one), stress_price_gbp_mwh=400)) for one in (0, stress)
    )
    assert stressed[36] == 50
    assert plain[36] < 50


def test_a_flat_field_is_a_decision_to_stay_idle():
    draft = the_proposal(a_view(an_asset(), price=80.0)).draft
    assert draft.cost_saved_gbp == 0
    assert draft.flexibility_contribution_mw == 0
    assert "it stays idle" in draft.reasoning


def test_a_saving_is_signed_and_the_reason_says_why_it_is_a_loss():
    full = an_asset(current_charge_mwh=Decimal(100))
    draft = the_proposal(a_view(full, price=-5.0, carbon=0.0)).draft
    assert draft.cost_saved_gbp < 0
    assert "costs GBP" in draft.reasoning
    assert "It is led back into its band of 10.0 to 95.0 MWh first." in draft.reasoning


def test_simulated_inputs_are_named():
    draft = the_proposal(a_view(an_asset())).draft
    assert draft.inputs["simulated"] == ["price"]
    assert "Rests on simulated price." in draft.reasoning


def test_a_present_power_beyond_what_the_asset_can_do_now_is_cut_to_it():
    asset = an_asset(max_discharge_rate_mw=Decimal(20))
    view = a_view(asset, schedules={asset.id: (Scheduled(starts_at=START, power_mw=40.0),)})
    assert power(the_proposal(view))[0] == 20


def test_schedules_are_in_whole_kilowatts_and_keep_between_empty_and_full():
    rng = np.random.default_rng(7)
    for _ in range(20):
        asset = an_asset(
            capacity_mwh=Decimal("0.07"),
            current_charge_mwh=Decimal("0.03"),
            max_charge_rate_mw=Decimal("0.05"),
            max_discharge_rate_mw=Decimal("0.06"),
            wear_gbp_mwh=Decimal(0),
        )
        view = a_view(asset, price=rng.normal(60, 60, COLUMNS))
        moved = power(the_proposal(view, min_charge_percentage=0, max_charge_percentage=100))
        assert moved * 1000 == pytest.approx(np.round(moved * 1000), abs=1e-9)
        each_way = 0.86**0.5
        stored = 0.03 + np.cumsum(np.where(moved < 0, -moved * each_way, -moved / each_way) / 2)
        assert stored.min() >= -1e-9
        assert stored.max() <= 0.07 + 1e-9


def test_a_view_without_assets_or_half_hours_proposes_nothing():
    assert proposals(a_view()) == []
    asset = an_asset()
    view = a_view(asset)
    wide = ("price_gbp_mwh", "carbon_gco2_kwh", "stress", "scarcity_gbp_mwh", "room")
    short = replace(view.field, **{name: getattr(view.field, name)[..., :1] for name in wide})
    assert describe(replace(view, field=short), asset, REGION, StorageConfig()) is None


def beside_site(free_mw: float, *assets: StorageAsset, own=()) -> View:
    """Return batteries beside a site with so much room for them; `own` is what the first is to do already."""
    scheduled = tuple(Scheduled(starts_at=START + at * HALF_HOUR, power_mw=mw) for at, mw in enumerate(own))
    view = a_view(*assets, schedules={assets[0].id: scheduled} if own else None)
    net = np.zeros((1, COLUMNS))
    net[0, : len(own)] = own
    view.field.room[0] = free_mw + net
    return replace(view, beside_mw=net)


def powers(proposal: Proposal) -> list[float]:
    return [one["power_mw"] for one in proposal.parameters["schedule"]]


def test_beside_a_site_it_charges_with_no_more_than_the_work_leaves():
    asset = an_asset(co_located_dc_id=SITE)
    assert min(powers(the_proposal(beside_site(1000, asset)))) == -50
    assert min(powers(the_proposal(beside_site(7.5, asset)))) == -7.5


def test_two_beside_one_site_share_what_the_work_leaves():
    pair = an_asset(co_located_dc_id=SITE), an_asset(id=UUID(int=11), asset_id="BESS-2", co_located_dc_id=SITE)
    first, second = proposals(beside_site(60, *pair))
    together = np.array(powers(first)) + powers(second)
    assert together.min() == pytest.approx(-60)
    assert min(powers(first)) == -50


def test_what_work_relies_on_is_given_and_a_schedule_that_does_not_give_it_goes():
    """5 MW more work than room; a schedule that stands and idles would leave it without."""
    asset = an_asset(co_located_dc_id=SITE)
    idle = (0.0,) * COLUMNS
    short = beside_site(1000, asset, own=idle)
    short.field.room[0, 0, 40:44] = -5
    found = the_proposal(short, churn_gbp=1_000_000)
    assert min(powers(found)[40:44]) >= 5
    assert "leaves the work at DC-1 less power than this one" in found.draft.reasoning
    assert proposals(beside_site(1000, asset, own=idle), churn_gbp=1_000_000) == []
    kept = json.loads(canonical_bytes(found.draft.inputs))
    assert decide(kept) == replace(found, draft=replace(found.draft, inputs=kept))


def test_what_nothing_can_cure_is_not_planned_again_and_again():
    empty = an_asset(co_located_dc_id=SITE, current_charge_mwh=Decimal(10))
    view = beside_site(-5, empty, own=(0.0,) * COLUMNS)
    assert proposals(view, churn_gbp=1_000_000) == []
