from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.agents import jobs, reasons
from pylon.agents.jobs import Placing
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import DecisionType
from tests.doubles import views

A, B, C = views.site("A", 12, pue=1.2), views.site("B", 5), views.site("C", 13)
CONFIG = Placing()
D = DecisionType
NOW = views.NOW
TERMS = ("energy_gbp", "carbon_gbp", "stress_gbp", "migration_gbp", "wait_gbp", "scarcity_gbp")


def case_of(view, booking=None, config=CONFIG, **values):
    workload = views.workload("j", **{"origin_dc_id": A.id, **values})
    return reasons.consider(view, jobs.describe(view, workload, config), config.weights, booking)


def draft_of(view, booking=None, config=CONFIG, **values):
    return reasons.draft_of(case_of(view, booking, config, **values))


def row_of(draft):
    """Return the draft as the columns of the log hold it."""
    return json.loads(
        json.dumps(
            {
                "decision_type": draft.decision_type,
                "reasoning": draft.reasoning,
                "inputs": draft.inputs,
                "constraints_evaluated": draft.constraints,
                "alternatives_considered": draft.alternatives,
            }
        )
    )


def test_an_option_says_where_when_and_what_each_reason_costs():
    draft = draft_of(views.view(A, price=80, carbon=200, stress=0.5))
    assert draft.alternatives["chosen"] == {
        "dc_id": "A",
        "data_centre_id": str(A.id),
        "region_id": 12,
        "spans": [{"starts_at": "2026-11-22T12:10:00Z", "ends_at": "2026-11-22T14:10:00Z"}],
        "energy_kwh": 2400.0,
        "carbon_gco2": 480_000.0,
        "terms": {
            "energy_gbp": 192.0,
            "carbon_gbp": 48.0,
            "stress_gbp": 24.0,
            "migration_gbp": 0.0,
            "wait_gbp": 0.0,
            "scarcity_gbp": 0.0,
        },
        "total_gbp": 264.0,
        "stress_unknown_mins": 0.0,
        "refused_by": None,
        "short_of": None,
    }


def test_the_limits_say_what_each_was_and_how_many_options_it_refused():
    view = views.view(A, B, carbon={"A": 200, "B": 90})
    draft = draft_of(view, carbon_cap_gco2=100, max_price_gbp=500, deferral_window_mins=60)
    limits = {limit["limit"]: limit for limit in draft.constraints["limits"]}
    assert limits["carbon_cap"] == {
        "limit": "carbon_cap",
        "value": 100,
        "unit": "gCO2/kWh",
        "options_refused": limits["carbon_cap"]["options_refused"],
    }
    assert limits["carbon_cap"]["options_refused"] >= 2
    assert limits["max_price"]["value"] == 500
    assert limits["latest_end"]["value"] == "2026-11-22T15:10:00Z"
    assert draft.constraints["baseline_infeasible"] == "carbon_cap"
    assert draft.constraints["is_exact"] is True
    assert [one["limit"] for one in draft.constraints["limits"]] == sorted(limits, key=list(reasons.LIMITS).index)


def test_the_alternatives_are_the_best_of_other_sites_and_what_refuses_the_rest():
    sites = [views.site(f"S{number}", number + 1) for number in range(9)]
    prices = {site.dc_id: 50.0 + 10 * number for number, site in enumerate(sites)}
    shut = sites[8].model_copy(update={"status": "MAINTENANCE"})
    draft = draft_of(views.view(*sites[:8], shut, price=prices), origin_dc_id=sites[3].id)
    assert draft.alternatives["chosen"]["dc_id"] == "S0"
    assert [option["dc_id"] for option in draft.alternatives["others"]] == ["S1", "S2", "S3", "S4", "S5"]
    assert draft.alternatives["refused"] == [
        {"dc_id": "S8", "data_centre_id": str(shut.id), "region_id": 9, "refused_by": "site_open"}
    ]


def test_a_saving_is_money_and_carbon_against_running_now_at_origin():
    view = views.view(A, B, price={"A": 100, "B": 40}, carbon={"A": 300, "B": 100})
    draft = draft_of(view, migration_cost_gbp=30)
    assert draft.carbon_saved_gco2 == 2400 * 300 - 2000 * 100
    assert draft.cost_saved_gbp == 240 - 80 - 30


