"""The storage API: what each asset is to do from now on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query

from pylon.interfaces.runtime import Runtime
from pylon.interfaces.words import Word
from pylon.services.list_schedules import ScheduleList, list_schedules

__all__ = ["add_storage"]

_Asset = Annotated[Word | None, Query(description="Only this asset, by its own id; every asset when left out")]


def add_storage(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the route to `app`; `here` returns the runtime it works on."""

    @app.get("/api/v1/storage/schedules", tags=["decisions"])
    def storage_schedules(asset_id: _Asset = None) -> ScheduleList:
        """Return what your storage is to do from the present half hour on, and the decisions that say so.

        A schedule of your own machines is for you to carry out; `report_charge` says what came of it.
        """
        runtime = here()
        return list_schedules(runtime.database, runtime.operator_id, runtime.clock(), asset_id=asset_id)
