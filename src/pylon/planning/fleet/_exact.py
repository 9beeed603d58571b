"""A small fleet by an integer programme: a plan made cheaper, and a bound that HiGHS gives.

First the jobs of a few sites at a time choose anew, with those that do not run, among what is near the best at the
prices, while the others stay. Then all choose together, with more effort first among what is near, then among all
that could be better; the bound is of that. The same problem gives the same bytes: one thread, a fixed seed, and
limits of work, never of time.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, NamedTuple

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import Standing, copy_of, total_of
from pylon.planning.fleet._columns import UNDONE, Columns, columns_of, place_by, values_of
from pylon.planning.fleet._method import Fleet, Solved, costs_of
from pylon.planning.fleet._pass import weigh
from pylon.planning.fleet._problem import Flags
from pylon.planning.fleet._repair import over_limits

__all__ = ["MOST_CHOICES", "Effort", "choices_of", "solve_by_columns", "some", "whole"]

MOST_CHOICES: Final = 100_000
"""Half hours of all jobs at all sites that they may run at."""
TOLERANCE: Final = 1e-6  # MW and GPUs beyond a limit, as in the check of a plan; GBP that are no gain
LARGE_GAP: Final = 0.05  # of the bound
STRIDE: Final = 5  # from the sites of one turn to those of the next
OPTIONS: Final = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 1e-6,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
}


class Effort(NamedTuple):
    """How much is asked of HiGHS."""

    rounds: tuple[tuple[int, int, float, int], ...]
    """Sites at a time and about so many jobs, at most; how near the best, in costs of an average job; nodes."""
    most_at_a_time: int
    """Columns; a turn of the rounds with more is left out."""
    nodes: int
    """Of the search for all jobs together among all that is left."""
    most_columns: int
    """With more left, there is no such search."""


def whole(nodes: int) -> Effort:
    """Return what a fleet of 100 jobs is worth once: half a minute or so."""
    rounds = (4, 30, 0.03, 20), (MOST_CHOICES, MOST_CHOICES, 0.3, 1)
    return Effort(rounds, MOST_CHOICES, nodes, MOST_CHOICES)


def some(cost_gbp: float, bound_gbp: float) -> Effort:
    """Return what a plan with such a gap is worth: some seconds, or half a minute where it is large."""
    if cost_gbp - bound_gbp < LARGE_GAP * abs(bound_gbp):
        return Effort(((4, 10, 0.03, 1),), 1500, 20, 1500)
    return Effort(((4, 30, 0.03, 20), (2, 15, 1.0, 1), (4, 30, 0.3, 1)), 2500, 20, 3000)


class Answer(NamedTuple):
    """What HiGHS says of some columns."""

    values: Floats
    bound_gbp: float


def choices_of(fleet: Fleet) -> int:
    """Return how many half hours of jobs at sites there are to choose from."""
    records = fleet.records
    windows = np.maximum(records["end"] - records["first"], 0)
    return int((windows * np.isfinite(fleet.floors.gbp).sum(axis=1)).sum())


def solve_by_columns(fleet: Fleet, prices: Floats, bound_gbp: float, standing: Standing, effort: Effort) -> Solved:
    """Return the best standing found, none worse than this, and the higher of this bound and that of HiGHS."""
    best, gbp = _by_parts(fleet, prices, bound_gbp, standing, effort)
    if gbp - bound_gbp > TOLERANCE:
        columns = columns_of(fleet, prices, best, gbp)
        if columns.gbp.size <= effort.most_columns:
            everyone = np.ones(best.site.size, np.bool_)
            answer = _ask(columns, values_of(columns, fleet, best), everyone, effort.nodes)
            best, gbp = _better(fleet, columns, answer, best, gbp)
            # What has no column costs no less than the plan at hand.
            bound_gbp = max(bound_gbp, min(answer.bound_gbp + total_of(fleet.records["value"]), gbp))
    return Solved(best, prices, bound_gbp)


def _by_parts(
    fleet: Fleet, prices: Floats, bound_gbp: float, standing: Standing, effort: Effort
) -> tuple[Standing, float]:
    """Return a standing no worse than this, and its cost: jobs choose anew, of a few sites at a time."""
    best, gbp, sites = copy_of(standing), total_of(costs_of(fleet, standing)), fleet.cells.pue.size
    average = total_of(fleet.floors.gbp.min(axis=1)) / max(1, fleet.records.size)
    for most_sites, most_jobs, near, nodes in effort.rounds:
        together = max(1, min(most_sites, sites * most_jobs // max(1, best.site.size)))
        columns = columns_of(fleet, prices, best, min(bound_gbp + near * abs(average), gbp))
        for turn in range(sites if together < sites else 1):
            if gbp <= bound_gbp + TOLERANCE:
                break
            chosen = (turn * STRIDE + np.arange(together) * (1 + turn % 3)) % sites
            is_free = (best.site < 0) | np.isin(best.site, chosen)
            if is_free[columns.job].sum() <= effort.most_at_a_time:
                answer = _ask(columns, values_of(columns, fleet, best), is_free, nodes)
                best, gbp = _better(fleet, columns, answer, best, gbp)
    return best, gbp


def _better(fleet: Fleet, columns: Columns, answer: Answer, best: Standing, gbp: float) -> tuple[Standing, float]:
    """Return the standing that was found with its cost, if it keeps to all limits and costs less than the best."""
    found = copy_of(best)
    place_by(columns, fleet, answer.values, found)
    weigh(fleet.records, fleet.cells, found)
    cost = total_of(costs_of(fleet, found))
    is_within = bool((over_limits(fleet.cells, found) <= TOLERANCE).all())
    return (found, cost) if is_within and cost < gbp - TOLERANCE else (best, gbp)


def _ask(columns: Columns, values: Floats, is_free: Flags, nodes: int) -> Answer:
    """Return what HiGHS finds from these values when only some jobs choose; where it finds nothing, these."""
    import highspy
    from scipy.sparse import csc_array

    shape = columns.least.size, columns.gbp.size
    matrix = csc_array((columns.entries, (columns.rows, columns.columns)), shape=shape)
    may_change = is_free[columns.job]
    programme: Any = highspy.HighsLp()
    programme.num_row_, programme.num_col_ = shape
    programme.col_cost_ = columns.gbp
    programme.col_lower_ = np.where(may_change, 0.0, values)
    programme.col_upper_ = np.where(may_change, 1.0, values)
    programme.row_lower_, programme.row_upper_ = columns.least, columns.most
    programme.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    programme.a_matrix_.start_, programme.a_matrix_.index_ = matrix.indptr, matrix.indices
    programme.a_matrix_.value_ = matrix.data
    kinds = highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger
    programme.integrality_ = [kinds[one] for one in (columns.kind != UNDONE).tolist()]
    start = highspy.HighsSolution()
    start.col_value = values.tolist()
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in (OPTIONS | {"mip_max_nodes": nodes}).items():
        solver.setOptionValue(name, value)
    solver.passModel(programme)
    solver.setSolution(start)
    solver.run()
    found = solver.getSolution()
    if not found.value_valid:  # by its tolerances nothing keeps to the limits, these values either
        return Answer(values, -inf)
    return Answer(np.array(found.col_value), float(solver.getInfo().mip_dual_bound))
