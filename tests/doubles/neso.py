"""A stand-in for NESO's data portal: CKAN's actions, and downloads that are redirected.

    with Neso(now=datetime(2026, 10, 8, 9, 10, tzinfo=UTC)) as portal:
        portal.faults.add(Fault.NUMBERS_AS_TEXT)
        ...                                     # ask portal.url
        assert portal.searches() == 1

The answers of `resource_show` and `package_show` and the redirection are as recorded in 2026. The envelope of
`datastore_search`, errors and the page for whoever asks too often are not on record: they follow CKAN's
documentation and the portal's guidance. What is published is in `neso_files`.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pylon.ontology.calendar import LONDON
from tests.doubles import neso_files as files
from tests.doubles.neso_files import DAY_AHEAD, TABLES, Demand, Fault, Forecast, Row, Table
from tests.doubles.server import Refused, Server, endpoint

__all__ = ["Fault", "Neso"]

_ACTION_APART_S = 0.95  # the guidance says one a second; requests sent that far apart may arrive a little closer
_SEARCHES_A_MINUTE = 2
_BLOCKED = b"<!DOCTYPE html><html><body><h1>Request blocked</h1>Too many requests from your address.</body></html>"
_NOT_REPLACED = timedelta(days=3)
_TABLE_BEHIND = timedelta(minutes=10)


class Neso(Server):
    """The stand-in for NESO's data portal: its actions are at `url`, where the real ones are below /api/3/action.

    `measured` and `forecast` give the demand in MW, made up unless told; both may be changed at any time. With
    `enforces_limits` it blocks who asks more often than the guidance allows, by the time that really passes.
    """

    def __init__(
        self,
        *,
        now: datetime = datetime(2026, 10, 8, 9, 10, tzinfo=UTC),
        measured: Demand = files.made_up,
        forecast: Forecast = files.foreseen,
    ) -> None:
        super().__init__(now=now, routes=self._routes())
        self.measured = measured
        self.forecast = forecast
        self.enforces_limits = False
        self._at_first = (self.measured, self.forecast)
        self._rows: dict[Table, list[Row]] = {}
        self._asked_s: list[tuple[float, str]] = []

    @classmethod
    def replay(cls, folder: Path, *, now: datetime) -> Self:
        """Return a stand-in that knows the demand of 2023, measured and forecast."""
        measured, forecast = files.replay(folder)
        return cls(now=now, measured=measured, forecast=forecast)

    @classmethod
    def recorded(cls, folder: Path, *, now: datetime = datetime(2026, 10, 8, 9, 10, tzinfo=UTC)) -> Self:
        """Return a stand-in whose files hold the rows recorded on 8 October 2026, whatever its clock says."""
        portal = cls(now=now)
        portal._rows = files.recorded(folder)
        return portal

    def reset(self) -> None:
        """Forget plans, faults, requests and what was moved or changed."""
        super().reset()
        self.measured, self.forecast = self._at_first
        self.enforces_limits = False
        self._asked_s.clear()

    def searches(self) -> int:
        """Return how many datastore searches have come."""
        return self.count("/datastore_search")

    def edition(self, table: Table) -> datetime:
        """Return when the file was last replaced, in UTC."""
        late = table is DAY_AHEAD and Fault.NOT_REPLACED in self.faults
        now = self.clock.now - _NOT_REPLACED * late
        return max(at for at in files.editions(table, now.astimezone(LONDON).date()) if at <= now)

    def rows(self, table: Table) -> list[Row]:
        """Return the rows of the file as they are published now, faults included."""
        edition = self.edition(table)
        if Fault.TABLE_BEHIND in self.faults and self.clock.now < edition + _TABLE_BEHIND:
            edition -= timedelta(days=1)
        rows = self._rows.get(table) or files.published(table, edition, self.measured, self.forecast)
        return files.spoilt(table, rows, self.faults)

    # The portal

    def _routes(self) -> list[Route]:
        answers: dict[str, Callable[[Mapping[str, str]], Row]] = {
            "resource_show": lambda query: self._resource(self._of_id(query.get("id"))),
            "package_show": self._package_show,
            "datastore_search": self._datastore_search,
        }
        downloads = [
            Route("/dataset/{package}/resource/{resource}/download/{file}", self._download),
            Route("/store/{stem}", self._stored),
        ]
        return downloads + [
            Route(f"/{name}", endpoint(self._action(name, answer), takes_query=True))
            for name, answer in answers.items()
        ]

    def _action(self, name: str, answer: Callable[[Mapping[str, str]], Row]) -> Callable[[Mapping[str, str]], Row]:
        def act(query: Mapping[str, str]) -> Row:
            self._mind_the_limits(name)
            envelope = {"help": f"{self.url}/help_show?name={name}"}
            if Fault.FAILURE_WITH_200 in self.faults:
                return {**envelope, "success": False, "error": {"message": "The search index is not there."}}
            return {**envelope, "success": True, "result": answer(query)}

        return act

    def _mind_the_limits(self, name: str) -> None:
        present = time.monotonic()
        too_soon = any(present - at < _ACTION_APART_S for at, _ in self._asked_s)
        searches = sum(of == "datastore_search" and present - at < 60 for at, of in self._asked_s)
        self._asked_s.append((present, name))
        too_often = name == "datastore_search" and searches >= _SEARCHES_A_MINUTE
        if self.enforces_limits and (too_soon or too_often):
            raise Refused(429, _BLOCKED)

    def _id(self, table: Table) -> str:
        anew = {Fault.MADE_ANEW, Fault.RENAMED, Fault.NOT_FOUND_WITH_200} & self.faults
        return f"{table.id[:-4]}beef" if anew else table.id

    def _of_id(self, identity: str | None) -> Table:
        for table in TABLES:
            if self._id(table) == identity:
                return table
        raise self._absent("Not found: Resource was not found.")

    def _absent(self, message: str) -> Refused:
        status = 200 if Fault.NOT_FOUND_WITH_200 in self.faults else 404
        error = {"__type": "Not Found Error", "message": message}
        return Refused(status, orjson.dumps({"help": "", "success": False, "error": error}))

    def _resource(self, table: Table) -> Row:
        edition, identity = self.edition(table), self._id(table)
        file = f"{table.stem}_{edition:%Y%m%d%H%M}.csv"
        return {
            "id": identity,
            "name": f"{table.name} (old)" if Fault.RENAMED in self.faults else table.name,
            "format": "CSV",
            "url_type": "upload",
            "url": f"{self.url}/dataset/{table.package_id}/resource/{identity}/download/{file}",
            "last_modified": None if Fault.NO_TIME in self.faults else edition.replace(tzinfo=None).isoformat(),
            "size": None,
            "datastore_active": True,
        }

    def _package_show(self, query: Mapping[str, str]) -> Row:
        table = next((one for one in TABLES if one.package == query.get("id")), None)
        if table is None:
            raise self._absent("Not found")
        archive = {**self._resource(table), "id": f"{table.id[:-4]}0000", "name": f"Historic {table.name}s"}
        return {
            "id": table.package_id,
            "name": table.package,
            "license_title": "NESO Open Data Licence",
            "resources": [archive, self._resource(table)],
        }

    def _datastore_search(self, query: Mapping[str, str]) -> Row:
        identity = query.get("resource_id")
        limit, offset = min(int(query.get("limit", 100)), 32_000), int(query.get("offset", 0))
        rows = [{"_id": number, **row} for number, row in enumerate(self.rows(self._of_id(identity)), start=1)]
        if name := query.get("sort"):
            column, _, order = name.partition(" ")
            rows.sort(key=lambda row: row[column], reverse=order == "desc")
        names = query["fields"].split(",") if "fields" in query else list(rows[0]) if rows else ["_id"]
        shown = rows[: len(rows) // 2] if Fault.CUT_SHORT in self.faults else rows
        page = [{name: row[name] for name in names} for row in shown[offset : offset + limit]]
        here = f"/datastore_search?resource_id={identity}"
        return {
            "resource_id": identity,
            "fields": [{"id": name, "type": _type(rows[0][name]) if rows else "text"} for name in names],
            "records": [_as_text(row) for row in page] if Fault.NUMBERS_AS_TEXT in self.faults else page,
            "_links": {"start": here, "next": f"{here}&offset={offset + limit}"},
            "limit": limit,
            "offset": offset,
            "total": len(rows),
        }

    async def _download(self, request: Request) -> Response:
        try:
            table = self._of_id(request.path_params["resource"])
        except Refused as refused:
            return Response(refused.body, refused.status, media_type="application/json")
        return RedirectResponse(f"{self.url}/store/{table.stem}?signature=made-up", 302)

    async def _stored(self, request: Request) -> Response:
        table = next(one for one in TABLES if one.stem == request.path_params["stem"])
        rows = self.rows(table)
        columns = rows or files.published(table, self.edition(table), self.measured, self.forecast)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(columns[0]))
        writer.writeheader()
        writer.writerows(rows)
        return Response(text.getvalue(), media_type="binary/octet-stream")


def _as_text(row: Row) -> Row:
    words = {name: value if name == "_id" else str(value) for name, value in row.items()}
    return {**words, "_full_text": " ".join(f"'{word}':1" for word in words.values())}


def _type(value: Any) -> str:
    return "int4" if isinstance(value, int) else "text"
