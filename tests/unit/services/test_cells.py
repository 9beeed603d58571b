"""Cells: what a value of a file says, and what is said to one that says nothing a column could hold."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology import columns
from pylon.ontology.calendar import half_hours, settlement_period
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fleet import DataCentre, TariffRate
from pylon.services._cells import Refused, closest, parsed, settlement_day, settlement_start, shown

SPECS = {spec.name: spec for row in (ComputeWorkload, TariffRate, DataCentre) for spec in columns.of(row)}


def spec(name: str) -> ColumnSpec:
    return SPECS[name]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pue", " 1.25 ", Decimal("1.25")),
        ("pue", 1.1, Decimal("1.1")),
        ("price_gbp_mwh", "-1e2", Decimal(-100)),
        ("gpu_count", "4096", 4096),
        ("gpu_count", 12.0, 12),
        ("gpu_count", Decimal("3.00"), 3),
        ("published", "TRUE", True),
        ("published", "no", False),
        ("published", 1, True),
        ("status", "ACTIVE", "ACTIVE"),
        ("name", " =1+1 ", "=1+1"),
        ("starts_at", "2026-07-01T00:00:00+01:00", datetime(2026, 6, 30, 23, tzinfo=UTC)),
        ("starts_at", "2026-07-01 00:00Z", datetime(2026, 7, 1, tzinfo=UTC)),
        ("starts_at", datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)),
    ],
)
def test_a_value_is_one_of_its_column(name, value, said):
    found = parsed(spec(name), value)
    assert (found, type(found)) == (said, type(said))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pue", "1,25", "must have no comma"),
        ("pue", "1.2 MW", "without a unit"),
        ("pue", "nan", "must be a number"),
        ("pue", "1_000", "must be a number"),
        ("pue", float("nan"), "finite"),
        ("pue", float("inf"), "finite"),
        ("pue", True, "must be a number"),
        ("pue", [1], "must be a number"),
        ("gpu_count", "1.5", "must be a whole number"),
        ("gpu_count", 10**20, "must be a whole number"),
        ("gpu_count", Decimal("1e999999"), "of a size that means something"),
        ("published", "maybe", "must be true or false"),
        ("published", {}, "must be true or false"),
        ("status", "active", "Did you mean ACTIVE?"),
        ("status", 7, "must be one of ACTIVE"),
        ("name", 7, "must be text"),
        ("name", "a\0b", "without the character NUL"),
        ("name", "\ud800", "surrogate"),
        ("starts_at", "2026-07-01T00:00:00", "with its zone"),
        ("starts_at", "2026-02-30T00:00:00Z", "with its zone"),
        ("starts_at", "1767225600", "with its zone"),
        ("starts_at", 1767225600, "with its zone"),
        ("starts_at", datetime(2026, 7, 1), "with its zone"),  # noqa: DTZ001
        ("starts_at", "0001-01-01T00:00:00+05:00", "must be in the years 1990 to 2100"),
        ("operator_id", "me", "must be a UUID"),
        ("operator_id", 7, "must be a UUID"),
    ],
)
def test_any_other_value_is_refused_with_what_is_valid(name, value, says):
    with pytest.raises(Refused, match=says):
        parsed(spec(name), value)


@given(st.sampled_from(sorted(SPECS)), st.text() | st.floats() | st.integers() | st.booleans() | st.decimals())
def test_nothing_but_a_refusal_ever_comes_of_a_bad_value(name: str, value: Any):
    if SPECS[name].sql_type == "integer[]":
        return  # read by the row's reader: its parts are regions
    try:
        said = ""
        parsed(spec(name), value)
    except Refused as refused:
        said = str(refused)
    assert said == "" or said.startswith("must ")


@pytest.mark.parametrize("text", ["2009-01-31", "31-JAN-2009", "31-Jan-09", " 31-jan-2009 ", date(2009, 1, 31)])
def test_a_settlement_day_is_read_in_every_form_that_is_published(text):
    assert settlement_day(text) == date(2009, 1, 31)


@pytest.mark.parametrize(
    "text", ["31/01/2009", "31-FOO-2009", "30-FEB-2009", "20090131", 20090131, None, NotImplemented]
)
def test_any_other_day_is_refused(text):
    with pytest.raises(Refused, match="31-JAN-2023"):
        settlement_day(text)


def test_a_settlement_period_is_the_half_hour_that_has_its_number():
    """The inverse of the calendar's own rule, over both changes of the clocks."""
    for start, end in (
        (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)),
        (datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)),
    ):
        for at in half_hours(start, end):
            assert settlement_start(*settlement_period(at)) == at


@pytest.mark.parametrize(
    ("day", "period", "says"),
    [
        (date(2026, 3, 29), 47, "from 1 to 46 on 2026-03-29"),
        (date(2026, 10, 25), 51, "from 1 to 50 on 2026-10-25"),
        (date(2026, 1, 1), 0, "from 1 to 48"),
        (date(1, 1, 1), 1, "of this age"),
        (date(9999, 12, 31), 1, "of this age"),
    ],
)
def test_a_period_that_the_day_does_not_have_is_refused(day, period, says):
    with pytest.raises(Refused, match=says):
        settlement_start(day, period)


def test_what_is_shown_is_bounded_and_holds_no_control_character():
    assert shown("\x1b[31mred") == "'\\x1b[31mred'"
    assert len(shown("x" * 1000)) == 60
    assert shown(1.5) == "1.5"


def test_the_closest_word_is_offered_if_there_is_one():
    assert closest("lundon", ["London", "Wales"]) == " Did you mean London?"
    assert closest("zzz", ["London", "Wales"]) == ""
