"""The 17 regions every database starts with.

Numbers, distribution areas and countries are the Carbon Intensity API's (read November 2026); the short names are
the original design's, which differ for 5 (the API says Yorkshire) and 6 (the API says North Wales & Merseyside):
match a region by its number, never by its name. Centres are approximate, for drawing only. The API's region 18 is
Great Britain: it feeds the national signal and has no row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from pylon.ontology.enums import Country
from pylon.ontology.grid import Region
from pylon.ontology.identity import derived_uuid

__all__ = ["REGIONS"]

_SEEDED_AT = datetime(2025, 1, 1, tzinfo=UTC)  # part of the ids: the same in every database, for good

_ENGLAND, _SCOTLAND, _WALES = Country.ENGLAND, Country.SCOTLAND, Country.WALES

_ROWS: tuple[tuple[int, str, str, Country, str, str], ...] = (
    (1, "North Scotland", "Scottish Hydro Electric Power Distribution", _SCOTLAND, "57.50", "-4.50"),
    (2, "South Scotland", "SP Distribution", _SCOTLAND, "55.60", "-3.70"),
    (3, "North West England", "Electricity North West", _ENGLAND, "54.10", "-2.70"),
    (4, "North East England", "NPG North East", _ENGLAND, "54.90", "-1.80"),
    (5, "South Yorkshire", "NPG Yorkshire", _ENGLAND, "53.70", "-1.30"),
    (6, "North Wales, Merseyside and Cheshire", "SP Manweb", _WALES, "53.10", "-3.30"),
    (7, "South Wales", "WPD South Wales", _WALES, "51.80", "-3.80"),
    (8, "West Midlands", "WPD West Midlands", _ENGLAND, "52.40", "-2.20"),
    (9, "East Midlands", "WPD East Midlands", _ENGLAND, "52.80", "-0.90"),
    (10, "East England", "UKPN East", _ENGLAND, "52.30", "0.70"),
    (11, "South West England", "WPD South West", _ENGLAND, "50.80", "-3.80"),
    (12, "South England", "SSE South", _ENGLAND, "51.20", "-1.40"),
    (13, "London", "UKPN London", _ENGLAND, "51.51", "-0.12"),
    (14, "South East England", "UKPN South East", _ENGLAND, "51.10", "0.40"),
    (15, "England", "England", _ENGLAND, "52.50", "-1.50"),
    (16, "Scotland", "Scotland", _SCOTLAND, "56.80", "-4.20"),
    (17, "Wales", "Wales", _WALES, "52.30", "-3.70"),
)

REGIONS: tuple[Region, ...] = tuple(
    Region(
        id=derived_uuid(_SEEDED_AT, "region", str(number)),
        region_id=number,
        short_name=short_name,
        dno_region=dno_region,
        country=country,
        is_aggregate=number >= 15,
        latitude=Decimal(latitude),
        longitude=Decimal(longitude),
    )
    for number, short_name, dno_region, country, latitude, longitude in _ROWS
)
