"""The search for one job: what the kernels are given, and what is made of what they find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pylon.planning import _kernels, _limits, _split
from pylon.planning._ask import DURATION_MINS, EARLIEST_MINS, ORIGIN, Ask, Codes, Flags
from pylon.planning.field import Field, Floats, Option, Terms

__all__ = ["Found", "Search", "evaluated", "search"]

Spans = tuple[tuple[float, float], ...]


class Search(NamedTuple):
    """What was looked for, and the choice; the best of every other site is looked for when it is asked for."""

    field: Field
    ask: Ask
    by_energy: bool
    known: tuple[bool, bool, bool]
    """Whether price, carbon and stress are known somewhere."""
    rate_gbp_mwh: Floats
    """(D, T). What an MWh costs, without moving and waiting."""
    closed_by: Codes
    """(D, T). The first limit that closes the cell, as the room was then."""
    gates: Codes
    """(D,). The limit that closes the whole site; `_limits.NONE` where it may run."""
    is_exact: bool
    """Whether the choice is proven to be the cheapest."""
    binding: str | None
    """Without a choice the limit that stopped the options that came furthest; None without any."""
    chosen: Option | None
    """The cheapest of all; of equals the one that ends first, then the origin, then the lower site."""
    baseline: Option | None
    """Running at the earliest moment at origin, forbidden or not."""

    def everywhere(self) -> Found:
        """Return each site's best option."""
        ask, field = self.ask, self.field
        grid = (field.signals, field.pue, self.rate_gbp_mwh, self.closed_by, self.gates)
        found = Found(self, *_kernels.pieces(ask.numbers, ask.may_split, self.by_energy, True, *grid))
        if ask.may_split:
            _split.improve(ask.numbers, *grid, self.by_energy, True, *found[1:])
        return found


class Found(NamedTuple):
    """The best option of each of D sites."""

    search: Search
    is_done: Flags
    """(D,). False where the best split is still to be looked for."""
    costs: Floats
    """(D,). Infinite without an option."""
    spans: Floats
    """(D, most, 2). When it runs."""
    sizes: Codes
    """(D,). In how many spans."""
    refused: Codes
    """(D, limits). How many options each limit was the first to forbid."""

    def options(self) -> list[Option | None]:
        """Return each site's best option."""
        search, field = self.search, self.search.field
        _, rows = _kernels.compare(
            search.ask.numbers,
            field.signals,
            field.stress,
            field.pue,
            search.closed_by,
            search.gates,
            self.costs,
            self.spans,
            self.sizes,
            True,
        )
        return [
            _option(site, _spans(self.spans[site, : self.sizes[site]]), rows[site].tolist()) if has else None
            for site, has in enumerate((self.costs < math.inf).tolist())
        ]


def search(field: Field, ask: Ask, *, by_energy: bool = False) -> Search:
    """Return the cheapest option, by its total or by its energy alone, and the baseline."""
    known, rates, closed_by, gates, is_exact, best, binding, spans, rows = _kernels.choose(
        *ask, by_energy, *_arrays(field)
    )
    chosen, now = rows.tolist()
    numbers = ask.numbers
    origin, begins, mins = numbers.item(ORIGIN), numbers.item(EARLIEST_MINS), numbers.item(DURATION_MINS)
    return Search(
        field,
        ask,
        by_energy,
        known,
        rates,
        closed_by,
        gates,
        is_exact,
        None if binding == _limits.NONE else _limits.NAMES[binding],
        None if best < 0 else _option(best, _spans(spans), chosen),
        None if origin < 0 else _option(int(origin), ((begins, begins + mins),), now),
    )


def evaluated(field: Field, ask: Ask, site: int, spans: Sequence[tuple[float, float]]) -> Option:
    """Return what running at a site in some spans costs, and the first limit that forbids it."""
    edges = np.array(spans, np.float64)
    row = _kernels.evaluate(ask.numbers, ask.allowed, site, edges, *_arrays(field))
    return _option(site, _spans(edges), row.tolist())


def _arrays(field: Field) -> tuple[Any, ...]:
    return field.signals, field.stress, field.room, field.is_open, field.pue


def _spans(edges: Floats) -> Spans:
    return tuple([(begins, ends) for begins, ends in edges.tolist()])


def _option(site: int, spans: Spans, numbers: list[float]) -> Option:
    if math.isnan(sum(numbers)):  # one NaN for all, so that options of the same terms are equal
        numbers = [math.nan if math.isnan(number) else number for number in numbers]
    *terms, energy_mwh, carbon_kg, unknown_mins, capped_kg, limit = numbers
    refused_by = None if limit == _limits.NONE else _limits.NAMES[int(limit)]
    return Option(site, spans, energy_mwh, carbon_kg, Terms(*terms), unknown_mins, capped_kg, refused_by)
