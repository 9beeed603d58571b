"""The programme of one store of electricity: the cheapest way to move energy in and out of it, solved by HiGHS.

In MWh as they are stored, so that each half hour is a plain sum:

    stored[t] = stored[t-1] + moved_in[t] - moved_out[t]      stored[-1] = start

With every coefficient 1 or -1 and no scaling, a solution is made by adding and taking away the limits themselves.
HiGHS is deterministic: it takes the same steps for the same arrays. What could change the arrays or the steps is
ruled out: one thread, a fixed seed, no limit of time (the one there is counts nodes), and a solver of its own for
every programme, so that none starts from what another left.

HiGHS is imported where it is used: that takes longer than most commands that never come there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning.field import Floats

if TYPE_CHECKING:
    from highspy import Highs

__all__ = ["NODE_LIMIT", "Programme", "solve", "solve_one_way"]

NODE_LIMIT: Final = 500
"""Nodes of the search for directions. A count, unlike a limit of time, gives the same plan on every machine."""

_DUST: Final = 1e-9  # MWh that are the solver's rounding and nothing else

_OPTIONS: Final[Mapping[str, bool | int | float | str]] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": 0,
    "solver": "simplex",
    # Programmes this small are solved before presolve and scaling have paid for themselves.
    "presolve": "off",
    "simplex_scale_strategy": 0,
    # Closer than by default, so that what separates two plans of equal value is seen.
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-10,
    "mip_feasibility_tolerance": 1e-9,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    # The relaxation is so close that looking for plans by other means takes longer than the search.
    "mip_detect_symmetry": False,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_root_reduced_cost": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What moving energy costs and what limits it, over T half hours. Rows: into the store, out of it."""

    costs_gbp_mwh: Floats
    """(2, T). Of a MWh as it is stored."""
    most_mwh: Floats
    """(2, T)."""
    lowest_mwh: Floats
    """(T,). The least and the most to be stored after each half hour."""
    highest_mwh: Floats
    start_mwh: float

    @property
    def half_hours(self) -> int:
        """T."""
        return self.lowest_mwh.size


def solve(programme: Programme) -> Floats:
    """Return what is moved, (2, T) in MWh, at the least cost; both ways in one half hour, where that pays.

    Every figure is to be finite: HiGHS does not refuse a NaN. Raises `Invalid` when there is no such plan.
    """
    from highspy import HighsModelStatus

    solver = _solver(programme)
    solver.run()
    status = solver.getModelStatus()
    if status != HighsModelStatus.kOptimal:
        found = solver.modelStatusToString(status)
        raise Invalid(f"The battery has no dispatch within its limits (solver: {found}). Check them.")
    size = programme.half_hours
    moved: Floats = np.array(solver.getSolution().col_value)[: 2 * size].reshape(2, size)
    return np.where(moved > _DUST, np.minimum(moved, programme.most_mwh), 0.0)


def solve_one_way(
    programme: Programme, undecided: NDArray[np.bool_], may_go_in: NDArray[np.bool_]
) -> tuple[Floats, bool]:
    """Return what is moved, (2, T), one way in each half hour of `undecided` (T,), and whether that is proven best.

    `may_go_in` (T,) are directions that can be kept to: what is left when the search finds nothing in its nodes.
    """
    from highspy import HighsModelStatus

    solver, where = _solver(programme), np.flatnonzero(undecided)
    _add_directions(solver, programme, where)
    solver.run()
    solution = solver.getSolution()
    directions = may_go_in.copy()
    if solution.value_valid:
        directions[where] = np.array(solution.col_value)[3 * programme.half_hours :] > 0.5
    forbidden = np.array([undecided & ~directions, undecided & directions])
    most = np.where(forbidden, 0.0, programme.most_mwh)
    is_proven = solver.getModelStatus() == HighsModelStatus.kOptimal
    return solve(replace(programme, most_mwh=most)), is_proven


def _solver(programme: Programme) -> Highs:
    """Return a solver that holds the programme: columns in, out and stored, T of each; T rows."""
    from highspy import Highs

    solver = Highs()  # type: ignore[no-untyped-call]
    size = programme.half_hours
    for name, value in _OPTIONS.items():
        solver.setOptionValue(name, value)
    solver.setOptionValue("mip_max_nodes", NODE_LIMIT)
    start = np.zeros(size)
    start[0] = programme.start_mwh
    starts, rows, ones = _balance(size)
    solver.passModel(
        *(3 * size, size, ones.size, 1, 1, 0.0),  # columns, rows, entries; by column, least cost, from nothing
        np.concatenate([programme.costs_gbp_mwh.ravel(), np.zeros(size)]),
        np.concatenate([np.zeros(2 * size), programme.lowest_mwh]),
        np.concatenate([programme.most_mwh.ravel(), programme.highest_mwh]),
        *(start, start, starts, rows, ones),
        np.zeros(3 * size, np.int32),
    )
    return solver


@lru_cache(maxsize=64)
def _balance(size: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return the entries of `stored[t] - stored[t-1] - in[t] + out[t]` by column: starts, rows, values."""
    rows = np.arange(size, dtype=np.int32)
    carried = np.column_stack([rows, rows + 1]).ravel()[:-1]  # the last is carried nowhere
    starts = np.concatenate([np.arange(2 * size), 2 * size + 2 * rows]).astype(np.int32)
    values = np.concatenate([-np.ones(size), np.ones(size), np.tile([1.0, -1.0], size)[:-1]])
    return starts, np.concatenate([rows, rows, carried]), values


def _add_directions(solver: Highs, programme: Programme, where: NDArray[np.intp]) -> None:
    """Add a column for each half hour of `where`, 1 to go in and 0 to go out, and the two rows that hold to it."""
    from highspy import HighsVarType

    size, count = programme.half_hours, where.size
    columns, none, one = np.arange(3 * size, 3 * size + count), np.zeros(count), np.ones(count)
    most_in, most_out = programme.most_mwh[:, where]
    # in <= most_in * direction, and out <= most_out * (1 - direction)
    entries = np.array([[where, columns], [size + where, columns]]).transpose(0, 2, 1)
    values = np.array([[one, -most_in], [one, most_out]]).transpose(0, 2, 1)
    upper = np.concatenate([none, most_out])
    solver.addCols(count, none, none, one, 0, np.zeros(count, np.int32), np.zeros(0, np.int32), np.zeros(0))
    integer = np.full(count, int(HighsVarType.kInteger), np.uint8)
    solver.changeColsIntegrality(count, columns.astype(np.int32), integer)
    solver.addRows(
        *(upper.size, np.full(upper.size, -np.inf), upper),
        *(entries.size, np.arange(0, entries.size, 2, dtype=np.int32), entries.astype(np.int32).ravel()),
        values.ravel(),
    )
