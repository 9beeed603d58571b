"""What a decision says of the plan of the whole fleet: that it made the choice, and what it says room is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pylon.agents._phrases import Document, listed, pounds

__all__ = ["planned"]

_WHERE: Final = {"chosen": "there then", "standing": "where it was booked", "baseline": "at its origin now"}


def planned(inputs: Document, options: Document) -> Iterator[str]:
    """Yield what the plan has to do with a choice; nothing where none stands, or room is worth nothing by it."""
    by_plan, plan = inputs.get("by_plan"), inputs.get("plan")
    if by_plan is not None:
        gap = by_plan["gap"]
        share = "" if gap is None else f", within {100 * gap:.2g} % of the best possible,"
        yield f"Plan {by_plan['plan_id']} of the whole fleet{share} puts it there."
    if plan is None:
        return
    worth = dict(_worth(options))
    if any(worth.values()):
        said = listed(f"{pounds(rate)}/MWh {_WHERE[name]}" for name, rate in worth.items())
        yield f"By plan {plan['plan_id']} room is worth {said}."


def _worth(options: Document) -> Iterator[tuple[str, float]]:
    """Yield what room is worth to other work, in GBP/MWh, where each option runs: the choice, and what differs."""
    seen: list[tuple[str, object]] = []
    for name in _WHERE:
        option = options.get(name)
        if option is None or not option["energy_kwh"] or option["terms"]["scarcity_gbp"] is None:
            continue
        at = (option["dc_id"], option["spans"])
        if at not in seen:
            seen.append(at)
            yield name, round(1000 * option["terms"]["scarcity_gbp"] / option["energy_kwh"], 2) + 0.0
