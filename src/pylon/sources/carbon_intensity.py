"""NESO's Carbon Intensity API: national and regional carbon, the generation mix and the factor of each fuel.

https://api.carbonintensity.org.uk, no key; CC BY 4.0. Written from https://carbon-intensity.github.io/api-definitions
and from recorded answers, both read November 2026; where they differ the answers win: `data` is a list or a dict,
`{}` with 200 means no data, and a request also returns the half hour that ends at its `from`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.sources import _carbon_bodies as bodies
from pylon.sources.feed import Batch, Limits, NationalReading, Rejection, Request, Source, Supply, Terms, gaps

__all__ = ["DATA_SOURCE", "SOURCES", "Factors", "Generation", "National", "Regional", "one_region"]

DATA_SOURCE = "carbon_intensity_api"

# The API takes 14 days at most; 13 leaves room for the half hour it adds at the start.
_LONGEST_RANGE = timedelta(days=13)
_REACH_BACK = timedelta(hours=24)

K = TypeVar("K")
V = TypeVar("V")


def _terms(
    name: str, title: str, *supplies: Supply, delay: timedelta, poll_every: timedelta = timedelta(0)
) -> Terms:
    return Terms(
        name=f"carbon_intensity_{name}",
        title=f"Carbon Intensity: {title}",
        data_source=DATA_SOURCE,
        supplies=frozenset(supplies),
        homepage="https://carbonintensity.org.uk",
        licence="CC BY 4.0",
        attribution="Carbon Intensity API, National Energy System Operator (NESO), CC BY 4.0",
        cadence=HALF_HOUR,
        delay=delay,
        api="carbon_intensity",
        base_url="https://api.carbonintensity.org.uk",
        poll_every=poll_every,
        limits=Limits(
            says="no rate published; a range of at most 14 days (carbonintensity.org.uk, read November 2026)",
            longest_range=_LONGEST_RANGE,
        ),
    )


class National:
    """Forecast and estimated actual carbon intensity of Great Britain."""

    terms = _terms("national", "national", Supply.CARBON, delay=timedelta(minutes=30))

    def fetch(self, request: Request) -> Batch:
        """Return the carbon intensity of [start, end), which may reach back for weeks and 48 hours ahead.

        Reads `/intensity/{from}/fw48h` for the present on and, for the past, `/intensity/{from}/pt24h` or
        `/intensity/{from}/{to}`. A half hour with neither forecast nor actual is missing. Raises as `Source` does.
        """
        now = floor(request.now)
        paths = [f"/intensity/{_stamp(now)}/fw48h"] if request.end > now else []
        rows = _read(request, [*paths, *_past("/intensity", request, now)], bodies.national)
        readings = {at: row for at, row in _inside(rows.taken, request).items() if _says_something(row)}
        _insist(self.terms, rows, readings, request)
        return Batch(
            national=[readings[at] for at in sorted(readings)],
            rows_seen=rows.seen,
            rejected=rows.rejected,
            missing=gaps(readings, request.start, request.end),
            is_whole=rows.is_whole,
        )


class Generation:
    """Share of each fuel in Great Britain's generation, up to the present half hour."""

    terms = _terms("generation", "generation", Supply.MIX, delay=timedelta(minutes=30))

    def fetch(self, request: Request) -> Batch:
        """Return the mix of the half hours of [start, end) up to the present one; later ones are never missing.

        Reads `/generation/{from}/pt24h` (or `/generation/{from}/{to}`) and `/generation`. Raises as `Source` does.
        """
        now = floor(request.now)
        end = min(request.end, now + HALF_HOUR)
        if floor(request.start) >= end:
            return Batch(rows_seen=0)
        present = ["/generation"] if end > now else []
        rows = _read(request, [*_past("/generation", request, now), *present], bodies.generation)
        readings = {at: row for at, row in _inside(rows.taken, request).items() if at < end}
        _insist(self.terms, rows, readings, request)
        return Batch(
            national=[readings[at] for at in sorted(readings)],
            rows_seen=rows.seen,
            rejected=rows.rejected,
            missing=gaps(readings, request.start, end),
            is_whole=rows.is_whole,
        )


