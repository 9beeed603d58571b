"""The regions API: one region as it is stored, and asked for anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path

from pylon.interfaces.runtime import Runtime
from pylon.ontology.identity import uuid7
from pylon.services.refresh_region import RefreshedRegion, RegionState, refresh_region, region_state

__all__ = ["add_regions"]

RegionNumber = Annotated[int, Path(description="The Carbon Intensity API's number, 1 to 17")]


def add_regions(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the routes to `app`; `here` returns the runtime they work on."""

    @app.get("/api/v1/grid/regional/{region_id}", tags=["grid"])
    def one_region(region_id: RegionNumber) -> RegionState:
        """Return the carbon intensity of one region: now, and 48 hours ahead."""
        running = here()
        return region_state(running.database, region_id, running.clock())

    @app.post("/api/v1/grid/regional/{region_id}/refresh", tags=["grid"])
    def refresh(region_id: RegionNumber) -> RefreshedRegion:
        """Ask the Carbon Intensity API for one region now, store what it says, and return it. Takes no body.

        A region is asked for at most once a minute; in between, what is stored is returned.
        """
        running = here()
        now = running.clock()
        return refresh_region(
            running.database, running.settings, region_id, run_id=uuid7(now, os.urandom(10)), now=now
        )
