"""Where data centres and batteries stand: towns, their outward postcode, and the grid region that serves them."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BATTERY_TOWNS", "CAPACITY_WEIGHT", "TOWNS", "Town"]


class Town(NamedTuple):
    """A place: its name, its outward postcode, and the number of the grid region that serves it."""

    name: str
    outward: str
    region_id: int


# Share of data-centre capacity by region, percent (assumption; published: 75-80 % in London and the South East).
CAPACITY_WEIGHT: Final = {12: 35, 13: 22, 10: 12, 14: 8, 3: 6, 7: 6, 8: 3, 9: 2, 5: 2, 4: 2, 11: 1, 2: 1}

# A region is a distribution network's, not the map's. Slough and west London (Hillingdon, Ealing, Hounslow)
# are on SSEN's, so 12 and not 13; Milton Keynes is on the East Midlands one, so 9.
TOWNS: Final = (
    Town("Slough", "SL1", 12),
    Town("Hayes", "UB3", 12),
    Town("Southall", "UB2", 12),
    Town("Hounslow", "TW4", 12),
    Town("Reading", "RG2", 12),
    Town("Farnborough", "GU14", 12),
    Town("Bracknell", "RG12", 12),
    Town("Didcot", "OX11", 12),
    Town("Docklands", "E14", 13),
    Town("Shoreditch", "EC2A", 13),
    Town("Southwark", "SE1", 13),
    Town("Islington", "N1", 13),
    Town("Waltham Cross", "EN8", 10),
    Town("Cambridge", "CB4", 10),
    Town("Stevenage", "SG1", 10),
    Town("Hemel Hempstead", "HP2", 10),
    Town("Crawley", "RH10", 14),
    Town("Dartford", "DA1", 14),
    Town("Tunbridge Wells", "TN2", 14),
    Town("Manchester", "M17", 3),
    Town("Salford", "M50", 3),
    Town("Bolton", "BL1", 3),
    Town("Newport", "NP10", 7),
    Town("Cardiff", "CF3", 7),
    Town("Bridgend", "CF31", 7),
    Town("Birmingham", "B7", 8),
    Town("Wolverhampton", "WV10", 8),
    Town("Milton Keynes", "MK1", 9),
    Town("Nottingham", "NG7", 9),
    Town("Leicester", "LE19", 9),
    Town("Leeds", "LS11", 5),
    Town("Hull", "HU9", 5),
    Town("Blyth", "NE24", 4),
    Town("Newcastle", "NE27", 4),
    Town("Exeter", "EX2", 11),
    Town("Edinburgh", "EH12", 2),
    Town("Glasgow", "G33", 2),
    Town("Livingston", "EH54", 2),
)

BATTERY_TOWNS: Final = (
    Town("Inverness", "IV2", 1),
    Town("Dundee", "DD2", 1),
    Town("Coalburn", "ML11", 2),
    Town("Doncaster", "DN4", 5),
    Town("Deeside", "CH5", 6),
    Town("Port Talbot", "SA12", 7),
    Town("Stoke-on-Trent", "ST4", 8),
    Town("Ipswich", "IP3", 10),
    Town("Plymouth", "PL6", 11),
    Town("Maidstone", "ME15", 14),
)