class Regional:
    """Forecast carbon intensity and mix of the 17 regions, and the national mix ahead. All of it is modelled."""

    terms = _terms("regional", "regional", Supply.REGIONAL, Supply.MIX, delay=timedelta(0))

    def fetch(self, request: Request) -> Batch:
        """Return the regions from the present half hour on; earlier ones are never missing.

        Reads `/regional/intensity/{from}/fw48h`. Its region 18 is Great Britain: the national mix of the half hours
        after the present one. Raises as `Source` does.
        """
        now = floor(request.now)
        if request.end <= now:
            return Batch(rows_seen=0)
        rows = _read(request, [f"/regional/intensity/{_stamp(now)}/fw48h"], bodies.regional)
        taken = {key: row for key, row in sorted(rows.taken.items()) if _is_inside(key[0], request)}
        _insist(self.terms, rows, taken, request)
        regional = [row for (_, region), row in taken.items() if region != bodies.GREAT_BRITAIN]
        known = {(row.starts_at, row.region_id) for row in regional if row.carbon_intensity_forecast is not None}
        start = max(floor(request.start), now)
        return Batch(
            national=[
                NationalReading(starts_at=at, mix=row.mix)
                for (at, region), row in taken.items()
                if region == bodies.GREAT_BRITAIN and at > now
            ],
            regional=regional,
            rows_seen=rows.seen,
            rejected=rows.rejected,
            missing=[
                at
                for at in half_hours(start, request.end)
                if any((at, region) not in known for region in range(1, bodies.GREAT_BRITAIN))
            ],
        )


class Factors:
    """The carbon intensity of each fuel, as the API itself uses it."""

    terms = _terms("factors", "factors", Supply.FACTORS, delay=timedelta(0), poll_every=timedelta(days=1))

    def fetch(self, request: Request) -> Batch:
        """Return the factors in gCO2/kWh by the API's name of each fuel. Reads `/intensity/factors`."""
        rows = _read(request, ["/intensity/factors"], bodies.factors)
        _insist(self.terms, rows, rows.taken, request)
        return Batch(factors=rows.taken, rows_seen=rows.seen, rejected=rows.rejected)


def one_region(request: Request, region_id: int) -> Batch:
    """Return the forecast and mix of one region, by the API's number 1 to 17, from the present half hour on.

    Reads `/regional/intensity/{from}/fw48h/regionid/{id}`. Raises as `Source.fetch` does.
    """
    now = floor(request.now)
    path = f"/regional/intensity/{_stamp(now)}/fw48h/regionid/{region_id}"
    rows = _read(request, [path], bodies.regional)
    taken = {
        at: row
        for (at, number), row in sorted(rows.taken.items())
        if number == region_id and now <= at < request.end
    }
    _insist(Regional.terms, rows, taken, request)
    known = [at for at, row in taken.items() if row.carbon_intensity_forecast is not None]
    return Batch(
        regional=list(taken.values()),
        rows_seen=rows.seen,
        rejected=rows.rejected,
        missing=gaps(known, now, request.end),
    )


SOURCES: tuple[Source, ...] = (National(), Regional(), Generation(), Factors())


def _read(request: Request, paths: Sequence[str], parse: Callable[[Any], bodies.Rows[K, V]]) -> bodies.Rows[K, V]:
    """Read `paths` in order; once one has answered, a later failure costs its own rows and those after it alone."""
    base_url = request.address(National.terms)
    rows: bodies.Rows[K, V] = bodies.Rows()
    for path in paths:
        try:
            rows.add(parse(request.http.get_json(base_url + path)))
        except SourceError as error:
            if not rows.taken:
                raise
            rows.rejected.append(Rejection(path, error.detail))
            rows.is_whole = False
            break
    return rows


def _past(prefix: str, request: Request, now: datetime) -> list[str]:
    """Return the paths that cover the part of the request before `now`, each at most 13 days."""
    start, end = floor(request.start), min(request.end, now)
    if start >= end:
        return []
    if start >= now - _REACH_BACK:
        return [f"{prefix}/{_stamp(now)}/pt24h"]
    paths = []
    while start < end:
        until = min(start + _LONGEST_RANGE, end)
        paths.append(f"{prefix}/{_stamp(start)}/{_stamp(until)}")
        start = until
    return paths


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _is_inside(at: datetime, request: Request) -> bool:
    return floor(request.start) <= at < request.end


def _inside(taken: Mapping[datetime, V], request: Request) -> dict[datetime, V]:
    return {at: row for at, row in taken.items() if _is_inside(at, request)}


def _says_something(row: NationalReading) -> bool:
    return row.carbon_intensity_forecast is not None or row.carbon_intensity_actual is not None


def _insist(terms: Terms, rows: bodies.Rows[K, V], kept: Mapping[Any, Any], request: Request) -> None:
    """Refuse an answer of which nothing was kept: it is either all wrong or about other half hours."""
    if kept:
        return
    if rows.rejected and not rows.taken:
        first = rows.rejected[0]
        raise SourceChanged(
            f"{terms.title}: every row was refused ({len(rows.rejected)}). The first, {first.what}: {first.why}."
        )
    raise SourceUnavailable(
        f"{terms.title}: no data for {_stamp(request.start)} to {_stamp(request.end)}. Try again later."
    )