def test_a_loss_is_a_saving_below_zero_and_said_as_one():
    view = views.view(A, B, price={"A": 50, "B": 90}, carbon={"A": 300, "B": 300})
    view.field.room[0, view.site(A.id)] = 0
    draft = draft_of(view, migration_cost_gbp=1)
    assert draft.decision_type is D.SHIFT_REGION
    assert draft.cost_saved_gbp == 120 - 180 - 1
    assert "GBP 61.00 more" in draft.reasoning
    assert (
        "Running now at its origin was not possible: too little power is free (it needs 1.2 MW, 0 MW free)."
        in draft.reasoning
    )


def test_what_is_not_known_is_null_and_left_out_and_said():
    draft = draft_of(views.view(A, price=math.nan, stress=math.nan))
    chosen = draft.alternatives["chosen"]
    assert chosen["terms"]["energy_gbp"] is None
    assert chosen["terms"]["stress_gbp"] is None
    assert chosen["total_gbp"] == chosen["terms"]["carbon_gbp"]
    assert draft.cost_saved_gbp is None
    assert draft.carbon_saved_gco2 == 0
    assert draft.inputs["missing"] == {
        "known_nowhere": ["price", "stress"],
        "baseline_lacks": [],
        "half_hours_without_stress": views.HALF_HOURS,
    }
    assert "Known nowhere and so in no sum: price and stress." in draft.reasoning


def test_simulated_inputs_are_named():
    draft = draft_of(views.view(A, simulated=["price", "stress"]))
    assert draft.inputs["simulated"] == ["price", "stress"]
    assert draft.reasoning.endswith("Rests on simulated price and stress.")


def test_its_own_booking_makes_room_for_it_and_is_weighed_as_it_would_be_now():
    begins = views.view(A).half_hour(4)
    held = views.workload("j", power_kw=8000, status="QUEUED", origin_dc_id=A.id)
    booking = views.booking(A, begins, 120)
    carbon = [300.0] * 5 + [50.0] * 4 + [300.0]
    view = views.view(A, carbon=carbon, workloads=[held], bookings={"j": booking})
    draft = reasons.draft_of(reasons.consider(view, jobs.describe(view, held, CONFIG), CONFIG.weights, booking))
    assert draft.alternatives["standing"]["spans"][0]["starts_at"] == jobs.instant(begins)
    assert draft.alternatives["chosen"]["spans"][0]["starts_at"] == jobs.instant(begins + timedelta(minutes=30))
    gain = draft.alternatives["standing"]["total_gbp"] - draft.alternatives["chosen"]["total_gbp"]
    assert f"which would now cost GBP {gain:,.2f} more" in draft.reasoning


def test_a_choice_that_is_booked_already_moves_nothing():
    view = views.view(A, price=[80] * 4 + [20] * 92, carbon=100)
    first = draft_of(view)
    (span,) = first.alternatives["chosen"]["spans"]
    starts_at = jobs.moment(span["starts_at"])
    assert starts_at > NOW
    same, other = (views.booking(A, at, 120) for at in (starts_at, starts_at + timedelta(minutes=30)))
    told = draft_of(view, same).reasoning
    assert "That is where and when it is booked already: nothing moves." in told
    assert "replaces" not in told
    assert "It replaces the booking" in draft_of(view, other).reasoning


NUMBER = st.one_of(st.floats(-50, 500), st.just(math.nan))


