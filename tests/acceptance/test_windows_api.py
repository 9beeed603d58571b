"""The windows over HTTP: recounted by hand from the signals that the API itself shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from pylon.ontology.calendar import HALF_HOUR, floor
from tests.acceptance.support import World, served


def windows(http: httpx2.Client, **given: Any) -> dict[str, Any]:
    answer = http.get("/api/v1/windows", params=given)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def mean(series: list[float | None], start: datetime, window: dict[str, Any]) -> float | None:
    """The mean of half-hourly values from `start` on over a window, minute by minute."""
    begins, ends = (datetime.fromisoformat(window[name]) for name in ("starts_at", "ends_at"))
    minutes = [begins + timedelta(minutes=n) for n in range(int((ends - begins) / timedelta(minutes=1)))]
    values = [series[(minute - start) // HALF_HOUR] for minute in minutes]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


@pytest.fixture(scope="module")
def carbon(http: httpx2.Client) -> dict[int, list[float | None]]:
    """The carbon forecast of every region, as the API shows it."""
    regions = http.get("/api/v1/grid/regional").json()["regions"]
    return {one["region_id"]: one["forecast"] for one in regions}


@pytest.fixture(scope="module")
def price(world: World, http: httpx2.Client) -> list[float | None]:
    series = http.get(
        "/api/v1/signals/national.wholesale_price_gbp_mwh", params={"from": floor(world.now).isoformat()}
    )
    return [one["value"] for one in series.json()["values"]]


@pytest.mark.parametrize("hours", [0.25, 0.5, 2, 3.75, 11])
def test_the_best_window_is_the_best_of_all(
    world: World,
    http: httpx2.Client,
    carbon: dict[int, list[float | None]],
    price: list[float | None],
    hours: float,
) -> None:
    start = floor(world.now)
    body = windows(http, hours=hours, top=1)
    assert [one["region_id"] for one in body["regions"]] == list(range(1, 15))
    for region in body["regions"]:
        for kind, series in (("greenest", carbon[region["region_id"]]), ("cheapest", price)):
            (best,) = region[kind]
            found = mean(series, start, best)
            assert found == pytest.approx(
                best["carbon_gco2_kwh" if kind == "greenest" else "price_gbp_mwh"], abs=0.0051
            )
            for begins in range(int((timedelta(hours=48 - hours)) / timedelta(minutes=5))):
                other = world.now + timedelta(minutes=5 * begins)
                tried = {"starts_at": other.isoformat(), "ends_at": (other + timedelta(hours=hours)).isoformat()}
                if other + timedelta(hours=hours) <= start + timedelta(hours=48):
                    against = mean(series, start, tried)
                    assert against is None or against >= found - 1e-6
        if region["region_id"] == 2:
            break  # the rest is the same sum


def test_the_windows_of_a_list_do_not_overlap_and_come_best_first(world: World, http: httpx2.Client) -> None:
    by = world.now + timedelta(hours=20)
    body = windows(http, hours=3, by=by.isoformat(), region=13, top=10)
    (region,) = body["regions"]
    assert (region["region_id"], region["short_name"]) == (13, "London")
    for kind, name in (("greenest", "carbon_gco2_kwh"), ("cheapest", "price_gbp_mwh")):
        found = region[kind]
        assert len(found) >= 4
        spans = sorted((one["starts_at"], one["ends_at"]) for one in found)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
        assert [one[name] for one in found] == sorted(one[name] for one in found)
        for one in found:
            begins, ends = (datetime.fromisoformat(one[when]) for when in ("starts_at", "ends_at"))
            assert world.now <= begins
            assert ends <= by
            assert ends - begins == timedelta(hours=3)


def test_a_window_says_what_an_mwh_in_it_costs_and_the_terms_add_up(http: httpx2.Client) -> None:
    body = windows(http)
    assert body["hours"] == 2
    for region in body["regions"]:
        for one in (*region["greenest"], *region["cheapest"]):
            terms = one["terms"]
            assert terms["energy_gbp"] == pytest.approx(one["price_gbp_mwh"], abs=0.0051)
            assert terms["carbon_gbp"] == pytest.approx(
                body["carbon_price_gbp_t"] * one["carbon_gco2_kwh"] / 1000, abs=0.006
            )
            assert one["total_gbp"] == pytest.approx(sum(value or 0 for value in terms.values()), abs=1e-9)


def test_what_is_simulated_is_said_of_every_window(http: httpx2.Client) -> None:
    """The stand-in gives carbon; price and stress are simulated in this world."""
    body = windows(http)
    assert body["contains_simulated"]
    for region in body["regions"]:
        assert all("price" in one["simulated"] for one in (*region["greenest"], *region["cheapest"]))
        assert all("carbon" not in one["simulated"] for one in region["greenest"])


def test_an_orchestrator_of_my_own_sets_the_weights(world: World, http: httpx2.Client) -> None:
    (agent,) = world.select(
        "select agent_id, config from agents where agent_type = 'COMPUTE_ORCHESTRATOR' "
        "order by created_at, id limit 1"
    )
    changed = {**agent["config"], "carbon_price_gbp_t": 321.0}
    answer = http.post("/api/v1/actions/update_agent", json={"agent_id": agent["agent_id"], "config": changed})
    assert answer.status_code == 200, answer.text
    assert windows(http)["carbon_price_gbp_t"] == 321.0


def test_where_nothing_is_known_there_are_no_windows(empty: World) -> None:
    with served(empty.runtime()) as client:
        body = windows(client)
    assert [(one["greenest"], one["cheapest"]) for one in body["regions"]] == [([], [])] * 14
    assert body["contains_simulated"] is False


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"hours": "0"}, "hours"),
        ({"hours": "nan"}, "hours"),
        ({"hours": "inf"}, "hours"),
        ({"hours": "47.5"}, "hours"),
        ({"hours": "1e400"}, "hours"),
        ({"region": "15"}, "15 to 17 (England, Scotland, Wales) are sums of them"),
        ({"region": "18"}, "1 to 14"),
        ({"region": "٣"}, "1 to 14"),
        ({"region": ""}, "1 to 14"),
        ({"top": "11"}, "top"),
        ({"by": "2026-11-22T09:00"}, "must be a time with its zone"),
        ({"by": "2000-01-01T00:00Z"}, "No window of 2 hours that begins now or later ends by 2000-01-01 00:00 UTC"),
        ({"hour": "2"}, "has no parameter 'hour'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_in_words(
    http: httpx2.Client, given: dict[str, str], why: str
) -> None:
    answer = http.get("/api/v1/windows", params=given)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_a_deadline_beyond_the_forecast_is_cut_to_it_and_says_so(world: World, http: httpx2.Client) -> None:
    body = windows(http, by="2099-01-01T00:00:00Z")
    assert datetime.fromisoformat(body["by"]) == floor(world.now) + timedelta(hours=48)
