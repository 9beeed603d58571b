"""The search for one job: what the kernels are given, and what is made of what they find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pylon.planning import _kernels, _limits, _split
from pylon.planning._ask import DURATION_MINS, EARLIEST_MINS, ORIGIN, Ask, Codes, Flags
from pylon.planning.field import Field, Floats, Option, Terms

__all__ = ["Found", "evaluated", "search"]

Spans = tuple[tuple[float, float], ...]


class Found(NamedTuple):
    """The best option of each of D sites."""

    field: Field
    ask: Ask
    by_energy: bool
    known: tuple[bool, bool, bool]
    """Whether price, carbon and stress are known somewhere."""
    rate_gbp_mwh: Floats
    """(D, T). What an MWh costs, without moving and waiting."""
    closed_by: Codes
    """(D, T). The first limit that closes the cell."""
    gates: Codes
    """(D,). The limit that closes the whole site; `_limits.NONE` where it may run."""
    is_done: Flags
    """(D,). False where no more is known than that the site has not the cheapest."""
    costs: Floats
    """(D,). Infinite without an option."""
    spans: Floats
    """(D, most, 2). When it runs."""
    sizes: Codes
    """(D,). In how many spans."""
    refused: Codes
    """(D, limits). How many options each limit was the first to forbid."""

    @property
    def has_option(self) -> bool:
        """Whether the job can run anywhere."""
        return bool((self.costs < math.inf).any())

    def improve(self, *, all_sites: bool) -> bool:
        """Look for better splits at the sites that are not done; return whether the cheapest of all is proven."""
        return _split.improve(
            self.ask.numbers,
            self.field.signals,
            self.field.pue,
            self.rate_gbp_mwh,
            self.closed_by,
            self.gates,
            self.by_energy,
            all_sites,
            self.is_done,
            self.costs,
            self.spans,
            self.sizes,
            self.refused,
        )

    def compare(self) -> tuple[Option | None, Option | None]:
        """Return the cheapest of all, and running at the earliest moment at origin, forbidden or not.

        Of equals the cheapest is the one that ends first, then the origin, then the lower site.
        """
        best, rows = self._rows(all_sites=False)
        origin, begins, mins = (float(self.ask.numbers[i]) for i in (ORIGIN, EARLIEST_MINS, DURATION_MINS))
        chosen = None if best < 0 else self._option(best, rows[best])
        return chosen, None if origin < 0 else _option(int(origin), ((begins, begins + mins),), rows[-1])

    def complete(self) -> tuple[list[Option | None], list[list[int]]]:
        """Return each site's best option and `refused`; the sites that are not done are searched now."""
        if not self.is_done.all():
            self.improve(all_sites=True)
        _, rows = self._rows(all_sites=True)
        has_option = (self.costs < math.inf).tolist()
        return [
            self._option(site, rows[site]) if has else None for site, has in enumerate(has_option)
        ], self.refused.tolist()

    def _rows(self, *, all_sites: bool) -> tuple[int, Floats]:
        field = self.field
        return _kernels.compare(
            self.ask.numbers,
            field.signals,
            field.stress,
            field.pue,
            self.closed_by,
            self.gates,
            self.costs,
            self.spans,
            self.sizes,
            all_sites,
        )

    def _option(self, site: int, row: Floats) -> Option:
        return _option(site, tuple(map(tuple, self.spans[site, : self.sizes[site]].tolist())), row)


def search(field: Field, ask: Ask, *, by_energy: bool = False) -> tuple[Found, bool]:
    """Return each site's best option, by its total or by its energy alone, and whether the cheapest is proven."""
    found = Found(field, ask, by_energy, *_kernels.search(*ask, by_energy, *_arrays(field)))
    return found, not ask.may_split or found.improve(all_sites=False)


def evaluated(field: Field, ask: Ask, site: int, spans: Sequence[tuple[float, float]]) -> Option:
    """Return what running at a site in some spans costs, and the first limit that forbids it."""
    edges = np.array(spans, np.float64)
    row = _kernels.evaluate(ask.numbers, ask.allowed, site, edges, *_arrays(field))
    return _option(site, tuple(map(tuple, edges.tolist())), row)


def _arrays(field: Field) -> tuple[Any, ...]:
    return field.signals, field.stress, field.room, field.is_open, field.pue


def _option(site: int, spans: Spans, row: Floats) -> Option:
    numbers = row.tolist()
    if math.isnan(sum(numbers)):  # one NaN for all, so that options of the same terms are equal
        numbers = [math.nan if math.isnan(number) else number for number in numbers]
    *terms, energy_mwh, carbon_kg, unknown_mins, limit = numbers
    return Option(
        site=site,
        spans=spans,
        energy_mwh=energy_mwh,
        carbon_kg=carbon_kg,
        terms=Terms(*terms),
        stress_unknown_mins=unknown_mins,
        refused_by=None if limit == _limits.NONE else _limits.NAMES[int(limit)],
    )