@given(
    price=st.lists(NUMBER, min_size=3, max_size=3),
    carbon=st.lists(
        st.lists(st.one_of(st.integers(0, 500), st.just(math.nan)), min_size=1, max_size=8), min_size=3, max_size=3
    ),
    stress=st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=8),
    room=st.lists(st.floats(0, 3), min_size=3, max_size=3),
    power=st.integers(0, 3000),
    mins=st.integers(1, 400),
    wait=st.integers(0, 800),
    cap=st.none() | st.integers(0, 500),
    max_price=st.none() | st.integers(0, 400),
    interruptible=st.booleans(),
    origin=st.sampled_from([A.id, B.id, None]),
)
@settings(max_examples=150, deadline=None)
def test_every_figure_of_a_decision_recomputes_from_what_it_says(
    price, carbon, stress, room, power, mins, wait, cap, max_price, interruptible, origin
):
    sites = [A, B, C]
    view = views.view(
        *sites,
        price={site.dc_id: value for site, value in zip(sites, price, strict=True)},
        carbon={site.dc_id: list(map(float, values)) for site, values in zip(sites, carbon, strict=True)},
        stress=stress,
    )
    for site, value in zip(sites, room, strict=True):
        view = views.with_room(view, value, at=site)
    draft = draft_of(
        view,
        origin_dc_id=origin,
        power_kw=power,
        duration_mins=mins,
        deferral_window_mins=wait,
        carbon_cap_gco2=cap,
        max_price_gbp=max_price,
        interruptible=interruptible,
        migration_cost_gbp=2.5,
    )
    stored = row_of(draft)
    canonical_bytes(stored)
    assert reasons.recompute(view, stored["inputs"]) == draft
    options = stored["alternatives_considered"]
    for option in (options["chosen"], options["baseline"], *options["others"]):
        if option is not None:
            known = [option["terms"][term] for term in TERMS if option["terms"][term] is not None]
            lacks = [
                name
                for name, term in (("price", "energy_gbp"), ("carbon", "carbon_gbp"))
                if option["terms"][term] is None and name not in stored["inputs"]["missing"]["known_nowhere"]
            ]
            assert option["total_gbp"] == (None if lacks else round(sum(known), 6))
            assert option is not options["baseline"] or stored["inputs"]["missing"]["baseline_lacks"] == lacks
    chosen, baseline = options["chosen"], options["baseline"]
    if chosen and baseline and None not in (chosen["carbon_gco2"], baseline["carbon_gco2"]):
        assert draft.carbon_saved_gco2 == round(baseline["carbon_gco2"] - chosen["carbon_gco2"], 2)
    else:
        assert draft.carbon_saved_gco2 is None
    assert (chosen is None) == (draft.target_dc_id is None)
    told = reasons.explain(stored)
    assert told[0] == draft.reasoning
    for sentence in told:
        must_add_up(sentence)


SUM = re.compile(r"(?:in all|that is) GBP (?P<total>[\d,.]+) (?P<sign>less|more) \((?P<terms>[a-z]+ [+-].*?)\)")
COSTS = re.compile(r" costs GBP (?P<total>-?[\d,.]+\d): (?P<terms>[a-z]+ GBP [^;]*?)[.;]( it|$)")


def must_add_up(sentence: str) -> None:
    """Hold the terms that a sentence names, in pence, against the total that it names."""
    for found in (*SUM.finditer(sentence), *COSTS.finditer(sentence)):
        terms = [pence(term.split()[-1]) for term in found["terms"].split(", ")]
        sign = -1 if found.groupdict().get("sign") == "more" else 1
        assert sum(terms) == sign * pence(found["total"]), sentence


def pence(pounds: str) -> int:
    return round(float(pounds.replace(",", "")) * 100)


def test_terms_as_they_are_said_add_up_to_the_total_as_it_is_said():
    view = views.view(A, B, price={"A": 50, "B": 10.0033}, carbon={"A": 100, "B": 50.033}, stress=0.01)
    draft = draft_of(view, migration_cost_gbp=0)
    assert draft.alternatives["chosen"]["total_gbp"] == 30.4132
    assert "in all GBP 114.06 less (energy +99.99, carbon +13.99, stress +0.08)" in draft.reasoning
    told = reasons.explain(row_of(draft))
    assert told[1] == "The choice costs GBP 30.42: energy GBP 20.01, carbon GBP 10.01, stress GBP 0.40."
    for sentence in told:
        must_add_up(sentence)


def test_what_is_not_known_that_far_is_in_no_total():
    """Prices and carbon end before the baseline does, so nobody knows what it costs."""
    view = views.view(A, price=[50.0] * 20 + [math.nan], carbon=[100.0] * 20 + [math.nan], stress=0.5)
    draft = draft_of(view, duration_mins=900)
    assert draft.alternatives["baseline"]["total_gbp"] is None
    assert draft.inputs["missing"]["baseline_lacks"] == ["price", "carbon"]
    assert reasons.explain(row_of(draft))[1] == (
        "The baseline (run now at origin) has no total, as energy and carbon are not known that far: stress GBP"
        " 180.00; it was not possible: price or carbon is not known for the time, while it is for others."
    )


