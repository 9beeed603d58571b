"""Object sets: links seen from either end, orders that are whole, and limits that say why."""

from __future__ import annotations

import pytest

from pylon.errors import Invalid
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.grid import GenerationMix, Region, RegionalGridSignal
from pylon.ontology.object_sets import LIMITS, Direction, Query, Sort, link_end, link_ends


def test_every_link_is_an_end_of_both_its_types() -> None:
    ends = [(kind.__name__, end) for kind in OBJECT_TYPES.values() for end in link_ends(kind)]
    assert len(ends) == 2 * len(LINKS)
    for here, end in ends:
        assert {here, end.other.__name__} == {end.link.source, end.link.target}
        assert end.back in link_ends(end.other)
        assert end.back.back == end
        assert end.back.other is OBJECT_TYPES[here]


def test_a_link_with_one_end_needs_no_more_than_its_name() -> None:
    end = link_end(DataCentre, "LOCATED_IN")
    assert (end.direction, end.other) == (Direction.OUT, Region)
    assert str(end) == "LOCATED_IN (out, Region)"


def test_a_choice_is_settled_by_direction_and_type() -> None:
    assert link_end(Operator, "OPERATED_BY", None, "DataCentre").other is DataCentre
    assert link_end(Operator, "OPERATED_BY", "in", "DataCentre").direction is Direction.IN
    assert link_end(RegionalGridSignal, "HAS_MIX").other is GenerationMix


@pytest.mark.parametrize(
    ("object_type", "words", "says"),
    [
        (
            Operator,
            ("OPERATED_BY",),
            "Operator has several links 'OPERATED_BY': OPERATED_BY (in, Agent), OPERATED_BY (in, DataCentre), "
            "OPERATED_BY (in, StorageAsset). Say which by direction (out, in) and type.",
        ),
        (Operator, ("OPERATED_BY", "in"), "Operator has several links 'OPERATED_BY'"),
        (
            Operator,
            ("OPERATED_BY", "out"),
            "Operator has no link 'OPERATED_BY' ('out'). Valid: OPERATED_BY (in, Ag",
        ),
        (
            DataCentre,
            ("LOCATED_IN", None, "Agent"),
            "DataCentre has no link 'LOCATED_IN' ('Agent'). Valid: LOCATED",
        ),
        (DataCentre, ("LOCATED_IN", "up", []), "('up', a list of 0). Valid: LOCATED_IN (out, Region)."),
        (Region, ("located_in",), "Region has no link 'located_in'. Valid: HAS_SIGNAL (out, RegionalGridSignal), "),
        (Region, (None,), "Region has no link null. Valid:"),
    ],
)
def test_a_link_that_is_not_there_is_told_the_valid_ones(
    object_type: type, words: tuple[object, ...], says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        link_end(object_type, *words)
    assert says in refused.value.detail


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ((), (Sort("id"),)),
        ((Sort("pue"),), (Sort("pue"), Sort("id"))),
        ((Sort("name"), Sort("pue", True)), (Sort("name"), Sort("pue", True), Sort("id", True))),
        ((Sort("id", True),), (Sort("id", True),)),
    ],
)
def test_an_order_ends_with_the_id(sort: tuple[Sort, ...], order: tuple[Sort, ...]) -> None:
    assert Query(DataCentre, sort=sort).order == order


def test_every_limit_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    for limit in LIMITS:
        assert limit.why.endswith(".")
        assert 0 < (limit.default or 1) <= limit.most
