from __future__ import annotations

from typing import Any

import pytest

from pylon.agents._storage_words import occasion, saved, sentences

TERMS = {"energy_gbp": -120.0, "carbon_gbp": 30.5, "stress_gbp": 0.0, "wear_gbp": 19.5}
CHOSEN = {
    "charged_mwh": 25.0,
    "discharged_mwh": 21.4,
    "charged_at_gbp_mwh": 40.0,
    "discharged_at_gbp_mwh": 1052.5,
    "stored_mwh": 10.0,
    "carbon_gco2": 305_000.0,
    "cost_gbp": -100.5,
    "terms": TERMS,
    "total_gbp": -70.0,
}
IDLE = {
    **CHOSEN,
    "charged_mwh": 0.0,
    "discharged_mwh": 0.0,
    "carbon_gco2": 0.0,
    "cost_gbp": 0.0,
    "terms": dict.fromkeys(TERMS, 0.0),
    "total_gbp": 0.0,
}
LIMITS = {
    "limits": [{"limit": "min_mwh", "value": 5.0}, {"limit": "max_mwh", "value": 1234.5}],
    "starts_outside_band": False,
    "is_exact": True,
}


def a_document(**changes: Any) -> dict[str, Any]:
    usual = {
        "now": "2026-11-22T12:12:00Z",
        "starts_at": "2026-11-22T12:30:00Z",
        "stress": [0.5] * 95,
        "config": {"renew_within_hours": 24.0, "horizon_hours": 48.0, "churn_gbp": 5.0},
        "standing": None,
        "missing": {"known_nowhere": []},
        "simulated": [],
    }
    return {**usual, **changes}


STANDING = {"ends_at": "2026-11-23T12:30:00Z"}


def options(**changes: Any) -> dict[str, Any]:
    return {"chosen": CHOSEN, "baseline": IDLE, "standing": None, **changes}


def said(document: dict[str, Any], compared: dict[str, Any], **limits: Any) -> list[str]:
    return list(sentences(document, {**LIMITS, **limits}, compared))


def test_the_first_sentence_has_what_is_done_what_it_saves_and_the_sum():
    assert said(a_document(), options()) == [
        "Until Tue 24 Nov 12:00 UTC it charges 25.0 MWh at GBP 40.00/MWh"
        " and discharges 21.4 MWh at GBP 1,052.50/MWh;"
        " against idling that saves GBP 100.50 after wear and emits 305.0 kg CO2;"
        " in all it is worth GBP 70.00 (energy +120.00, carbon -30.50, wear -19.50)."
    ]


def test_a_new_plan_claims_only_what_it_adds_to_the_schedule_that_stood():
    stood = {**CHOSEN, "cost_gbp": -90.0, "carbon_gco2": 300_000.0, "stored_mwh": 7.5, "total_gbp": -65.0}
    stood["terms"] = {**TERMS, "energy_gbp": -115.0}
    (sentence,) = said(a_document(standing=STANDING), options(baseline=stood))
    assert sentence.endswith(
        "; against following the schedule that stood, and then idling, that saves GBP 10.50 after wear, emits 5.0"
        " kg CO2 and leaves 2.5 MWh more in store; in all it is worth GBP 5.00 (energy +5.00)."
    )


def test_to_stop_what_stood_is_a_gain_too():
    (sentence,) = said(a_document(standing=STANDING), options(chosen=IDLE, baseline=CHOSEN))
    assert "stays idle: nothing in sight pays for its losses and wear; against following the schedule" in sentence
    assert "costs GBP 100.50 after wear and avoids 305.0 kg CO2; in all it is worth GBP -70.00" in sentence


def test_a_schedule_set_by_hand_is_kept_to_and_said_to_be():
    document = a_document(by_hand={"ends_at": "2026-11-22T18:00:00Z"})
    assert said(document, options())[0] == ("It keeps to the schedule set by hand until Sun 22 Nov 18:00 UTC.")
    assert occasion(document, options()) == "It had no schedule after the one set by hand."


def test_a_loss_is_called_one():
    dear = {**CHOSEN, "cost_gbp": 12.0, "carbon_gco2": -5000.0, "total_gbp": 9.0}
    (sentence,) = said(a_document(), options(chosen=dear))
    assert "costs GBP 12.00 after wear and avoids 5.0 kg CO2; in all it is worth GBP -9.00" in sentence


def test_what_is_not_known_is_not_said():
    unpriced = {
        **CHOSEN,
        "cost_gbp": None,
        "charged_at_gbp_mwh": None,
        "discharged_at_gbp_mwh": None,
        "terms": {**TERMS, "energy_gbp": None},
    }
    first, second = said(a_document(missing={"known_nowhere": ["price"]}), options(chosen=unpriced))
    assert "charges 25.0 MWh and discharges 21.4 MWh; against idling that emits 305.0 kg CO2" in first
    assert "energy" not in first
    assert second == "Known nowhere and so in no sum: price."


def test_idling_is_said_to_be_that():
    (sentence,) = said(a_document(), options(chosen=IDLE))
    assert sentence == ("Until Tue 24 Nov 12:00 UTC it stays idle: nothing in sight pays for its losses and wear.")


def test_what_a_reader_should_know_comes_after():
    document = a_document(simulated=["carbon", "price", "stress"])
    assert said(document, options(), starts_outside_band=True, is_exact=False)[1:] == [
        "It is led back into its band of 5.0 to 1,234.5 MWh first.",
        "Rests on simulated carbon, price and stress.",
        "The search ended at its limit of steps: a better plan may exist.",
    ]


@pytest.mark.parametrize(
    ("ends_at", "standing_total", "expected"),
    [
        ("2026-11-23T12:00:00Z", -70.0, "Its schedule ends on Mon 23 Nov 12:00 UTC: this one takes its place."),
        ("2026-11-23T12:30:00Z", -70.0, None),
        ("2026-11-23T12:30:00Z", -65.0, None),
        (
            "2026-11-23T12:30:00Z",
            -64.99,
            "Its schedule is now worth GBP 5.01 less than this one, which takes its place.",
        ),
        ("2026-11-23T12:30:00Z", -80.0, None),
    ],
)
def test_there_is_an_occasion_when_a_schedule_ends_soon_or_is_beaten_by_more_than_the_churn(
    ends_at, standing_total, expected
):
    document = a_document(standing={"ends_at": ends_at})
    assert occasion(document, options(standing={"total_gbp": standing_total})) == expected


def test_without_a_schedule_there_is_always_an_occasion():
    assert occasion(a_document(), options()) == "It had no schedule."


def test_a_saving_is_the_baseline_less_the_choice_and_nothing_when_one_is_not_known():
    assert saved(options(), "cost_gbp", 4) == 100.5
    assert saved(options(), "carbon_gco2", 2) == -305_000
    assert saved(options(chosen={"cost_gbp": None}), "cost_gbp", 4) is None
    assert str(saved(options(chosen={"cost_gbp": 0.0}), "cost_gbp", 4)) == "0.0"