def test_a_real_job_that_a_simulated_fleet_turns_down_rests_on_simulated_sites():
    made_up = [views.site(dc_id, 12, is_simulated=True) for dc_id in "AB"]
    for values in ({"power_kw": 50_000}, {"max_price_gbp": 1}, {"carbon_cap_gco2": 1}):
        draft = draft_of(views.view(*made_up), origin_dc_id=None, **values)
        assert draft.alternatives["chosen"] is None
        assert draft.is_simulated
        assert draft.inputs["simulated"] == ["sites"]
        assert "Rests on simulated sites." in draft.reasoning
    assert not draft_of(views.view(A, B), origin_dc_id=None, power_kw=50_000).is_simulated
    placed = draft_of(views.view(A, *made_up[1:], price={"A": 50, "B": 90}))
    assert not placed.is_simulated, "it runs, and would have run, at a real one"


def test_a_booking_that_is_lost_is_said_to_be():
    held = views.booking(A, NOW + timedelta(hours=4), 120)
    told = draft_of(views.view(A), held, max_price_gbp=1).reasoning
    assert "It gives up its booking 16:10-18:10 UTC at A (region 12)." in told
    missed = views.booking(A, NOW - timedelta(hours=4), 120)
    assert (
        "It gives up its booking, whose start was missed."
        in draft_of(views.view(A), missed, power_kw=1e5).reasoning
    )


def test_without_a_baseline_waiting_is_told_against_running_there_now():
    view = views.view(A, price=[100.0] * 8 + [20.0])
    draft = draft_of(view, origin_dc_id=None)
    assert draft.decision_type is D.PRICE_OPTIMIZATION
    assert "Against running there now that is GBP 191.23 less (energy +192.00, wait -0.77)." in draft.reasoning


def test_explaining_gives_the_reason_first_and_then_the_figures():
    view = views.view(A, B, price={"A": 100, "B": 40}, carbon={"A": 300, "B": 100})
    told = reasons.explain(row_of(draft_of(view, carbon_cap_gco2=250)))
    assert told[1:] == [
        "The choice costs GBP 100.00: energy GBP 80.00, carbon GBP 20.00.",
        "The baseline (run now at origin) costs GBP 312.00: energy GBP 240.00, carbon GBP 72.00; it was not"
        " possible: its mean carbon intensity would be above its cap.",
        "No option at A (region 12): its mean carbon intensity would be above its cap.",
        told[-1],
    ]
    assert told[-1].startswith("The limit carbon_cap (250 gCO2/kWh) refused ")


def test_sites_that_the_same_limit_stops_share_a_sentence():
    sites = [views.site(dc_id, 12) for dc_id in "ABCDEFG"]

    def told(*dirty: str) -> list[str]:
        carbon = {site.dc_id: 300 if site.dc_id in dirty else 100 for site in sites}
        draft = draft_of(views.view(*sites, carbon=carbon), carbon_cap_gco2=250)
        return [one for one in reasons.explain(row_of(draft)) if "No option" in one]

    why = "its mean carbon intensity would be above its cap."
    assert told(*"ABC") == [f"No option at A (region 12), B (region 12) and C (region 12): {why}"]
    assert told(*"ABCDEF")[0].endswith(f"(region 12) and 2 more: {why}")


def test_a_decision_of_another_kind_explains_itself_by_its_reason():
    row = {
        "decision_type": "SCALE_DOWN",
        "reasoning": "Grid stress.",
        "inputs": {"site": {}},
        "constraints_evaluated": {},
        "alternatives_considered": {},
    }
    assert reasons.explain(row) == ["Grid stress."]


def test_recomputing_needs_the_room_as_it_was():
    view = views.view(A)
    draft = draft_of(view)
    field = view.field
    full = replace(view, field=replace(field, room=np.zeros_like(field.room)))
    assert reasons.recompute(full, draft.inputs).decision_type is D.DEFER_WORKLOAD


@pytest.mark.parametrize(("waits", "decided"), [(4, D.ACCEPT_WORKLOAD), (6, D.RENEWABLE_WINDOW)])
def test_a_few_minutes_are_not_called_waiting(waits, decided):
    now = NOW.replace(minute=30 - waits)
    view = views.view(A, carbon=[300.0, 50.0], now=now)
    assert draft_of(view, created_at=now).decision_type is decided


def test_a_job_that_draws_nothing_has_no_intensity_to_be_green():
    view = views.view(A, carbon=[300.0] * 12 + [50.0])
    assert draft_of(view, power_kw=0, carbon_cap_gco2=100).decision_type is D.CARBON_OPTIMIZATION
