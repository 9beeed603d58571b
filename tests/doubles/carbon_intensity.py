"""A stand-in for the Carbon Intensity API: the real API's routes and shapes.

It answers what is past with an `actual`, what is ahead without one up to 48 h, and nothing beyond. Shapes, limits
and error bodies are those recorded from the real API by November 2026; one is not on record, and marked below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from starlette.routing import Route

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, periods_in
from tests.doubles import carbon_series
from tests.doubles.answers import BAD_TIME, refusal
from tests.doubles.carbon_faults import Fault, faulty, misshapen
from tests.doubles.carbon_series import (
    FACTORS,
    REGIONS,
    HalfHour,
    Series,
    ending_in,
    made_up,
    mix,
    nothing,
    replay,
    revised,
    stamp,
)
from tests.doubles.server import Refused, Server, endpoint

__all__ = ["Fault", "StandIn"]

_LONGEST_RANGE = timedelta(days=14)
_SPANS = {"fw24h": timedelta(hours=24), "fw48h": timedelta(hours=48), "pt24h": timedelta(hours=-24)}

_BAD_DATE = (
    "Please enter a valid date in ISO8601 format YYYY-MM-DD and period 1-48 e.g. /intensity/date/2017-08-25/42"
)
_BAD_REGION = "Please enter a valid region ID i.e. 1-17."


class StandIn(Server):
    """The stand-in for the Carbon Intensity API.

    `series` gives the national carbon intensity, made up unless told. `horizon` is how far ahead there is a
    forecast, `actual_delay` how long after its half hour an actual appears, `revises` whether a forecast differs
    from the one made half an hour before. All may be changed at any time.
    """

    def __init__(
        self,
        *,
        now: datetime = datetime(2026, 8, 17, 8, 10, tzinfo=UTC),
        series: Series = made_up,
        horizon: timedelta = timedelta(hours=48),
        actual_delay: timedelta = timedelta(minutes=15),
        revises: bool = False,
    ) -> None:
        super().__init__(now=now, routes=self._routes())
        self.series = series
        self.horizon = horizon
        self.actual_delay = actual_delay
        self.revises = revises
        self._at_first = (series, horizon, actual_delay, revises)

    @classmethod
    def replay(cls, folder: Path, *, now: datetime) -> Self:
        """Return a stand-in that knows the national series of 2023."""
        return cls(now=now, series=replay(folder))

    @classmethod
    def recorded(cls, folder: Path, *, now: datetime = datetime(2026, 8, 17, 8, 0, tzinfo=UTC)) -> Self:
        """Return a stand-in that knows only recorded answers, byte for byte, and factors; all else is `[]` or `{}`.

        The recorded regional answer was asked with fw24h and holds 2 half hours; it also answers fw48h.
        """
        api, bodies = cls(now=now, series=nothing), folder / "recordings" / "carbon_intensity"
        regional = "/regional/intensity/2026-05-06T00:00Z"
        for path, file in {
            "/intensity/2026-08-17T08:00Z/fw48h": "intensity_2026-08-17T0800Z_fw48h.json",
            "/intensity/2026-08-01T00:00Z/2026-08-01T03:00Z": "intensity_2026-08-01T0000Z_0300Z.json",
            "/intensity/factors": "intensity_factors.json",
            f"{regional}/fw24h": "regional_intensity_fw24h_period_keyed.json",
            f"{regional}/fw48h": "regional_intensity_fw24h_period_keyed.json",
            f"{regional}/fw24h/regionid/13": "regional_intensity_fw24h_region_keyed.json",
        }.items():
            api.serve_recorded(path, bodies / file)
        return api

    def reset(self) -> None:
        """Forget plans, faults, requests and what was moved or changed."""
        super().reset()
        self.series, self.horizon, self.actual_delay, self.revises = self._at_first

    # Answering

    def _routes(self) -> list[Route]:
        answers: dict[str, Callable[..., Any]] = {
            "/intensity": self._intensity_at,
            "/intensity/date": self._intensity_date,
            "/intensity/date/{day}": self._intensity_date,
            "/intensity/date/{day}/{period}": self._intensity_date,
            "/intensity/factors": lambda: {"data": [FACTORS]},
            "/intensity/{start}": self._intensity_at,
            "/intensity/{start}/{span}": self._intensity,
            "/generation": self._generation_now,
            "/generation/{start}/{span}": self._generation,
            "/regional": self._regional_now,
            "/regional/regionid/{region}": self._region_now,
            "/regional/intensity/{start}/{span}": self._regional,
            "/regional/intensity/{start}/{span}/regionid/{region}": self._region,
        }
        return [Route(path, endpoint(self._told(path, answer))) for path, answer in answers.items()]

    def _told(self, path: str, answer: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """Return the endpoint with those faults of its path and of its bodies that are switched on."""
        failing = Fault.GENERATION_FAILS if path.startswith("/generation") else Fault.REGIONAL_FAILS

        def tell(**parts: str) -> dict[str, Any]:
            if failing in self.faults and not path.startswith("/intensity"):
                raise Refused(500, refusal("500 Internal Server Error", "Requested resource not found."))
            if Fault.NOTHING_AHEAD in self.faults and parts.get("span", "").startswith("fw"):
                return {}
            return misshapen(answer(**parts), self.faults)

        return tell

    def _intensity(self, start: str, span: str) -> dict[str, Any]:
        return {"data": self._national(ending_in(*_range(start, span)))}

    def _intensity_at(self, start: str | None = None) -> dict[str, Any]:
        # The half hour that holds or ends at the time asked for; without one, the half hour of now.
        at = floor(self.clock.now) if start is None else next(ending_in(_time(start), _time(start) + HALF_HOUR))
        return {"data": self._national([at])}

    def _intensity_date(self, day: str | None = None, period: str | None = None) -> dict[str, Any]:
        try:
            today = self.clock.now.astimezone(LONDON).date()
            asked = today if day is None else datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=LONDON).date()
            number = None if period is None else int(period)
        except ValueError:
            raise _refused(_BAD_DATE) from None
        day_of = list(half_hours(_midnight(asked), _midnight(asked) + periods_in(asked) * HALF_HOUR))
        if number is None:
            return {"data": self._national(day_of)}
        if not 1 <= number <= 48:
            raise _refused(_BAD_DATE)
        return {"data": self._national(day_of[number - 1 : number])}

    def _generation(self, start: str, span: str) -> dict[str, Any]:
        rows = (self._mix(at) for at in ending_in(*_range(start, span)) if at <= self.clock.now)
        return {"data": [row for row in rows if row]}

    def _generation_now(self) -> dict[str, Any]:
        # An object where the documentation has a list: recorded twice in 2026.
        row = self._mix(floor(self.clock.now))
        return {"data": row} if row else {}

    def _regional(self, start: str, span: str) -> dict[str, Any]:
        rows = [row for at in ending_in(*_range(start, span)) if (row := self._regions(at))]
        return {"data": rows} if rows else {}

    def _regional_now(self) -> dict[str, Any]:
        row = self._regions(floor(self.clock.now))
        return {"data": [row]} if row else {}

    def _region(self, start: str, span: str, region: str) -> dict[str, Any]:
        region_id, rows = _region_id(region), []
        for at in ending_in(*_range(start, span)):
            if half_hour := self._regionally(at):
                values = carbon_series.regional(half_hour, at, region_id)
                rows.append({"from": stamp(at), "to": stamp(at + HALF_HOUR), **values})
        return {"data": {**_names(region_id), "data": rows}} if rows else {}

    def _region_now(self, region: str) -> dict[str, Any]:
        at = floor(self.clock.now)
        answer = self._region(stamp(at + timedelta(minutes=1)), stamp(at + HALF_HOUR), region)
        return {"data": [answer["data"]]} if answer else {}

    def _national(self, half_hours: Iterable[datetime]) -> list[dict[str, Any]]:
        settled = self.clock.now - self.actual_delay - HALF_HOUR
        ends = self._horizon(timedelta(hours=14))
        known = ((at, self._known(at)) for at in half_hours if at < ends)
        return [carbon_series.national(one, at, is_settled=at <= settled) for at, one in known if one]

    def _mix(self, at: datetime) -> dict[str, Any] | None:
        half_hour = self._known(at)
        if half_hour is None:
            return None
        return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "generationmix": mix(half_hour.generated, at)}

    def _regions(self, at: datetime) -> dict[str, Any] | None:
        half_hour = self._regionally(at)
        if half_hour is None:
            return None
        regions = [{**_names(id_), **carbon_series.regional(half_hour, at, id_)} for id_ in REGIONS]
        return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "regions": regions}

    def _regionally(self, at: datetime) -> HalfHour | None:
        return self._known(at) if at < self._horizon(timedelta(hours=15)) else None

    def _known(self, at: datetime) -> HalfHour | None:
        now = self.clock.now
        half_hour = faulty(self.series(at), at, now, self.faults)
        return revised(half_hour, at, now) if half_hour and self.revises else half_hour

    def _horizon(self, shortened: timedelta) -> datetime:
        """Return when the forecast ends; `shortened` is how far it reaches when it is short."""
        return self.clock.now + (shortened if Fault.SHORT_HORIZON in self.faults else self.horizon)


def _refused(message: str) -> Refused:
    return Refused(400, refusal("400 Bad Request", message))


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refused(BAD_TIME) from None


def _range(start: str, span: str) -> tuple[datetime, datetime]:
    at = _time(start)
    until = at + _SPANS[span] if span in _SPANS else _time(span)
    # That a longer range is a 400 is on record; its wording is not, so the wording here is the API's other one.
    if abs(until - at) > _LONGEST_RANGE:
        raise _refused(BAD_TIME)
    return min(at, until), max(at, until)


def _region_id(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 17:
        raise _refused(_BAD_REGION)
    return int(text)


def _names(region_id: int) -> dict[str, Any]:
    short_name, dno_region, _ = REGIONS[region_id]
    return {"regionid": region_id, "dnoregion": dno_region, "shortname": short_name}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=LONDON).astimezone(UTC)
