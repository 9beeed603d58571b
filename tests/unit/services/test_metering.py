"""When work ran, what it drew in each half hour, and what that came to."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.agents.contract import Span
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.services._metering import Known, Outturn, ceiling, drawn, ends_at, ran, weigh

T = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return T + timedelta(minutes=minutes)


def span(begin: float, end: float) -> Span:
    return Span(at(begin), at(end))


BOOKED = (span(10, 40), span(60, 90), span(120, 130))  # 70 minutes with two pauses


@pytest.mark.parametrize(
    ("started", "until", "expected"),
    [
        (10, 130, [(10, 40), (60, 90), (120, 130)]),
        (15, 135, [(15, 40), (60, 90), (120, 135)]),  # late by 5 minutes, made up at the end
        (10, 75, [(10, 40), (60, 75)]),
        (10, 50, [(10, 40)]),
        (45, 150, [(60, 90), (120, 150)]),  # it began in what was to be a pause
        (10, 10, []),
    ],
)
def test_it_runs_from_start_to_end_less_the_booked_pauses(started, until, expected):
    assert ran(BOOKED, at(started), at(until)) == [span(*one) for one in expected]


def test_work_booked_nowhere_runs_without_a_pause():
    assert ran((), at(3), at(70)) == [span(3, 70)]


@pytest.mark.parametrize(("started", "ended"), [(10, 130), (15, 135), (45, 160), (0, 90), (-30, 40)])
def test_it_ends_when_it_has_run_for_its_duration(started, ended):
    assert ends_at(BOOKED, at(started), timedelta(minutes=70)) == at(ended)


minutes = st.integers(0, 600)


@st.composite
def bookings(draw):
    edges = sorted(draw(st.sets(minutes, min_size=2, max_size=10)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return tuple(span(*pair) for pair in pairs)


@given(bookings(), st.integers(0, 120), st.floats(0.1, 9000))
def test_whatever_is_booked_it_runs_its_duration_and_draws_its_energy(booked, late, power_kw):
    duration = sum((one.ends_at - one.starts_at for one in booked), timedelta())
    started = booked[0].starts_at + timedelta(minutes=late)
    spans = ran(booked, started, ends_at(booked, started, duration))
    assert sum((one.ends_at - one.starts_at for one in spans), timedelta()) == duration
    energy = drawn(spans, power_kw)
    assert math.isclose(sum(energy.values()), power_kw * duration / timedelta(hours=1), rel_tol=1e-9)
    assert all(floor(half_hour) == half_hour for half_hour in energy)
    assert all(0 < kwh <= power_kw / 2 * (1 + 1e-9) for kwh in energy.values())


def test_energy_falls_to_the_half_hours_it_was_drawn_in():
    assert drawn([span(20, 70)], 60.0) == {at(0): 10.0, at(30): 30.0, at(60): 10.0}


@given(st.integers(0, 10_000))
def test_the_ceiling_is_the_end_of_the_half_hour(seconds):
    moment = T + timedelta(seconds=seconds)
    assert ceiling(moment) - HALF_HOUR < moment <= ceiling(moment) == floor(ceiling(moment))


def test_a_sum_is_unknown_when_any_half_hour_of_it_is():
    values = {at(0): Known(100.0, False), at(30): Known(50.0, True)}
    whole = weigh({at(0): 2.0, at(30): -1.0}, values.get)
    assert (whole.value, whole.missing, whole.is_simulated) == (150.0, 0, True)
    part = weigh({at(0): 2.0, at(60): 1.0, at(90): 1.0}, values.get)
    assert (part.value, part.missing, part.is_simulated) == (None, 2, False)
    assert weigh({at(60): 0.0}, values.get).value == 0.0  # where nothing flowed nothing need be known


def test_a_tariffs_rate_holds_until_its_next():
    day, night = Known(90.0, False), Known(20.0, True)
    signals = Outturn({at(0): Known(55.0, False)}, {"T": [(at(-60), day), (at(30), night), (at(90), None)]}, {})
    assert [signals.price("T", at(m)) for m in (-90, -60, 0, 30, 60, 90)] == [None, day, day, night, night, None]
    assert signals.price("other", at(0)) is None
    assert signals.price(None, at(0)) == Known(55.0, False)
    assert signals.price(None, at(30)) is None
